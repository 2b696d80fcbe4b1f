//! Killed with -9 at any moment: what was acknowledged is there, and nothing is there by half.

use super::super::super::Store;
use super::open;
use crate::jobs::{CreatedJob, Jobs};
use crate::testing::{jobs_on, new_id, new_job, result_of};
use scriptorium_contracts::job::{ChunkState, Input};
use scriptorium_contracts::{JobId, Timestamp};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;
use tokio::task::JoinSet;

const CHUNKS: u32 = 40;

fn acknowledge(job: JobId, revision: u64) {
    let mut out = std::io::stdout().lock();
    // One write: the line is whole or not there.
    out.write_all(format!("\nACK {job} {revision}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Makes jobs and advances them until it is killed. Gets its folder by standard input.
#[test]
#[ignore = "the other side of `killed_at_any_moment`"]
fn child() {
    let mut folder = String::new();
    if std::io::stdin().read_line(&mut folder).unwrap() == 0 {
        return;
    }
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(
        async {
            let jobs = jobs_on(open(Path::new(folder.trim_end())));
            let mut clients = JoinSet::new();
            for _ in 0..6 {
                let jobs = jobs.clone();
                clients.spawn(async move {
                    loop {
                        one_job(&jobs).await;
                    }
                });
            }
            clients.join_all().await;
        },
    );
}

async fn one_job(jobs: &Jobs) {
    let CreatedJob::New(header) = jobs.create(new_job(new_id(), CHUNKS), None).await.unwrap() else {
        panic!("without a key each job is new");
    };
    let job = header.id;
    acknowledge(job, header.revision);
    let media = crate::testing::media();
    acknowledge(job, jobs.advance(job, Input::Probed { media }).await.unwrap().revision);
    for chunk in 0..CHUNKS {
        let result = Box::new(result_of(chunk));
        for input in [Input::Uploaded { chunk }, Input::Completed { chunk, epoch: 1, result }] {
            acknowledge(job, jobs.advance(job, input).await.unwrap().revision);
        }
    }
}

/// Reads the child's acknowledgements until there are enough, and kills it.
fn run_and_kill(folder: &Path, enough: usize) -> BTreeMap<JobId, u64> {
    let name = format!("{}::child", module_path!().split_once("::").unwrap().1);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{}", folder.display()).unwrap();
    let mut acknowledged: BTreeMap<JobId, u64> = BTreeMap::new();
    let mut count = 0;
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines {
        let line = line.unwrap();
        if let Some((job, revision)) = line.strip_prefix("ACK ").and_then(|ack| ack.split_once(' ')) {
            let revision: u64 = revision.parse().unwrap();
            let known = acknowledged.entry(job.parse().unwrap()).or_default();
            *known = revision.max(*known);
            count += 1;
        }
        // Lines that were written before the kill are read up to the last one.
        if count == enough {
            child.kill().unwrap();
        }
    }
    assert!(count >= enough, "the child ended by itself after {count} acknowledgements");
    child.wait().unwrap();
    acknowledged
}

#[test]
fn killed_at_any_moment() {
    let folder = TempDir::new().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut acknowledged = BTreeMap::new();
    for enough in [1, 2, 7, 60, 200, 333, 500] {
        acknowledged.extend(run_and_kill(folder.path(), enough));
        runtime.block_on(async {
            let store = open(folder.path());
            let jobs = store.jobs_to_sweep(None, 10_000).await.unwrap();
            for (job, revision) in &acknowledged {
                assert!(jobs.contains(job), "an acknowledged job is lost");
                let stored = store.load(*job, &[]).await.unwrap().unwrap().0.revision;
                assert!(stored >= *revision, "revision {revision} was acknowledged, {stored} is stored");
            }
            for job in jobs {
                whole(&store, job).await;
            }
            store.close().await;
        });
    }
}

/// Header, records, results, events and effects are of one revision.
async fn whole(store: &Store, job: JobId) {
    let all: Vec<u32> = (0..CHUNKS).collect();
    let (header, records) = store.load(job, &all).await.unwrap().unwrap();
    assert_eq!(records.len(), all.len());
    let events = store.events(job, 0, 10_000).await.unwrap();
    assert!(events.iter().map(|event| event.id).eq(1..=header.last_event));
    for (chunk, record) in &records {
        assert_eq!(header.uploaded.contains(*chunk), record.state != ChunkState::Pending);
        assert_eq!(header.completed.contains(*chunk), record.state == ChunkState::Completed);
        let in_flight = matches!(record.state, ChunkState::Queued | ChunkState::Processing);
        assert_eq!(header.in_flight.contains(*chunk), in_flight);
        let result = store.result(job, *chunk).await.unwrap();
        assert_eq!(result.is_some(), record.state == ChunkState::Completed);
    }
    let effects = store.due_effects(Timestamp(u64::MAX), None, 10_000).await.unwrap();
    for due in effects.iter().filter(|due| due.key.job == job) {
        assert!(due.key.number <= header.last_effect && due.effect.is_ok());
    }
    // A task that is neither remembered nor performed would be lost: of each chunk in flight, this process
    // remembers the task unless it had published it.
    assert!(header.last_effect >= u64::from(header.in_flight.len()));
}
