//! `scripts/bench.sh scale`: how the chain scales where transcribing costs no CPU. See benches/README.md.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods
)]

use futures::{StreamExt, stream};
use scriptorium_test_engines::bursts::bursts;
use scriptorium_test_engines::processes::{Fleet, cpu_seconds};
use scriptorium_tests::server::built;
use scriptorium_tests::{Client, Frame, Plan, Session, Stack};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const WORKERS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// What a chunk takes in the engine.
const SLEEP: Duration = Duration::from_secs(10);
/// Rounds in which the workers do a job; but a recording has 5 MB at least.
const ROUNDS: usize = 2;
const FEWEST_CHUNKS: usize = 6;
/// For what the chain can do at most, when no engine is waited for.
const PROMPT_WORKERS: usize = 4;
const PROMPT_CHUNKS: usize = 256;
/// A gateway takes so many requests of one client at once.
const REQUESTS: usize = 5;
/// A job's objects are deleted ten seconds after its end; the next measurement must not pay for that.
const CLEANING: Duration = Duration::from_secs(13);

#[tokio::main]
async fn main() {
    let mut plan = Plan::pairs(&[
        // So that there is always a task for a worker that asks, if the job allows it at all.
        ("SCRIPTORIUM_MAX_CONCURRENT_CHUNKS", "64"),
        // It would find what is uploaded before the notices are sent.
        ("SCRIPTORIUM_SWEEP_INTERVAL_SECONDS", "3600"),
        ("SCRIPTORIUM_LOG", "warn"),
    ]);
    plan.workers = 0;
    let stack = Stack::start(&plan).await;
    emit(&machine());
    prompt(&stack).await;
    for workers in WORKERS {
        tokio::time::sleep(CLEANING).await;
        scale(&stack, workers).await;
    }
}

/// Chunks a second where the engine answers at once.
async fn prompt(stack: &Stack) {
    let measured = measure(stack, PROMPT_WORKERS, PROMPT_CHUNKS, Duration::ZERO).await;
    let real = measured.real.as_secs_f64();
    emit(&json!({
        "bench": "throughput", "workers": PROMPT_WORKERS, "chunks": PROMPT_CHUNKS, "seconds": rounded(real),
        "chunks_a_second": rounded(PROMPT_CHUNKS as f64 / real), "cores_busy": measured.cores_busy(),
        "cpu_seconds": measured.cpu,
    }));
}

async fn scale(stack: &Stack, workers: usize) {
    let chunks = FEWEST_CHUNKS.max(ROUNDS * workers);
    let measured = measure(stack, workers, chunks, SLEEP).await;
    let (ideal, real) = (chunks as f64 * SLEEP.as_secs_f64() / workers as f64, measured.real.as_secs_f64());
    emit(&json!({
        "bench": "scale", "workers": workers, "chunks": chunks, "sleep_seconds": SLEEP.as_secs_f64(),
        "ideal_seconds": rounded(ideal), "seconds": rounded(real), "efficiency": rounded(ideal / real),
        "chunks_a_second": rounded(chunks as f64 / real), "cores_busy": measured.cores_busy(),
        "cpu_seconds": measured.cpu,
    }));
}

struct Measured {
    /// From the first notice until the final result is read.
    real: Duration,
    /// CPU seconds of each kind of process in that time.
    cpu: BTreeMap<String, f64>,
}

impl Measured {
    /// With these processes; others may keep more busy.
    fn cores_busy(&self) -> f64 {
        rounded(self.cpu.values().sum::<f64>() / self.real.as_secs_f64())
    }
}

fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let processors = read("/proc/cpuinfo");
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let load: f64 = read("/proc/loadavg").split(' ').next().unwrap().parse().unwrap();
    let cores = std::thread::available_parallelism().unwrap();
    json!({"machine": model.map(|(_, name)| name.trim()), "cores": cores, "load": load})
}

/// One job whose chunks each take this time in the engine. It is uploaded before its first notice is sent.
async fn measure(stack: &Stack, workers: usize, chunks: usize, sleep: Duration) -> Measured {
    let sleep = sleep.as_millis().to_string();
    let settings = [("SCRIPTORIUM_TEST_ENGINE", "sleep"), ("SCRIPTORIUM_TEST_SLEEP_MS", sleep.as_str())];
    let fleet = Fleet::start(stack, &built("scriptorium-test-worker"), workers, &settings);
    let gateways = stack.gateways();
    let session = Client::new(&gateways[0]).open("bursts.wav", bursts(chunks), 1, json!({})).await;
    let all = || stream::iter(0..session.chunks());
    all().for_each_concurrent(REQUESTS, |chunk| session.put(chunk)).await;

    let (cpu, begun) = (cpu_of(stack, &fleet), Instant::now());
    let notices = all().for_each_concurrent(REQUESTS, |chunk| notice(&session, chunk));
    let reader = Client::new(&gateways[1]);
    let (frames, ()) = tokio::join!(reader.frames(&session.job, None, Frame::is_last), notices);
    let (real, after) = (begun.elapsed(), cpu_of(stack, &fleet));

    assert_eq!(frames.unwrap().last().unwrap().data["status"], "completed");
    let transcript: Value = serde_json::from_str(&session.transcript("json").await).unwrap();
    assert_eq!(transcript["segments"].as_array().unwrap().len(), chunks, "windows of the engine");
    let cpu = after.into_iter().map(|(kind, seconds)| (kind.clone(), rounded(seconds - cpu[&kind])));
    Measured { real, cpu: cpu.collect() }
}

async fn notice(session: &Session, chunk: u32) {
    let reply = session.notice(chunk).await;
    assert!(reply.status().is_success(), "notice of chunk {chunk}: {}", reply.status());
}

fn cpu_of(stack: &Stack, fleet: &Fleet) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::from([("client".to_owned(), cpu_seconds(std::process::id()))]);
    let roles = stack.processes().into_iter();
    let roles = roles.map(|(name, process)| (name.split('-').next().unwrap().to_owned(), process));
    let workers = fleet.processes().into_iter().map(|process| ("worker".to_owned(), process));
    for (kind, process) in roles.chain(workers) {
        *sums.entry(kind).or_default() += cpu_seconds(process);
    }
    sums
}

fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

fn emit(figures: &Value) {
    println!("{figures}");
}
