//! Corrections by a language model: who asks gives signs of life, and what came of it can be taken back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use scriptorium_contracts::Timestamp;
use scriptorium_contracts::correction::CorrectionSummary;
use scriptorium_contracts::job::{Input, JobState, Layout, LlmMode, NewJob, TranscriptSummary};
use scriptorium_contracts::objects;
use support::ledger::Ledger;
use support::samples;

const START: Timestamp = Timestamp(1_700_000_000_000);
const LEASE: u64 = 15_000;

/// `input` comes so many milliseconds after the start.
fn at(ledger: &mut Ledger, ms: u64, input: Input) {
    ledger.apply(input, START.plus(ms)).unwrap();
}

/// A job of one chunk that is being put together.
fn assembling() -> Ledger {
    let layout = Layout::new(10, 10).unwrap();
    let mut ledger = Ledger::new(NewJob { layout, ..samples::new_job() }, START);
    at(&mut ledger, 0, Input::Uploaded { chunk: 0 });
    at(&mut ledger, 0, Input::Probed { media: samples::media() });
    let epoch = ledger.chunk(0).epoch;
    let result = Box::new(samples::result_of(0));
    at(&mut ledger, 0, Input::Completed { chunk: 0, epoch, result });
    assert_eq!((ledger.header().state, ledger.header().assembly_epoch), (JobState::Assembling, 1));
    ledger
}

fn corrected(epoch: u32, edits: u32) -> Input {
    let correction = CorrectionSummary {
        mode: LlmMode::PostProcess,
        edits,
        usage: Default::default(),
        refused_segments: 0,
        unanswered_segments: 0,
        waited_ms: 5,
        limited_ms: 0,
    };
    let summary = TranscriptSummary { correction: Some(correction), gaps: Vec::new(), ..samples::summary() };
    Input::Assembled { epoch, text: "It's end.".to_owned(), summary }
}

#[test]
fn who_asks_long_keeps_the_assembly_and_who_falls_silent_loses_it() {
    let mut ledger = assembling();
    let last_sign = 20 * 10_000;
    for second in 0..=20 {
        at(&mut ledger, second * 10_000, Input::Correcting { epoch: 1 });
        at(&mut ledger, second * 10_000 + 9_000, Input::Tick);
    }
    assert_eq!(
        ledger.header().assembly_epoch,
        1,
        "an assembly without signs is asked for again after a minute"
    );
    at(&mut ledger, last_sign + LEASE, Input::Tick);
    assert_eq!(ledger.header().assembly_epoch, 2);
    assert_eq!(ledger.header().correcting_until, None);
    // The silent one is too late.
    at(&mut ledger, last_sign + LEASE + 1, Input::Correcting { epoch: 1 });
    assert_eq!(ledger.header().correcting_until, None);
    at(&mut ledger, last_sign + LEASE + 2, corrected(1, 3));
    assert_eq!(ledger.header().state, JobState::Assembling);
    at(&mut ledger, last_sign + LEASE + 3, corrected(2, 3));
    let header = ledger.header();
    assert_eq!(header.state, JobState::Completed);
    assert_eq!(header.transcript_key(), objects::corrected_key(header.id, 2));
}

#[test]
fn an_edit_is_taken_back_once_and_only_if_it_is_one() {
    let mut ledger = assembling();
    at(&mut ledger, 1, Input::RevertEdit { edit: 0 });
    assert!(ledger.header().reverted_edits.is_empty(), "there is no transcript yet");
    at(&mut ledger, 2, corrected(1, 3));
    let revision = |ledger: &Ledger| ledger.header().revision;
    at(&mut ledger, 3, Input::RevertEdit { edit: 2 });
    let after = revision(&ledger);
    at(&mut ledger, 4, Input::RevertEdit { edit: 2 });
    at(&mut ledger, 5, Input::RevertEdit { edit: 3 });
    assert_eq!(revision(&ledger), after, "nothing changes");
    assert_eq!(ledger.header().reverted_edits.iter().collect::<Vec<_>>(), [2]);
}

#[test]
fn a_job_without_corrections_has_no_edits() {
    let mut ledger = assembling();
    let summary = TranscriptSummary { gaps: Vec::new(), ..samples::summary() };
    at(&mut ledger, 1, Input::Assembled { epoch: 1, text: "Its end.".to_owned(), summary });
    at(&mut ledger, 2, Input::RevertEdit { edit: 0 });
    let header = ledger.header();
    assert!(header.reverted_edits.is_empty());
    assert_eq!(header.transcript_key(), objects::transcript_key(header.id));
}
