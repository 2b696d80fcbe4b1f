//! What the program can be told: one struct a concern, every option also as `SCRIPTORIUM_<OPTION>`.
//!
//! The comments of the fields are the help text and, with it, `docs/config.md`.

mod engine;
mod limits;
mod log;
mod network;
mod storage;
mod values;

pub use engine::EngineArgs;
pub use limits::{LimitArgs, parallel_chunks};
pub use log::{LogArgs, LogFormat};
pub use network::NetworkArgs;
pub use storage::{StorageArgs, default_cache_dir, default_data_dir};

use thiserror::Error;

/// A setting that cannot be used as it is.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error(
        "cannot tell where data belongs, because neither XDG_DATA_HOME nor HOME is set; name a folder with --data-dir"
    )]
    NoHome,
    #[error("--listen {listen}: {reason}")]
    Listen { listen: String, reason: String },
    #[error(
        "--listen {listen} can be reached from other machines, and this server does not ask who is calling: anyone there \
         could upload and read everything. Listen on 127.0.0.1 and put a proxy that asks for a password in front, or say \
         --allow-unauthenticated if the network itself keeps strangers out. (API keys come with a later version.)"
    )]
    OpenToOthers { listen: String },
}
