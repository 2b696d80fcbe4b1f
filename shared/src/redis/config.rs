//! Where Redis is and what of it is ours.

use super::RedisError;
use crate::tls::Tls;
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates};
use std::fmt;
use std::time::Duration;

/// A prefix longer than this would be paid for in every key.
const MAX_PREFIX: usize = 64;
/// The shortest time for which a finished job may be kept; less is a mistake in the unit.
const MIN_JOB_TTL: Duration = Duration::from_secs(1);
/// Redis counts milliseconds in a signed number; nobody means to keep a job for longer.
const MAX_JOB_TTL: Duration = Duration::from_secs(100 * 366 * 86_400);

/// The first ones that answer tell of the others.
const MAX_NODES: usize = 32;

/// A single Redis, or some nodes of a Redis Cluster; at least one.
pub(crate) struct Nodes {
    pub clients: Vec<Client>,
    /// Hosts and ports, for logs.
    pub address: String,
    /// If they are reached by TLS. (A client of a cluster that is given any takes it that they are.)
    pub certificates: Option<TlsCertificates>,
}

/// How Redis is reached. `Debug` leaves out the URL, which may hold a password.
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis://[user][:password@]host[:port][/database]`, `rediss://` for TLS. Of a Redis Cluster one of its nodes, or
    /// several, separated by commas, should one be away at the start. Secret.
    pub url: String,
    /// All keys and channels begin with it; those who share it see the same jobs.
    pub prefix: String,
    /// For how long a job is kept after its last change, once it is final and its objects are released.
    pub job_ttl: Duration,
    /// For `rediss://`.
    pub tls: Tls,
}

impl RedisConfig {
    /// The name that keys begin with unless told otherwise.
    pub const DEFAULT_PREFIX: &str = "scriptorium";

    /// The clients, without a connection. Refuses settings that can't be right.
    pub(crate) fn nodes(&self) -> Result<Nodes, RedisError> {
        self.check()?;
        // The library's errors about URLs do not repeat them, but nothing promises that: they are not shown.
        let refused = |_| {
            RedisError::refused(
                "the URL of Redis must be redis://… or rediss://…, as in redis://127.0.0.1:6379",
            )
        };
        let certificates = self.tls.for_redis();
        let (mut clients, mut addresses, mut by_tls) = (Vec::new(), Vec::new(), false);
        for url in self.url.split(',').map(str::trim) {
            let info: ConnectionInfo = url.into_connection_info().map_err(refused)?;
            let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
            addresses.push(info.addr().to_string());
            let client = if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
                by_tls = true;
                Client::build_with_tls(info, certificates.clone()).map_err(|error| RedisError::Refused {
                    detail: format!("the certificates for Redis can't be used: {error}"),
                })?
            } else {
                Client::open(info).map_err(refused)?
            };
            clients.push(client);
        }
        if clients.len() > MAX_NODES {
            return Err(RedisError::refused("too many addresses of Redis: some nodes of a cluster will do"));
        }
        Ok(Nodes { clients, address: addresses.join(","), certificates: by_tls.then_some(certificates) })
    }

    fn check(&self) -> Result<(), RedisError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if self.prefix.is_empty() || self.prefix.len() > MAX_PREFIX || !self.prefix.bytes().all(plain) {
            // Braces would change which slot a key is in.
            let detail = "the prefix of the Redis keys must be 1 to 64 letters, digits, or any of - _ . :";
            return Err(RedisError::refused(detail));
        }
        if self.job_ttl < MIN_JOB_TTL || self.job_ttl > MAX_JOB_TTL {
            return Err(RedisError::refused(
                "finished jobs must be kept between a second and a hundred years",
            ));
        }
        Ok(())
    }
}

/// Where commits and notifiers say which job it was.
pub(crate) fn wake_channel(config: &RedisConfig) -> String {
    format!("{}:wakes", config.prefix)
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, prefix, job_ttl, tls } = self;
        f.debug_struct("RedisConfig")
            .field("prefix", prefix)
            .field("job_ttl", job_ttl)
            .field("tls", tls)
            .finish_non_exhaustive()
    }
}
