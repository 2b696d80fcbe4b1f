//! What a chunk event costs in commands and bytes, and what a chunk costs in memory: the same in a small job and in
//! the largest.

use super::open;
use crate::jobs::JobQuery;
use crate::redis::server::RedisServer;
use crate::testing::{RedisTraffic, half_minute_of, jobs_on, media, new_id, new_job};
use redis::aio::MultiplexedConnection;
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::{Input, MAX_CHUNKS};

/// Chunks of a job whose events are counted.
const COUNTED: u32 = 100;

/// Uploads and completes the last chunks of the job, and returns what that cost.
async fn chunk_events(server: &RedisServer, chunks: u32) -> RedisTraffic {
    let jobs = jobs_on(open(&server.config()).await);
    let job = new_id();
    jobs.create(new_job(job, chunks), None).await.unwrap();
    jobs.advance(job, Input::Probed { media: media() }).await.unwrap();
    let corner = server.corner();
    let before = corner.traffic().await;
    for chunk in chunks - COUNTED..chunks {
        jobs.advance(job, Input::Uploaded { chunk }).await.unwrap();
        let result = Box::new(half_minute_of(chunk));
        jobs.advance(job, Input::Completed { chunk, epoch: 1, result }).await.unwrap();
    }
    corner.traffic().await.since(before)
}

#[tokio::test]
async fn a_chunk_event_costs_the_same_in_every_job() {
    let Some(server) = RedisServer::start(&[]).await else { return };
    let (small, large) = (chunk_events(&server, COUNTED).await, chunk_events(&server, MAX_CHUNKS).await);
    println!("{COUNTED} chunks uploaded and completed in a job of {COUNTED}: {small:?}");
    println!("{COUNTED} chunks uploaded and completed in a job of {MAX_CHUNKS}: {large:?}");
    assert!(large.commands * 100 <= small.commands * 105, "as many commands");
    // Each of the two changes loads and stores the header once or twice. In there are some sets of chunks, in each a
    // bit a chunk, written as hexadecimal digits; nothing else may grow.
    let sets = u64::from(COUNTED) * 4 * 3 * u64::from(MAX_CHUNKS / 4);
    assert!(large.received <= small.received * 11 / 10 + sets, "as many bytes to Redis");
    assert!(large.sent <= small.sent * 11 / 10 + sets, "as many bytes from Redis");
}

async fn usage(connection: &mut MultiplexedConnection, job: JobId, what: &str) -> u64 {
    let key = super::super::keys::Keys::new("scriptorium").job(job);
    let key = match what {
        "header" => key.header,
        "chunks" => key.chunks,
        "results" => key.results,
        "events" => key.events,
        _ => panic!("{what}"),
    };
    let mut asking = redis::cmd("MEMORY");
    // All of it, not a guess from a sample.
    asking.arg("USAGE").arg(key).arg("SAMPLES").arg(0);
    asking.query_async(connection).await.unwrap()
}

/// The figures of docs/operations.md.
#[tokio::test]
async fn the_memory_of_the_largest_job() {
    let Some(server) = RedisServer::start(&["--appendfsync", "no"]).await else { return };
    let jobs = jobs_on(open(&server.config()).await);
    let job = new_id();
    jobs.create(new_job(job, MAX_CHUNKS), None).await.unwrap();
    jobs.advance(job, Input::Probed { media: media() }).await.unwrap();
    let mut connection = server.corner().connection().await;
    let text = serde_json::to_vec(&half_minute_of(0)).unwrap().len() as u64;
    for chunk in 0..MAX_CHUNKS {
        jobs.advance(job, Input::Uploaded { chunk }).await.unwrap();
        let result = Box::new(half_minute_of(chunk));
        jobs.advance(job, Input::Completed { chunk, epoch: 1, result }).await.unwrap();
    }
    let mut whole = 0;
    for what in ["header", "chunks", "results", "events"] {
        let bytes = usage(&mut connection, job, what).await;
        println!("{what}: {bytes} bytes, {} a chunk", bytes / u64::from(MAX_CHUNKS));
        whole += bytes;
    }
    let each = whole / u64::from(MAX_CHUNKS);
    println!("{each} bytes a chunk, of which the result's text is {text}");
    assert!(each < 3 * text + 2_048, "memory grows with what is said and little else");
}

/// How often Redis was asked to look through all its keys.
async fn searches(server: &RedisServer) -> Vec<String> {
    let mut connection = server.corner().connection().await;
    let told: String = redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.unwrap();
    assert!(told.contains("cmdstat_"), "{told}");
    let search = |line: &&str| line.starts_with("cmdstat_keys:") || line.starts_with("cmdstat_scan:");
    told.lines().filter(search).map(str::to_owned).collect()
}

/// It would hold up every other client, the longer the more jobs there are.
#[tokio::test]
async fn nothing_looks_through_all_keys() {
    let Some(server) = RedisServer::start(&[]).await else { return };
    let store = open(&server.config()).await;
    let jobs = jobs_on(store.clone());
    let job = new_id();
    jobs.create(new_job(job, 2), None).await.unwrap();
    jobs.advance(job, Input::Probed { media: media() }).await.unwrap();
    for chunk in 0..2 {
        jobs.advance(job, Input::Uploaded { chunk }).await.unwrap();
        let result = Box::new(half_minute_of(chunk));
        jobs.advance(job, Input::Completed { chunk, epoch: 1, result }).await.unwrap();
    }
    assert_eq!(jobs.list(JobQuery::default(), 10).await.unwrap().jobs.len(), 1);
    // There is no object store here, of which a sweep complains at its end.
    let _ = jobs.sweep_once().await;
    assert_eq!(store.jobs_to_sweep(None, 10).await.unwrap(), [job]);
    assert!(!store.events(job, 0, 100).await.unwrap().is_empty());
    assert_eq!(searches(&server).await, [""; 0]);
    // Such a question would be seen.
    let mut connection = server.corner().connection().await;
    for search in ["KEYS", "SCAN"] {
        let pattern = if search == "KEYS" { "*" } else { "0" };
        redis::cmd(search).arg(pattern).exec_async(&mut connection).await.unwrap();
    }
    assert_eq!(searches(&server).await.len(), 2);
}
