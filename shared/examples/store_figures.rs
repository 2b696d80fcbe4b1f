//! What a store does in a second: commits alone and from many callers (`event_cost` tells what an event costs). Run with `--release --features testing`; the first argument is the folder whose disk is measured
//! (the current one if there is none), or the URL of a Redis, in which a corner is used and left as it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use scriptorium_contracts::JobId;
use scriptorium_contracts::job::Input;
use scriptorium_shared::jobs::{CreatedJob, Jobs};
use scriptorium_shared::store::{EmbeddedStore, RedisStore, Store};
use scriptorium_shared::testing::{RedisCorner, jobs_on, new_id, new_job};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const SPAN: Duration = Duration::from_secs(3);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let place = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    if place.starts_with("redis") {
        let corner = RedisCorner::at(place);
        let store = RedisStore::connect(&corner.config(), &CancellationToken::new()).await.unwrap();
        figures(&jobs_on(Store::Redis(store))).await;
        return corner.clean().await;
    }
    let folder = PathBuf::from(place);
    let file = folder.join(format!("store-figures-{}.sqlite", std::process::id()));
    let jobs = jobs_on(Store::Embedded(EmbeddedStore::open(&file).unwrap()));
    figures(&jobs).await;
    for end in ["", "-wal", "-shm", ".lock"] {
        let _ = std::fs::remove_file(format!("{}{end}", file.display()));
    }
}

async fn figures(jobs: &Jobs) {
    for callers in [1, 8, 32, 64] {
        println!("{callers:>3} callers: {:>6.0} commits a second", commits(jobs, callers).await);
    }
    jobs.store.close().await;
}

async fn make(jobs: &Jobs, chunks: u32) -> JobId {
    match jobs.create(new_job(new_id(), chunks), None).await.unwrap() {
        CreatedJob::New(header) | CreatedJob::Existing(header) => header.id,
        CreatedJob::KeyReused => unreachable!("there is no key"),
    }
}

/// Each caller advances a job of its own; only the commits that change something count.
async fn commits(jobs: &Jobs, callers: u32) -> f64 {
    let mut tasks = JoinSet::new();
    let begin = Instant::now();
    for _ in 0..callers {
        let jobs = jobs.clone();
        tasks.spawn(async move {
            let mut done = 0u32;
            while begin.elapsed() < SPAN {
                let job = make(&jobs, 50).await;
                done += 1;
                for chunk in 1..50 {
                    jobs.advance(job, Input::Uploaded { chunk }).await.unwrap();
                    done += 1;
                }
            }
            done
        });
    }
    let done: u32 = tasks.join_all().await.into_iter().sum();
    f64::from(done) / begin.elapsed().as_secs_f64()
}
