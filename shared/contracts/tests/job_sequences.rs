//! Sequences that once led astray, one test each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use scriptorium_contracts::Timestamp;
use scriptorium_contracts::event::Event;
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::{ChunkState, Input, JobState, Layout, Limits, NewJob};
use scriptorium_contracts::message::DEATHS_BEFORE_LOST;
use support::ledger::Ledger;
use support::samples;

const START: Timestamp = Timestamp(1_700_000_000_000);

/// A job of `chunks` chunks, of which the first `uploaded` are there.
fn job(chunks: u32, uploaded: u32) -> Ledger {
    let layout = Layout::new(u64::from(chunks) * 10, 10).unwrap();
    let mut ledger = Ledger::new(NewJob { layout, ..samples::new_job() }, START);
    for chunk in 0..uploaded {
        apply(&mut ledger, Input::Uploaded { chunk });
    }
    ledger
}

fn apply(ledger: &mut Ledger, input: Input) {
    ledger.apply(input, START).unwrap();
}

fn probe(ledger: &mut Ledger) {
    apply(ledger, Input::Probed { media: samples::media() });
}

fn complete(ledger: &mut Ledger, chunk: u32) {
    let epoch = ledger.chunk(chunk).epoch;
    apply(ledger, Input::Completed { chunk, epoch, result: Box::new(samples::result_of(chunk)) });
}

fn fail(ledger: &mut Ledger, chunk: u32, code: FailureCode) {
    let epoch = ledger.chunk(chunk).epoch;
    apply(ledger, Input::Failed { chunk, part: None, epoch, failure: Failure::new(code, "It failed.") });
}

fn assembled(ledger: &mut Ledger) {
    let epoch = ledger.header().assembly_epoch;
    let summary = samples::summary();
    apply(ledger, Input::Assembled { epoch, text: "All.".to_owned(), summary });
}

/// The reports of tasks under way are refused while a job is failed; reopened, it waited for them for ever.
#[test]
fn chunks_under_way_when_a_job_fails_go_on_after_a_retry() {
    let mut ledger = job(3, 3);
    probe(&mut ledger);
    fail(&mut ledger, 1, FailureCode::UnsupportedMedia);
    assert_eq!(ledger.header().state, JobState::Failed);
    complete(&mut ledger, 0);
    complete(&mut ledger, 2);
    assert!(ledger.results.is_empty(), "the job is over");
    apply(&mut ledger, Input::Retry { chunk: 1 });
    assert_eq!([0, 1, 2].map(|chunk| ledger.chunk(chunk).epoch), [2, 2, 2], "new tasks for all three");
    for chunk in 0..3 {
        complete(&mut ledger, chunk);
    }
    assert_eq!(ledger.header().state, JobState::Assembling);
}

/// Reports are handled side by side: the one of a short recording's only chunk overtook the one that tells what the recording
/// is, and the job failed.
#[test]
fn the_report_of_the_last_chunk_may_come_before_that_of_the_recording() {
    let mut ledger = job(1, 1);
    complete(&mut ledger, 0);
    assert_eq!((ledger.header().state, ledger.header().assembly_epoch), (JobState::Assembling, 1));
    probe(&mut ledger);
    assert_eq!(ledger.header().assembly_epoch, 2, "it is asked for anew, now that all is known");
    probe(&mut ledger);
    assert_eq!(ledger.header().assembly_epoch, 2, "once");
    assembled(&mut ledger);
    // With errors, because the sample of a transcript has gaps.
    assert_eq!(ledger.header().state, JobState::CompletedWithErrors);
}

/// A first chunk that failed for good before anything was recognised held up all the others.
#[test]
fn a_failed_first_chunk_does_not_hold_up_the_others() {
    let mut ledger = job(3, 3);
    assert_eq!(ledger.header().in_flight.len(), 1, "the first chunk goes alone");
    fail(&mut ledger, 0, FailureCode::DamagedMedia);
    assert_eq!(ledger.header().in_flight.len(), 2);
    probe(&mut ledger);
    complete(&mut ledger, 1);
    complete(&mut ledger, 2);
    assembled(&mut ledger);
    assert_eq!(ledger.header().state, JobState::CompletedWithErrors);
}

/// A worker that died after it had written the init section never says what it found; the next one has no need to.
#[test]
fn a_lost_probe_report_does_not_hold_up_the_others() {
    let mut ledger = job(2, 2);
    apply(&mut ledger, Input::Started { chunk: 0, part: None, epoch: 1 });
    apply(&mut ledger, Input::TaskLost { chunk: 0, part: None, epoch: 1, deaths: 1 });
    complete(&mut ledger, 0);
    complete(&mut ledger, 1);
    assert_eq!(ledger.header().state, JobState::Assembling);
}

/// An uploaded object that is gone made its neighbour ask for it as fast as the queue could carry, without end.
#[test]
fn asking_again_for_a_chunk_that_has_come_is_a_failure() {
    for needed_first in [false, true] {
        let mut ledger = job(2, if needed_first { 2 } else { 1 });
        probe(&mut ledger);
        apply(&mut ledger, Input::NeedsChunk { chunk: 0, epoch: 1, needed: 1 });
        apply(&mut ledger, Input::Uploaded { chunk: 1 });
        let mut asked = 0;
        while ledger.chunk(0).state == ChunkState::Queued {
            let epoch = ledger.chunk(0).epoch;
            apply(&mut ledger, Input::NeedsChunk { chunk: 0, epoch, needed: 1 });
            asked += 1;
            assert!(asked < 100, "asks without end");
        }
        let record = ledger.chunk(0);
        assert_eq!(record.state, ChunkState::Failed);
        assert_eq!(record.error.unwrap().code, FailureCode::ObjectMissing);
        assert_eq!(asked, 1 + Limits::default().max_retries);
    }
}

/// Nothing is lost while the object store is away, however long; only the job's time ends it.
#[test]
fn an_outage_costs_no_try() {
    let waiting = || {
        let mut ledger = job(1, 1);
        for _ in 0..50 {
            fail(&mut ledger, 0, FailureCode::StorageUnavailable);
            let due = ledger.effects.values().last().unwrap().due;
            assert!((5_000..60_000).contains(&due.since(START)), "neither at once nor never");
        }
        assert_eq!((ledger.chunk(0).state, ledger.chunk(0).attempts), (ChunkState::Queued, 0));
        ledger
    };
    let mut answered = waiting();
    complete(&mut answered, 0);
    assert_eq!(answered.header().state, JobState::Assembling);
    let mut late = waiting();
    late.apply(Input::Tick, START.plus(Limits::default().processing_timeout_ms)).unwrap();
    assert_eq!(late.chunk(0).error.unwrap().code, FailureCode::TimedOut);
}

/// A worker's report of a task that it never ends stands for the workers that died of it before.
#[test]
fn a_chunk_that_kills_three_workers_is_divided() {
    let lost = |deaths| {
        let mut ledger = job(1, 1);
        apply(&mut ledger, Input::Started { chunk: 0, part: None, epoch: 1 });
        apply(&mut ledger, Input::TaskLost { chunk: 0, part: None, epoch: 1, deaths });
        ledger.chunk(0).divide
    };
    assert_eq!([1, 2, DEATHS_BEFORE_LOST].map(lost), [false, false, true]);
}

/// The last chunk failed less than a second after the one before it was complete: nobody heard of that one.
#[test]
fn the_last_progress_is_told() {
    let mut ledger = job(3, 3);
    probe(&mut ledger);
    for chunk in 0..2 {
        complete(&mut ledger, chunk);
    }
    fail(&mut ledger, 2, FailureCode::DamagedMedia);
    let told = ledger.events.iter().rev().find_map(|record| {
        let Event::ProgressUpdate { progress, completed_chunks, .. } = record.event else { return None };
        Some((progress, completed_chunks))
    });
    assert_eq!(told, Some((83, 2)));
}

/// Chunks that come in a rush: one `progress_update` in a second at most, and after a second the next one.
#[test]
fn progress_is_told_once_a_second() {
    let mut ledger = job(10, 0);
    assert_eq!(ledger.header().limits.progress_interval_ms, 1_000);
    let told: Vec<_> = [0, 1, 999, 1_000, 1_001, 1_999, 2_000]
        .into_iter()
        .zip(0..)
        .filter_map(|(at, chunk)| {
            let applied = ledger.apply(Input::Uploaded { chunk }, START.plus(at)).unwrap();
            applied.events.iter().find_map(|event| {
                let Event::ProgressUpdate { progress, uploaded_chunks, .. } = event else { return None };
                Some((at, *progress, *uploaded_chunks))
            })
        })
        .collect();
    assert_eq!(told, [(0, 5, 1), (1_000, 20, 4), (2_000, 35, 7)]);
}

/// Between two ticks of a time-out the freed slots were filled with chunks whose time was over too.
#[test]
fn nothing_is_queued_once_the_time_is_over() {
    let mut ledger = job(70, 70);
    probe(&mut ledger);
    let (tasks, late) = (ledger.published.len(), START.plus(Limits::default().processing_timeout_ms));
    for _ in 0..2 {
        ledger.apply(Input::Tick, late).unwrap();
    }
    assert_eq!(ledger.header().state, JobState::Failed);
    assert_eq!(ledger.published.len(), tasks);
    // A user may still have each of them tried again, and the time begins anew.
    ledger.apply(Input::Retry { chunk: 69 }, late).unwrap();
    assert_eq!(ledger.chunk(69).state, ChunkState::Queued);
    assert!(!ledger.apply(Input::Tick, late.plus(1_000)).unwrap().changed);
}

/// Retry while the transcript is being put together: the old order is void, the chunk is in the new one.
#[test]
fn a_retry_overtakes_an_assembly() {
    let mut ledger = job(2, 2);
    probe(&mut ledger);
    complete(&mut ledger, 0);
    fail(&mut ledger, 1, FailureCode::DamagedMedia);
    let old = ledger.header().assembly_epoch;
    apply(&mut ledger, Input::Retry { chunk: 1 });
    assert_eq!(ledger.header().state, JobState::Processing);
    apply(
        &mut ledger,
        Input::Assembled { epoch: old, text: "Half.".to_owned(), summary: samples::summary() },
    );
    apply(
        &mut ledger,
        Input::AssemblyFailed { epoch: old, failure: Failure::new(FailureCode::Internal, "Late.") },
    );
    assert_eq!(ledger.header().state, JobState::Processing);
    complete(&mut ledger, 1);
    assembled(&mut ledger);
    assert_eq!(ledger.header().failed.len(), 0);
    assert!(ledger.header().state.is_final());
}

/// A try that is put off outlives what happens to its chunk: its task is old when it comes.
#[test]
fn a_delayed_try_is_void_after_another_one() {
    let mut ledger = job(1, 1);
    fail(&mut ledger, 0, FailureCode::EngineFailed);
    let delayed = ledger.effects.values().last().unwrap().clone();
    assert!(delayed.due > START);
    // The house starts anew before the delay is over.
    apply(&mut ledger, Input::TaskLost { chunk: 0, part: None, epoch: 2, deaths: 1 });
    assert_eq!(ledger.chunk(0).epoch, 3);
    let result = Box::new(samples::result_of(0));
    apply(&mut ledger, Input::Completed { chunk: 0, epoch: 2, result });
    assert!(ledger.results.is_empty());
    complete(&mut ledger, 0);
    assert_eq!(ledger.header().state, JobState::Assembling);
}

/// A passage whose second try kills every worker would be begun anew at each start, for ever.
#[test]
fn what_is_done_again_is_given_up_when_it_is_lost_again_and_again() {
    let mut ledger = job(1, 1);
    probe(&mut ledger);
    complete(&mut ledger, 0);
    let redo = |ledger: &mut Ledger| {
        let epoch = ledger.header().assembly_epoch;
        let chunks = [0].into_iter().collect();
        apply(ledger, Input::Redo { epoch, language: "en".to_owned(), chunks });
    };
    let begun = (1..100)
        .find(|_| {
            redo(&mut ledger);
            ledger.header().redo.is_some_and(|redo| redo.is_done())
        })
        .unwrap();
    assert_eq!(begun, 18, "the first time, and 17 times anew");
    assert!(ledger.header().redo.unwrap().failed.contains(0));
    assembled(&mut ledger);
    assert_eq!(ledger.header().state, JobState::CompletedWithErrors, "the sample's summary has a gap");
}
