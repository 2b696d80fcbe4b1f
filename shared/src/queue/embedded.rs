//! The queue inside one process: in memory, first in, first out. It is empty at start; `Jobs::recover` refills it.

use super::{Delivery, QueueError, Ticket, Topic};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Messages that a topic holds, unacknowledged ones included.
const MAX_MESSAGES: usize = 65_536;
/// Bytes that a topic holds, unacknowledged ones included.
const MAX_BYTES: usize = 256 << 20;

/// See the promises of [`super`].
#[derive(Clone, Debug)]
pub struct EmbeddedQueue {
    tasks: Arc<Lane>,
    coordinator: Arc<Lane>,
}

/// One topic.
#[derive(Debug)]
struct Lane {
    max_messages: usize,
    state: Mutex<LaneState>,
    /// A message has come, or the end.
    changed: Notify,
}

#[derive(Debug, Default)]
struct LaneState {
    waiting: VecDeque<Message>,
    /// Waiting and unacknowledged together.
    messages: usize,
    bytes: usize,
    closed: bool,
}

#[derive(Debug)]
struct Message {
    payload: Bytes,
    delivered: u32,
}

impl Default for EmbeddedQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl EmbeddedQueue {
    pub fn new() -> Self {
        Self::bounded(MAX_MESSAGES)
    }

    /// At most `max_messages` a topic.
    pub fn bounded(max_messages: usize) -> Self {
        let lane = || Arc::new(Lane { max_messages, state: Mutex::default(), changed: Notify::new() });
        Self { tasks: lane(), coordinator: lane() }
    }

    fn lane(&self, topic: Topic) -> &Arc<Lane> {
        match topic {
            Topic::Tasks => &self.tasks,
            Topic::Coordinator => &self.coordinator,
        }
    }

    pub(super) fn publish(&self, topic: Topic, payload: Bytes) -> Result<(), QueueError> {
        let lane = self.lane(topic);
        {
            let mut state = lane.lock();
            if state.closed {
                return Err(QueueError::Closed);
            }
            if state.messages >= lane.max_messages || state.bytes + payload.len() > MAX_BYTES {
                return Err(QueueError::Full(topic));
            }
            state.messages += 1;
            state.bytes += payload.len();
            state.waiting.push_back(Message { payload, delivered: 0 });
        }
        lane.changed.notify_one();
        Ok(())
    }

    pub(super) fn consume(&self, topic: Topic, prefetch: usize) -> Result<EmbeddedConsumer, QueueError> {
        self.ping()?;
        let permits = prefetch.clamp(1, Semaphore::MAX_PERMITS);
        Ok(EmbeddedConsumer { lane: self.lane(topic).clone(), permits: Arc::new(Semaphore::new(permits)) })
    }

    pub(super) fn ping(&self) -> Result<(), QueueError> {
        if self.tasks.lock().closed { Err(QueueError::Closed) } else { Ok(()) }
    }

    pub(super) fn close(&self) {
        for lane in [&self.tasks, &self.coordinator] {
            lane.lock().closed = true;
            lane.changed.notify_waiters();
        }
    }
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, LaneState> {
        // Nothing in here panics while it holds the lock, so a poisoned one is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`super::Consumer`].
#[derive(Debug)]
pub struct EmbeddedConsumer {
    lane: Arc<Lane>,
    permits: Arc<Semaphore>,
}

impl EmbeddedConsumer {
    pub(super) async fn next(&mut self) -> Option<Delivery> {
        // The semaphore is never closed.
        let permit = self.permits.clone().acquire_owned().await.ok()?;
        loop {
            let changed = self.lane.changed.notified();
            tokio::pin!(changed);
            // Listening begins before looking, so that nothing is missed in between.
            changed.as_mut().enable();
            let message = {
                let mut state = self.lane.lock();
                if state.closed {
                    return None;
                }
                state.waiting.pop_front()
            };
            if let Some(message) = message {
                return Some(self.deliver(message, permit));
            }
            changed.await;
        }
    }

    fn deliver(&self, message: Message, permit: OwnedSemaphorePermit) -> Delivery {
        let payload = message.payload.clone();
        let redelivered = message.delivered;
        let message = Message { delivered: redelivered.saturating_add(1), ..message };
        let ticket = EmbeddedTicket { lane: self.lane.clone(), message: Some(message), _permit: permit };
        Delivery { payload, redelivered, ticket: Ticket::Embedded(ticket) }
    }
}

/// Holds the message until it is answered; dropped before that, it puts it back in front.
#[derive(Debug)]
pub struct EmbeddedTicket {
    lane: Arc<Lane>,
    message: Option<Message>,
    _permit: OwnedSemaphorePermit,
}

impl EmbeddedTicket {
    pub(super) fn ack(mut self) {
        if let Some(message) = self.message.take() {
            let mut state = self.lane.lock();
            state.messages -= 1;
            state.bytes -= message.payload.len();
        }
    }

    pub(super) fn requeue(mut self) {
        if let Some(message) = self.message.take() {
            self.lane.lock().waiting.push_back(message);
            self.lane.changed.notify_one();
        }
    }
}

impl Drop for EmbeddedTicket {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            self.lane.lock().waiting.push_front(message);
            self.lane.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Queue;
    use super::*;

    #[tokio::test]
    async fn keeps_the_promises_of_a_queue() {
        crate::testing::queue_contract(async || Queue::Embedded(EmbeddedQueue::new())).await;
    }

    #[tokio::test]
    async fn first_in_first_out_and_bounded() {
        let queue = Queue::Embedded(EmbeddedQueue::bounded(3));
        for payload in [b"a", b"b", b"c"] {
            queue.publish(Topic::Tasks, payload.to_vec()).await.unwrap();
        }
        assert_eq!(queue.publish(Topic::Tasks, b"d".to_vec()).await, Err(QueueError::Full(Topic::Tasks)));
        queue.publish(Topic::Coordinator, b"other".to_vec()).await.unwrap();

        let mut consumer = queue.consume(Topic::Tasks, 3).await.unwrap();
        let first = consumer.next().await.unwrap();
        assert_eq!(first.payload, "a");
        // Unacknowledged messages take their place, so that a requeue always fits.
        assert_eq!(queue.publish(Topic::Tasks, b"d".to_vec()).await, Err(QueueError::Full(Topic::Tasks)));
        drop(first);
        assert_eq!(consumer.next().await.unwrap().payload, "a");
        let again = consumer.next().await.unwrap();
        assert_eq!((again.payload.as_ref(), again.redelivered), (b"a".as_ref(), 2));
        again.ack().await.unwrap();
        queue.publish(Topic::Tasks, b"d".to_vec()).await.unwrap();
        for wanted in ["b", "c", "d"] {
            let delivery = consumer.next().await.unwrap();
            assert_eq!(delivery.payload, wanted);
            delivery.ack().await.unwrap();
        }
    }
}
