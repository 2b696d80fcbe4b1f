//! The engines: one sleeps, one says who it is, one ends its process, one takes what is loud for another language.

use async_trait::async_trait;
use scriptorium_shared::waits::Waits;
use scriptorium_worker::engine::{
    Detected, Engine, EngineError, EngineInfo, Identity, SAMPLE_RATE, Window, WindowSegment, WindowText,
};
use std::time::Duration;
use tokio::sync::Semaphore;

/// What a sample of a deadly window, or of one in doubt, exceeds; ordinary sound must stay well below it.
pub const LOUD: f32 = 0.7;

/// Takes its time for each window, and says of it how long it is.
pub struct Sleep {
    window: Duration,
    /// As a model has replicas: so many windows at once.
    slots: Semaphore,
}

impl Sleep {
    /// `window` is the time that one takes.
    pub fn new(window: Duration, slots: usize) -> Self {
        Self { window, slots: Semaphore::new(slots) }
    }
}

#[async_trait]
impl Engine for Sleep {
    async fn transcribe(&self, window: Window, _: &Waits) -> Result<WindowText, EngineError> {
        let samples = window.samples.len();
        let _slot = self.slots.acquire().await.map_err(|_| EngineError::Closed)?;
        tokio::time::sleep(self.window).await;
        let segment = WindowSegment {
            start_ms: 0,
            end_ms: u32::try_from(samples as u64 * 1_000 / u64::from(SAMPLE_RATE)).unwrap(),
            text: format!("{samples} samples"),
            avg_logprob: 0.0,
            no_speech_prob: 0.0,
            compression_ratio: 1.0,
            words: Vec::new(),
        };
        let language = window.language.unwrap_or_else(|| "und".to_owned());
        Ok(WindowText { language, segments: vec![segment], attempts: 1 })
    }

    async fn detect_language(&self, _: Vec<f32>, _: &Waits) -> Result<Detected, EngineError> {
        Ok(Detected { language: "und".to_owned(), probability: 1.0 })
    }

    fn info(&self) -> EngineInfo {
        EngineInfo {
            engine: "sleep",
            model: String::new(),
            multilingual: false,
            languages: vec!["und".to_owned()],
            word_timestamps: false,
        }
    }

    /// Its time is what is tested.
    fn identity(&self) -> Option<&Identity> {
        None
    }

    async fn close(&self) {
        self.slots.close();
    }
}

/// Says of each window in which process it was done. Otherwise as the engine within.
pub struct Signed(pub Sleep);

#[async_trait]
impl Engine for Signed {
    async fn transcribe(&self, window: Window, waits: &Waits) -> Result<WindowText, EngineError> {
        let mut text = self.0.transcribe(window, waits).await?;
        for segment in &mut text.segments {
            segment.text = std::process::id().to_string();
        }
        Ok(text)
    }

    async fn detect_language(&self, samples: Vec<f32>, waits: &Waits) -> Result<Detected, EngineError> {
        self.0.detect_language(samples, waits).await
    }

    fn info(&self) -> EngineInfo {
        self.0.info()
    }

    fn identity(&self) -> Option<&Identity> {
        None
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

/// Ends its process at a window with a sample above [`LOUD`], as a fault in a library would: no destructor runs, nobody is
/// told. Otherwise as the engine within.
pub struct Crash(pub Sleep);

#[async_trait]
impl Engine for Crash {
    async fn transcribe(&self, window: Window, waits: &Waits) -> Result<WindowText, EngineError> {
        if loud(&window.samples) {
            std::process::abort();
        }
        self.0.transcribe(window, waits).await
    }

    async fn detect_language(&self, samples: Vec<f32>, waits: &Waits) -> Result<Detected, EngineError> {
        self.0.detect_language(samples, waits).await
    }

    fn info(&self) -> EngineInfo {
        self.0.info()
    }

    fn identity(&self) -> Option<&Identity> {
        None
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

/// Hears English; where it is loud, and nobody says what it is, perhaps Welsh. Otherwise as the engine within.
pub struct Doubt(pub Sleep);

#[async_trait]
impl Engine for Doubt {
    async fn transcribe(&self, window: Window, waits: &Waits) -> Result<WindowText, EngineError> {
        self.0.transcribe(window, waits).await
    }

    async fn detect_language(&self, samples: Vec<f32>, _: &Waits) -> Result<Detected, EngineError> {
        let (language, probability) = if loud(&samples) { ("cy", 0.3) } else { ("en", 0.9) };
        Ok(Detected { language: language.to_owned(), probability })
    }

    fn info(&self) -> EngineInfo {
        let languages = vec!["cy".to_owned(), "en".to_owned()];
        EngineInfo { engine: "doubt", multilingual: true, languages, ..self.0.info() }
    }

    fn identity(&self) -> Option<&Identity> {
        None
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

fn loud(samples: &[f32]) -> bool {
    samples.iter().any(|sample| sample.abs() > LOUD)
}
