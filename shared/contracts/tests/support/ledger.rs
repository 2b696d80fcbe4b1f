//! The store of one job: runs inputs through `step`, keeps what a commit writes, and checks every promise of a step.

use super::invariants;
use scriptorium_contracts::Timestamp;
use scriptorium_contracts::event::{Event, EventRecord};
use scriptorium_contracts::job::{
    ChunkRecord, Effect, Input, JobHeader, NewJob, PendingEffect, StepError, create, step,
};
use scriptorium_contracts::transcript::ChunkResult;
use scriptorium_contracts::webhook::WebhookState;
use std::collections::{BTreeMap, BTreeSet};

/// Records are kept as JSON, as the real stores keep them: what does not survive writing and reading shows.
pub struct Ledger {
    header: String,
    chunks: Vec<String>,
    pub results: BTreeMap<u32, ChunkResult>,
    pub events: Vec<EventRecord>,
    pub effects: BTreeMap<u64, PendingEffect>,
    pub published: BTreeSet<(u32, u32)>,
    pub assemblies: BTreeSet<u32>,
    pub deletions: u32,
    /// Numbers and tokens of messages to the webhook.
    pub deliveries: BTreeSet<(u32, u32)>,
    /// Tokens of the source.
    pub fetches: BTreeSet<u32>,
    /// Whether all records are looked at after each step; costs time proportional to the job.
    pub thorough: bool,
    /// The most records that one step has changed.
    pub most_changed: usize,
}

/// What a step did, for those who want to know.
pub struct Applied {
    pub changed: bool,
    pub events: Vec<Event>,
}

impl Ledger {
    pub fn new(new: NewJob, now: Timestamp) -> Self {
        let first = create(new, now);
        assert_eq!(first.header.last_effect, first.effects.len() as u64);
        assert_eq!((first.header.revision, first.header.last_event, first.events.len()), (1, 1, 1));
        Self {
            header: to_json(&first.header),
            chunks: first.chunks.iter().map(to_json).collect(),
            results: BTreeMap::new(),
            events: first.events,
            effects: first.effects.into_iter().map(|pending| (pending.number, pending)).collect(),
            published: BTreeSet::new(),
            assemblies: BTreeSet::new(),
            deletions: 0,
            deliveries: BTreeSet::new(),
            fetches: BTreeSet::new(),
            thorough: true,
            most_changed: 0,
        }
    }

    pub fn header(&self) -> JobHeader {
        serde_json::from_str(&self.header).unwrap()
    }

    pub fn header_bytes(&self) -> usize {
        self.header.len()
    }

    pub fn chunk(&self, index: u32) -> ChunkRecord {
        serde_json::from_str(&self.chunks[index as usize]).unwrap()
    }

    pub fn chunks(&self) -> Vec<ChunkRecord> {
        (0..self.chunks.len() as u32).map(|index| self.chunk(index)).collect()
    }

    /// `Err` only for a chunk that does not exist.
    pub fn apply(&mut self, input: Input, now: Timestamp) -> Result<Applied, StepError> {
        let before = self.header();
        let mut loaded = BTreeMap::new();
        if let Some(chunk) = input.chunk().filter(|chunk| *chunk < before.total_chunks()) {
            loaded.insert(chunk, self.chunk(chunk));
        }
        let mut rounds = 0;
        let outcome = loop {
            match step(&before, &loaded, input.clone(), now) {
                Err(StepError::Missing(wanted)) => {
                    assert!(!wanted.is_empty() && wanted.len() <= 64, "asks for {} records", wanted.len());
                    for chunk in wanted {
                        let known = loaded.insert(chunk, self.chunk(chunk));
                        assert!(known.is_none(), "asks for record {chunk} again");
                    }
                    rounds += 1;
                    assert!(rounds <= 3, "{input:?} does not come to an end");
                }
                Err(other) => return Err(other),
                Ok(outcome) => break outcome,
            }
        };
        let Some(done) = outcome else {
            return Ok(Applied { changed: false, events: Vec::new() });
        };
        invariants::check_step(&before, &loaded, &input, &done, now);
        self.most_changed = self.most_changed.max(done.chunks.len());
        self.header = to_json(&done.header);
        for record in &done.chunks {
            let text = to_json(record);
            assert_ne!(text, self.chunks[record.index as usize], "an unchanged record is written");
            self.chunks[record.index as usize] = text;
        }
        for (chunk, result) in done.results {
            self.results.insert(chunk, result);
        }
        for pending in done.effects {
            self.remember(pending, done.header.assembly_epoch);
        }
        let events = done.events.iter().map(|record| record.event.clone()).collect();
        self.events.extend(done.events);
        if self.thorough {
            let header = self.header();
            assert_eq!(header, done.header, "the header changes when written and read");
            invariants::check_records(&header, &self.chunks());
            self.check_webhooks(&header);
            self.check_source(&header);
        }
        Ok(Applied { changed: true, events })
    }

    /// What is to be delivered has an effect that will do it, whoever dies.
    fn check_webhooks(&self, header: &JobHeader) {
        for webhook in header.webhooks.iter().filter(|webhook| webhook.state == WebhookState::Pending) {
            let does = |effect: &Effect| {
                matches!(effect, Effect::DeliverWebhook { webhook: number, token, .. }
                    if (*number, *token) == (webhook.number, webhook.token))
            };
            let found = self.effects.values().find(|pending| does(&pending.effect));
            assert_eq!(found.map(|pending| pending.due), webhook.due, "{webhook:?}");
        }
    }

    /// What is to be fetched has an effect that will do it, whoever dies.
    fn check_source(&self, header: &JobHeader) {
        let Some(source) = header.source.as_ref().filter(|_| !header.state.is_final()) else { return };
        let does =
            |effect: &Effect| matches!(effect, Effect::FetchSource { token, .. } if *token == source.token);
        let found = self.effects.values().find(|pending| does(&pending.effect));
        assert_eq!(found.map(|pending| pending.due), Some(source.due), "{source:?}");
    }

    fn remember(&mut self, pending: PendingEffect, assembly_epoch: u32) {
        match &pending.effect {
            Effect::PublishTask { task } if task.redo.is_some() => {
                assert_eq!(task.epoch, assembly_epoch);
            }
            Effect::PublishTask { task } => {
                assert!(self.published.insert((task.chunk, task.epoch)), "published twice: {task:?}");
                let record = self.chunk(task.chunk);
                let token = task.part.map_or(record.epoch, |part| record.parts[part.index as usize].epoch);
                assert_eq!(token, task.epoch);
            }
            Effect::PublishMerge { chunk, epoch, .. } => {
                assert!(self.published.insert((*chunk, *epoch)), "the token of a merge was given before");
                assert_eq!(self.chunk(*chunk).epoch, *epoch);
            }
            Effect::PublishAssembly { epoch, .. } => {
                assert!(self.assemblies.insert(*epoch), "assembly {epoch} published twice");
                assert_eq!(assembly_epoch, *epoch);
            }
            Effect::DeleteTemporaryObjects { .. } => {
                self.deletions += 1;
                assert_eq!(self.deletions, 1, "objects deleted twice");
            }
            Effect::DeliverWebhook { webhook, token, receiver, .. } => {
                assert!(
                    self.deliveries.insert((*webhook, *token)),
                    "the token of a delivery was given before"
                );
                assert_eq!(self.header().webhook(*webhook).map(|one| one.token), Some(*token));
                assert_eq!(receiver, "example.org");
            }
            Effect::FetchSource { token, server, .. } => {
                assert!(self.fetches.insert(*token), "the token of a fetch was given before");
                let source = self.header().source.expect("it is to be fetched");
                assert_eq!((source.token, source.lane()), (*token, server.as_str()));
            }
            Effect::EraseJob { .. } => assert!(self.header().deleted_at.is_some()),
        }
        self.effects.insert(pending.number, pending);
    }

    /// Each chunk is told complete once, and the log has no hole. For the end of a test.
    pub fn check_log(&self) {
        let mut complete = BTreeSet::new();
        let mut progress = 0;
        for (number, record) in (1..).zip(&self.events) {
            assert_eq!(record.id, number);
            if let Event::ChunkComplete { chunk_index, .. } = &record.event {
                assert!(complete.insert(*chunk_index), "chunk {chunk_index} told complete twice");
            }
            if let Event::ProgressUpdate { progress: told, .. } = &record.event {
                assert!(*told >= progress, "progress went back from {progress} to {told}");
                progress = *told;
            }
        }
        assert_eq!(complete, self.results.keys().copied().collect());
    }
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}
