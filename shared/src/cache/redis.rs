//! The cache in Redis, for all workers together: a string a value, which ends by itself.

use super::{CacheKey, MAX_VALUE};
use crate::redis::{Link, RedisConfig, RedisError, Request};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Longer than a connection takes that is made anew. A window of speech takes about as long to compute, so longer waits are
/// not worth it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Clones share the connection.
#[derive(Clone, Debug)]
pub struct RedisCache {
    link: Link,
    prefix: Arc<str>,
}

impl RedisCache {
    /// Connects with the first call: nobody waits for a cache.
    ///
    /// # Errors
    /// The URL or the prefix is none.
    pub fn new(config: &RedisConfig) -> Result<Self, RedisError> {
        let link = Link::with_patience(config.nodes()?, PATIENCE);
        Ok(Self { link, prefix: config.prefix.as_str().into() })
    }

    fn name(&self, key: &CacheKey) -> String {
        format!("{}:cache:{}", self.prefix, hex::encode(key))
    }

    pub(super) async fn get(&self, key: &CacheKey) -> Result<Option<Bytes>, RedisError> {
        // Not GET: whatever somebody has put there, no more than this comes.
        let mut command = redis::cmd("GETRANGE");
        command.arg(self.name(key)).arg(0).arg(MAX_VALUE);
        match self.link.call::<Vec<u8>>(Request::Command(&command)).await {
            // Empty: there is none.
            Ok(value) if value.is_empty() || value.len() > MAX_VALUE => Ok(None),
            Ok(value) => Ok(Some(value.into())),
            Err(RedisError::WrongType { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn put(&self, key: &CacheKey, value: &[u8], ttl_ms: u64) -> Result<(), RedisError> {
        let mut command = redis::cmd("SET");
        command.arg(self.name(key)).arg(value).arg("PX").arg(ttl_ms);
        self.link.call(Request::Command(&command)).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cache, CacheError};
    use super::*;
    use crate::testing::RedisCorner;
    use crate::tls::Tls;
    use std::time::Instant;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    const KEY: CacheKey = [7; 32];

    #[tokio::test(flavor = "multi_thread")]
    async fn keeps_the_promises_of_a_cache() {
        let Some(corner) = RedisCorner::new() else { return };
        let make = async || Cache::Redis(RedisCache::new(&corner.part()).unwrap());
        crate::testing::cache_contract(make).await;
        corner.clean().await;
    }

    #[tokio::test]
    async fn another_process_finds_it_and_every_key_ends() {
        let Some(corner) = RedisCorner::new() else { return };
        let [one, other] = [(), ()].map(|()| RedisCache::new(&corner.config()).unwrap());
        one.put(&KEY, b"text", 86_400_000).await.unwrap();
        assert_eq!(other.get(&KEY).await.unwrap().unwrap(), "text");
        let mut connection = corner.connection().await;
        let keys = corner.keys().await;
        assert_eq!(keys.len(), 1);
        let left: i64 = redis::cmd("PTTL").arg(&keys[0]).query_async(&mut connection).await.unwrap();
        assert!((86_000_000..=86_400_000).contains(&left), "{left}");
        corner.clean().await;
    }

    #[tokio::test]
    async fn what_others_put_there_is_no_value() {
        let Some(corner) = RedisCorner::new() else { return };
        let cache = RedisCache::new(&corner.config()).unwrap();
        let (name, mut connection) = (cache.name(&KEY), corner.connection().await);
        redis::cmd("LPUSH").arg(&name).arg("x").exec_async(&mut connection).await.unwrap();
        assert_eq!(cache.get(&KEY).await.unwrap(), None, "a list");
        cache.put(&KEY, b"text", 60_000).await.unwrap();
        assert_eq!(cache.get(&KEY).await.unwrap().unwrap(), "text");
        redis::cmd("SET").arg(&name).arg(vec![b'x'; 8 << 20]).exec_async(&mut connection).await.unwrap();
        assert_eq!(cache.get(&KEY).await.unwrap(), None, "eight megabytes");
        corner.clean().await;
    }

    /// As a worker that dies while it sends.
    #[tokio::test]
    async fn half_a_command_leaves_nothing() {
        let Some(corner) = RedisCorner::new() else { return };
        let cache = RedisCache::new(&corner.config()).unwrap();
        let address = corner.config().nodes().unwrap().address;
        let whole: CacheKey = [8; 32];
        let mut stream = TcpStream::connect(address).await.unwrap();
        let url = corner.config().url;
        let credentials =
            url.split_once("://").and_then(|(_, rest)| Some(rest.split_once('@')?.0.to_owned()));
        if let Some((_, password)) = credentials.as_deref().and_then(|found| found.split_once(':')) {
            stream.write_all(format!("AUTH {password}\r\n").as_bytes()).await.unwrap();
        }
        for (key, sent) in [(&whole, 1_000), (&KEY, 500)] {
            let name = cache.name(key);
            let head = format!("*3\r\n$3\r\nSET\r\n${}\r\n{name}\r\n$1000\r\n", name.len());
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&vec![b'x'; sent]).await.unwrap();
            if sent == 1_000 {
                stream.write_all(b"\r\n").await.unwrap();
            }
        }
        stream.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        drop(stream);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(cache.get(&whole).await.unwrap().unwrap().len(), 1_000);
        assert_eq!(cache.get(&KEY).await.unwrap(), None);
        corner.clean().await;
    }

    /// One refuses connections, one takes them and says nothing.
    #[tokio::test]
    async fn one_that_does_not_answer_costs_a_bounded_time() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        for address in [silent.local_addr().unwrap(), gone] {
            let url = format!("redis://{address}");
            let (prefix, job_ttl) = ("test".to_owned(), Duration::from_secs(60));
            let config = RedisConfig { url, prefix, job_ttl, tls: Tls::default() };
            let cache = Cache::Redis(RedisCache::new(&config).unwrap());
            let begun = Instant::now();
            assert!(matches!(cache.get(&KEY).await, Err(CacheError::Redis(_))), "{address}");
            let took = begun.elapsed();
            assert!(took < PATIENCE + Duration::from_secs(20), "{took:?}");
        }
    }
}
