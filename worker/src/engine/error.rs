//! What can go wrong in the engine, and whether trying again may help.

use std::path::PathBuf;

use thiserror::Error;

/// Why the engine could not be loaded, or a window not be transcribed.
#[derive(Debug, Error)]
pub enum EngineError {
    /// There is no model in the folder; the text says how to get one.
    #[error(
        "no speech model in {path}: run `make model` (or `scripts/model.sh NAME` for another size), or put a \
         Whisper model in CTranslate2 format (config.json, model.bin, tokenizer.json, vocabulary.txt or .json) \
         there, or name its folder with --model", path = path.display()
    )]
    ModelMissing {
        /// The folder that was looked into.
        path: PathBuf,
    },
    /// The folder holds files, but they are not a Whisper model that this engine can run.
    #[error("the speech model in {path} cannot be used: {reason}", path = path.display())]
    ModelInvalid {
        /// The model's folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The program was built without the feature `whisper`.
    #[error("this build has no local speech engine; build it with the feature `whisper`")]
    NotBuilt,
    /// [`EngineConfig`](super::EngineConfig) asks for something impossible.
    #[error("engine setting {name} is {value}, but must be from {min} to {max}")]
    Setting {
        /// The field of the configuration.
        name: &'static str,
        /// The value given.
        value: usize,
        /// The smallest value allowed.
        min: usize,
        /// The largest value allowed.
        max: usize,
    },
    /// The window breaks the rules of [`Window`](super::Window).
    #[error("unusable window: {0}")]
    Window(&'static str),
    /// The model does not know the language that was asked for.
    #[error("the model {model} does not know the language {language:?}")]
    Language {
        /// The model's name.
        model: String,
        /// The language asked for.
        language: String,
    },
    /// The inference library reported a failure.
    #[error("the speech engine failed: {0}")]
    Inference(String),
    /// The service that transcribes for us does not answer, or is too busy.
    #[error("the speech-to-text service is not available: {0}")]
    Unavailable(String),
    /// A thread of the engine could not be started.
    #[error("cannot start a thread of the speech engine: {0}")]
    Thread(#[from] std::io::Error),
    /// The engine was closed, before or while the window was worked on.
    #[error("the speech engine is closed")]
    Closed,
}

impl EngineError {
    /// Whether the same call may succeed later or on another machine (a failure of the inference library, which
    /// may be short of memory; an engine that is shutting down). The rest fails the same way each time.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Inference(_) | Self::Unavailable(_) | Self::Thread(_) | Self::Closed => true,
            Self::ModelMissing { .. }
            | Self::ModelInvalid { .. }
            | Self::NotBuilt
            | Self::Setting { .. }
            | Self::Window(_)
            | Self::Language { .. } => false,
        }
    }
}
