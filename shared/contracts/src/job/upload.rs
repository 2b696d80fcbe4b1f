//! Inputs of the client: an object has arrived, a failed chunk is to be tried again.

use super::change::Change;
use super::{ChunkState, JobState, StepError, source};
use crate::event::Event;

pub(super) fn uploaded(change: &mut Change<'_>, chunk: u32) -> Result<(), StepError> {
    if change.header.state.is_final() || change.chunk(chunk)?.state != ChunkState::Pending {
        return Ok(());
    }
    let now = change.now;
    let waiters = {
        let record = change.chunk_mut(chunk)?;
        record.uploaded_at = Some(now);
        std::mem::take(&mut record.waiters)
    };
    change.set_chunk_state(chunk, ChunkState::Uploaded)?;
    change.header.ready.insert(chunk);
    change.header.wanted.remove(chunk);
    change.header.last_upload_at = Some(now);
    // The waiters' own records are cleared when they are queued: so an upload costs the same however many wait.
    for waiter in waiters.iter() {
        change.header.ready.insert(waiter);
    }
    source::progressed(change);
    let all = change.header.uploaded.len() == change.header.total_chunks();
    change.set_state(if all { JobState::Processing } else { JobState::Uploading });
    change.progress(all);
    Ok(())
}

/// A failed chunk goes back to its turn with all its tries; a finished job reopens. Other chunks: nothing to do.
pub(super) fn retry(change: &mut Change<'_>, chunk: u32) -> Result<(), StepError> {
    let reopens = match change.header.state {
        JobState::Cancelled | JobState::Expired | JobState::Completed => return Ok(()),
        JobState::CompletedWithErrors | JobState::Failed => true,
        JobState::Created | JobState::Uploading | JobState::Processing | JobState::Assembling => false,
    };
    if change.chunk(chunk)?.state != ChunkState::Failed || change.header.objects_released {
        return Ok(());
    }
    // The reports of tasks that were under way when the job ended were refused: these chunks need new tasks.
    let under_way: Vec<u32> = if reopens { change.header.in_flight.iter().collect() } else { Vec::new() };
    change.require(&under_way)?;
    let record = change.chunk_mut(chunk)?;
    record.attempts = 0;
    record.losses = 0;
    record.error = None;
    record.ended_at = None;
    record.waited_for = None;
    record.parts.clear();
    record.divide = false;
    for chunk in under_way.into_iter().chain([chunk]) {
        change.set_chunk_state(chunk, ChunkState::Uploaded)?;
        change.header.ready.insert(chunk);
    }
    // An assembly under way would miss the chunk: its token is made old.
    change.header.assembly_epoch += 1;
    change.header.redo = None;
    change.header.failure = None;
    change.header.summary = None;
    // The job's time for processing starts anew.
    change.header.last_upload_at = Some(change.now);
    let all = change.header.uploaded.len() == change.header.total_chunks();
    change.set_state(if all { JobState::Processing } else { JobState::Uploading });
    if reopens {
        source::resume(change);
        change.event(Event::Reopened {});
    }
    Ok(())
}
