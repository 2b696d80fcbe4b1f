//! What exists in the broker: the one place where queues and their arguments are declared.
//!
//! There is no exchange of our own: every message is meant for one queue, and the broker's default exchange takes it there by
//! the queue's name.
//!
//! ```text
//! <prefix>.tasks         ─┐ too often delivered            ┌─ <prefix>.dead   for people
//! <prefix>.coordinator   ─┴────────────────────────────────┘
//! <prefix>.<topic>.delay.<ms>   waits <ms>, then goes on to <prefix>.<topic>
//! ```

use super::error::{broker_error, in_time};
use super::{RabbitMqConfig, Topic};
use crate::queue::{QueueError, RetryDelays};
use lapin::options::QueueDeclareOptions;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ErrorKind};
use std::time::Duration;

const TOPICS: [Topic; 2] = [Topic::Tasks, Topic::Coordinator];

/// Names and arguments of the queues of one prefix.
pub(super) struct Topology {
    pub(super) prefix: String,
    delays: RetryDelays,
    max_messages: i64,
    max_bytes: i64,
    max_deliveries: i64,
}

/// What a queue does with messages that are dead to it.
enum Onward<'a> {
    /// Those that were delivered too often go on.
    WhenPoison { to: &'a str },
    /// All go on after this time.
    After { wait: Duration, to: &'a str },
    /// They stay until a person takes them.
    Never,
}

impl Topology {
    pub(super) fn new(config: &RabbitMqConfig) -> Result<Self, QueueError> {
        let fit = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let prefix = config.prefix.clone();
        if prefix.is_empty() || prefix.len() > 100 || !prefix.chars().all(fit) {
            let detail = format!(
                "{prefix:?} can't begin the names of queues; use up to 100 letters, digits, dots and dashes"
            );
            return Err(QueueError::Refused { detail });
        }
        Ok(Self {
            prefix,
            delays: config.delays.clone(),
            max_messages: config.bounds.messages.into(),
            max_bytes: config.bounds.bytes.try_into().unwrap_or(i64::MAX),
            max_deliveries: config.bounds.deliveries.into(),
        })
    }

    pub(super) fn of_topic(&self, topic: Topic) -> String {
        format!("{}.{}", self.prefix, topic.name())
    }

    pub(super) fn dead(&self) -> String {
        format!("{}.dead", self.prefix)
    }

    /// The queue in which messages of `topic` wait that have been put off `retries` times before.
    pub(super) fn delay(&self, topic: Topic, retries: u32) -> String {
        self.delay_of(topic, self.delays.choose(retries))
    }

    /// The time is a part of the name, so that other delays need other queues and don't collide with these.
    fn delay_of(&self, topic: Topic, wait: Duration) -> String {
        format!("{}.delay.{}", self.of_topic(topic), wait.as_millis())
    }

    /// The topic whose messages are in `queue`, or wait in it.
    pub(super) fn topic_of(&self, queue: &str) -> Option<Topic> {
        TOPICS.into_iter().find(|&topic| {
            let rest = queue.strip_prefix(&self.of_topic(topic));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(".delay."))
        })
    }

    /// All queues.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = vec![self.dead()];
        for topic in TOPICS {
            names.push(self.of_topic(topic));
            names.extend(self.delays.steps().iter().map(|&wait| self.delay_of(topic, wait)));
        }
        names
    }

    /// Declares what is missing; harmless where all is there. Each queue after the one to which it hands on.
    pub(super) async fn declare(&self, channel: &Channel) -> Result<(), QueueError> {
        let dead = self.dead();
        self.declare_queue(channel, &dead, &Onward::Never).await?;
        for topic in TOPICS {
            let queue = self.of_topic(topic);
            self.declare_queue(channel, &queue, &Onward::WhenPoison { to: &dead }).await?;
            for &wait in self.delays.steps() {
                let onward = Onward::After { wait, to: &queue };
                self.declare_queue(channel, &self.delay_of(topic, wait), &onward).await?;
            }
        }
        Ok(())
    }

    async fn declare_queue(
        &self,
        channel: &Channel,
        name: &str,
        onward: &Onward<'_>,
    ) -> Result<(), QueueError> {
        // Durable: it outlives a restart of the broker. (Quorum queues have to be.)
        let options = QueueDeclareOptions::durable();
        let declared = in_time(channel.queue_declare(name.into(), options, self.arguments(onward))).await?;
        match declared {
            Ok(_) => Ok(()),
            Err(error) if is_precondition_failed(&error) => {
                let detail = format!(
                    "the queue {name} exists with other settings ({error}); give all processes the same settings, \
                     or delete the queue when it is empty, or choose another prefix"
                );
                Err(QueueError::Refused { detail })
            }
            Err(error) => Err(broker_error(&error)),
        }
    }

    fn arguments(&self, onward: &Onward<'_>) -> FieldTable {
        let mut arguments = FieldTable::default();
        let mut set = |name: &str, value: AMQPValue| {
            arguments.insert(name.into(), value);
        };
        let text = |text: &str| AMQPValue::LongString(text.into());
        // On the disks of most nodes before it is confirmed; the only kind that counts deliveries.
        set("x-queue-type", text("quorum"));
        // A bound, so that a queue which nobody reads does not fill the broker's disk and stop every other queue with it …
        set("x-max-length", AMQPValue::LongLongInt(self.max_messages));
        set("x-max-length-bytes", AMQPValue::LongLongInt(self.max_bytes));
        // … by refusing the newest. The usual way, dropping the oldest, would lose what was confirmed.
        set("x-overflow", text("reject-publish"));
        let to = match onward {
            Onward::Never => return arguments,
            Onward::WhenPoison { to } => {
                // The last net under a message that takes each receiver's process down: what is given back in an orderly
                // way is published anew and not counted.
                set("x-delivery-limit", AMQPValue::LongLongInt(self.max_deliveries));
                to
            }
            Onward::After { wait, to } => {
                // One time for the whole queue. A time a message would not do: only the head of a queue expires, so a
                // short one behind a long one would wait for that.
                let wait = wait.as_millis().try_into().unwrap_or(i64::MAX);
                set("x-message-ttl", AMQPValue::LongLongInt(wait));
                to
            }
        };
        // The default exchange, which delivers to the queue of that name.
        set("x-dead-letter-exchange", text(""));
        set("x-dead-letter-routing-key", text(to));
        // The message stays until the next queue has confirmed it. Usual is to send it once and forget it, which loses
        // it when that queue is full or away. Needs `reject-publish`.
        set("x-dead-letter-strategy", text("at-least-once"));
        arguments
    }
}

fn is_precondition_failed(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else { return false };
    matches!(error.kind(), AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED))
}
