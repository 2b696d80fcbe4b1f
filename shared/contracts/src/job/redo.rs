//! Passages that were taken for another language than the recording's are done again, in that language, before the
//! transcript is put together. Which ones is decided by the coordinator; here is only who is at it.

use super::change::Change;
use super::retry::next_try_ms;
use super::{ChunkSet, Effect, JobState, finish, leases, processing};
use crate::failure::Failure;
use crate::ids::Timestamp;
use crate::message::{ChunkTask, RedoTask};
use serde::{Deserialize, Serialize};

/// Times that tasks under way may be found lost, before they are taken to be what kills their workers.
const MAX_LOSSES: u32 = 16;

/// Done when no chunk is left in either set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redo {
    /// Two-letter code of the recording's language.
    pub language: String,
    /// Chunks with such passages that no worker has yet.
    pub waiting: ChunkSet,
    pub under_way: ChunkSet,
    /// Of those, the ones of which a part is done: the first frame of what is not ([`RedoTask::from`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begun: Vec<(u32, i64)>,
    /// Tries that ended in failure, of all chunks.
    pub attempts: u32,
    /// Times that it was begun anew with tasks under way.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub losses: u32,
    /// Of those under way that a worker has begun: until when they are its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leases: Vec<(u32, Timestamp)>,
    /// Given up: their passages stay as they were.
    #[serde(default, skip_serializing_if = "ChunkSet::is_empty")]
    pub failed: ChunkSet,
}

impl Redo {
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    /// Where the chunk's next task begins.
    fn from(&self, chunk: u32) -> Option<i64> {
        self.begun.iter().find(|(begun, _)| *begun == chunk).map(|(_, frame)| *frame)
    }

    fn end_lease(&mut self, chunk: u32) {
        self.leases.retain(|(leased, _)| *leased != chunk);
    }
}

fn is_current(change: &Change<'_>, epoch: u32) -> bool {
    change.header.state == JobState::Assembling && change.header.assembly_epoch == epoch
}

/// Begins; said again, it publishes anew what is not done.
pub(super) fn begin(change: &mut Change<'_>, epoch: u32, language: String, chunks: ChunkSet) {
    if !is_current(change, epoch) || chunks.iter().any(|chunk| !change.header.completed.contains(chunk)) {
        return;
    }
    let redo = change.header.redo.get_or_insert(Redo {
        language,
        waiting: chunks,
        under_way: ChunkSet::default(),
        begun: Vec::new(),
        attempts: 0,
        losses: 0,
        leases: Vec::new(),
        failed: ChunkSet::default(),
    });
    if redo.is_done() {
        return;
    }
    let lost = redo.under_way.clone();
    take_back(redo, &lost);
    go_on(change, 0);
}

/// These have no worker any more. Done again and again in vain, they are given up.
fn take_back(redo: &mut Redo, lost: &ChunkSet) {
    redo.losses += u32::from(!lost.is_empty());
    let given_up = redo.losses > MAX_LOSSES;
    for chunk in lost.iter() {
        redo.under_way.remove(chunk);
        redo.end_lease(chunk);
        if given_up {
            redo.begun.retain(|(begun, _)| *begun != chunk);
            redo.failed.insert(chunk);
        } else {
            redo.waiting.insert(chunk);
        }
    }
}

/// A worker has begun, or gives a sign of life.
pub(super) fn started(change: &mut Change<'_>, chunk: u32, epoch: u32) {
    let lease = leases::until(change);
    if is_current(change, epoch)
        && let (Some(redo), Some(until)) = (&mut change.header.redo, lease)
        && redo.under_way.contains(chunk)
    {
        redo.end_lease(chunk);
        redo.leases.push((chunk, until));
    }
}

/// Takes from silent workers what they hold. Their token stays good: should they be done after all, the passages are the
/// same, byte for byte.
pub(super) fn expire(change: &mut Change<'_>) {
    let now = change.now;
    let Some(redo) = &mut change.header.redo else { return };
    let lost: ChunkSet =
        redo.leases.iter().filter(|(_, until)| *until <= now).map(|(chunk, _)| *chunk).collect();
    if !lost.is_empty() {
        take_back(redo, &lost);
        go_on(change, 0);
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A task's worth is done: all of the chunk, or up to the passage that begins at `next`. Whoever began elsewhere than the task
/// that is under way is late, and says nothing new.
pub(super) fn done(
    change: &mut Change<'_>,
    chunk: u32,
    epoch: u32,
    (from, next): (Option<i64>, Option<i64>),
) {
    if change.header.redo.as_ref().is_none_or(|redo| redo.from(chunk) != from) || !take(change, chunk, epoch)
    {
        return;
    }
    let Some(redo) = &mut change.header.redo else { return };
    redo.begun.retain(|(begun, _)| *begun != chunk);
    // Each task goes on behind the last: there is an end to it, whatever a worker says.
    if let Some(next) = next.filter(|next| from.is_none_or(|from| *next > from)) {
        redo.begun.push((chunk, next));
        redo.waiting.insert(chunk);
    }
    go_on(change, 0);
}

pub(super) fn failed(change: &mut Change<'_>, chunk: u32, epoch: u32, failure: &Failure) {
    if !take(change, chunk, epoch) {
        return;
    }
    let limits = change.header.limits;
    let seed = processing::seed(change, chunk);
    let Some(redo) = &mut change.header.redo else { return };
    redo.attempts += u32::from(!failure.code.is_outage());
    if let Some(delay) = next_try_ms(&limits, failure.code, redo.attempts, seed) {
        redo.waiting.insert(chunk);
        return go_on(change, delay);
    }
    redo.begun.retain(|(begun, _)| *begun != chunk);
    redo.failed.insert(chunk);
    go_on(change, 0);
}

/// True if the chunk was with a worker that still owns it.
fn take(change: &mut Change<'_>, chunk: u32, epoch: u32) -> bool {
    if !is_current(change, epoch) {
        return false;
    }
    let Some(redo) = &mut change.header.redo else { return false };
    redo.end_lease(chunk);
    redo.under_way.remove(chunk)
}

fn go_on(change: &mut Change<'_>, delay_ms: u64) {
    if change.header.redo.as_ref().is_some_and(Redo::is_done) {
        finish::assemble(change);
    } else {
        publish(change, delay_ms);
    }
}

fn publish(change: &mut Change<'_>, delay_ms: u64) {
    let most = change.header.limits.max_parallel_chunks.clamp(1, 64);
    let epoch = change.header.assembly_epoch;
    let Some(redo) = &mut change.header.redo else { return };
    let free = most.saturating_sub(redo.under_way.len());
    let next: Vec<u32> = redo.waiting.iter().take(free as usize).collect();
    let language = redo.language.clone();
    for chunk in &next {
        redo.waiting.remove(*chunk);
        redo.under_way.insert(*chunk);
    }
    for chunk in next {
        let from = change.header.redo.as_ref().and_then(|redo| redo.from(chunk));
        let redo = Some(RedoTask { language: language.clone(), from });
        let task = ChunkTask { redo, ..processing::task(change, chunk, epoch) };
        change.effect(Effect::PublishTask { task }, delay_ms);
    }
}
