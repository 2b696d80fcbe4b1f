//! Makes the engine that was chosen.

use crate::config::EngineChoice;
use scriptorium_shared::limiter::Limiter;
use scriptorium_worker::engine::{Engine, EngineConfig, EngineError, OpenAi, Whisper};
use std::sync::Arc;

/// `limiter` counts the calls of a service; a model on this machine has no use for it. `keep`: its texts are kept for later.
///
/// # Errors
/// The model is not there or can't be used.
pub async fn load(
    choice: EngineChoice,
    slots: usize,
    limiter: Limiter,
    keep: bool,
) -> Result<Arc<dyn Engine>, EngineError> {
    match choice {
        EngineChoice::Whisper { model_dir } => {
            let config = EngineConfig { slots, identify: keep, ..EngineConfig::new(model_dir) };
            // Loading blocks its thread for a second or more.
            let loading = tokio::task::spawn_blocking(move || Whisper::load(config));
            let engine = loading.await.map_err(|problem| EngineError::Inference(problem.to_string()))??;
            Ok(Arc::new(engine))
        }
        EngineChoice::OpenAi(config) => Ok(Arc::new(OpenAi::new(config, limiter)?)),
    }
}
