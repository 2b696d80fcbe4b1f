//! A folder for a server that lives as long as one command.

use super::TranscribeError;
use crate::config::default_cache_dir;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const PREFIX: &str = "transcribe-";
/// A folder that nobody has locked and that is older than this was left behind by a process that was killed.
const LEFT_BEHIND: Duration = Duration::from_secs(3_600);

/// A new folder that is removed when it is dropped. It lies in the user's cache folder, since the system's folder for
/// temporary files may be too small for a recording.
///
/// # Errors
/// None can be made.
pub fn folder() -> Result<TempDir, TranscribeError> {
    let base = default_cache_dir()
        .filter(|base| DirBuilder::new().recursive(true).mode(0o700).create(base).is_ok())
        .unwrap_or_else(std::env::temp_dir);
    remove_left_behind(&base);
    TempDir::with_prefix_in(PREFIX, &base)
        .map_err(|source| TranscribeError::Temporary { path: base.display().to_string(), source })
}

fn remove_left_behind(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if ours && entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_left_behind(&entry.path()) {
            // If it cannot be removed, the next one tries again.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

fn is_left_behind(folder: &Path) -> bool {
    let old = fs::metadata(folder)
        .and_then(|metadata| metadata.modified())
        .is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > LEFT_BEHIND));
    // A running server holds the lock, however old its folder is.
    old && File::open(folder.join("lock")).map_or(true, |lock| lock.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn only_old_folders_without_a_server_go() {
        let base = tempfile::tempdir().unwrap();
        let make = |name: &str, age: u64| {
            let path = base.path().join(name);
            fs::create_dir(&path).unwrap();
            let lock = File::create(path.join("lock")).unwrap();
            let then = SystemTime::now() - Duration::from_secs(age);
            File::open(&path).unwrap().set_modified(then).unwrap();
            lock
        };
        make("transcribe-killed", 7_200);
        make("transcribe-young", 10);
        make("other", 7_200);
        let running = make("transcribe-running", 7_200);
        running.try_lock().unwrap();
        remove_left_behind(base.path());
        let mut left: Vec<_> = fs::read_dir(base.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["other", "transcribe-running", "transcribe-young"]);
    }
}
