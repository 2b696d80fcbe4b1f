//! The promises of [`crate::limiter`].

use crate::limiter::{CallLimits, Granted, Limiter, Permit, Rate};
use scriptorium_contracts::Timestamp;
use std::time::Duration;

const NOON: Timestamp = Timestamp(1_800_000_000_000);
const LEASE: Duration = Duration::from_secs(10);

pub async fn limiter_contract(make: impl AsyncFn() -> Limiter) {
    so_many_calls_in_any_minute(&make().await).await;
    so_many_permits_at_a_time(&make().await).await;
    leases_end_and_are_renewed(&make().await).await;
    both_limits_hold(&make().await).await;
    limits_may_change(&make().await).await;
    many_ask_at_once(&make().await).await;
    a_rate_holds_for_all(&make().await).await;
}

fn per_minute(calls: u32) -> CallLimits {
    CallLimits { per_minute: Some(calls), concurrent: None }
}

fn concurrent(permits: u32) -> CallLimits {
    CallLimits { per_minute: None, concurrent: Some(permits) }
}

async fn ask(limiter: &Limiter, limits: CallLimits, now: Timestamp) -> Granted {
    limiter.acquire("name", limits, now, LEASE).await.unwrap()
}

async fn granted(limiter: &Limiter, limits: CallLimits, now: Timestamp) -> Permit {
    match ask(limiter, limits, now).await {
        Granted::Permit(permit) => permit,
        Granted::Wait(wait) => panic!("{wait:?} to wait"),
    }
}

async fn waits(limiter: &Limiter, limits: CallLimits, now: Timestamp) -> u64 {
    match ask(limiter, limits, now).await {
        Granted::Permit(_) => panic!("granted"),
        Granted::Wait(wait) => u64::try_from(wait.as_millis()).unwrap(),
    }
}

async fn so_many_calls_in_any_minute(limiter: &Limiter) {
    for at in 0..3 {
        let permit = granted(limiter, per_minute(3), NOON.plus(at * 10_000)).await;
        // The call counts all the same.
        limiter.release(permit).await.unwrap();
    }
    assert_eq!(waits(limiter, per_minute(3), NOON.plus(20_000)).await, 40_000);
    assert_eq!(waits(limiter, per_minute(3), NOON.plus(59_999)).await, 1);
    granted(limiter, per_minute(3), NOON.plus(60_000)).await;
    assert_eq!(waits(limiter, per_minute(3), NOON.plus(60_000)).await, 10_000);
    // Another name has calls of its own.
    let other = limiter.acquire("other", per_minute(3), NOON.plus(60_000), LEASE).await.unwrap();
    assert!(matches!(other, Granted::Permit(_)));
    assert_eq!(waits(limiter, per_minute(0), NOON).await, 60_000, "nothing is allowed");
    for _ in 0..100 {
        granted(limiter, CallLimits::default(), NOON.plus(60_000)).await;
    }
}

async fn so_many_permits_at_a_time(limiter: &Limiter) {
    let first = granted(limiter, concurrent(2), NOON).await;
    let second = granted(limiter, concurrent(2), NOON).await;
    let wait = waits(limiter, concurrent(2), NOON).await;
    assert!((1..=1_000).contains(&wait), "a permit may come back soon: {wait}");
    limiter.release(first).await.unwrap();
    let third = granted(limiter, concurrent(2), NOON).await;
    waits(limiter, concurrent(2), NOON).await;
    for permit in [second, third] {
        limiter.release(permit).await.unwrap();
    }
    waits(limiter, concurrent(0), NOON).await;
}

async fn leases_end_and_are_renewed(limiter: &Limiter) {
    let permit = granted(limiter, concurrent(1), NOON).await;
    assert_eq!(waits(limiter, concurrent(1), NOON.plus(9_999)).await, 1);
    assert!(limiter.renew(&permit, NOON.plus(9_000), LEASE).await.unwrap());
    waits(limiter, concurrent(1), NOON.plus(18_999)).await;
    assert!(!limiter.renew(&permit, NOON.plus(19_000), LEASE).await.unwrap(), "the lease has ended");
    let other = granted(limiter, concurrent(1), NOON.plus(19_000)).await;
    // What was taken is not given back by him who had it.
    assert!(!limiter.renew(&permit, NOON.plus(19_001), LEASE).await.unwrap());
    limiter.release(permit).await.unwrap();
    waits(limiter, concurrent(1), NOON.plus(19_001)).await;
    assert!(limiter.renew(&other, NOON.plus(19_001), LEASE).await.unwrap());
}

async fn both_limits_hold(limiter: &Limiter) {
    let both = CallLimits { per_minute: Some(3), concurrent: Some(2) };
    let first = granted(limiter, both, NOON).await;
    granted(limiter, both, NOON).await;
    assert!(waits(limiter, both, NOON).await <= 1_000, "for a permit");
    limiter.release(first).await.unwrap();
    granted(limiter, both, NOON).await;
    assert_eq!(waits(limiter, both, NOON.plus(10_000)).await, 50_000, "for the minute");
}

async fn limits_may_change(limiter: &Limiter) {
    for _ in 0..5 {
        granted(limiter, per_minute(5), NOON).await;
    }
    waits(limiter, per_minute(2), NOON.plus(59_999)).await;
    granted(limiter, per_minute(6), NOON.plus(30_000)).await;
    granted(limiter, per_minute(2), NOON.plus(60_000)).await;
    waits(limiter, per_minute(2), NOON.plus(60_000)).await;
}

async fn many_ask_at_once(limiter: &Limiter) {
    let asking = (0..40).map(|_| ask(limiter, concurrent(7), NOON));
    let answers = futures::future::join_all(asking).await;
    let permits = answers.iter().filter(|answer| matches!(answer, Granted::Permit(_))).count();
    assert_eq!(permits, 7);
}

async fn a_rate_holds_for_all(limiter: &Limiter) {
    let rate = Rate { quota: 5, window: Duration::from_secs(10) };
    for remaining in [4, 3, 2, 1, 0] {
        let spent = limiter.spend("tenant", rate, NOON).await.unwrap();
        assert_eq!((spent.granted, spent.remaining), (true, remaining));
        assert_eq!(spent.reset, Duration::from_secs(2) * (5 - remaining));
    }
    for _ in 0..3 {
        let spent = limiter.spend("tenant", rate, NOON).await.unwrap();
        assert_eq!((spent.granted, spent.remaining, spent.retry), (false, 0, Duration::from_secs(2)));
    }
    assert!(limiter.spend("other", rate, NOON).await.unwrap().granted);
    let later = NOON.plus(2_000);
    assert!(limiter.spend("tenant", rate, later).await.unwrap().granted);
    assert!(!limiter.spend("tenant", rate, later).await.unwrap().granted);
    // Another rate holds at once, and a pause earns no more than a window.
    let wide = Rate { quota: 20, ..rate };
    let much_later = NOON.plus(3_600_000);
    assert_eq!(limiter.spend("tenant", wide, much_later).await.unwrap().remaining, 19);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let limiter = limiter.clone();
        asking.spawn(async move { limiter.spend("tenant", wide, much_later).await.unwrap().granted });
    }
    let mut granted = 0;
    while let Some(answer) = asking.join_next().await {
        granted += usize::from(answer.unwrap());
    }
    assert_eq!(granted, 19);
    assert!(!limiter.spend("none", Rate { quota: 0, ..rate }, NOON).await.unwrap().granted);
}
