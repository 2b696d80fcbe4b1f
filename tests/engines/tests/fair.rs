//! Who does what, on the real roles and services: a job of two thousand chunks beside a new one of two, and one chunk among
//! several workers.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use futures::{StreamExt, stream};
use scriptorium_test_engines::bursts::{MIB, bursts, first_and_later, soft_but};
use scriptorium_test_engines::processes::Fleet;
use scriptorium_tests::{Client, Frame, Plan, Session, Stack, services};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

const CHUNKS: usize = 2_000;
/// A gateway takes so many requests of one client at once.
const REQUESTS: usize = 5;

#[tokio::test]
async fn a_new_job_does_not_wait_for_two_thousand_chunks() {
    if !services::wanted() {
        return;
    }
    let mut plan = Plan::pairs(&[]);
    plan.workers = 0;
    let stack = Stack::start(&plan).await;
    let gateways = stack.gateways();
    let large = two_thousand_chunks(&Client::new(&gateways[0])).await;

    // A second for each chunk of the large job; and no chunk of the small one, of nine minutes, is divided.
    let settings = [
        ("SCRIPTORIUM_TEST_ENGINE", "sleep"),
        ("SCRIPTORIUM_TEST_SLEEP_MS", "1000"),
        ("SCRIPTORIUM_PART_SECONDS", "600"),
    ];
    let worker = Path::new(env!("CARGO_BIN_EXE_scriptorium-test-worker"));
    let _fleet = Fleet::start(&stack, worker, 2, &settings);
    let mut told = 0;
    let busy = |frame: &Frame| {
        told += usize::from(frame.kind() == "chunk_complete");
        told == 4
    };
    large.client.frames(&large.job, None, busy).await.unwrap();

    // Two chunks of 4 MB and less.
    let small = Client::new(&gateways[1]).open("small.wav", bursts(5), 4, json!({})).await;
    assert_eq!(small.chunks(), 2);
    small.upload_all().await;
    let before = complete(&large).await;
    small.client.frames(&small.job, None, |frame| frame.kind() == "chunk_complete").await.unwrap();
    let after = complete(&large).await;
    // What the large job has under way goes first: three chunks, and the one behind each in the two workers' hands.
    assert!(after - before <= 10, "{} chunks of the large job went before", after - before);
    assert_eq!(small.ended().await.data["status"], "completed");
    assert!(complete(&large).await < CHUNKS as u64 / 4, "the large job is nearly over: this proves nothing");
    let reply = large.client.post("/chunked-upload-cancel", &json!({ "parent_job_id": large.job })).await;
    assert!(reply.status().is_success(), "{}", reply.status());
}

/// A chunk of twelve minutes is done by all three workers, part by part.
#[tokio::test]
async fn a_long_chunk_is_done_by_all_workers() {
    if !services::wanted() {
        return;
    }
    let mut plan = Plan::pairs(&[]);
    plan.workers = 0;
    let stack = Stack::start(&plan).await;
    let settings = [
        ("SCRIPTORIUM_TEST_ENGINE", "signed"),
        ("SCRIPTORIUM_TEST_SLEEP_MS", "500"),
        ("SCRIPTORIUM_PART_SECONDS", "60"),
    ];
    let fleet = Fleet::start(&stack, Path::new(env!("CARGO_BIN_EXE_scriptorium-test-worker")), 3, &settings);
    let client = Client::new(&stack.gateways()[0]);
    let session = client.open("long.wav", soft_but(0..0), 10, json!({})).await;
    assert_eq!(session.chunks(), 1);
    session.upload_all().await;
    assert_eq!(session.ended().await.data["status"], "completed");
    let transcript: Value = serde_json::from_str(&session.transcript("json").await).unwrap();
    let segments = transcript["segments"].as_array().unwrap();
    let workers: BTreeSet<u32> =
        segments.iter().map(|segment| segment["text"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(workers, fleet.processes().into_iter().collect(), "of {} segments", segments.len());
}

/// A job whose chunks are all there, and wait.
async fn two_thousand_chunks(client: &Client) -> Session {
    let [first, later] = first_and_later(CHUNKS);
    let request = json!({ "filename": "large.wav", "total_size": CHUNKS * MIB, "chunk_size_mb": 1 });
    let mut reply = client.post_ok("/chunked-upload-stream", &request).await;
    while let Some(next) = reply["next"].as_str().map(str::to_owned) {
        let mut page = client.get_ok(&next).await;
        let more = page["upload_urls"].as_array_mut().unwrap().split_off(0);
        reply["upload_urls"].as_array_mut().unwrap().extend(more);
        reply["next"] = page["next"].take();
    }
    let job = reply["parent_job_id"].as_str().unwrap().to_owned();
    let session = Session { client: client.clone(), job, reply, bytes: first.into() };
    let session_of = &session;
    let upload = async |chunk: u32| {
        let bytes = if chunk == 0 { session_of.bytes.to_vec() } else { later.clone() };
        assert!(session_of.put_bytes(chunk, bytes).await, "PUT of chunk {chunk}");
        let body = json!({ "parent_job_id": session_of.job, "chunk_index": chunk, "actual_size": MIB });
        client.post_ok("/chunk-upload-complete", &body).await;
    };
    stream::iter(0..CHUNKS as u32).for_each_concurrent(REQUESTS, upload).await;
    session
}

/// Chunks of a job that are complete, as its status says.
async fn complete(session: &Session) -> u64 {
    session.status().await["completed_chunks"].as_u64().unwrap()
}
