//! What a server in one process is told.

use crate::args::ServeArgs;
use crate::config::{ConfigError, EngineChoice, parallel_chunks};
use scriptorium_contracts::job::Limits;
use scriptorium_gateway::{GatewayConfig, UploadBase};
use scriptorium_shared::llm::LlmConfig;
use scriptorium_shared::source::SourceConfig;
use scriptorium_shared::webhook::WebhookConfig;
use scriptorium_worker::CacheSettings;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Job state and recordings; locked while the server runs.
    pub data_dir: PathBuf,
    pub engine: EngineChoice,
    /// Transcription slots.
    pub slots: usize,
    /// Corrects the text of jobs that ask for it.
    pub llm: Option<LlmConfig>,
    pub cache: CacheSettings,
    /// Bytes of it in the data folder.
    pub cache_file: u64,
    /// Audio of the longest task; chunks with more are divided.
    pub part_length: Duration,
    pub gateway: GatewayConfig,
    pub webhooks: WebhookConfig,
    pub sources: SourceConfig,
    /// Between two looks for what is late, lost or over.
    pub sweep_interval: Duration,
    /// For work in hand when told to stop.
    pub drain: Duration,
}

impl ServeConfig {
    /// The defaults, without a cache.
    pub fn new(data_dir: PathBuf, engine: EngineChoice, slots: usize) -> Self {
        let limits = Limits { max_parallel_chunks: parallel_chunks(slots), ..Limits::default() };
        Self {
            data_dir,
            engine,
            slots,
            llm: None,
            cache: CacheSettings { ttl: Duration::ZERO, memory_bytes: 0 },
            cache_file: 0,
            part_length: Duration::from_secs(300),
            gateway: GatewayConfig {
                upload_base: UploadBase::FromRequestHost,
                allowed_hosts: Some(Vec::new()),
                limits,
                ..GatewayConfig::default()
            },
            webhooks: WebhookConfig::default(),
            sources: SourceConfig::default(),
            sweep_interval: Duration::from_secs(10),
            drain: Duration::from_secs(20),
        }
    }
}

impl TryFrom<&ServeArgs> for ServeConfig {
    type Error = ConfigError;

    fn try_from(args: &ServeArgs) -> Result<Self, ConfigError> {
        let limits = &args.limits;
        let data_dir = args.storage.data_dir()?;
        let engine = args.engine.choice(Some(&data_dir))?;
        let mut config = Self::new(data_dir, engine, args.engine.slots());
        config.llm = args.llm.config()?;
        config.cache = args.cache.settings();
        config.cache_file = args.cache_file.bytes();
        config.sweep_interval = args.sweep.sweep_interval_seconds;
        config.drain = args.drain.drain_seconds;
        config.part_length = args.part.part_seconds;
        config.webhooks = args.webhooks.settings()?;
        config.sources = args.sources.settings();
        config.gateway = limits.gateway(config.slots, config.gateway.upload_base, &config.webhooks);
        config.gateway.llm = config.llm.is_some();
        config.gateway.require_keys = args.keys.require_keys;
        config.gateway.allowed_hosts = Some(args.keys.allowed_hosts.clone());
        config.gateway.tenant_limits = args.tenants.limits();
        Ok(config)
    }
}
