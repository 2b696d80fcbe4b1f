//! Idempotency keys whose makers die, sleep, or come back.

use super::super::script;
use super::{RedisStore, connect, open};
use crate::redis::Request;
use crate::store::{Created, IDEMPOTENCY_MS, Idempotency, StoreError};
use crate::testing::{RedisCorner, new_id, new_job};
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::{self, Step};
use std::time::Duration;

fn key(body: &str) -> Option<Idempotency> {
    Some(Idempotency { key: "a client's key".to_owned(), body_hash: body.to_owned() })
}

fn make() -> Step {
    job::create(new_job(new_id(), 2), crate::clock::now())
}

/// As far as a maker comes who dies before his job is there.
async fn claim_only(store: &RedisStore, job: JobId, body: &str) {
    let key = store.keys.idempotency("a client's key");
    let claim = script::claim(&key, "", &format!("{job} {body}"));
    let holder: String = store.ask(Request::Script(&script::CLAIM, &claim)).await.unwrap();
    assert!(holder.starts_with(&job.to_string()));
}

#[tokio::test]
async fn the_key_of_a_maker_who_died_is_taken_over() {
    let Some(corner) = RedisCorner::new() else { return };
    for body in ["body", "another body"] {
        let store = connect(&corner.part()).await;
        let dead = make();
        claim_only(&store, dead.header.id, body).await;
        let step = make();
        assert_eq!(store.create(&step, key("body")).await.unwrap(), Created::New);
        assert_eq!(store.create(&make(), key("body")).await.unwrap(), Created::Existing(step.header.id));
        assert_eq!(store.create(&make(), key("other")).await.unwrap(), Created::KeyReused);
        // He was not dead, only slow: he learns that another job has been made.
        assert_eq!(store.create(&dead, key("body")).await.unwrap(), Created::Existing(step.header.id));
        assert!(store.load(dead.header.id, &[]).await.unwrap().is_none());
        let error = store.create(&dead, None).await.unwrap_err();
        assert!(matches!(error, StoreError::Internal { .. }), "{error}");
    }
    corner.clean().await;
}

/// A maker who is a little slow is waited for.
#[tokio::test]
async fn a_maker_at_work_is_waited_for() {
    let Some(corner) = RedisCorner::new() else { return };
    let store = connect(&corner.config()).await;
    let slow = make();
    claim_only(&store, slow.header.id, "body").await;
    let other = make();
    let later = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        store.create(&slow, key("body")).await.unwrap()
    };
    let (slow_one, other_one) = tokio::join!(later, store.create(&other, key("body")));
    assert_eq!((slow_one, other_one.unwrap()), (Created::New, Created::Existing(slow.header.id)));
    assert!(store.load(other.header.id, &[]).await.unwrap().is_none());
    corner.clean().await;
}

/// Several find the key of a dead maker at once: one job is made.
#[tokio::test(flavor = "multi_thread")]
async fn many_take_over_at_once() {
    let Some(corner) = RedisCorner::new() else { return };
    let store = connect(&corner.config()).await;
    claim_only(&store, new_id(), "body").await;
    let making = (0..8).map(|_| async {
        let step = make();
        // Who loses the race for the key may be told to try again.
        loop {
            match store.create(&step, key("body")).await {
                Ok(created) => return (created, step.header.id),
                Err(error) => assert!(error.retryable(), "{error}"),
            }
        }
    });
    let made = futures::future::join_all(making).await;
    let new: Vec<JobId> =
        made.iter().filter(|(created, _)| *created == Created::New).map(|(_, job)| *job).collect();
    assert_eq!(new.len(), 1, "{made:?}");
    assert!(made.iter().all(|(created, job)| *job == new[0] || *created == Created::Existing(new[0])));
    assert_eq!(store.jobs_to_sweep(None, 100).await.unwrap(), new);
    corner.clean().await;
}

#[tokio::test]
async fn a_key_is_remembered_for_its_time() {
    let Some(corner) = RedisCorner::new() else { return };
    let store = open(&corner.config()).await;
    assert_eq!(store.create(&make(), key("body")).await.unwrap(), Created::New);
    let keys = corner.keys().await;
    let name = keys.iter().find(|key| key.contains(":idem:")).unwrap();
    let mut connection = corner.connection().await;
    let left: u64 = redis::cmd("PTTL").arg(name).query_async(&mut connection).await.unwrap();
    assert!(left <= IDEMPOTENCY_MS && left > IDEMPOTENCY_MS - 60_000, "{left}");
    // Its value is not ours: an error, and no job.
    redis::cmd("SET").arg(name).arg("nonsense").exec_async(&mut connection).await.unwrap();
    let error = store.create(&make(), key("body")).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    corner.clean().await;
}
