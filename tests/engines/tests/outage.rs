//! An object store that is away for longer than anybody would wait for an answer, on the real roles and services.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use scriptorium_test_engines::bursts::bursts;
use scriptorium_test_engines::processes::Fleet;
use scriptorium_tests::{Client, Frame, Plan, Stack, services};
use serde_json::json;
use std::path::Path;

const CHUNKS: usize = 6;

/// No chunk may fail even once: only because its store is away it does not have to. (Two threads: the ways to the services are
/// tasks of this runtime, and starting a worker blocks one of them.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_costs_no_try() {
    if !services::wanted() {
        return;
    }
    let settings = [("SCRIPTORIUM_MAX_CHUNK_RETRIES", "0"), ("SCRIPTORIUM_CHUNK_RETRY_DELAY_SECONDS", "1")];
    let mut plan = Plan::pairs(&settings);
    (plan.workers, plan.harm) = (0, true);
    let stack = Stack::start(&plan).await;
    let client = Client::new(&stack.gateways()[0]);
    let session = client.open("recording.wav", bursts(CHUNKS), 1, json!({})).await;
    session.upload_all().await;

    // Long enough at the first chunk for the store to go away before the next one is read.
    let slow = [("SCRIPTORIUM_TEST_ENGINE", "sleep"), ("SCRIPTORIUM_TEST_SLEEP_MS", "3000")];
    let worker = Path::new(env!("CARGO_BIN_EXE_scriptorium-test-worker"));
    let fleet = Fleet::start(&stack, worker, 1, &slow);
    client.frames(&session.job, None, |frame| frame.kind() == "media_info").await;
    stack.way("s3").refuse(true);
    let mut refused = 0;
    let away = |frame: &Frame| {
        refused += u32::from(frame.kind() == "chunk_failed");
        refused == 2
    };
    let frames = client.frames(&session.job, None, away).await.unwrap();
    stack.way("s3").refuse(false);
    let failures: Vec<_> = frames.iter().filter(|frame| frame.kind() == "chunk_failed").collect();
    assert_eq!(failures.len(), 2, "nobody missed the store: this proves nothing");
    for frame in failures {
        let told = (&frame.data["error"]["code"], &frame.data["attempts"], &frame.data["will_retry"]);
        assert_eq!(told, (&json!("storage_unavailable"), &json!(0), &json!(true)));
    }
    assert_eq!(session.ended().await.data["status"], "completed");
    assert_eq!(session.status().await["completed_chunks"], CHUNKS);
    drop(fleet);
}
