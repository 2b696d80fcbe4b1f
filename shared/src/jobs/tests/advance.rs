//! Making and advancing jobs.

use super::super::{CreatedJob, JobsError, PERFORM_GRACE_MS};
use super::Place;
use super::peers::{finish, log, make, tasks, waiting};
use crate::bus::Wake;
use crate::clock;
use crate::queue::{EmbeddedQueue, Queue, Topic};
use crate::store::{EmbeddedStore, Idempotency, Store, StoreError};
use crate::testing::{media, new_id, new_job, result_of};
use scriptorium_contracts::Timestamp;
use scriptorium_contracts::event::Event;
use scriptorium_contracts::job::{Input, JobState};

on_each_store![
    a_key_makes_a_job_once,
    what_does_not_exist,
    from_the_first_upload_to_the_last_word,
    at_most_so_many_chunks_of_a_job_at_once,
    a_queue_that_takes_nothing_loses_nothing,
];

async fn a_key_makes_a_job_once(place: &Place) {
    let jobs = place.fresh().await;
    let key = |body: &str| Some(Idempotency { key: "key".to_owned(), body_hash: body.to_owned() });
    let CreatedJob::New(header) = jobs.create(new_job(new_id(), 3), key("body")).await.unwrap() else {
        panic!("the key is new");
    };
    jobs.advance(header.id, Input::Uploaded { chunk: 1 }).await.unwrap();
    let again = jobs.create(new_job(new_id(), 3), key("body")).await.unwrap();
    assert_eq!(again, CreatedJob::Existing(jobs.header(header.id).await.unwrap().unwrap()));
    let other = jobs.create(new_job(new_id(), 3), key("other")).await.unwrap();
    assert_eq!(other, CreatedJob::KeyReused);
}

async fn what_does_not_exist(place: &Place) {
    let jobs = place.fresh().await;
    let nobody = new_id();
    let error = jobs.advance(nobody, Input::Tick).await.unwrap_err();
    assert!(matches!(error, JobsError::NoSuchJob(job) if job == nobody) && !error.retryable());
    assert!(jobs.header(nobody).await.unwrap().is_none());
    let job = make(&jobs, 3).await.id;
    let error = jobs.advance(job, Input::Uploaded { chunk: 3 }).await.unwrap_err();
    assert!(matches!(error, JobsError::NoSuchChunk { chunk: 3, .. }) && !error.retryable());
}

async fn from_the_first_upload_to_the_last_word(place: &Place) {
    let jobs = place.fresh().await;
    let mut wakes = jobs.bus.subscribe();
    let job = make(&jobs, 5).await.id;
    assert_eq!(wakes.next().await, Wake::Job(job));
    for chunk in [3, 0, 4, 1] {
        let header = jobs.advance(job, Input::Uploaded { chunk }).await.unwrap();
        assert!(header.uploaded.contains(chunk));
        assert_eq!(wakes.next().await, Wake::Job(job));
    }
    let revision = jobs.header(job).await.unwrap().unwrap().revision;
    let repeated = jobs.advance(job, Input::Uploaded { chunk: 3 }).await.unwrap();
    assert_eq!(repeated.revision, revision, "a repeated notice changes nothing");
    finish(&jobs, job).await;
    jobs.advance(job, Input::Uploaded { chunk: 2 }).await.unwrap();
    let header = finish(&jobs, job).await;
    assert_eq!(header.state, JobState::Completed);
    let texts: Vec<String> = (0..5).map(|chunk| result_of(chunk).text()).collect();
    let last = log(&jobs, job).await.pop().unwrap().event;
    assert_eq!(last, Event::FinalResult { final_transcript: texts.join(" "), status: JobState::Completed });
    // All that is left to do is to delete the objects.
    let left = jobs.store.due_effects(Timestamp(u64::MAX), None, 100).await.unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
}

async fn at_most_so_many_chunks_of_a_job_at_once(place: &Place) {
    let jobs = place.fresh().await;
    let job = make(&jobs, 8).await.id;
    for chunk in 0..8 {
        jobs.advance(job, Input::Uploaded { chunk }).await.unwrap();
    }
    assert_eq!(tasks(&jobs).await, [(0, 1)], "the others wait until the recording is known");
    jobs.advance(job, Input::Probed { media: media() }).await.unwrap();
    assert_eq!(tasks(&jobs).await, [(1, 1), (2, 1)]);
    let completed = |chunk| Input::Completed { chunk, epoch: 1, result: Box::new(result_of(chunk)) };
    jobs.advance(job, completed(1)).await.unwrap();
    jobs.advance(job, completed(1)).await.unwrap();
    assert_eq!(tasks(&jobs).await, [(3, 1)]);
}

/// The state is safe and the caller is not bothered; the sweep publishes what could not be published.
async fn a_queue_that_takes_nothing_loses_nothing(place: &Place) {
    let mut jobs = place.fresh().await;
    jobs.queue = Queue::Embedded(EmbeddedQueue::bounded(0));
    let job = make(&jobs, 2).await.id;
    let header = jobs.advance(job, Input::Uploaded { chunk: 0 }).await.unwrap();
    assert!(header.in_flight.contains(0));
    let remembered = jobs.store.due_effects(Timestamp(u64::MAX), None, 10).await.unwrap();
    assert_eq!(remembered.len(), 1);
    let due = remembered[0].key.due;
    assert!(
        due > clock::now() && due <= clock::now().plus(PERFORM_GRACE_MS),
        "left to its maker for a while"
    );
    // A sweep on a queue that takes nothing changes nothing either.
    tokio::time::sleep(std::time::Duration::from_millis(due.since(clock::now()) + 1)).await;
    assert_eq!(jobs.perform_due().await.unwrap(), 0);
    assert_eq!(jobs.store.due_effects(due, None, 10).await.unwrap(), remembered);

    jobs.queue = Queue::Embedded(EmbeddedQueue::new());
    assert_eq!(jobs.perform_due().await.unwrap(), 1);
    assert_eq!(tasks(&jobs).await, [(0, 1)]);
    assert_eq!(jobs.perform_due().await.unwrap(), 0);
    assert!(waiting(&jobs, Topic::Tasks).await.is_empty());
}

#[tokio::test]
async fn records_that_do_not_fit_together() {
    let place = Place::embedded();
    let jobs = place.fresh().await;
    let job = make(&jobs, 3).await.id;
    drop(jobs);
    let file = place.path().join("jobs.sqlite");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.execute("DELETE FROM chunks WHERE chunk = 1", []).unwrap();
    drop(connection);
    let jobs = place.fresh().await;
    let error = jobs.advance(job, Input::Uploaded { chunk: 1 }).await.unwrap_err();
    assert!(matches!(error, JobsError::Damaged(damaged) if damaged == job) && !error.retryable(), "{error}");
    jobs.advance(job, Input::Uploaded { chunk: 0 }).await.unwrap();
}

#[tokio::test]
async fn a_closed_store_is_told() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = Store::Embedded(EmbeddedStore::open(&folder.path().join("jobs.sqlite")).unwrap());
    let jobs = crate::testing::jobs_on(store);
    let job = make(&jobs, 3).await.id;
    jobs.store.close().await;
    let error = jobs.advance(job, Input::Uploaded { chunk: 1 }).await.unwrap_err();
    assert!(matches!(error, JobsError::Store(StoreError::Closed)), "{error}");
    assert!(jobs.recover().await.is_err());
    assert!(jobs.sweep_once().await.is_err());
}
