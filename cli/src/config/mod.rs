//! What the program can be told: one struct a concern, every option also as `SCRIPTORIUM_<OPTION>`.
//!
//! The comments of the fields are the help text and, with it, `docs/config.md`.

mod access;
mod cache;
mod engine;
mod file;
mod limits;
mod llm;
mod log;
mod network;
mod openai;
mod ops;
mod services;
mod source;
mod storage;
mod times;
mod tls;
mod values;
mod webhook;

pub use access::{ApiKey, DirectoryArgs, KeyArgs, OwnLimitArgs, TenantArgs};
pub use cache::{CacheArgs, CacheFileArgs, CacheServiceArgs};
pub use engine::{EngineArgs, EngineChoice, EngineKind};
pub use file::with_settings;
pub use limits::{LimitArgs, parallel_chunks};
pub use llm::{AllowLlmArgs, LlmArgs, load_llm};
pub use log::{LogArgs, LogFormat};
pub use network::NetworkArgs;
pub use openai::OpenAiArgs;
pub use ops::OpsArgs;
pub use services::{BrokerArgs, BucketArgs, JobStoreArgs, LimiterArgs};
pub use source::{ImportArgs, SourceArgs};
pub use storage::{StorageArgs, default_cache_dir, default_data_dir};
pub use times::{DrainArgs, PartArgs, SweepArgs};
pub use tls::TlsArgs;
pub use webhook::WebhookArgs;

use std::path::PathBuf;
use thiserror::Error;

/// A setting that cannot be used as it is.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file that `--config` names. What stands in it is not told: it may hold a password.
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error(
        "cannot tell where data belongs, because neither XDG_DATA_HOME nor HOME is set; name a folder with --data-dir"
    )]
    NoHome,
    /// The address itself is not told: it may hold a password.
    #[error("{option} must be an address that begins with {schemes}")]
    Address { option: &'static str, schemes: &'static str },
    #[error(
        "--s3-public-endpoint without --s3-endpoint: say where this process itself reaches the object store"
    )]
    PublicEndpointAlone,
    #[error(
        "--import-bucket: it has to be another bucket than that of --s3-bucket, in which all jobs' recordings lie"
    )]
    ImportBucket,
    #[error("{option}: {}: {reason}", path.display())]
    TlsFile { option: &'static str, path: PathBuf, reason: String },
    #[error("--tls-ca-file, --tls-certificate-file, --tls-key-file: {0}")]
    Tls(#[from] scriptorium_shared::tls::TlsError),
    #[error("--tls-certificate-file and --tls-key-file belong together: give both or none")]
    HalfAnIdentity,
    /// The secret itself is not told.
    #[error("--webhook-secret: {0}")]
    WebhookSecret(#[from] scriptorium_shared::webhook::SecretError),
    #[error(
        "--engine openai calls api.openai.com, which needs a key: give --openai-api-key (better as the variable \
         SCRIPTORIUM_OPENAI_API_KEY), or name another server with --openai-base-url"
    )]
    NoApiKey,
    #[error("{option}: the address has a name or a password; give the key by its own variable")]
    BaseUrlPassword { option: &'static str },
    #[error("{option}: give one key, or one for each address")]
    ApiKeys { option: &'static str },
    #[error(
        "--engine openai and --llm-base-url need --redis-url: the calls of all workers are counted there, so that together \
         they keep the service's limits"
    )]
    NoCommonLimits,
    #[error("--llm-base-url without --llm-model: say which model of the service is to correct the text")]
    NoLlmModel,
    #[error("the language model cannot be called: {0}")]
    Llm(#[source] reqwest::Error),
    #[error("--listen {listen}: {reason}")]
    Listen { listen: String, reason: String },
    #[error(
        "--listen {listen} can be reached from other machines, and this server does not ask who is calling: anyone there \
         could upload and read everything. Say --require-keys, and make a key with `scriptorium admin keys create --tenant \
         NAME`; or say --allow-unauthenticated if something in front keeps strangers out"
    )]
    OpenToOthers { listen: String },
}
