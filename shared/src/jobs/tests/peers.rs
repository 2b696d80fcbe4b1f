//! A scripted worker and a scripted coordinator.

use super::super::{CreatedJob, Jobs};
use crate::queue::{Consumer, Delivery, Topic};
use crate::testing::{media, new_id, new_job, result_of};
use scriptorium_contracts::JobId;
use scriptorium_contracts::event::EventRecord;
use scriptorium_contracts::job::{Input, JobHeader, Limits, TranscriptSummary};
use scriptorium_contracts::message::{ChunkTask, CoordinatorMessage};
use std::time::Duration;

/// Makes a job of so many chunks whose retries come at once.
pub async fn make(jobs: &Jobs, chunks: u32) -> JobHeader {
    make_limited(jobs, chunks, |_| {}).await
}

pub async fn make_limited(jobs: &Jobs, chunks: u32, limit: impl FnOnce(&mut Limits)) -> JobHeader {
    let mut new = new_job(new_id(), chunks);
    new.limits.retry_delay_ms = 0;
    limit(&mut new.limits);
    match jobs.create(new, None).await.unwrap() {
        CreatedJob::New(header) => header,
        other @ (CreatedJob::Existing(_) | CreatedJob::KeyReused) => panic!("{other:?}"),
    }
}

/// What waits in a topic, without waiting for more.
pub async fn waiting(jobs: &Jobs, topic: Topic) -> Vec<Delivery> {
    let mut consumer = jobs.queue.consume(topic, 10_000).await.unwrap();
    let mut deliveries = Vec::new();
    while let Some(delivery) = soon(&mut consumer).await {
        deliveries.push(delivery);
    }
    deliveries
}

/// The embedded queue hands out what it has at once.
async fn soon(consumer: &mut Consumer) -> Option<Delivery> {
    tokio::time::timeout(Duration::from_millis(1), consumer.next()).await.ok().flatten()
}

pub fn task(delivery: &Delivery) -> ChunkTask {
    serde_json::from_slice(&delivery.payload).unwrap()
}

/// The tasks that wait, acknowledged: chunk and epoch, sorted.
pub async fn tasks(jobs: &Jobs) -> Vec<(u32, u32)> {
    let mut tasks = Vec::new();
    for delivery in waiting(jobs, Topic::Tasks).await {
        let task = task(&delivery);
        tasks.push((task.chunk, task.epoch));
        delivery.ack().await.unwrap();
    }
    tasks.sort_unstable();
    tasks
}

/// The epochs of the assemblies that wait, acknowledged.
pub async fn assemblies(jobs: &Jobs, wanted: JobId) -> Vec<u32> {
    let mut epochs = Vec::new();
    for delivery in waiting(jobs, Topic::Coordinator).await {
        match serde_json::from_slice(&delivery.payload).unwrap() {
            CoordinatorMessage::Assemble { job, epoch, .. } if job == wanted => epochs.push(epoch),
            other @ (CoordinatorMessage::Assemble { .. }
            | CoordinatorMessage::Merge { .. }
            | CoordinatorMessage::Report(_)) => {
                panic!("{other:?}")
            }
        }
        delivery.ack().await.unwrap();
    }
    epochs
}

/// What a worker tells of a task that goes well.
pub fn answers(task: &ChunkTask) -> Vec<Input> {
    let ChunkTask { chunk, epoch, .. } = *task;
    vec![
        Input::Started { chunk, part: None, epoch },
        Input::Probed { media: media() },
        Input::Completed { chunk, epoch, result: Box::new(result_of(chunk)) },
    ]
}

/// Puts the transcript together from the stored results.
pub async fn assemble(jobs: &Jobs, job: JobId, epoch: u32) -> Input {
    let header = jobs.header(job).await.unwrap().unwrap();
    let mut text = Vec::new();
    for chunk in header.completed.iter() {
        text.push(jobs.store.result(job, chunk).await.unwrap().unwrap().text());
    }
    let segments = text.len() as u32;
    let summary = TranscriptSummary {
        language: "en".to_owned(),
        duration: 12.5,
        segments,
        gaps: Vec::new(),
        coverage: None,
        correction: None,
    };
    Input::Assembled { epoch, text: text.join(" "), summary }
}

/// Everything that can still happen by itself: tasks are done, assemblies put together, until the job is final or
/// nothing waits.
pub async fn finish(jobs: &Jobs, job: JobId) -> JobHeader {
    for _ in 0..10_000 {
        let mut idle = jobs.perform_due().await.unwrap() == 0;
        for delivery in waiting(jobs, Topic::Tasks).await {
            idle = false;
            for input in answers(&task(&delivery)) {
                jobs.advance(job, input).await.unwrap();
            }
            delivery.ack().await.unwrap();
        }
        for epoch in assemblies(jobs, job).await {
            idle = false;
            let assembled = assemble(jobs, job, epoch).await;
            jobs.advance(job, assembled).await.unwrap();
        }
        let header = jobs.header(job).await.unwrap().unwrap();
        if idle || header.state.is_final() {
            return header;
        }
    }
    panic!("the job never comes to rest");
}

/// The whole event log, which must have no hole.
pub async fn log(jobs: &Jobs, job: JobId) -> Vec<EventRecord> {
    let events = jobs.store.events(job, 0, 10_000).await.unwrap();
    let header = jobs.header(job).await.unwrap().unwrap();
    assert!(events.iter().map(|event| event.id).eq(1..=header.last_event));
    events
}
