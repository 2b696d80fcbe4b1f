//! Many at once.

use super::super::jobs::{jobs_on, new_id, new_job};
use super::{NOON, created, step};
use crate::store::{Commit, Created, Idempotency, Store};
use scriptorium_contracts::job::{self, ChunkState, Input};
use tokio::task::JoinSet;

pub(super) async fn one_of_many_commits_goes_through(store: &Store) {
    let job = created(store, 64).await.id;
    let mut steps = Vec::new();
    for chunk in 0..64 {
        steps.push((chunk, step(store, job, Input::Uploaded { chunk }, NOON).await.unwrap()));
    }
    let mut commits = JoinSet::new();
    for (chunk, step) in steps {
        let store = store.clone();
        commits.spawn(async move { (chunk, store.commit(&step).await.unwrap()) });
    }
    let outcomes = commits.join_all().await;
    let done: Vec<u32> =
        outcomes.iter().filter(|(_, outcome)| *outcome == Commit::Done).map(|(chunk, _)| *chunk).collect();
    assert_eq!(done.len(), 1);
    let header = store.load(job, &[]).await.unwrap().unwrap().0;
    assert_eq!(header.revision, 2);
    assert_eq!(header.uploaded.iter().collect::<Vec<_>>(), done);
}

/// 64 callers in 8 processes (as far as the locks of `Jobs` are concerned) on one job.
pub(super) async fn no_advance_is_lost(store: &Store) {
    let created = created(store, 64).await;
    let job = created.id;
    let mut callers = JoinSet::new();
    for process in 0..8 {
        let jobs = jobs_on(store.clone());
        for at in 0..8 {
            let (jobs, chunk) = (jobs.clone(), process * 8 + at);
            callers.spawn(async move {
                loop {
                    match jobs.advance(job, Input::Uploaded { chunk }).await {
                        Ok(header) => return assert!(header.uploaded.contains(chunk)),
                        Err(error) => assert!(error.retryable(), "{error}"),
                    }
                }
            });
        }
    }
    callers.join_all().await;
    let header = store.load(job, &[]).await.unwrap().unwrap().0;
    assert_eq!(header.uploaded.len(), 64);
    assert_eq!(header.revision, created.revision + 64, "each went through once");
    let records = store.chunk_records(job, 0, 100).await.unwrap();
    assert!(records.iter().all(|record| record.state != ChunkState::Pending));
    let events = store.events(job, 0, 1_000).await.unwrap();
    assert!(events.iter().map(|event| event.id).eq(1..=header.last_event));
}

pub(super) async fn a_load_is_of_one_revision(store: &Store) {
    let job = created(store, 100).await.id;
    let jobs = jobs_on(store.clone());
    let mut readers = JoinSet::new();
    for _ in 0..4 {
        let store = store.clone();
        readers.spawn(async move {
            let all: Vec<u32> = (0..100).collect();
            loop {
                let (header, chunks) = store.load(job, &all).await.unwrap().unwrap();
                let uploaded = chunks.values().filter(|record| record.state != ChunkState::Pending);
                assert!(header.uploaded.iter().eq(uploaded.map(|record| record.index)));
                if header.uploaded.len() == 100 {
                    return;
                }
            }
        });
    }
    for chunk in 0..100 {
        jobs.advance(job, Input::Uploaded { chunk }).await.unwrap();
        // What is acknowledged is seen by every later read.
        let (header, chunks) = store.load(job, &[chunk]).await.unwrap().unwrap();
        assert!(header.uploaded.contains(chunk) && chunks[&chunk].state != ChunkState::Pending);
    }
    readers.join_all().await;
}

pub(super) async fn a_key_makes_one_job(store: &Store) {
    let mut callers = JoinSet::new();
    for _ in 0..32 {
        let store = store.clone();
        callers.spawn(async move {
            let step = job::create(new_job(new_id(), 3), crate::clock::now());
            let key = Idempotency { key: "once".to_owned(), body_hash: "body".to_owned() };
            match store.create(&step, Some(key)).await.unwrap() {
                Created::New => (true, step.header.id),
                Created::Existing(job) => (false, job),
                Created::KeyReused => panic!("it is the same body"),
            }
        });
    }
    let outcomes = callers.join_all().await;
    let made: Vec<_> = outcomes.iter().filter(|(new, _)| *new).map(|(_, job)| *job).collect();
    assert_eq!(made.len(), 1);
    assert!(outcomes.iter().all(|(_, job)| *job == made[0]));
    assert_eq!(store.jobs_to_sweep(None, 100).await.unwrap(), made);
}
