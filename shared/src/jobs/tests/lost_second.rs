//! Redis is restarted and has lost its last second, while queue and workers have not: the sweep heals it.

use super::Jobs;
use super::peers::{answers, assemble, assemblies, finish, make_limited, task, waiting};
use crate::bus::{Bus, RedisBus};
use crate::queue::{EmbeddedQueue, Queue, Topic};
use crate::redis::server::RedisServer;
use crate::store::{RedisStore, Store};
use crate::testing::no_objects;
use scriptorium_contracts::JobId;
use scriptorium_contracts::event::Event;
use scriptorium_contracts::job::{Input, JobState};
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const CHUNKS: u32 = 3;

async fn jobs_on(server: &RedisServer) -> Jobs {
    let (config, shutdown) = (server.config(), CancellationToken::new());
    let store = Store::Redis(RedisStore::connect(&config, &shutdown).await.unwrap());
    let bus = Bus::Redis(RedisBus::connect(&config, &shutdown).await.unwrap());
    Jobs::new(store, Queue::Embedded(EmbeddedQueue::new()), bus, no_objects())
}

/// A job with all chunks uploaded, and leases that end at once.
async fn uploaded(jobs: &Jobs) -> JobId {
    let job = make_limited(jobs, CHUNKS, |limits| limits.lease_ms = 1).await.id;
    for chunk in 0..CHUNKS {
        jobs.advance(job, Input::Uploaded { chunk }).await.unwrap();
    }
    job
}

/// The way of a job, commit by commit; `look` is called before each.
async fn work(jobs: &Jobs, job: JobId, mut look: impl FnMut()) {
    loop {
        let mut idle = true;
        for delivery in waiting(jobs, Topic::Tasks).await {
            idle = false;
            for input in answers(&task(&delivery)) {
                look();
                jobs.advance(job, input).await.unwrap();
            }
            delivery.ack().await.unwrap();
        }
        for epoch in assemblies(jobs, job).await {
            idle = false;
            look();
            let assembled = assemble(jobs, job, epoch).await;
            jobs.advance(job, assembled).await.unwrap();
        }
        if idle {
            return;
        }
    }
}

async fn final_text(jobs: &Jobs, job: JobId) -> String {
    let events = jobs.store.events(job, 0, 1_000).await.unwrap();
    let mut finals = Vec::new();
    for record in events {
        if let Event::FinalResult { final_transcript, .. } = record.event {
            finals.push(final_transcript);
        }
    }
    assert_eq!(finals.len(), 1, "told once");
    finals.concat()
}

/// What the sweep makes of it. Leases and pauses are short, but not nothing.
async fn healed(jobs: &Jobs, job: JobId) -> JobState {
    for _ in 0..200 {
        jobs.sweep_once().await.unwrap();
        let state = finish(jobs, job).await.state;
        if state.is_final() {
            return state;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not healed: {:?}", jobs.header(job).await.unwrap());
}

/// Goes back to each point of a job's way in turn, after the job is done, its messages are acknowledged and gone.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_lost_the_job_comes_to_the_same_end() {
    let Some(mut server) = RedisServer::start(&["--appendfsync", "always"]).await else { return };
    let mut points: Vec<(JobId, TempDir, String)> = Vec::new();
    {
        let jobs = jobs_on(&server).await;
        // The sweep gets to know this run of Redis.
        jobs.sweep_once().await.unwrap();
        let job = uploaded(&jobs).await;
        let mut snapshots = Vec::new();
        work(&jobs, job, || snapshots.push(server.snapshot())).await;
        let text = final_text(&jobs, job).await;
        points.extend(snapshots.into_iter().map(|snapshot| (job, snapshot, text.clone())));
    }
    assert!(points.len() > 2 * CHUNKS as usize, "every commit is a point: {}", points.len());
    for (point, (job, snapshot, text)) in points.iter().enumerate() {
        server.roll_back(snapshot).await;
        // The messages of the time before are done with, or still under way: the queue is empty.
        let jobs = jobs_on(&server).await;
        assert!(!jobs.header(*job).await.unwrap().unwrap().state.is_final(), "point {point}");
        assert_eq!(healed(&jobs, *job).await, JobState::Completed, "point {point}");
        assert_eq!(final_text(&jobs, *job).await, *text, "point {point}");
    }
}

/// The healing itself is done once a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_noticed_once() {
    let Some(mut server) = RedisServer::start(&["--appendfsync", "always"]).await else { return };
    let jobs = jobs_on(&server).await;
    assert_eq!(jobs.store.restarted().await.unwrap(), None, "a fresh store has lost nothing");
    server.kill();
    server.begin();
    server.ready().await;
    let run = jobs.store.restarted().await.unwrap();
    assert!(run.is_some());
    assert_eq!(jobs.store.restarted().await.unwrap(), run, "until it is healed");
    jobs.sweep_once().await.unwrap();
    assert_eq!(jobs.store.restarted().await.unwrap(), None);
}
