//! All roles in one process, on embedded parts: nothing else need be installed or started.

mod config;
mod data_dir;
mod roles;

pub use config::ServeConfig;
pub use data_dir::{Credentials, DataDir, DataDirError};
pub use roles::Role;

use crate::config::{ConfigError, load_llm};
use crate::engine;
use crate::exit::Exit;
use scriptorium_gateway::Tenancy;
use scriptorium_shared::bus::{Bus, EmbeddedBus};
use scriptorium_shared::cache::{Cache, CacheError, EmbeddedCache};
use scriptorium_shared::clock;
use scriptorium_shared::jobs::Jobs;
use scriptorium_shared::limiter::{EmbeddedLimiter, Limiter};
use scriptorium_shared::llm::Llm;
use scriptorium_shared::objects::embedded::S3Service;
use scriptorium_shared::objects::{Access, Objects, ObjectsConfig};
use scriptorium_shared::queue::{EmbeddedQueue, Queue};
use scriptorium_shared::store::{EmbeddedStore, Store};
use scriptorium_shared::tenants::{Directory, EmbeddedDirectory};
use scriptorium_worker::WindowCache;
use scriptorium_worker::engine::{Engine, EngineError};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The one bucket of the embedded object store.
const BUCKET: &str = "scriptorium";
/// In the data folder. Beside the server, the command that makes keys has it open.
pub const TENANTS_FILE: &str = "tenants.sqlite";
/// Signatures name a region; the embedded object store has none.
const REGION: &str = "local";

/// Why the server could not start, or ended.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the job store cannot be opened: {0}")]
    Store(#[from] scriptorium_shared::store::StoreError),
    #[error(
        "--require-keys, and there is no key yet, so nobody could call. Make one with `scriptorium admin keys create --tenant \
         NAME --data-dir {}`", .data_dir.display()
    )]
    NoKeys { data_dir: PathBuf },
    #[error("the object store cannot be opened: {0}")]
    ObjectFolder(#[from] scriptorium_shared::objects::embedded::OpenError),
    #[error("the object store cannot be reached: {0}")]
    Objects(#[from] scriptorium_shared::objects::ObjectsError),
    #[error("webhooks cannot be sent: {0}")]
    Webhooks(#[source] reqwest::Error),
    #[error("recordings cannot be fetched: {0}")]
    Sources(#[source] reqwest::Error),
    #[error("the jobs of the last run cannot be taken up: {0}")]
    Recovery(#[source] scriptorium_shared::jobs::JobsError),
    #[error("the {role} ended: {reason}")]
    Role { role: Role, reason: String },
    #[error("cannot set up signal handling: {0}")]
    Signals(#[source] io::Error),
}

impl ServeError {
    /// Whether the command or its surroundings must change, or the program failed.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::DataDir(_) | Self::Listen { .. } | Self::NoKeys { .. } => Exit::Usage,
            Self::Engine(error) if !error.retryable() => Exit::Usage,
            Self::Engine(_)
            | Self::Store(_)
            | Self::ObjectFolder(_)
            | Self::Objects(_)
            | Self::Webhooks(_)
            | Self::Sources(_)
            | Self::Recovery(_)
            | Self::Role { .. }
            | Self::Signals(_) => Exit::Failed,
        }
    }
}

/// A server that has all it needs, and has not begun to work.
pub struct Server {
    config: ServeConfig,
    data_dir: DataDir,
    engine: Arc<dyn Engine>,
    cache: WindowCache,
    llm: Option<Arc<Llm>>,
    jobs: Jobs,
    access: Tenancy,
    s3: S3Service,
}

impl Server {
    /// Locks the data folder, opens what is in it, loads the model. `address` is the listener's.
    ///
    /// # Errors
    /// The folder is in use or unusable, or the model is not there.
    pub async fn prepare(mut config: ServeConfig, address: SocketAddr) -> Result<Self, ServeError> {
        let mut data_dir = DataDir::open(&config.data_dir)?;
        data_dir.sign(&format!("process {}, {}", std::process::id(), url(address)))?;
        let credentials = data_dir.credentials()?;
        let store = EmbeddedStore::open(&data_dir.state_file())?;
        let s3 = S3Service::open(
            &data_dir.objects_dir(),
            BUCKET,
            &credentials.access_key,
            &credentials.secret_key,
        )?;
        let objects = Objects::new(ObjectsConfig {
            endpoint: url(address),
            public_endpoint: None,
            bucket: BUCKET.to_owned(),
            region: REGION.to_owned(),
            access: Access::Keys { access_key: credentials.access_key, secret_key: credentials.secret_key },
        })?;
        let limiter = Limiter::Embedded(EmbeddedLimiter::new());
        let directory = Directory::Embedded(EmbeddedDirectory::open(&data_dir.tenants_file())?);
        check_keys(&mut config, &directory, address).await?;
        let access = Tenancy { directory, limiter: limiter.clone() };
        let keep = !config.cache.ttl.is_zero();
        let llm = load_llm(config.llm.clone(), &limiter)?;
        let engine = engine::load(config.engine.clone(), config.slots, limiter, keep).await?;
        let cache = WindowCache::new(config.cache, &*engine, cache_file(&config, &data_dir).await);
        let jobs = Jobs::new(
            Store::Embedded(store),
            Queue::Embedded(EmbeddedQueue::new()),
            Bus::Embedded(EmbeddedBus::new()),
            objects,
        );
        Ok(Self { config, data_dir, engine, cache, llm, jobs, access, s3 })
    }

    /// What the log and the user are told at the start.
    pub fn describe(&self) -> String {
        let slots = self.config.slots;
        let plural = if slots == 1 { "" } else { "s" };
        let (model, dir) = (self.engine.info().model, self.data_dir.path().display());
        format!("model {model}, {slots} transcription slot{plural}, data in {dir}")
    }

    /// Serves until `shutdown`, then ends in order.
    ///
    /// # Errors
    /// A role ended before it was asked to.
    pub async fn run(self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), ServeError> {
        let Self { config, data_dir, engine, cache, llm, jobs, access, s3 } = self;
        let directory = access.directory.clone();
        let outcome = roles::run(&config, (engine, cache, llm), jobs, (s3, access), listener, shutdown).await;
        directory.close().await;
        // The lock ends last.
        drop(data_dir);
        outcome
    }
}

/// The cache's file. It is removed where it is not wanted, and done without where it can't be used.
async fn cache_file(config: &ServeConfig, data_dir: &DataDir) -> Option<Cache> {
    let (path, bytes) = (data_dir.cache_file(), config.cache_file);
    let wanted = bytes > 0 && !config.cache.ttl.is_zero();
    let work = move || {
        if wanted {
            return Ok(Some(EmbeddedCache::open(&path, bytes)?));
        }
        if let Err(error) = EmbeddedCache::remove(&path) {
            tracing::warn!(path = %path.display(), %error, "the cache's file can't be removed");
        }
        Ok::<_, CacheError>(None)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(cache)) => cache.map(Cache::Embedded),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the cache is kept in memory only");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "the cache is kept in memory only");
            None
        }
    }
}

/// Whoever is asked for a key must be able to have one; and where nobody is, only this machine's own names are answered to.
async fn check_keys(
    config: &mut ServeConfig,
    directory: &Directory,
    address: SocketAddr,
) -> Result<(), ServeError> {
    let loopback = address.ip().to_canonical().is_loopback();
    if !loopback || config.gateway.require_keys {
        config.gateway.allowed_hosts = None;
    }
    if !config.gateway.require_keys {
        return Ok(());
    }
    let now = clock::now();
    if directory.keys().await?.iter().any(|key| key.is_valid(now)) {
        return Ok(());
    }
    let error = ServeError::NoKeys { data_dir: config.data_dir.clone() };
    if loopback {
        tracing::warn!("{error}");
        return Ok(());
    }
    Err(error)
}

/// [`Server::prepare`] and [`Server::run`].
///
/// # Errors
/// See there.
pub async fn serve(
    config: ServeConfig,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let address = local_address(&listener)?;
    Server::prepare(config, address).await?.run(listener, shutdown).await
}

/// Listens on the first of `addresses` that can be had.
///
/// # Errors
/// None can be had.
pub async fn listen(addresses: &[SocketAddr], named: &str) -> Result<TcpListener, ServeError> {
    TcpListener::bind(addresses)
        .await
        .map_err(|source| ServeError::Listen { address: named.to_owned(), source })
}

/// # Errors
/// The system does not tell.
pub fn local_address(listener: &TcpListener) -> Result<SocketAddr, ServeError> {
    listener.local_addr().map_err(|source| ServeError::Listen { address: "the listener".to_owned(), source })
}

/// How this machine reaches a listener. "Any address" is no address to call.
pub fn url(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    format!("http://{address}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_listener_on_any_address_is_called_on_loopback() {
        for (address, expected) in [
            ("0.0.0.0:8787", "http://127.0.0.1:8787"),
            ("[::]:8787", "http://[::1]:8787"),
            ("127.0.0.1:1", "http://127.0.0.1:1"),
            ("192.0.2.7:80", "http://192.0.2.7:80"),
        ] {
            assert_eq!(url(address.parse().unwrap()), expected);
        }
    }
}
