//! What is kept of earlier work.

use super::services::address;
use super::values::seconds;
use super::{ConfigError, LimiterArgs};
use clap::Args;
use scriptorium_worker::CacheSettings;
use std::time::Duration;

const MEGABYTE: u64 = 1 << 20;

#[derive(Args, Clone, Debug)]
pub struct CacheArgs {
    /// How long the text of each window of speech is kept, to be used again where the same sound comes with the same settings: a
    /// recording that is uploaded again, say, or an edited one. 0 for not at all
    #[arg(long, env = "SCRIPTORIUM_CACHE_TTL_SECONDS", value_name = "SECONDS", default_value = "86400", value_parser = seconds)]
    pub cache_ttl_seconds: Duration,

    /// Memory of this process for that, in megabytes: some 500 windows take one, ten times fewer with times of words
    #[arg(long, env = "SCRIPTORIUM_CACHE_MEMORY_MB", value_name = "N", default_value = "32",
          value_parser = clap::value_parser!(u32).range(0..=65_536))]
    pub cache_memory_mb: u32,
}

impl CacheArgs {
    pub fn settings(&self) -> CacheSettings {
        let bytes = u64::from(self.cache_memory_mb) * MEGABYTE;
        CacheSettings {
            ttl: self.cache_ttl_seconds,
            memory_bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        }
    }
}

/// Of a server in one process.
#[derive(Args, Clone, Debug)]
pub struct CacheFileArgs {
    /// Room for that in the data folder, in megabytes: there it outlives the process. 0 for none
    #[arg(long, env = "SCRIPTORIUM_CACHE_DISK_MB", value_name = "N", default_value = "256",
          value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    pub cache_disk_mb: u32,
}

impl CacheFileArgs {
    pub fn bytes(&self) -> u64 {
        u64::from(self.cache_disk_mb) * MEGABYTE
    }
}

/// Of workers that share one.
#[derive(Args, Clone, Debug)]
pub struct CacheServiceArgs {
    /// The Redis in which workers share what they keep; it may be one that throws away what it has no room for. A secret too
    /// [default: that of --redis-url; without either each worker keeps its own]
    #[arg(long, env = "SCRIPTORIUM_CACHE_REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub cache_redis_url: Option<String>,
}

impl CacheServiceArgs {
    /// # Errors
    /// It is no address of a Redis.
    pub fn check(&self) -> Result<(), ConfigError> {
        let schemes = "redis:// or rediss://";
        self.cache_redis_url.iter().try_for_each(|url| address("--cache-redis-url", url, schemes))
    }

    pub fn url<'a>(&'a self, limiter: &'a LimiterArgs) -> Option<&'a str> {
        self.cache_redis_url.as_deref().or(limiter.redis_url.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_has_a_redis_of_its_own_or_the_common_one() {
        let url = |own: Option<&str>, common: Option<&str>| {
            let own = CacheServiceArgs { cache_redis_url: own.map(str::to_owned) };
            let common = LimiterArgs { redis_url: common.map(str::to_owned) };
            (own.url(&common).map(str::to_owned), own.check().is_ok())
        };
        assert_eq!(url(None, None), (None, true));
        assert_eq!(url(None, Some("redis://a")), (Some("redis://a".to_owned()), true));
        assert_eq!(url(Some("redis://b"), Some("redis://a")), (Some("redis://b".to_owned()), true));
        assert!(!url(Some("b:6379"), None).1);
    }
}
