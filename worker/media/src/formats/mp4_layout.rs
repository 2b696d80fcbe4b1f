//! What the init section keeps of an MP4 file's index, in compact form.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The sample table of the audio track: ten hours of AAC are 1.7 million samples, so it is kept packed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleTable {
    /// Runs of samples that lie one behind the other without a hole, in the order of the file, 12 bytes each: offset of
    /// the first from the start of the recording (8 bytes), and their number (4), both big-endian.
    #[serde(with = "packed")]
    pub runs: Bytes,
    /// Sizes of all samples, `width` bytes each, big-endian; nothing if all are of `equal_size`.
    #[serde(with = "packed")]
    pub sizes: Bytes,
    /// 2 or 4.
    pub width: u8,
    /// Bytes of every sample; 0 if `sizes` tells.
    pub equal_size: u32,
    /// Samples of a packet: 1, or for PCM (whose samples are single frames) as many as make a block.
    pub group: u32,
    /// Frames of a sample, as a rule.
    pub frames: u32,
    /// Frames at the start that nobody shall hear: what comes before the edit list's first frame.
    pub skip: u32,
}

/// What it takes to find the audio in movie fragments (`moof` boxes).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FragmentTrack {
    /// The number of the audio track.
    pub id: u32,
    /// Ticks a second of its times.
    pub timescale: u32,
    /// Frames of a packet, as a rule.
    pub frames: u32,
    /// First byte of the first fragment that holds audio.
    pub first: u64,
    /// Frames before that fragment, with those that nobody shall hear.
    pub before: u64,
    /// Decode time, in ticks, at which the first frame of the recording would lie by counting frames back from the end
    /// of the first fragment (whose own durations may be off: muxers move starts there).
    pub origin: Option<i64>,
    /// All tracks, with their defaults (`trex`).
    pub tracks: Vec<TrackDefaults>,
}

/// What holds for a track's samples where a fragment doesn't say otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackDefaults {
    /// The number of the track.
    pub id: u32,
    /// Ticks of a sample.
    pub duration: u32,
    /// Bytes of a sample.
    pub size: u32,
}

/// Bytes as Base64.
mod packed {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Bytes::from).map_err(D::Error::custom)
    }
}
