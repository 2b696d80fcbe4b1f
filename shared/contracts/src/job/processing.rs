//! Inputs of the workers, and the choice of the chunks that go to them.

use super::change::{Change, in_flight};
use super::retry::next_try_ms;
use super::{ChunkState, Effect, JobState, StepError, finish, leases, parts, suspects, timing};
use crate::event::Event;
use crate::failure::{Failure, FailureCode};
use crate::message::{ChunkTask, VERSION};
use crate::{media::MediaInfo, transcript::ChunkResult};

/// Losses of a divided chunk, those before it was divided included, after which its merge is given up.
const MAX_LOST_MERGES: u32 = 16;

/// Does the worker with this token still own the chunk?
pub(super) fn owned(change: &Change<'_>, chunk: u32, epoch: u32) -> Result<bool, StepError> {
    let record = change.chunk(chunk)?;
    Ok(!change.header.state.is_final() && in_flight(record.state) && record.epoch == epoch)
}

pub(super) fn started(change: &mut Change<'_>, chunk: u32, epoch: u32) -> Result<(), StepError> {
    // Of a divided chunk the parts are with workers, not the chunk.
    if !owned(change, chunk, epoch)? || !change.chunk(chunk)?.parts.is_empty() {
        return Ok(());
    }
    let (now, lease) = (change.now, leases::until(change));
    let record = change.chunk_mut(chunk)?;
    record.started_at = record.started_at.or(Some(now));
    record.lease_until = lease;
    change.set_chunk_state(chunk, ChunkState::Processing)
}

pub(super) fn probed(change: &mut Change<'_>, media: MediaInfo) {
    if change.header.state.is_final() || change.header.media.is_some() {
        return;
    }
    change.header.media = Some(media.clone());
    change.event(Event::MediaInfo { media });
    // The last chunk's report has overtaken this one, as it may where a recording has one short chunk: the transcript could
    // not be put together without knowing what the recording is.
    if change.header.state == JobState::Assembling {
        finish::assemble(change);
    }
}

pub(super) fn needs_chunk(
    change: &mut Change<'_>,
    chunk: u32,
    epoch: u32,
    needed: u32,
) -> Result<(), StepError> {
    if !owned(change, chunk, epoch)? {
        return Ok(());
    }
    if needed >= change.header.total_chunks() || needed == chunk {
        let failure =
            Failure::new(FailureCode::Internal, "The worker asked for a chunk that does not exist.");
        return failed(change, chunk, epoch, failure);
    }
    change.require(&[chunk, needed])?;
    if change.chunk(chunk)?.waited_for == Some(needed) {
        // It had come before this task was made. Asking once more would go on for ever.
        let failure = Failure::new(
            FailureCode::ObjectMissing,
            format!("Chunk {needed}, which was uploaded, is not in the object store."),
        );
        return failed(change, chunk, epoch, failure);
    }
    change.set_chunk_state(chunk, ChunkState::Uploaded)?;
    let record = change.chunk_mut(chunk)?;
    record.waiting_for = Some(needed);
    record.lease_until = None;
    if change.chunk(needed)?.state == ChunkState::Pending {
        change.chunk_mut(needed)?.waiters.insert(chunk);
        change.header.wanted.insert(needed);
    } else {
        // It has come in the meantime.
        change.header.ready.insert(chunk);
    }
    Ok(())
}

pub(super) fn completed(
    change: &mut Change<'_>,
    chunk: u32,
    epoch: u32,
    result: ChunkResult,
) -> Result<(), StepError> {
    if !owned(change, chunk, epoch)? {
        return Ok(());
    }
    let now = change.now;
    let record = change.chunk_mut(chunk)?;
    record.ended_at = Some(now);
    record.lease_until = None;
    record.error = None;
    record.parts.clear();
    change.set_chunk_state(chunk, ChunkState::Completed)?;
    timing::ended(change, chunk)?;
    let (text, language) = (result.text(), result.first_language().map(str::to_owned));
    let from_cache = change.chunk(chunk)?.work.is_from_cache();
    change.event(Event::ChunkComplete { chunk_index: chunk, text, language, from_cache });
    change.result(chunk, result);
    let text_chunks = change.header.completed.leading();
    if text_chunks > change.header.text_chunks {
        change.header.text_chunks = text_chunks;
        change.event(Event::TextGrew { chunks: text_chunks });
    }
    if change.header.ended_chunks() < change.header.total_chunks() {
        change.progress(false);
    }
    Ok(())
}

pub(super) fn failed(
    change: &mut Change<'_>,
    chunk: u32,
    epoch: u32,
    failure: Failure,
) -> Result<(), StepError> {
    if !owned(change, chunk, epoch)? {
        return Ok(());
    }
    let limits = change.header.limits;
    let record = change.chunk_mut(chunk)?;
    record.attempts += u32::from(!failure.code.is_outage());
    record.error = Some(failure.clone());
    let attempts = record.attempts;
    if failure.code.ends_job() {
        fail_chunk(change, chunk, failure.clone())?;
        finish::fail_job(change, failure);
        return Ok(());
    }
    let seed = seed(change, chunk);
    if let Some(delay) = next_try_ms(&limits, failure.code, attempts, seed) {
        queue(change, chunk, delay)?;
        change.event(Event::ChunkFailed { chunk_index: chunk, error: failure, attempts, will_retry: true });
        return Ok(());
    }
    if failure.code.may_be_local() && divide(change, chunk)? {
        return Ok(());
    }
    fail_chunk(change, chunk, failure)
}

/// Spreads the chunks' pauses ([`super::retry::retry_delay_ms`]).
pub(super) fn seed(change: &Change<'_>, chunk: u32) -> u64 {
    change.header.created_at.0.wrapping_add(u64::from(chunk))
}

/// Has the chunk divided, so that what fails in it can be found; false if that was tried before.
fn divide(change: &mut Change<'_>, chunk: u32) -> Result<bool, StepError> {
    let record = change.chunk_mut(chunk)?;
    if record.divide || !record.parts.is_empty() {
        return Ok(false);
    }
    record.divide = true;
    record.attempts = 0;
    queue(change, chunk, 0)?;
    Ok(true)
}

/// The chunk has failed for good.
pub(super) fn fail_chunk(change: &mut Change<'_>, chunk: u32, failure: Failure) -> Result<(), StepError> {
    let now = change.now;
    let record = change.chunk_mut(chunk)?;
    record.error = Some(failure.clone());
    record.lease_until = None;
    record.ended_at = Some(now);
    let attempts = record.attempts;
    change.set_chunk_state(chunk, ChunkState::Failed)?;
    timing::ended(change, chunk)?;
    change.event(Event::ChunkFailed { chunk_index: chunk, error: failure, attempts, will_retry: false });
    Ok(())
}

/// The task died without an answer: it is queued again, but not for ever, so that a chunk that kills its workers ends
/// some day.
pub(super) fn task_lost(
    change: &mut Change<'_>,
    chunk: u32,
    epoch: u32,
    deaths: u32,
) -> Result<(), StepError> {
    if !owned(change, chunk, epoch)? {
        return Ok(());
    }
    if change.chunk(chunk)?.state == ChunkState::Queued {
        // Nobody had begun: no try was spent.
        return queue(change, chunk, 0);
    }
    let failure = Failure::new(
        FailureCode::WorkerLost,
        "The worker stopped before it was done with this chunk; the chunk is tried again.",
    );
    let record = change.chunk_mut(chunk)?;
    record.losses = suspects::plus(record.losses, deaths);
    record.error = Some(failure.clone());
    let losses = record.losses;
    let given_up =
        if record.parts.is_empty() { suspects::is_given_up(losses) } else { losses > MAX_LOST_MERGES };
    // Divided, so that only the seconds are lost that do it.
    if suspects::is_suspected(losses) && divide(change, chunk)? {
        return Ok(());
    }
    if given_up {
        return fail_chunk(change, chunk, failure);
    }
    queue(change, chunk, 0)
}

/// Gives the chunk a new token and publishes its task; of a divided chunk, what is left of it.
pub(super) fn queue(change: &mut Change<'_>, chunk: u32, delay_ms: u64) -> Result<(), StepError> {
    change.set_chunk_state(chunk, ChunkState::Queued)?;
    let now = change.now;
    let record = change.chunk_mut(chunk)?;
    record.epoch += 1;
    if let Some(needed) = record.waiting_for.take() {
        record.waited_for = Some(needed);
        record.ready_at = Some(now);
    }
    record.started_at = None;
    record.lease_until = None;
    if !record.parts.is_empty() {
        return parts::resume(change, chunk, delay_ms);
    }
    let (epoch, divide, losses) = (record.epoch, record.divide, record.losses);
    let task = ChunkTask { divide, alone: suspects::is_suspected(losses), ..task(change, chunk, epoch) };
    let seed = seed(change, chunk);
    let pause_ms = suspects::pause_ms(&change.header.limits, losses, seed);
    change.effect(Effect::PublishTask { task }, delay_ms.max(pause_ms));
    Ok(())
}

/// The task for a whole chunk.
pub(super) fn task(change: &Change<'_>, chunk: u32, epoch: u32) -> ChunkTask {
    let header = &change.header;
    ChunkTask {
        version: VERSION,
        job: header.id,
        chunk,
        epoch,
        total_size: header.total_size,
        chunk_size: header.chunk_size,
        options: header.options.clone(),
        lease_ms: header.limits.lease_ms,
        part: None,
        divide: false,
        redo: None,
        tenant: header.tenant.clone(),
        alone: false,
    }
}

/// Queues ready chunks, the earliest first, as long as the job may have more in processing. The first chunk goes alone
/// until the recording is recognised, so that not every worker has to look at its beginning. Once that chunk has ended
/// the others go in any case: the report may be late or lost, and one chunk's failure must not hold up the others.
pub(super) fn dispatch(change: &mut Change<'_>) -> Result<(), StepError> {
    match change.header.state {
        JobState::Created | JobState::Uploading | JobState::Processing => {}
        JobState::Assembling
        | JobState::Completed
        | JobState::CompletedWithErrors
        | JobState::Failed
        | JobState::Cancelled
        | JobState::Expired => return Ok(()),
    }
    if finish::time_is_over(change) {
        return Ok(());
    }
    let free =
        change.header.limits.max_parallel_chunks.clamp(1, 64).saturating_sub(change.header.in_flight.len());
    let header = &change.header;
    let all_may = header.media.is_some() || header.completed.contains(0) || header.failed.contains(0);
    let next: Vec<u32> =
        header.ready.iter().filter(|chunk| all_may || *chunk == 0).take(free as usize).collect();
    change.require(&next)?;
    for chunk in next {
        queue(change, chunk, 0)?;
    }
    Ok(())
}
