//! Passages of one chunk: decoded on one side, transcribed on the other, a few windows apart.

use crate::cache::Known;
use crate::engine::{self, Detected, EngineError, Window, WindowText, WindowWord};
use crate::meter::Meter;
use crate::task::TaskError;
use futures::future::{BoxFuture, FutureExt, Shared};
use futures::stream::{FuturesOrdered, StreamExt};
use scriptorium_contracts::job::JobOptions;
use scriptorium_contracts::transcript::{DamagedFrames, PassageResult, PassageSegment, Word};
use scriptorium_media::{self as media, ByteSource, InitSection, MediaError, PassagePlan, WindowLayer};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Windows of one chunk that the engine holds at once: it fills its batches from them.
const WINDOWS_IN_ENGINE: usize = 6;
/// Samples a millisecond at the engine's rate of 16 kHz.
const SAMPLES_PER_MS: u64 = 16;

/// A window of speech on its way to the engine.
pub(crate) struct Piece {
    /// Index into the chunk's passages.
    passage: usize,
    /// Samples from the start of the passage.
    start: u64,
    samples: Vec<f32>,
}

/// Decodes the passages in order and sends their windows. Returns the damaged stretches; stops early, without an error,
/// when nobody listens any more.
pub(crate) fn decode(
    source: &dyn ByteSource,
    init: &InitSection,
    plans: &[PassagePlan],
    pieces: &mpsc::Sender<Piece>,
) -> Result<Vec<DamagedFrames>, MediaError> {
    let mut damaged = Vec::new();
    for (passage, plan) in plans.iter().enumerate() {
        let mut reader = media::decode_passage(source, init, plan)?;
        let mut layer = WindowLayer::new(engine::vad::speech_regions);
        let send = |window: media::LaidWindow| {
            let piece = Piece { passage, start: window.start, samples: window.samples };
            pieces.blocking_send(piece).is_ok()
        };
        while let Some(block) = reader.next_block()? {
            for window in layer.push(&block) {
                if !send(window) {
                    return Ok(damaged);
                }
            }
        }
        for window in layer.finish() {
            if !send(window) {
                return Ok(damaged);
            }
        }
        damaged.extend_from_slice(reader.damaged());
    }
    Ok(damaged)
}

type SharedDetection = Shared<BoxFuture<'static, Result<Detected, Arc<EngineError>>>>;

/// Transcribes the windows as they come; the results are in the order of the passages.
pub(crate) async fn transcribe(
    engine: &Known,
    options: &JobOptions,
    plans: &[PassagePlan],
    mut pieces: mpsc::Receiver<Piece>,
    meter: &Meter,
) -> Result<Vec<PassageResult>, TaskError> {
    let mut passages: Vec<PassageResult> = plans
        .iter()
        .map(|plan| PassageResult {
            start: plan.start,
            end: plan.end,
            language: None,
            language_probability: None,
            segments: Vec::new(),
            failed: false,
        })
        .collect();
    let mut in_engine = FuturesOrdered::new();
    let mut detection: Option<(usize, SharedDetection)> = None;
    let mut open = true;
    let mut busy = None;
    while open || !in_engine.is_empty() {
        if in_engine.is_empty() {
            busy = None;
        } else if busy.is_none() {
            busy = Some(meter.engine());
        }
        tokio::select! {
            piece = pieces.recv(), if open && in_engine.len() < WINDOWS_IN_ENGINE => match piece {
                Some(piece) => in_engine.push_back(window(engine, options, piece, &mut detection)),
                None => open = false,
            },
            Some(done) = in_engine.next() => {
                let written: Written = done?;
                meter.window(written.known);
                if let Some(passage) = passages.get_mut(written.passage) {
                    append(passage, written);
                }
            }
        }
    }
    drop(busy);
    Ok(passages)
}

/// A window's text.
struct Written {
    /// Index into the chunk's passages.
    passage: usize,
    /// Samples from the start of the passage.
    start: u64,
    text: WindowText,
    /// It was known from earlier work.
    known: bool,
    /// How sure the model was of the language, where it chose it.
    language_probability: Option<f32>,
}

/// One window. The passage's language is the one of its first window with speech, so it depends on no order of arrival.
fn window(
    engine: &Known,
    options: &JobOptions,
    piece: Piece,
    detection: &mut Option<(usize, SharedDetection)>,
) -> impl Future<Output = Result<Written, TaskError>> + use<> {
    let Piece { passage, start, samples } = piece;
    // `true`: in this window itself.
    let detected = match (&options.language, &*detection) {
        (Some(_), _) => None,
        (None, Some((of, shared))) if *of == passage => Some((shared.clone(), false)),
        (None, _) => {
            let (engine, samples) = (engine.clone(), samples.clone());
            let detect = async move { engine.detect_language(samples).await.map_err(Arc::new) };
            let shared = detect.boxed().shared();
            *detection = Some((passage, shared.clone()));
            Some((shared, true))
        }
    };
    let (engine, given, prompt) = (engine.clone(), options.language.clone(), options.prompt.clone());
    let word_timestamps = options.word_timestamps;
    async move {
        let (language, detected, language_probability) = match detected {
            Some((detection, here)) => {
                let Detected { language, probability } = detection.await.map_err(detection_failed)?;
                (Some(language), here, engine.is_multilingual().then_some(probability))
            }
            None => (given, false, None),
        };
        let window = Window { samples, language, detected, prompt, word_timestamps };
        let (text, known) = engine.transcribe(window).await?;
        Ok(Written { passage, start, text, known, language_probability })
    }
}

/// The error is shared between the windows of a passage and can't be moved out.
fn detection_failed(problem: Arc<EngineError>) -> TaskError {
    TaskError::Engine(match problem.as_ref() {
        EngineError::Unavailable(what) => EngineError::Unavailable(what.clone()),
        EngineError::Language { model, language } => {
            EngineError::Language { model: model.clone(), language: language.clone() }
        }
        EngineError::Closed => EngineError::Closed,
        problem @ (EngineError::ModelMissing { .. }
        | EngineError::ModelInvalid { .. }
        | EngineError::NotBuilt
        | EngineError::Setting { .. }
        | EngineError::Window(_)
        | EngineError::Inference(_)
        | EngineError::Thread(_)) => EngineError::Inference(problem.to_string()),
    })
}

fn append(passage: &mut PassageResult, Written { start, text, language_probability, .. }: Written) {
    let offset = start / SAMPLES_PER_MS;
    for segment in text.segments {
        if passage.language.is_none() {
            passage.language = Some(text.language.clone());
            passage.language_probability = language_probability;
        }
        let word = |word: WindowWord| Word {
            start_ms: offset + u64::from(word.start_ms),
            end_ms: offset + u64::from(word.end_ms),
            text: word.text,
            probability: word.probability,
        };
        passage.segments.push(PassageSegment {
            start_ms: offset + u64::from(segment.start_ms),
            end_ms: offset + u64::from(segment.end_ms),
            text: segment.text,
            avg_logprob: segment.avg_logprob,
            no_speech_prob: segment.no_speech_prob,
            words: segment.words.into_iter().map(word).collect(),
            corrected: None,
        });
    }
}
