//! What a server in one process is told.

use crate::args::ServeArgs;
use crate::config::{ConfigError, EngineArgs, parallel_chunks};
use scriptorium_contracts::job::Limits;
use scriptorium_gateway::{GatewayConfig, UploadBase};
use scriptorium_shared::webhook::WebhookConfig;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Job state and recordings; locked while the server runs.
    pub data_dir: PathBuf,
    /// A Whisper model in CTranslate2 format.
    pub model_dir: PathBuf,
    /// Transcription slots.
    pub slots: usize,
    /// Audio of the longest task; chunks with more are divided.
    pub part_length: Duration,
    pub gateway: GatewayConfig,
    pub webhooks: WebhookConfig,
    /// Between two looks for what is late, lost or over.
    pub sweep_interval: Duration,
    /// For work in hand when told to stop.
    pub drain: Duration,
}

impl ServeConfig {
    /// The defaults.
    pub fn new(data_dir: PathBuf, engine: &EngineArgs) -> Self {
        let (model_dir, slots) = (engine.model_dir(Some(&data_dir)), engine.slots());
        let limits = Limits { max_parallel_chunks: parallel_chunks(slots), ..Limits::default() };
        Self {
            data_dir,
            model_dir,
            slots,
            part_length: Duration::from_secs(300),
            gateway: GatewayConfig {
                upload_base: UploadBase::FromRequestHost,
                limits,
                ..GatewayConfig::default()
            },
            webhooks: WebhookConfig::default(),
            sweep_interval: Duration::from_secs(10),
            drain: Duration::from_secs(20),
        }
    }
}

impl TryFrom<&ServeArgs> for ServeConfig {
    type Error = ConfigError;

    fn try_from(args: &ServeArgs) -> Result<Self, ConfigError> {
        let limits = &args.limits;
        let mut config = Self::new(args.storage.data_dir()?, &args.engine);
        config.sweep_interval = args.sweep.sweep_interval_seconds;
        config.drain = args.drain.drain_seconds;
        config.part_length = args.part.part_seconds;
        config.webhooks = args.webhooks.settings()?;
        config.gateway = limits.gateway(config.slots, config.gateway.upload_base, &config.webhooks);
        Ok(config)
    }
}
