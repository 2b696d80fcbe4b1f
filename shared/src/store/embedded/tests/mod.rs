//! What the embedded store promises beyond [`crate::testing::store_contract`].

mod crash;
mod damage;
mod group;

use super::super::{Commit, Created, IDEMPOTENCY_MS, Idempotency, JobRange, Store, StoreError};
use super::{EmbeddedStore, schema};
use crate::testing::{new_id, new_job};
use scriptorium_contracts::Timestamp;
use scriptorium_contracts::job::{self, Input, Step};
use std::path::Path;
use tempfile::TempDir;
use tokio::task::JoinSet;

pub(super) fn open(folder: &Path) -> Store {
    crate::testing::embedded_store(&folder.join("jobs.sqlite"))
}

fn sql(folder: &Path, statements: &str) {
    rusqlite::Connection::open(folder.join("jobs.sqlite")).unwrap().execute_batch(statements).unwrap();
}

/// A job in the store, and the step of its first upload.
async fn job_and_step(store: &Store) -> (Step, Step) {
    let created = job::create(new_job(new_id(), 3), crate::clock::now());
    assert_eq!(store.create(&created, None).await.unwrap(), Created::New);
    let chunks = created.chunks.iter().map(|record| (record.index, record.clone())).collect();
    let input = Input::Uploaded { chunk: 0 };
    let step = job::step(&created.header, &chunks, input, created.header.created_at).unwrap().unwrap();
    (created, step)
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_promises_of_a_store() {
    let folder = TempDir::new().unwrap();
    crate::testing::store_contract(async || {
        let folder = folder.path().join(new_id().to_string());
        std::fs::create_dir(&folder).unwrap();
        open(&folder)
    })
    .await;
}

#[tokio::test]
async fn opened_again_it_has_everything() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let (created, step) = job_and_step(&store).await;
    store.commit(&step).await.unwrap();
    // Once by dropping, once by closing while clones are around.
    drop(store);
    let store = open(folder.path());
    let clone = store.clone();
    store.close().await;
    store.close().await;
    assert_eq!(clone.commit(&step).await, Err(StoreError::Closed));
    assert_eq!(clone.load(created.header.id, &[]).await, Err(StoreError::Closed));

    let store = open(folder.path());
    let (header, chunks) = store.load(created.header.id, &[0, 1]).await.unwrap().unwrap();
    assert_eq!((header, &chunks[&0], &chunks[&1]), (step.header, &step.chunks[0], &created.chunks[1]));
    let events = store.events(created.header.id, 0, 10).await.unwrap();
    assert_eq!(events, [created.events, step.events].concat());
    let effects = store.due_effects(Timestamp(u64::MAX), None, 10).await.unwrap();
    assert_eq!(effects.len(), step.effects.len());
    assert_eq!(effects[0].effect.as_ref(), Ok(&step.effects[0].effect));
}

#[tokio::test]
async fn one_process_at_a_time() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let refused = EmbeddedStore::open(&folder.path().join("jobs.sqlite")).unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
    drop(store);
    open(folder.path());
}

#[tokio::test]
async fn a_place_that_is_not_there() {
    let error = EmbeddedStore::open(Path::new("/nowhere/at/all/jobs.sqlite")).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }) && error.retryable(), "{error}");
}

/// One write of a group fails; the others are not touched by that.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_write_fails_alone_and_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let mut commits = JoinSet::new();
    for at in 0..40 {
        let (created, mut step) = job_and_step(&store).await;
        let fails = at % 2 == 0;
        if fails {
            // An event is never written twice.
            step.events.insert(0, created.events[0].clone());
        }
        let store = store.clone();
        commits.spawn(async move {
            let outcome = store.commit(&step).await;
            let job = step.header.id;
            let (header, chunks) = store.load(job, &[0]).await.unwrap().unwrap();
            let effects = store.due_effects(Timestamp(u64::MAX), None, 1_000).await.unwrap();
            let remembered = effects.iter().any(|due| due.key.job == job);
            if fails {
                assert!(matches!(outcome, Err(StoreError::Internal { .. })), "{outcome:?}");
                assert_eq!((header, &chunks[&0]), (created.header, &created.chunks[0]));
                assert!(!remembered);
            } else {
                assert_eq!(outcome, Ok(Commit::Done));
                assert_eq!((header, &chunks[&0]), (step.header, &step.chunks[0]));
                assert!(remembered);
            }
        });
    }
    while let Some(outcome) = commits.join_next().await {
        outcome.unwrap();
    }
}

#[tokio::test]
async fn an_idempotency_key_expires() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let key = || Some(Idempotency { key: "key".to_owned(), body_hash: "body".to_owned() });
    let make = |at| job::create(new_job(new_id(), 1), Timestamp(at));
    let first = make(1_000);
    assert_eq!(store.create(&first, key()).await.unwrap(), Created::New);
    let late = make(1_000 + IDEMPOTENCY_MS - 1);
    assert_eq!(store.create(&late, key()).await.unwrap(), Created::Existing(first.header.id));
    let later = make(1_000 + IDEMPOTENCY_MS);
    assert_eq!(store.create(&later, key()).await.unwrap(), Created::New);
    store.close().await;

    // Keys that nobody uses again are forgotten bit by bit.
    let connection = rusqlite::Connection::open(folder.path().join("jobs.sqlite")).unwrap();
    let count =
        || -> i64 { connection.query_row("SELECT count(*) FROM idempotency", [], |row| row.get(0)).unwrap() };
    let store = open(folder.path());
    for at in 0..50 {
        let key = Idempotency { key: format!("key {at}"), body_hash: String::new() };
        assert_eq!(store.create(&make(at), Some(key)).await.unwrap(), Created::New);
    }
    assert_eq!(count(), 51);
    for at in 0..20 {
        let key = Idempotency { key: format!("late key {at}"), body_hash: String::new() };
        assert_eq!(store.create(&make(4 * IDEMPOTENCY_MS), Some(key)).await.unwrap(), Created::New);
    }
    assert_eq!(count(), 20);
}

/// A caller that goes away while it waits leaves a whole write or none, and the store goes on.
#[tokio::test(flavor = "multi_thread")]
async fn callers_may_go_away() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    for _ in 0..20 {
        let (created, step) = job_and_step(&store).await;
        let call = tokio::time::timeout(std::time::Duration::from_micros(30), store.commit(&step));
        let _ = call.await;
        store.ping().await.unwrap();
        let (header, chunks) = store.load(created.header.id, &[0]).await.unwrap().unwrap();
        let events = store.events(created.header.id, 0, 10).await.unwrap();
        assert_eq!(events.len() as u64, header.last_event);
        assert_eq!(header.revision == 2, chunks[&0] == step.chunks[0]);
    }
}

/// A file of the first schema: its jobs are listed by their times, also beside one that is damaged.
#[tokio::test]
async fn a_file_of_the_first_schema_is_brought_up_to_date() {
    let folder = TempDir::new().unwrap();
    let steps: Vec<Step> =
        (0..3).map(|at| job::create(new_job(new_id(), 1), Timestamp(1_000 + at))).collect();
    {
        let connection = rusqlite::Connection::open(folder.path().join("jobs.sqlite")).unwrap();
        connection.execute_batch(schema::MIGRATIONS[0]).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        let mut insert = connection.prepare("INSERT INTO jobs VALUES (?1, 1, 1, ?2)").unwrap();
        for step in &steps {
            let header = serde_json::to_string(&step.header).unwrap();
            insert.execute(rusqlite::params![step.header.id.as_uuid().into_bytes(), header]).unwrap();
        }
        for garbage in ["{", "[]", r#"{"created_at":"noon"}"#] {
            insert.execute(rusqlite::params![new_id().as_uuid().into_bytes(), garbage]).unwrap();
        }
    }
    let store = open(folder.path());
    let page = store.jobs(None, JobRange::default(), 10).await.unwrap();
    let (listed, damaged) = page.split_at(3);
    let headers: Vec<_> = listed.iter().map(|one| one.header.as_ref().unwrap()).collect();
    assert_eq!(headers, [&steps[2].header, &steps[1].header, &steps[0].header]);
    assert_eq!(damaged.len(), 3);
    assert!(damaged.iter().all(|one| matches!(one.header, Err(StoreError::Damaged { .. }))));
    assert_eq!(store.load(steps[0].header.id, &[]).await.unwrap().unwrap().0, steps[0].header);
}
