//! Room for tasks in a worker: one of its slots each, or the whole worker for a task that is to be alone.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// First come, first served: what comes after a task that waits for the whole worker waits behind it.
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    all: u32,
    /// Of tasks that are alone, or wait for it, a worker has one: no other is counted dead with it.
    alone: Arc<Semaphore>,
}

/// Given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    _slots: OwnedSemaphorePermit,
    _alone: Option<OwnedSemaphorePermit>,
}

impl Slots {
    pub fn new(slots: usize) -> Self {
        let all = u32::try_from(slots.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        let free = Arc::new(Semaphore::new(all as usize));
        Self { free, all, alone: Arc::new(Semaphore::new(1)) }
    }

    /// Waits for room. `None` for a second task that is to be alone: another worker, or a later time, is better.
    pub async fn take(&self, alone: bool) -> Option<Slot> {
        let (alone, wanted) = if alone {
            match Arc::clone(&self.alone).try_acquire_owned() {
                Ok(alone) => (Some(alone), self.all),
                Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => return None,
            }
        } else {
            (None, 1)
        };
        // It is never closed.
        let slots = Arc::clone(&self.free).acquire_many_owned(wanted).await.ok()?;
        Some(Slot { _slots: slots, _alone: alone })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn one_that_is_to_be_alone_waits_for_the_others_and_holds_up_those_behind_it() {
        let slots = Slots::new(2);
        let (first, second) = (slots.take(false).await, slots.take(false).await);
        assert!(first.is_some() && second.is_some());
        let mut alone = Box::pin(slots.take(true));
        assert!(alone.as_mut().now_or_never().is_none(), "two are in work");
        drop(first);
        let mut behind = Box::pin(slots.take(false));
        assert!(alone.as_mut().now_or_never().is_none(), "one is in work");
        assert!(behind.as_mut().now_or_never().is_none(), "it may not overtake");
        assert!(slots.take(true).now_or_never().is_some_and(|slot| slot.is_none()), "one alone at a time");
        drop(second);
        let alone = alone.await;
        assert!(alone.is_some());
        assert!(behind.as_mut().now_or_never().is_none(), "one is alone");
        drop(alone);
        assert!(behind.await.is_some());
    }

    #[tokio::test]
    async fn a_task_that_gives_up_waiting_leaves_no_trace() {
        let slots = Slots::new(1);
        let busy = slots.take(false).await;
        let mut alone = Box::pin(slots.take(true));
        assert!(alone.as_mut().now_or_never().is_none());
        drop(alone);
        drop(busy);
        assert!(slots.take(true).now_or_never().flatten().is_some());
    }
}
