//! Minutes of a chunk that are to be done again, on the real roles and services.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use scriptorium_test_engines::bursts::soft_but;
use scriptorium_test_engines::processes::Fleet;
use scriptorium_tests::{Client, Plan, Stack, services};
use serde_json::{Value, json};
use std::path::Path;

/// Of some twelve minutes these three are taken for another language. What they are done again by is a minute long at most, so
/// it takes several tasks, one after the other, until nothing is left.
#[tokio::test]
async fn more_than_a_part_is_done_again_by_several_tasks() {
    if !services::wanted() {
        return;
    }
    let mut plan = Plan::pairs(&[]);
    plan.workers = 0;
    let stack = Stack::start(&plan).await;
    let settings = [
        ("SCRIPTORIUM_TEST_ENGINE", "doubt"),
        ("SCRIPTORIUM_TEST_SLEEP_MS", "1"),
        ("SCRIPTORIUM_PART_SECONDS", "60"),
    ];
    let worker = Path::new(env!("CARGO_BIN_EXE_scriptorium-test-worker"));
    let _fleet = Fleet::start(&stack, worker, 2, &settings);
    let session = Client::new(&stack.gateways()[0]).open("two.wav", soft_but(200..380), 20, json!({})).await;
    assert_eq!(session.chunks(), 1);
    session.upload_all().await;
    assert_eq!(session.ended().await.data["status"], "completed");
    let transcript: Value = serde_json::from_str(&session.transcript("json").await).unwrap();
    let segments = transcript["segments"].as_array().unwrap();
    assert!(segments.len() > 20, "{} segments", segments.len());
    for segment in segments {
        assert_eq!(segment["language"], "en", "{segment}");
    }
    let log: String = stack.names("coordinator").iter().map(|name| stack.log(name)).collect();
    assert!(log.contains("passages are done again"), "nobody was in doubt: this proves nothing");
}
