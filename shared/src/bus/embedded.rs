//! The bus inside one process.

use super::Wake;
use scriptorium_contracts::JobId;
use tokio::sync::broadcast::{self, error::RecvError};

/// Wake-ups that a subscriber may be behind before it misses some.
const CAPACITY: usize = 1_024;

/// A bounded broadcast channel.
#[derive(Clone, Debug)]
pub struct EmbeddedBus {
    wakes: broadcast::Sender<JobId>,
}

impl Default for EmbeddedBus {
    fn default() -> Self {
        Self::new()
    }
}

impl EmbeddedBus {
    pub fn new() -> Self {
        Self { wakes: broadcast::Sender::new(CAPACITY) }
    }

    pub(super) fn notify(&self, job: JobId) {
        // An error means that nobody listens, which is nobody's harm.
        let _ = self.wakes.send(job);
    }

    pub(super) fn subscribe(&self) -> EmbeddedSubscription {
        EmbeddedSubscription { wakes: self.wakes.subscribe() }
    }
}

/// See [`super::Subscription`].
#[derive(Debug)]
pub struct EmbeddedSubscription {
    wakes: broadcast::Receiver<JobId>,
}

impl EmbeddedSubscription {
    pub(super) async fn next(&mut self) -> Wake {
        match self.wakes.recv().await {
            Ok(job) => Wake::Job(job),
            Err(RecvError::Lagged(_)) => Wake::Missed,
            Err(RecvError::Closed) => Wake::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Bus;
    use super::*;

    #[tokio::test]
    async fn keeps_the_promises_of_a_bus() {
        crate::testing::bus_contract(async || Bus::Embedded(EmbeddedBus::new())).await;
    }

    #[tokio::test]
    async fn tells_when_the_bus_is_gone() {
        let bus = EmbeddedBus::new();
        let mut subscription = bus.subscribe();
        drop(bus);
        assert_eq!(subscription.next().await, Wake::Closed);
    }
}
