//! What the engine has answered before is not asked again.
//!
//! A transcript is a function of windows' sounds, and so is each of its windows' text. So the text of a window is kept under a
//! digest of all that it depends on ([`key`]), sealed ([`value`]), in two levels: the memory of this process, and a cache that
//! others may share, or that outlives the process. Whatever goes wrong there is a miss: it costs time, never a text.

mod key;
mod memory;
mod value;

use crate::engine::{Detected, Engine, EngineError, Identity, Window, WindowText};
use bytes::Bytes;
use key::{Key, Question};
use memory::Memory;
use scriptorium_contracts::message::ChunkTask;
use scriptorium_shared::cache::{Cache, CacheError};
use scriptorium_shared::clock;
use scriptorium_shared::waits::Waits;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// For so long the second level is left alone after it has failed: a window waits for it once, not each time.
const REST: Duration = Duration::from_secs(30);

/// How long answers are kept, and in how many bytes of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    pub ttl: Duration,
    pub memory_bytes: usize,
}

/// The cache of a worker. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct WindowCache(Option<Arc<Levels>>);

struct Levels {
    identity: Identity,
    ttl: Duration,
    memory: Mutex<Memory>,
    second: Option<Cache>,
    /// Until when the second level is left alone.
    resting: Mutex<Option<Instant>>,
}

impl WindowCache {
    /// Keeps nothing and finds nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Of an engine's answers. [`off`](Self::off) if the engine does not want them kept, or not for any time.
    pub fn new(settings: CacheSettings, engine: &dyn Engine, second: Option<Cache>) -> Self {
        let identity = engine.identity().filter(|_| !settings.ttl.is_zero());
        Self(identity.map(|identity| {
            Arc::new(Levels {
                identity: identity.clone(),
                ttl: settings.ttl,
                memory: Mutex::new(Memory::new(settings.memory_bytes)),
                second,
                resting: Mutex::default(),
            })
        }))
    }

    /// What the engine says to one task's questions, as far as it need be asked.
    pub(crate) fn before(&self, engine: &Arc<dyn Engine>, task: &ChunkTask, waits: Arc<Waits>) -> Known {
        Known {
            engine: Arc::clone(engine),
            levels: self.0.clone().filter(|_| !task.options.no_cache),
            tenant: task.tenant.as_ref().map(|tenant| Arc::from(tenant.as_str())),
            waits,
        }
    }
}

/// The engine behind its cache, for one task. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Known {
    engine: Arc<dyn Engine>,
    levels: Option<Arc<Levels>>,
    tenant: Option<Arc<str>>,
    /// Of the engine's calls.
    waits: Arc<Waits>,
}

impl Known {
    /// As [`Engine::transcribe`], and whether the text was known.
    pub async fn transcribe(&self, window: Window) -> Result<(WindowText, bool), EngineError> {
        let Some(levels) = &self.levels else {
            return Ok((self.engine.transcribe(window, &self.waits).await?, false));
        };
        let (window, key) = self.key(levels, window, |window| Question::Text(window)).await?;
        if let Some(text) = levels.find::<WindowText>(&key).await {
            return Ok((text, true));
        }
        let text = self.engine.transcribe(window, &self.waits).await?;
        levels.keep(&key, text.clone()).await;
        Ok((text, false))
    }

    /// As [`Engine::detect_language`].
    pub async fn detect_language(&self, samples: Vec<f32>) -> Result<Detected, EngineError> {
        // One that knows a single language need not listen.
        let Some(levels) = self.levels.as_ref().filter(|_| self.is_multilingual()) else {
            return self.engine.detect_language(samples, &self.waits).await;
        };
        let (samples, key) = self.key(levels, samples, |samples| Question::Language(samples)).await?;
        if let Some(detected) = levels.find::<Detected>(&key).await {
            return Ok(detected);
        }
        let detected = self.engine.detect_language(samples, &self.waits).await?;
        levels.keep(&key, detected.clone()).await;
        Ok(detected)
    }

    pub fn is_multilingual(&self) -> bool {
        self.engine.info().multilingual
    }

    /// A millisecond of computing or some more, so on a thread made for that.
    async fn key<T: Send + 'static>(
        &self,
        levels: &Arc<Levels>,
        asked: T,
        question: impl for<'a> Fn(&'a T) -> Question<'a> + Send + 'static,
    ) -> Result<(T, Key), EngineError> {
        let (levels, tenant) = (Arc::clone(levels), self.tenant.clone());
        let work = move || {
            let key = Key::of(&levels.identity, tenant.as_deref(), question(&asked));
            (asked, key)
        };
        // It fails only if the runtime is shutting down.
        tokio::task::spawn_blocking(work).await.map_err(|_| EngineError::Closed)
    }
}

impl Levels {
    async fn find<T: value::Answer>(&self, key: &Key) -> Option<T> {
        let open = |sealed: &Bytes| value::open::<T>(key, sealed, self.ttl, clock::now());
        let near = self.memory(|memory| memory.get(&key.name));
        if let Some(sealed) = near {
            if let Some(answer) = open(&sealed) {
                debug!("known in memory");
                return Some(answer);
            }
            self.memory(|memory| memory.remove(&key.name));
        }
        let second = self.second()?;
        let sealed = self.heard(second.get(&key.name).await)??;
        let Some(answer) = open(&sealed) else {
            warn!("a value in the cache is not what it should be, or too old; it is computed again");
            return None;
        };
        self.memory(|memory| memory.put(key.name, sealed));
        debug!("known in the second level of the cache");
        Some(answer)
    }

    async fn keep<T: value::Answer>(&self, key: &Key, answer: T) {
        let Some(sealed) = value::seal(key, answer, clock::now()) else { return };
        self.memory(|memory| memory.put(key.name, sealed.clone()));
        if let Some(second) = self.second() {
            self.heard(second.put(&key.name, sealed, self.ttl).await);
        }
    }

    fn memory<T>(&self, work: impl FnOnce(&mut Memory) -> T) -> T {
        work(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The second level, if there is one and it is not at rest.
    fn second(&self) -> Option<&Cache> {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        let at_rest = resting.is_some_and(|until| Instant::now() < until);
        self.second.as_ref().filter(|_| !at_rest)
    }

    /// What it said, if it said anything.
    fn heard<T>(&self, outcome: Result<T, CacheError>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(problem) => {
                let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                // Those who asked at the same time say the same.
                if resting.is_none_or(|until| until <= now) {
                    warn!(%problem, "the cache is done without for a while; the work is done all the same");
                    *resting = Some(now + REST);
                }
                None
            }
        }
    }
}

/// Without what is in it.
impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Levels").field("ttl", &self.ttl).field("second", &self.second).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
