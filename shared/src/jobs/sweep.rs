//! What is done from time to time, so that nothing that was lost stays lost: effects nobody performed, deadlines,
//! uploads whose notice never came, tasks that died with a process.

use super::perform::in_time;
use super::{Jobs, JobsError};
use crate::clock;
use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use scriptorium_contracts::job::{ChunkRecord, ChunkState, Input, JobHeader, JobState, PartState};
use scriptorium_contracts::{JobId, Timestamp, objects};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Jobs of one page.
const PAGE: u32 = 256;
/// Jobs that are swept at the same time.
const AT_ONCE: usize = 8;
/// Ticks of one job in one sweep: a tick looks at 64 chunks, a job has 10 240 at most.
const MAX_TICKS: usize = 161;
/// How often delayed effects are looked for. One that was remembered in the meantime comes at most this late.
const DUE_POLL: Duration = Duration::from_millis(500);

impl Jobs {
    /// To be called at the start of a process with an *embedded* queue, before anything consumes: the messages of
    /// the process before this one are gone, so every chunk that was in flight is queued again and every assembly
    /// asked for again. With a queue that survives its clients nothing is lost and nothing is to be done.
    pub fn recover(&self) -> BoxFuture<'_, Result<(), JobsError>> {
        Box::pin(async move { self.take_up(Lost::All).await })
    }

    /// A job store that was restarted may have forgotten its last second: that a worker began a task, or that it was done
    /// with it, while the message is gone from the queue. What is in work has a lease; what is thought to wait in the
    /// queue has none, and gets a new task. One that does wait there still is done twice, and counts once.
    async fn heal(&self) -> Result<(), JobsError> {
        let Some(run) = self.store.restarted().await? else { return Ok(()) };
        tracing::warn!(
            "the job store was restarted; tasks that wait in the queue are made anew, in case it forgot some"
        );
        self.take_up(Lost::Queued).await?;
        Ok(self.store.healed(&run).await?)
    }

    async fn take_up(&self, lost: Lost) -> Result<(), JobsError> {
        let mut after = None;
        loop {
            let page = self.store.jobs_to_sweep(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(*last);
            let taken = stream::iter(page).map(|job| async move { (job, self.take_up_job(job, lost).await) });
            let taken: Vec<_> = taken.buffer_unordered(AT_ONCE).collect().await;
            for (job, outcome) in taken {
                match outcome {
                    // Deleted in the meantime, or its time was over.
                    Ok(()) | Err(JobsError::NoSuchJob(_)) => {}
                    Err(error) if error.retryable() => return Err(error),
                    // One damaged job must not keep the others from going on.
                    Err(error) => tracing::error!(%job, %error, "a job can't be taken up again"),
                }
            }
        }
    }

    async fn take_up_job(&self, job: JobId, lost: Lost) -> Result<(), JobsError> {
        let Some(header) = self.header(job).await? else { return Ok(()) };
        if header.state.is_final() {
            return Ok(());
        }
        let in_flight: Vec<u32> = header.in_flight.iter().collect();
        let Some((_, records)) = self.store.load(job, &in_flight).await? else { return Ok(()) };
        for input in records.values().flat_map(|record| lost_tasks(record, lost)) {
            self.advance(job, input).await?;
        }
        if header.state == JobState::Assembling {
            self.publish_assembly(job, header.assembly_epoch).await?;
        }
        Ok(())
    }

    /// One sweep over everything. What fails for one job is logged and keeps no other job waiting; fails only if the
    /// store does not answer.
    pub fn sweep_once(&self) -> BoxFuture<'_, Result<(), JobsError>> {
        Box::pin(async move {
            self.heal().await?;
            self.perform_due().await?;
            // Once the object store has not answered, the rest of the sweep does without it.
            let objects_answer = &AtomicBool::new(true);
            let mut after = None;
            loop {
                let page = self.store.jobs_to_sweep(after, PAGE).await?;
                let Some(last) = page.last() else { return Ok(()) };
                after = Some(*last);
                stream::iter(page)
                    .for_each_concurrent(AT_ONCE, |job| async move {
                        match self.sweep_job(job, objects_answer).await {
                            // Deleted in the meantime, or its time was over.
                            Ok(()) | Err(JobsError::NoSuchJob(_)) => {}
                            Err(error) => report(&error, Some(job)),
                        }
                    })
                    .await;
            }
        })
    }

    async fn sweep_job(&self, job: JobId, objects_answer: &AtomicBool) -> Result<(), JobsError> {
        let Some(mut header) = self.header(job).await? else { return Ok(()) };
        for _ in 0..MAX_TICKS {
            let revision = header.revision;
            header = self.advance(job, Input::Tick).await?;
            if header.revision == revision {
                break;
            }
        }
        match header.state {
            JobState::Created | JobState::Uploading if objects_answer.load(Ordering::Relaxed) => {
                let found = self.find_lost_notices(&header).await;
                if matches!(&found, Err(JobsError::Objects(error)) if error.retryable()) {
                    objects_answer.store(false, Ordering::Relaxed);
                }
                found
            }
            JobState::Created | JobState::Uploading => Ok(()),
            JobState::Processing
            | JobState::Assembling
            | JobState::Completed
            | JobState::CompletedWithErrors
            | JobState::Failed
            | JobState::Cancelled
            | JobState::Expired => Ok(()),
        }
    }

    /// R6: a chunk whose object is there in full, but whose notice never came, goes on by itself. The object store
    /// shows an object only when it is whole, so its size is all there is to check.
    async fn find_lost_notices(&self, header: &JobHeader) -> Result<(), JobsError> {
        let job = header.id;
        let layout = header.layout().ok_or(JobsError::Damaged(job))?;
        let prefix = objects::chunks_prefix(job);
        for (key, size) in in_time(self.objects.list(&prefix)).await? {
            let Some(chunk) = objects::chunk_of_key(job, &key) else { continue };
            let whole = layout.range(chunk).is_some_and(|range| range.size() == size);
            if whole && !header.uploaded.contains(chunk) {
                tracing::info!(%job, chunk, "a chunk was uploaded without notice");
                self.advance(job, Input::Uploaded { chunk }).await?;
            }
        }
        Ok(())
    }

    /// Sweeps at once and then every `every`, and performs delayed effects when they are due, until `shutdown`.
    pub fn run_sweeper(self, every: Duration, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // A sweep that is dropped half-way has done half its work; the next one does the rest.
            shutdown.run_until_cancelled(self.sweep_for_ever(every)).await;
        })
    }

    async fn sweep_for_ever(&self, every: Duration) {
        // An interval of 0 would panic.
        let mut sweeps = tokio::time::interval(every.max(Duration::from_millis(10)));
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looked = clock::now();
        loop {
            let outcome = tokio::select! {
                biased;
                _ = sweeps.tick() => {
                    looked = clock::now();
                    self.sweep_once().await
                }
                () = tokio::time::sleep(DUE_POLL) => self.perform_newly_due(&mut looked).await,
            };
            if let Err(error) = outcome {
                report(&error, None);
            }
        }
    }

    /// Performs what has become due since `looked`. What was due before and failed waits for the next sweep.
    async fn perform_newly_due(&self, looked: &mut Timestamp) -> Result<(), JobsError> {
        let now = clock::now();
        if self.store.next_due(*looked).await?.is_some_and(|due| due <= now) {
            *looked = now;
            self.perform_due().await?;
        }
        Ok(())
    }
}

/// Which tasks are taken to be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    /// All that were under way.
    All,
    /// Those that nobody has begun.
    Queued,
}

/// The tasks of a chunk that are lost; of a divided chunk those of its parts, or its merge.
fn lost_tasks(record: &ChunkRecord, lost: Lost) -> Vec<Input> {
    let (chunk, all) = (record.index, lost == Lost::All);
    let parts: Vec<Input> = (0..)
        .zip(&record.parts)
        .filter(|(_, part)| part.state == PartState::Queued || all && part.state == PartState::Processing)
        .map(|(index, part)| Input::TaskLost { chunk, part: Some(index), epoch: part.epoch, deaths: 1 })
        .collect();
    let whole = record.state == ChunkState::Queued || all;
    if parts.is_empty() && whole {
        vec![Input::TaskLost { chunk, part: None, epoch: record.epoch, deaths: 1 }]
    } else {
        parts
    }
}

fn report(error: &JobsError, job: Option<JobId>) {
    let job = job.map(|job| job.to_string());
    if error.retryable() {
        tracing::warn!(job, %error, "a sweep was not completed; the next one tries again");
    } else {
        tracing::error!(job, %error, "a sweep was not completed");
    }
}
