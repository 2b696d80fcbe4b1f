//! Wake-ups: "something has happened to this job, look at its event log".
//!
//! What the bus promises:
//! - A subscription gets the wake-ups of all jobs that were notified after it was made, unless it lags or the
//!   connection to the others breaks: then it gets [`Wake::Missed`] and goes on with what is new.
//! - Nothing more. A wake-up may be lost, doubled or come late; the truth is the event log, so readers look at it
//!   from time to time even if nobody wakes them.
//! - Memory is bounded, and a slow subscriber never delays a notifier or another subscriber.

mod embedded;
mod redis;

pub use embedded::{EmbeddedBus, EmbeddedSubscription};
pub use redis::{RedisBus, RedisSubscription};
use scriptorium_contracts::JobId;

/// The port; see the module's promises.
#[derive(Clone, Debug)]
pub enum Bus {
    Embedded(EmbeddedBus),
    Redis(RedisBus),
}

/// What a subscriber is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The job's event log has grown.
    Job(JobId),
    /// Wake-ups were lost: look at everything that is of interest.
    Missed,
    /// The bus is gone; no wake-up will come any more.
    Closed,
}

impl Bus {
    /// Wakes everyone who waits for this job.
    pub async fn notify(&self, job: JobId) {
        match self {
            Self::Embedded(bus) => bus.notify(job),
            Self::Redis(bus) => bus.notify(job).await,
        }
    }

    /// Wake-ups from now on.
    pub fn subscribe(&self) -> Subscription {
        match self {
            Self::Embedded(bus) => Subscription::Embedded(bus.subscribe()),
            Self::Redis(bus) => Subscription::Redis(bus.subscribe()),
        }
    }
}

/// One reader of the bus.
#[derive(Debug)]
pub enum Subscription {
    Embedded(EmbeddedSubscription),
    Redis(RedisSubscription),
}

impl Subscription {
    /// Waits for the next wake-up. Cancel-safe.
    pub async fn next(&mut self) -> Wake {
        match self {
            Self::Embedded(subscription) => subscription.next().await,
            Self::Redis(subscription) => subscription.next().await,
        }
    }
}
