//! How a recording is fetched: by whom, how often, and what is remembered of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use scriptorium_contracts::Timestamp;
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::{Effect, Input, JobState, NewJob, SOURCE_LEASE_MS, source_pause_ms};
use scriptorium_contracts::source::{FetchEnd, Origin, Source};
use support::ledger::Ledger;
use support::samples;

const START: Timestamp = Timestamp(1_700_000_000_000);

/// A job of five chunks whose recording is to be fetched.
fn job(ranges: bool) -> Ledger {
    let source = Source { ranges, ..samples::source() };
    Ledger::new(NewJob { source: Some(source), ..samples::new_job() }, START)
}

fn source(ledger: &Ledger) -> Source {
    ledger.header().source.expect("it is still wanted")
}

/// Takes the fetch at this time.
fn take(ledger: &mut Ledger, by: u64, at: Timestamp) -> bool {
    let token = source(ledger).token;
    ledger.apply(Input::SourceTaken { token, by }, at).unwrap().changed
}

fn end(ledger: &mut Ledger, end: FetchEnd, at: Timestamp) {
    let token = source(ledger).token;
    assert!(ledger.apply(Input::SourceTried { token, end }, at).unwrap().changed);
}

fn failure() -> Failure {
    Failure::new(FailureCode::SourceUnavailable, "The server answered with status 503.")
}

fn later() -> FetchEnd {
    FetchEnd::Later { failure: failure(), retry_after_ms: None }
}

#[test]
fn it_is_to_be_fetched_from_the_first_step_on() {
    let ledger = job(true);
    let header = ledger.header();
    assert_eq!((header.state, header.last_effect), (JobState::Created, 1));
    assert_eq!(source(&ledger).due, START);
    let effect = &ledger.effects[&1];
    assert_eq!(effect.due, START);
    let server = "example.org:8443".to_owned();
    assert_eq!(effect.effect, Effect::FetchSource { job: samples::job(), token: 1, server });
    assert!(Ledger::new(samples::new_job(), START).effects.is_empty());
}

/// One fetches at a time, as long as he gives signs of life.
#[test]
fn who_has_taken_it_keeps_it_by_signs_of_life() {
    let mut ledger = job(true);
    assert!(take(&mut ledger, 7, START));
    assert!(!take(&mut ledger, 8, START), "it is taken");
    let mut now = START;
    for _ in 0..10 {
        now = now.plus(SOURCE_LEASE_MS - 1);
        assert!(!take(&mut ledger, 8, now), "its holder lives");
        assert!(take(&mut ledger, 7, now));
    }
    assert_eq!(source(&ledger).attempts, 1);
    assert!(take(&mut ledger, 8, now.plus(SOURCE_LEASE_MS)), "its holder is dead");
    assert_eq!((source(&ledger).attempts, source(&ledger).holder.unwrap().by), (2, 8));
    let stale = Input::SourceTried { token: source(&ledger).token - 1, end: FetchEnd::Over(failure()) };
    assert!(!ledger.apply(stale, now.plus(SOURCE_LEASE_MS)).unwrap().changed, "the old holder is too late");
}

#[test]
fn what_may_pass_is_tried_again_and_given_up_at_last() {
    for ranges in [true, false] {
        let mut ledger = job(ranges);
        let mut tries = 0;
        while ledger.header().source.is_some() {
            let at = source(&ledger).due;
            assert!(!take(&mut ledger, 7, Timestamp(at.0 - 1)), "too early");
            assert!(take(&mut ledger, 7, at));
            end(&mut ledger, later(), at);
            tries += 1;
        }
        assert_eq!(tries, 8);
        let header = ledger.header();
        assert_eq!((header.state, header.failure), (JobState::Failed, Some(failure())));
        assert!(header.objects_released, "nothing of it is kept");
        assert!(matches!(
            ledger.effects.values().last().unwrap().effect,
            Effect::DeleteTemporaryObjects { .. }
        ));
    }
}

/// A try that nobody has told the end of counts as one.
#[test]
fn tries_that_are_interrupted_end_too() {
    let mut ledger = job(true);
    let mut by = 0;
    while ledger.header().source.is_some() {
        by += 1;
        let at = source(&ledger).due;
        assert!(take(&mut ledger, by, at));
    }
    assert_eq!(by, 9);
    assert_eq!(ledger.header().failure.unwrap().code, FailureCode::SourceUnavailable);
}

#[test]
fn each_chunk_that_comes_starts_the_count_anew() {
    for (ranges, wanted) in [(true, 0), (false, 2)] {
        let mut ledger = job(ranges);
        take(&mut ledger, 7, START);
        end(&mut ledger, later(), START);
        assert_eq!(source(&ledger).failure, Some(failure()));
        let at = source(&ledger).due;
        take(&mut ledger, 7, at);
        ledger.apply(Input::Uploaded { chunk: 0 }, at).unwrap();
        assert_eq!(source(&ledger).attempts, wanted);
        assert_eq!(source(&ledger).failure.is_none(), ranges);
        // In its middle it makes way, which costs no try and no time.
        end(&mut ledger, FetchEnd::Yielded, at);
        assert_eq!((source(&ledger).attempts, source(&ledger).due), (wanted.saturating_sub(1), at));
    }
}

/// Addresses may be secrets: they are gone as soon as nobody needs them.
#[test]
fn nothing_is_kept_of_it_longer_than_it_is_needed() {
    let mut whole = job(true);
    take(&mut whole, 7, START);
    for chunk in [4, 0, 1, 2] {
        whole.apply(Input::Uploaded { chunk }, START).unwrap();
        assert!(whole.header().source.is_some());
    }
    whole.apply(Input::Uploaded { chunk: 3 }, START).unwrap();
    assert_eq!((whole.header().state, whole.header().source), (JobState::Processing, None));
    for input in [
        Input::Cancel { reason: "enough".to_owned() },
        Input::Delete { late_ms: 0 },
        Input::SourceTried { token: 2, end: FetchEnd::Over(failure()) },
    ] {
        let mut ledger = job(true);
        take(&mut ledger, 7, START);
        ledger.apply(input, START).unwrap();
        assert!(ledger.header().source.is_none() && ledger.header().state.is_final());
        assert!(!ledger.apply(Input::SourceTaken { token: 2, by: 7 }, START).unwrap().changed);
    }
    let told = format!("{:?}", job(true).header());
    assert!(
        told.contains("example.org:8443") && !told.contains("secret") && !told.contains("talk.wav?"),
        "{told}"
    );
    assert_eq!(Origin::Key("imports/acme/x".to_owned()).server(), "bucket");
}

/// A recording that was taken for no audio while it was fetched: who has it tried again has the rest fetched.
#[test]
fn a_job_that_reopens_goes_on_fetching() {
    let mut ledger = job(true);
    take(&mut ledger, 7, START);
    ledger.apply(Input::Uploaded { chunk: 0 }, START).unwrap();
    let no_audio = Failure::new(FailureCode::NotAudio, "A picture.");
    let failed = Input::Failed { chunk: 0, part: None, epoch: 1, failure: no_audio };
    ledger.apply(failed, START).unwrap();
    assert_eq!(ledger.header().state, JobState::Failed);
    assert!(!take(&mut ledger, 7, START), "nobody wants it now");
    let late = START.plus(SOURCE_LEASE_MS * 2);
    ledger.apply(Input::Retry { chunk: 0 }, late).unwrap();
    assert_eq!((ledger.header().state, source(&ledger).due), (JobState::Uploading, late));
    assert!(take(&mut ledger, 8, late));
}

#[test]
fn pauses_grow_and_end() {
    let exact = |attempt| source_pause_ms(attempt, None, 0).map(|pause| pause / 1_000);
    let in_bounds = |pause: Option<u64>, seconds: u64| {
        let pause = pause.unwrap();
        assert!((seconds * 1_000..=seconds * 1_200).contains(&pause), "{pause}");
    };
    for (attempt, seconds) in [(0, 5), (1, 5), (2, 15), (3, 60), (4, 300), (5, 900), (6, 1_800), (7, 3_600)] {
        in_bounds(source_pause_ms(attempt, None, 99), seconds);
    }
    assert_eq!((exact(8), exact(u32::MAX)), (None, None));
    in_bounds(source_pause_ms(1, Some(40_000), 3), 40);
    in_bounds(source_pause_ms(1, Some(u64::MAX), 3), 3_600);
}
