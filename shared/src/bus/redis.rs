//! The bus over Redis's publish and subscribe: one subscription a process, fanned out to its readers.
//!
//! Messages of a broken connection are gone, so after each new one all readers get [`Wake::Missed`].

use super::Wake;
use crate::redis::{
    CONNECT_TIMEOUT, Link, Nodes, RedisConfig, RedisError, Request, Waiting, connect, wake_channel,
};
use futures::StreamExt;
use futures::future::BoxFuture;
use redis::Msg;
use redis::aio::{PubSubSink, PubSubStream};
use scriptorium_contracts::JobId;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// Wake-ups that a subscriber may be behind before it misses some.
const CAPACITY: usize = 1_024;
/// How often a silent connection is asked whether it is alive.
const PING_EVERY: Duration = Duration::from_secs(10);
/// For so long its answer is waited for.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Clones share the subscription, which ends with the last of them.
#[derive(Clone)]
pub struct RedisBus {
    inner: Arc<Inner>,
}

struct Inner {
    link: Link,
    channel: String,
    wakes: broadcast::Sender<Wake>,
    _listening: JoinSet<()>,
}

impl RedisBus {
    /// Returns when Redis has confirmed the subscription, so what is notified from then on is heard. Waits for a
    /// Redis that is not up yet, until `shutdown`; what a person must mend is an error at once.
    pub fn connect<'a>(
        config: &'a RedisConfig,
        shutdown: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Self, RedisError>> {
        Box::pin(async move {
            let link = connect(config, shutdown).await?;
            let (channel, wakes) = (wake_channel(config), broadcast::Sender::new(CAPACITY));
            let listener =
                Listener { nodes: config.nodes()?, channel: channel.clone(), wakes: wakes.clone() };
            let subscribed = listener.subscribe_until(shutdown).await?;
            let mut listening = JoinSet::new();
            listening.spawn(listener.run(subscribed));
            Ok(Self { inner: Arc::new(Inner { link, channel, wakes, _listening: listening }) })
        })
    }

    /// A wake-up that can't be told is lost, which readers put up with.
    pub(super) async fn notify(&self, job: JobId) {
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(&self.inner.channel).arg(job.to_string());
        if let Err(error) = self.inner.link.call::<u64>(Request::Command(&publish)).await {
            tracing::debug!(%job, %error, "a wake-up is lost");
        }
    }

    pub(super) fn subscribe(&self) -> RedisSubscription {
        RedisSubscription { wakes: self.inner.wakes.subscribe() }
    }
}

impl fmt::Debug for RedisBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBus").field("channel", &self.inner.channel).finish_non_exhaustive()
    }
}

/// See [`super::Subscription`].
#[derive(Debug)]
pub struct RedisSubscription {
    wakes: broadcast::Receiver<Wake>,
}

impl RedisSubscription {
    pub(super) async fn next(&mut self) -> Wake {
        match self.wakes.recv().await {
            Ok(wake) => wake,
            Err(RecvError::Lagged(_)) => Wake::Missed,
            Err(RecvError::Closed) => Wake::Closed,
        }
    }
}

type Subscribed = (PubSubSink, PubSubStream);

/// The one who holds the subscription.
struct Listener {
    /// Any of a cluster hears what is told to any other.
    nodes: Nodes,
    channel: String,
    wakes: broadcast::Sender<Wake>,
}

impl Listener {
    async fn subscribe_until(&self, shutdown: &CancellationToken) -> Result<Subscribed, RedisError> {
        let mut waiting = Waiting::new(self.nodes.address.clone());
        loop {
            let subscribed = shutdown.run_until_cancelled(self.subscribe()).await;
            match subscribed.unwrap_or(Err(RedisError::Closed)) {
                Ok(subscribed) => return Ok(subscribed),
                Err(error) => waiting.after(error, shutdown).await?,
            }
        }
    }

    /// By the first of the nodes that answers.
    async fn subscribe(&self) -> Result<Subscribed, RedisError> {
        let mut problem = RedisError::Unavailable { detail: "no subscription in time".to_owned() };
        for node in &self.nodes.clients {
            let subscribing = async {
                let mut connection = node.get_async_pubsub().await?;
                connection.subscribe(&self.channel).await?;
                Ok::<_, redis::RedisError>(connection.split())
            };
            match timeout(CONNECT_TIMEOUT, subscribing).await {
                Ok(Ok(subscribed)) => return Ok(subscribed),
                Ok(Err(error)) => problem = RedisError::of(&error),
                Err(_) => {}
            }
        }
        Err(problem)
    }

    /// Until it is dropped.
    async fn run(self, mut subscribed: Subscribed) {
        loop {
            self.forward(subscribed).await;
            tracing::warn!(
                address = self.nodes.address,
                "the subscription to Redis is broken; making it anew"
            );
            subscribed = self.subscribe_again().await;
            tracing::info!(address = self.nodes.address, "subscribed to Redis again");
            // An error means that nobody listens.
            let _ = self.wakes.send(Wake::Missed);
        }
    }

    /// Goes on whatever the error: who was let in before is let in again some day.
    async fn subscribe_again(&self) -> Subscribed {
        let mut waiting = Waiting::new(self.nodes.address.clone());
        loop {
            match self.subscribe().await {
                Ok(subscribed) => return subscribed,
                Err(error) => waiting.pause(&error).await,
            }
        }
    }

    /// Hands on what comes, until the connection breaks. Nobody is waited for, so what the library has received does
    /// not pile up in its channel, which has no bound of its own.
    async fn forward(&self, (mut sink, mut messages): Subscribed) {
        let mut pings = interval(PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => self.tell(&message),
                    None => return,
                },
                _ = pings.tick() => match timeout(PING_TIMEOUT, sink.ping::<redis::Value>()).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(_)) | Err(_) => return,
                },
            }
        }
    }

    fn tell(&self, message: &Msg) {
        let job = std::str::from_utf8(message.get_payload_bytes()).ok().and_then(|job| job.parse().ok());
        match job {
            // An error means that nobody listens.
            Some(job) => drop(self.wakes.send(Wake::Job(job))),
            None => tracing::debug!(channel = self.channel, "a message that names no job"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Bus;
    use super::*;
    use crate::redis::server::RedisServer;
    use crate::testing::{RedisCorner, new_id};

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn connect_to(config: &RedisConfig) -> RedisBus {
        RedisBus::connect(config, &CancellationToken::new()).await.unwrap()
    }

    async fn next(subscription: &mut RedisSubscription) -> Wake {
        timeout(PATIENCE, subscription.next()).await.expect("a wake-up comes")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keeps_the_promises_of_a_bus() {
        let Some(corner) = RedisCorner::new() else { return };
        crate::testing::bus_contract(async || Bus::Redis(connect_to(&corner.part()).await)).await;
        corner.clean().await;
    }

    /// What is notified after `subscribe` has returned is heard, also from another process, and nothing of others.
    #[tokio::test]
    async fn everything_after_the_subscription_is_heard() {
        let Some(corner) = RedisCorner::new() else { return };
        let stranger = connect_to(&corner.part()).await;
        for _ in 0..50 {
            let (here, there) = (connect_to(&corner.config()).await, connect_to(&corner.config()).await);
            let mut subscription = here.subscribe();
            let jobs = [new_id(), new_id(), new_id()];
            stranger.notify(new_id()).await;
            for job in jobs {
                there.notify(job).await;
            }
            for job in jobs {
                assert_eq!(next(&mut subscription).await, Wake::Job(job));
            }
        }
        corner.clean().await;
    }

    #[tokio::test]
    async fn tells_when_the_bus_is_gone() {
        let Some(corner) = RedisCorner::new() else { return };
        let bus = connect_to(&corner.config()).await;
        let mut subscription = bus.subscribe();
        drop(bus);
        assert_eq!(next(&mut subscription).await, Wake::Closed);
        corner.clean().await;
    }

    #[tokio::test]
    async fn a_broken_subscription_comes_back() {
        let Some(mut server) = RedisServer::start(&[]).await else { return };
        let bus = connect_to(&server.config()).await;
        let mut subscription = bus.subscribe();
        for round in 0..3 {
            server.kill();
            if round == 0 {
                // Nobody hears this; nobody waits for ever either.
                timeout(PATIENCE, bus.notify(new_id())).await.unwrap();
            }
            let mut late = bus.subscribe();
            server.begin();
            assert_eq!(next(&mut subscription).await, Wake::Missed);
            assert_eq!(next(&mut late).await, Wake::Missed);
            let job = new_id();
            bus.notify(job).await;
            for subscription in [&mut subscription, &mut late] {
                assert_eq!(next(subscription).await, Wake::Job(job));
            }
        }
    }

    /// Messages that are none of ours do no harm.
    #[tokio::test]
    async fn strange_messages_are_passed_over() {
        let Some(corner) = RedisCorner::new() else { return };
        let bus = connect_to(&corner.config()).await;
        let mut subscription = bus.subscribe();
        let mut connection = corner.connection().await;
        for message in [b"".as_slice(), b"\xff\xfe", b"no job", &[b'a'; 100_000]] {
            let mut publish = redis::cmd("PUBLISH");
            publish.arg(&bus.inner.channel).arg(message).exec_async(&mut connection).await.unwrap();
        }
        let job = new_id();
        bus.notify(job).await;
        assert_eq!(next(&mut subscription).await, Wake::Job(job));
        corner.clean().await;
    }
}
