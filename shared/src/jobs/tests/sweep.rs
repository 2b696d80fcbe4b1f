//! What the sweep finds and does.

use super::super::{CreatedJob, Jobs};
use super::peers::{assemblies, finish, make, make_limited, tasks};
use super::{Place, bucket};
use crate::clock;
use crate::testing::{media, new_id, new_job, result_of};
use bytes::Bytes;
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::{Input, JobHeader, JobState};
use scriptorium_contracts::{JobId, Timestamp, objects};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

on_each_store![
    uploads_without_notice_are_found,
    temporary_objects_go_away,
    what_a_late_worker_stores_goes_away,
    an_object_store_that_is_away_stops_nothing_else,
    deadlines_of_many_chunks_in_one_sweep,
    two_sweeps_at_once_are_harmless,
    outdated_messages_are_dropped,
    the_sweeper_does_all_of_it,
];

const PATIENCE: Duration = Duration::from_secs(30);

async fn put(jobs: &Jobs, key: &str, size: usize) {
    jobs.objects.write(key, Bytes::from(vec![7; size]), "application/octet-stream").await.unwrap();
}

/// Waits until the job is as wanted.
async fn until(jobs: &Jobs, job: JobId, wanted: impl Fn(&JobHeader) -> bool) {
    let waiting = async {
        while !wanted(&jobs.header(job).await.unwrap().unwrap()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the sweeper does it");
}

async fn uploads_without_notice_are_found(place: &Place) {
    let bucket = bucket(place.path()).await;
    let jobs = place.start(bucket.objects.clone()).await;
    let (job, quiet) = (make(&jobs, 5).await.id, make(&jobs, 2).await.id);
    put(&jobs, &objects::chunk_key(job, 0), 100).await;
    put(&jobs, &objects::chunk_key(job, 1), 99).await;
    put(&jobs, &objects::chunk_key(job, 3), 100).await;
    put(&jobs, &objects::chunk_key(job, 4), 50).await;
    put(&jobs, &objects::chunk_key(job, 5), 100).await;
    put(&jobs, &objects::init_section_key(job), 100).await;
    jobs.advance(job, Input::Uploaded { chunk: 3 }).await.unwrap();
    jobs.sweep_once().await.unwrap();
    let header = jobs.header(job).await.unwrap().unwrap();
    assert_eq!(header.uploaded.iter().collect::<Vec<_>>(), [0, 3, 4], "whole chunks only");
    assert_eq!(jobs.header(quiet).await.unwrap().unwrap().state, JobState::Created);
    assert_eq!(tasks(&jobs).await, [(0, 1)]);
    jobs.sweep_once().await.unwrap();
    assert_eq!(jobs.header(job).await.unwrap().unwrap(), header, "a second sweep finds nothing new");
}

async fn temporary_objects_go_away(place: &Place) {
    let bucket = bucket(place.path()).await;
    let jobs = place.start(bucket.objects.clone()).await;
    let (cancelled, other) = (make(&jobs, 3).await.id, make(&jobs, 3).await.id);
    for job in [cancelled, other] {
        put(&jobs, &objects::chunk_key(job, 0), 100).await;
        put(&jobs, &objects::transcript_key(job), 5).await;
    }
    jobs.advance(cancelled, Input::Cancel { reason: "enough".to_owned() }).await.unwrap();
    assert_eq!(jobs.perform_due().await.unwrap(), 1);
    assert!(jobs.objects.list(&objects::temporary_prefix(cancelled)).await.unwrap().is_empty());
    assert_eq!(jobs.objects.size(&objects::transcript_key(cancelled)).await.unwrap(), Some(5));
    assert_eq!(jobs.objects.list(&objects::temporary_prefix(other)).await.unwrap().len(), 1);
    assert_eq!(jobs.perform_due().await.unwrap(), 0);
}

/// A worker stores a result after the job's objects were deleted. (A worker that is stopped for a while does that, or one
/// that got a doubled message.)
async fn what_a_late_worker_stores_goes_away(place: &Place) {
    let bucket = bucket(place.path()).await;
    let jobs = place.start(bucket.objects.clone()).await;
    let soon = make(&jobs, 3).await.id;
    let later = make_limited(&jobs, 3, |limits| limits.release_delay_ms = 3_600_000).await.id;
    let running = make(&jobs, 3).await.id;
    for job in [soon, later] {
        jobs.advance(job, Input::Cancel { reason: "enough".to_owned() }).await.unwrap();
    }
    jobs.perform_due().await.unwrap();
    for (job, left) in [(soon, 0), (later, 1), (running, 1)] {
        put(&jobs, &objects::part_key(job, 0, 0, 4), 100).await;
        put(&jobs, &objects::transcript_key(job), 5).await;
        let header = jobs.advance(job, Input::PartCompleted { chunk: 0, part: 0, epoch: 1 }).await.unwrap();
        jobs.delete_late_objects(&header).await.unwrap();
        let found = jobs.objects.list(&objects::temporary_prefix(job)).await.unwrap().len();
        assert_eq!(found, left, "{:?}", header.state);
        assert_eq!(jobs.objects.size(&objects::transcript_key(job)).await.unwrap(), Some(5));
    }
}

/// The object store is away: messages go out, deletions are kept, other jobs are swept.
async fn an_object_store_that_is_away_stops_nothing_else(place: &Place) {
    let jobs = place.fresh().await;
    for _ in 0..3 {
        let job = make(&jobs, 2).await.id;
        jobs.advance(job, Input::Cancel { reason: String::new() }).await.unwrap();
    }
    let uploading = make(&jobs, 2).await.id;
    let expired = make_limited(&jobs, 2, |limits| limits.upload_expiry_ms = 0).await.id;
    jobs.sweep_once().await.unwrap();
    assert_eq!(jobs.header(expired).await.unwrap().unwrap().state, JobState::Expired);
    assert_eq!(jobs.header(uploading).await.unwrap().unwrap().state, JobState::Created);
    let kept = jobs.store.due_effects(Timestamp(u64::MAX), None, 10).await.unwrap();
    assert_eq!(kept.len(), 4);
}

async fn deadlines_of_many_chunks_in_one_sweep(place: &Place) {
    let jobs = place.fresh().await;
    let job = make_limited(&jobs, 200, |limits| {
        limits.processing_timeout_ms = 1;
        limits.timeout_per_audio = 0;
    });
    let job = job.await.id;
    for chunk in 0..200 {
        jobs.advance(job, Input::Uploaded { chunk }).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(2)).await;
    jobs.sweep_once().await.unwrap();
    let header = jobs.header(job).await.unwrap().unwrap();
    assert_eq!((header.state, header.failed.len()), (JobState::Failed, 200));
}

/// Two processes perform the same effects at once: each task is there once or twice, and the job ends as always.
async fn two_sweeps_at_once_are_harmless(place: &Place) {
    let jobs = place.fresh().await;
    let job = make_limited(&jobs, 3, |limits| limits.retry_delay_ms = 1).await.id;
    jobs.advance(job, Input::Probed { media: media() }).await.unwrap();
    for chunk in 0..3 {
        jobs.advance(job, Input::Uploaded { chunk }).await.unwrap();
    }
    assert_eq!(tasks(&jobs).await.len(), 3);
    for chunk in 0..3 {
        let failure = Failure::new(FailureCode::EngineFailed, "The engine failed.");
        jobs.advance(job, Input::Failed { chunk, part: None, epoch: 1, failure }).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    let (one, other) = tokio::join!(jobs.sweep_once(), jobs.sweep_once());
    one.unwrap();
    other.unwrap();
    let mut tasks = tasks(&jobs).await;
    assert!((3..=6).contains(&tasks.len()), "{tasks:?}");
    tasks.dedup();
    assert_eq!(tasks, [(0, 2), (1, 2), (2, 2)]);
    for (chunk, epoch) in tasks.iter().chain(&tasks).copied() {
        let result = Box::new(result_of(chunk));
        jobs.advance(job, Input::Completed { chunk, epoch, result }).await.unwrap();
    }
    assert_eq!(finish(&jobs, job).await.state, JobState::Completed);
}

/// A task whose chunk has moved on is dropped, not published.
async fn outdated_messages_are_dropped(place: &Place) {
    let bucket = bucket(place.path()).await;
    let jobs = place.start(bucket.objects.clone()).await;
    let failing = |epoch| {
        let failure = Failure::new(FailureCode::EngineFailed, "The engine failed.");
        Input::Failed { chunk: 0, part: None, epoch, failure }
    };
    let mut all = Vec::new();
    for _ in 0..2 {
        let job = make_limited(&jobs, 2, |limits| limits.retry_delay_ms = 1_500).await.id;
        jobs.advance(job, Input::Uploaded { chunk: 0 }).await.unwrap();
        jobs.advance(job, failing(1)).await.unwrap();
        all.push(job);
    }
    // One is queued anew by a restart, the other is cancelled.
    drop(jobs);
    let jobs = place.start(bucket.objects.clone()).await;
    jobs.recover().await.unwrap();
    jobs.advance(all[1], Input::Cancel { reason: String::new() }).await.unwrap();
    assert_eq!(tasks(&jobs).await, [(0, 3), (0, 3)]);
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    assert_eq!(jobs.perform_due().await.unwrap(), 3, "two tasks and a deletion");
    assert_eq!(tasks(&jobs).await, [], "old tasks are for nothing");
}

/// The whole sweeper: a delayed retry when it is due, lost notices, an end when it is asked for.
async fn the_sweeper_does_all_of_it(place: &Place) {
    let bucket = bucket(place.path()).await;
    let jobs = place.start(bucket.objects.clone()).await;
    let (shutdown, mut tasks_of_process) = (CancellationToken::new(), JoinSet::new());
    // The second sweep would come too late for this test: it is the due time that wakes the sweeper.
    tasks_of_process.spawn(jobs.clone().run_sweeper(Duration::from_secs(3_600), shutdown.clone()));

    let mut new = new_job(new_id(), 2);
    new.limits.retry_delay_ms = 700;
    let CreatedJob::New(header) = jobs.create(new, None).await.unwrap() else { panic!("it is new") };
    let job = header.id;
    jobs.advance(job, Input::Uploaded { chunk: 0 }).await.unwrap();
    assert_eq!(tasks(&jobs).await, [(0, 1)]);
    let before = clock::now();
    let failure = Failure::new(FailureCode::EngineFailed, "The engine failed.");
    jobs.advance(job, Input::Failed { chunk: 0, part: None, epoch: 1, failure }).await.unwrap();
    let retried = async {
        loop {
            let tasks = tasks(&jobs).await;
            if !tasks.is_empty() {
                return tasks;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let retried = tokio::time::timeout(PATIENCE, retried).await.expect("the retry comes");
    assert_eq!(retried, [(0, 2)]);
    assert!(clock::now().since(before) >= 700, "not before its time");

    put(&jobs, &objects::chunk_key(job, 1), 50).await;
    let mut frequent = JoinSet::new();
    frequent.spawn(jobs.clone().run_sweeper(Duration::ZERO, shutdown.clone()));
    until(&jobs, job, |header| header.state == JobState::Processing).await;
    jobs.advance(job, Input::Cancel { reason: String::new() }).await.unwrap();
    let gone = async {
        while !jobs.objects.list(&objects::temporary_prefix(job)).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the sweeper deletes what is not needed any more");
    assert!(assemblies(&jobs, job).await.is_empty());

    shutdown.cancel();
    for sweeper in [&mut tasks_of_process, &mut frequent] {
        tokio::time::timeout(PATIENCE, sweeper.join_next()).await.expect("it ends").unwrap().unwrap();
    }
}
