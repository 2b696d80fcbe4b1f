//! The promises of [`crate::tenants`].

use super::jobs::new_id;
use crate::tenants::{
    Added, Bounds, Directory, Entry, KeyState, Ledger, Look, MAX_KEYS, NewKey, PresentedKey, Quota,
    RECEIVER_MEMORY_MS, Receiver, Reserved, Swapped, day_of,
};
use futures::{StreamExt, stream};
use scriptorium_contracts::signing::{SecretText, SigningSecret, SigningSecrets};
use scriptorium_contracts::tenant::{KeyRecord, TenantLimits, TenantName};
use scriptorium_contracts::{JobId, Timestamp};
use std::collections::BTreeSet;

/// Noon of a day.
const NOON: Timestamp = Timestamp(1_800_014_400_000);
const DAY_MS: u64 = 86_400_000;

pub async fn directory_contract(make: impl AsyncFn() -> Directory) {
    keys_are_found_and_revoked(&make().await).await;
    past_keys_make_room_for_new_ones(&make().await).await;
    tenants_have_limits_of_their_own(&make().await).await;
    signing_secrets_are_swapped_as_a_whole(&make().await).await;
    receivers_are_disabled_and_come_back(&make().await).await;
    sums_stay_within_their_bounds(&make().await).await;
    a_day_of_audio(&make().await).await;
    entries_are_looked_at_in_turn(&make().await).await;
    many_reserve_at_once(&make().await).await;
    let directory = make().await;
    directory.close().await;
    assert!(directory.keys().await.is_err(), "a closed directory refuses");
}

fn tenant(name: &str) -> TenantName {
    name.parse().unwrap()
}

async fn added(directory: &Directory, name: &str, now: Timestamp, end: Option<Timestamp>) -> NewKey {
    let key = NewKey::random(tenant(name), Some(format!("for {name}")), now, end);
    assert_eq!(directory.add_key(&key.record).await.unwrap(), Added::Done);
    key
}

async fn keys_are_found_and_revoked(directory: &Directory) {
    assert_eq!(directory.keys().await.unwrap(), []);
    let first = added(directory, "acme", NOON, None).await;
    let second = added(directory, "other", NOON.plus(1), Some(NOON.plus(100))).await;
    let valid = |record: &KeyRecord| KeyState { record: record.clone(), revoked_at: None };
    let all = [valid(&first.record), valid(&second.record)];
    assert_eq!(directory.keys().await.unwrap(), all);
    for (key, state) in [(&first, &all[0]), (&second, &all[1])] {
        let shown = PresentedKey::parse(&key.text).unwrap();
        let found = directory.key(&shown.id).await.unwrap().unwrap();
        assert_eq!(&found, state);
        assert!(shown.is(&found.record));
    }
    assert!(all[1].is_valid(NOON.plus(99)) && !all[1].is_valid(NOON.plus(100)));
    // Added again, as by a command whose first answer was lost, it stays as it is.
    let other = KeyRecord { tenant: tenant("thief"), ..first.record.clone() };
    assert_eq!(directory.add_key(&other).await.unwrap(), Added::Done);
    assert_eq!(directory.key(&first.record.id).await.unwrap(), Some(valid(&first.record)));

    assert_eq!(directory.key("0000000000000000").await.unwrap(), None);
    assert_eq!(directory.revoke("0000000000000000", NOON).await.unwrap(), None);
    for _ in 0..2 {
        let revoked = directory.revoke(&first.record.id, NOON.plus(7)).await.unwrap();
        assert_eq!(revoked, Some(NOON.plus(7)));
    }
    assert_eq!(directory.revoke(&first.record.id, NOON.plus(8)).await.unwrap(), Some(NOON.plus(7)));
    let found = directory.key(&first.record.id).await.unwrap().unwrap();
    assert_eq!(found.revoked_at, Some(NOON.plus(7)));
    assert!(!found.is_valid(NOON));
    assert_eq!(directory.keys().await.unwrap()[0], found);
    assert!(directory.key(&second.record.id).await.unwrap().unwrap().is_valid(NOON));
}

async fn past_keys_make_room_for_new_ones(directory: &Directory) {
    // All but two end a moment after noon.
    let (valid, revoked) =
        (added(directory, "acme", NOON, None).await, added(directory, "acme", NOON, None).await);
    let ending = (2..MAX_KEYS).map(|_| added(directory, "acme", NOON, Some(NOON.plus(1))));
    stream::iter(ending).buffer_unordered(128).collect::<Vec<_>>().await;
    directory.revoke(&revoked.record.id, NOON.plus(1)).await.unwrap();
    let month = NOON.plus(30 * DAY_MS);
    let new = |at| NewKey::random(tenant("acme"), None, at, None).record;
    assert_eq!(directory.add_key(&new(month)).await.unwrap(), Added::Full);
    let later = new(month.plus(1));
    assert_eq!(directory.add_key(&later).await.unwrap(), Added::Done);
    let left: BTreeSet<String> =
        directory.keys().await.unwrap().into_iter().map(|key| key.record.id).collect();
    assert_eq!(left, BTreeSet::from([valid.record.id, later.id]));
}

async fn tenants_have_limits_of_their_own(directory: &Directory) {
    let (acme, other) = (tenant("acme"), tenant("acme.2"));
    assert_eq!(directory.limits(&acme).await.unwrap(), TenantLimits::default());
    let limits =
        TenantLimits { concurrent_jobs: Some(0), storage_bytes: Some(1 << 50), ..Default::default() };
    assert_eq!(directory.set_limits(&acme, limits).await.unwrap(), Added::Done);
    assert_eq!(directory.limits(&acme).await.unwrap(), limits);
    assert_eq!(directory.limits(&other).await.unwrap(), TenantLimits::default());
    directory.set_limits(&acme, TenantLimits::default()).await.unwrap();
    assert_eq!(directory.limits(&acme).await.unwrap(), TenantLimits::default());
}

async fn signing_secrets_are_swapped_as_a_whole(directory: &Directory) {
    let (acme, other) = (tenant("acme"), tenant("other"));
    let secret = |id: &str| {
        let secret = SecretText::new(format!("whsec_{id}"));
        SigningSecret { id: id.to_owned(), secret, created_at: NOON, ends_at: None }
    };
    let none = SigningSecrets::default();
    assert_eq!(directory.signing(&acme).await.unwrap(), none);
    let one = none.rotated(secret("a"), NOON, 100).unwrap();
    for _ in 0..2 {
        // The second time is a repetition.
        assert_eq!(directory.swap_signing(&acme, &none, &one).await.unwrap(), Swapped::Done);
        assert_eq!(directory.signing(&acme).await.unwrap(), one);
    }
    assert_eq!(directory.signing(&other).await.unwrap(), none);
    // Two rotate at once: the second one has read what is there no more.
    let (mine, theirs) =
        (one.rotated(secret("b"), NOON, 100).unwrap(), one.rotated(secret("c"), NOON, 100).unwrap());
    assert_eq!(directory.swap_signing(&acme, &one, &mine).await.unwrap(), Swapped::Done);
    assert_eq!(directory.swap_signing(&acme, &one, &theirs).await.unwrap(), Swapped::Changed);
    assert_eq!(directory.signing(&acme).await.unwrap(), mine);
    let less = mine.without("a").unwrap();
    assert_eq!(directory.swap_signing(&acme, &mine, &less).await.unwrap(), Swapped::Done);
    let gone = less.without("b").unwrap();
    assert_eq!(directory.swap_signing(&acme, &less, &gone).await.unwrap(), Swapped::Done);
    assert_eq!(directory.signing(&acme).await.unwrap(), none);
}

async fn receivers_are_disabled_and_come_back(directory: &Directory) {
    let (acme, url) = (tenant("acme"), "https://example.org/hook?token=secret");
    let receiver = Receiver::of(Some(&acme), url);
    let others = [Receiver::of(None, url), Receiver::of(Some(&acme), "https://example.org/hook")];
    assert_eq!(directory.disabled_since(&receiver, NOON).await.unwrap(), None);
    directory.disable(&receiver, NOON).await.unwrap();
    let later = NOON.plus(DAY_MS);
    directory.disable(&receiver, later).await.unwrap();
    assert_eq!(directory.disabled_since(&receiver, later).await.unwrap(), Some(NOON), "the first time");
    for other in &others {
        assert_eq!(directory.disabled_since(other, later).await.unwrap(), None);
    }
    let last = NOON.plus(RECEIVER_MEMORY_MS);
    assert_eq!(directory.disabled_since(&receiver, last).await.unwrap(), Some(NOON));
    assert_eq!(directory.disabled_since(&receiver, last.plus(1)).await.unwrap(), None);
    directory.enable(&receiver).await.unwrap();
    directory.enable(&receiver).await.unwrap();
    assert_eq!(directory.disabled_since(&receiver, later).await.unwrap(), None);
}

fn entry(bytes: u64) -> Entry {
    Entry { job: new_id(), bytes, at: NOON }
}

async fn sums(directory: &Directory, name: &str) -> (u32, u64) {
    let ledger = directory.ledger(&tenant(name), day_of(NOON)).await.unwrap();
    (ledger.open_jobs, ledger.bytes)
}

const fn there(open: bool, kept: bool, audio_ms: u64) -> Look {
    Look::There { open, kept, audio_ms }
}

async fn sums_stay_within_their_bounds(directory: &Directory) {
    let acme = tenant("acme");
    let bounds = Bounds { open_jobs: Some(2), bytes: Some(1_000), audio_ms_per_day: None };
    let (first, second) = (entry(400), entry(500));
    for _ in 0..2 {
        // The second time is a repetition.
        assert_eq!(directory.reserve(&acme, first, bounds).await.unwrap(), Reserved::Done);
    }
    let ledger = |open_jobs, bytes| Ledger { open_jobs, bytes, audio_ms: 0 };
    let large = directory.reserve(&acme, entry(601), bounds).await.unwrap();
    assert_eq!(large, Reserved::Refused(Quota::Bytes, ledger(1, 400)));
    assert_eq!(directory.reserve(&acme, second, bounds).await.unwrap(), Reserved::Done);
    let third = entry(1);
    let refused = directory.reserve(&acme, third, bounds).await.unwrap();
    assert_eq!(refused, Reserved::Refused(Quota::OpenJobs, ledger(2, 900)));
    assert_eq!(sums(directory, "acme").await, (2, 900));
    // Another tenant is another ledger; without bounds all goes.
    assert_eq!(directory.reserve(&tenant("other"), third, Bounds::default()).await.unwrap(), Reserved::Done);
    assert_eq!(sums(directory, "other").await, (1, 1));

    // Over, but its chunks are kept: it takes up bytes and no place.
    directory.look(&acme, first.job, there(false, true, 0), NOON).await.unwrap();
    assert_eq!(sums(directory, "acme").await, (1, 900));
    // Open again, as after a retry.
    directory.look(&acme, first.job, there(true, true, 0), NOON).await.unwrap();
    assert_eq!(sums(directory, "acme").await, (2, 900));
    for _ in 0..2 {
        directory.look(&acme, first.job, there(false, false, 0), NOON).await.unwrap();
        assert_eq!(sums(directory, "acme").await, (1, 500));
        directory.look(&acme, first.job, there(true, true, 0), NOON).await.unwrap();
        assert_eq!(sums(directory, "acme").await, (1, 500), "what is out stays out");
    }
    directory.look(&tenant("other"), second.job, Look::Gone, NOON).await.unwrap();
    assert_eq!(sums(directory, "acme").await, (1, 500), "nobody looks into another's ledger");
    directory.look(&acme, second.job, Look::Gone, NOON).await.unwrap();
    assert_eq!(sums(directory, "acme").await, (0, 0));
}

async fn a_day_of_audio(directory: &Directory) {
    let acme = tenant("acme");
    let bounds = Bounds { audio_ms_per_day: Some(60_000), ..Bounds::default() };
    let audio = async |day: u64| directory.ledger(&acme, day).await.unwrap().audio_ms;
    let (today, tomorrow) = (day_of(NOON), day_of(NOON) + 1);
    let (first, second) = (entry(1), entry(1));
    for one in [first, second] {
        assert_eq!(directory.reserve(&acme, one, bounds).await.unwrap(), Reserved::Done);
    }
    // A job tells more and more, and at last less than its container had promised.
    for (told, sum) in [(0, 0), (10_000, 10_000), (10_000, 10_000), (50_000, 50_000), (40_000, 40_000)] {
        directory.look(&acme, first.job, there(true, true, told), NOON.plus(DAY_MS)).await.unwrap();
        assert_eq!(audio(today).await, sum);
    }
    directory.look(&acme, first.job, there(false, false, 45_000), NOON).await.unwrap();
    directory.look(&acme, second.job, there(true, true, 15_000), NOON).await.unwrap();
    // What is gone has been heard all the same.
    directory.look(&acme, second.job, Look::Gone, NOON).await.unwrap();
    assert_eq!((audio(today).await, audio(tomorrow).await), (60_000, 0));
    let refused = directory.reserve(&acme, entry(1), bounds).await.unwrap();
    let ledger = Ledger { open_jobs: 0, bytes: 0, audio_ms: 60_000 };
    assert_eq!(refused, Reserved::Refused(Quota::Audio, ledger));
    let next_day = Entry { at: NOON.plus(DAY_MS), ..entry(1) };
    assert_eq!(directory.reserve(&acme, next_day, bounds).await.unwrap(), Reserved::Done);
    assert_eq!(audio(today).await, 60_000);
    // Days that are long past are forgotten.
    let later = Entry { at: NOON.plus(9 * DAY_MS), ..entry(1) };
    assert_eq!(directory.reserve(&acme, later, bounds).await.unwrap(), Reserved::Done);
    assert_eq!(audio(today).await, 0);
}

async fn entries_are_looked_at_in_turn(directory: &Directory) {
    let acme = tenant("acme");
    assert_eq!(directory.stale(&acme, 10).await.unwrap(), []);
    let mut entries: Vec<Entry> = (0..5).map(|at| Entry { at: NOON.plus(at), ..entry(1) }).collect();
    for one in &entries {
        directory.reserve(&acme, *one, Bounds::default()).await.unwrap();
    }
    let jobs = async |limit: u32| -> Vec<JobId> {
        directory.stale(&acme, limit).await.unwrap().into_iter().map(|one| one.job).collect()
    };
    let of = |entries: &[Entry]| entries.iter().map(|one| one.job).collect::<Vec<JobId>>();
    assert_eq!(jobs(10).await, of(&entries));
    assert_eq!(directory.stale(&acme, 1).await.unwrap()[0].at, NOON);
    directory.look(&acme, entries[0].job, there(true, true, 0), NOON.plus(50)).await.unwrap();
    entries.rotate_left(1);
    assert_eq!(jobs(10).await, of(&entries));
    assert_eq!(jobs(2).await, of(&entries[..2]));
    assert_eq!(jobs(0).await, []);
    directory.look(&acme, entries[0].job, Look::Gone, NOON).await.unwrap();
    assert_eq!(jobs(10).await, of(&entries[1..]));
}

/// However many ask at the same time, only as many get through as there is room for.
async fn many_reserve_at_once(directory: &Directory) {
    let acme = tenant("acme");
    let bounds = Bounds { open_jobs: Some(7), ..Bounds::default() };
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let (directory, acme, one) = (directory.clone(), acme.clone(), entry(10));
        asking.spawn(async move { (one.job, directory.reserve(&acme, one, bounds).await.unwrap()) });
    }
    let mut done = BTreeSet::new();
    while let Some(answer) = asking.join_next().await {
        if let (job, Reserved::Done) = answer.unwrap() {
            done.insert(job);
        }
    }
    assert_eq!(done.len(), 7);
    let entered: BTreeSet<JobId> =
        directory.stale(&acme, 100).await.unwrap().into_iter().map(|one| one.job).collect();
    assert_eq!(entered, done);
    assert_eq!(sums(directory, "acme").await, (7, 70));
}
