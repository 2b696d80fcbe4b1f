//! A real Redis for tests: each takes a corner of its own and leaves nothing behind.
//!
//! `SCRIPTORIUM_TEST_REDIS_URL` names it. Without it such tests are skipped, with a line that says so, unless
//! `SCRIPTORIUM_TEST_SERVICES=1` says that services are to be there: then they fail.
#![allow(clippy::print_stderr)]

use crate::redis::RedisConfig;
use crate::tls::Tls;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Keys with a prefix that nobody else uses.
#[derive(Debug)]
pub struct RedisCorner {
    url: String,
    prefix: String,
    made: AtomicU32,
}

/// Commands and bytes that Redis has been sent, and bytes that it has sent.
#[derive(Clone, Copy, Debug)]
pub struct RedisTraffic {
    pub commands: u64,
    pub received: u64,
    pub sent: u64,
}

impl RedisTraffic {
    /// What has come since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            commands: self.commands - before.commands,
            received: self.received - before.received,
            sent: self.sent - before.sent,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the settings of tests are no settings of the program")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Says that a test is skipped for want of `what`, or fails if nothing is to be skipped.
pub fn skipped(what: &str) {
    assert!(
        setting("SCRIPTORIUM_TEST_SERVICES").as_deref() != Some("1"),
        "services are to be tested, but {what}"
    );
    eprintln!("skipped: {what}");
}

impl RedisCorner {
    /// `None`: there is no Redis for tests, and the test is to be skipped.
    pub fn new() -> Option<Self> {
        let Some(url) = setting("SCRIPTORIUM_TEST_REDIS_URL") else {
            skipped("SCRIPTORIUM_TEST_REDIS_URL is not set");
            return None;
        };
        Some(Self::at(url))
    }

    /// In the Redis at this URL.
    pub fn at(url: String) -> Self {
        let prefix = format!("test-{}", uuid::Uuid::new_v4().simple());
        Self { url, prefix, made: AtomicU32::new(0) }
    }

    /// The same corner each time.
    pub fn config(&self) -> RedisConfig {
        let job_ttl = Duration::from_secs(3_600);
        RedisConfig { url: self.url.clone(), prefix: self.prefix.clone(), job_ttl, tls: Tls::default() }
    }

    /// A new, empty part of the corner each time.
    pub fn part(&self) -> RedisConfig {
        let mut config = self.config();
        config.prefix = format!("{}.{}", self.prefix, self.made.fetch_add(1, Ordering::Relaxed));
        config
    }

    /// A connection for looking at the keys themselves.
    pub async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url.as_str()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// What this Redis has done since its start, for anybody.
    pub async fn traffic(&self) -> RedisTraffic {
        let mut connection = self.connection().await;
        let all: String = redis::cmd("INFO").arg("all").query_async(&mut connection).await.unwrap();
        let number = |name: &str| {
            let line = all.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.parse::<u64>().unwrap()
        };
        // Those inside of scripts are among them; this question is not.
        let calls = all.lines().filter(|line| line.starts_with("cmdstat_") && !line.contains("info"));
        let calls = calls.map(|line| {
            let (_, rest) = line.split_once("calls=").unwrap();
            rest.split(',').next().unwrap().parse::<u64>().unwrap()
        });
        RedisTraffic {
            commands: calls.sum(),
            received: number("total_net_input_bytes:"),
            sent: number("total_net_output_bytes:"),
        }
    }

    /// All keys of the corner.
    pub async fn keys(&self) -> Vec<String> {
        let mut connection = self.connection().await;
        let (mut cursor, mut keys) = (0u64, Vec::new());
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{}*", self.prefix)).arg("COUNT").arg(1_000);
            let (next, some): (u64, Vec<String>) = scan.query_async(&mut connection).await.unwrap();
            keys.extend(some);
            if next == 0 {
                return keys;
            }
            cursor = next;
        }
    }

    /// Deletes what was made in the corner. Not done when a test fails: then someone may want to look at it.
    pub async fn clean(self) {
        let mut connection = self.connection().await;
        for keys in self.keys().await.chunks(1_000) {
            redis::cmd("UNLINK").arg(keys).exec_async(&mut connection).await.unwrap();
        }
    }
}
