//! What turns speech into text, and on how many slots.

use super::{ConfigError, OpenAiArgs, default_data_dir};
use clap::{Args, ValueEnum};
use scriptorium_worker::engine::OpenAiConfig;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineKind {
    /// A Whisper model on this machine
    Whisper,
    /// A service with OpenAI's API
    Openai,
}

/// An engine with its settings.
#[derive(Clone, Debug)]
pub enum EngineChoice {
    Whisper {
        /// A Whisper model in CTranslate2 format.
        model_dir: PathBuf,
    },
    OpenAi(OpenAiConfig),
}

#[derive(Args, Clone, Debug)]
pub struct EngineArgs {
    /// What turns speech into text
    #[arg(long, env = "SCRIPTORIUM_ENGINE", value_name = "NAME", value_enum, default_value_t = EngineKind::Whisper)]
    pub engine: EngineKind,

    /// Speech model: a name below the models folder (tiny.en, base, ...) or the path of a folder with a Whisper model in
    /// CTranslate2 format
    #[arg(long, env = "SCRIPTORIUM_MODEL", value_name = "NAME|DIR", default_value = "tiny.en")]
    pub model: String,

    /// Folder with the models [default: ./models if the model is there, else `models` in the data folder]
    #[arg(long, env = "SCRIPTORIUM_MODELS_DIR", value_name = "DIR")]
    pub models_dir: Option<PathBuf>,

    /// Transcription slots: how many pieces of speech are worked on at once [default: the number of cores]
    #[arg(long, env = "SCRIPTORIUM_WORKERS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=128))]
    pub workers: Option<u16>,

    #[command(flatten)]
    pub openai: OpenAiArgs,
}

impl EngineArgs {
    /// # Errors
    /// Of engine `openai`: see [`OpenAiArgs::config`].
    pub fn choice(&self, data_dir: Option<&Path>) -> Result<EngineChoice, ConfigError> {
        match self.engine {
            EngineKind::Whisper => Ok(EngineChoice::Whisper { model_dir: self.model_dir(data_dir) }),
            EngineKind::Openai => Ok(EngineChoice::OpenAi(self.openai.config(self.slots())?)),
        }
    }

    /// Transcription slots.
    pub fn slots(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from).min(128);
        self.workers.map_or_else(cores, usize::from)
    }

    /// The model's folder. It need not exist: loading it tells how to get it.
    pub fn model_dir(&self, data_dir: Option<&Path>) -> PathBuf {
        let here = Path::new("models").join(&self.model);
        if self.model.contains('/') {
            return PathBuf::from(&self.model);
        }
        if let Some(models) = &self.models_dir {
            return models.join(&self.model);
        }
        let kept = data_dir
            .map(Path::to_owned)
            .or_else(default_data_dir)
            .map(|dir| dir.join("models").join(&self.model));
        match kept {
            Some(kept) if !here.is_dir() && kept.is_dir() => kept,
            Some(_) | None => here,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_model_is_a_name_or_a_path() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            engine: EngineArgs,
        }
        let args = |model: &str, models_dir: Option<&str>| {
            let parsed = <Command as clap::Parser>::parse_from(["x", "--model", model]).engine;
            // Whatever variable the tests are run with.
            EngineArgs { models_dir: models_dir.map(PathBuf::from), ..parsed }
        };
        let data = tempfile::tempdir().unwrap();
        let kept = data.path().join("models/a-model-kept-with-the-data");
        std::fs::create_dir_all(&kept).unwrap();
        let name = "a-model-kept-with-the-data";
        assert_eq!(args(name, None).model_dir(Some(data.path())), kept);
        assert_eq!(args(name, Some("/m")).model_dir(Some(data.path())), Path::new("/m").join(name));
        assert_eq!(args("./x/y", Some("/m")).model_dir(None), Path::new("./x/y"));
        assert_eq!(args("nowhere", None).model_dir(Some(data.path())), Path::new("models/nowhere"));
    }
}
