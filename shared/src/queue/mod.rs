//! Messages from one role to another.
//!
//! What a queue promises:
//! - [`Queue::publish`] returns once the message is safe, as safe as the adapter can make it: on the disks of the
//!   broker, or in this process's memory, which is refilled from the job store at start (`Jobs::recover`).
//! - At least once: a message is delivered until it is acknowledged. A [`Delivery`] that is dropped without an answer
//!   is delivered again, and so is all that a process held when it died. Every receiver is harmless twice.
//! - A message is with one consumer at a time, and a consumer holds at most `prefetch` unacknowledged ones.
//! - Topics are independent: a full or unread topic holds up no other.
//! - About the order in which they were published; redelivered ones may come earlier or later.
//! - Bounded: a full topic refuses with [`QueueError::Full`] at once and never makes the publisher wait, so that two
//!   roles that publish to one another can't lock each other up.
//! - Nothing waits for long: a broker that can't be reached is [`QueueError::Unavailable`], at once or after some seconds.
//!   Consumers outlive that: [`Consumer::next`] goes on as soon as the broker is back.
//! - What can't be handled is not lost and harms nobody: [`Delivery::retry_later`] puts it off,
//!   [`Delivery::dead_letter`] puts it aside for people.

mod delays;
mod embedded;
mod rabbitmq;

use bytes::Bytes;
pub use delays::RetryDelays;
pub use embedded::{EmbeddedConsumer, EmbeddedQueue, EmbeddedTicket};
use futures::future::BoxFuture;
pub use rabbitmq::{
    Bounds, DeadLetter, RabbitMqConfig, RabbitMqConsumer, RabbitMqQueue, RabbitMqTicket, SentAgain, Which,
};
use thiserror::Error;

/// The longest message, in bytes. The result of a chunk of 14 hours of speech takes about 3 MB.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// `contracts::message::ChunkTask` as JSON, for workers.
    Tasks,
    /// `contracts::message::CoordinatorMessage` as JSON, for coordinators.
    Coordinator,
}

impl Topic {
    /// Stable: names of queues are made of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tasks => "tasks",
            Self::Coordinator => "coordinator",
        }
    }

    /// The topic of this [`Self::name`].
    pub fn named(name: &str) -> Option<Self> {
        [Self::Tasks, Self::Coordinator].into_iter().find(|topic| topic.name() == name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QueueError {
    #[error("the queue is closed")]
    Closed,
    #[error("the topic {} is full", .0.name())]
    Full(Topic),
    #[error("a message of {0} bytes is longer than the {MAX_MESSAGE_BYTES} that a queue takes")]
    TooLong(usize),
    /// It does not answer, or not in time. A message that was to be published may have been, all the same.
    #[error("the message broker is not available: {detail}")]
    Unavailable { detail: String },
    /// It answers, but not as it should: wrong password, other settings. A person must act.
    #[error("the message broker refuses: {detail}")]
    Refused { detail: String },
}

impl QueueError {
    /// Trying the same again later may help.
    pub const fn retryable(&self) -> bool {
        match self {
            Self::Full(_) | Self::Unavailable { .. } => true,
            Self::Closed | Self::TooLong(_) | Self::Refused { .. } => false,
        }
    }
}

/// The port; see the module's promises.
#[derive(Clone, Debug)]
pub enum Queue {
    Embedded(EmbeddedQueue),
    RabbitMq(RabbitMqQueue),
}

impl Queue {
    /// Returns once the message is safe.
    pub fn publish(&self, topic: Topic, payload: Vec<u8>) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(async move {
            if payload.len() > MAX_MESSAGE_BYTES {
                return Err(QueueError::TooLong(payload.len()));
            }
            match self {
                Self::Embedded(queue) => queue.publish(topic, payload.into()),
                Self::RabbitMq(queue) => queue.publish(topic, &payload).await,
            }
        })
    }

    /// A new consumer with its own bound on unacknowledged deliveries (at least 1). While the broker is away it waits for it.
    pub fn consume(&self, topic: Topic, prefetch: usize) -> BoxFuture<'_, Result<Consumer, QueueError>> {
        Box::pin(async move {
            match self {
                Self::Embedded(queue) => Ok(Consumer::Embedded(queue.consume(topic, prefetch)?)),
                Self::RabbitMq(queue) => Ok(Consumer::RabbitMq(queue.consume(topic, prefetch).await?)),
            }
        })
    }

    /// Readiness: can messages be published?
    pub fn ping(&self) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(async move {
            match self {
                Self::Embedded(queue) => queue.ping(),
                Self::RabbitMq(queue) => queue.ping(),
            }
        })
    }

    /// How many messages have been put aside, by [`Delivery::dead_letter`] or because they were delivered too often.
    pub fn dead_letters(&self) -> BoxFuture<'_, Result<u64, QueueError>> {
        Box::pin(async move {
            match self {
                Self::Embedded(queue) => Ok(queue.dead_letters()),
                Self::RabbitMq(queue) => queue.dead_letters().await,
            }
        })
    }

    /// Consumers end, publishers are refused. Deliveries in hand can still be acknowledged.
    pub fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            match self {
                Self::Embedded(queue) => queue.close(),
                Self::RabbitMq(queue) => queue.close().await,
            }
        })
    }
}

/// One reader of a topic. Dropping it gives back nothing of what it has handed out: each [`Delivery`] is answered or
/// dropped on its own.
#[derive(Debug)]
pub enum Consumer {
    Embedded(EmbeddedConsumer),
    RabbitMq(RabbitMqConsumer),
}

impl Consumer {
    /// The next message; waits while there is none or while `prefetch` deliveries are unacknowledged. Cancel-safe.
    /// `None` when the queue is closed.
    pub async fn next(&mut self) -> Option<Delivery> {
        match self {
            Self::Embedded(consumer) => consumer.next().await,
            Self::RabbitMq(consumer) => consumer.next().await,
        }
    }
}

/// A message that waits for an answer. Dropped without one, it is delivered again.
#[derive(Debug)]
#[must_use = "a delivery that is dropped is delivered again"]
pub struct Delivery {
    pub payload: Bytes,
    /// How often it has been delivered before.
    pub redelivered: u32,
    /// How often in a row it has come back without an answer: its receiver died, or lost the connection. Handing it back
    /// and putting it off are answers.
    pub unanswered: u32,
    /// How often it has been put off by [`Self::retry_later`].
    pub retries: u32,
    ticket: Ticket,
}

/// What an adapter needs to answer for a delivery.
#[derive(Debug)]
enum Ticket {
    Embedded(EmbeddedTicket),
    RabbitMq(RabbitMqTicket),
}

impl Delivery {
    /// Done with it: it is not delivered again. Call it only when what followed from the message is safe.
    pub fn ack(self) -> BoxFuture<'static, Result<(), QueueError>> {
        Box::pin(async move {
            match self.ticket {
                Ticket::Embedded(ticket) => ticket.ack(),
                Ticket::RabbitMq(ticket) => ticket.ack().await?,
            }
            Ok(())
        })
    }

    /// Hands it back, behind what waits already: it could be handled at once, but not by this process.
    pub fn requeue(self) -> BoxFuture<'static, Result<(), QueueError>> {
        Box::pin(async move {
            match self.ticket {
                Ticket::Embedded(ticket) => ticket.requeue(),
                Ticket::RabbitMq(ticket) => ticket.requeue(&self.payload).await?,
            }
            Ok(())
        })
    }

    /// It can't be handled now: it comes again after a pause that grows with [`Self::retries`] (see [`RetryDelays`]).
    /// Others are delivered meanwhile.
    pub fn retry_later(self) -> BoxFuture<'static, Result<(), QueueError>> {
        Box::pin(async move {
            match self.ticket {
                Ticket::Embedded(ticket) => ticket.retry_later(self.retries),
                Ticket::RabbitMq(ticket) => ticket.retry_later(&self.payload).await?,
            }
            Ok(())
        })
    }

    /// It can never be handled: it is kept aside, with `reason`, until a person looks at it.
    pub fn dead_letter(self, reason: &str) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(async move {
            match self.ticket {
                Ticket::Embedded(ticket) => ticket.dead_letter(reason),
                Ticket::RabbitMq(ticket) => ticket.dead_letter(&self.payload, reason).await?,
            }
            Ok(())
        })
    }
}
