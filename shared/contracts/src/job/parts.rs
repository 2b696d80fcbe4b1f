//! A chunk with more audio than a task shall have is divided into parts: runs of its passages, which many workers take.
//!
//! A part that fails again and again is halved, until only the passage that does it is lost.

use super::change::Change;
use super::retry::next_try_ms;
use super::{ChunkState, Effect, StepError, finish, leases, processing, suspects};
use crate::failure::{Failure, FailureCode};
use crate::ids::Timestamp;
use crate::message::{ChunkTask, PartTask};
use serde::{Deserialize, Serialize};

/// Most parts of a chunk: 100 MB of the lowest bit rates hold some hundred of them.
pub const MAX_PARTS: usize = 4_096;
/// A merge takes seconds, and waits for its turn.
const MERGE_LEASE_MS: u64 = 300_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartState {
    Waiting,
    Queued,
    Processing,
    Completed,
    /// For good: its passage is a gap in the transcript.
    Failed,
}

impl PartState {
    const fn is_under_way(self) -> bool {
        match self {
            Self::Queued | Self::Processing => true,
            Self::Waiting | Self::Completed | Self::Failed => false,
        }
    }

    const fn has_ended(self) -> bool {
        match self {
            Self::Completed | Self::Failed => true,
            Self::Waiting | Self::Queued | Self::Processing => false,
        }
    }
}

/// A run of passages of a chunk's plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub state: PartState,
    /// The first passage.
    pub first: u32,
    /// How many passages.
    pub count: u32,
    /// Fencing token, out of the chunk's ([`super::ChunkRecord::epoch`]).
    pub epoch: u32,
    /// Tries that ended in failure.
    pub attempts: u32,
    /// Workers that died of its tasks, as far as is known.
    pub losses: u32,
    /// Until when a part in processing is its worker's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<Timestamp>,
}

/// The part, if the task with this token still owns it.
pub(super) fn owned(
    change: &Change<'_>,
    chunk: u32,
    part: u32,
    epoch: u32,
) -> Result<Option<Part>, StepError> {
    let record = change.chunk(chunk)?;
    let part = record.parts.get(part as usize).copied();
    let alive = !change.header.state.is_final() && super::change::in_flight(record.state);
    Ok(part.filter(|part| alive && part.state.is_under_way() && part.epoch == epoch))
}

/// Spreads the parts' pauses ([`retry_delay_ms`](super::retry::retry_delay_ms)).
fn seed(change: &Change<'_>, chunk: u32, part: u32) -> u64 {
    processing::seed(change, chunk).wrapping_add(u64::from(part) << 32)
}

fn part_mut<'c>(change: &'c mut Change<'_>, chunk: u32, part: u32) -> Result<&'c mut Part, StepError> {
    change.chunk_mut(chunk)?.parts.get_mut(part as usize).ok_or(StepError::Damaged)
}

pub(super) fn planned(
    change: &mut Change<'_>,
    chunk: u32,
    epoch: u32,
    counts: &[u32],
) -> Result<(), StepError> {
    if !processing::owned(change, chunk, epoch)? || !change.chunk(chunk)?.parts.is_empty() {
        return Ok(());
    }
    let legal = (1..=MAX_PARTS).contains(&counts.len()) && counts.iter().all(|count| *count > 0);
    let mut parts = Vec::with_capacity(counts.len().min(MAX_PARTS));
    let mut next = Some(0u32);
    for count in counts.iter().take(MAX_PARTS) {
        let first = next.unwrap_or(0);
        next = next.and_then(|next| next.checked_add(*count));
        parts.push(Part {
            state: PartState::Waiting,
            first,
            count: *count,
            epoch: 0,
            attempts: 0,
            losses: 0,
            lease_until: None,
        });
    }
    if !legal || next.is_none() {
        let failure =
            Failure::new(FailureCode::Internal, "The worker divided the chunk in an impossible way.");
        return processing::failed(change, chunk, epoch, failure);
    }
    let record = change.chunk_mut(chunk)?;
    record.parts = parts;
    record.lease_until = None;
    change.set_chunk_state(chunk, ChunkState::Processing)?;
    publish(change, chunk, 0)
}

/// Takes up a divided chunk again: what was under way is published anew.
pub(super) fn resume(change: &mut Change<'_>, chunk: u32, delay_ms: u64) -> Result<(), StepError> {
    change.set_chunk_state(chunk, ChunkState::Processing)?;
    for part in &mut change.chunk_mut(chunk)?.parts {
        if !part.state.has_ended() {
            part.state = PartState::Waiting;
            part.lease_until = None;
        }
    }
    if change.chunk(chunk)?.parts.iter().all(|part| part.state.has_ended()) {
        return merge(change, chunk, delay_ms);
    }
    publish(change, chunk, delay_ms)
}

pub(super) fn started(change: &mut Change<'_>, chunk: u32, part: u32, epoch: u32) -> Result<(), StepError> {
    if owned(change, chunk, part, epoch)?.is_some() {
        let lease = leases::until(change);
        let found = part_mut(change, chunk, part)?;
        found.state = PartState::Processing;
        found.lease_until = lease;
    }
    Ok(())
}

pub(super) fn completed(change: &mut Change<'_>, chunk: u32, part: u32, epoch: u32) -> Result<(), StepError> {
    if owned(change, chunk, part, epoch)?.is_none() {
        return Ok(());
    }
    let found = part_mut(change, chunk, part)?;
    found.state = PartState::Completed;
    found.lease_until = None;
    go_on(change, chunk)
}

pub(super) fn failed(
    change: &mut Change<'_>,
    chunk: u32,
    part: u32,
    epoch: u32,
    failure: Failure,
) -> Result<(), StepError> {
    let Some(found) = owned(change, chunk, part, epoch)? else {
        return Ok(());
    };
    if failure.code.ends_job() {
        processing::fail_chunk(change, chunk, failure.clone())?;
        finish::fail_job(change, failure);
        return Ok(());
    }
    let attempts = found.attempts + u32::from(!failure.code.is_outage());
    part_mut(change, chunk, part)?.attempts = attempts;
    let seed = seed(change, chunk, part);
    if let Some(delay) = next_try_ms(&change.header.limits, failure.code, attempts, seed) {
        return queue(change, chunk, part, delay);
    }
    if !failure.code.may_be_local() {
        return processing::fail_chunk(change, chunk, failure);
    }
    narrow_down(change, chunk, part, failure)
}

/// The part's task died without an answer.
pub(super) fn task_lost(
    change: &mut Change<'_>,
    chunk: u32,
    part: u32,
    epoch: u32,
    deaths: u32,
) -> Result<(), StepError> {
    let Some(found) = owned(change, chunk, part, epoch)? else {
        return Ok(());
    };
    let lost = part_mut(change, chunk, part)?;
    // Where nobody had begun, no try was spent.
    if found.state == PartState::Processing {
        lost.losses = suspects::plus(lost.losses, deaths);
    }
    let cut = suspects::is_suspected(lost.losses) && lost.count > 1;
    if !cut && !suspects::is_given_up(lost.losses) {
        return queue(change, chunk, part, 0);
    }
    let failure = Failure::new(
        FailureCode::WorkerLost,
        "Again and again the worker stopped while it was at this part.",
    );
    narrow_down(change, chunk, part, failure)
}

/// Halves a part that does not work; one of a single passage is lost.
fn narrow_down(change: &mut Change<'_>, chunk: u32, part: u32, failure: Failure) -> Result<(), StepError> {
    let max_retries = change.header.limits.max_retries;
    let room = change.chunk(chunk)?.parts.len() < MAX_PARTS;
    let found = part_mut(change, chunk, part)?;
    if found.count < 2 || !room {
        found.state = PartState::Failed;
        found.lease_until = None;
        change.chunk_mut(chunk)?.error = Some(failure);
        return go_on(change, chunk);
    }
    let half = found.count / 2;
    let fresh = Part {
        state: PartState::Waiting,
        // One more try for each half: the next failure, or death, halves again.
        attempts: found.attempts.min(max_retries),
        losses: found.losses.min(suspects::SUSPECTED),
        lease_until: None,
        ..*found
    };
    let second = Part { first: fresh.first + half, count: fresh.count - half, ..fresh };
    *found = Part { count: half, ..fresh };
    change.chunk_mut(chunk)?.parts.push(second);
    publish(change, chunk, 0)
}

/// After the end of a part: the next ones, or the end of the chunk.
fn go_on(change: &mut Change<'_>, chunk: u32) -> Result<(), StepError> {
    let record = change.chunk(chunk)?;
    if !record.parts.iter().all(|part| part.state.has_ended()) {
        return publish(change, chunk, 0);
    }
    if record.parts.iter().all(|part| part.state == PartState::Failed) {
        let nothing =
            || Failure::new(FailureCode::EngineFailed, "No part of the chunk could be transcribed.");
        let failure = record.error.clone().unwrap_or_else(nothing);
        return processing::fail_chunk(change, chunk, failure);
    }
    merge(change, chunk, 0)
}

fn merge(change: &mut Change<'_>, chunk: u32, delay_ms: u64) -> Result<(), StepError> {
    let (job, now) = (change.header.id, change.now);
    let record = change.chunk_mut(chunk)?;
    record.epoch += 1;
    // Should the order or its answer get lost, the chunk is merged again. Nobody renews this lease.
    record.lease_until = Some(now.plus(delay_ms).plus(MERGE_LEASE_MS));
    let epoch = record.epoch;
    change.effect(Effect::PublishMerge { job, chunk, epoch }, delay_ms);
    Ok(())
}

/// Publishes waiting parts, the earliest first, as long as the chunk may have more under way.
fn publish(change: &mut Change<'_>, chunk: u32, delay_ms: u64) -> Result<(), StepError> {
    let most = change.header.limits.max_parallel_parts.clamp(1, 64) as usize;
    let parts = &change.chunk(chunk)?.parts;
    let under_way = parts.iter().filter(|part| part.state.is_under_way()).count();
    let next: Vec<u32> = (0u32..)
        .zip(parts)
        .filter(|(_, part)| part.state == PartState::Waiting)
        .map(|(index, _)| index)
        .take(most.saturating_sub(under_way))
        .collect();
    for part in next {
        queue(change, chunk, part, delay_ms)?;
    }
    Ok(())
}

fn queue(change: &mut Change<'_>, chunk: u32, part: u32, delay_ms: u64) -> Result<(), StepError> {
    let record = change.chunk_mut(chunk)?;
    record.epoch += 1;
    let epoch = record.epoch;
    let found = part_mut(change, chunk, part)?;
    found.epoch = epoch;
    found.state = PartState::Queued;
    found.lease_until = None;
    let of = PartTask { index: part, first: found.first, count: found.count };
    let alone = suspects::is_suspected(found.losses);
    // A longer part is only cut in halves, which may be done at once.
    let deaths = if found.count > 1 { 0 } else { found.losses };
    let task = ChunkTask { part: Some(of), alone, ..processing::task(change, chunk, epoch) };
    let seed = seed(change, chunk, part);
    let pause_ms = suspects::pause_ms(&change.header.limits, deaths, seed);
    change.effect(Effect::PublishTask { task }, delay_ms.max(pause_ms));
    Ok(())
}
