//! How long things are kept.

use super::super::keys::{Keys, shard};
use super::{job_and_step, next, open};
use crate::store::{Commit, Created, JobRange};
use crate::testing::{RedisCorner, new_id, new_job};
use scriptorium_contracts::job::{self, Input, Step};

/// Milliseconds left to the keys of a job, by the last part of their names; -1 for ever.
async fn left(corner: &RedisCorner, step: &Step) -> Vec<(String, i64)> {
    let mut connection = corner.connection().await;
    let mut left = Vec::new();
    for key in corner.keys().await {
        if let Some((_, what)) = key.split_once(&format!("{}:", step.header.id)) {
            let ttl: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut connection).await.unwrap();
            left.push((what.to_owned(), ttl));
        }
    }
    left.sort();
    left
}

#[tokio::test]
async fn finished_jobs_are_kept_for_their_time() {
    let Some(corner) = RedisCorner::new() else { return };
    let store = open(&corner.config()).await;
    let (_, step) = job_and_step(&store).await;
    assert_eq!(store.commit(&step).await.unwrap(), Commit::Done);
    let for_ever = |what: &str| (what.to_owned(), -1);
    let all = ["chunks", "effects", "events", "header"].map(for_ever);
    assert_eq!(left(&corner, &step).await, all);

    // Cancelled: final, objects released. What is still to be done is kept until it is done.
    let cancelled = next(&step, Input::Cancel { reason: String::new() });
    assert!(!cancelled.effects.is_empty());
    let mut with_result = cancelled.clone();
    with_result.results = vec![(0, crate::testing::result_of(0))];
    assert_eq!(store.commit(&with_result).await.unwrap(), Commit::Done);
    let ttl = i64::try_from(corner.config().job_ttl.as_millis()).unwrap();
    let ends = left(&corner, &step).await;
    assert_eq!(ends.len(), 5);
    for (what, left) in ends {
        match what.as_str() {
            "effects" => assert_eq!(left, -1),
            _ => assert!(left <= ttl && left > ttl - 60_000, "{what}: {left}"),
        }
    }
    for effect in step.effects.iter().chain(&cancelled.effects) {
        store.effect_done(step.header.id, effect.number).await.unwrap();
    }
    assert!(left(&corner, &step).await.iter().all(|(what, _)| what != "effects"), "nothing is left to do");

    // Open again, as after a retry: kept for ever.
    let mut reopened = cancelled;
    reopened.header.revision += 1;
    reopened.header.state = scriptorium_contracts::job::JobState::Processing;
    (reopened.events, reopened.effects) = (Vec::new(), Vec::new());
    assert_eq!(store.commit(&reopened).await.unwrap(), Commit::Done);
    let kept = ["chunks", "events", "header", "results"].map(for_ever);
    assert_eq!(left(&corner, &step).await, kept);
    assert_eq!(store.jobs_to_sweep(None, 10).await.unwrap(), [step.header.id]);
    corner.clean().await;
}

/// Nothing but the jobs' own keys, the indexes of their shards and the layout is ever made.
#[tokio::test]
async fn finished_jobs_leave_nothing() {
    let Some(corner) = RedisCorner::new() else { return };
    let mut config = corner.config();
    config.job_ttl = std::time::Duration::from_secs(1);
    let store = open(&config).await;
    for _ in 0..3 {
        let (_, step) = job_and_step(&store).await;
        let mut cancelled = next(&step, Input::Cancel { reason: String::new() });
        cancelled.header.revision -= 1;
        cancelled.events = step.events.iter().chain(&cancelled.events).cloned().collect();
        assert_eq!(store.commit(&cancelled).await.unwrap(), Commit::Done);
        for effect in &cancelled.effects {
            store.effect_done(step.header.id, effect.number).await.unwrap();
        }
    }
    let gone = async {
        while corner.keys().await != [format!("{}:layout", config.prefix)] {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), gone).await.expect("everything goes");
    corner.clean().await;
}

/// What has expired is not listed, and goes out of the indexes: with the next commit in its shard, or when a list comes upon it.
#[tokio::test]
async fn expired_jobs_leave_the_list() {
    let Some(corner) = RedisCorner::new() else { return };
    let mut config = corner.config();
    config.job_ttl = std::time::Duration::from_secs(2);
    let store = open(&config).await;
    let keys = Keys::new(&config.prefix);
    let (_, kept) = job_and_step(&store).await;
    let at = shard(kept.header.id);
    // They share the shard of the one that stays open, so that its indexes stay.
    for _ in 0..3 {
        let id = std::iter::repeat_with(new_id).find(|id| shard(*id) == at).unwrap();
        let created = job::create(new_job(id, 3), crate::clock::now());
        assert_eq!(store.create(&created, None).await.unwrap(), Created::New);
        let cancelled = next(&created, Input::Cancel { reason: String::new() });
        assert_eq!(store.commit(&cancelled).await.unwrap(), Commit::Done);
    }
    let listed = async || {
        let page = store.jobs(None, JobRange::default(), 100).await.unwrap();
        page.into_iter().map(|one| one.key.job).collect::<Vec<_>>()
    };
    assert_eq!(listed().await.len(), 4);
    let card = async |key: String| -> u32 {
        redis::cmd("ZCARD").arg(key).query_async(&mut corner.connection().await).await.unwrap()
    };
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    assert_eq!(card(keys.created(at, None)).await, 4, "nobody has come by yet");
    assert_eq!(store.commit(&kept).await.unwrap(), Commit::Done);
    assert_eq!((card(keys.created(at, None)).await, card(keys.shard(at, None).ends).await), (1, 0));
    assert_eq!(listed().await, [kept.header.id]);
    // A header that is lost otherwise (a Redis that evicts) is found by the list.
    let lost = keys.job(kept.header.id).header;
    redis::cmd("DEL").arg(lost).exec_async(&mut corner.connection().await).await.unwrap();
    assert!(listed().await.is_empty());
    assert_eq!(card(keys.created(at, None)).await, 0);
    corner.clean().await;
}
