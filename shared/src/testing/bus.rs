//! The promises of [`crate::bus`].

use super::jobs::new_id;
use crate::bus::{Bus, Subscription, Wake};
use scriptorium_contracts::JobId;
use std::time::Duration;

/// Long enough for any adapter on a busy machine; nobody waits for it unless a promise is broken.
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn bus_contract(make: impl AsyncFn() -> Bus) {
    wakes_every_subscriber(&make().await).await;
    nobody_needs_to_listen(&make().await).await;
    a_lagging_subscriber_is_told_and_goes_on(&make().await).await;
}

async fn next(subscription: &mut Subscription) -> Wake {
    tokio::time::timeout(PATIENCE, subscription.next()).await.expect("a wake-up comes")
}

/// Notifies until the subscriber hears of the job: wake-ups may be lost.
async fn heard(bus: &Bus, subscription: &mut Subscription, job: JobId) {
    let hearing = async {
        loop {
            bus.notify(job).await;
            while let Ok(wake) = tokio::time::timeout(Duration::from_millis(200), subscription.next()).await {
                match wake {
                    Wake::Job(heard) if heard == job => return,
                    Wake::Job(_) | Wake::Missed => {}
                    Wake::Closed => panic!("the bus is still there"),
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, hearing)
        .await
        .expect("a job that is notified again and again is heard of");
}

async fn wakes_every_subscriber(bus: &Bus) {
    let (mut one, mut other) = (bus.subscribe(), bus.subscribe());
    for job in [new_id(), new_id()] {
        heard(bus, &mut one, job).await;
        heard(bus, &mut other, job).await;
    }
    let clone = bus.clone();
    heard(&clone, &mut one, new_id()).await;
}

async fn nobody_needs_to_listen(bus: &Bus) {
    bus.notify(new_id()).await;
    drop(bus.subscribe());
    bus.notify(new_id()).await;
}

/// Notifiers never wait for a subscriber that does not read, and it is told that it has missed something.
async fn a_lagging_subscriber_is_told_and_goes_on(bus: &Bus) {
    let mut lazy = bus.subscribe();
    heard(bus, &mut lazy, new_id()).await;
    let flood = async {
        for _ in 0..5_000 {
            bus.notify(new_id()).await;
        }
    };
    tokio::time::timeout(PATIENCE, flood).await.expect("nobody waits for a subscriber that does not read");
    let told = async { while next(&mut lazy).await != Wake::Missed {} };
    tokio::time::timeout(PATIENCE, told).await.expect("a subscriber that lags is told");
    heard(bus, &mut lazy, new_id()).await;
}
