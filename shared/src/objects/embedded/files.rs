//! The folder that holds the objects. All of it blocks: call it where that is allowed.
//!
//! ```text
//! DIR/lock              held while a process serves the folder
//! DIR/incoming/…        uploads on their way in; swept when the folder is opened
//! DIR/<bucket>/…        objects, a folder a segment of the key
//! ```
//!
//! Promises: an object is visible only whole, with its bytes, its name and its folders on the disk; replacing one is
//! atomic, and whoever reads the older one reads it to its end; a folder goes away with its last object.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::SystemTime;

use s3s::checksum::ChecksumHasher;

use super::OpenError;
use super::footer::Footer;
use super::incoming::{Incoming, Received};
use super::keys::{Key, MAX_SEGMENTS};
use super::listing::{self, Page};

pub struct Files {
    bucket: PathBuf,
    incoming: PathBuf,
    /// Shared: somebody names a file in a folder. Alone: folders are made or removed. So no folder is removed between
    /// being made for an object and receiving it, and a folder that is seen is on the disk already.
    folders: RwLock<()>,
    _lock: File,
}

/// An object that was found. The file stays readable whatever happens to the name.
pub struct Found {
    pub file: File,
    pub footer: Footer,
    pub modified: SystemTime,
}

impl Files {
    /// Opens the folder, makes what is missing, and removes what an interrupted process has left.
    pub fn open(folder: &Path, bucket: &str) -> Result<Self, OpenError> {
        fs::create_dir_all(folder)?;
        let lock = File::options().create(true).truncate(false).write(true).open(folder.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse,
            TryLockError::Error(error) => OpenError::Io(error),
        })?;
        let (bucket, incoming) = (folder.join(bucket), folder.join("incoming"));
        fs::create_dir_all(&bucket)?;
        fs::create_dir_all(&incoming)?;
        sync_folder(folder)?;
        for left in fs::read_dir(&incoming)? {
            fs::remove_file(left?.path())?;
        }
        remove_empty(&bucket, MAX_SEGMENTS)?;
        Ok(Self { bucket, incoming, folders: RwLock::new(()), _lock: lock })
    }

    pub fn receive(&self, checksums: ChecksumHasher) -> io::Result<Incoming> {
        Incoming::create(&self.incoming, checksums)
    }

    /// Makes a received object visible. Once it returns, the object outlives a power cut.
    pub fn commit(&self, received: Received, key: &Key) -> io::Result<()> {
        let name = key.file(&self.bucket);
        let folder = name.parent().unwrap_or(&self.bucket);
        let named = {
            let _shared = self.folders.read().unwrap_or_else(PoisonError::into_inner);
            received.temporary.keep(&name)
        };
        match named {
            Ok(()) => {}
            Err((error, temporary)) if error.kind() == io::ErrorKind::NotFound => {
                let _alone = self.folders.write().unwrap_or_else(PoisonError::into_inner);
                self.make_folders(folder)?;
                temporary.keep(&name).map_err(|(error, _)| error)?;
            }
            Err((error, _)) => return Err(error),
        }
        sync_folder(folder)
    }

    fn make_folders(&self, folder: &Path) -> io::Result<()> {
        let below = folder.strip_prefix(&self.bucket).map_err(io::Error::other)?;
        let mut path = self.bucket.clone();
        for segment in below {
            let parent = path.clone();
            path.push(segment);
            match fs::create_dir(&path) {
                Ok(()) => sync_folder(&parent)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// `None`: no such object.
    pub fn find(&self, key: &Key) -> io::Result<Option<Found>> {
        match File::open(key.file(&self.bucket)) {
            Ok(mut file) => {
                let footer = Footer::read(&mut file)?;
                let modified = file.metadata()?.modified()?;
                Ok(Some(Found { file, footer, modified }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the objects that are there. Once it returns, they stay away after a power cut.
    pub fn remove(&self, keys: &[Key]) -> io::Result<()> {
        let mut folders = BTreeSet::new();
        for key in keys {
            let name = key.file(&self.bucket);
            match fs::remove_file(&name) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            folders.extend(name.parent().map(Path::to_path_buf));
        }
        folders.into_iter().try_for_each(|folder| self.tidy(folder))
    }

    /// Removes the folder and those above it as far as they are empty.
    fn tidy(&self, mut folder: PathBuf) -> io::Result<()> {
        {
            let _alone = self.folders.write().unwrap_or_else(PoisonError::into_inner);
            while folder != self.bucket && removed(fs::remove_dir(&folder)) && folder.pop() {}
        }
        sync_folder(&folder)
    }

    pub fn list(&self, prefix: &str, after: &str, limit: usize) -> io::Result<Page> {
        listing::page(&self.bucket, prefix, after, limit)
    }

    /// Whether the bucket's folder is still there.
    pub fn check(&self) -> io::Result<()> {
        fs::metadata(&self.bucket).map(drop)
    }
}

/// Also when somebody else did it. Any other failure (above all: not empty) leaves the folder where it is.
fn removed(result: io::Result<()>) -> bool {
    result.is_ok() || result.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Empty folders are what is left when a process dies between making them and naming the object.
fn remove_empty(folder: &Path, depth: usize) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if depth > 0 && entry.file_type()?.is_dir() {
            remove_empty(&entry.path(), depth - 1)?;
            removed(fs::remove_dir(entry.path()));
        }
    }
    Ok(())
}

/// Waits until the names in the folder are on the disk.
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder) {
        Ok(folder) => folder.sync_all(),
        // Removed meanwhile, with the objects in it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::footer::ContentType;
    use super::*;

    fn key(key: &str) -> Key {
        Key::parse(key).unwrap()
    }

    fn put(files: &Files, name: &str, bytes: &[u8]) {
        let mut incoming = files.receive(ChecksumHasher::default()).unwrap();
        incoming.write(bytes).unwrap();
        let received = incoming.sums().0.sync(ContentType::parse(None).unwrap()).unwrap();
        files.commit(received, &key(name)).unwrap();
    }

    #[test]
    fn a_folder_goes_away_with_its_last_object() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(dir.path(), "bucket").unwrap();
        put(&files, "jobs/1/a", b"a");
        put(&files, "jobs/1/b", b"b");
        put(&files, "jobs/2", b"2");
        files.remove(&[key("jobs/1/a"), key("jobs/9/9")]).unwrap();
        assert!(dir.path().join("bucket/jobs/1").exists());
        files.remove(&[key("jobs/1/b")]).unwrap();
        assert!(!dir.path().join("bucket/jobs/1").exists() && dir.path().join("bucket/jobs").exists());
        files.remove(&[key("jobs/2")]).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("bucket")).unwrap().count(), 0);
    }

    #[test]
    fn opening_sweeps_what_a_killed_process_left() {
        let dir = tempfile::tempdir().unwrap();
        put(&Files::open(dir.path(), "bucket").unwrap(), "jobs/1/a", b"a");
        fs::write(dir.path().join("incoming/half"), b"half").unwrap();
        fs::create_dir_all(dir.path().join("bucket/jobs/2/upload")).unwrap();
        let files = Files::open(dir.path(), "bucket").unwrap();
        assert_eq!(fs::read_dir(dir.path().join("incoming")).unwrap().count(), 0);
        assert!(!dir.path().join("bucket/jobs/2").exists());
        assert_eq!(files.find(&key("jobs/1/a")).unwrap().unwrap().footer.length, 1);
    }

    #[test]
    fn a_folder_is_served_by_one_process() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(dir.path(), "bucket").unwrap();
        assert!(matches!(Files::open(dir.path(), "bucket"), Err(OpenError::InUse)));
        drop(files);
        assert!(Files::open(dir.path(), "bucket").is_ok());
    }

    #[test]
    fn objects_and_folders_of_one_name_live_side_by_side() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(dir.path(), "bucket").unwrap();
        put(&files, "a", b"1");
        put(&files, "a/b", b"22");
        put(&files, "a/b/c", b"333");
        let sizes: Vec<_> = files.list("", "", 9).unwrap().objects.iter().map(|o| o.size).collect();
        assert_eq!(sizes, [1, 2, 3]);
    }

    /// The race that the lock is for: the last object of a folder goes while the next one comes.
    #[test]
    fn no_object_is_lost_while_its_folder_comes_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(dir.path(), "bucket").unwrap();
        thread::scope(|scope| {
            for thread in 0..4 {
                let files = &files;
                scope.spawn(move || {
                    for round in 0..60 {
                        let name = format!("deep/er/{thread}");
                        put(files, &name, format!("{round}").as_bytes());
                        assert!(files.find(&key(&name)).unwrap().is_some(), "{name} in round {round}");
                        files.remove(&[key(&name)]).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(dir.path().join("bucket")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(dir.path().join("incoming")).unwrap().count(), 0);
    }
}
