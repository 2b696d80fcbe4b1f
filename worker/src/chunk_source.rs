//! The recording's bytes, read from the chunks in the object store.

use bytes::{Bytes, BytesMut};
use scriptorium_contracts::job::Layout;
use scriptorium_contracts::{JobId, objects};
use scriptorium_media::{ByteSource, ReadError};
use scriptorium_shared::objects::Objects;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Bytes of one block. Scanners and decoders walk forward in small steps; a block makes one request of many.
const BLOCK: u64 = 64 * 1024;
/// Blocks that one request fetches where the reader goes forward; elsewhere (sound between pictures) one alone.
const RUN: u64 = 8;
/// Blocks kept, the latest read first: 8 MiB a task, whatever the chunk's size.
const KEPT: usize = 128;
const TRIES: u32 = 4;

/// Reads chunks by ranges, on a thread that may block. Which chunks are there is asked of the object store itself, so a
/// chunk whose notice was lost is found too.
pub(crate) struct ChunkSource {
    objects: Objects,
    job: JobId,
    layout: Layout,
    runtime: Handle,
    cancelled: CancellationToken,
    /// Blocks by (chunk, number in the chunk), the latest used last.
    blocks: Mutex<VecDeque<((u32, u64), Bytes)>>,
}

impl ChunkSource {
    pub(crate) fn new(
        objects: Objects,
        job: JobId,
        layout: Layout,
        runtime: Handle,
        cancelled: CancellationToken,
    ) -> Self {
        Self { objects, job, layout, runtime, cancelled, blocks: Mutex::default() }
    }

    fn kept(&self, key: (u32, u64)) -> Option<Bytes> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let at = blocks.iter().position(|(kept, _)| *kept == key)?;
        let entry = blocks.remove(at)?;
        let bytes = entry.1.clone();
        blocks.push_back(entry);
        Some(bytes)
    }

    fn keep(&self, key: (u32, u64), bytes: Bytes) {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        while blocks.len() >= KEPT {
            blocks.pop_front();
        }
        blocks.push_back((key, bytes));
    }

    /// Block `number` of a chunk, whole but for the chunk's last one.
    fn block(&self, chunk: u32, number: u64) -> Result<Bytes, ReadError> {
        if let Some(bytes) = self.kept((chunk, number)) {
            return Ok(bytes);
        }
        let range =
            self.layout.range(chunk).ok_or_else(|| permanent("a chunk past the end was asked for"))?;
        let offset = number * BLOCK;
        let forward = (1..=2).all(|back| number >= back && self.kept((chunk, number - back)).is_some());
        let blocks = if forward { RUN } else { 1 };
        let wanted = (blocks * BLOCK).min(range.size().saturating_sub(offset));
        let bytes = self.fetch(chunk, offset, wanted as usize)?;
        if bytes.len() as u64 != wanted {
            return Err(permanent("a chunk's object is shorter than the chunk"));
        }
        let block = |index: usize| {
            let from = (index * BLOCK as usize).min(bytes.len());
            bytes.slice(from..bytes.len().min(from + BLOCK as usize))
        };
        // The one asked for last, so that it is the one kept longest.
        for index in (0..bytes.len().div_ceil(BLOCK as usize)).rev() {
            self.keep((chunk, number + index as u64), block(index));
        }
        Ok(block(0))
    }

    fn fetch(&self, chunk: u32, offset: u64, len: usize) -> Result<Bytes, ReadError> {
        let key = objects::chunk_key(self.job, chunk);
        self.runtime.block_on(async {
            for attempt in 1.. {
                let read = self.objects.read(&key, offset, len);
                let outcome = tokio::select! {
                    () = self.cancelled.cancelled() => return Err(ReadError::Cancelled),
                    outcome = read => outcome,
                };
                match outcome {
                    Ok(Some(bytes)) => return Ok(bytes),
                    Ok(None) => return Err(ReadError::Missing { chunk }),
                    Err(problem) if problem.retryable() && attempt < TRIES => {
                        tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
                    }
                    // Also what asking at once again does not mend, as credentials that the store does not know (yet): it
                    // says nothing about the recording, so the chunk is worth another try.
                    Err(problem) => {
                        return Err(ReadError::Io { what: problem.to_string(), retryable: true });
                    }
                }
            }
            Err(ReadError::Cancelled)
        })
    }
}

fn permanent(what: &str) -> ReadError {
    ReadError::Io { what: what.to_owned(), retryable: false }
}

impl ByteSource for ChunkSource {
    fn len(&self) -> u64 {
        self.layout.total_size()
    }

    fn read(&self, offset: u64, len: usize) -> Result<Bytes, ReadError> {
        if self.cancelled.is_cancelled() {
            return Err(ReadError::Cancelled);
        }
        let end = offset.saturating_add(len as u64).min(self.len());
        let mut at = offset;
        let mut first = None;
        let mut rest = BytesMut::new();
        while at < end {
            let Some((chunk, range)) =
                self.layout.chunk_of(at).and_then(|chunk| Some((chunk, self.layout.range(chunk)?)))
            else {
                break;
            };
            let inside = at - range.first;
            let block = self.block(chunk, inside / BLOCK)?;
            let from = (inside % BLOCK) as usize;
            let piece = block.slice(from..block.len().min(from + (end - at) as usize));
            at += piece.len() as u64;
            // Most reads lie in one block: no copy then.
            match &first {
                None => first = Some(piece),
                Some(_) => rest.extend_from_slice(&piece),
            }
        }
        Ok(match first {
            None => Bytes::new(),
            Some(only) if rest.is_empty() => only,
            Some(begin) => [begin.as_ref(), rest.as_ref()].concat().into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scriptorium_shared::objects::{Access, ObjectsConfig};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    /// A store that answers every request with this status.
    async fn store(status: &'static str) -> (Objects, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let _ = client.read(&mut vec![0; 64 << 10]).await;
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                let _ = client.write_all(answer.as_bytes()).await;
            }
        });
        let keys = Access::Keys { access_key: "a".to_owned(), secret_key: "b".to_owned() };
        let objects = Objects::new(ObjectsConfig {
            endpoint,
            public_endpoint: None,
            bucket: "recordings".to_owned(),
            region: "us-east-1".to_owned(),
            access: keys,
        });
        (objects.unwrap(), server)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_that_refuses_says_nothing_about_the_recording() {
        let (objects, _server) = store("403 Forbidden").await;
        let layout = Layout::new(1_000, 100).unwrap();
        let job = "0190b6a4-7b1c-7000-8000-000000000001".parse().unwrap();
        let source = ChunkSource::new(objects, job, layout, Handle::current(), CancellationToken::new());
        let read = tokio::task::spawn_blocking(move || source.read(0, 10)).await.unwrap();
        assert!(matches!(read, Err(ReadError::Io { retryable: true, .. })), "{read:?}");
    }
}
