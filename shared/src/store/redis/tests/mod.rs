//! What the store in Redis promises beyond [`crate::testing::store_contract`].

mod claims;
mod cost;
mod crash;
mod damage;
mod ttl;

use super::super::{Commit, Created, EffectKey, Store, StoreError};
use super::RedisStore;
use crate::redis::RedisConfig;
use crate::testing::{RedisCorner, new_id, new_job};
use scriptorium_contracts::job::{self, Input, Step};
use tokio_util::sync::CancellationToken;

async fn connect(config: &RedisConfig) -> RedisStore {
    RedisStore::connect(config, &CancellationToken::new()).await.unwrap()
}

async fn open(config: &RedisConfig) -> Store {
    Store::Redis(connect(config).await)
}

/// A job in the store, and the step of its first upload.
async fn job_and_step(store: &Store) -> (Step, Step) {
    let created = job::create(new_job(new_id(), 3), crate::clock::now());
    assert_eq!(store.create(&created, None).await.unwrap(), Created::New);
    let step = next(&created, Input::Uploaded { chunk: 0 });
    (created, step)
}

/// The step that follows on a step, if all its records are in that one.
fn next(step: &Step, input: Input) -> Step {
    let chunks = step.chunks.iter().map(|record| (record.index, record.clone())).collect();
    job::step(&step.header, &chunks, input, step.header.created_at).unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_promises_of_a_store() {
    let Some(corner) = RedisCorner::new() else { return };
    crate::testing::store_contract(async || open(&corner.part()).await).await;
    corner.clean().await;
}

#[tokio::test]
async fn opened_again_it_has_everything() {
    let Some(corner) = RedisCorner::new() else { return };
    let store = open(&corner.config()).await;
    let (created, step) = job_and_step(&store).await;
    assert_eq!(store.commit(&step).await.unwrap(), Commit::Done);
    let clone = store.clone();
    store.close().await;
    store.close().await;
    assert!(clone.load(created.header.id, &[]).await.is_err());
    let store = open(&corner.config()).await;
    let (header, chunks) = store.load(created.header.id, &[0, 1]).await.unwrap().unwrap();
    assert_eq!((header, &chunks[&0], &chunks[&1]), (step.header, &step.chunks[0], &created.chunks[1]));
    let events = store.events(created.header.id, 0, 10).await.unwrap();
    assert_eq!(events, [created.events, step.events].concat());
    corner.clean().await;
}

/// Every shard has jobs and effects; pages go across them in order.
#[tokio::test(flavor = "multi_thread")]
async fn order_holds_across_shards() {
    let Some(corner) = RedisCorner::new() else { return };
    let store = open(&corner.config()).await;
    let (mut jobs, mut keys) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let (created, step) = job_and_step(&store).await;
        assert_eq!(store.commit(&step).await.unwrap(), Commit::Done);
        jobs.push(created.header.id);
        keys.extend(step.effects.iter().map(|effect| EffectKey {
            due: effect.due,
            job: created.header.id,
            number: effect.number,
        }));
    }
    jobs.sort_unstable();
    keys.sort_unstable();
    for limit in [1, 7, 64, 299, 300, 301, 10_000] {
        let (mut read, mut after) = (Vec::new(), None);
        loop {
            let page = store.jobs_to_sweep(after, limit).await.unwrap();
            read.extend(&page);
            after = read.last().copied();
            if page.len() < limit as usize {
                break;
            }
        }
        assert_eq!(read, jobs, "pages of {limit}");
        let (mut read, mut after) = (Vec::new(), None);
        loop {
            let page =
                store.due_effects(scriptorium_contracts::Timestamp(u64::MAX), after, limit).await.unwrap();
            if page.is_empty() {
                break;
            }
            read.extend(page.into_iter().map(|due| due.key));
            after = read.last().copied();
        }
        assert_eq!(read, keys, "pages of {limit}");
    }
    corner.clean().await;
}

/// The texts that a result of the largest size has go through in one commit.
#[tokio::test]
async fn long_texts() {
    let Some(corner) = RedisCorner::new() else { return };
    let store = open(&corner.config()).await;
    let (_, mut step) = job_and_step(&store).await;
    let mut result = crate::testing::result_of(0);
    result.passages[0].segments[0].text = "wörter ".repeat(2 << 20);
    step.results = vec![(0, result.clone()), (1, result.clone())];
    assert_eq!(store.commit(&step).await.unwrap(), Commit::Done);
    assert_eq!(store.result(step.header.id, 1).await.unwrap(), Some(result));
    corner.clean().await;
}

/// A caller that goes away while it waits leaves a whole write or none, and the store goes on.
#[tokio::test(flavor = "multi_thread")]
async fn callers_may_go_away() {
    let Some(corner) = RedisCorner::new() else { return };
    let store = open(&corner.config()).await;
    for micros in 0..40 {
        let (created, step) = job_and_step(&store).await;
        let _ =
            tokio::time::timeout(std::time::Duration::from_micros(10 * micros), store.commit(&step)).await;
        store.ping().await.unwrap();
        let (header, chunks) = store.load(created.header.id, &[0]).await.unwrap().unwrap();
        let events = store.events(created.header.id, 0, 10).await.unwrap();
        assert_eq!(events.len() as u64, header.last_event);
        assert_eq!(header.revision == 2, chunks[&0] == step.chunks[0]);
    }
    corner.clean().await;
}

#[tokio::test]
async fn a_newer_layout_is_refused() {
    let Some(corner) = RedisCorner::new() else { return };
    drop(open(&corner.config()).await);
    let key = format!("{}:layout", corner.config().prefix);
    redis::cmd("SET").arg(key).arg(99).exec_async(&mut corner.connection().await).await.unwrap();
    let error = RedisStore::connect(&corner.config(), &CancellationToken::new()).await.unwrap_err();
    assert_eq!(error, StoreError::NewerSchema { found: 99, known: 1 });
    corner.clean().await;
}
