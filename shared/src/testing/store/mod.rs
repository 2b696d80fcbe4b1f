//! The promises of [`crate::store`].

mod concurrent;
mod effects;
mod listing;
mod records;

use crate::store::{Commit, Created, Store};
use scriptorium_contracts::job::{self, Input, JobHeader, Step};
use scriptorium_contracts::{JobId, Timestamp};

/// The hour at which the suite's jobs are made; effects are looked for around it.
const NOON: Timestamp = Timestamp(1_800_000_000_000);

pub async fn store_contract(make: impl AsyncFn() -> Store) {
    records::made_and_loaded(&make().await).await;
    records::chunk_records_come_in_pages(&make().await).await;
    records::results_are_kept(&make().await).await;
    records::events_come_in_order(&make().await).await;
    records::long_events_come_in_pages(&make().await).await;
    records::a_conflict_changes_nothing(&make().await).await;
    records::the_largest_job(&make().await).await;
    records::idempotency_keys(&make().await).await;
    effects::remembered_until_done(&make().await).await;
    effects::due_in_order_and_in_pages(&make().await).await;
    effects::unfinished_jobs_are_swept(&make().await).await;
    effects::webhooks_are_remembered(&make().await).await;
    listing::listed_in_the_order_of_creation(&make().await).await;
    listing::each_tenant_has_its_list(&make().await).await;
    listing::lists_stand_while_jobs_come_and_go(&make().await).await;
    listing::a_deleted_job_is_gone(&make().await).await;
    concurrent::one_of_many_commits_goes_through(&make().await).await;
    concurrent::no_advance_is_lost(&make().await).await;
    concurrent::a_load_is_of_one_revision(&make().await).await;
    concurrent::a_key_makes_one_job(&make().await).await;
    let store = make().await;
    store.ping().await.unwrap();
    store.close().await;
    assert!(store.ping().await.is_err(), "a closed store refuses");
}

/// A job in the store.
async fn created(store: &Store, chunks: u32) -> JobHeader {
    let step = job::create(super::jobs::new_job(super::jobs::new_id(), chunks), NOON);
    assert_eq!(store.create(&step, None).await.unwrap(), Created::New);
    step.header
}

/// The step that an input leads to, computed on what is stored now.
async fn step(store: &Store, job: JobId, input: Input, now: Timestamp) -> Option<Step> {
    let all: Vec<u32> = (0..200).collect();
    let (header, chunks) = store.load(job, &all).await.unwrap().unwrap();
    job::step(&header, &chunks, input, now).unwrap()
}

/// Commits what an input leads to.
async fn committed(store: &Store, job: JobId, input: Input, now: Timestamp) -> Step {
    let step = step(store, job, input, now).await.unwrap();
    assert_eq!(store.commit(&step).await.unwrap(), Commit::Done);
    step
}
