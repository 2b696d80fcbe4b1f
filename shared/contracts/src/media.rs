//! What a recording is, as the probe of its first bytes found it.

use serde::{Deserialize, Serialize};

/// Event `media_info`, and part of the job's status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MediaInfo {
    /// `wav`, `flac`, `mp3`, …
    pub container: String,
    /// `pcm_s16le`, `flac`, `mp3`, …
    pub codec: String,
    /// Frames a second, Hz.
    pub sample_rate: u32,
    pub channels: u32,
    /// Bits a second; an estimate where the container does not say.
    pub bitrate: Option<u64>,
    /// Seconds; an estimate where the container does not say.
    pub duration_seconds: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}
