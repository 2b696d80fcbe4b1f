//! A passage that ends the process of every worker that comes upon it, on the real roles and services.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods
)]

use scriptorium_test_engines::bursts::soft_but;
use scriptorium_test_engines::processes::{Fleet, Restarted};
use scriptorium_tests::{Client, Plan, Session, Stack, services};
use serde_json::{Value, json};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

/// Seconds of the recording that no worker survives: inside of its third chunk.
const DEADLY: Range<usize> = 300..303;
/// A passage lasts from 20 s to some more than a minute; no more than the one is lost.
const LONGEST_LOSS: f64 = 90.0;
const WORKER: &str = env!("CARGO_BIN_EXE_scriptorium-test-worker");
const NO_END: Duration = Duration::from_secs(240);

#[tokio::test]
async fn only_the_passage_that_kills_its_workers_is_lost() {
    if !services::wanted() {
        return;
    }
    let (stack, worker) = (stack().await, Path::new(WORKER));
    let bytes = soft_but(DEADLY);

    // The same windows, where none is deadly.
    let healthy = Fleet::start(&stack, worker, 2, &[("SCRIPTORIUM_TEST_ENGINE", "sleep")]);
    let whole = job(&stack, bytes.clone(), "completed").await;
    drop(healthy);
    assert_eq!(whole["gaps"], json!([]));

    let crash = [("SCRIPTORIUM_TEST_ENGINE", "crash")];
    let workers = [(); 2].map(|()| Restarted::start(&stack, worker, &crash));
    let begun = Instant::now();
    let holed = job(&stack, bytes, "completed_with_errors").await;
    let crashes: u32 = workers.iter().map(Restarted::crashes).sum();
    eprintln!("{crashes} workers died in {:.1?}", begun.elapsed());
    assert!(crashes >= 3, "{crashes} crashes prove nothing");
    check(&whole, &holed);
    no_message_is_left(&stack).await;
}

/// A process with several slots dies with all that it has in work: only what does it is lost.
#[tokio::test]
async fn what_was_in_work_beside_the_deadly_passage_is_not_lost() {
    if !services::wanted() {
        return;
    }
    let (stack, worker) = (stack().await, Path::new(WORKER));
    // A window takes so long that the others are never done when the deadly one comes.
    let settings = |engine| {
        [
            ("SCRIPTORIUM_TEST_ENGINE", engine),
            ("SCRIPTORIUM_TEST_SLEEP_MS", "200"),
            ("SCRIPTORIUM_WORKERS", "4"),
        ]
    };
    let healthy = Fleet::start(&stack, worker, 2, &settings("sleep"));
    let (whole, quiet) =
        tokio::join!(job(&stack, soft_but(DEADLY), "completed"), job(&stack, soft_but(0..0), "completed"));
    drop(healthy);

    let process = Restarted::start(&stack, worker, &settings("crash"));
    let begun = Instant::now();
    let (holed, beside) = tokio::join!(
        job(&stack, soft_but(DEADLY), "completed_with_errors"),
        job(&stack, soft_but(0..0), "completed"),
    );
    eprintln!("{} deaths in {:.1?}", process.crashes(), begun.elapsed());
    assert!(process.crashes() >= 3, "{} crashes prove nothing", process.crashes());
    check(&whole, &holed);
    assert_eq!((&beside["segments"], &beside["gaps"]), (&quiet["segments"], &json!([])));
}

/// Without workers. What waits for the dead does not wait for long.
async fn stack() -> Stack {
    let mut plan = Plan::pairs(&[
        ("SCRIPTORIUM_SWEEP_INTERVAL_SECONDS", "0.5"),
        ("SCRIPTORIUM_LEASE_SECONDS", "2"),
        ("SCRIPTORIUM_CHUNK_RETRY_DELAY_SECONDS", "1"),
    ]);
    plan.workers = 0;
    Stack::start(&plan).await
}

/// The transcript of a job that ends so.
async fn job(stack: &Stack, bytes: Vec<u8>, status: &str) -> Value {
    let session: Session = Client::new(&stack.gateways()[0]).open("recording.wav", bytes, 1, json!({})).await;
    session.upload_all().await;
    let ended = tokio::time::timeout(NO_END, session.ended()).await.expect("the job did not end");
    assert_eq!(ended.data["status"], status, "{}", ended.data);
    serde_json::from_str(&session.transcript("json").await).unwrap()
}

fn seconds(of: &Value, field: &str) -> f64 {
    of[field].as_f64().unwrap()
}

/// One hole, around the deadly seconds and not much longer; the rest is as if nothing had happened.
fn check(whole: &Value, holed: &Value) {
    let gaps = holed["gaps"].as_array().unwrap();
    let [gap] = gaps.as_slice() else { panic!("one gap was expected: {gaps:?}") };
    let (from, to) = (seconds(gap, "start"), seconds(gap, "end"));
    assert_eq!(gap["reason"], "failed");
    assert!(from <= DEADLY.start as f64 && DEADLY.end as f64 <= to, "the gap is elsewhere: {gap}");
    assert!(to - from <= LONGEST_LOSS, "more than a passage is lost: {gap}");
    assert!((seconds(&holed["coverage"], "failed") - (to - from)).abs() < 0.002, "{}", holed["coverage"]);
    let left: Vec<Value> = whole["segments"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|segment| seconds(segment, "end") <= from || to <= seconds(segment, "start"))
        .cloned()
        .collect();
    let found: Vec<Value> = holed["segments"].as_array().unwrap().clone();
    let plain = |segments: &[Value]| -> Vec<Value> {
        // Numbered anew where some are missing.
        let plain = |segment: &Value| json!([segment["start"], segment["end"], segment["text"]]);
        segments.iter().map(plain).collect()
    };
    assert_eq!(plain(&found), plain(&left), "what is not lost is not what it was");
    // The chunk's passages begin between second 262 and 393: the others of it are there.
    let inside = |range: Range<f64>| found.iter().any(|segment| range.contains(&seconds(segment, "start")));
    assert!(inside(262.0..from) || inside(to..393.0), "nothing is left of the chunk: {gap}");
}

/// The broker counts some seconds late.
async fn no_message_is_left(stack: &Stack) {
    let begun = Instant::now();
    loop {
        let queues = stack.services.broker().queues().await;
        let left: Vec<_> = queues.iter().filter(|(_, count)| *count > 0).collect();
        if left.is_empty() && begun.elapsed() > Duration::from_secs(6) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "left in the queues: {left:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
