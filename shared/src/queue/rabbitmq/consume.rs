//! Messages from the broker.

use super::cause::Cause;
use super::connection::{Link, LinkState};
use super::error::{broker_error, in_time, unavailable};
use super::publish::Notes;
use super::{PATIENCE, RabbitMqQueue};
use crate::clock;
use crate::queue::{Delivery, QueueError, Ticket, Topic};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Acker, Channel};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tracing::debug;

/// Between two attempts to subscribe on a connection that lives.
const PAUSE: Duration = Duration::from_millis(200);

/// What quorum queues take for one consumer.
pub(super) fn bounded_prefetch(prefetch: usize) -> u16 {
    prefetch.clamp(1, 2_000) as u16
}

/// Deliveries of one queue on one connection.
pub(super) struct Subscription {
    link: Arc<Link>,
    channel: Channel,
    deliveries: lapin::Consumer,
}

impl Subscription {
    pub(super) async fn begin(link: Arc<Link>, queue: String, prefetch: u16) -> Result<Self, QueueError> {
        link.usable()?;
        let begun = async {
            // A channel of its own: the prefetch bounds the consumer alone, and what it leaves unanswered at its end
            // goes back when the channel is closed.
            let channel = link.connection.create_channel().await?;
            channel.basic_qos(prefetch, BasicQosOptions { global: false }).await?;
            let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
            let deliveries = channel.basic_consume(queue.into(), "".into(), options, arguments).await?;
            Ok((channel, deliveries))
        };
        let (channel, deliveries) = tokio::select! {
            begun = in_time(begun) => begun?.map_err(|error: lapin::Error| broker_error(&error))?,
            () = link.broken() => return Err(unavailable("the connection was lost")),
        };
        Ok(Self { link, channel, deliveries })
    }

    /// The next one; `None` when there will be none on this connection. Cancel-safe.
    async fn next(&mut self) -> Option<lapin::message::Delivery> {
        tokio::select! {
            biased;
            // What the lost connection had delivered is void: it comes again on the next one.
            () = self.link.broken() => None,
            delivery = self.deliveries.next() => match delivery {
                Some(Ok(delivery)) => Some(delivery),
                Some(Err(problem)) => {
                    debug!(%problem, "a subscription ended");
                    None
                }
                None => None,
            },
        }
    }
}

impl Drop for Subscription {
    /// Gives back what was delivered and not taken: while deliveries are in hand, the channel stays, and would keep it.
    fn drop(&mut self) {
        while let Some(Some(Ok(delivery))) = self.deliveries.next().now_or_never() {
            give_back(&delivery.acker);
        }
    }
}

/// Hands the answer to the client library, which sends it; that needs no waiting.
pub(super) fn give_back(acker: &Acker) {
    let requeue = BasicNackOptions { requeue: true, multiple: false };
    if let Some(Err(problem)) = acker.nack(requeue).now_or_never() {
        debug!(%problem, "a message could not be given back; it comes back with the end of its channel");
    }
}

enum Reading {
    On(Box<Subscription>),
    /// Kept between calls of `next`, so that one who is often interrupted gets on, too.
    Beginning(BoxFuture<'static, Result<Box<Subscription>, QueueError>>),
}

/// See [`crate::queue::Consumer`].
pub struct RabbitMqConsumer {
    queue: RabbitMqQueue,
    topic: Topic,
    prefetch: u16,
    reading: Reading,
}

impl fmt::Debug for RabbitMqConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqConsumer")
            .field("topic", &self.topic)
            .field("prefetch", &self.prefetch)
            .finish_non_exhaustive()
    }
}

impl RabbitMqConsumer {
    /// Without a subscription it subscribes on the next connection, as it does when it loses one.
    pub(super) fn new(
        queue: RabbitMqQueue,
        topic: Topic,
        prefetch: u16,
        subscription: Option<Subscription>,
    ) -> Self {
        let closed = Reading::Beginning(Box::pin(async { Err(QueueError::Closed) }));
        let mut consumer = Self { queue, topic, prefetch, reading: closed };
        consumer.reading = match subscription {
            Some(subscription) => Reading::On(Box::new(subscription)),
            None => Reading::Beginning(consumer.begin()),
        };
        consumer
    }

    pub(in crate::queue) async fn next(&mut self) -> Option<Delivery> {
        let stop = self.queue.inner.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            delivery = self.next_open() => return Some(delivery),
        }
        // Lets go of the connection.
        self.reading = Reading::Beginning(Box::pin(async { Err(QueueError::Closed) }));
        None
    }

    async fn next_open(&mut self) -> Delivery {
        loop {
            match &mut self.reading {
                Reading::On(subscription) => match subscription.next().await {
                    Some(delivery) => {
                        let channel = subscription.channel.clone();
                        return self.deliver(delivery, channel);
                    }
                    None => {
                        if subscription.link.usable().is_ok() {
                            // Ended by the broker, as when the queue was deleted: the next connection declares it.
                            subscription.link.give_up("a subscription ended");
                        }
                        self.reading = Reading::Beginning(self.begin());
                    }
                },
                Reading::Beginning(beginning) => match beginning.await {
                    Ok(subscription) => self.reading = Reading::On(subscription),
                    Err(problem) => {
                        debug!(%problem, "subscribing again failed");
                        self.reading = Reading::Beginning(self.begin());
                    }
                },
            }
        }
    }

    /// Subscribes on the next connection that there is.
    fn begin(&self) -> BoxFuture<'static, Result<Box<Subscription>, QueueError>> {
        let mut state = self.queue.inner.state.clone();
        let (queue, prefetch) = (self.queue.inner.settings.topology.of_topic(self.topic), self.prefetch);
        Box::pin(async move {
            loop {
                let up = |state: &LinkState| matches!(state, LinkState::Up(_));
                let link = state.wait_for(up).await.ok().and_then(|state| state.link());
                // Without a supervisor there will be none; whoever waits for this is told by `close`.
                let Some(link) = link else { return std::future::pending().await };
                match Subscription::begin(link, queue.clone(), prefetch).await {
                    Ok(subscription) => return Ok(Box::new(subscription)),
                    Err(problem) => debug!(%problem, "subscribing again failed"),
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
    }

    fn deliver(&self, delivery: lapin::message::Delivery, channel: Channel) -> Delivery {
        let notes = Notes::read(&delivery.properties);
        let Notes { deliveries: redelivered, unanswered, retries, .. } = notes;
        let ticket = RabbitMqTicket {
            queue: self.queue.clone(),
            topic: self.topic,
            notes,
            acker: Some(delivery.acker),
            _channel: channel,
        };
        Delivery {
            payload: delivery.data.into(),
            redelivered,
            unanswered,
            retries,
            ticket: Ticket::RabbitMq(ticket),
        }
    }
}

/// Owes the broker an answer; dropped without one, it gives the message back.
pub struct RabbitMqTicket {
    queue: RabbitMqQueue,
    topic: Topic,
    notes: Notes,
    acker: Option<Acker>,
    /// Keeps the channel, and with it the connection, open.
    _channel: Channel,
}

impl fmt::Debug for RabbitMqTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqTicket").field("topic", &self.topic).field("notes", &self.notes).finish()
    }
}

impl RabbitMqTicket {
    /// The broker does not confirm it: if the connection breaks right after, the message comes again.
    pub(in crate::queue) async fn ack(mut self) -> Result<(), QueueError> {
        let Some(acker) = self.acker.take() else { return Ok(()) };
        match tokio::time::timeout(PATIENCE, acker.ack(BasicAckOptions::default())).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(unavailable("the connection on which the message came is gone")),
            Ok(Err(error)) => Err(broker_error(&error)),
            Err(_) => Err(unavailable("it does not take the acknowledgement")),
        }
    }

    /// Published anew and then acknowledged, so that the broker does not count it as a failed delivery. If the process
    /// dies in between, the message is there twice, which receivers tolerate.
    pub(in crate::queue) async fn requeue(self, payload: &[u8]) -> Result<(), QueueError> {
        let queue = self.queue.inner.settings.topology.of_topic(self.topic);
        let notes = self.notes.delivered_once_more();
        match self.publish(&queue, payload, &notes).await {
            Ok(()) => self.ack().await,
            // There is always room for it where it came from, and also after `close`.
            Err(QueueError::Full(_) | QueueError::Closed) => Ok(()),
            Err(problem) => Err(problem),
        }
    }

    pub(in crate::queue) async fn retry_later(self, payload: &[u8]) -> Result<(), QueueError> {
        let queue = self.queue.inner.settings.topology.delay(self.topic, self.notes.retries);
        let notes = self.notes.delivered_once_more();
        let notes = Notes { retries: notes.retries.saturating_add(1), ..notes };
        match self.publish(&queue, payload, &notes).await {
            Ok(()) => self.ack().await,
            // Sooner than wished, but not lost.
            Err(QueueError::Full(_)) => self.requeue(payload).await,
            Err(QueueError::Closed) => Ok(()),
            Err(problem) => Err(problem),
        }
    }

    pub(in crate::queue) async fn dead_letter(self, payload: &[u8], reason: &str) -> Result<(), QueueError> {
        let (bytes, topic) = (payload.len(), self.topic.name());
        tracing::error!(topic, reason, bytes, "a message is put aside as a dead letter");
        let cause = Cause {
            topic: Some(self.topic),
            reason: reason.to_owned(),
            died_at: Some(clock::now()),
            notes: self.notes.delivered_once_more(),
        };
        let queue = self.queue.inner.settings.topology.dead();
        if !self.queue.link()?.send(&queue, payload, cause.properties()).await? {
            return Err(QueueError::Full(self.topic));
        }
        self.ack().await
    }

    async fn publish(&self, queue: &str, payload: &[u8], notes: &Notes) -> Result<(), QueueError> {
        self.queue.link()?.publish(self.topic, queue, payload, notes).await
    }
}

impl Drop for RabbitMqTicket {
    fn drop(&mut self) {
        if let Some(acker) = self.acker.take() {
            give_back(&acker);
        }
    }
}
