//! The loop with real embedded parts.

mod advance;
mod peers;
mod random;
mod restart;
mod sweep;

use super::Jobs;
use crate::bus::{Bus, EmbeddedBus};
use crate::objects::embedded::S3Service;
use crate::objects::{Access, Objects, ObjectsConfig};
use crate::queue::{EmbeddedQueue, Queue};
use crate::store::{EmbeddedStore, Store};
use crate::testing::no_objects;
use std::path::Path;
use tempfile::TempDir;
use tokio::task::JoinSet;

/// What a process starts with on a folder: state from the disk, an empty queue.
fn start(folder: &Path, objects: Objects) -> Jobs {
    let store = Store::Embedded(EmbeddedStore::open(&folder.join("jobs.sqlite")).unwrap());
    Jobs::new(store, Queue::Embedded(EmbeddedQueue::new()), Bus::Embedded(EmbeddedBus::new()), objects)
}

/// A process without an object store, on a folder of its own.
fn fresh() -> (TempDir, Jobs) {
    let folder = TempDir::new().unwrap();
    let jobs = start(folder.path(), no_objects());
    (folder, jobs)
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
