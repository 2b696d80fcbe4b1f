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
                    Err(problem) => {
                        return Err(ReadError::Io {
                            what: problem.to_string(),
                            retryable: problem.retryable(),
                        });
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
