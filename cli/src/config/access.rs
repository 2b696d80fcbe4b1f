//! API keys, and what tenants may do.

use super::TlsArgs;
use clap::{Args, builder::BoolishValueParser};
use scriptorium_contracts::tenant::TenantLimits;
use std::fmt;
use std::path::PathBuf;

/// A gigabyte, as storage is bought.
const GIGABYTE: u64 = 1_000_000_000;

#[derive(Args, Clone, Debug)]
pub struct KeyArgs {
    /// Answer nobody without an API key; `scriptorium admin keys create` makes one. Without this option keys are obeyed where
    /// they come, and the server listens on the loopback only
    #[arg(long, env = "SCRIPTORIUM_REQUIRE_KEYS", value_parser = BoolishValueParser::new())]
    pub require_keys: bool,

    /// Names besides localhost by which the server may be called, and whose pages may call it, while it listens on the loopback
    /// and asks for no keys, with commas between them: those that a proxy on this machine passes on
    #[arg(long, env = "SCRIPTORIUM_ALLOWED_HOSTS", value_name = "NAME,…", value_delimiter = ',')]
    pub allowed_hosts: Vec<String>,
}

#[derive(Args, Clone, Debug)]
pub struct TenantArgs {
    /// Requests of one tenant in a minute, over all gateways; 0 for no limit. `scriptorium admin limits` gives a tenant limits of
    /// its own, in place of these
    #[arg(long, env = "SCRIPTORIUM_TENANT_REQUESTS_PER_MINUTE", value_name = "N", default_value = "3000")]
    pub tenant_requests_per_minute: u32,

    /// Jobs of one tenant that are not over; 0 for no limit
    #[arg(long, env = "SCRIPTORIUM_TENANT_CONCURRENT_JOBS", value_name = "N", default_value = "100")]
    pub tenant_concurrent_jobs: u32,

    /// Gigabytes of one tenant's recordings while their chunks are kept; 0 for no limit
    #[arg(long, env = "SCRIPTORIUM_TENANT_STORAGE_GB", value_name = "GB", default_value = "500",
          value_parser = clap::value_parser!(u64).range(..=1_000_000_000))]
    pub tenant_storage_gb: u64,

    /// Minutes of audio in the jobs that one tenant makes on a day (UTC); 0 for no limit
    #[arg(
        long,
        env = "SCRIPTORIUM_TENANT_AUDIO_MINUTES_PER_DAY",
        value_name = "MINUTES",
        default_value = "0"
    )]
    pub tenant_audio_minutes_per_day: u32,
}

impl TenantArgs {
    pub fn limits(&self) -> TenantLimits {
        TenantLimits {
            requests_per_minute: Some(self.tenant_requests_per_minute),
            concurrent_jobs: Some(self.tenant_concurrent_jobs),
            storage_bytes: Some(self.tenant_storage_gb.saturating_mul(GIGABYTE)),
            audio_minutes_per_day: Some(self.tenant_audio_minutes_per_day),
        }
    }
}

/// Where the keys are kept.
#[derive(Args, Clone)]
pub struct DirectoryArgs {
    /// The Redis of the gateways, if they run as roles of their own. It is a secret: better given as a variable
    #[arg(long, env = "SCRIPTORIUM_REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis_url: Option<String>,

    /// Without Redis: the data folder of `scriptorium serve`, which may be running [default: as there]
    #[arg(long, env = "SCRIPTORIUM_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    #[command(flatten)]
    pub tls: TlsArgs,
}

/// Without the address, which may hold a password.
impl fmt::Debug for DirectoryArgs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = formatter.debug_struct("DirectoryArgs");
        told.field("redis", &self.redis_url.is_some()).field("data_dir", &self.data_dir).finish()
    }
}

/// Limits of a tenant's own.
#[derive(Args, Clone, Debug)]
pub struct OwnLimitArgs {
    /// Requests in a minute; 0 for no limit, `default` for the server's
    #[arg(long, env = "SCRIPTORIUM_REQUESTS_PER_MINUTE", value_name = "N|default", value_parser = own::<u32>)]
    pub requests_per_minute: Option<Own<u32>>,

    /// Jobs that are not over; 0 for no limit, `default` for the server's
    #[arg(long, env = "SCRIPTORIUM_CONCURRENT_JOBS", value_name = "N|default", value_parser = own::<u32>)]
    pub concurrent_jobs: Option<Own<u32>>,

    /// Gigabytes of recordings; 0 for no limit, `default` for the server's
    #[arg(long, env = "SCRIPTORIUM_STORAGE_GB", value_name = "GB|default", value_parser = own::<u32>)]
    pub storage_gb: Option<Own<u32>>,

    /// Minutes of audio a day; 0 for no limit, `default` for the server's
    #[arg(long, env = "SCRIPTORIUM_AUDIO_MINUTES_PER_DAY", value_name = "MINUTES|default", value_parser = own::<u32>)]
    pub audio_minutes_per_day: Option<Own<u32>>,
}

/// A limit of a tenant's own, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own<T> {
    Default,
    Is(T),
}

impl<T> Own<T> {
    fn limit(self) -> Option<T> {
        match self {
            Self::Default => None,
            Self::Is(limit) => Some(limit),
        }
    }
}

fn own<T: std::str::FromStr>(text: &str) -> Result<Own<T>, String> {
    if text == "default" {
        return Ok(Own::Default);
    }
    text.parse().map(Own::Is).map_err(|_| "must be a whole number, or default".to_owned())
}

impl OwnLimitArgs {
    /// The limits as they are after what was asked for.
    pub fn change(&self, limits: TenantLimits) -> TenantLimits {
        let Self { requests_per_minute, concurrent_jobs, storage_gb, audio_minutes_per_day } = self;
        let bytes = |asked: Own<u32>| asked.limit().map(|gigabytes| u64::from(gigabytes) * GIGABYTE);
        TenantLimits {
            requests_per_minute: requests_per_minute.map_or(limits.requests_per_minute, Own::limit),
            concurrent_jobs: concurrent_jobs.map_or(limits.concurrent_jobs, Own::limit),
            storage_bytes: storage_gb.map_or(limits.storage_bytes, bytes),
            audio_minutes_per_day: audio_minutes_per_day.map_or(limits.audio_minutes_per_day, Own::limit),
        }
    }
}

/// A key of a server's.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ApiKey {
    fn from(text: &str) -> Self {
        Self(text.trim().to_owned())
    }
}

/// Without the key.
impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_changes() {
        let nothing = OwnLimitArgs {
            requests_per_minute: None,
            concurrent_jobs: None,
            storage_gb: None,
            audio_minutes_per_day: None,
        };
        let limits =
            TenantLimits { requests_per_minute: Some(7), concurrent_jobs: Some(8), ..Default::default() };
        assert_eq!(nothing.change(limits), limits);
        let asked = OwnLimitArgs {
            requests_per_minute: Some(Own::Default),
            storage_gb: Some(Own::Is(2)),
            audio_minutes_per_day: Some(Own::Is(0)),
            ..nothing
        };
        let changed = TenantLimits {
            requests_per_minute: None,
            concurrent_jobs: Some(8),
            storage_bytes: Some(2_000_000_000),
            audio_minutes_per_day: Some(0),
        };
        assert_eq!(asked.change(limits), changed);
        assert_eq!(own::<u32>("default"), Ok(Own::Default));
        assert!(own::<u32>("-1").is_err() && own::<u32>("none").is_err());
    }
}
