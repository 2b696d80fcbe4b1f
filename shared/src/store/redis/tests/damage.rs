//! Keys that are not as they should be.

use super::super::keys::{JobKeys, Keys, due_member, shard};
use super::{job_and_step, next, open};
use crate::store::{Commit, Created, EffectKey, StoreError};
use crate::testing::RedisCorner;
use scriptorium_contracts::Timestamp;
use scriptorium_contracts::job::Input;

async fn run(corner: &RedisCorner, words: &[&str]) {
    let (name, arguments) = words.split_first().unwrap();
    redis::cmd(name).arg(arguments).exec_async(&mut corner.connection().await).await.unwrap();
}

#[tokio::test]
async fn a_damaged_record_is_an_error_of_its_job_alone() {
    let Some(corner) = RedisCorner::new() else { return };
    let store = open(&corner.config()).await;
    let (damaged, damaged_step) = job_and_step(&store).await;
    let (whole, whole_step) = job_and_step(&store).await;
    for step in [&damaged_step, &whole_step] {
        assert_eq!(store.commit(step).await.unwrap(), Commit::Done);
    }
    let job = damaged.header.id;
    let JobKeys { header, chunks, effects, events, .. } = Keys::new(&corner.config().prefix).job(job);
    let number = damaged_step.effects[0].number.to_string();
    run(&corner, &["HSET", &chunks, "1", r#"{"version":1}"#]).await;
    let mut garbage = redis::cmd("HSET");
    garbage.arg(&chunks).arg(2).arg(b"\xff{");
    garbage.exec_async(&mut corner.connection().await).await.unwrap();
    run(&corner, &["HSET", &effects, &number, "short"]).await;
    let of_it = |error: &StoreError| {
        assert!(matches!(error, StoreError::Damaged { job: Some(found), .. } if *found == job), "{error}");
        assert!(!error.retryable());
    };
    assert!(store.load(job, &[0]).await.unwrap().is_some(), "what is whole can be read");
    of_it(&store.load(job, &[1]).await.unwrap_err());
    of_it(&store.load(job, &[2]).await.unwrap_err());
    of_it(&store.chunk_records(job, 0, 10).await.unwrap_err());
    let effects_of = async || {
        let mut effects = store.due_effects(Timestamp(u64::MAX), None, 10).await.unwrap();
        effects.sort_by_key(|due| due.effect.is_err());
        assert_eq!(
            (effects[0].key.job, effects[0].effect.as_ref()),
            (whole.header.id, Ok(&whole_step.effects[0].effect))
        );
        effects
    };
    let found = effects_of().await;
    assert_eq!(found.len(), 2);
    of_it(found[1].effect.as_ref().unwrap_err());

    // Keys of another type: an error before anything is written, and no harm to others.
    run(&corner, &["DEL", &effects]).await;
    run(&corner, &["SET", &effects, "a string"]).await;
    of_it(effects_of().await[1].effect.as_ref().unwrap_err());
    let further = next(&damaged_step, Input::Cancel { reason: String::new() });
    of_it(&store.commit(&further).await.unwrap_err());
    of_it(&store.effect_done(job, 1).await.unwrap_err());
    assert_eq!(store.load(job, &[0]).await.unwrap().unwrap().0, damaged_step.header);
    assert_eq!(store.events(job, 0, 10).await.unwrap().len() as u64, damaged_step.header.last_event);
    run(&corner, &["DEL", &events]).await;
    run(&corner, &["SET", &events, "a string"]).await;
    of_it(&store.events(job, 0, 10).await.unwrap_err());

    run(&corner, &["HSET", &header, "h", "[]"]).await;
    of_it(&store.load(job, &[]).await.unwrap_err());
    run(&corner, &["DEL", &header]).await;
    run(&corner, &["SET", &header, "a string"]).await;
    of_it(&store.load(job, &[]).await.unwrap_err());
    of_it(&store.create(&damaged, None).await.unwrap_err());
    assert_eq!(store.jobs_to_sweep(None, 10).await.unwrap().len(), 2);
    assert_eq!(store.load(whole.header.id, &[]).await.unwrap().unwrap().0, whole_step.header);
    assert_eq!(store.create(&whole, None).await.unwrap(), Created::Existing(whole.header.id));
    corner.clean().await;
}

/// No hole in the log and nothing told twice, whatever a step says.
#[tokio::test]
async fn events_that_do_not_continue_the_log_are_refused() {
    let Some(corner) = RedisCorner::new() else { return };
    let store = open(&corner.config()).await;
    let (created, step) = job_and_step(&store).await;
    let mut twice = step.clone();
    twice.events.insert(0, created.events[0].clone());
    let mut hole = step.clone();
    for event in &mut hole.events {
        event.id += 1;
    }
    let mut inner_hole = step.clone();
    let mut last = step.events.last().unwrap().clone();
    last.id += 2;
    inner_hole.events.push(last);
    for wrong in [&twice, &hole, &inner_hole] {
        let error = store.commit(wrong).await.unwrap_err();
        assert!(!error.retryable(), "{error}");
        let (header, chunks) = store.load(created.header.id, &[0]).await.unwrap().unwrap();
        assert_eq!((header, &chunks[&0]), (created.header.clone(), &created.chunks[0]));
        assert_eq!(store.events(created.header.id, 0, 10).await.unwrap(), created.events);
        assert_eq!(store.due_effects(Timestamp(u64::MAX), None, 10).await.unwrap(), []);
    }
    assert_eq!(store.commit(&step).await.unwrap(), Commit::Done);
    corner.clean().await;
}

/// Members of the index that stand for nothing go away and hide nothing.
#[tokio::test]
async fn an_index_with_too_much_in_it() {
    let Some(corner) = RedisCorner::new() else { return };
    let store = open(&corner.config()).await;
    let (created, step) = job_and_step(&store).await;
    assert_eq!(store.commit(&step).await.unwrap(), Commit::Done);
    let keys = Keys::new(&corner.config().prefix);
    let (job, at) = (created.header.id, shard(created.header.id));
    let lost = due_member(EffectKey { due: Timestamp(1), job, number: 77 });
    run(&corner, &["ZADD", &keys.due(at), "0", &lost, "0", "0 nonsense"]).await;
    run(&corner, &["ZADD", &keys.open(at), "0", "nonsense"]).await;
    for _ in 0..2 {
        let found = store.due_effects(Timestamp(u64::MAX), None, 1).await.unwrap();
        assert_eq!(found.iter().map(|due| due.key.number).collect::<Vec<_>>(), [step.effects[0].number]);
    }
    let mut connection = corner.connection().await;
    let left: u32 = redis::cmd("ZCARD").arg(keys.due(at)).query_async(&mut connection).await.unwrap();
    assert_eq!(left, 2, "the lost one is not looked for again");
    assert_eq!(store.jobs_to_sweep(None, 10).await.unwrap(), [job]);
    corner.clean().await;
}
