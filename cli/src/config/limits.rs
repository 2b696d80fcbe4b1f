//! Limits of jobs, and times of the API.

use super::values::{interval, milliseconds, seconds};
use clap::Args;
use scriptorium_contracts::job::Limits;
use scriptorium_gateway::sizer::SizerLimits;
use scriptorium_gateway::{GatewayConfig, UploadBase};
use scriptorium_shared::webhook::WebhookConfig;
use std::time::Duration;

#[derive(Args, Clone, Debug)]
pub struct LimitArgs {
    /// Chunks of one job that are queued or worked on at once [default: 3, or the number of slots if that is more]
    #[arg(long, env = "SCRIPTORIUM_MAX_CONCURRENT_CHUNKS", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub max_concurrent_chunks: Option<u32>,

    /// Parts of one chunk that are queued or worked on at once
    #[arg(long, env = "SCRIPTORIUM_MAX_CONCURRENT_PARTS", value_name = "N", default_value = "16",
          value_parser = clap::value_parser!(u32).range(1..=64))]
    pub max_concurrent_parts: u32,

    /// A worker that gives no sign of life for so long loses what it works on to others
    #[arg(long, env = "SCRIPTORIUM_LEASE_SECONDS", value_name = "SECONDS", default_value = "15", value_parser = lease)]
    pub lease_seconds: Duration,

    /// How often a failed chunk is tried again
    #[arg(long, env = "SCRIPTORIUM_MAX_CHUNK_RETRIES", value_name = "N", default_value = "3",
          value_parser = clap::value_parser!(u32).range(0..=100))]
    pub max_chunk_retries: u32,

    /// Wait before a failed chunk is tried again; doubles with each further try
    #[arg(long, env = "SCRIPTORIUM_CHUNK_RETRY_DELAY_SECONDS", value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub chunk_retry_delay_seconds: Duration,

    /// Least time between two progress reports of a job
    #[arg(long, env = "SCRIPTORIUM_PROGRESS_UPDATE_INTERVAL_SECONDS", value_name = "SECONDS", default_value = "1",
          value_parser = seconds)]
    pub progress_update_interval_seconds: Duration,

    /// Longest processing of a job after its last upload, unless the recording's length asks for more (`--timeout-per-audio`)
    #[arg(long, env = "SCRIPTORIUM_PROCESSING_TIMEOUT_SECONDS", value_name = "SECONDS", default_value = "3600",
          value_parser = interval)]
    pub processing_timeout_seconds: Duration,

    /// The longest processing is never less than this many times the recording's length; 0 for no regard to it
    #[arg(long, env = "SCRIPTORIUM_TIMEOUT_PER_AUDIO", value_name = "N", default_value = "4",
          value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub timeout_per_audio: u32,

    /// An upload that is left alone for so long expires
    #[arg(long, env = "SCRIPTORIUM_UPLOAD_EXPIRY_SECONDS", value_name = "SECONDS", default_value = "86400", value_parser = interval)]
    pub upload_expiry_seconds: Duration,

    /// How long the chunks of a job with failures are kept for another try
    #[arg(long, env = "SCRIPTORIUM_RETENTION_SECONDS", value_name = "SECONDS", default_value = "86400", value_parser = seconds)]
    pub retention_seconds: Duration,

    /// Uploads at once that clients are advised to make
    #[arg(long, env = "SCRIPTORIUM_MAX_PARALLEL_UPLOADS", value_name = "N", default_value = "5",
          value_parser = clap::value_parser!(u32).range(1..=64))]
    pub max_parallel_uploads: u32,

    /// Memory for recordings that are sent in one piece, in megabytes; each needs its size, but no more than 26
    #[arg(long, env = "SCRIPTORIUM_UPLOAD_MEMORY_MB", value_name = "MB", default_value = "256",
          value_parser = clap::value_parser!(u32).range(26..=65536))]
    pub upload_memory_mb: u32,

    /// A recording that is sent in one piece may come no slower than so many kilobytes a second; what lies in memory of it keeps
    /// others out
    #[arg(long, env = "SCRIPTORIUM_MIN_UPLOAD_RATE_KB", value_name = "KB", default_value = "32",
          value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    pub min_upload_rate_kb: u32,

    /// Connections at once; further ones wait
    #[arg(long, env = "SCRIPTORIUM_MAX_CONNECTIONS", value_name = "N", default_value = "20000",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,

    /// Smallest chunk, in megabytes, where the service chooses their size
    #[arg(long, env = "SCRIPTORIUM_CHUNK_SIZE_MIN_MB", value_name = "MB", default_value = "10",
          value_parser = clap::value_parser!(u32).range(1..=25))]
    pub chunk_size_min_mb: u32,

    /// Largest chunk, in megabytes, where the service chooses their size
    #[arg(long, env = "SCRIPTORIUM_CHUNK_SIZE_MAX_MB", value_name = "MB", default_value = "25",
          value_parser = clap::value_parser!(u32).range(1..=25))]
    pub chunk_size_max_mb: u32,

    /// How long an upload URL works
    #[arg(long, env = "SCRIPTORIUM_URL_EXPIRY_SECONDS", value_name = "SECONDS", default_value = "3600", value_parser = url_expiry)]
    pub url_expiry_seconds: Duration,

    /// A live stream is closed after so long; the client opens it again where it stopped
    #[arg(long, env = "SCRIPTORIUM_STREAM_TIMEOUT_SECONDS", value_name = "SECONDS", default_value = "1800", value_parser = interval)]
    pub stream_timeout_seconds: Duration,

    /// Time between two signs of life on a silent live stream
    #[arg(long, env = "SCRIPTORIUM_HEARTBEAT_SECONDS", value_name = "SECONDS", default_value = "15", value_parser = interval)]
    pub heartbeat_seconds: Duration,
}

impl LimitArgs {
    /// What a gateway is told by them.
    pub fn gateway(&self, slots: usize, upload_base: UploadBase, webhooks: &WebhookConfig) -> GatewayConfig {
        GatewayConfig {
            upload_base,
            max_parallel_uploads: self.max_parallel_uploads,
            url_expiry: self.url_expiry_seconds,
            stream_timeout: self.stream_timeout_seconds,
            heartbeat: self.heartbeat_seconds,
            limits: self.of_jobs(slots),
            upload_memory_mb: self.upload_memory_mb as usize,
            min_upload_rate: u64::from(self.min_upload_rate_kb) << 10,
            max_connections: self.max_connections as usize,
            sizer: SizerLimits { min_mb: self.chunk_size_min_mb, max_mb: self.chunk_size_max_mb },
            webhook_reach: webhooks.reach,
            webhooks_signed: !webhooks.secrets.is_empty(),
            ..GatewayConfig::default()
        }
    }

    /// The limits that new jobs get.
    pub fn of_jobs(&self, slots: usize) -> Limits {
        let defaults = Limits::default();
        Limits {
            max_parallel_chunks: self.max_concurrent_chunks.unwrap_or_else(|| parallel_chunks(slots)),
            max_parallel_parts: self.max_concurrent_parts,
            lease_ms: milliseconds(self.lease_seconds),
            max_retries: self.max_chunk_retries,
            retry_delay_ms: milliseconds(self.chunk_retry_delay_seconds),
            processing_timeout_ms: milliseconds(self.processing_timeout_seconds),
            timeout_per_audio: self.timeout_per_audio,
            upload_expiry_ms: milliseconds(self.upload_expiry_seconds),
            retention_ms: milliseconds(self.retention_seconds),
            release_delay_ms: defaults.release_delay_ms,
            progress_interval_ms: milliseconds(self.progress_update_interval_seconds),
        }
    }
}

/// Chunks of one job at once, where nothing else is asked for: no slot should be idle because there is only one job.
pub fn parallel_chunks(slots: usize) -> u32 {
    u32::try_from(slots).unwrap_or(u32::MAX).max(Limits::default().max_parallel_chunks)
}

/// Shorter ones would be spent on signs of life.
fn lease(text: &str) -> Result<Duration, String> {
    let value = seconds(text)?;
    if value < Duration::from_secs(1) { Err("must be at least 1 second".to_owned()) } else { Ok(value) }
}

/// S3 signatures (version 4) hold for a week at most.
fn url_expiry(text: &str) -> Result<Duration, String> {
    let value = seconds(text)?;
    let allowed = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);
    if allowed.contains(&value) { Ok(value) } else { Err("must be from 1 to 604800 seconds".to_owned()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        limits: LimitArgs,
    }

    fn limits(arguments: &[&str]) -> Result<Limits, clap::Error> {
        let all = ["limits"].iter().chain(arguments);
        Ok(Alone::try_parse_from(all)?.limits.of_jobs(1))
    }

    /// R23: what a job gets where nothing is said is the rule's own default; another number reaches the job.
    #[test]
    fn the_multiple_of_the_length_is_an_option() {
        assert_eq!(limits(&[]).unwrap(), Limits::default());
        assert_eq!(limits(&["--timeout-per-audio", "7"]).unwrap().timeout_per_audio, 7);
        assert_eq!(limits(&["--timeout-per-audio", "0"]).unwrap().timeout_per_audio, 0);
        for bad in ["-1", "1001", "1.5", ""] {
            assert!(limits(&["--timeout-per-audio", bad]).is_err(), "{bad}");
        }
    }
}
