//! Headers, chunk records, results, events, idempotency keys.

use super::super::jobs::{media, new_id, new_job, result_of};
use super::{NOON, committed, created, step};
use crate::store::{Commit, Created, Idempotency, MAX_EVENT_PAGE_BYTES, Store};
use scriptorium_contracts::event::{Event, EventRecord};
use scriptorium_contracts::job::{self, ChunkRecord, ChunkState, Input, MAX_CHUNKS};

pub(super) async fn made_and_loaded(store: &Store) {
    let step = job::create(new_job(new_id(), 5), NOON);
    let job = step.header.id;
    assert!(store.load(job, &[0]).await.unwrap().is_none());
    assert_eq!(store.commit(&step).await.unwrap(), Commit::Conflict, "only `create` makes a job");
    assert!(store.load(job, &[0]).await.unwrap().is_none());

    assert_eq!(store.create(&step, None).await.unwrap(), Created::New);
    let (header, chunks) = store.load(job, &[4, 1, 77]).await.unwrap().unwrap();
    assert_eq!(header, step.header);
    assert_eq!(chunks, [1, 4].map(|chunk| (chunk, ChunkRecord::pending(chunk))).into());
    assert_eq!(store.events(job, 0, 10).await.unwrap(), step.events);
    assert_eq!(store.chunk_records(job, 0, 10).await.unwrap(), step.chunks);
    assert!(store.result(job, 0).await.unwrap().is_none());

    // Another job of the same id changes nothing.
    let mut other = step.clone();
    other.header.filename = "other.wav".to_owned();
    assert_eq!(store.create(&other, None).await.unwrap(), Created::Existing(job));
    assert_eq!(store.load(job, &[]).await.unwrap().unwrap().0, step.header);

    let step = committed(store, job, Input::Uploaded { chunk: 3 }, NOON.plus(1)).await;
    let (header, chunks) = store.load(job, &[2, 3]).await.unwrap().unwrap();
    assert_eq!(header, step.header);
    assert_eq!(chunks[&3], step.chunks[0]);
    assert_eq!(chunks[&2], ChunkRecord::pending(2));
}

pub(super) async fn chunk_records_come_in_pages(store: &Store) {
    let (one, other) = (created(store, 7).await, created(store, 3).await);
    committed(store, one.id, Input::Uploaded { chunk: 4 }, NOON).await;
    let page = store.chunk_records(one.id, 0, 3).await.unwrap();
    assert_eq!(page.iter().map(|record| record.index).collect::<Vec<_>>(), [0, 1, 2]);
    let page = store.chunk_records(one.id, 3, 100).await.unwrap();
    assert_eq!(page.iter().map(|record| record.index).collect::<Vec<_>>(), [3, 4, 5, 6]);
    assert_eq!(page[1].state, ChunkState::Uploaded);
    assert!(store.chunk_records(one.id, 7, 100).await.unwrap().is_empty());
    assert_eq!(store.chunk_records(other.id, 0, 100).await.unwrap().len(), 3);
    assert!(store.chunk_records(new_id(), 0, 100).await.unwrap().is_empty());
}

pub(super) async fn results_are_kept(store: &Store) {
    let job = created(store, 2).await.id;
    committed(store, job, Input::Uploaded { chunk: 0 }, NOON).await;
    let result = result_of(0);
    let input = Input::Completed { chunk: 0, epoch: 1, result: Box::new(result.clone()) };
    let mut step = committed(store, job, input, NOON).await;
    assert_eq!(store.result(job, 0).await.unwrap(), Some(result));
    assert_eq!(store.result(job, 1).await.unwrap(), None);
    // The last one counts.
    step.header.revision += 1;
    step.events.clear();
    step.results = vec![(0, result_of(77))];
    assert_eq!(store.commit(&step).await.unwrap(), Commit::Done);
    assert_eq!(store.result(job, 0).await.unwrap(), Some(result_of(77)));
}

pub(super) async fn events_come_in_order(store: &Store) {
    let (job, other) = (created(store, 30).await.id, created(store, 2).await.id);
    committed(store, job, Input::Probed { media: media() }, NOON).await;
    for chunk in 0..30 {
        committed(store, job, Input::Uploaded { chunk }, NOON.plus(u64::from(chunk))).await;
        if chunk < 2 {
            committed(store, other, Input::Uploaded { chunk }, NOON).await;
        }
    }
    let header = store.load(job, &[]).await.unwrap().unwrap().0;
    let mut read: Vec<EventRecord> = Vec::new();
    loop {
        let page = store.events(job, read.len() as u64, 4).await.unwrap();
        assert!(page.len() <= 4);
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    let ids: Vec<u64> = read.iter().map(|event| event.id).collect();
    assert_eq!(ids, (1..=header.last_event).collect::<Vec<_>>());
    assert!(ids.len() > 30);
    assert!(store.events(job, header.last_event, 100).await.unwrap().is_empty());
    assert!(store.events(job, u64::MAX, 100).await.unwrap().is_empty());
    assert!(store.events(new_id(), 0, 100).await.unwrap().is_empty());
    assert_eq!(store.events(job, 2, 1).await.unwrap(), read[2..3]);
}

pub(super) async fn long_events_come_in_pages(store: &Store) {
    let job = created(store, 2).await.id;
    let mut next = step(store, job, Input::Uploaded { chunk: 0 }, NOON).await.unwrap();
    let text = "é".repeat(MAX_EVENT_PAGE_BYTES / 5);
    for id in 2..10 {
        let event = Event::Cancelled { reason: text.clone() };
        next.header.last_event = id;
        next.events = vec![EventRecord { id, at: NOON, event }];
        next.effects.clear();
        assert_eq!(store.commit(&next).await.unwrap(), Commit::Done);
        next.header.revision += 1;
    }
    let (mut last, mut pages) = (0, 0);
    loop {
        let page = store.events(job, last, 1_000).await.unwrap();
        let Some(end) = page.last() else { break };
        let size: usize = page.iter().map(|event| serde_json::to_vec(event).unwrap().len()).sum();
        assert!(size < 2 * MAX_EVENT_PAGE_BYTES, "a page has its bounds");
        assert!(page.iter().map(|event| event.id).eq(last + 1..=end.id));
        (last, pages) = (end.id, pages + 1);
    }
    assert_eq!(last, 9);
    assert!(pages > 1);
}

pub(super) async fn a_conflict_changes_nothing(store: &Store) {
    let job = created(store, 3).await.id;
    committed(store, job, Input::Uploaded { chunk: 0 }, NOON).await;
    let completed = Input::Completed { chunk: 0, epoch: 1, result: Box::new(result_of(0)) };
    let late = step(store, job, completed, NOON).await.unwrap();
    let first = committed(store, job, Input::Cancel { reason: "enough".to_owned() }, NOON).await;
    for _ in 0..2 {
        assert_eq!(store.commit(&late).await.unwrap(), Commit::Conflict);
    }
    assert_eq!(store.commit(&first).await.unwrap(), Commit::Conflict, "a step goes through once");
    let mut early = first.clone();
    early.header.revision += 7;
    assert_eq!(store.commit(&early).await.unwrap(), Commit::Conflict, "a revision is never skipped");

    let (header, chunks) = store.load(job, &[0]).await.unwrap().unwrap();
    assert_eq!(header, first.header);
    assert_eq!(chunks[&0].state, ChunkState::Queued);
    assert_eq!(store.result(job, 0).await.unwrap(), None);
    let events = store.events(job, 0, 100).await.unwrap();
    assert_eq!(events.last(), first.events.last());
    assert_eq!(events.len() as u64, header.last_event);
}

pub(super) async fn the_largest_job(store: &Store) {
    let job = created(store, MAX_CHUNKS).await.id;
    let last = MAX_CHUNKS - 1;
    assert_eq!(store.chunk_records(job, last, 10).await.unwrap(), [ChunkRecord::pending(last)]);
    let (header, chunks) = store.load(job, &[last]).await.unwrap().unwrap();
    let step = job::step(&header, &chunks, Input::Uploaded { chunk: last }, NOON).unwrap().unwrap();
    assert_eq!(store.commit(&step).await.unwrap(), Commit::Done);
    assert!(store.load(job, &[]).await.unwrap().unwrap().0.uploaded.contains(last));
}

pub(super) async fn idempotency_keys(store: &Store) {
    let key = |key: &str, body: &str| Idempotency { key: key.to_owned(), body_hash: body.to_owned() };
    let make = || job::create(new_job(new_id(), 2), crate::clock::now());
    let first = make();
    assert_eq!(store.made_before(&key("a", "body")).await.unwrap(), None);
    assert_eq!(store.create(&first, Some(key("a", "body"))).await.unwrap(), Created::New);
    let before = store.made_before(&key("a", "body")).await.unwrap();
    assert_eq!(before, Some(Created::Existing(first.header.id)));
    assert_eq!(store.made_before(&key("a", "other")).await.unwrap(), Some(Created::KeyReused));
    assert_eq!(store.made_before(&key("b", "body")).await.unwrap(), None);
    let again = make();
    let existing = store.create(&again, Some(key("a", "body"))).await.unwrap();
    assert_eq!(existing, Created::Existing(first.header.id));
    assert_eq!(store.create(&again, Some(key("a", "other"))).await.unwrap(), Created::KeyReused);
    assert!(store.load(again.header.id, &[]).await.unwrap().is_none(), "nothing was written");
    assert_eq!(store.create(&again, Some(key("b", "body"))).await.unwrap(), Created::New);
    assert_eq!(store.create(&make(), None).await.unwrap(), Created::New);
}
