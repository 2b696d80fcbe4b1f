//! How a job tells its webhook of its end: when it is tried, by whom, how often, and what is remembered of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use scriptorium_contracts::event::Event;
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::{
    Effect, Input, JobState, NewJob, PendingEffect, WEBHOOK_LEASE_MS, webhook_pause_ms,
};
use scriptorium_contracts::webhook::{
    MAX_TRIES_KEPT, MAX_WEBHOOKS, Webhook, WebhookError, WebhookEvent, WebhookState, WebhookTry, receiver,
};
use scriptorium_contracts::{Timestamp, job};
use support::ledger::Ledger;
use support::samples;

const START: Timestamp = Timestamp(1_700_000_000_000);

/// A job that was cancelled at [`START`].
fn ended() -> Ledger {
    let mut ledger = Ledger::new(samples::new_job(), START);
    ledger.apply(Input::Cancel { reason: "enough".to_owned() }, START).unwrap();
    ledger
}

fn message(ledger: &Ledger, number: u32) -> Webhook {
    ledger.header().webhook(number).unwrap().clone()
}

/// Takes the delivery that is remembered, at its time; gives that time and the token.
fn take(ledger: &mut Ledger, number: u32) -> (Timestamp, u32) {
    let Webhook { due, token, .. } = message(ledger, number);
    let due = due.expect("it is pending");
    ledger.apply(Input::WebhookTaken { webhook: number, token, by: 7 }, due).unwrap();
    (due, token + 1)
}

fn answer(ledger: &mut Ledger, number: u32, status: u16) -> Timestamp {
    let (at, token) = take(ledger, number);
    let outcome = WebhookTry { at, duration_ms: 0, status: Some(status), error: None };
    let input = Input::WebhookTried { webhook: number, token, outcome, retry_after_ms: None, last: false };
    ledger.apply(input, at).unwrap();
    at
}

#[test]
fn every_end_is_told_by_its_name() {
    let by_failure = |ledger: &mut Ledger| {
        ledger.apply(Input::Uploaded { chunk: 0 }, START).unwrap();
        let failure = Failure::new(FailureCode::NotAudio, "A picture.");
        ledger.apply(Input::Failed { chunk: 0, part: None, epoch: 1, failure }, START).unwrap();
    };
    let by_time = |ledger: &mut Ledger| {
        ledger.apply(Input::Tick, START.plus(ledger.header().limits.upload_expiry_ms)).unwrap();
    };
    let by_user = |ledger: &mut Ledger| {
        ledger.apply(Input::Cancel { reason: String::new() }, START).unwrap();
    };
    type End<'a> = &'a dyn Fn(&mut Ledger);
    let ends: [(End<'_>, WebhookEvent); 5] = [
        (&|ledger: &mut Ledger| assemble(ledger, false), WebhookEvent::Completed),
        (&|ledger: &mut Ledger| assemble(ledger, true), WebhookEvent::CompletedWithErrors),
        (&by_failure, WebhookEvent::Failed),
        (&by_user, WebhookEvent::Cancelled),
        (&by_time, WebhookEvent::Expired),
    ];
    for (end, event) in ends {
        let mut ledger = Ledger::new(samples::new_job(), START);
        end(&mut ledger);
        let header = ledger.header();
        let [webhook] = header.webhooks.as_slice() else { panic!("{:?}", header.webhooks) };
        assert_eq!((webhook.number, webhook.event, webhook.state), (1, event, WebhookState::Pending));
        assert_eq!(webhook.due, header.finished_at);
        assert_eq!(WebhookEvent::of(header.state), Some(event));
    }
    let mut quiet = Ledger::new(job::NewJob { webhook_url: None, ..samples::new_job() }, START);
    quiet.apply(Input::Cancel { reason: String::new() }, START).unwrap();
    assert!(quiet.header().webhooks.is_empty() && quiet.deliveries.is_empty());
}

/// Brings the job to its end with a transcript, with a gap or without one.
fn assemble(ledger: &mut Ledger, gap: bool) {
    for chunk in 0..5 {
        ledger.apply(Input::Uploaded { chunk }, START).unwrap();
    }
    ledger.apply(Input::Probed { media: samples::media() }, START).unwrap();
    for chunk in 0..5 {
        let (epoch, result) = (ledger.chunk(chunk).epoch, Box::new(samples::result_of(chunk)));
        ledger.apply(Input::Completed { chunk, epoch, result }, START).unwrap();
    }
    let mut summary = samples::summary();
    if !gap {
        summary.gaps.clear();
    }
    let epoch = ledger.header().assembly_epoch;
    ledger.apply(Input::Assembled { epoch, text: "All.".to_owned(), summary }, START).unwrap();
    assert!(ledger.header().state.is_final());
}

/// 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h, each up to a fifth longer: a day and some hours, and then it is given up.
#[test]
fn the_pauses_grow_over_a_day() {
    let wanted = [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000].map(|seconds| seconds * 1_000);
    for seed in 0..500 {
        for (attempt, least) in (1..).zip(wanted) {
            let pause = webhook_pause_ms(attempt, None, seed).unwrap();
            assert!((least..=least * 6 / 5).contains(&pause), "{attempt}: {pause}");
        }
    }
    let spread: std::collections::BTreeSet<_> =
        (0..100).map(|seed| webhook_pause_ms(2, None, seed)).collect();
    assert!(spread.len() > 80, "jobs that end together do not come back together");
    for none in [0, 8, 9, u32::MAX] {
        assert_eq!(webhook_pause_ms(none, Some(5), 1), None);
    }
    // What the receiver asks for is obeyed, if it asks for more, and for at most half a day.
    assert!((60_000..=72_000).contains(&webhook_pause_ms(1, Some(60_000), 3).unwrap()));
    assert!((300_000..=360_000).contains(&webhook_pause_ms(2, Some(1_000), 3).unwrap()));
    assert!((43_200_000..=51_840_000).contains(&webhook_pause_ms(1, Some(u64::MAX), 3).unwrap()));
}

#[test]
fn a_day_of_failures_is_given_up_and_told() {
    let mut ledger = ended();
    let body = message(&ledger, 1).body(samples::job()).unwrap();
    let mut last = START;
    for attempt in 1..=8 {
        assert_eq!(message(&ledger, 1).state, WebhookState::Pending);
        last = answer(&mut ledger, 1, 500);
        assert_eq!(message(&ledger, 1).tries.len(), attempt);
        assert_eq!(message(&ledger, 1).body(samples::job()).unwrap(), body);
    }
    let end = message(&ledger, 1);
    assert_eq!((end.state, end.due, end.holder), (WebhookState::GivenUp, None, None));
    let hours = last.since(START) as f64 / 3_600_000.0;
    assert!((27.0..34.0).contains(&hours), "{hours}");
    // Time alone has nothing sent any more; a person does, with all tries.
    assert!(
        !ledger.apply(Input::WebhookTaken { webhook: 1, token: end.token, by: 1 }, last).unwrap().changed
    );
    for again in [true, false] {
        let changed = ledger.apply(Input::RedeliverWebhook { webhook: 1 }, last).unwrap().changed;
        assert_eq!(changed, again, "asking twice is asking once");
    }
    answer(&mut ledger, 1, 500);
    answer(&mut ledger, 1, 204);
    let end = message(&ledger, 1);
    assert_eq!((end.state, end.tries.len()), (WebhookState::Delivered, 10));
    // Also what was delivered may be asked for again.
    for _ in 0..10 {
        ledger.apply(Input::RedeliverWebhook { webhook: 1 }, last.plus(86_400_000)).unwrap();
        answer(&mut ledger, 1, 200);
    }
    assert_eq!(message(&ledger, 1).tries.len(), MAX_TRIES_KEPT);
    assert!(!ledger.apply(Input::RedeliverWebhook { webhook: 2 }, last).unwrap().changed);
}

#[test]
fn a_receiver_known_to_take_nothing_is_tried_once() {
    let mut ledger = ended();
    let tried = |ledger: &mut Ledger, status| {
        let (at, token) = take(ledger, 1);
        let outcome = WebhookTry { at, duration_ms: 0, status: Some(status), error: None };
        let input = Input::WebhookTried { webhook: 1, token, outcome, retry_after_ms: None, last: true };
        ledger.apply(input, at).unwrap();
        at
    };
    let at = tried(&mut ledger, 500);
    let given_up = message(&ledger, 1);
    assert_eq!((given_up.state, given_up.due, given_up.attempts), (WebhookState::GivenUp, None, 1));
    // By hand it is tried once more, and it may have come to life.
    ledger.apply(Input::RedeliverWebhook { webhook: 1 }, at).unwrap();
    tried(&mut ledger, 204);
    assert_eq!(message(&ledger, 1).state, WebhookState::Delivered);
}

#[test]
fn a_new_job_is_told_of_a_receiver_that_takes_nothing() {
    let since_ms = Timestamp(1_700_000_000_000);
    let new = NewJob { webhook_disabled_since: Some(since_ms), ..samples::new_job() };
    let step = job::create(new, since_ms.plus(7));
    let events: Vec<_> = step.events.iter().map(|record| (record.id, &record.event)).collect();
    assert!(matches!(events[..], [(1, Event::Initialized { .. }), (2, Event::WebhookDisabled { .. })]));
    assert_eq!(step.header.last_event, 2);
}

#[test]
fn of_two_who_take_it_one_tries() {
    let mut ledger = ended();
    let taken = |by| Input::WebhookTaken { webhook: 1, token: 1, by };
    assert!(!ledger.apply(taken(1), Timestamp(START.0 - 1)).unwrap().changed, "not before its time");
    assert!(ledger.apply(taken(1), START).unwrap().changed);
    assert!(!ledger.apply(taken(2), START).unwrap().changed);
    assert_eq!(message(&ledger, 1).holder.unwrap().by, 1);
    assert!(!ledger.apply(Input::RedeliverWebhook { webhook: 1 }, START).unwrap().changed, "it is under way");
    let tried = |token, status| {
        let outcome = WebhookTry { at: START, duration_ms: 9, status, error: None };
        Input::WebhookTried { webhook: 1, token, outcome, retry_after_ms: None, last: false }
    };
    assert!(!ledger.apply(tried(1, Some(200)), START).unwrap().changed, "of an older token");
    assert!(ledger.apply(tried(2, Some(200)), START).unwrap().changed);
    assert!(!ledger.apply(tried(2, Some(500)), START).unwrap().changed, "told twice");
    assert_eq!(message(&ledger, 1).state, WebhookState::Delivered);
}

/// The process that tries dies each time: the next one goes on when the lease has ended, and not for ever.
#[test]
fn an_interrupted_try_is_made_again() {
    let mut ledger = ended();
    let (at, late) = take(&mut ledger, 1);
    let Webhook { due, token, .. } = message(&ledger, 1);
    assert_eq!(due, Some(at.plus(WEBHOOK_LEASE_MS)));
    let early = Input::WebhookTaken { webhook: 1, token, by: 8 };
    assert!(!ledger.apply(early, at.plus(WEBHOOK_LEASE_MS - 1)).unwrap().changed);
    for _ in 0..8 {
        take(&mut ledger, 1);
    }
    let end = message(&ledger, 1);
    assert_eq!((end.state, end.tries.len()), (WebhookState::GivenUp, 8));
    assert!(end.tries.iter().all(|one| one.error == Some(WebhookError::Interrupted)));
    let outcome = WebhookTry { at, duration_ms: 9, status: Some(200), error: None };
    let input = Input::WebhookTried { webhook: 1, token: late, outcome, retry_after_ms: None, last: false };
    assert!(!ledger.apply(input, at).unwrap().changed, "too late");
}

#[test]
fn a_receiver_that_wants_no_more_gets_no_more() {
    let mut ledger = Ledger::new(samples::new_job(), START);
    fail_and_reopen(&mut ledger, 1, |ledger| {
        answer(ledger, 1, 410);
    });
    ledger.apply(Input::Cancel { reason: String::new() }, START.plus(9)).unwrap();
    let states: Vec<_> = ledger.header().webhooks.iter().map(|one| (one.number, one.state)).collect();
    assert_eq!(states, [(1, WebhookState::Gone), (2, WebhookState::Gone)]);
    assert!(ledger.deliveries.iter().all(|(number, _)| *number == 1));
    ledger.apply(Input::RedeliverWebhook { webhook: 2 }, START.plus(10)).unwrap();
    answer(&mut ledger, 2, 200);
    assert_eq!(message(&ledger, 2).state, WebhookState::Delivered);
}

/// Fails the job by its only chunk that is uploaded, and has it tried again.
fn fail_and_reopen(ledger: &mut Ledger, epoch: u32, between: impl Fn(&mut Ledger)) {
    if epoch == 1 {
        ledger.apply(Input::Uploaded { chunk: 0 }, START).unwrap();
    }
    let failure = Failure::new(FailureCode::NotAudio, "A picture.");
    ledger.apply(Input::Failed { chunk: 0, part: None, epoch, failure }, START.plus(5)).unwrap();
    assert_eq!(ledger.header().state, JobState::Failed);
    between(ledger);
    ledger.apply(Input::Retry { chunk: 0 }, START.plus(6)).unwrap();
    assert!(!ledger.header().state.is_final());
}

/// What is on its way is delivered, although the job goes on; and a job with many ends stays small.
#[test]
fn each_end_has_its_message() {
    let mut ledger = Ledger::new(samples::new_job(), START);
    fail_and_reopen(&mut ledger, 1, |_| {});
    let first = message(&ledger, 1);
    answer(&mut ledger, 1, 500);
    for round in 2..=20 {
        let epoch = ledger.chunk(0).epoch;
        assert_eq!(epoch, round);
        fail_and_reopen(&mut ledger, epoch, |_| {});
        if round == 3 {
            answer(&mut ledger, 1, 200);
            assert_eq!(body(&message(&ledger, 1)), body(&first));
        }
    }
    let numbers: Vec<u32> = ledger.header().webhooks.iter().map(|one| one.number).collect();
    assert_eq!(numbers, (13..=20).collect::<Vec<u32>>());
    assert_eq!(numbers.len(), MAX_WEBHOOKS);
    // The effects of those that are forgotten lead to nothing.
    let forgotten = Input::WebhookTaken { webhook: 2, token: 1, by: 1 };
    assert!(!ledger.apply(forgotten, START.plus(9_999)).unwrap().changed);
}

fn body(webhook: &Webhook) -> Vec<u8> {
    webhook.body(samples::job()).unwrap()
}

#[test]
fn ids_and_receivers() {
    let ledger = ended();
    assert_eq!(message(&ledger, 1).id(samples::job()), "msg_018c2f5e7d3a7b1c9f000123456789ab_1");
    for (url, wanted) in [
        ("https://example.org/hook", "example.org"),
        ("https://example.org:8443?a=b/c", "example.org:8443"),
        ("http://[::1]:80#x", "[::1]:80"),
        ("https://example.org", "example.org"),
        ("strange", "strange"),
        ("", ""),
    ] {
        assert_eq!(receiver(url), wanted);
    }
    let wanted = PendingEffect {
        number: 1,
        due: START,
        effect: Effect::DeliverWebhook {
            job: samples::job(),
            webhook: 1,
            token: 1,
            receiver: "example.org".to_owned(),
        },
    };
    assert_eq!(ledger.effects.get(&1), Some(&wanted));
}
