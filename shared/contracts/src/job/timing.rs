//! Where the time of a job goes.

use super::change::Change;
use super::{CriticalPath, Input, StepError, parts, processing};
use crate::message::Work;

/// Counts the work behind a report, if it comes from the task that owns the chunk. What silent or doubled workers do is
/// not counted.
pub(super) fn worked(change: &mut Change<'_>, report: &Input, work: Work) -> Result<(), StepError> {
    let (chunk, part, epoch) = match report {
        Input::Completed { chunk, epoch, .. } | Input::Planned { chunk, epoch, .. } => (*chunk, None, *epoch),
        Input::PartCompleted { chunk, part, epoch } => (*chunk, Some(*part), *epoch),
        Input::Failed { chunk, part, epoch, .. } => (*chunk, *part, *epoch),
        // What is done again is no chunk's.
        Input::Redone { .. } | Input::RedoFailed { .. } => {
            change.header.work = change.header.work.plus(work);
            return Ok(());
        }
        Input::Uploaded { .. }
        | Input::Started { .. }
        | Input::Probed { .. }
        | Input::NeedsChunk { .. }
        | Input::TaskLost { .. }
        | Input::Retry { .. }
        | Input::Cancel { .. }
        | Input::Delete { .. }
        | Input::Measured { .. }
        | Input::Redo { .. }
        | Input::RedoStarted { .. }
        | Input::Assembled { .. }
        | Input::AssemblyFailed { .. }
        | Input::Correcting { .. }
        | Input::RevertEdit { .. }
        | Input::EventsSeen { .. }
        | Input::WebhookTaken { .. }
        | Input::WebhookTried { .. }
        | Input::RedeliverWebhook { .. }
        | Input::SourceTaken { .. }
        | Input::SourceTried { .. }
        | Input::Tick => return Ok(()),
    };
    let owned = match part {
        None => processing::owned(change, chunk, epoch)?,
        Some(part) => parts::owned(change, chunk, part, epoch)?.is_some(),
    };
    if owned {
        change.header.work = change.header.work.plus(work);
        let record = change.chunk_mut(chunk)?;
        record.work = record.work.plus(work);
    }
    Ok(())
}

/// The chunk has ended: as long as no other one ends later, the job's end has waited for it.
pub(super) fn ended(change: &mut Change<'_>, chunk: u32) -> Result<(), StepError> {
    let (created, now) = (change.header.created_at, change.now);
    let record = change.chunk(chunk)?;
    let uploaded = record.uploaded_at.unwrap_or(now);
    let ready = record.ready_at.map_or(uploaded, |ready| ready.max(uploaded));
    let started = record.started_at.unwrap_or(now);
    change.header.path = Some(CriticalPath {
        chunk,
        upload_ms: ready.since(created),
        queue_ms: started.since(ready),
        processing_ms: now.since(started),
        work: record.work,
        ended_at: now,
    });
    Ok(())
}
