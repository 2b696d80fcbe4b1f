//! Recordings in the bucket for imports.

use super::answer::{Found, is_other};
use super::error::SourceError;
use crate::objects::Imports;
use bytes::Bytes;
use scriptorium_contracts::job::{ChunkRange, MAX_FILE_SIZE};

/// What the object with this whole key is.
pub(super) async fn look(imports: Option<&Imports>, key: &str) -> Result<Found, SourceError> {
    let imports = imports.ok_or(SourceError::NoBucket)?;
    let head = imports.head(key).await.map_err(SourceError::Bucket)?.ok_or(SourceError::NoSuchKey)?;
    match head.size {
        0 => Err(SourceError::Empty),
        size if size > MAX_FILE_SIZE => Err(SourceError::TooLarge(size)),
        size => Ok(Found { size, version: head.tag, ranges: true }),
    }
}

/// A part of it, if it is still the same object.
pub(super) async fn part(
    imports: Option<&Imports>,
    key: &str,
    range: ChunkRange,
    of: &Found,
) -> Result<Bytes, SourceError> {
    let imports = imports.ok_or(SourceError::NoBucket)?;
    let size = usize::try_from(range.size()).unwrap_or(usize::MAX);
    let part = imports.read(key, range.first, size).await.map_err(SourceError::Bucket)?;
    let part = part.ok_or(SourceError::NoSuchKey)?;
    if part.bytes.len() != size || is_other(of.version.as_deref(), part.tag.as_deref()) {
        return Err(SourceError::Changed);
    }
    Ok(part.bytes)
}
