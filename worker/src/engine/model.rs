//! The bridge to CTranslate2: a batch of requests in, tokens and probabilities out.
//!
//! Each replica computes on one thread. Per window, all arithmetic is a function of that window alone, where
//! [`super::processor::computes_batches_alike`]; elsewhere there is one window in a batch. The test
//! `a_batch_changes_nothing` holds this fast, bit by bit.

use std::path::Path;

use ct2rs::sys::{
    ComputeType, Config, Device, StorageView, Whisper, WhisperGenerationResult, WhisperOptions,
};

use super::mel::FRAMES;
use super::request::{Answer, Decoded, Language, Request, Strategy, Task};
use super::vocab::{Start, Vocab};
use super::weights;
use super::words::Alignment;
use super::{Detected, EngineConfig, EngineError};

/// Largest file of weights that is loaded: large-v3 in float32 has 6.2 GB.
const MAX_MODEL_BYTES: u64 = 16 << 30;
/// Positions that the decoder has; half of them may hold new text.
const MAX_LENGTH: usize = 448;
/// A transcript's first timestamp is at most 1 s, in steps of 20 ms.
const MAX_FIRST_TIMESTAMP: usize = 50;
/// Frames of attention over which the alignment takes the median, as in Whisper.
const MEDIAN_FRAMES: i64 = 7;

/// The weights, once for each slot, and what the requests need from the model.
pub struct Model {
    whisper: Whisper,
    suppressed: Vec<i32>,
    beam_size: usize,
    start: Start,
    end_of_text: u32,
    languages: Vec<String>,
    /// Whether the heads that tell times are known.
    aligns: bool,
}

impl Model {
    /// Loads the weights as 8-bit integers; takes a second or more.
    ///
    /// # Errors
    /// [`EngineError::ModelMissing`] or [`EngineError::ModelInvalid`].
    pub fn load(config: &EngineConfig, vocab: &Vocab) -> Result<Self, EngineError> {
        let dir = &config.model_dir;
        let invalid = |reason: String| EngineError::ModelInvalid { path: dir.clone(), reason };
        check_size(dir)?;
        let whisper = Whisper::new(
            dir,
            Config {
                // Stated, not "the fastest this machine has", which could differ from worker to worker.
                compute_type: ComputeType::INT8,
                device: Device::CPU,
                // One replica for each entry.
                device_indices: vec![0; config.slots],
                // More threads in a replica would split sums differently; more replicas serve better anyway.
                num_threads_per_replica: 1,
                ..Config::default()
            },
        )
        .map_err(|error| invalid(error.to_string()))?;
        if !matches!(whisper.n_mels(), 80 | 128) {
            return Err(invalid(format!("{} mel bands instead of 80 or 128", whisper.n_mels())));
        }
        if whisper.is_multilingual() && vocab.languages().is_empty() {
            return Err(invalid("a multilingual model without language tokens".to_owned()));
        }
        Ok(Self {
            whisper,
            suppressed: vocab.suppressed().to_vec(),
            beam_size: config.beam_size,
            start: vocab.start().clone(),
            end_of_text: vocab.end_of_text(),
            languages: vocab.languages().to_vec(),
            aligns: has_alignment_heads(dir, vocab),
        })
    }

    /// Whether the model knows other languages than English.
    pub fn is_multilingual(&self) -> bool {
        self.whisper.is_multilingual()
    }

    /// Whether the model can tell when tokens are said.
    pub fn can_align(&self) -> bool {
        self.aligns
    }

    /// Mel bands that the model takes.
    pub fn n_mels(&self) -> usize {
        self.whisper.n_mels()
    }

    /// Runs requests that fit together ([`Request::fits`]) as one batch; one answer for each, in order.
    ///
    /// # Errors
    /// [`EngineError::Inference`] for the whole batch.
    pub fn run(&self, batch: &[&Request]) -> Result<Vec<Answer>, EngineError> {
        let Some(first) = batch.first() else { return Ok(Vec::new()) };
        let encoded = self.encode(batch)?;
        let languages = self.languages(batch, &encoded)?;
        let strategy = match first.task {
            Task::Transcribe(strategy) => strategy,
            Task::DetectLanguage => return Ok(languages.into_iter().map(Answer::Language).collect()),
        };
        let prompts: Vec<Vec<String>> = batch
            .iter()
            .zip(&languages)
            .map(|(request, detected)| self.prompt(request, &detected.language))
            .collect();
        let results = self.whisper.generate(&encoded, &prompts, &self.options(strategy)).map_err(failed)?;
        same_count(results.len(), batch.len())?;
        let mut answers: Vec<Decoded> =
            results.into_iter().zip(languages).map(|(result, of)| decoded(result, of.language)).collect();
        if self.aligns && first.align {
            self.align(batch, &encoded, &mut answers)?;
        }
        Ok(answers.into_iter().map(Answer::Text).collect())
    }

    /// Finds when the text tokens of the answers are said. What cannot be found out for a part alone is left out: a text
    /// without times is better than no text.
    fn align(
        &self,
        batch: &[&Request],
        encoded: &StorageView,
        answers: &mut [Decoded],
    ) -> Result<(), EngineError> {
        // One for all: what is in a batch to be aligned has one language.
        let Some(start) = answers.first().and_then(|answer| self.start(&answer.language)) else {
            return Ok(());
        };
        // What the library adds: one token before the text, one after it.
        let possible = |text: &[usize]| !text.is_empty() && start.len() + text.len() + 2 <= MAX_LENGTH;
        let texts: Vec<Vec<usize>> = answers.iter().map(|answer| self.text_tokens(answer)).collect();
        if !texts.iter().any(|text| possible(text)) {
            return Ok(());
        }
        // Any token stands in for a text that cannot be aligned.
        let aligned: Vec<Vec<usize>> =
            texts.iter().map(|text| if possible(text) { text.clone() } else { vec![0] }).collect();
        let frames: Vec<usize> =
            batch.iter().map(|request| request.to.saturating_sub(request.from).min(FRAMES)).collect();
        let results = match self.whisper.align(encoded, &start, &aligned, &frames, MEDIAN_FRAMES) {
            Ok(results) => results,
            Err(error) if batch.len() > 1 => return Err(failed(error)),
            Err(error) => {
                tracing::warn!(%error, "a text could not be aligned; it becomes one segment, without words");
                return Ok(());
            }
        };
        same_count(results.len(), batch.len())?;
        for ((answer, text), result) in answers.iter_mut().zip(texts).zip(results) {
            if possible(&text) {
                let path = result.alignments.iter().map(|step| (step.token_x, step.frame_x));
                answer.alignment = Alignment::new(path, result.text_token_probs);
            }
        }
        Ok(())
    }

    fn text_tokens(&self, decoded: &Decoded) -> Vec<usize> {
        let tokens = decoded.tokens.iter().copied();
        tokens.filter(|&token| token < self.end_of_text).map(|token| token as usize).collect()
    }

    /// The tokens before the text, for the alignment; `None` for a language that the model has no token for.
    fn start(&self, language: &str) -> Option<Vec<usize>> {
        let start = self.start.transcript as usize;
        if !self.is_multilingual() {
            return Some(vec![start]);
        }
        let at = self.languages.iter().position(|known| known == language)?;
        let language = *self.start.languages.get(at)? as usize;
        Some(vec![start, language, self.start.transcribe as usize])
    }

    /// The encoder's view of each part; shared by language detection and transcription.
    fn encode(&self, batch: &[&Request]) -> Result<StorageView<'static>, EngineError> {
        let mut features = Vec::with_capacity(batch.len() * self.n_mels() * FRAMES);
        for request in batch {
            request.mel.append_padded(request.from, request.to, &mut features);
        }
        let shape = [batch.len(), self.n_mels(), FRAMES];
        let features = StorageView::new(&shape, &mut features, Device::CPU).map_err(failed)?;
        self.whisper.encode(&features, true).map_err(failed)
    }

    /// The language of each part, given or detected.
    fn languages(&self, batch: &[&Request], encoded: &StorageView) -> Result<Vec<Detected>, EngineError> {
        let given: Vec<Detected> = batch
            .iter()
            .filter_map(|request| match &request.language {
                Language::Known(language) => Some(Detected { language: language.clone(), probability: 1.0 }),
                Language::Detect => None,
            })
            .collect();
        if given.len() == batch.len() {
            return Ok(given);
        }
        let probabilities = self.whisper.detect_language(encoded).map_err(failed)?;
        let best: Vec<Detected> = probabilities
            .into_iter()
            .filter_map(|languages| {
                let best = languages.into_iter().next()?;
                let language = best.language.strip_prefix("<|")?.strip_suffix("|>")?.to_owned();
                Some(Detected { language, probability: best.probability })
            })
            .collect();
        same_count(best.len(), batch.len())?;
        Ok(best)
    }

    /// The tokens that the decoder starts from.
    fn prompt(&self, request: &Request, language: &str) -> Vec<String> {
        let mut prompt = request.prompt.to_vec();
        prompt.push("<|startoftranscript|>".to_owned());
        if self.is_multilingual() {
            prompt.push(format!("<|{language}|>"));
            prompt.push("<|transcribe|>".to_owned());
        }
        if request.align {
            prompt.push("<|notimestamps|>".to_owned());
        }
        prompt
    }

    fn options(&self, strategy: Strategy) -> WhisperOptions {
        WhisperOptions {
            beam_size: self.beam_size,
            no_repeat_ngram_size: match strategy {
                Strategy::Beam => 0,
                Strategy::NoRepeat => 3,
            },
            max_length: MAX_LENGTH,
            max_initial_timestamp_index: MAX_FIRST_TIMESTAMP,
            return_scores: true,
            return_no_speech_prob: true,
            suppress_tokens: self.suppressed.clone(),
            ..WhisperOptions::default()
        }
    }
}

fn failed(error: impl std::fmt::Display) -> EngineError {
    EngineError::Inference(error.to_string())
}

fn same_count(results: usize, requests: usize) -> Result<(), EngineError> {
    if results == requests {
        Ok(())
    } else {
        Err(failed(format!("{results} results for {requests} requests")))
    }
}

/// The best hypothesis. Its score is an average over its tokens; Whisper counts the end-of-text as one more.
fn decoded(result: WhisperGenerationResult, language: String) -> Decoded {
    let ids = result.sequences_ids.into_iter().next().unwrap_or_default();
    let tokens: Vec<u32> = ids.into_iter().filter_map(|id| u32::try_from(id).ok()).collect();
    let score = result.scores.first().copied().unwrap_or(f32::NEG_INFINITY);
    let length = tokens.len() as f32;
    Decoded {
        tokens,
        avg_logprob: score * length / (length + 1.0),
        no_speech_prob: result.no_speech_prob,
        language,
        alignment: None,
    }
}

/// Whether the configuration names attention heads that tell times, and the decoder has them. (Some models were made of
/// others and name the heads of those.)
fn has_alignment_heads(dir: &Path, vocab: &Vocab) -> bool {
    let heads = vocab.alignment_heads();
    if heads.is_empty() {
        return false;
    }
    match weights::decoder_shape(&dir.join("model.bin")) {
        Ok(shape) if shape.has(heads) => true,
        Ok(shape) => {
            tracing::warn!(
                ?shape,
                "config.json names alignment heads that the model does not have: no times of words"
            );
            false
        }
        Err(error) => {
            tracing::warn!(%error, "the shape of the model cannot be read: no times of words");
            false
        }
    }
}

/// Looks at the file of weights before the inference library does.
fn check_size(dir: &Path) -> Result<(), EngineError> {
    match std::fs::metadata(dir.join("model.bin")) {
        Ok(file) if file.is_file() && (1..=MAX_MODEL_BYTES).contains(&file.len()) => Ok(()),
        Ok(_) => Err(EngineError::ModelInvalid {
            path: dir.to_owned(),
            reason: format!("model.bin is not a file of 1 to {MAX_MODEL_BYTES} bytes"),
        }),
        Err(_) => Err(EngineError::ModelMissing { path: dir.to_owned() }),
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("whisper", &self.whisper).finish_non_exhaustive()
    }
}
