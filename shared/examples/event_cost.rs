//! What one event of a chunk costs the job store in a small job and in the largest: `scripts/bench.sh events`
//! (benches/README.md). The argument is as for `store_figures`: a folder, or the URL of a Redis.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use scriptorium_contracts::JobId;
use scriptorium_contracts::job::{Input, MAX_CHUNKS};
use scriptorium_shared::jobs::{CreatedJob, Jobs};
use scriptorium_shared::store::{EmbeddedStore, RedisStore, Store};
use scriptorium_shared::testing::{RedisCorner, half_minute_of, jobs_on, media, new_id, new_job};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const SMALL: u32 = 100;
/// Chunks whose events are counted in each job: the last ones.
const COUNTED: u32 = 100;
/// Upload, start, completion.
const EVENTS_A_CHUNK: u32 = 3;
/// Jobs of each size, in turn. The quickest counts: the others were disturbed.
const ROUNDS: u32 = 15;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let place = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    if place.starts_with("redis") {
        let corner = RedisCorner::at(place);
        let store = RedisStore::connect(&corner.config(), &CancellationToken::new()).await.unwrap();
        compare(&jobs_on(Store::Redis(store)), "redis", Some(&corner)).await;
        return corner.clean().await;
    }
    let folder = PathBuf::from(place);
    let file = folder.join(format!("event-cost-{}.sqlite", std::process::id()));
    let jobs = jobs_on(Store::Embedded(EmbeddedStore::open(&file).unwrap()));
    compare(&jobs, "embedded", None).await;
    jobs.store.close().await;
    for end in ["", "-wal", "-shm", ".lock"] {
        let _ = std::fs::remove_file(format!("{}{end}", file.display()));
    }
}

async fn compare(jobs: &Jobs, store: &str, redis: Option<&RedisCorner>) {
    let mut times = [Duration::MAX; 2];
    let mut traffic = [Map::new(), Map::new()];
    for _ in 0..ROUNDS {
        for (at, chunks) in [SMALL, MAX_CHUNKS].into_iter().enumerate() {
            let job = make(jobs, chunks).await;
            let before = match redis {
                Some(redis) => Some((redis, redis.traffic().await)),
                None => None,
            };
            times[at] = times[at].min(chunk_events(jobs, job, chunks).await);
            if let Some((redis, before)) = before {
                let spent = redis.traffic().await.since(before);
                let figures = [
                    ("commands", spent.commands),
                    ("bytes_to_store", spent.received),
                    ("bytes_from_store", spent.sent),
                ];
                traffic[at] =
                    figures.map(|(name, sum)| (name.to_owned(), each(sum as f64))).into_iter().collect();
            }
        }
    }
    let mut lines = traffic;
    for (line, time) in lines.iter_mut().zip(times) {
        line.insert("microseconds".to_owned(), each(time.as_secs_f64() * 1e6));
    }
    let ratio = |(name, large): (&String, &Value)| {
        (name.clone(), rounded(large.as_f64().unwrap() / lines[0][name].as_f64().unwrap()))
    };
    let ratios: Map<String, Value> = lines[1].iter().map(ratio).collect();
    for (chunks, line) in [SMALL, MAX_CHUNKS].into_iter().zip(&lines) {
        println!(
            "{}",
            json!({"bench": "events", "store": store, "chunks_of_the_job": chunks, "one_event": line})
        );
    }
    println!("{}", json!({"bench": "events", "store": store, "largest_to_small": ratios}));
}

/// Of all events, that of one.
fn each(sum: f64) -> Value {
    rounded(sum / f64::from(COUNTED * EVENTS_A_CHUNK))
}

fn rounded(number: f64) -> Value {
    json!((number * 100.0).round() / 100.0)
}

/// A job whose recording has been recognised.
async fn make(jobs: &Jobs, chunks: u32) -> JobId {
    let job = match jobs.create(new_job(new_id(), chunks), None).await.unwrap() {
        CreatedJob::New(header) | CreatedJob::Existing(header) => header.id,
        CreatedJob::KeyReused => unreachable!("there is no key"),
    };
    jobs.advance(job, Input::Probed { media: media() }).await.unwrap();
    job
}

/// One caller, one event after the other: each with all that follows from it, as tasks, texts and progress.
async fn chunk_events(jobs: &Jobs, job: JobId, chunks: u32) -> Duration {
    let begin = Instant::now();
    for chunk in chunks - COUNTED..chunks {
        jobs.advance(job, Input::Uploaded { chunk }).await.unwrap();
        jobs.advance(job, Input::Started { chunk, part: None, epoch: 1 }).await.unwrap();
        let result = Box::new(half_minute_of(chunk));
        jobs.advance(job, Input::Completed { chunk, epoch: 1, result }).await.unwrap();
    }
    begin.elapsed()
}
