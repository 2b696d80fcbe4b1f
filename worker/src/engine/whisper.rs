//! Whisper on this machine: the handle that the rest of the worker holds.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::backend::Model;
use super::identity::{self, Identity, Stamp};
use super::mel::FrontEnd;
use super::queue::{self, Queue};
use super::request::{Answer, Language, Request, Task};
use super::vocab::Vocab;
use super::window::{self, Prepared};
use super::{Detected, Engine, EngineError, EngineInfo, Window, WindowText, check, processor, vad};
use scriptorium_shared::waits::Waits;

/// How to run the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Folder of a Whisper model in CTranslate2 format.
    pub model_dir: PathBuf,
    /// Replicas of the model, one thread and one copy of the weights each; 1 to 128.
    pub slots: usize,
    /// Windows that a replica works on at once, 1 to 64. More is faster over all and slower for each; it changes
    /// no result, as processors on which it would work on one at a time. Default 2.
    pub max_batch: usize,
    /// Texts followed side by side in the search, 1 to 16. Default 5, as in Whisper.
    pub beam_size: usize,
    /// Whether texts may be kept for later: then all of the model's files are read once more, to know it again.
    pub identify: bool,
}

impl EngineConfig {
    /// One slot and the defaults, with the model in `model_dir`.
    pub fn new(model_dir: impl Into<PathBuf>) -> Self {
        Self { model_dir: model_dir.into(), slots: 1, max_batch: 2, beam_size: 5, identify: false }
    }
}

/// The local engine; clones are handles to the same one. It ends with [`Engine::close`] or with its last handle.
#[derive(Debug, Clone)]
pub struct Whisper(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    info: EngineInfo,
    identity: Option<Identity>,
    vocab: Vocab,
    front_end: FrontEnd,
    queue: Arc<Queue>,
    /// Lets in as many windows as keep every replica busy with another batch waiting: this bounds the memory.
    entry: Semaphore,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Whisper {
    /// Loads the model and starts the threads. Blocks for a second or more.
    ///
    /// # Errors
    /// [`EngineError::ModelMissing`], [`EngineError::ModelInvalid`], [`EngineError::Setting`],
    /// [`EngineError::Thread`]; [`EngineError::NotBuilt`] without the feature `whisper`.
    pub fn load(config: EngineConfig) -> Result<Self, EngineError> {
        let bounds = [
            ("slots", config.slots, 128),
            ("max_batch", config.max_batch, 64),
            ("beam_size", config.beam_size, 16),
        ];
        for (name, value, max) in bounds {
            if !(1..=max).contains(&value) {
                return Err(EngineError::Setting { name, value, min: 1, max });
            }
        }
        let before = Stamp::of(&config.model_dir);
        let vocab = Vocab::load(&config.model_dir)?;
        let (model, identity) = load_and_identify(&config, &vocab)?;
        let model = Arc::new(model);
        if identity.is_some() && Stamp::of(&config.model_dir) != before {
            // What was loaded and what was identified may be two models.
            let reason = "its files changed while they were read; try again".to_owned();
            return Err(EngineError::ModelInvalid { path: config.model_dir, reason });
        }
        let multilingual = model.is_multilingual();
        // `..` or a path ending in it has no name of its own; the real folder has.
        let dir = config.model_dir.canonicalize().unwrap_or_else(|_| config.model_dir.clone());
        let info = EngineInfo {
            engine: "whisper",
            model: dir.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            multilingual,
            languages: if multilingual { vocab.languages().to_vec() } else { vec!["en".to_owned()] },
            word_timestamps: model.can_align(),
        };
        let front_end = FrontEnd::new(model.n_mels());
        let queue = Arc::new(Queue::default());
        let batch = if processor::computes_batches_alike() { config.max_batch } else { 1 };
        let threads = Mutex::new(queue::start(&queue, &model, config.slots, batch)?);
        let entry = Semaphore::new(2 * config.slots * batch);
        Ok(Self(Arc::new(Inner { info, identity, vocab, front_end, queue, entry, threads })))
    }

    /// The language to tell the model, if it knows it.
    fn language(&self, language: Option<String>) -> Result<Language, EngineError> {
        let info = &self.0.info;
        match language {
            Some(language) if info.languages.contains(&language) => Ok(Language::Known(language)),
            Some(language) => Err(EngineError::Language { model: info.model.clone(), language }),
            None if info.multilingual => Ok(Language::Detect),
            None => Ok(Language::Known("en".to_owned())),
        }
    }

    /// Does what needs no model: some 20 ms of computing for 30 s of sound, so on a thread made for that.
    async fn prepare(
        &self,
        samples: Vec<f32>,
        language: Language,
        prompt: Option<String>,
    ) -> Result<Prepared, EngineError> {
        let inner = Arc::clone(&self.0);
        let work = move || Prepared {
            mel: Arc::new(inner.front_end.mel(&samples)),
            speech: vad::speech_regions(&samples),
            prompt: inner.vocab.prompt(prompt.as_deref().unwrap_or_default()).into(),
            samples,
            language,
            aligned: inner.info.word_timestamps,
        };
        // It fails only if the runtime is shutting down.
        tokio::task::spawn_blocking(work).await.map_err(|_| EngineError::Closed)
    }
}

/// Side by side, as both read the same large file.
fn load_and_identify(config: &EngineConfig, vocab: &Vocab) -> Result<(Model, Option<Identity>), EngineError> {
    if !config.identify {
        return Ok((Model::load(config, vocab)?, None));
    }
    let (model, files) = std::thread::scope(|scope| {
        let files = scope.spawn(|| identity::digest(&config.model_dir));
        (Model::load(config, vocab), files.join())
    });
    let files =
        files.map_err(|_| EngineError::Inference("the model's files could not be read".to_owned()))?;
    Ok((model?, Some(identity::whisper(config, &files?))))
}

#[async_trait]
impl Engine for Whisper {
    async fn transcribe(&self, window: Window, _: &Waits) -> Result<WindowText, EngineError> {
        check(&window.samples)?;
        let language = self.language(window.language)?;
        let _entry = self.0.entry.acquire().await.map_err(|_| EngineError::Closed)?;
        let prepared = self.prepare(window.samples, language, window.prompt).await?;
        let queue = &self.0.queue;
        let run = move |request| async move {
            match queue.run(request).await? {
                Answer::Text(decoded) => Ok(decoded),
                Answer::Language(_) => {
                    Err(EngineError::Inference("a language in place of a text".to_owned()))
                }
            }
        };
        let mut text = window::transcribe(&prepared, &self.0.vocab, run).await?;
        if !window.word_timestamps {
            text.segments.iter_mut().for_each(|segment| segment.words.clear());
        }
        Ok(text)
    }

    async fn detect_language(&self, samples: Vec<f32>, _: &Waits) -> Result<Detected, EngineError> {
        check(&samples)?;
        if !self.0.info.multilingual {
            return Ok(Detected { language: "en".to_owned(), probability: 1.0 });
        }
        let _entry = self.0.entry.acquire().await.map_err(|_| EngineError::Closed)?;
        let prepared = self.prepare(samples, Language::Detect, None).await?;
        let request = Request {
            from: 0,
            to: prepared.mel.frames(),
            mel: prepared.mel,
            language: Language::Detect,
            prompt: prepared.prompt,
            task: Task::DetectLanguage,
            align: false,
        };
        match self.0.queue.run(request).await? {
            Answer::Language(detected) => Ok(detected),
            Answer::Text(_) => Err(EngineError::Inference("a text in place of a language".to_owned())),
        }
    }

    fn info(&self) -> EngineInfo {
        self.0.info.clone()
    }

    fn identity(&self) -> Option<&Identity> {
        self.0.identity.as_ref()
    }

    async fn close(&self) {
        let inner = Arc::clone(&self.0);
        // It fails only if the runtime is shutting down; then the last handle joins the threads.
        drop(tokio::task::spawn_blocking(move || inner.stop()).await);
    }
}

impl Inner {
    /// Closes the queue and waits for the threads.
    fn stop(&self) {
        self.entry.close();
        self.queue.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A thread that panicked has closed the queue and told of it already.
            drop(thread.join());
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}
