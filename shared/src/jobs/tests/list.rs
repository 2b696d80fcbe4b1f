//! Lists of jobs.

use super::Place;
use super::peers::make;
use crate::jobs::{JobQuery, Jobs};
use crate::store::{JobKey, JobRange, Order};
use crate::testing::{new_id, new_job};
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::{Input, JobState, NewJob};
use std::collections::BTreeSet;
use std::time::Duration;

on_each_store![filters_find_what_they_name, few_among_many_are_found_bit_by_bit, none_is_lost_or_doubled];

/// All pages of a list, and how many pages that were.
async fn all(jobs: &Jobs, mut query: JobQuery, limit: u32) -> (Vec<JobId>, usize) {
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let page = jobs.list(query.clone(), limit).await.unwrap();
        assert!(page.jobs.len() <= limit as usize);
        found.extend(page.jobs.iter().map(|header| header.id));
        pages += 1;
        let Some(next) = page.next else { return (found, pages) };
        query.range.after = Some(next);
    }
}

async fn filters_find_what_they_name(place: &Place) {
    let jobs = place.fresh().await;
    let mut ids = Vec::new();
    for filename in ["Vortrag.mp3", "talk.wav", "Talk 2.wav", "ÄRGER.flac"] {
        let new = NewJob { filename: filename.to_owned(), ..new_job(new_id(), 2) };
        ids.push(new.id);
        jobs.create(new, None).await.unwrap();
    }
    jobs.advance(ids[1], Input::Cancel { reason: String::new() }).await.unwrap();
    jobs.advance(ids[3], Input::Uploaded { chunk: 0 }).await.unwrap();
    let found = async |states: &[JobState], filename: Option<&str>| {
        let range = JobRange { order: Order::OldestFirst, ..JobRange::default() };
        let query = JobQuery {
            range,
            states: states.to_vec(),
            filename: filename.map(str::to_owned),
            ..JobQuery::default()
        };
        let mut found = all(&jobs, query, 2).await.0;
        found.sort_by_key(|id| ids.iter().position(|known| known == id));
        found
    };
    assert_eq!(found(&[], None).await, ids);
    assert_eq!(found(&[JobState::Cancelled], None).await, [ids[1]]);
    assert_eq!(found(&[JobState::Uploading, JobState::Cancelled], None).await, [ids[1], ids[3]]);
    assert_eq!(found(&[JobState::Completed], None).await, []);
    assert_eq!(found(&[], Some("TALK")).await, [ids[1], ids[2]]);
    assert_eq!(found(&[], Some("ärger")).await, [ids[3]]);
    assert_eq!(found(&[JobState::Created], Some("talk")).await, [ids[2]]);
}

/// No page looks at more than a thousand jobs, and all pages together at all.
async fn few_among_many_are_found_bit_by_bit(place: &Place) {
    let jobs = place.fresh().await;
    let rare = make(&jobs, 1).await.id;
    jobs.advance(rare, Input::Cancel { reason: String::new() }).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2)).await;
    let many = (0..1_005).map(|_| make(&jobs, 1));
    futures::future::join_all(many).await;
    let query = JobQuery { states: vec![JobState::Cancelled], ..JobQuery::default() };
    let first = jobs.list(query.clone(), 10).await.unwrap();
    assert_eq!((first.jobs.len(), first.next.is_some()), (0, true));
    assert_eq!(all(&jobs, query, 10).await, (vec![rare], 2));
    let whole = all(&jobs, JobQuery::default(), 200).await;
    assert_eq!((whole.0.len(), whole.1), (1_006, 6));
}

/// While others are made and deleted, each job that is there all the time comes exactly once.
async fn none_is_lost_or_doubled(place: &Place) {
    let jobs = place.fresh().await;
    let (mut staying, mut going) = (BTreeSet::new(), Vec::new());
    for at in 0..300 {
        let id = make(&jobs, 1).await.id;
        if at % 3 == 0 {
            going.push(id);
        } else {
            staying.insert(id);
        }
    }
    for (order, going) in [Order::NewestFirst, Order::OldestFirst].into_iter().zip(going.chunks(50)) {
        let mut going = going.iter();
        let mut query = JobQuery { range: JobRange { order, ..JobRange::default() }, ..JobQuery::default() };
        let (mut seen, mut last): (Vec<JobId>, Option<JobKey>) = (Vec::new(), None);
        loop {
            let page = jobs.list(query.clone(), 7).await.unwrap();
            for header in &page.jobs {
                let key = JobKey { created: header.created_at, job: header.id };
                let ordered = last.is_none_or(|last| match order {
                    Order::NewestFirst => key < last,
                    Order::OldestFirst => key > last,
                });
                assert!(ordered, "{key:?} after {last:?}");
                last = Some(key);
                seen.push(header.id);
            }
            // Also the one at which the next page begins.
            let at_the_end = page.jobs.last().map(|header| header.id).filter(|id| !staying.contains(id));
            for gone in going.by_ref().take(2).copied().chain(at_the_end) {
                jobs.store.delete(gone).await.unwrap();
            }
            if seen.len() < 250 {
                make(&jobs, 1).await;
            }
            let Some(next) = page.next else { break };
            query.range.after = Some(next);
        }
        let distinct: BTreeSet<JobId> = seen.iter().copied().collect();
        assert_eq!(distinct.len(), seen.len(), "told twice");
        assert!(staying.is_subset(&distinct), "lost");
    }
}
