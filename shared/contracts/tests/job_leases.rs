//! Workers that fall silent lose what they hold, and stores that lose their end are healed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use scriptorium_contracts::Timestamp;
use scriptorium_contracts::event::Event;
use scriptorium_contracts::job::{ChunkState, Effect, Input, JobState, Layout, Limits, NewJob, PartState};
use scriptorium_contracts::message::ChunkTask;
use support::ledger::Ledger;
use support::samples;

const START: Timestamp = Timestamp(1_700_000_000_000);
const LEASE: u64 = 15_000;

/// A recognised job whose chunks are all uploaded.
fn job(chunks: u32) -> Ledger {
    let layout = Layout::new(u64::from(chunks) * 10, 10).unwrap();
    let mut ledger = Ledger::new(NewJob { layout, ..samples::new_job() }, START);
    for chunk in 0..chunks {
        at(&mut ledger, 0, Input::Uploaded { chunk });
    }
    at(&mut ledger, 0, Input::Probed { media: samples::media() });
    ledger
}

/// `input` comes so many milliseconds after the start.
fn at(ledger: &mut Ledger, ms: u64, input: Input) {
    ledger.apply(input, START.plus(ms)).unwrap();
}

fn started(ledger: &Ledger, chunk: u32) -> Input {
    Input::Started { chunk, part: None, epoch: ledger.chunk(chunk).epoch }
}

fn completed(chunk: u32, epoch: u32) -> Input {
    Input::Completed { chunk, epoch, result: Box::new(samples::result_of(chunk)) }
}

/// The tokens of all tasks of a chunk.
fn tasks(ledger: &Ledger, chunk: u32) -> Vec<u32> {
    published(ledger, chunk).iter().map(|task| task.epoch).collect()
}

fn published(ledger: &Ledger, chunk: u32) -> Vec<ChunkTask> {
    let published = |effect: &Effect| match effect {
        Effect::PublishTask { task } if task.chunk == chunk => Some(task.clone()),
        Effect::PublishTask { .. }
        | Effect::PublishMerge { .. }
        | Effect::PublishAssembly { .. }
        | Effect::DeleteTemporaryObjects { .. }
        | Effect::DeliverWebhook { .. }
        | Effect::FetchSource { .. }
        | Effect::EraseJob { .. } => None,
    };
    ledger.effects.values().filter_map(|pending| published(&pending.effect)).collect()
}

#[test]
fn a_silent_worker_loses_its_chunk_and_its_late_result_is_refused() {
    let mut ledger = job(2);
    let begun = started(&ledger, 0);
    at(&mut ledger, 1_000, begun);
    at(&mut ledger, 1_000 + LEASE - 1, Input::Tick);
    assert_eq!(ledger.chunk(0).state, ChunkState::Processing, "the lease still runs");
    at(&mut ledger, 1_000 + LEASE, Input::Tick);
    assert_eq!((ledger.chunk(0).state, ledger.chunk(0).epoch), (ChunkState::Queued, 2));
    assert_eq!(ledger.chunk(0).losses, 1);
    assert_eq!(tasks(&ledger, 0), [1, 2]);
    assert_eq!(ledger.chunk(1).epoch, 1, "what is only queued has no lease");

    at(&mut ledger, 1_000 + LEASE, completed(0, 1));
    assert_eq!(ledger.chunk(0).state, ChunkState::Queued, "the zombie is refused");
    at(&mut ledger, 1_000 + LEASE, completed(0, 2));
    assert_eq!(ledger.chunk(0).state, ChunkState::Completed);
}

#[test]
fn signs_of_life_keep_a_chunk() {
    let mut ledger = job(1);
    for turn in 0..100 {
        let alive = started(&ledger, 0);
        at(&mut ledger, turn * 5_000, alive);
        at(&mut ledger, turn * 5_000 + 4_000, Input::Tick);
    }
    assert_eq!((ledger.chunk(0).state, ledger.chunk(0).epoch), (ChunkState::Processing, 1));
    assert_eq!(ledger.chunk(0).started_at, Some(START), "the beginning stays");
}

#[test]
fn a_silent_worker_loses_its_part_and_no_other() {
    let mut ledger = job(1);
    at(&mut ledger, 0, Input::Planned { chunk: 0, epoch: 1, parts: vec![4, 4] });
    let [first, second] = [0, 1].map(|part| ledger.chunk(0).parts[part].epoch);
    at(&mut ledger, 0, Input::Started { chunk: 0, part: Some(0), epoch: first });
    at(&mut ledger, LEASE, Input::Tick);
    let parts = &ledger.chunk(0).parts;
    assert_eq!((parts[0].state, parts[0].losses), (PartState::Queued, 1));
    assert_eq!((parts[1].state, parts[1].epoch), (PartState::Queued, second));
    let again = parts[0].epoch;
    assert!(again > second, "a new token");
    at(&mut ledger, LEASE, Input::PartCompleted { chunk: 0, part: 0, epoch: first });
    assert_eq!(ledger.chunk(0).parts[0].state, PartState::Queued, "the zombie is refused");
    at(&mut ledger, LEASE, Input::PartCompleted { chunk: 0, part: 0, epoch: again });
    at(&mut ledger, LEASE, Input::PartCompleted { chunk: 0, part: 1, epoch: second });

    // The merge is lost with a store that forgot its last second.
    let merge = ledger.chunk(0).epoch;
    at(&mut ledger, LEASE + 300_000, Input::Tick);
    assert_eq!(ledger.chunk(0).epoch, merge + 2, "the chunk is taken up again, and merged with a new token");
    at(&mut ledger, LEASE + 300_000, completed(0, merge));
    assert_ne!(ledger.chunk(0).state, ChunkState::Completed);
    at(&mut ledger, LEASE + 300_000, completed(0, merge + 2));
    assert_eq!(ledger.chunk(0).state, ChunkState::Completed);
}

/// A crash of the store can take away the answer to an assembly, but the order is not repeated every minute while one
/// that takes long is at work.
#[test]
fn an_assembly_without_answer_is_asked_for_again_ever_more_patiently() {
    let mut ledger = job(1);
    at(&mut ledger, 0, completed(0, 1));
    assert_eq!(ledger.header().state, JobState::Assembling);
    let mut asked = Vec::new();
    for second in 0..1_000 {
        let before = ledger.header().assembly_epoch;
        at(&mut ledger, second * 1_000, Input::Tick);
        if ledger.header().assembly_epoch > before {
            asked.push(second);
        }
    }
    assert_eq!(asked, [60, 180, 420, 900]);
}

#[test]
fn passages_done_again_have_leases_too() {
    let mut ledger = job(2);
    at(&mut ledger, 0, completed(0, 1));
    at(&mut ledger, 0, completed(1, 1));
    let epoch = ledger.header().assembly_epoch;
    let chunks = [0, 1].into_iter().collect();
    at(&mut ledger, 0, Input::Redo { epoch, language: "en".to_owned(), chunks });
    at(&mut ledger, 0, Input::RedoStarted { chunk: 1, epoch });
    at(&mut ledger, LEASE, Input::Tick);
    let redo = ledger.header().redo.clone().unwrap();
    assert_eq!((redo.losses, redo.under_way.contains(0), redo.under_way.contains(1)), (1, true, true));
    assert!(redo.leases.is_empty());
    assert_eq!(tasks(&ledger, 1).len(), 3, "the first task, the one to be done again, and that once more");
    for chunk in [0, 1] {
        at(&mut ledger, LEASE, Input::Redone { chunk, epoch, from: None, next: None });
    }
    assert!(ledger.header().assembly_epoch > epoch, "all is done again: the assembly goes on");
}

/// What takes long is done task by task: nothing is left out, and nothing is said twice.
#[test]
fn much_to_be_done_again_is_done_by_one_task_after_the_other() {
    let mut ledger = job(1);
    at(&mut ledger, 0, completed(0, 1));
    let epoch = ledger.header().assembly_epoch;
    at(&mut ledger, 0, Input::Redo { epoch, language: "en".to_owned(), chunks: [0].into_iter().collect() });
    let redone = |from, next| Input::Redone { chunk: 0, epoch, from, next };
    let begins = |ledger: &Ledger| -> Vec<Option<i64>> {
        published(ledger, 0).iter().filter_map(|task| task.redo.as_ref()).map(|redo| redo.from).collect()
    };
    assert_eq!(begins(&ledger), [None]);
    at(&mut ledger, 0, redone(None, Some(-50)));
    assert_eq!(begins(&ledger), [None, Some(-50)]);
    // The first task's report once more, and one that would go back.
    at(&mut ledger, 0, redone(None, Some(-50)));
    at(&mut ledger, 0, redone(None, None));
    assert_eq!(begins(&ledger), [None, Some(-50)]);
    // Its worker falls silent: what was done before it stays done.
    at(&mut ledger, 0, Input::RedoStarted { chunk: 0, epoch });
    at(&mut ledger, LEASE, Input::Tick);
    assert_eq!(begins(&ledger), [None, Some(-50), Some(-50)]);
    at(&mut ledger, LEASE, redone(Some(-50), Some(700)));
    assert_eq!(begins(&ledger), [None, Some(-50), Some(-50), Some(700)]);
    assert_eq!(ledger.header().assembly_epoch, epoch, "something is left");
    // Where a worker says that it goes on where it began, there is no end: it is taken to be done.
    at(&mut ledger, LEASE, redone(Some(700), Some(700)));
    assert!(ledger.header().assembly_epoch > epoch, "all is done again: the assembly goes on");
    assert!(ledger.header().redo.as_ref().unwrap().begun.is_empty());
}

/// A reader that is further than the log has seen events that the store lost. What comes next gets other ids.
#[test]
fn ids_that_a_reader_has_seen_are_not_given_again() {
    let mut ledger = job(1);
    let last = ledger.header().last_event;
    for seen in [0, last, last + 1_000_000, u64::MAX] {
        at(&mut ledger, 0, Input::EventsSeen { last: seen });
        assert_eq!(ledger.header().last_event, last, "nothing was lost, or it is no honest claim");
    }
    at(&mut ledger, 0, Input::EventsSeen { last: last + 3 });
    at(&mut ledger, 0, completed(0, 1));
    let told = |id: u64| ledger.events.iter().find(|event| event.id == id).map(|event| event.event.clone());
    assert!((1..=3).all(|ahead| told(last + ahead) == Some(Event::Lost {})));
    assert!(told(last + 4).is_some_and(|event| event != Event::Lost {}));
}

#[test]
fn the_length_of_a_lease_is_told_to_the_worker() {
    let layout = Layout::new(10, 10).unwrap();
    let limits = Limits { lease_ms: 2_000, ..Limits::default() };
    let mut ledger = Ledger::new(NewJob { layout, limits, ..samples::new_job() }, START);
    at(&mut ledger, 0, Input::Uploaded { chunk: 0 });
    let told = ledger
        .effects
        .values()
        .any(|pending| matches!(&pending.effect, Effect::PublishTask { task } if task.lease_ms == 2_000));
    assert!(told);
}
