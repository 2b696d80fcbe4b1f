//! How a job ends.

use super::change::{Change, in_flight};
use super::processing::fail_chunk;
use super::{ChunkState, Effect, JobState, StepError, TranscriptSummary, leases, redo};
use crate::event::Event;
use crate::failure::{Failure, FailureCode};

/// Chunk records that one tick looks at.
const TICK_BATCH: usize = 64;
/// An assembly is asked for again after this many milliseconds without an answer; with each further try it is given twice
/// the time, so that one that really takes so long comes to its end.
const ASSEMBLY_MS: u64 = 60_000;

pub(super) fn cancel(change: &mut Change<'_>, reason: String) {
    if change.header.state.is_final() {
        return;
    }
    change.set_state(JobState::Cancelled);
    change.event(Event::Cancelled { reason });
    release_objects(change);
}

pub(super) fn fail_job(change: &mut Change<'_>, failure: Failure) {
    change.header.failure = Some(failure.clone());
    change.set_state(JobState::Failed);
    change.event(Event::JobFailed { error: failure });
}

/// Once every chunk has ended, the transcript is put together; if none has succeeded, the job has failed.
pub(super) fn assemble_if_all_ended(change: &mut Change<'_>) {
    if change.header.state != JobState::Processing
        || change.header.ended_chunks() < change.header.total_chunks()
    {
        return;
    }
    if change.header.completed.is_empty() {
        let failure = Failure::new(FailureCode::DamagedMedia, "All chunks of the recording failed.");
        fail_job(change, failure);
        return;
    }
    change.progress(true);
    assemble(change);
}

pub(super) fn assemble(change: &mut Change<'_>) {
    change.set_state(JobState::Assembling);
    change.header.assembly_epoch += 1;
    change.header.correcting_until = None;
    let (job, epoch) = (change.header.id, change.header.assembly_epoch);
    change.effect(Effect::PublishAssembly { job, epoch }, 0);
}

pub(super) fn assembled(change: &mut Change<'_>, epoch: u32, text: String, summary: TranscriptSummary) {
    if change.header.state != JobState::Assembling || change.header.assembly_epoch != epoch {
        return;
    }
    let clean = change.header.failed.is_empty() && summary.gaps.is_empty();
    let status = if clean { JobState::Completed } else { JobState::CompletedWithErrors };
    change.header.summary = Some(summary);
    change.header.correcting_until = None;
    // They are numbered anew.
    change.header.reverted_edits.clear();
    change.set_state(status);
    change.event(Event::FinalResult { final_transcript: text, status });
    if change.header.failed.is_empty() {
        release_objects(change);
    }
}

pub(super) fn assembly_failed(change: &mut Change<'_>, epoch: u32, failure: Failure) {
    if change.header.state == JobState::Assembling && change.header.assembly_epoch == epoch {
        fail_job(change, failure);
    }
}

/// Whoever has the text corrected is at it.
pub(super) fn correcting(change: &mut Change<'_>, epoch: u32) {
    if change.header.state == JobState::Assembling && change.header.assembly_epoch == epoch {
        change.header.correcting_until = leases::until(change);
    }
}

/// Takes back an edit of the finished transcript. What was told before stays as it was told.
pub(super) fn revert_edit(change: &mut Change<'_>, edit: u32) {
    let finished = matches!(change.header.state, JobState::Completed | JobState::CompletedWithErrors);
    let correction = change.header.summary.as_ref().and_then(|summary| summary.correction);
    if finished && correction.is_some_and(|correction| edit < correction.edits) {
        change.header.reverted_edits.insert(edit);
    }
}

/// Deadlines: an upload left alone expires, a job that takes too long ends, kept objects are deleted at last.
pub(super) fn tick(change: &mut Change<'_>) -> Result<(), StepError> {
    let (header, now) = (&change.header, change.now);
    match header.state {
        JobState::Created | JobState::Uploading => {
            let last = header.last_upload_at.unwrap_or(header.created_at);
            if now.since(last) >= header.limits.upload_expiry_ms {
                change.set_state(JobState::Expired);
                change.event(Event::Expired {});
                release_objects(change);
                return Ok(());
            }
            leases::expire(change)
        }
        JobState::Processing if time_is_over(change) => time_out(change),
        JobState::Processing => leases::expire(change),
        JobState::Assembling => {
            redo::expire(change);
            let header = &change.header;
            if let Some(until) = header.correcting_until {
                if now >= until {
                    assemble(change);
                }
                return Ok(());
            }
            let waits_for_workers = header.redo.as_ref().is_some_and(|redo| !redo.is_done());
            let allowed = if waits_for_workers {
                header.limits.processing_timeout_ms.max(ASSEMBLY_MS)
            } else {
                ASSEMBLY_MS << header.assembly_epoch.saturating_sub(1).min(8)
            };
            if now.since(header.updated_at) >= allowed {
                assemble(change);
            }
            Ok(())
        }
        JobState::Completed
        | JobState::CompletedWithErrors
        | JobState::Failed
        | JobState::Cancelled
        | JobState::Expired => {
            let ended = header.finished_at.unwrap_or(header.updated_at);
            if now.since(ended) >= header.limits.retention_ms {
                release_objects(change);
            }
            Ok(())
        }
    }
}

/// R23: the time is counted from the last uploaded chunk, and is never less than a multiple of the audio's length.
pub(super) fn time_is_over(change: &Change<'_>) -> bool {
    let header = &change.header;
    let audio_ms = header.media.as_ref().and_then(|media| media.duration_seconds).unwrap_or(0.0) * 1000.0;
    // `as` saturates, and NaN becomes 0.
    let audio_ms = (audio_ms * f64::from(header.limits.timeout_per_audio)) as u64;
    let allowed = header.limits.processing_timeout_ms.max(audio_ms);
    header.state == JobState::Processing
        && change.now.since(header.last_upload_at.unwrap_or(header.created_at)) >= allowed
}

/// A batch of the late chunks fails; the next ticks see to the rest, and nothing new is queued any more.
fn time_out(change: &mut Change<'_>) -> Result<(), StepError> {
    let header = &change.header;
    let late: Vec<u32> = (0..header.total_chunks())
        .filter(|chunk| !header.completed.contains(*chunk) && !header.failed.contains(*chunk))
        .take(TICK_BATCH)
        .collect();
    change.require(&late)?;
    for chunk in late {
        let state = change.chunk(chunk)?.state;
        if in_flight(state) || state == ChunkState::Uploaded {
            let failure = Failure::new(FailureCode::TimedOut, "The time for processing this job is over.");
            fail_chunk(change, chunk, failure)?;
        }
    }
    Ok(())
}

/// What was uploaded goes, and what was still to be fetched is wanted no more.
pub(super) fn release_objects(change: &mut Change<'_>) {
    change.header.source = None;
    if !change.header.objects_released {
        change.header.objects_released = true;
        let (job, delay) = (change.header.id, change.header.limits.release_delay_ms);
        change.effect(Effect::DeleteTemporaryObjects { job }, delay);
    }
}
