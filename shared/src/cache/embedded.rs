//! The cache in an SQLite file of its own: it may be deleted at any time, and the job store's commits do not wait for it.

use super::{CacheError, CacheKey, MAX_VALUE};
use crate::clock;
use crate::store::embedded::schema::failed;
use crate::store::embedded::thread::{StoreThread, write_together};
use bytes::Bytes;
use futures::future::BoxFuture;
use rusqlite::{Connection, OptionalExtension, params};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Of the tables; a file with another one is made anew.
const SCHEMA: i64 = 1;
/// Bytes that a row is taken to need besides its value.
const BESIDES: u64 = 128;
/// What SQLite makes beside the file.
const COMPANIONS: [&str; 3] = ["", "-wal", "-shm"];
/// Rows that go at once where room is needed.
const AT_ONCE: i64 = 64;

const TABLES: &str = "
    CREATE TABLE entries (
        key BLOB NOT NULL UNIQUE,
        expires INTEGER NOT NULL,
        value BLOB NOT NULL
    ) STRICT;
    CREATE INDEX entries_expires ON entries (expires);
    -- One row: the bytes of all entries, kept by the triggers so that nobody has to add them up.
    CREATE TABLE room (used INTEGER NOT NULL) STRICT;
    INSERT INTO room (used) VALUES (0);
    CREATE TRIGGER entry_added AFTER INSERT ON entries
        BEGIN UPDATE room SET used = used + length(new.value) + 128; END;
    CREATE TRIGGER entry_gone AFTER DELETE ON entries
        BEGIN UPDATE room SET used = used - length(old.value) - 128; END;
";

/// Clones share the thread, which ends when the last clone is gone.
#[derive(Clone, Debug)]
pub struct EmbeddedCache {
    thread: Arc<StoreThread>,
    max_bytes: u64,
}

impl EmbeddedCache {
    /// Opens the file, or makes it; one that is damaged or of another version is made anew. Its folder must exist, and no other
    /// process may use it. Blocks while the file is read once.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn open(path: &Path, max_bytes: u64) -> Result<Self, CacheError> {
        let connection = match connect(path) {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the cache's file can't be used; it is made anew");
                Self::remove(path).map_err(|error| CacheError::File { detail: error.to_string() })?;
                connect(path).map_err(|error| CacheError::from(failed(&error)))?
            }
        };
        let thread = Arc::new(StoreThread::start("cache", connection, None, write_together)?);
        Ok(Self { thread, max_bytes })
    }

    /// Removes the file and what belongs to it, if it is there.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn remove(path: &Path) -> io::Result<()> {
        for ending in COMPANIONS {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            match std::fs::remove_file(PathBuf::from(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    pub(super) fn get<'a>(&'a self, key: &'a CacheKey) -> BoxFuture<'a, Result<Option<Bytes>, CacheError>> {
        let key = *key;
        Box::pin(async move {
            let work = move |connection: &Connection| {
                read(connection, &key, clock::now().0).map_err(|error| failed(&error))
            };
            let value: Option<Vec<u8>> = self.thread.run(work).await?;
            Ok(value.filter(|value| value.len() <= MAX_VALUE).map(Bytes::from))
        })
    }

    pub(super) fn put<'a>(
        &'a self,
        key: &'a CacheKey,
        value: Bytes,
        ttl_ms: u64,
    ) -> BoxFuture<'a, Result<(), CacheError>> {
        let (key, max_bytes) = (*key, self.max_bytes);
        Box::pin(async move {
            let work = move |connection: &Connection| {
                write(connection, &key, &value, clock::now().0, ttl_ms, max_bytes)
                    .map_err(|error| failed(&error))
            };
            Ok(self.thread.run(work).await?)
        })
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // The file stays sound whatever dies; that the last entries may be missing after a power failure is no loss.
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "cache_size", -4_096)?;
    connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found == 0 {
        let version = format!("PRAGMA user_version = {SCHEMA}");
        connection.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} {version}; COMMIT"))?;
    }
    let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if sound != "ok" || !matches!(found, 0 | SCHEMA) {
        return Err(rusqlite::Error::InvalidQuery);
    }
    remove_expired(&connection, clock::now().0)?;
    Ok(connection)
}

fn read(connection: &Connection, key: &CacheKey, now: u64) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT value FROM entries WHERE key = ?1 AND expires > ?2")?
        .query_row(params![key, stored(now)], |row| row.get(0))
        .optional()
}

fn write(
    connection: &Connection,
    key: &CacheKey,
    value: &[u8],
    now: u64,
    ttl_ms: u64,
    max_bytes: u64,
) -> rusqlite::Result<()> {
    remove_expired(connection, now)?;
    connection.prepare_cached("DELETE FROM entries WHERE key = ?1")?.execute(params![key])?;
    let needed = (value.len() as u64).saturating_add(BESIDES);
    if needed > max_bytes {
        return Ok(());
    }
    // The oldest go: what is used often is in the memory of those who use it.
    while used(connection)?.saturating_add(needed) > max_bytes {
        let gone = connection
            .prepare_cached(
                "DELETE FROM entries WHERE rowid IN (SELECT rowid FROM entries ORDER BY expires LIMIT ?1)",
            )?
            .execute(params![AT_ONCE])?;
        if gone == 0 {
            break;
        }
    }
    let expires = stored(now.saturating_add(ttl_ms));
    connection
        .prepare_cached("INSERT INTO entries (key, expires, value) VALUES (?1, ?2, ?3)")?
        .execute(params![key, expires, value])?;
    Ok(())
}

fn remove_expired(connection: &Connection, now: u64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM entries WHERE expires <= ?1")?.execute(params![stored(now)])?;
    Ok(())
}

fn used(connection: &Connection) -> rusqlite::Result<u64> {
    let used: i64 = connection.prepare_cached("SELECT used FROM room")?.query_row([], |row| row.get(0))?;
    Ok(u64::try_from(used).unwrap_or(0))
}

/// SQLite's numbers have a sign.
fn stored(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::Cache;
    use super::*;
    use std::fs;

    const HOUR: u64 = 3_600_000;

    fn key(number: u32) -> CacheKey {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_le_bytes());
        key
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keeps_the_promises_of_a_cache() {
        let folder = tempfile::tempdir().unwrap();
        let made = std::sync::atomic::AtomicU32::new(0);
        let make = async || {
            let number = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let path = folder.path().join(format!("{number}.sqlite"));
            Cache::Embedded(EmbeddedCache::open(&path, 64 << 20).unwrap())
        };
        crate::testing::cache_contract(make).await;
    }

    #[tokio::test]
    async fn it_takes_no_more_room_than_it_was_given_and_the_oldest_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache.sqlite");
        let cache = EmbeddedCache::open(&path, 1 << 20).unwrap();
        for number in 0..4_000 {
            cache.put(&key(number), vec![b'x'; 1_000].into(), HOUR + u64::from(number)).await.unwrap();
        }
        let kept = async |number: u32| cache.get(&key(number)).await.unwrap().is_some();
        assert!(kept(3_999).await && kept(3_200).await && !kept(0).await && !kept(2_900).await);
        let size: u64 = COMPANIONS
            .iter()
            .filter_map(|ending| fs::metadata(folder.path().join(format!("cache.sqlite{ending}"))).ok())
            .map(|file| file.len())
            .sum();
        assert!(size < 8 << 20, "{size} bytes");
        // One that has no room at all pushes nothing out.
        let small = EmbeddedCache::open(&folder.path().join("small.sqlite"), 2_000).unwrap();
        small.put(&key(1), vec![b'x'; 1_000].into(), HOUR).await.unwrap();
        small.put(&key(2), vec![b'x'; 4_000].into(), HOUR).await.unwrap();
        assert!(small.get(&key(1)).await.unwrap().is_some());
        assert!(small.get(&key(2)).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn it_is_there_after_a_new_start_unless_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache.sqlite");
        let open = || EmbeddedCache::open(&path, 1 << 20).unwrap();
        open().put(&key(1), Bytes::from_static(b"text"), HOUR).await.unwrap();
        open().put(&key(2), Bytes::from_static(b"short"), 1).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        let cache = open();
        assert_eq!(cache.get(&key(1)).await.unwrap().unwrap(), "text");
        assert_eq!(cache.get(&key(2)).await.unwrap(), None);
        let rows = |connection: &Connection| {
            connection.query_row("SELECT count(*), (SELECT used FROM room) FROM entries", [], |row| {
                Ok((row.get::<_, u32>(0)?, row.get::<_, i64>(1)?))
            })
        };
        let counted = cache.thread.run(move |connection| rows(connection).map_err(|error| failed(&error)));
        assert_eq!(counted.await.unwrap(), (1, 4 + BESIDES as i64));
        drop(cache);
        EmbeddedCache::remove(&path).unwrap();
        EmbeddedCache::remove(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_file_that_is_damaged_or_of_another_version_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache.sqlite");
        for damage in ["text", "pages", "version"] {
            EmbeddedCache::remove(&path).unwrap();
            let cache = EmbeddedCache::open(&path, 1 << 20).unwrap();
            for number in 0..200 {
                cache.put(&key(number), vec![b'x'; 3_000].into(), HOUR).await.unwrap();
            }
            drop(cache);
            match damage {
                "text" => fs::write(&path, "no database at all ".repeat(500)).unwrap(),
                "pages" => {
                    let mut bytes = fs::read(&path).unwrap();
                    bytes[4_096..60_000].fill(0xa5);
                    fs::write(&path, bytes).unwrap();
                }
                _ => Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap(),
            }
            let cache = EmbeddedCache::open(&path, 1 << 20).unwrap();
            assert_eq!(cache.get(&key(199)).await.unwrap(), None, "{damage}");
            cache.put(&key(1), Bytes::from_static(b"text"), HOUR).await.unwrap();
            assert_eq!(cache.get(&key(1)).await.unwrap().unwrap(), "text", "{damage}");
        }
    }
}
