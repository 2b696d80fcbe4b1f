//! The queue inside one process: in memory, first in, first out. It is empty at start; `Jobs::recover` refills it.

use super::{Delivery, QueueError, RetryDelays, Ticket, Topic};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// Messages that a topic holds, unacknowledged ones included.
const MAX_MESSAGES: usize = 65_536;
/// Bytes that a topic holds, unacknowledged ones included.
const MAX_BYTES: usize = 256 << 20;
/// Dead letters that are kept; the oldest make room.
const MAX_DEAD: usize = 256;
/// Their bytes together, if there is more than one.
const MAX_DEAD_BYTES: usize = 32 << 20;

/// See the promises of [`super`].
#[derive(Clone, Debug)]
pub struct EmbeddedQueue {
    tasks: Arc<Lane>,
    coordinator: Arc<Lane>,
    dead: Arc<Mutex<DeadLetters>>,
}

/// One topic.
#[derive(Debug)]
struct Lane {
    name: &'static str,
    max_messages: usize,
    delays: RetryDelays,
    dead: Arc<Mutex<DeadLetters>>,
    state: Mutex<LaneState>,
    /// A message has come, or the end.
    changed: Notify,
}

#[derive(Debug, Default)]
struct LaneState {
    waiting: VecDeque<Message>,
    /// Put off, by when they are due; the number tells those of the same moment apart. Consumers look at them.
    later: BTreeMap<(Instant, u64), Message>,
    put_off: u64,
    /// Waiting, put off and unacknowledged together.
    messages: usize,
    bytes: usize,
    closed: bool,
}

#[derive(Debug)]
struct Message {
    payload: Bytes,
    delivered: u32,
    unanswered: u32,
    retries: u32,
}

/// What was put aside. The log has the reasons.
#[derive(Debug, Default)]
struct DeadLetters {
    letters: VecDeque<Bytes>,
    bytes: usize,
}

impl Default for EmbeddedQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl EmbeddedQueue {
    pub fn new() -> Self {
        Self::with(MAX_MESSAGES, &RetryDelays::default())
    }

    /// At most `max_messages` a topic.
    pub fn bounded(max_messages: usize) -> Self {
        Self::with(max_messages, &RetryDelays::default())
    }

    /// With other pauses than the usual ones.
    pub fn with_delays(delays: &RetryDelays) -> Self {
        Self::with(MAX_MESSAGES, delays)
    }

    fn with(max_messages: usize, delays: &RetryDelays) -> Self {
        let dead = Arc::<Mutex<DeadLetters>>::default();
        let lane = |topic: Topic| {
            let (delays, dead, name) = (delays.clone(), Arc::clone(&dead), topic.name());
            Arc::new(Lane {
                name,
                max_messages,
                delays,
                dead,
                state: Mutex::default(),
                changed: Notify::new(),
            })
        };
        Self { tasks: lane(Topic::Tasks), coordinator: lane(Topic::Coordinator), dead }
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
            state.waiting.push_back(Message { payload, delivered: 0, unanswered: 0, retries: 0 });
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

    pub(super) fn dead_letters(&self) -> u64 {
        lock(&self.dead).letters.len() as u64
    }

    pub(super) fn close(&self) {
        for lane in [&self.tasks, &self.coordinator] {
            lane.lock().closed = true;
            lane.changed.notify_waiters();
        }
    }
}

impl Lane {
    fn forget(&self, message: &Message) {
        let mut state = self.lock();
        state.messages -= 1;
        state.bytes -= message.payload.len();
    }

    fn lock(&self) -> MutexGuard<'_, LaneState> {
        lock(&self.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here panics while it holds the lock, so a poisoned one is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LaneState {
    /// The next message: one that was put off and is due now before those that wait. Else, when the next is due.
    fn take(&mut self, now: Instant) -> Result<Message, Option<Instant>> {
        let due = self.later.first_key_value().map(|(&(due, _), _)| due);
        let ready = if due.is_some_and(|due| due <= now) {
            self.later.pop_first().map(|(_, message)| message)
        } else {
            self.waiting.pop_front()
        };
        ready.ok_or(due)
    }
}

impl DeadLetters {
    fn keep(&mut self, payload: Bytes) {
        self.bytes += payload.len();
        self.letters.push_back(payload);
        while self.letters.len() > MAX_DEAD || (self.bytes > MAX_DEAD_BYTES && self.letters.len() > 1) {
            self.bytes -= self.letters.pop_front().map_or(0, |oldest| oldest.len());
        }
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
            let taken = {
                let mut state = self.lane.lock();
                if state.closed {
                    return None;
                }
                state.take(Instant::now())
            };
            match taken {
                Ok(message) => return Some(self.deliver(message, permit)),
                Err(None) => changed.await,
                Err(Some(due)) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(due) => {}
                },
            }
        }
    }

    fn deliver(&self, message: Message, permit: OwnedSemaphorePermit) -> Delivery {
        let payload = message.payload.clone();
        let Message { delivered: redelivered, unanswered, retries, .. } = message;
        let message = Message {
            delivered: redelivered.saturating_add(1),
            // Until an answer comes.
            unanswered: unanswered.saturating_add(1),
            ..message
        };
        let ticket = EmbeddedTicket { lane: self.lane.clone(), message: Some(message), _permit: permit };
        Delivery { payload, redelivered, unanswered, retries, ticket: Ticket::Embedded(ticket) }
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
            self.lane.forget(&message);
        }
    }

    pub(super) fn retry_later(mut self, retries: u32) {
        if let Some(message) = self.message.take() {
            let due = Instant::now() + self.lane.delays.choose(retries);
            let message = Message { unanswered: 0, retries: retries.saturating_add(1), ..message };
            let mut state = self.lane.lock();
            state.put_off += 1;
            let number = state.put_off;
            state.later.insert((due, number), message);
            drop(state);
            // Everyone who waits: each knows only of what was due when it looked.
            self.lane.changed.notify_waiters();
        }
    }

    pub(super) fn dead_letter(mut self, reason: &str) {
        if let Some(message) = self.message.take() {
            let bytes = message.payload.len();
            tracing::error!(topic = self.lane.name, reason, bytes, "a message is put aside as a dead letter");
            self.lane.forget(&message);
            lock(&self.lane.dead).keep(message.payload);
        }
    }

    pub(super) fn requeue(mut self) {
        if let Some(message) = self.message.take() {
            let message = Message { unanswered: 0, ..message };
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
        let delays = crate::testing::short_delays();
        crate::testing::queue_contract(async || Queue::Embedded(EmbeddedQueue::with_delays(&delays))).await;
    }

    #[test]
    fn dead_letters_are_bounded() {
        let mut dead = DeadLetters::default();
        for _ in 0..MAX_DEAD + 10 {
            dead.keep(Bytes::from_static(b"letter"));
        }
        assert_eq!((dead.letters.len(), dead.bytes), (MAX_DEAD, 6 * MAX_DEAD));
        dead.keep(vec![0; MAX_DEAD_BYTES + 1].into());
        assert_eq!((dead.letters.len(), dead.bytes), (1, MAX_DEAD_BYTES + 1));
        dead.keep(Bytes::from_static(b"letter"));
        assert_eq!((dead.letters.len(), dead.bytes), (1, 6));
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
