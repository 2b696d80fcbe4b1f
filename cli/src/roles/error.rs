//! Why a role could not start, or ended.

use crate::config::ConfigError;
use crate::exit::Exit;
use scriptorium_coordinator::CoordinatorError;
use scriptorium_gateway::GatewayError;
use scriptorium_shared::objects::ObjectsError;
use scriptorium_shared::queue::QueueError;
use scriptorium_shared::redis::RedisError;
use scriptorium_shared::store::StoreError;
use scriptorium_worker::WorkerError;
use scriptorium_worker::engine::EngineError;
use std::io;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum RoleError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error("cannot set up signal handling: {0}")]
    Signals(#[source] io::Error),
    #[error("RabbitMQ: {0}")]
    Queue(#[from] QueueError),
    #[error("Redis: {0}")]
    Store(#[from] StoreError),
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    #[error("{0}")]
    Objects(#[from] ObjectsError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error(transparent)]
    Worker(#[from] WorkerError),
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
    #[error("webhooks cannot be sent: {0}")]
    Webhooks(#[source] reqwest::Error),
    #[error("recordings cannot be fetched: {0}")]
    Sources(#[source] reqwest::Error),
    #[error("the role ended without being asked to")]
    Ended,
}

impl RoleError {
    /// Whether the command or its surroundings must change, or the program failed.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Listen { .. } => Exit::Usage,
            Self::Queue(error) if !error.retryable() => Exit::Usage,
            Self::Objects(error) if !error.retryable() => Exit::Usage,
            Self::Engine(error) if !error.retryable() => Exit::Usage,
            Self::Redis(error) if !error.retryable() => Exit::Usage,
            Self::Signals(_)
            | Self::Queue(_)
            | Self::Store(_)
            | Self::Redis(_)
            | Self::Objects(_)
            | Self::Engine(_)
            | Self::Gateway(_)
            | Self::Worker(_)
            | Self::Coordinator(_)
            | Self::Webhooks(_)
            | Self::Sources(_)
            | Self::Ended => Exit::Failed,
        }
    }
}
