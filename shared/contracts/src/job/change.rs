//! A step in the making.

use super::{ChunkRecord, ChunkState, Effect, JobHeader, JobState, PendingEffect, Step, StepError, webhook};
use crate::event::{Event, EventRecord};
use crate::{ids::Timestamp, transcript::ChunkResult};
use std::collections::BTreeMap;

/// Events of one job that a store may lose at once: those of a second or two.
const MOST_LOST_EVENTS: u64 = 1_000;

/// Copies on write: the records given in, and what has become of them.
pub(super) struct Change<'a> {
    before: &'a JobHeader,
    given: &'a BTreeMap<u32, ChunkRecord>,
    pub header: JobHeader,
    changed: BTreeMap<u32, ChunkRecord>,
    results: Vec<(u32, ChunkResult)>,
    events: Vec<EventRecord>,
    effects: Vec<PendingEffect>,
    pub now: Timestamp,
}

impl<'a> Change<'a> {
    pub fn new(before: &'a JobHeader, given: &'a BTreeMap<u32, ChunkRecord>, now: Timestamp) -> Self {
        Self {
            before,
            given,
            header: before.clone(),
            changed: BTreeMap::new(),
            results: Vec::new(),
            events: Vec::new(),
            effects: Vec::new(),
            now,
        }
    }

    pub fn chunk(&self, index: u32) -> Result<&ChunkRecord, StepError> {
        self.changed
            .get(&index)
            .or_else(|| self.given.get(&index))
            .ok_or_else(|| StepError::Missing(vec![index]))
    }

    /// All of them, or the list of those that are missing.
    pub fn require(&self, wanted: &[u32]) -> Result<(), StepError> {
        let missing: Vec<u32> = wanted.iter().copied().filter(|index| self.chunk(*index).is_err()).collect();
        if missing.is_empty() { Ok(()) } else { Err(StepError::Missing(missing)) }
    }

    pub fn chunk_mut(&mut self, index: u32) -> Result<&mut ChunkRecord, StepError> {
        if !self.changed.contains_key(&index) {
            let record = self.chunk(index)?.clone();
            self.changed.insert(index, record);
        }
        self.changed.get_mut(&index).ok_or_else(|| StepError::Missing(vec![index]))
    }

    /// Moves a chunk to a state and keeps the header's sets in agreement.
    pub fn set_chunk_state(&mut self, index: u32, state: ChunkState) -> Result<(), StepError> {
        self.chunk_mut(index)?.state = state;
        let header = &mut self.header;
        for set in [&mut header.ready, &mut header.in_flight, &mut header.completed, &mut header.failed] {
            set.remove(index);
        }
        match state {
            ChunkState::Pending => {
                header.uploaded.remove(index);
                return Ok(());
            }
            ChunkState::Uploaded => false,
            ChunkState::Queued | ChunkState::Processing => header.in_flight.insert(index),
            ChunkState::Completed => header.completed.insert(index),
            ChunkState::Failed => header.failed.insert(index),
        };
        header.uploaded.insert(index);
        Ok(())
    }

    pub fn set_state(&mut self, state: JobState) {
        let ends = state.is_final() && !self.header.state.is_final();
        self.header.state = state;
        self.header.finished_at = state.is_final().then_some(self.now);
        if ends {
            webhook::tell(self);
        }
    }

    pub fn event(&mut self, event: Event) {
        self.header.last_event += 1;
        self.events.push(EventRecord { id: self.header.last_event, at: self.now, event });
    }

    /// Fills the ids up to `last`, if it is so little ahead that a store may have lost the events between.
    pub fn fill_events(&mut self, last: u64) {
        let ahead = last.saturating_sub(self.header.last_event);
        if ahead <= MOST_LOST_EVENTS {
            for _ in 0..ahead {
                self.event(Event::Lost {});
            }
        }
    }

    pub fn effect(&mut self, effect: Effect, delay_ms: u64) {
        self.header.last_effect += 1;
        self.effects.push(PendingEffect {
            number: self.header.last_effect,
            due: self.now.plus(delay_ms),
            effect,
        });
    }

    pub fn result(&mut self, chunk: u32, result: ChunkResult) {
        self.results.push((chunk, result));
    }

    /// `progress_update`, at most one an interval unless `always`; never goes back.
    pub fn progress(&mut self, always: bool) {
        let (uploaded, completed) = (self.header.uploaded.len(), self.header.completed.len());
        let total = self.header.total_chunks().max(1);
        let percent = (100 * u64::from(uploaded + completed) / (2 * u64::from(total))).min(100) as u8;
        if !always && self.now.since(self.header.progress_at) < self.header.limits.progress_interval_ms {
            return;
        }
        self.header.progress = self.header.progress.max(percent);
        self.header.progress_at = self.now;
        self.event(Event::ProgressUpdate {
            progress: self.header.progress,
            uploaded_chunks: uploaded,
            completed_chunks: completed,
        });
    }

    /// `None` when nothing has changed.
    pub fn finish(mut self) -> Option<Step> {
        self.changed.retain(|index, record| self.given.get(index) != Some(record));
        let same = self.header == *self.before
            && self.changed.is_empty()
            && self.results.is_empty()
            && self.effects.is_empty();
        if same {
            return None;
        }
        self.header.revision += 1;
        self.header.updated_at = self.now;
        Some(Step {
            header: self.header,
            chunks: self.changed.into_values().collect(),
            results: self.results,
            events: self.events,
            effects: self.effects,
        })
    }
}

/// True for the states in which a chunk belongs to a worker.
pub(super) const fn in_flight(state: ChunkState) -> bool {
    match state {
        ChunkState::Queued | ChunkState::Processing => true,
        ChunkState::Pending | ChunkState::Uploaded | ChunkState::Completed | ChunkState::Failed => false,
    }
}
