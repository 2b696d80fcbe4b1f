//! Random access to the bytes of a recording, and a sliding view on them for the scanners.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;

use crate::error::ReadError;

/// Random access to the recording's bytes, of which perhaps only some chunks are uploaded yet.
///
/// Synchronous: it is called on threads that may block.
pub trait ByteSource: Send + Sync {
    /// Length of the whole recording in bytes, uploaded or not.
    fn len(&self) -> u64;

    /// `len` bytes from `offset` on; fewer only where the recording ends.
    ///
    /// # Errors
    /// [`ReadError::Missing`] if any of these bytes lies in a chunk that is not uploaded yet.
    fn read(&self, offset: u64, len: usize) -> Result<Bytes, ReadError>;

    /// Whether the recording has no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A recording held in memory.
#[derive(Clone, Debug)]
pub struct MemorySource(Bytes);

impl MemorySource {
    /// Takes the whole recording.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }
}

impl ByteSource for MemorySource {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64, len: usize) -> Result<Bytes, ReadError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let end = start.saturating_add(len).min(self.0.len());
        Ok(self.0.slice(start..end))
    }
}

/// A recording in a file of this machine.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    len: u64,
}

impl FileSource {
    /// Opens the file; its length is taken once, now.
    ///
    /// # Errors
    /// [`ReadError::Io`] if the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(|error| io_error(&error))?;
        let len = file.metadata().map_err(|error| io_error(&error))?.len();
        Ok(Self { file, len })
    }
}

impl ByteSource for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, len: usize) -> Result<Bytes, ReadError> {
        let available = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut buffer = vec![0u8; len.min(available)];
        self.file.read_exact_at(&mut buffer, offset).map_err(|error| io_error(&error))?;
        Ok(buffer.into())
    }
}

fn io_error(error: &std::io::Error) -> ReadError {
    ReadError::Io { what: error.to_string(), retryable: error.kind() == std::io::ErrorKind::Interrupted }
}

/// How far a [`Span`] reads ahead of what was asked for, where those bytes are there.
const READ_AHEAD: u64 = 64 * 1024;
/// Bytes kept behind the last request; scanners look back less than this.
const KEEP_BEHIND: u64 = 1024 * 1024;

/// A contiguous part of the recording that slides along with its reader.
///
/// Memory is bounded by the longest slice asked for plus [`KEEP_BEHIND`] and [`READ_AHEAD`]. Reading ahead never
/// makes a chunk "needed": if it meets one that is missing, only the bytes asked for are read.
pub(crate) struct Span<'a> {
    source: &'a dyn ByteSource,
    start: u64,
    data: Vec<u8>,
}

impl<'a> Span<'a> {
    pub(crate) fn new(source: &'a dyn ByteSource) -> Self {
        Self { source, start: 0, data: Vec::new() }
    }

    pub(crate) fn source_len(&self) -> u64 {
        self.source.len()
    }

    /// Bytes `from..to` of the recording, fewer only where it ends.
    pub(crate) fn slice(&mut self, from: u64, to: u64) -> Result<&[u8], ReadError> {
        self.slice_ahead(from, to, READ_AHEAD)
    }

    /// As [`Span::slice`], but reads at most `ahead` bytes at once beyond what was asked for: for those who know that the
    /// bytes behind are not wanted.
    pub(crate) fn slice_ahead(&mut self, from: u64, to: u64, ahead: u64) -> Result<&[u8], ReadError> {
        let to = to.min(self.source.len()).max(from);
        if from < self.start || from > self.end() {
            self.data.clear();
            self.start = from;
        }
        if from - self.start > 2 * KEEP_BEHIND {
            let drop = from - self.start - KEEP_BEHIND;
            self.data.drain(..usize::try_from(drop).unwrap_or(usize::MAX).min(self.data.len()));
            self.start += drop;
        }
        while self.end() < to {
            let at = self.end();
            let bytes = self.read_ahead(at, to - at, ahead.min(READ_AHEAD))?;
            if bytes.is_empty() {
                break;
            }
            self.data.extend_from_slice(&bytes);
        }
        let first = index(from - self.start).min(self.data.len());
        let last = index(to - self.start).min(self.data.len());
        Ok(&self.data[first..last])
    }

    fn end(&self) -> u64 {
        self.start + self.data.len() as u64
    }

    fn read_ahead(&self, at: u64, needed: u64, mut ahead: u64) -> Result<Bytes, ReadError> {
        loop {
            // Never more than a few blocks at once, whatever was asked for.
            let wanted = needed.min(4 * READ_AHEAD).max(ahead);
            match self.source.read(at, index(wanted)) {
                Err(ReadError::Missing { .. }) if wanted > needed => ahead /= 2,
                result => return result,
            }
        }
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
