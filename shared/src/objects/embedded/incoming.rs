//! An object on its way in: a file beside the bucket that nobody sees until it is whole and safe on the disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};
use s3s::checksum::ChecksumHasher;
use s3s::dto::Checksum;
use uuid::Uuid;

use super::footer::{ContentType, Footer};

/// A file that goes away unless it is [`TemporaryFile::keep`]t. What a killed process leaves is swept at the next start.
pub struct TemporaryFile(Option<PathBuf>);

impl TemporaryFile {
    /// Gives the file the object's name, atomically in place of an older one.
    pub fn keep(mut self, name: &Path) -> Result<(), (io::Error, Self)> {
        let Some(path) = self.0.take() else { return Ok(()) };
        match fs::rename(&path, name) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.0 = Some(path);
                Err((error, self))
            }
        }
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if let Some(path) = self.0.take()
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::warn!(%error, "an unfinished upload could not be removed; the next start removes it");
        }
    }
}

/// The file, and the running sums of what went into it. All of it blocks: call it where that is allowed.
pub struct Incoming {
    file: File,
    temporary: TemporaryFile,
    length: u64,
    md5: Md5,
    checksums: ChecksumHasher,
}

/// An object that is whole and synced, but not yet visible.
pub struct Received {
    pub temporary: TemporaryFile,
    pub footer: Footer,
}

impl Incoming {
    /// `checksums`: which sums besides MD5 the client declared.
    pub fn create(folder: &Path, checksums: ChecksumHasher) -> io::Result<Self> {
        let path = folder.join(Uuid::new_v4().to_string());
        let file = File::options().write(true).create_new(true).open(&path)?;
        let temporary = TemporaryFile(Some(path));
        Ok(Self { file, temporary, length: 0, md5: Md5::new(), checksums })
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.md5.update(bytes);
        self.checksums.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Ends the sums: the caller compares them before it makes the object safe.
    pub fn sums(self) -> (Unsynced, Checksum) {
        let md5 = self.md5.finalize().into();
        let unsynced = Unsynced { file: self.file, temporary: self.temporary, length: self.length, md5 };
        (unsynced, self.checksums.finalize())
    }
}

/// All bytes are in, none is safe yet.
pub struct Unsynced {
    file: File,
    temporary: TemporaryFile,
    length: u64,
    pub md5: [u8; 16],
}

impl Unsynced {
    /// Adds the footer and waits for the disk.
    pub fn sync(mut self, content_type: ContentType) -> io::Result<Received> {
        let footer = Footer { length: self.length, md5: self.md5, content_type };
        self.file.write_all(&footer.encode())?;
        self.file.sync_all()?;
        Ok(Received { temporary: self.temporary, footer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_file_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let mut incoming = Incoming::create(folder.path(), ChecksumHasher::default()).unwrap();
        incoming.write(b"half").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(incoming);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_kept_file_has_its_bytes_and_footer() {
        let folder = tempfile::tempdir().unwrap();
        let mut incoming = Incoming::create(folder.path(), ChecksumHasher::default()).unwrap();
        incoming.write(b"wh").unwrap();
        incoming.write(b"ole").unwrap();
        let (unsynced, _) = incoming.sums();
        assert_eq!(unsynced.md5, <[u8; 16]>::from(Md5::digest(b"whole")));
        let received = unsynced.sync(ContentType::parse(None).unwrap()).unwrap();
        let name = folder.path().join("name");
        assert!(received.temporary.keep(&name).is_ok());
        let mut file = File::open(&name).unwrap();
        assert_eq!(Footer::read(&mut file).unwrap(), received.footer);
        assert_eq!(fs::read(&name).unwrap()[..5], *b"whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
