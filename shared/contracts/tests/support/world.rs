//! Everybody around the job: the client that uploads, the scheduler that performs effects, the workers, the coordinator
//! that assembles, the sweep, and crashes. A list of numbers decides who acts next; after it, all do their duty.

use super::ledger::Ledger;
use super::samples;
use super::script::{End, MAX_RETRIES, Script};
use scriptorium_contracts::Timestamp;
use scriptorium_contracts::event::Event;
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::TranscriptSummary;
use scriptorium_contracts::job::{
    ChunkRecord, ChunkSet, ChunkState, Effect, Input, JobState, Layout, Limits, NewJob, PartState, Redo,
};
use scriptorium_contracts::message::{ChunkTask, PartTask, RedoTask};
use scriptorium_contracts::transcript::{Gap, GapReason};
use scriptorium_contracts::webhook::{Webhook, WebhookTry};
use std::collections::BTreeSet;

pub struct World {
    pub script: Script,
    pub ledger: Ledger,
    pub now: Timestamp,
    /// Chunks whose object is in the object store.
    objects: BTreeSet<u32>,
    /// Notices and reports on their way.
    pub soup: Vec<Input>,
    /// All that has ever been delivered: some of it comes again, much later.
    archive: Vec<Input>,
    tasks: Vec<ChunkTask>,
    /// (chunk, token)
    merges: Vec<(u32, u32)>,
    assemblies: Vec<u32>,
    /// Results of parts in the object store: (chunk, first passage, passages).
    part_objects: BTreeSet<(u32, u32, u32)>,
    init_stored: bool,
    /// By chunk: failures taken from a worker, tasks lost, tries that the user asked for.
    hiccups: Vec<u32>,
    losses: Vec<u32>,
    user_retries: Vec<u32>,
}

pub fn new_job(script: &Script) -> NewJob {
    let limits = Limits {
        max_parallel_chunks: script.max_parallel_chunks,
        max_retries: MAX_RETRIES,
        // Time plays no part here.
        lease_ms: u64::MAX,
        processing_timeout_ms: u64::MAX,
        upload_expiry_ms: u64::MAX,
        retention_ms: u64::MAX,
        ..Limits::default()
    };
    let layout = Layout::new(u64::from(script.total()) * 10 - 3, 10).unwrap();
    NewJob { layout, limits, ..samples::new_job() }
}

impl World {
    pub fn new(script: Script) -> Self {
        let now = Timestamp(1_700_000_000_000);
        let zeros = vec![0; script.chunks.len()];
        Self {
            ledger: Ledger::new(new_job(&script), now),
            script,
            now,
            objects: BTreeSet::new(),
            soup: Vec::new(),
            archive: Vec::new(),
            tasks: Vec::new(),
            merges: Vec::new(),
            assemblies: Vec::new(),
            part_objects: BTreeSet::new(),
            init_stored: false,
            hiccups: zeros.clone(),
            losses: zeros.clone(),
            user_retries: zeros,
        }
    }

    /// One act, chosen by `choice`; acts that are impossible now are passed over.
    pub fn act(&mut self, choice: u32) {
        self.now = self.now.plus(u64::from(choice % 7) * 60);
        let pick = (choice / 64) as usize;
        match choice % 20 {
            0..=2 => self.put(pick),
            3..=6 => self.deliver(pick, false),
            7 => self.deliver(pick, true),
            8 => self.deliver_again(pick),
            9..=11 => self.perform(pick, false),
            12 => self.perform(pick, true),
            13..=16 => self.run_task(pick),
            17 => self.lose_task(pick),
            18 if pick.is_multiple_of(2) => self.run_merge(pick / 2),
            18 => self.run_assembly(pick),
            _ if pick.is_multiple_of(8) => self.crash(),
            _ => drop(self.advance(Input::Tick)),
        }
    }

    /// All do their duty, and nothing goes wrong any more. Panics if that does not come to an end.
    pub fn settle(&mut self) {
        for _ in 0..20_000 {
            if self.objects.len() < self.script.chunks.len() {
                self.put(0);
            } else if !self.soup.is_empty() {
                self.deliver(0, false);
            } else if !self.tasks.is_empty() {
                self.run_task(0);
            } else if !self.merges.is_empty() {
                self.run_merge(0);
            } else if !self.assemblies.is_empty() {
                self.run_assembly(0);
            } else if let Some(due) = self.ledger.effects.values().map(|pending| pending.due).min() {
                self.now = self.now.max(due);
                let at = self.ledger.effects.values().position(|pending| pending.due <= self.now).unwrap();
                self.perform(at, false);
            } else if !self.sweep() {
                return;
            }
        }
        panic!("the job does not settle: {:?}", self.ledger.header());
    }

    pub fn advance(&mut self, input: Input) -> bool {
        let failed = if let Input::Failed { chunk, .. } = &input { Some(*chunk) } else { None };
        let applied = self.ledger.apply(input, self.now).unwrap();
        if let Some(chunk) = failed
            && applied.events.iter().any(|event| matches!(event, Event::ChunkFailed { .. }))
        {
            self.hiccups[chunk as usize] += 1;
        }
        applied.changed
    }

    /// The user asks for another try of every failed chunk, in the order given by `choice`.
    pub fn retry_failed(&mut self, choice: u32) {
        let mut failed: Vec<u32> = self.ledger.header().failed.iter().collect();
        if !failed.is_empty() {
            let middle = choice as usize % failed.len();
            failed.rotate_left(middle);
        }
        for chunk in failed {
            self.user_retries[chunk as usize] += 1;
            self.hiccups[chunk as usize] = 0;
            self.losses[chunk as usize] = 0;
            self.advance(Input::Retry { chunk });
            assert!(!self.advance(Input::Retry { chunk }), "asking twice changes something");
        }
    }

    fn put(&mut self, pick: usize) {
        let missing: Vec<u32> =
            (0..self.script.total()).filter(|chunk| !self.objects.contains(chunk)).collect();
        if let Some(chunk) = at(&missing, pick) {
            let chunk = missing[chunk];
            self.objects.insert(chunk);
            self.soup.push(Input::Uploaded { chunk });
        }
    }

    fn deliver(&mut self, pick: usize, keep: bool) {
        if let Some(index) = at(&self.soup, pick) {
            let input = if keep { self.soup[index].clone() } else { self.soup.remove(index) };
            self.archive.push(input.clone());
            self.advance(input);
        }
    }

    fn deliver_again(&mut self, pick: usize) {
        if let Some(index) = at(&self.archive, pick) {
            self.advance(self.archive[index].clone());
        }
    }

    /// `dies`: the process ends between the publishing and the note that it is done.
    fn perform(&mut self, pick: usize, dies: bool) {
        let due: Vec<u64> =
            self.ledger.effects.values().filter(|one| one.due <= self.now).map(|one| one.number).collect();
        let Some(index) = at(&due, pick) else { return };
        match self.ledger.effects[&due[index]].effect.clone() {
            Effect::PublishTask { task } => self.tasks.push(task),
            Effect::PublishMerge { chunk, epoch, .. } => self.merges.push((chunk, epoch)),
            Effect::PublishAssembly { epoch, .. } => self.assemblies.push(epoch),
            // This world's client uploads.
            Effect::DeleteTemporaryObjects { .. } | Effect::EraseJob { .. } | Effect::FetchSource { .. } => {}
            Effect::DeliverWebhook { webhook, token, .. } => self.deliver_webhook(webhook, token, pick),
        }
        if !dies {
            self.ledger.effects.remove(&due[index]);
        }
    }

    /// The receiver answers well, badly, wants no more, or its answer gets lost.
    fn deliver_webhook(&mut self, webhook: u32, token: u32, pick: usize) {
        let by = pick as u64;
        self.advance(Input::WebhookTaken { webhook, token, by });
        let taken =
            |one: &&Webhook| one.token == token + 1 && one.holder.is_some_and(|holder| holder.by == by);
        let header = self.ledger.header();
        let Some(token) = header.webhook(webhook).filter(taken).map(|one| one.token) else { return };
        let status = [200, 500, 204, 410, 302][pick % 5];
        let outcome = WebhookTry { at: self.now, duration_ms: 5, status: Some(status), error: None };
        if pick % 7 != 6 {
            self.soup.push(Input::WebhookTried {
                webhook,
                token,
                outcome,
                retry_after_ms: None,
                last: false,
            });
        }
    }

    /// What a worker does: looks at the init section, at the chunks that it needs, and answers.
    fn run_task(&mut self, pick: usize) {
        let Some(index) = at(&self.tasks, pick) else { return };
        let ChunkTask { chunk, epoch, part, divide, redo, .. } = self.tasks.remove(index);
        if let Some(RedoTask { from, .. }) = redo {
            // Some of them fail: which, is decided by nothing that the job knows.
            self.soup.push(if pick % 5 == 4 {
                let failure = Failure::new(FailureCode::EngineFailed, "Once more.");
                Input::RedoFailed { chunk, epoch, failure }
            } else {
                redone(chunk, epoch, from)
            });
            return;
        }
        self.soup.push(Input::Started { chunk, part: part.map(|part| part.index), epoch });
        let script = self.script.chunks[chunk as usize].clone();
        if let Some(part) = part {
            return self.run_part(chunk, epoch, part);
        }
        if let Some(needed) = script.needs.iter().copied().find(|needed| !self.objects.contains(needed)) {
            self.soup.push(Input::NeedsChunk { chunk, epoch, needed });
            return;
        }
        let failure = if self.init_stored || self.readable() {
            self.script.failure(chunk, self.user_retries[chunk as usize])
        } else {
            self.script.failure(0, self.user_retries[0])
        };
        if self.hiccups[chunk as usize] < script.hiccups {
            let failure = Failure::new(FailureCode::EngineFailed, "Once more.");
            self.soup.push(Input::Failed { chunk, part: None, epoch, failure });
            return;
        }
        if !self.init_stored && self.readable() {
            self.init_stored = true;
            self.soup.push(Input::Probed { media: samples::media() });
        }
        let crashed = || Failure::new(FailureCode::EngineFailed, "Something in it is bad.");
        self.soup.push(match failure {
            None if divide => Input::Planned { chunk, epoch, parts: vec![script.passages] },
            None if script.long => {
                let parts = (0..script.passages).step_by(3).map(|first| (script.passages - first).min(3));
                Input::Planned { chunk, epoch, parts: parts.collect() }
            }
            None if script.bad.is_some() => Input::Failed { chunk, part: None, epoch, failure: crashed() },
            None => Input::Completed { chunk, epoch, result: Box::new(samples::result_of(chunk)) },
            Some(End::Broken(code)) => {
                Input::Failed { chunk, part: None, epoch, failure: Failure::new(code, "It is broken.") }
            }
            Some(End::NeverWorks | End::Completes) => {
                let failure = Failure::new(FailureCode::ObjectMissing, "It never works.");
                Input::Failed { chunk, part: None, epoch, failure }
            }
        });
    }

    fn run_part(&mut self, chunk: u32, epoch: u32, part: PartTask) {
        let PartTask { index, first, count } = part;
        let bad = self.script.chunks[chunk as usize].bad;
        if bad.is_some_and(|bad| (first..first + count).contains(&bad)) {
            let failure = Failure::new(FailureCode::EngineFailed, "Something in it is bad.");
            self.soup.push(Input::Failed { chunk, part: Some(index), epoch, failure });
            return;
        }
        self.part_objects.insert((chunk, first, count));
        self.soup.push(Input::PartCompleted { chunk, part: index, epoch });
    }

    /// What the coordinator does with a divided chunk: all its passages are there, but the bad one.
    fn run_merge(&mut self, pick: usize) {
        let Some(index) = at(&self.merges, pick) else { return };
        let (chunk, epoch) = self.merges.remove(index);
        let record = self.ledger.chunk(chunk);
        if record.epoch != epoch || record.parts.is_empty() || self.ledger.header().state.is_final() {
            return;
        }
        let script = &self.script.chunks[chunk as usize];
        assert_eq!(record.parts.iter().map(|part| part.count).sum::<u32>(), script.passages);
        for part in &record.parts {
            match part.state {
                PartState::Completed => {
                    assert!(self.part_objects.contains(&(chunk, part.first, part.count)));
                }
                PartState::Failed => {
                    assert_eq!((Some(part.first), part.count), (script.bad, 1), "good passages are lost");
                }
                state @ (PartState::Waiting | PartState::Queued | PartState::Processing) => {
                    panic!("a part {state:?} is merged")
                }
            }
        }
        self.soup.push(Input::Completed { chunk, epoch, result: Box::new(samples::result_of(chunk)) });
    }

    fn readable(&self) -> bool {
        self.script.probes || self.script.failure(0, self.user_retries[0]).is_none()
    }

    /// The chunk may lose a task and still have the tries that its script needs.
    fn may_lose(&self, chunk: u32) -> bool {
        let script = &self.script.chunks[chunk as usize];
        script.bad.is_none() && self.losses[chunk as usize] + script.hiccups < MAX_RETRIES
    }

    /// A worker dies, in the worst case after it has written the init section and before it has said so.
    fn lose_task(&mut self, pick: usize) {
        let Some(index) = at(&self.tasks, pick).filter(|index| self.may_lose(self.tasks[*index].chunk))
        else {
            return;
        };
        let ChunkTask { chunk, epoch, part, redo, .. } = self.tasks.remove(index);
        if let Some(RedoTask { from, .. }) = redo {
            // A queue that survives its clients gives it to another worker.
            self.soup.push(redone(chunk, epoch, from));
            return;
        }
        let part = part.map(|part| part.index);
        self.losses[chunk as usize] += 1;
        if pick.is_multiple_of(2) {
            self.soup.push(Input::Started { chunk, part, epoch });
            self.init_stored |= self.readable();
        }
        self.soup.push(Input::TaskLost { chunk, part, epoch, deaths: 1 });
    }

    /// What the coordinator does: it looks at the job, and writes what there is.
    fn run_assembly(&mut self, pick: usize) {
        let Some(index) = at(&self.assemblies, pick) else { return };
        let epoch = self.assemblies.remove(index);
        let header = self.ledger.header();
        let doubtful: ChunkSet = header.completed.iter().filter(|chunk| chunk % 2 == 1).collect();
        let done = header.redo.as_ref().map_or(doubtful.is_empty(), Redo::is_done);
        if self.script.redo && !done {
            let language = "en".to_owned();
            self.soup.push(Input::Redo { epoch, language, chunks: doubtful });
            return;
        }
        let gap = Gap { start: 0.0, end: 1.0, reason: GapReason::Failed };
        let summary = TranscriptSummary {
            gaps: vec![gap; self.ledger.header().failed.len() as usize],
            ..samples::summary()
        };
        self.soup.push(Input::Assembled { epoch, text: self.text(), summary });
    }

    pub fn text(&self) -> String {
        self.ledger.results.values().map(|result| result.text()).collect::<Vec<_>>().join(" ")
    }

    /// kill -9 of the whole house and a new start: queues and messages are gone, the store and the objects are not.
    fn crash(&mut self) {
        let header = self.ledger.header();
        if header.in_flight.iter().any(|chunk| !self.may_lose(chunk)) {
            return;
        }
        self.soup.clear();
        self.tasks.clear();
        self.merges.clear();
        self.assemblies.clear();
        for chunk in header.in_flight.iter() {
            self.losses[chunk as usize] += 1;
            for input in lost_tasks(&self.ledger.chunk(chunk)) {
                self.advance(input);
            }
        }
        if header.state == JobState::Assembling {
            self.assemblies.push(header.assembly_epoch);
        }
    }

    /// Finds notices that never came.
    fn sweep(&mut self) -> bool {
        if self.ledger.header().state.is_final() {
            return false;
        }
        let lost = (0..self.script.total())
            .filter(|chunk| self.objects.contains(chunk))
            .filter(|chunk| self.ledger.chunk(*chunk).state == ChunkState::Pending);
        self.soup.extend(lost.map(|chunk| Input::Uploaded { chunk }).collect::<Vec<_>>());
        !self.soup.is_empty()
    }
}

/// The tasks of a chunk that were under way; of a divided chunk those of its parts, or its merge.
fn lost_tasks(record: &ChunkRecord) -> Vec<Input> {
    let chunk = record.index;
    let parts: Vec<Input> = (0..)
        .zip(&record.parts)
        .filter(|(_, part)| matches!(part.state, PartState::Queued | PartState::Processing))
        .map(|(index, part)| Input::TaskLost { chunk, part: Some(index), epoch: part.epoch, deaths: 1 })
        .collect();
    if parts.is_empty() {
        vec![Input::TaskLost { chunk, part: None, epoch: record.epoch, deaths: 1 }]
    } else {
        parts
    }
}

fn at<T>(list: &[T], pick: usize) -> Option<usize> {
    pick.checked_rem(list.len())
}

/// Every other chunk has so much to be done again that it takes three tasks.
fn redone(chunk: u32, epoch: u32, from: Option<i64>) -> Input {
    let next = match from {
        None => Some(-480),
        Some(frame) => Some(frame + 4_800_000).filter(|next| *next < 9_000_000),
    };
    Input::Redone { chunk, epoch, from, next: next.filter(|_| chunk.is_multiple_of(2)) }
}
