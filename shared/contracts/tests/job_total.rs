//! `step` with inputs that no honest world would send, and with the largest job: total, and bounded in cost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use proptest::prelude::*;
use scriptorium_contracts::Timestamp;
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::{
    ChunkState, Effect, Input, JobHeader, JobState, Layout, Limits, MAX_CHUNKS, MAX_FILE_SIZE, MEGABYTE,
    NewJob, StepError,
};
use scriptorium_contracts::media::MediaInfo;
use scriptorium_contracts::message::Work;
use scriptorium_contracts::source::FetchEnd;
use scriptorium_contracts::webhook::WebhookTry;
use support::ledger::Ledger;
use support::samples;

const START: Timestamp = Timestamp(1_700_000_000_000);

/// An input whose token is still to be chosen: mostly the right one, so that it is taken.
#[derive(Clone, Debug)]
struct Raw {
    kind: u8,
    chunk: u32,
    other: u32,
    wrong_epoch: Option<u32>,
    code: FailureCode,
    text: String,
    pause: u64,
}

fn raw() -> impl Strategy<Value = Raw> {
    let index = || prop_oneof![12 => 0u32..8, 1 => any::<u32>()];
    let code = prop::sample::select(vec![
        FailureCode::NotAudio,
        FailureCode::UnsupportedMedia,
        FailureCode::DamagedHeader,
        FailureCode::DamagedMedia,
        FailureCode::StorageUnavailable,
        FailureCode::ObjectMissing,
        FailureCode::EngineFailed,
        FailureCode::EngineUnavailable,
        FailureCode::WorkerLost,
        FailureCode::TimedOut,
        FailureCode::AssemblyFailed,
        FailureCode::SourceUnavailable,
        FailureCode::SourceRefused,
        FailureCode::SourceChanged,
        FailureCode::Internal,
    ]);
    let wrong_epoch = prop::option::weighted(0.2, prop_oneof![0u32..6, any::<u32>()]);
    let pause = prop_oneof![20 => 0u64..2_000, 1 => Just(20_000), 1 => Just(u64::MAX / 4)];
    (0u8..64, index(), index(), wrong_epoch, code, any::<String>(), pause).prop_map(
        |(kind, chunk, other, wrong_epoch, code, text, pause)| Raw {
            kind,
            chunk,
            other,
            wrong_epoch,
            code,
            text,
            pause,
        },
    )
}

fn input(raw: Raw, ledger: &Ledger) -> Input {
    let Raw { kind, chunk, other, wrong_epoch, code, text, pause } = raw;
    let header = ledger.header();
    let current = if chunk < header.total_chunks() { ledger.chunk(chunk).epoch } else { 1 };
    // Of a divided chunk mostly a part that exists.
    let parts = if chunk < header.total_chunks() { ledger.chunk(chunk).parts } else { Vec::new() };
    let part = (!parts.is_empty() && other % 8 > 0).then_some(other % 8);
    let token = part.and_then(|part| parts.get(part as usize)).map_or(current, |part| part.epoch);
    let epoch = wrong_epoch.unwrap_or(token);
    let failure = Failure::new(code, text.clone());
    let assembly = wrong_epoch.unwrap_or(header.assembly_epoch);
    let input = match kind {
        0..16 => Input::Uploaded { chunk },
        16..24 => Input::Started { chunk, part, epoch },
        24..28 => Input::Probed { media: samples::media() },
        28..36 => Input::NeedsChunk { chunk, epoch, needed: other },
        36..44 => {
            let mut result = samples::result_of(chunk);
            result.passages.push(samples::passage(None, &[&text]));
            Input::Completed { chunk, epoch, result: Box::new(result) }
        }
        44..48 => Input::Failed { chunk, part, epoch, failure },
        48..50 => Input::Planned { chunk, epoch, parts: vec![other % 4; (other % 9) as usize] },
        50..52 => Input::TaskLost { chunk, part, epoch, deaths: other },
        52 => Input::PartCompleted { chunk, part: other % 8, epoch },
        53..57 => Input::Retry { chunk },
        57 => Input::Cancel { reason: text },
        58 if other % 3 == 0 => {
            let chunks = header.completed.iter().filter(|chunk| chunk % 2 == 0).collect();
            Input::Redo { epoch: assembly, language: text, chunks }
        }
        58 => Input::Redone { chunk, epoch: assembly, from: None, next: (other % 3 == 0).then_some(480_000) },
        59 if other % 2 == 0 => Input::RedoFailed { chunk, epoch: assembly, failure },
        59 => Input::Assembled { epoch: assembly, text, summary: samples::summary() },
        60 => Input::AssemblyFailed { epoch: assembly, failure },
        61 if other % 4 == 1 => Input::Correcting { epoch: assembly },
        61 if other % 4 == 2 => Input::RevertEdit { edit: other % 16 },
        61 if other == 0 => Input::Delete { late_ms: pause },
        62 => about_webhook(&header, other, wrong_epoch),
        63 if other % 4 > 0 => about_source(&header, other, wrong_epoch, failure),
        _ => Input::Tick,
    };
    let ends = matches!(input, Input::Completed { .. } | Input::PartCompleted { .. } | Input::Failed { .. });
    if ends && other % 2 == 0 {
        let work = Work { decode_ms: pause, engine_ms: u64::from(other), ..Work::default() };
        return Input::Measured { work, of: Box::new(input) };
    }
    input
}

/// About the job's last message, or one that it does not have.
fn about_webhook(header: &JobHeader, other: u32, wrong_token: Option<u32>) -> Input {
    let (webhook, token) = header.webhooks.last().map_or((1, 1), |last| (last.number, last.token));
    let token = wrong_token.unwrap_or(token);
    match other % 4 {
        0 | 1 => Input::WebhookTaken { webhook, token, by: u64::from(other) },
        2 => {
            let outcome = WebhookTry { at: START, duration_ms: 5, status: Some(500), error: None };
            Input::WebhookTried {
                webhook,
                token,
                outcome,
                retry_after_ms: Some(u64::from(other)),
                last: other % 2 == 1,
            }
        }
        _ => Input::RedeliverWebhook { webhook },
    }
}

/// About what is fetched, or would be if the job had anything to fetch.
fn about_source(header: &JobHeader, other: u32, wrong_token: Option<u32>, failure: Failure) -> Input {
    let token = wrong_token.unwrap_or_else(|| header.source.as_ref().map_or(1, |source| source.token));
    match other % 8 {
        1 => Input::SourceTried { token, end: FetchEnd::Yielded },
        2 | 5 => Input::SourceTried { token, end: FetchEnd::Later { failure, retry_after_ms: None } },
        3 if other % 16 == 3 => Input::SourceTried { token, end: FetchEnd::Over(failure) },
        _ => Input::SourceTaken { token, by: u64::from(other % 3) },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes, in whatever state: no panic, and every promise of a step is kept (`support::invariants`).
    #[test]
    fn any_input_is_taken_or_left(chunks in 1u64..8, slots in any::<u32>(), raws in prop::collection::vec(raw(), 1..250)) {
        let limits = Limits {
            max_parallel_chunks: slots % 5,
            processing_timeout_ms: 15_000,
            upload_expiry_ms: 19_000,
            retention_ms: 15_000,
            ..Limits::default()
        };
        let layout = Layout::new(chunks * 10, 10).unwrap();
        let source = (slots % 2 == 0).then(samples::source);
        let new = NewJob { layout, limits, source, ..samples::new_job() };
        let (mut ledger, mut now) = (Ledger::new(new, START), START);
        for raw in raws {
            now = now.plus(raw.pause);
            let input = input(raw, &ledger);
            let exists = input.chunk().is_none_or(|chunk| u64::from(chunk) < chunks);
            match ledger.apply(input.clone(), now) {
                Ok(_) => prop_assert!(exists),
                Err(problem) => {
                    prop_assert!(!exists);
                    prop_assert_eq!(problem, StepError::NoSuchChunk(input.chunk().unwrap()));
                }
            }
            // Repeated at once, it has nothing more to do; but a time-out and a wait go on, and a redo is published anew.
            if !matches!(input, Input::Tick | Input::NeedsChunk { .. } | Input::Redo { .. }) && exists {
                prop_assert!(!ledger.apply(input.clone(), now).unwrap().changed, "{:?} twice", input);
            }
        }
        ledger.check_log();
    }
}

fn largest(max_parallel_chunks: u32) -> Ledger {
    let layout = Layout::new(MAX_FILE_SIZE, MEGABYTE).unwrap();
    let limits = Limits { max_parallel_chunks, ..Limits::default() };
    let mut ledger = Ledger::new(NewJob { layout, limits, ..samples::new_job() }, START);
    ledger.thorough = false;
    ledger
}

/// Bytes of the largest header as JSON: five sets of 1 280 bytes in hexadecimal, and small things. (Names, prompt,
/// metadata and the gaps of a summary come on top; the gateway and the coordinator bound them.)
const LARGEST_HEADER: usize = 5 * 2 * 1_280 + 2_048;

/// One event of a chunk costs the same in the largest job as in the smallest one.
#[test]
fn the_largest_job_costs_little_an_event() {
    let mut ledger = largest(3);
    let mut now = START;
    let mut apply = |ledger: &mut Ledger, input: Input| {
        now = now.plus(1);
        ledger.apply(input, now).unwrap();
        assert!(ledger.most_changed <= 5, "{} records in a step", ledger.most_changed);
        assert!(ledger.header_bytes() <= LARGEST_HEADER, "{} bytes", ledger.header_bytes());
    };
    apply(&mut ledger, Input::Probed { media: samples::media() });
    // Even chunks first, so that the sets have holes.
    for chunk in (0..MAX_CHUNKS).step_by(2).chain((1..MAX_CHUNKS).step_by(2)) {
        apply(&mut ledger, Input::Uploaded { chunk });
    }
    while let Some(chunk) = ledger.header().in_flight.first() {
        let epoch = ledger.chunk(chunk).epoch;
        apply(&mut ledger, Input::Started { chunk, part: None, epoch });
        let result = Box::new(samples::result_of(chunk));
        let failure = Failure::new(FailureCode::DamagedMedia, "Noise.");
        apply(
            &mut ledger,
            if chunk % 5 == 3 {
                Input::Failed { chunk, part: None, epoch, failure }
            } else {
                Input::Completed { chunk, epoch, result }
            },
        );
    }
    assert_eq!(ledger.header().state, JobState::Assembling);
    ledger.check_log();
    support::invariants::check_records(&ledger.header(), &ledger.chunks());
}

/// All chunks but one wait for that one: its record stays small, and its upload wakes them all with one header.
#[test]
fn ten_thousand_waiters_fit_one_record() {
    let mut ledger = largest(64);
    let needed = MAX_CHUNKS - 1;
    ledger.apply(Input::Probed { media: samples::media() }, START).unwrap();
    for chunk in 0..needed {
        ledger.apply(Input::Uploaded { chunk }, START).unwrap();
        let epoch = ledger.chunk(chunk).epoch;
        ledger.apply(Input::NeedsChunk { chunk, epoch, needed }, START).unwrap();
    }
    assert_eq!(ledger.chunk(needed).waiters.len(), needed);
    assert!(serde_json::to_string(&ledger.chunk(needed)).unwrap().len() <= 2 * 1_280 + 512);
    assert!(ledger.header().ready.is_empty() && ledger.header().in_flight.is_empty());
    ledger.apply(Input::Uploaded { chunk: needed }, START).unwrap();
    assert_eq!(ledger.header().in_flight.len(), 64);
    assert_eq!(ledger.header().ready.len(), MAX_CHUNKS - 64);
    support::invariants::check_records(&ledger.header(), &ledger.chunks());
}

/// A time-out of the largest job takes many ticks, queues nothing on the way, and comes to its end.
#[test]
fn a_time_out_reaches_every_chunk() {
    for finished in [0, 2] {
        let mut ledger = largest(64);
        ledger.apply(Input::Probed { media: samples::media() }, START).unwrap();
        for chunk in 0..MAX_CHUNKS {
            ledger.apply(Input::Uploaded { chunk }, START).unwrap();
        }
        for chunk in 0..finished {
            let result = Box::new(samples::result_of(chunk));
            ledger.apply(Input::Completed { chunk, epoch: 1, result }, START).unwrap();
        }
        let tasks = ledger.published.len();
        let late = START.plus(Limits::default().processing_timeout_ms);
        assert!(!ledger.apply(Input::Tick, Timestamp(late.0 - 1)).unwrap().changed);
        let mut ticks = 0;
        while ledger.apply(Input::Tick, late).unwrap().changed {
            ticks += 1;
        }
        assert_eq!(ticks, (MAX_CHUNKS - finished).div_ceil(64));
        assert_eq!(ledger.published.len(), tasks, "queued after the end of the time");
        let wanted = if finished == 0 { JobState::Failed } else { JobState::Assembling };
        assert_eq!(ledger.header().state, wanted);
        support::invariants::check_records(&ledger.header(), &ledger.chunks());
    }
}

/// R23: a long recording has a multiple of its length, counted from the last upload, if that is more than the fixed time.
#[test]
fn a_long_recording_has_a_multiple_of_its_length() {
    const HOUR: u64 = 3_600_000;
    // The multiple, the recording's seconds, and the hours that are allowed.
    for (timeout_per_audio, seconds, hours) in [
        (4, Some(3_600.0), 4),
        (9, Some(3_600.0), 9),
        (4, Some(600.0), 1),
        (0, Some(36_000.0), 1),
        (4, None, 1),
    ] {
        let limits = Limits { timeout_per_audio, processing_timeout_ms: HOUR, ..Limits::default() };
        let layout = Layout::new(10, 10).unwrap();
        let mut ledger = Ledger::new(NewJob { layout, limits, ..samples::new_job() }, START);
        let uploaded = START.plus(5);
        ledger.apply(Input::Uploaded { chunk: 0 }, uploaded).unwrap();
        let media = MediaInfo { duration_seconds: seconds, ..samples::media() };
        ledger.apply(Input::Probed { media }, START.plus(9)).unwrap();
        let end = uploaded.plus(hours * HOUR);
        assert!(!ledger.apply(Input::Tick, Timestamp(end.0 - 1)).unwrap().changed, "{seconds:?}");
        assert_eq!(ledger.header().state, JobState::Processing);
        assert!(ledger.apply(Input::Tick, end).unwrap().changed, "{seconds:?}");
        assert_eq!(ledger.header().state, JobState::Failed);
        assert_eq!(ledger.chunk(0).error.map(|error| error.code), Some(FailureCode::TimedOut));
    }
}

/// Uploads that stop half-way expire, however many chunks are done, and late ones change nothing any more.
#[test]
fn an_upload_left_alone_expires() {
    let mut ledger = Ledger::new(samples::new_job(), START);
    let expiry = Limits::default().upload_expiry_ms;
    ledger.apply(Input::Uploaded { chunk: 0 }, START.plus(5)).unwrap();
    assert!(!ledger.apply(Input::Tick, START.plus(expiry)).unwrap().changed);
    assert!(ledger.apply(Input::Tick, START.plus(expiry + 5)).unwrap().changed);
    assert_eq!(ledger.header().state, JobState::Expired);
    assert_eq!(ledger.deletions, 1);
    for input in [
        Input::Uploaded { chunk: 1 },
        Input::Completed { chunk: 0, epoch: 1, result: Box::new(samples::result_of(0)) },
        Input::Retry { chunk: 0 },
        Input::Cancel { reason: "late".to_owned() },
        Input::Tick,
    ] {
        assert!(!ledger.apply(input, START.plus(10 * expiry)).unwrap().changed);
    }
    let mut untouched = Ledger::new(samples::new_job(), START);
    untouched.apply(Input::Tick, START.plus(expiry)).unwrap();
    assert_eq!(untouched.header().state, JobState::Expired);
}

/// A job with failed chunks keeps its objects for a retry, but not for ever.
#[test]
fn kept_objects_are_deleted_at_last() {
    let mut ledger = Ledger::new(samples::new_job(), START);
    ledger.apply(Input::Uploaded { chunk: 0 }, START).unwrap();
    let failure = Failure::new(FailureCode::NotAudio, "A picture.");
    ledger.apply(Input::Failed { chunk: 0, part: None, epoch: 1, failure }, START).unwrap();
    assert_eq!((ledger.header().state, ledger.deletions), (JobState::Failed, 0));
    let end = START.plus(Limits::default().retention_ms);
    assert!(!ledger.apply(Input::Tick, Timestamp(end.0 - 1)).unwrap().changed);
    assert!(ledger.apply(Input::Tick, end).unwrap().changed);
    assert_eq!(ledger.deletions, 1);
    assert!(!ledger.apply(Input::Tick, end).unwrap().changed);
    assert!(!ledger.apply(Input::Retry { chunk: 0 }, end).unwrap().changed, "the objects are gone");
    assert_eq!(ledger.chunk(0).state, ChunkState::Failed);
    let last = ledger.effects.values().last().unwrap();
    assert_eq!(last.effect, Effect::DeleteTemporaryObjects { job: samples::job() });
}
