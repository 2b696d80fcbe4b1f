//! Lists of jobs, and jobs that are deleted.

use super::super::jobs::{new_id, new_job, result_of};
use super::{NOON, committed, created};
use crate::store::{Commit, Created, Idempotency, JobKey, JobRange, Order, Store};
use scriptorium_contracts::job::{self, Effect, Input, JobState, NewJob};
use scriptorium_contracts::tenant::TenantName;
use scriptorium_contracts::{JobId, Timestamp};

/// Makes a job at that time.
async fn made(store: &Store, at: u64) -> JobKey {
    let step = job::create(new_job(new_id(), 1), NOON.plus(at));
    assert_eq!(store.create(&step, None).await.unwrap(), Created::New);
    JobKey { created: step.header.created_at, job: step.header.id }
}

/// All pages of a list.
async fn listed(store: &Store, mut range: JobRange, limit: u32) -> Vec<JobKey> {
    let mut all = Vec::new();
    loop {
        let page = store.jobs(None, range, limit).await.unwrap();
        assert!(page.len() <= limit as usize);
        let Some(last) = page.last() else { return all };
        range.after = Some(last.key);
        for one in page {
            let header = one.header.unwrap();
            assert_eq!((header.created_at, header.id), (one.key.created, one.key.job));
            all.push(one.key);
        }
    }
}

pub(super) async fn listed_in_the_order_of_creation(store: &Store) {
    assert_eq!(listed(store, JobRange::default(), 10).await, []);
    let mut keys = Vec::new();
    // Several in each millisecond, and not made in that order.
    for at in [5, 3, 9, 3, 5, 0, 7, 3, 5, 8, 5] {
        keys.push(made(store, at).await);
    }
    keys.sort_unstable();
    for limit in [1, 2, 3, 11, 200] {
        let oldest = JobRange { order: Order::OldestFirst, ..JobRange::default() };
        assert_eq!(listed(store, oldest, limit).await, keys, "pages of {limit}");
        let newest: Vec<JobKey> = keys.iter().rev().copied().collect();
        assert_eq!(listed(store, JobRange::default(), limit).await, newest, "pages of {limit}");
        for (from, until) in [(3, 8), (0, 3), (9, 9), (4, 5), (8, 3)] {
            for order in [Order::NewestFirst, Order::OldestFirst] {
                let range = JobRange { order, from: NOON.plus(from), until: NOON.plus(until), after: None };
                let mut found = listed(store, range, limit).await;
                found.sort_unstable();
                let inside = |key: &JobKey| (range.from..range.until).contains(&key.created);
                let wanted: Vec<JobKey> = keys.iter().copied().filter(inside).collect();
                assert_eq!(found, wanted, "{range:?} in pages of {limit}");
            }
        }
    }
    // A position outside of the range widens nothing.
    for (order, at) in [(Order::NewestFirst, 100), (Order::OldestFirst, 0)] {
        let after = Some(JobKey { created: NOON.plus(at), job: JobId::new(uuid::Uuid::nil()) });
        let range = JobRange { order, after, from: NOON.plus(3), until: NOON.plus(8) };
        assert_eq!(listed(store, range, 3).await.len(), 8);
    }
}

/// Each tenant has a list of its own, and so have the jobs of nobody.
pub(super) async fn each_tenant_has_its_list(store: &Store) {
    let tenants: [Option<TenantName>; 3] =
        [None, Some("acme".parse().unwrap()), Some("acme.2".parse().unwrap())];
    let mut made: [Vec<JobId>; 3] = Default::default();
    for at in 0..30 {
        let of = (at % 3) as usize;
        let new = NewJob { tenant: tenants[of].clone(), ..new_job(new_id(), 1) };
        let step = job::create(new, NOON.plus(at));
        assert_eq!(store.create(&step, None).await.unwrap(), Created::New);
        made[of].push(step.header.id);
    }
    let listed = async |of: usize| -> Vec<JobId> {
        let range = JobRange { order: Order::OldestFirst, ..JobRange::default() };
        let page = store.jobs(tenants[of].as_ref(), range, 100).await.unwrap();
        assert!(page.iter().all(|one| one.header.as_ref().unwrap().tenant == tenants[of]));
        page.into_iter().map(|one| one.key.job).collect()
    };
    // Ended, deleted, or as it was made: it stays in the list in which it is.
    committed(store, made[1][0], Input::Cancel { reason: String::new() }, NOON.plus(50)).await;
    assert!(store.delete(made[2].remove(4)).await.unwrap());
    for (of, jobs) in made.iter().enumerate() {
        assert_eq!(listed(of).await, *jobs);
    }
    let stranger = "acm".parse().unwrap();
    assert!(store.jobs(Some(&stranger), JobRange::default(), 10).await.unwrap().is_empty());
}

/// What changes keeps its place and is told as it is now; a page goes on behind a job that is gone.
pub(super) async fn lists_stand_while_jobs_come_and_go(store: &Store) {
    let mut keys = Vec::new();
    for at in 0..6 {
        keys.push(made(store, at).await);
    }
    committed(store, keys[1].job, Input::Cancel { reason: String::new() }, NOON.plus(50)).await;
    let mut range = JobRange { order: Order::OldestFirst, ..JobRange::default() };
    let page = store.jobs(None, range, 3).await.unwrap();
    assert_eq!(page.iter().map(|one| one.key).collect::<Vec<_>>(), keys[..3]);
    assert_eq!(page[1].header.as_ref().unwrap().state, JobState::Cancelled);
    range.after = Some(keys[2]);
    for gone in [2, 4] {
        assert!(store.delete(keys[gone].job).await.unwrap());
    }
    keys.push(made(store, 6).await);
    assert_eq!(listed(store, range, 2).await, [keys[3], keys[5], keys[6]]);
    // As many gone as a page is long.
    for gone in [3, 5] {
        store.delete(keys[gone].job).await.unwrap();
    }
    assert_eq!(listed(store, range, 2).await, [keys[6]]);
}

pub(super) async fn a_deleted_job_is_gone(store: &Store) {
    let key = |body: &str| Idempotency { key: "a key".to_owned(), body_hash: body.to_owned() };
    let first = job::create(new_job(new_id(), 3), crate::clock::now());
    let job = first.header.id;
    assert_eq!(store.create(&first, Some(key("body"))).await.unwrap(), Created::New);
    let other = created(store, 2).await;
    committed(store, job, Input::Uploaded { chunk: 0 }, NOON).await;
    let result = Box::new(result_of(0));
    committed(store, job, Input::Completed { chunk: 0, epoch: 1, result }, NOON).await;
    let late = super::step(store, job, Input::Uploaded { chunk: 1 }, NOON).await.unwrap();
    let deleted = committed(store, job, Input::Delete { late_ms: 60_000 }, NOON).await;

    assert!(store.delete(job).await.unwrap());
    assert!(!store.delete(job).await.unwrap(), "harmless twice");
    assert!(!store.delete(new_id()).await.unwrap());
    assert!(store.load(job, &[0, 1, 2]).await.unwrap().is_none());
    assert!(store.chunk_records(job, 0, 10).await.unwrap().is_empty());
    assert!(store.result(job, 0).await.unwrap().is_none());
    assert!(store.events(job, 0, 10).await.unwrap().is_empty());
    assert_eq!(store.jobs_to_sweep(None, 10).await.unwrap(), [other.id]);
    assert_eq!(listed(store, JobRange::default(), 10).await.len(), 1);
    // Who is late makes nothing anew.
    for step in [&late, &deleted] {
        assert_eq!(store.commit(step).await.unwrap(), Commit::Conflict);
    }
    assert!(store.load(job, &[]).await.unwrap().is_none());

    // What is to be done for it is kept until it is done.
    let due = store.due_effects(Timestamp(u64::MAX / 2), None, 100).await.unwrap();
    let erasures = due.iter().filter(|due| due.effect == Ok(Effect::EraseJob { job })).count();
    assert_eq!(erasures, 2);
    for effect in due.iter().filter(|due| due.key.job == job) {
        store.effect_done(job, effect.key.number).await.unwrap();
    }
    let left = store.due_effects(Timestamp(u64::MAX / 2), None, 100).await.unwrap();
    assert!(left.iter().all(|due| due.key.job == other.id));

    // The key is free again.
    let again = job::create(new_job(new_id(), 3), crate::clock::now());
    assert_eq!(store.create(&again, Some(key("other body"))).await.unwrap(), Created::New);
    assert!(store.load(other.id, &[0]).await.unwrap().is_some());
}
