//! The recording on this machine's disk.

use bytes::Bytes;
use futures::{Stream, StreamExt};
use scriptorium_contracts::job::MAX_FILE_SIZE;
use std::fs::Metadata;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use thiserror::Error;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

/// Bytes that are read at once.
const BLOCK: usize = 256 << 10;

/// Why a file is no recording that can be uploaded.
#[derive(Debug, Error)]
pub enum SourceError {
    #[error("cannot read {path}: {source}", path = .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} is a folder, not a recording", path = .path.display())]
    Folder { path: PathBuf },
    #[error("{path} is not a regular file; save the recording to one first", path = .path.display())]
    Special { path: PathBuf },
    #[error("{path} is empty", path = .path.display())]
    Empty { path: PathBuf },
    #[error("{path} has {size} bytes; a recording may have {MAX_FILE_SIZE} (10 GB) at most", path = .path.display())]
    TooLarge { path: PathBuf, size: u64 },
    #[error("{path} was changed while it was being uploaded; try again when nothing writes to it any more", path = .path.display())]
    Changed { path: PathBuf },
}

/// A file that is to stay as it is while it is uploaded.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    size: u64,
    modified: Option<SystemTime>,
}

impl Source {
    /// Looks at the file, and that it can be opened.
    ///
    /// # Errors
    /// It is no regular file, empty, too large, or cannot be read.
    pub async fn open(path: &Path) -> Result<Self, SourceError> {
        let path = path.to_owned();
        let unreadable = |source| SourceError::Unreadable { path: path.clone(), source };
        // Before it is opened: opening a pipe would wait for a writer.
        let metadata = tokio::fs::metadata(&path).await.map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(SourceError::Folder { path });
        }
        if !metadata.is_file() {
            return Err(SourceError::Special { path });
        }
        let file = File::open(&path).await.map_err(unreadable)?;
        let metadata = file.metadata().await.map_err(unreadable)?;
        match metadata.len() {
            0 => Err(SourceError::Empty { path }),
            size if size > MAX_FILE_SIZE => Err(SourceError::TooLarge { path, size }),
            size => Ok(Self { size, modified: modified(&metadata), path }),
        }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The name without folders, as the server is told it.
    pub fn name(&self) -> String {
        self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// The `size` bytes from `first` on, in blocks.
    ///
    /// # Errors
    /// The file cannot be read or is not the one that was looked at. The stream's own errors are of the same kinds.
    pub async fn read(
        &self,
        first: u64,
        size: u64,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static, SourceError> {
        let unreadable = |error| self.unreadable(error);
        let mut file = File::open(&self.path).await.map_err(unreadable)?;
        self.same(&file.metadata().await.map_err(unreadable)?)?;
        file.seek(SeekFrom::Start(first)).await.map_err(unreadable)?;
        Ok(ReaderStream::with_capacity(file.take(size), BLOCK).boxed())
    }

    /// Whether the file is still the one that was looked at.
    ///
    /// # Errors
    /// [`SourceError::Changed`], or it is gone.
    pub async fn unchanged(&self) -> Result<(), SourceError> {
        let metadata = tokio::fs::metadata(&self.path).await;
        self.same(&metadata.map_err(|error| self.unreadable(error))?)
    }

    /// A failure to read this file.
    pub fn unreadable(&self, source: io::Error) -> SourceError {
        SourceError::Unreadable { path: self.path.clone(), source }
    }

    fn same(&self, metadata: &Metadata) -> Result<(), SourceError> {
        if metadata.len() == self.size && modified(metadata) == self.modified {
            Ok(())
        } else {
            Err(SourceError::Changed { path: self.path.clone() })
        }
    }
}

fn modified(metadata: &Metadata) -> Option<SystemTime> {
    metadata.modified().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn what_is_no_recording_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("empty"), b"").unwrap();
        std::fs::File::create(path("huge")).unwrap().set_len(MAX_FILE_SIZE + 1).unwrap();
        std::fs::File::create(path("largest")).unwrap().set_len(MAX_FILE_SIZE).unwrap();
        assert!(matches!(Source::open(dir.path()).await, Err(SourceError::Folder { .. })));
        assert!(matches!(Source::open(&path("missing")).await, Err(SourceError::Unreadable { .. })));
        assert!(matches!(Source::open(&path("empty")).await, Err(SourceError::Empty { .. })));
        assert!(matches!(Source::open(&path("huge")).await, Err(SourceError::TooLarge { .. })));
        assert!(matches!(Source::open(Path::new("/dev/zero")).await, Err(SourceError::Special { .. })));
        assert_eq!(Source::open(&path("largest")).await.unwrap().size(), MAX_FILE_SIZE);
    }

    #[tokio::test]
    async fn a_range_is_read_and_a_change_is_noticed() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let content: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
        file.write_all(&content).unwrap();
        let source = Source::open(file.path()).await.unwrap();
        let blocks: Vec<_> = source.read(300_001, 600_000).await.unwrap().collect().await;
        let bytes: Vec<u8> = blocks.into_iter().flat_map(|block| block.unwrap().to_vec()).collect();
        assert_eq!(bytes, &content[300_001..900_001]);
        source.unchanged().await.unwrap();

        file.write_all(b"more").unwrap();
        assert!(matches!(source.unchanged().await, Err(SourceError::Changed { .. })));
        assert!(matches!(source.read(0, 10).await.err(), Some(SourceError::Changed { .. })));
        file.as_file().set_len(500_000).unwrap();
        assert!(matches!(source.unchanged().await, Err(SourceError::Changed { .. })));
    }
}
