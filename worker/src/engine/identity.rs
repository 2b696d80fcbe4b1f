//! What decides about the text of a window, besides the window: engine, model, settings, our own rules, and for a model on this
//! machine the kind of processor. Two engines of one identity write the same text.

use super::{EngineConfig, EngineError, OpenAiConfig, processor};
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Version of our own rules of decoding: **to be raised with every change that may change a text**, of `engine`, of what it is
/// given beside the samples, or of a library that computes for it. Texts that are kept from before are then not found any more.
/// (Another release of the program does not find them either.)
pub const RULES: u32 = 1;

/// Files of a model's folder that are read, by us or by the inference library.
const MODEL_FILES: [&str; 7] = [
    "config.json",
    "model.bin",
    "preprocessor_config.json",
    "shared_vocabulary.json",
    "tokenizer.json",
    "vocabulary.json",
    "vocabulary.txt",
];
/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// A digest of all that; it says nothing of what it was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity([u8; 32]);

impl Identity {
    /// Of an engine of this kind; `parts` are all that its texts depend on.
    pub fn new(engine: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        let rules = RULES.to_le_bytes();
        let ours: [&[u8]; 3] = [env!("CARGO_PKG_VERSION").as_bytes(), &rules, engine.as_bytes()];
        for part in ours.iter().chain(parts) {
            // With their lengths, so that no two lists look alike.
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Of a Whisper model on this machine. Not `slots` and `max_batch`: they change no text. `files`: [`digest`].
pub(super) fn whisper(config: &EngineConfig, files: &[u8; 32]) -> Identity {
    let beam_size = (config.beam_size as u64).to_le_bytes();
    Identity::new("whisper", &[files, &beam_size, processor::kind().as_bytes()])
}

/// Of a service. Not the keys, which are for the payment; all addresses, as any of them may answer.
pub(super) fn openai(config: &OpenAiConfig) -> Identity {
    let mut parts = vec![config.model.as_bytes()];
    parts.extend(config.endpoints.iter().map(|endpoint| endpoint.base_url.trim_end_matches('/').as_bytes()));
    Identity::new("openai", &parts)
}

/// What tells a model's files from others without reading them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<(u64, u64, i64, i64)>>);

impl Stamp {
    pub(super) fn of(dir: &Path) -> Self {
        let stamp = |file: Metadata| (file.ino(), file.len(), file.mtime(), file.mtime_nsec());
        Self(MODEL_FILES.iter().map(|name| std::fs::metadata(dir.join(name)).ok().map(stamp)).collect())
    }
}

/// Of the contents of a model's files. Reads all of them: a tenth of a second for a small model, seconds for the largest.
///
/// # Errors
/// [`EngineError::ModelInvalid`]: a file can't be read.
pub(super) fn digest(dir: &Path) -> Result<[u8; 32], EngineError> {
    let mut all = Sha256::new();
    for name in MODEL_FILES {
        let contents = contents(&dir.join(name)).map_err(|error| EngineError::ModelInvalid {
            path: dir.to_owned(),
            reason: format!("{name}: {error}"),
        })?;
        all.update(name);
        all.update([u8::from(contents.is_some())]);
        all.update(contents.unwrap_or_default());
    }
    Ok(all.finalize().into())
}

/// `None` if there is no such file.
fn contents(path: &Path) -> io::Result<Option<[u8; 32]>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let (mut hasher, mut piece) = (Sha256::new(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(Some(hasher.finalize().into())),
            Ok(read) => hasher.update(piece.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::openai::Endpoint;
    use super::*;
    use scriptorium_shared::limiter::CallLimits;
    use std::collections::BTreeSet;
    use std::fs;
    use std::time::Duration;

    #[test]
    fn parts_do_not_run_into_one_another() {
        let lists: [&[&[u8]]; 6] = [&[], &[b""], &[b"ab"], &[b"a", b"b"], &[b"", b"ab"], &[b"b", b"a"]];
        let different: BTreeSet<[u8; 32]> =
            lists.iter().map(|parts| *Identity::new("whisper", parts).bytes()).collect();
        assert_eq!(different.len(), lists.len());
        assert_ne!(Identity::new("whisper", &[]), Identity::new("openai", &[]));
    }

    #[test]
    fn every_file_of_the_model_counts_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let mut seen = BTreeSet::from([digest(dir.path()).unwrap()]);
        for name in MODEL_FILES {
            for contents in ["", "one", "two"] {
                fs::write(dir.path().join(name), contents).unwrap();
                assert!(seen.insert(digest(dir.path()).unwrap()), "{name}: {contents}");
            }
        }
        let (before, stamp) = (digest(dir.path()).unwrap(), Stamp::of(dir.path()));
        fs::write(dir.path().join("README.md"), "a model").unwrap();
        assert_eq!((digest(dir.path()).unwrap(), Stamp::of(dir.path())), (before, stamp));
        // A large file is read to its end.
        let mut large = vec![7; 3 * PIECE + 5];
        fs::write(dir.path().join("model.bin"), &large).unwrap();
        let (before, stamp) = (digest(dir.path()).unwrap(), Stamp::of(dir.path()));
        *large.last_mut().unwrap() = 8;
        fs::remove_file(dir.path().join("model.bin")).unwrap();
        fs::write(dir.path().join("model.bin"), &large).unwrap();
        assert_ne!(digest(dir.path()).unwrap(), before);
        assert_ne!(Stamp::of(dir.path()), stamp);
    }

    #[test]
    fn settings_that_change_a_text_count_and_others_do_not() {
        let config = EngineConfig::new("/models/base");
        let same = EngineConfig { slots: 7, max_batch: 9, ..EngineConfig::new("/elsewhere/base") };
        assert_eq!(whisper(&config, &[1; 32]), whisper(&same, &[1; 32]));
        assert_ne!(whisper(&config, &[1; 32]), whisper(&config, &[2; 32]));
        assert_ne!(
            whisper(&config, &[1; 32]),
            whisper(&EngineConfig { beam_size: 1, ..config.clone() }, &[1; 32])
        );
    }

    #[test]
    fn a_service_is_its_addresses_and_its_model() {
        let config = |urls: &[&str], key: &str, model: &str, slots: usize| OpenAiConfig {
            endpoints: urls
                .iter()
                .map(|url| Endpoint { base_url: (*url).to_owned(), api_key: Some(key.to_owned()) })
                .collect(),
            model: model.to_owned(),
            limits: CallLimits { per_minute: None, concurrent: Some(slots as u32) },
            slots,
            timeout: Duration::from_secs(slots as u64),
            first_pause: Duration::ZERO,
        };
        let one = openai(&config(&["https://a/v1"], "x", "m", 1));
        assert_eq!(one, openai(&config(&["https://a/v1/"], "y", "m", 2)));
        for other in [
            config(&["https://b/v1"], "x", "m", 1),
            config(&["https://a/v1", "https://b/v1"], "x", "m", 1),
            config(&["https://a/v1"], "x", "n", 1),
        ] {
            assert_ne!(openai(&other), one, "{other:?}");
        }
    }
}
