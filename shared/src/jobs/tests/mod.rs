//! The loop with real parts: the embedded queue and object store, and the job store and bus of either kind.

/// Each of these functions is two tests: with the embedded store and bus, and with those in Redis (skipped where there
/// is none, see [`crate::testing::RedisCorner`]).
macro_rules! on_each_store {
    ($($name:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(&super::super::Place::embedded()).await;
            })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let Some(place) = super::super::Place::redis() else { return };
                super::$name(&place).await;
                place.clean().await;
            })*
        }
    };
}

mod advance;
mod delete;
mod list;
mod lost_second;
mod peers;
mod random;
mod restart;
mod sources;
mod sweep;
mod webhooks;

use super::Jobs;
use crate::bus::{Bus, EmbeddedBus, RedisBus};
use crate::objects::embedded::S3Service;
use crate::objects::{Access, Objects, ObjectsConfig};
use crate::queue::{EmbeddedQueue, Queue};
use crate::store::{RedisStore, Store};
use crate::tenants::{Directory, EmbeddedDirectory, RedisDirectory};
use crate::testing::{RedisCorner, embedded_store, no_objects};
use std::path::Path;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What outlives the processes of a test.
struct Place {
    folder: TempDir,
    /// The job store and the bus are there.
    redis: Option<RedisCorner>,
}

impl Place {
    fn embedded() -> Self {
        Self { folder: TempDir::new().unwrap(), redis: None }
    }

    /// `None`: the test is to be skipped.
    fn redis() -> Option<Self> {
        Some(Self { folder: TempDir::new().unwrap(), redis: Some(RedisCorner::new()?) })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What a process starts with: state from before, an empty queue.
    async fn start(&self, objects: Objects) -> Jobs {
        let (store, bus) = match &self.redis {
            None => {
                let store = embedded_store(&self.path().join("jobs.sqlite"));
                (store, Bus::Embedded(EmbeddedBus::new()))
            }
            Some(corner) => {
                let (config, shutdown) = (corner.config(), CancellationToken::new());
                let store = RedisStore::connect(&config, &shutdown).await.unwrap();
                (Store::Redis(store), Bus::Redis(RedisBus::connect(&config, &shutdown).await.unwrap()))
            }
        };
        Jobs::new(store, Queue::Embedded(EmbeddedQueue::new()), bus, objects)
    }

    /// Keys and secrets of tenants.
    async fn directory(&self) -> Directory {
        match &self.redis {
            None => {
                Directory::Embedded(EmbeddedDirectory::open(&self.path().join("tenants.sqlite")).unwrap())
            }
            Some(corner) => {
                let connected = RedisDirectory::connect(&corner.config(), &CancellationToken::new()).await;
                Directory::Redis(connected.unwrap())
            }
        }
    }

    /// A process without an object store.
    async fn fresh(&self) -> Jobs {
        self.start(no_objects()).await
    }

    async fn clean(self) {
        if let Some(corner) = self.redis {
            corner.clean().await;
        }
    }
}

/// An object store that answers as long as this lives.
struct Bucket {
    objects: Objects,
    _server: JoinSet<()>,
}

async fn bucket(folder: &Path) -> Bucket {
    let service = S3Service::open(&folder.join("objects"), "scriptorium", "access", "secret").unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, service.router()).await.unwrap() });
    let objects = Objects::new(ObjectsConfig {
        endpoint,
        public_endpoint: None,
        bucket: "scriptorium".to_owned(),
        region: "local".to_owned(),
        access: Access::Keys { access_key: "access".to_owned(), secret_key: "secret".to_owned() },
    });
    Bucket { objects: objects.unwrap(), _server: server }
}
