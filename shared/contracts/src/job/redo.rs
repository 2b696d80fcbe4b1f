//! Passages that were taken for another language than the recording's are done again, in that language, before the
//! transcript is put together. Which ones is decided by the coordinator; here is only who is at it.

use super::change::Change;
use super::{ChunkSet, Effect, JobState, finish, processing, retry_delay_ms};
use crate::failure::Failure;
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
    /// Tries that ended in failure, of all chunks.
    pub attempts: u32,
    /// Times that it was begun anew with tasks under way.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub losses: u32,
    /// Given up: their passages stay as they were.
    #[serde(default, skip_serializing_if = "ChunkSet::is_empty")]
    pub failed: ChunkSet,
}

impl Redo {
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
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
        attempts: 0,
        losses: 0,
        failed: ChunkSet::default(),
    });
    if redo.is_done() {
        return;
    }
    let lost = std::mem::take(&mut redo.under_way);
    redo.losses += u32::from(!lost.is_empty());
    let given_up = redo.losses > MAX_LOSSES;
    for chunk in lost.iter() {
        if given_up {
            redo.failed.insert(chunk);
        } else {
            redo.waiting.insert(chunk);
        }
    }
    go_on(change, 0);
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

pub(super) fn done(change: &mut Change<'_>, chunk: u32, epoch: u32) {
    if take(change, chunk, epoch) {
        go_on(change, 0);
    }
}

pub(super) fn failed(change: &mut Change<'_>, chunk: u32, epoch: u32, failure: &Failure) {
    if !take(change, chunk, epoch) {
        return;
    }
    let limits = change.header.limits;
    let seed = change.header.created_at.0.wrapping_add(u64::from(chunk));
    let Some(redo) = &mut change.header.redo else { return };
    redo.attempts += 1;
    let attempts = redo.attempts;
    if failure.code.retryable() && attempts <= limits.max_retries {
        redo.waiting.insert(chunk);
        return go_on(change, retry_delay_ms(&limits, attempts, seed));
    }
    redo.failed.insert(chunk);
    go_on(change, 0);
}

/// True if the chunk was with a worker that still owns it.
fn take(change: &mut Change<'_>, chunk: u32, epoch: u32) -> bool {
    is_current(change, epoch) && change.header.redo.as_mut().is_some_and(|redo| redo.under_way.remove(chunk))
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
        let redo = Some(RedoTask { language: language.clone() });
        let task = ChunkTask { redo, ..processing::task(change, chunk, epoch) };
        change.effect(Effect::PublishTask { task }, delay_ms);
    }
}
