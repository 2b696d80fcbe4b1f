//! A process ends and another one starts on the same state.

use super::Place;
use super::peers::{answers, assemblies, finish, log, make, task, tasks, waiting};
use crate::queue::Topic;
use crate::testing::media;
use scriptorium_contracts::event::Event;
use scriptorium_contracts::failure::FailureCode;
use scriptorium_contracts::job::{ChunkState, Input, JobState};

on_each_store![
    chunks_in_flight_are_queued_again,
    an_assembly_is_asked_for_again,
    a_chunk_that_kills_its_process_fails_some_day,
    many_jobs_are_taken_up_again,
];

async fn chunks_in_flight_are_queued_again(place: &Place) {
    let jobs = place.fresh().await;
    let job = make(&jobs, 4).await.id;
    jobs.advance(job, Input::Probed { media: media() }).await.unwrap();
    for chunk in 0..3 {
        jobs.advance(job, Input::Uploaded { chunk }).await.unwrap();
    }
    jobs.advance(job, Input::Started { chunk: 0, part: None, epoch: 1 }).await.unwrap();
    let untouched = make(&jobs, 2).await;
    drop(jobs);

    let jobs = place.fresh().await;
    assert!(waiting(&jobs, Topic::Tasks).await.is_empty(), "the queue is new");
    jobs.recover().await.unwrap();
    let deliveries = waiting(&jobs, Topic::Tasks).await;
    let mut published: Vec<_> = deliveries.iter().map(task).map(|task| (task.chunk, task.epoch)).collect();
    published.sort_unstable();
    assert_eq!(published, [(0, 2), (1, 2), (2, 2)]);
    drop(deliveries);
    let records = jobs.store.chunk_records(job, 0, 10).await.unwrap();
    let losses: Vec<u32> = records.iter().map(|record| record.losses).collect();
    assert_eq!(losses, [1, 0, 0, 0], "only the chunk that was processed was lost");
    assert_eq!(jobs.header(untouched.id).await.unwrap().unwrap(), untouched);

    // An answer of the process before is late.
    let before = jobs.header(job).await.unwrap().unwrap();
    let late = Input::Failed { chunk: 1, part: None, epoch: 1, failure: records[0].error.clone().unwrap() };
    assert_eq!(jobs.advance(job, late).await.unwrap(), before);
    jobs.advance(job, Input::Uploaded { chunk: 3 }).await.unwrap();
    assert_eq!(finish(&jobs, job).await.state, JobState::Completed);
    log(&jobs, job).await;
}

async fn an_assembly_is_asked_for_again(place: &Place) {
    let jobs = place.fresh().await;
    let job = make(&jobs, 1).await.id;
    jobs.advance(job, Input::Uploaded { chunk: 0 }).await.unwrap();
    for delivery in waiting(&jobs, Topic::Tasks).await {
        for input in answers(&task(&delivery)) {
            jobs.advance(job, input).await.unwrap();
        }
    }
    let header = jobs.header(job).await.unwrap().unwrap();
    assert_eq!(header.state, JobState::Assembling);
    drop(jobs);
    let jobs = place.fresh().await;
    jobs.recover().await.unwrap();
    assert_eq!(assemblies(&jobs, job).await, [header.assembly_epoch]);
    drop(jobs);
    let jobs = place.fresh().await;
    jobs.recover().await.unwrap();
    assert_eq!(finish(&jobs, job).await.state, JobState::Completed);
}

/// A chunk that kills its process ends the chunk, not the program: three deaths make a suspect, three more end it.
async fn a_chunk_that_kills_its_process_fails_some_day(place: &Place) {
    let mut jobs = place.fresh().await;
    let job = make(&jobs, 2).await.id;
    jobs.advance(job, Input::Probed { media: media() }).await.unwrap();
    jobs.advance(job, Input::Uploaded { chunk: 0 }).await.unwrap();
    for epoch in 1..=6 {
        assert_eq!(tasks(&jobs).await, [(0, epoch)]);
        jobs.advance(job, Input::Started { chunk: 0, part: None, epoch }).await.unwrap();
        drop(jobs);
        jobs = place.fresh().await;
        jobs.recover().await.unwrap();
    }
    assert_eq!(tasks(&jobs).await, []);
    let record = &jobs.store.chunk_records(job, 0, 1).await.unwrap()[0];
    assert_eq!(record.state, ChunkState::Failed);
    assert_eq!(record.error.as_ref().unwrap().code, FailureCode::WorkerLost);
    let events = log(&jobs, job).await;
    let told = |event: &Event| matches!(event, Event::ChunkFailed { chunk_index: 0, will_retry: false, .. });
    assert!(events.iter().any(|event| told(&event.event)));
}

/// Jobs by the hundred, more than one page, each with chunks in flight.
async fn many_jobs_are_taken_up_again(place: &Place) {
    let jobs = place.fresh().await;
    let making = (0..300).map(|_| async {
        let job = make(&jobs, 1).await.id;
        jobs.advance(job, Input::Uploaded { chunk: 0 }).await.unwrap();
    });
    futures::future::join_all(making).await;
    drop(jobs);
    let jobs = place.fresh().await;
    jobs.recover().await.unwrap();
    assert_eq!(tasks(&jobs).await, [(0, 2); 300]);
}

/// One job that can't be read keeps no other from going on.
#[tokio::test]
async fn a_damaged_job_does_not_stop_the_start() {
    let place = Place::embedded();
    let jobs = place.fresh().await;
    let (damaged, whole) = (make(&jobs, 1).await.id, make(&jobs, 1).await.id);
    for job in [damaged, whole] {
        jobs.advance(job, Input::Uploaded { chunk: 0 }).await.unwrap();
    }
    drop(jobs);
    let connection = rusqlite::Connection::open(place.path().join("jobs.sqlite")).unwrap();
    let id = damaged.as_uuid().as_bytes();
    connection.execute("UPDATE jobs SET header = '{}' WHERE id = ?1", [id]).unwrap();
    drop(connection);
    let jobs = place.fresh().await;
    jobs.recover().await.unwrap();
    jobs.sweep_once().await.unwrap();
    assert_eq!(finish(&jobs, whole).await.state, JobState::Completed);
}
