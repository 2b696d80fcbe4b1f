//! Where the finished transcript goes: all of it or nothing.

use super::TranscribeError;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Looked at before the work begins, so that hours of it are not spent for nothing.
#[derive(Debug)]
pub enum Target {
    StandardOutput,
    /// A regular file, replaced in one go.
    File(PathBuf),
    /// A pipe, a terminal, `/dev/null`: written as it is.
    Device(PathBuf),
}

impl Target {
    /// `-` and none mean standard output. `recording` must not be overwritten.
    ///
    /// # Errors
    /// Nothing can be written there.
    pub fn new(path: Option<&Path>, recording: &Path) -> Result<Self, TranscribeError> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else { return Ok(Self::StandardOutput) };
        let refused = |reason: String| TranscribeError::Output { path: path.display().to_string(), reason };
        // Through links: a link to a file stays a link.
        let path_behind = match path.canonicalize() {
            Ok(behind) => behind,
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(refused(error.to_string())),
        };
        match fs::metadata(&path_behind) {
            Ok(metadata) if metadata.is_dir() => return Err(refused("it is a folder".to_owned())),
            Ok(metadata) if !metadata.is_file() => return Ok(Self::Device(path_behind)),
            Ok(_) if recording.canonicalize().is_ok_and(|recording| recording == path_behind) => {
                return Err(refused("it is the recording".to_owned()));
            }
            Ok(_) | Err(_) => {}
        }
        // The try leaves no trace.
        new_file_beside(&path_behind).map_err(|error| refused(error.to_string()))?;
        Ok(Self::File(path_behind))
    }

    /// Writes the transcript. What cannot go to its file goes to standard output, so that the work is not lost.
    ///
    /// # Errors
    /// [`TranscribeError::OutputLost`].
    pub fn write(&self, transcript: &[u8]) -> Result<(), TranscribeError> {
        let (path, written) = match self {
            Self::StandardOutput => return to_standard_output(transcript),
            Self::Device(path) => {
                let opened = OpenOptions::new().write(true).open(path);
                (path, opened.and_then(|mut device| device.write_all(transcript)))
            }
            Self::File(path) => (path, replace(path, transcript)),
        };
        written.map_err(|source| {
            let path = path.display().to_string();
            match to_standard_output(transcript) {
                Ok(()) => {
                    TranscribeError::OutputLost { path: format!("{path}; it is on standard output"), source }
                }
                Err(_) => TranscribeError::OutputLost { path, source },
            }
        })
    }
}

fn to_standard_output(transcript: &[u8]) -> Result<(), TranscribeError> {
    let mut out = io::stdout().lock();
    out.write_all(transcript)
        .and_then(|()| out.flush())
        .map_err(|source| TranscribeError::OutputLost { path: "standard output".to_owned(), source })
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = new_file_beside(path)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn new_file_beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // As other programs make files: the umask decides.
    tempfile::Builder::new()
        .prefix(".scriptorium-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("text.txt"), dir.path().join("link"));
        let recording = dir.path().join("recording");
        Target::new(Some(&path), &recording).unwrap().write(b"first").unwrap();
        std::os::unix::fs::symlink("text.txt", &link).unwrap();
        Target::new(Some(&link), &recording).unwrap().write(b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert!(link.is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o400, 0o400);
    }

    #[test]
    fn impossible_targets_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let recording = dir.path().join("recording.wav");
        fs::write(&recording, b"sound").unwrap();
        for path in [dir.path(), &dir.path().join("no/folder/here"), &recording] {
            let error = Target::new(Some(path), &recording).unwrap_err();
            assert!(matches!(error, TranscribeError::Output { .. }), "{path:?}");
        }
        assert!(matches!(Target::new(Some(Path::new("-")), &recording), Ok(Target::StandardOutput)));
        assert!(matches!(Target::new(Some(Path::new("/dev/null")), &recording), Ok(Target::Device(_))));
    }

    #[test]
    fn a_failed_write_says_so() {
        let full = Target::Device(PathBuf::from("/dev/full"));
        assert!(matches!(full.write(b"text"), Err(TranscribeError::OutputLost { .. })));
    }
}
