//! Jobs that are deleted.

use super::peers::{finish, make, tasks};
use super::{Place, bucket};
use crate::clock;
use crate::jobs::{CreatedJob, Deleted, Jobs, JobsError};
use crate::store::{Idempotency, JobRange};
use crate::testing::{media, new_id, new_job, result_of};
use bytes::Bytes;
use scriptorium_contracts::job::{Effect, Input, JobState};
use scriptorium_contracts::{JobId, Timestamp, objects};
use std::time::Duration;

on_each_store![
    all_of_a_job_under_way_goes,
    a_finished_job_goes_with_its_transcript,
    what_comes_late_makes_nothing_anew,
    whoever_dies_in_between_leaves_the_rest_to_the_sweep,
    an_object_store_that_is_away_is_made_up_for,
    two_at_once_are_harmless,
    the_key_of_a_deleted_job_is_free,
];

const EXPIRY: Duration = Duration::from_secs(3_600);

async fn put(jobs: &Jobs, key: &str) {
    jobs.objects.write(key, Bytes::from_static(&[7; 100]), "application/octet-stream").await.unwrap();
}

async fn objects_of(jobs: &Jobs, job: JobId) -> usize {
    jobs.objects.list(&objects::job_prefix(job)).await.unwrap().len()
}

/// Nothing of it is left but what is still to be done.
async fn is_gone(jobs: &Jobs, job: JobId) {
    assert!(jobs.header(job).await.unwrap().is_none());
    assert!(jobs.store.load(job, &[0]).await.unwrap().is_none());
    assert!(jobs.store.chunk_records(job, 0, 10).await.unwrap().is_empty());
    assert!(jobs.store.result(job, 0).await.unwrap().is_none());
    assert!(jobs.store.events(job, 0, 10).await.unwrap().is_empty());
    let listed = jobs.store.jobs(None, JobRange::default(), 100).await.unwrap();
    assert!(listed.iter().all(|one| one.key.job != job));
    assert_eq!(objects_of(jobs, job).await, 0);
}

/// When what is still to be done for the job is due, in milliseconds from now.
async fn left_to_do(jobs: &Jobs, job: JobId) -> Vec<u64> {
    let due = jobs.store.due_effects(Timestamp(u64::MAX / 2), None, 100).await.unwrap();
    let of_it = due.into_iter().filter(|due| due.key.job == job);
    let erasures = of_it.filter(|due| matches!(due.effect, Ok(Effect::EraseJob { .. })));
    erasures.map(|due| due.key.due.since(clock::now())).collect()
}

async fn all_of_a_job_under_way_goes(place: &Place) {
    let bucket = bucket(place.path()).await;
    let jobs = place.start(bucket.objects.clone()).await;
    let (job, other) = (make(&jobs, 3).await.id, make(&jobs, 2).await.id);
    for job in [job, other] {
        put(&jobs, &objects::chunk_key(job, 0)).await;
        put(&jobs, &objects::init_section_key(job)).await;
    }
    jobs.advance(job, Input::Uploaded { chunk: 0 }).await.unwrap();
    let mut woken = jobs.bus.subscribe();
    let deleted = jobs.delete(job, EXPIRY).await.unwrap();
    let Deleted { state, erased } = deleted;
    assert_eq!((state, erased.map(|erased| erased.objects)), (JobState::Uploading, Some(2)));
    is_gone(&jobs, job).await;
    let told = tokio::time::timeout(Duration::from_secs(20), woken.next()).await;
    told.expect("readers are woken");
    assert_eq!(objects_of(&jobs, other).await, 2);
    assert!(jobs.header(other).await.unwrap().is_some());
    // Soon once more, and when the signed URLs are over.
    let left = left_to_do(&jobs, job).await;
    assert_eq!(left.len(), 2);
    assert!(left[0] <= 5_000 && left[1] > 3_600_000, "{left:?}");
    assert!(matches!(jobs.delete(job, EXPIRY).await, Err(JobsError::NoSuchJob(gone)) if gone == job));
}

async fn a_finished_job_goes_with_its_transcript(place: &Place) {
    let bucket = bucket(place.path()).await;
    let jobs = place.start(bucket.objects.clone()).await;
    let job = make(&jobs, 2).await.id;
    jobs.advance(job, Input::Probed { media: media() }).await.unwrap();
    for chunk in 0..2 {
        jobs.advance(job, Input::Uploaded { chunk }).await.unwrap();
    }
    assert_eq!(finish(&jobs, job).await.state, JobState::Completed);
    put(&jobs, &objects::transcript_key(job)).await;
    let deleted = jobs.delete(job, EXPIRY).await.unwrap();
    assert_eq!((deleted.state, deleted.erased.map(|erased| erased.objects)), (JobState::Completed, Some(1)));
    is_gone(&jobs, job).await;
}

/// A worker that was stopped for a while answers, a client uses an old signed URL.
async fn what_comes_late_makes_nothing_anew(place: &Place) {
    let bucket = bucket(place.path()).await;
    let jobs = place.start(bucket.objects.clone()).await;
    let job = make(&jobs, 2).await.id;
    jobs.advance(job, Input::Uploaded { chunk: 0 }).await.unwrap();
    jobs.delete(job, Duration::ZERO).await.unwrap();
    for input in [
        Input::Started { chunk: 0, part: None, epoch: 1 },
        Input::Completed { chunk: 0, epoch: 1, result: Box::new(result_of(0)) },
        Input::Uploaded { chunk: 1 },
        Input::Tick,
        Input::EventsSeen { last: 7 },
    ] {
        let outcome = jobs.advance(job, input).await;
        assert!(matches!(outcome, Err(JobsError::NoSuchJob(gone)) if gone == job), "{outcome:?}");
    }
    put(&jobs, &objects::part_key(job, 0, 0, 4)).await;
    put(&jobs, &objects::transcript_key(job)).await;
    jobs.delete_objects_of_gone(job, false).await.unwrap();
    assert_eq!(objects_of(&jobs, job).await, 1);
    jobs.delete_objects_of_gone(job, true).await.unwrap();
    is_gone(&jobs, job).await;
    // Its task is still in the queue; nothing else goes there for it.
    assert_eq!(tasks(&jobs).await, [(0, 1)]);
    jobs.sweep_once().await.unwrap();
    assert_eq!(tasks(&jobs).await, []);
}

/// Dies right after the commit: from there on the job is gone for everybody, and the effects see to the rest.
async fn whoever_dies_in_between_leaves_the_rest_to_the_sweep(place: &Place) {
    let bucket = bucket(place.path()).await;
    let jobs = place.start(bucket.objects.clone()).await;
    let job = make(&jobs, 2).await.id;
    put(&jobs, &objects::chunk_key(job, 0)).await;
    jobs.advance(job, Input::Uploaded { chunk: 0 }).await.unwrap();
    jobs.advance(job, Input::Delete { late_ms: 0 }).await.unwrap();
    drop(jobs);

    let jobs = place.start(bucket.objects.clone()).await;
    assert!(jobs.header(job).await.unwrap().is_none(), "nobody finds it any more");
    assert!(jobs.list(Default::default(), 10).await.unwrap().jobs.is_empty());
    let outcome = jobs.advance(job, Input::Uploaded { chunk: 1 }).await;
    assert!(matches!(outcome, Err(JobsError::NoSuchJob(_))));
    jobs.recover().await.unwrap();
    jobs.sweep_once().await.unwrap();
    assert_eq!(objects_of(&jobs, job).await, 1, "that is not due yet");
    let gone = async {
        while jobs.store.load(job, &[]).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            jobs.perform_due().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("the sweep does it");
    is_gone(&jobs, job).await;
    // What comes until the signed URLs are over goes too, and then nothing is left to do.
    put(&jobs, &objects::chunk_key(job, 1)).await;
    let done = async {
        while !left_to_do(&jobs, job).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            jobs.perform_due().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), done).await.expect("the sweep does it");
    is_gone(&jobs, job).await;
}

async fn an_object_store_that_is_away_is_made_up_for(place: &Place) {
    let jobs = place.fresh().await;
    let job = make(&jobs, 2).await.id;
    let deleted = jobs.delete(job, EXPIRY).await.unwrap();
    assert_eq!(deleted, Deleted { state: JobState::Created, erased: None });
    assert!(jobs.header(job).await.unwrap().is_none());
    assert_eq!(left_to_do(&jobs, job).await.len(), 2);
    assert!(matches!(jobs.delete(job, EXPIRY).await, Err(JobsError::NoSuchJob(_))));
    assert!(matches!(jobs.delete(new_id(), EXPIRY).await, Err(JobsError::NoSuchJob(_))));
}

async fn two_at_once_are_harmless(place: &Place) {
    let bucket = bucket(place.path()).await;
    let jobs = place.start(bucket.objects.clone()).await;
    let job = make(&jobs, 2).await.id;
    put(&jobs, &objects::chunk_key(job, 0)).await;
    let deletions = (0..8).map(|_| jobs.delete(job, EXPIRY));
    let outcomes = futures::future::join_all(deletions).await;
    assert!(outcomes.iter().any(Result::is_ok));
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(JobsError::NoSuchJob(_)))));
    is_gone(&jobs, job).await;
    assert_eq!(left_to_do(&jobs, job).await.len(), 2, "decided once");
}

/// Also as long as its records are there, because the object store is away.
async fn the_key_of_a_deleted_job_is_free(place: &Place) {
    let jobs = place.fresh().await;
    let key = || Some(Idempotency { key: "a key".to_owned(), body_hash: "body".to_owned() });
    let create = async || jobs.create(new_job(new_id(), 2), key()).await.unwrap();
    let CreatedJob::New(first) = create().await else { panic!("it is new") };
    assert_eq!(jobs.delete(first.id, EXPIRY).await.unwrap().erased, None);
    assert!(jobs.store.load(first.id, &[]).await.unwrap().is_some(), "it is only decided");
    let CreatedJob::New(second) = create().await else { panic!("the first one is deleted") };
    assert!(matches!(create().await, CreatedJob::Existing(header) if header.id == second.id));
    // What is to be done for the first one is not forgotten.
    assert_eq!(left_to_do(&jobs, first.id).await.len(), 2);
}
