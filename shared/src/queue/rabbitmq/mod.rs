//! The queue on RabbitMQ 3.10 or newer: quorum queues, publisher confirms, manual acknowledgements.
//!
//! One supervised connection a process ([`connection`]) carries everything: the publishers' channels, one a queue
//! ([`publish`]), and a channel for each consumer ([`consume`]). People look at dead letters by [`dead`]. What exists in the broker is said in [`topology`].
//!
//! Publishers and consumers share the connection although a broker that is short of memory stops reading from those that
//! publish: here nobody acknowledges a message before it has published what followed from it, so acknowledgements on a
//! connection of their own would have nothing to say either.

mod cause;
mod connection;
mod consume;
mod dead;
mod error;
mod publish;
#[cfg(test)]
mod tests;
mod topology;

use super::{QueueError, RetryDelays, Topic};
use crate::tls::Tls;
use connection::{Link, LinkState, Settings};
use consume::Subscription;
pub use consume::{RabbitMqConsumer, RabbitMqTicket};
pub use dead::{DeadLetter, SentAgain, Which};
use futures::future::BoxFuture;
use publish::Notes;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The time after which an answer of the broker is no longer waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the broker is, and how it is used.
#[derive(Clone)]
pub struct RabbitMqConfig {
    /// `amqp://user:password@host:port/vhost` or `amqps://…`; the vhost is written with `%2f` for `/`. Secret: it is
    /// neither logged nor part of an error.
    pub url: String,
    /// What the names of all queues begin with: letters, digits, `-`, `_` and `.`, at most 100.
    pub prefix: String,
    /// What the broker calls this process.
    pub connection_name: String,
    /// The pauses of [`super::Delivery::retry_later`]. Each is a queue of its own in the broker.
    pub delays: RetryDelays,
    pub bounds: Bounds,
    /// For `amqps://`.
    pub tls: Tls,
}

impl RabbitMqConfig {
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "scriptorium".into(),
            connection_name: "scriptorium".into(),
            delays: RetryDelays::default(),
            bounds: Bounds::default(),
            tls: Tls::default(),
        }
    }
}

impl fmt::Debug for RabbitMqConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, prefix, connection_name, delays, bounds, tls } = self;
        f.debug_struct("RabbitMqConfig")
            .field("prefix", prefix)
            .field("connection_name", connection_name)
            .field("delays", delays)
            .field("bounds", bounds)
            .field("tls", tls)
            .finish_non_exhaustive()
    }
}

/// What each queue holds at most. A queue that exists keeps the bounds with which it was declared: all processes need
/// the same, and others are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Messages; a fuller queue refuses more.
    pub messages: u32,
    /// Bytes of messages; a fuller queue refuses more.
    pub bytes: u64,
    /// Deliveries that ended without an answer (a crash, a lost connection) before a message becomes a dead letter.
    pub deliveries: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { messages: 65_536, bytes: 1 << 30, deliveries: 20 }
    }
}

/// See the promises of [`super`]. Clones are the same queue.
#[derive(Clone)]
pub struct RabbitMqQueue {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Arc<Settings>,
    state: watch::Receiver<LinkState>,
    stop: CancellationToken,
    /// The task that keeps the connection; ended by `close`, or aborted with the last clone.
    supervisor: Mutex<JoinSet<()>>,
}

impl fmt::Debug for RabbitMqQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqQueue").field("prefix", &self.inner.settings.prefix()).finish_non_exhaustive()
    }
}

impl RabbitMqQueue {
    /// Connects and declares the queues. Waits for a broker that is not up yet, until `stop`; then it tells why it had to
    /// wait. What waiting does not mend (wrong password, unknown vhost, queues that are declared otherwise) is
    /// [`QueueError::Refused`] at once.
    pub fn connect(
        config: RabbitMqConfig,
        stop: &CancellationToken,
    ) -> BoxFuture<'_, Result<Self, QueueError>> {
        Box::pin(async move {
            let settings = Arc::new(Settings::new(config)?);
            let link = connection::first(&settings, stop).await?;
            let (sender, state) = watch::channel(LinkState::Up(Arc::clone(&link)));
            let stop = CancellationToken::new();
            let mut supervisor = JoinSet::new();
            supervisor.spawn(connection::supervise(Arc::clone(&settings), link, sender, stop.clone()));
            Ok(Self { inner: Arc::new(Inner { settings, state, stop, supervisor: Mutex::new(supervisor) }) })
        })
    }

    /// The connection of this moment.
    fn link(&self) -> Result<Arc<Link>, QueueError> {
        if self.inner.stop.is_cancelled() {
            return Err(QueueError::Closed);
        }
        match &*self.inner.state.borrow() {
            LinkState::Up(link) => Ok(Arc::clone(link)),
            LinkState::Down { detail } => Err(QueueError::Unavailable { detail: detail.clone() }),
            LinkState::Closed => Err(QueueError::Closed),
        }
    }

    pub(super) async fn publish(&self, topic: Topic, payload: &[u8]) -> Result<(), QueueError> {
        let queue = self.inner.settings.topology.of_topic(topic);
        self.link()?.publish(topic, &queue, payload, &Notes::default()).await
    }

    pub(super) async fn consume(
        &self,
        topic: Topic,
        prefetch: usize,
    ) -> Result<RabbitMqConsumer, QueueError> {
        let queue = self.inner.settings.topology.of_topic(topic);
        let prefetch = consume::bounded_prefetch(prefetch);
        let subscription = match self.link() {
            Ok(link) => Subscription::begin(link, queue, prefetch).await,
            Err(problem) => Err(problem),
        };
        match subscription {
            Ok(subscription) => Ok(RabbitMqConsumer::new(self.clone(), topic, prefetch, Some(subscription))),
            // Lost in this very moment, it is as good as lost in the next one.
            Err(QueueError::Unavailable { .. }) => {
                Ok(RabbitMqConsumer::new(self.clone(), topic, prefetch, None))
            }
            Err(problem) => Err(problem),
        }
    }

    pub(super) fn ping(&self) -> Result<(), QueueError> {
        self.link()?.usable()
    }

    pub(super) async fn dead_letters(&self) -> Result<u64, QueueError> {
        self.link()?.count(&self.inner.settings.topology.dead()).await
    }

    /// Ends the connection; while there are deliveries in hand, or consumers that have not looked since, it lasts until
    /// the last of them is gone.
    pub(super) async fn close(&self) {
        self.inner.stop.cancel();
        let mut supervisor = {
            let mut kept = self.inner.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *kept)
        };
        // It is bounded by itself, and aborted if the caller doesn't wait.
        while supervisor.join_next().await.is_some() {}
    }

    /// Deletes all queues of this prefix with what they hold, and closes.
    #[cfg(any(test, feature = "testing"))]
    pub async fn delete_and_close(&self) -> Result<(), QueueError> {
        let link = self.link()?;
        for queue in self.inner.settings.topology.names() {
            link.delete(&queue).await?;
        }
        self.close().await;
        Ok(())
    }
}
