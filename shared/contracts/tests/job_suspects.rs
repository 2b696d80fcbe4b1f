//! Deaths of workers: what is suspected of them, how it is tried, and when it is given up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use scriptorium_contracts::Timestamp;
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::{ChunkState, Effect, Input, JobState, Layout, NewJob, PartState};
use scriptorium_contracts::message::{ChunkTask, DEATHS_BEFORE_LOST};
use support::ledger::Ledger;
use support::samples;

const START: Timestamp = Timestamp(1_700_000_000_000);

/// A job of one chunk; it is queued.
fn job() -> Ledger {
    let layout = Layout::new(10, 10).unwrap();
    let mut ledger = Ledger::new(NewJob { layout, ..samples::new_job() }, START);
    apply(&mut ledger, Input::Uploaded { chunk: 0 });
    apply(&mut ledger, Input::Probed { media: samples::media() });
    ledger
}

/// The same, divided into parts of so many passages.
fn divided(parts: &[u32]) -> Ledger {
    let mut ledger = job();
    let epoch = ledger.chunk(0).epoch;
    apply(&mut ledger, Input::Planned { chunk: 0, epoch, parts: parts.to_vec() });
    ledger
}

fn apply(ledger: &mut Ledger, input: Input) {
    ledger.apply(input, START).unwrap();
}

/// The task that was published last, and milliseconds before it is to be tried.
fn last_task(ledger: &Ledger) -> (ChunkTask, u64) {
    let tasks = ledger.effects.values().rev().find_map(|pending| {
        let Effect::PublishTask { task } = &pending.effect else { return None };
        Some((task.clone(), pending.due.since(START)))
    });
    tasks.unwrap()
}

/// As many workers as may have begun the task, and died; then what is left of the task is told to be lost.
fn kill(ledger: &mut Ledger) {
    let (ChunkTask { chunk, epoch, part, .. }, _) = last_task(ledger);
    let (part, deaths) = (part.map(|part| part.index), last_task(ledger).0.deaths_before_lost());
    apply(ledger, Input::Started { chunk, part, epoch });
    apply(ledger, Input::TaskLost { chunk, part, epoch, deaths });
}

#[test]
fn a_suspected_passage_is_tried_alone_after_growing_pauses_before_it_is_given_up() {
    let mut ledger = divided(&[1]);
    let (first, pause) = last_task(&ledger);
    assert_eq!((first.alone, first.deaths_before_lost(), pause), (false, DEATHS_BEFORE_LOST, 0));
    let mut pauses = Vec::new();
    loop {
        kill(&mut ledger);
        if ledger.chunk(0).parts[0].state == PartState::Failed {
            break;
        }
        let (task, pause) = last_task(&ledger);
        assert!(task.alone && task.deaths_before_lost() == 1, "{task:?}");
        pauses.push(pause);
    }
    let within = [5_000..=6_000, 20_000..=24_000, 80_000..=96_000];
    assert_eq!(pauses.len(), within.len());
    assert!(pauses.iter().zip(within).all(|(pause, within)| within.contains(pause)), "{pauses:?}");
    let record = ledger.chunk(0);
    assert_eq!((record.state, record.error.unwrap().code), (ChunkState::Failed, FailureCode::WorkerLost));
}

/// A queue whose receivers die before they can tell of it counts on.
#[test]
fn many_deaths_told_at_once_are_one_try_of_a_suspect() {
    let mut ledger = divided(&[1]);
    for losses in [3, 4, 5, 6] {
        let (ChunkTask { chunk, epoch, part, .. }, _) = last_task(&ledger);
        let part = part.map(|part| part.index);
        apply(&mut ledger, Input::Started { chunk, part, epoch });
        assert_ne!(ledger.chunk(0).parts[0].state, PartState::Failed);
        apply(&mut ledger, Input::TaskLost { chunk, part, epoch, deaths: u32::MAX });
        assert_eq!(ledger.chunk(0).parts[0].losses, losses);
    }
    assert_eq!(ledger.chunk(0).parts[0].state, PartState::Failed);
}

/// A process of several slots dies with all that it has in work, and with what it has waiting.
#[test]
fn a_suspect_that_nobody_had_begun_is_not_counted_dead() {
    let mut ledger = divided(&[1]);
    kill(&mut ledger);
    for _ in 0..20 {
        let (ChunkTask { chunk, epoch, part, .. }, _) = last_task(&ledger);
        apply(&mut ledger, Input::TaskLost { chunk, part: part.map(|part| part.index), epoch, deaths: 1 });
    }
    let (task, pause) = last_task(&ledger);
    assert!(task.alone && (5_000..=6_000).contains(&pause), "the pause of its first try alone: {pause}");
    let (ChunkTask { chunk, epoch, .. }, part) = (task, 0);
    apply(&mut ledger, Input::Started { chunk, part: Some(part), epoch });
    apply(&mut ledger, Input::PartCompleted { chunk, part, epoch });
    assert_eq!(ledger.chunk(0).parts[0].state, PartState::Completed);
}

#[test]
fn a_suspected_part_is_halved_at_once_and_its_halves_are_tried_alone() {
    let mut ledger = divided(&[4]);
    kill(&mut ledger);
    let record = ledger.chunk(0);
    let counts: Vec<u32> = record.parts.iter().map(|part| part.count).collect();
    assert_eq!(counts, [2, 2]);
    let (task, pause) = last_task(&ledger);
    assert_eq!((task.alone, pause), (true, 0));
    kill(&mut ledger);
    let (task, pause) = last_task(&ledger);
    assert!(task.alone && (5_000..=6_000).contains(&pause), "one passage is left: {pause}");
}

/// A part that fails without a death is no danger to its neighbours.
#[test]
fn what_only_fails_is_not_put_alone() {
    let mut ledger = divided(&[2]);
    while ledger.chunk(0).parts.len() < 2 {
        let (ChunkTask { chunk, epoch, part, .. }, _) = last_task(&ledger);
        let failure = Failure::new(FailureCode::EngineFailed, "It failed.");
        apply(&mut ledger, Input::Failed { chunk, part: part.map(|part| part.index), epoch, failure });
    }
    let (task, pause) = last_task(&ledger);
    assert_eq!((task.alone, pause), (false, 0));
}

/// Its plan itself kills: there is nothing that could be divided.
#[test]
fn a_chunk_whose_plan_kills_is_divided_then_tried_alone_then_given_up() {
    let mut ledger = job();
    let mut alone = Vec::new();
    while ledger.chunk(0).state != ChunkState::Failed {
        kill(&mut ledger);
        let (task, _) = last_task(&ledger);
        alone.push((task.divide, task.alone));
        assert!(alone.len() < 100, "without end");
    }
    assert_eq!(alone[0], (true, true));
    assert_eq!(ledger.chunk(0).losses, 6);
    assert_eq!(ledger.header().state, JobState::Failed);
}
