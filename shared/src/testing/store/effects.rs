//! Remembered effects, and the jobs that the sweep looks at.

use super::super::jobs::{media, new_id, new_job};
use super::{NOON, committed, created, step};
use crate::store::{Commit, Created, DueEffect, EffectKey, Store};
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::{self, Effect, Input, NewJob, PendingEffect};
use scriptorium_contracts::webhook::WebhookTry;
use scriptorium_contracts::{JobId, Timestamp};

const LATER: Timestamp = Timestamp(u64::MAX / 2);

pub(super) async fn remembered_until_done(store: &Store) {
    let (job, other) = (created(store, 3).await.id, created(store, 3).await.id);
    assert_eq!(store.due_effects(LATER, None, 10).await.unwrap(), []);
    let step = committed(store, job, Input::Uploaded { chunk: 0 }, NOON).await;
    committed(store, other, Input::Uploaded { chunk: 0 }, NOON).await;
    let [PendingEffect { number, due, effect }] = step.effects.as_slice() else {
        panic!("the first chunk is published: {:?}", step.effects);
    };
    assert!(matches!(effect, Effect::PublishTask { task } if task.job == job && task.chunk == 0));

    assert_eq!(store.due_effects(Timestamp(due.0 - 1), None, 10).await.unwrap(), [], "not before its time");
    for _ in 0..2 {
        let remembered = store.due_effects(*due, None, 10).await.unwrap();
        assert_eq!(remembered.len(), 2);
        let wanted =
            DueEffect { key: EffectKey { due: *due, job, number: *number }, effect: Ok(effect.clone()) };
        assert!(remembered.contains(&wanted), "{remembered:?}");
    }
    for _ in 0..2 {
        store.effect_done(job, *number).await.unwrap();
        let remembered = store.due_effects(LATER, None, 10).await.unwrap();
        assert_eq!(remembered.iter().map(|due| due.key.job).collect::<Vec<_>>(), [other]);
    }
    store.effect_done(new_id(), 1).await.unwrap();
}

pub(super) async fn due_in_order_and_in_pages(store: &Store) {
    assert_eq!(store.next_due(Timestamp(0)).await.unwrap(), None);
    let mut wanted = Vec::new();
    for at in 0..5u64 {
        let job = created(store, 3).await.id;
        let mut step = step(store, job, Input::Uploaded { chunk: 0 }, NOON).await.unwrap();
        let effect = step.effects.remove(0);
        for number in 1..=4 {
            // Every second is shared by several effects and jobs.
            let due = NOON.plus((at % 2 + number / 2) * 1_000);
            step.effects.push(PendingEffect { number, due, ..effect.clone() });
            wanted.push(EffectKey { due, job, number });
        }
        assert_eq!(store.commit(&step).await.unwrap(), Commit::Done);
    }
    wanted.sort_unstable();
    let until = NOON.plus(2_000);
    let due: Vec<EffectKey> = wanted.iter().copied().filter(|key| key.due <= until).collect();
    assert!(due.len() < wanted.len());

    let (mut read, mut after) = (Vec::new(), None);
    loop {
        let page = store.due_effects(until, after, 3).await.unwrap();
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = Some(last.key);
        // What is done in between does not disturb the paging.
        store.effect_done(last.key.job, last.key.number).await.unwrap();
        read.extend(page.into_iter().map(|due| due.key));
    }
    assert_eq!(read, due);
    assert_eq!(store.next_due(Timestamp(0)).await.unwrap(), Some(NOON));
    assert_eq!(store.next_due(NOON).await.unwrap(), Some(NOON.plus(1_000)));
    assert_eq!(store.next_due(NOON.plus(3_000)).await.unwrap(), None);
}

async fn swept(store: &Store) -> Vec<JobId> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.jobs_to_sweep(after, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { return all };
        after = Some(*last);
        all.extend(page);
    }
}

pub(super) async fn unfinished_jobs_are_swept(store: &Store) {
    assert_eq!(swept(store).await, []);
    let mut wanted = Vec::new();
    for _ in 0..5 {
        wanted.push(created(store, 2).await.id);
    }
    wanted.sort_unstable();
    assert_eq!(swept(store).await, wanted);

    // Failed: final, but its objects are kept for another try.
    let failed = wanted[2];
    committed(store, failed, Input::Uploaded { chunk: 0 }, NOON).await;
    committed(store, failed, Input::Probed { media: media() }, NOON).await;
    let failure = Failure::new(FailureCode::NotAudio, "This is a text.");
    let step =
        committed(store, failed, Input::Failed { chunk: 0, part: None, epoch: 1, failure }, NOON).await;
    assert!(step.header.state.is_final() && !step.header.objects_released);
    assert_eq!(swept(store).await, wanted);
    // Its objects are released in the end.
    committed(store, failed, Input::Tick, NOON.plus(step.header.limits.retention_ms)).await;
    // Cancelled: released at once.
    committed(store, wanted[0], Input::Cancel { reason: String::new() }, NOON).await;
    let left: Vec<JobId> = [1, 3, 4].map(|at| wanted[at]).into();
    assert_eq!(swept(store).await, left);
}

/// What is told to a webhook is kept with the job, and when it is due with the effects.
pub(super) async fn webhooks_are_remembered(store: &Store) {
    let new = NewJob { webhook_url: Some("https://example.org/hook".to_owned()), ..new_job(new_id(), 2) };
    let made = job::create(new, NOON);
    assert_eq!(store.create(&made, None).await.unwrap(), Created::New);
    let job = made.header.id;
    let number_of = async |until: Timestamp| {
        let due = store.due_effects(until, None, 10).await.unwrap();
        let tokens = due.into_iter().filter_map(|due| match due.effect.unwrap() {
            Effect::DeliverWebhook { webhook, token, .. } => Some((webhook, token, due.key.number)),
            Effect::PublishTask { .. }
            | Effect::PublishMerge { .. }
            | Effect::PublishAssembly { .. }
            | Effect::DeleteTemporaryObjects { .. }
            | Effect::FetchSource { .. }
            | Effect::EraseJob { .. } => None,
        });
        tokens.collect::<Vec<_>>()
    };
    committed(store, job, Input::Cancel { reason: String::new() }, NOON).await;
    let [(1, 1, first)] = number_of(NOON).await[..] else { panic!("the end is to be told") };
    committed(store, job, Input::WebhookTaken { webhook: 1, token: 1, by: u64::MAX }, NOON).await;
    store.effect_done(job, first).await.unwrap();
    assert_eq!(number_of(NOON).await, []);
    let outcome = WebhookTry { at: NOON, duration_ms: 12, status: Some(500), error: None };
    let tried = Input::WebhookTried { webhook: 1, token: 2, outcome, retry_after_ms: None, last: false };
    let step = committed(store, job, tried, NOON).await;
    let (header, _) = store.load(job, &[]).await.unwrap().unwrap();
    assert_eq!(header, step.header);
    let due = header.webhooks[0].due.unwrap();
    assert_eq!(number_of(Timestamp(due.0 - 1)).await, []);
    assert!(matches!(number_of(due).await[..], [(1, 3, _)]));
    // With the one for the case that the try had been interrupted.
    assert_eq!(number_of(LATER).await.len(), 2);
}
