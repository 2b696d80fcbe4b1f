//! A job that is deleted, and where the time of one goes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use scriptorium_contracts::Timestamp;
use scriptorium_contracts::event::Event;
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::{ChunkState, Effect, Input, JobState, Layout, NewJob};
use scriptorium_contracts::message::Work;
use support::ledger::Ledger;
use support::samples;

const START: Timestamp = Timestamp(1_700_000_000_000);

fn job(chunks: u64) -> Ledger {
    Ledger::new(NewJob { layout: Layout::new(chunks * 10, 10).unwrap(), ..samples::new_job() }, START)
}

fn at(ledger: &mut Ledger, ms: u64, input: Input) {
    ledger.apply(input, START.plus(ms)).unwrap();
}

fn completed(chunk: u32, epoch: u32) -> Input {
    Input::Completed { chunk, epoch, result: Box::new(samples::result_of(chunk)) }
}

fn measured(decode_ms: u64, engine_ms: u64, of: Input) -> Input {
    Input::Measured { work: Work { decode_ms, engine_ms, ..Work::default() }, of: Box::new(of) }
}

fn erasures(ledger: &Ledger) -> Vec<u64> {
    let erases = |effect: &Effect| matches!(effect, Effect::EraseJob { job } if *job == samples::job());
    let due = ledger.effects.values().filter(|pending| erases(&pending.effect)).map(|pending| pending.due);
    due.map(|due| due.since(START)).collect()
}

#[test]
fn a_job_under_way_is_cancelled_and_erased_and_nothing_happens_to_it_any_more() {
    let mut ledger = job(2);
    at(&mut ledger, 0, Input::Uploaded { chunk: 0 });
    at(&mut ledger, 1_000, Input::Delete { late_ms: 3_600_000 });
    let header = ledger.header();
    assert_eq!((header.state, header.deleted_at), (JobState::Cancelled, Some(START.plus(1_000))));
    assert!(matches!(ledger.events.last().unwrap().event, Event::Cancelled { .. }));
    // At once if the one who asked dies, and once more when no signed URL is good any more.
    assert_eq!(erasures(&ledger), [6_000, 3_601_000]);
    assert_eq!(ledger.deletions, 0, "all of it goes: nothing is deleted besides");
    for input in [
        Input::Delete { late_ms: 0 },
        Input::Uploaded { chunk: 1 },
        completed(0, 1),
        measured(1, 2, completed(0, 1)),
        Input::Retry { chunk: 0 },
        Input::Cancel { reason: String::new() },
        Input::EventsSeen { last: 99 },
        Input::Tick,
    ] {
        assert!(!ledger.apply(input.clone(), START.plus(u64::MAX / 2)).unwrap().changed, "{input:?}");
    }
}

/// Neither of its end by the deletion nor of an end before it.
#[test]
fn a_deleted_job_tells_its_webhook_nothing() {
    let tells = |ledger: &Ledger| {
        let tells = |effect: &Effect| matches!(effect, Effect::DeliverWebhook { .. });
        ledger.effects.values().filter(|pending| tells(&pending.effect)).count()
    };
    let mut ledger = job(1);
    assert!(ledger.header().webhook_url.is_some());
    at(&mut ledger, 10, Input::Delete { late_ms: 0 });
    assert_eq!((tells(&ledger), ledger.header().webhook_url), (0, None));

    let mut ledger = job(1);
    at(&mut ledger, 10, Input::Cancel { reason: String::new() });
    assert_eq!(tells(&ledger), 1);
    at(&mut ledger, 20, Input::Delete { late_ms: 0 });
    for input in [Input::WebhookTaken { webhook: 1, token: 1, by: 7 }, Input::RedeliverWebhook { webhook: 1 }]
    {
        assert!(!ledger.apply(input, START.plus(30)).unwrap().changed);
    }
}

#[test]
fn a_job_that_is_over_keeps_its_state_and_is_erased_too() {
    let mut ledger = job(1);
    at(&mut ledger, 0, Input::Uploaded { chunk: 0 });
    let failure = Failure::new(FailureCode::NotAudio, "A picture.");
    at(&mut ledger, 10, Input::Failed { chunk: 0, part: None, epoch: 1, failure });
    let events = ledger.events.len();
    at(&mut ledger, 20, Input::Delete { late_ms: 0 });
    let header = ledger.header();
    assert_eq!((header.state, header.finished_at), (JobState::Failed, Some(START.plus(10))));
    assert!(header.objects_released);
    assert_eq!((erasures(&ledger), ledger.events.len()), (vec![5_020, 10_020], events));
}

#[test]
fn the_path_is_that_of_the_chunk_that_ends_last_and_adds_up() {
    let mut ledger = job(2);
    at(&mut ledger, 0, Input::Probed { media: samples::media() });
    at(&mut ledger, 1_000, Input::Uploaded { chunk: 0 });
    at(&mut ledger, 1_100, Input::Started { chunk: 0, part: None, epoch: 1 });
    at(&mut ledger, 2_000, Input::Uploaded { chunk: 1 });
    at(&mut ledger, 2_500, Input::Started { chunk: 1, part: None, epoch: 1 });
    at(&mut ledger, 4_000, measured(100, 1_400, completed(1, 1)));
    at(&mut ledger, 9_100, measured(1_000, 7_000, completed(0, 1)));
    let header = ledger.header();
    let path = header.path.unwrap();
    assert_eq!((path.chunk, path.upload_ms, path.queue_ms, path.processing_ms), (0, 1_000, 100, 8_000));
    assert_eq!(path.work, Work { decode_ms: 1_000, engine_ms: 7_000, ..Work::default() });
    assert_eq!(path.upload_ms + path.queue_ms + path.processing_ms, path.ended_at.since(header.created_at));
    assert_eq!(header.work, Work { decode_ms: 1_100, engine_ms: 8_400, ..Work::default() });
}

/// The time for which a chunk waits for another one's upload is no time in the queue.
#[test]
fn waiting_for_another_chunk_is_waiting_for_the_upload() {
    let mut ledger = job(2);
    at(&mut ledger, 0, Input::Uploaded { chunk: 0 });
    at(&mut ledger, 10, Input::Started { chunk: 0, part: None, epoch: 1 });
    at(&mut ledger, 20, Input::NeedsChunk { chunk: 0, epoch: 1, needed: 1 });
    at(&mut ledger, 5_000, Input::Uploaded { chunk: 1 });
    assert_eq!(ledger.chunk(0).state, ChunkState::Queued);
    at(&mut ledger, 5_300, Input::Started { chunk: 0, part: None, epoch: 2 });
    at(&mut ledger, 6_000, completed(0, 2));
    let path = ledger.header().path.unwrap();
    assert_eq!((path.upload_ms, path.queue_ms, path.processing_ms), (5_000, 300, 700));
}

/// Work counts once, whoever says it again; that of failed tries counts too.
#[test]
fn only_the_owner_s_work_is_counted() {
    let mut ledger = job(1);
    at(&mut ledger, 0, Input::Uploaded { chunk: 0 });
    at(&mut ledger, 0, Input::Started { chunk: 0, part: None, epoch: 1 });
    let failure = Failure::new(FailureCode::EngineFailed, "Once more.");
    let failed = || Input::Failed { chunk: 0, part: None, epoch: 1, failure: failure.clone() };
    for _ in 0..2 {
        at(&mut ledger, 100, measured(40, 60, failed()));
    }
    assert_eq!(ledger.header().work, Work { decode_ms: 40, engine_ms: 60, ..Work::default() });
    at(&mut ledger, 9_000, measured(5, 5, completed(0, 1)));
    at(&mut ledger, 9_000, measured(30, 70, completed(0, 2)));
    at(&mut ledger, 9_500, measured(30, 70, completed(0, 2)));
    assert_eq!(ledger.header().work, Work { decode_ms: 70, engine_ms: 130, ..Work::default() });
    assert_eq!(ledger.chunk(0).work, ledger.header().work);
    assert_eq!(ledger.header().path.unwrap().ended_at, START.plus(9_000));
}

/// Of tries that failed too: a chunk is from the cache only if nothing had to be computed for it.
#[test]
fn windows_and_hits_are_counted_and_a_chunk_tells_whether_all_of_it_was_known() {
    let told = |ledger: &Ledger| {
        let of_chunk = |event: &Event| {
            let Event::ChunkComplete { chunk_index, from_cache, .. } = event else { return None };
            Some((*chunk_index, *from_cache))
        };
        ledger.events.iter().filter_map(|record| of_chunk(&record.event)).collect::<Vec<_>>()
    };
    let measured = |windows: u32, cache_hits: u32, of: Input| Input::Measured {
        work: Work { windows, cache_hits, ..Work::default() },
        of: Box::new(of),
    };
    let mut ledger = job(4);
    at(&mut ledger, 0, Input::Probed { media: samples::media() });
    for chunk in 0..4 {
        at(&mut ledger, 0, Input::Uploaded { chunk });
    }
    at(&mut ledger, 10, measured(5, 5, completed(0, 1)));
    at(&mut ledger, 20, measured(5, 4, completed(1, 1)));
    // No speech, so nothing was known of it.
    at(&mut ledger, 30, measured(0, 0, completed(2, 1)));
    let failure = Failure::new(FailureCode::EngineFailed, "Once more.");
    at(&mut ledger, 40, measured(2, 0, Input::Failed { chunk: 3, part: None, epoch: 1, failure }));
    at(&mut ledger, 9_000, measured(5, 5, completed(3, 2)));
    assert_eq!(told(&ledger), [(0, true), (1, false), (2, false), (3, false)]);
    let work = ledger.header().work;
    assert_eq!((work.windows, work.cache_hits), (17, 14));
}
