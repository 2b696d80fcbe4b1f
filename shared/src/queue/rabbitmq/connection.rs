//! The one connection of a process, kept up by a supervisor.

use super::error::{broker_error, in_time, unavailable};
use super::topology::Topology;
use super::{PATIENCE, RabbitMqConfig};
use crate::queue::QueueError;
use crate::tls::Identity;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::{Stream, StreamExt};
use lapin::options::{ConfirmSelectOptions, QueueDeclareOptions};
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, DefaultConnectionBuilder, Event};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

/// Seconds between heartbeats where the URL does not say (`?heartbeat=`): a connection that is silently gone is noticed
/// after two of them.
const HEARTBEAT: u16 = 10;
/// How often the supervisor looks at the connection without being told.
const TICK: Duration = Duration::from_secs(1);

/// What is known before there is a connection.
pub(super) struct Settings {
    pub(super) topology: Topology,
    uri: AMQPUri,
    tls: OwnedTLSConfig,
    connection_name: String,
}

impl Settings {
    pub(super) fn new(config: RabbitMqConfig) -> Result<Self, QueueError> {
        let topology = Topology::new(&config)?;
        // The parser's own words repeat the URL, which has the password in it.
        let mut uri: AMQPUri = config.url.parse().map_err(|_: String| QueueError::Refused {
            detail: "its address can't be read; write amqp://user:password@host:port/vhost".to_owned(),
        })?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        let patience = PATIENCE.as_millis().try_into().unwrap_or(u64::MAX);
        uri.query.connection_timeout.get_or_insert(patience);
        let identity = |Identity { certificates, key }: Identity| OwnedIdentity::PKCS8 {
            pem: certificates.into_bytes(),
            key: key.into_bytes(),
        };
        let tls = OwnedTLSConfig {
            identity: config.tls.identity.map(identity),
            cert_chain: config.tls.authorities,
        };
        Ok(Self { topology, uri, tls, connection_name: config.connection_name })
    }

    pub(super) fn prefix(&self) -> &str {
        &self.topology.prefix
    }

    /// For log lines.
    fn address(&self) -> String {
        format!("{}:{}", self.uri.authority.host, self.uri.authority.port)
    }
}

/// How the connection is.
pub(super) enum LinkState {
    Up(Arc<Link>),
    Down { detail: String },
    Closed,
}

impl LinkState {
    pub(super) fn link(&self) -> Option<Arc<Link>> {
        match self {
            Self::Up(link) => Some(Arc::clone(link)),
            Self::Down { .. } | Self::Closed => None,
        }
    }
}

/// One connection, from its beginning to its end. The next one is another `Link`.
pub(super) struct Link {
    pub(super) connection: Connection,
    /// For questions.
    control: Channel,
    /// A channel with confirms for each queue, by the queue's name. Why each has its own is told in `publish`.
    pub(super) publishers: HashMap<String, Channel>,
    /// Cancelled when it is of no use any more, by whoever notices first.
    broken: CancellationToken,
}

impl Link {
    async fn establish(settings: &Settings) -> Result<Arc<Self>, QueueError> {
        let properties = ConnectionProperties::default()
            .with_connection_name(settings.connection_name.as_str().into())
            .with_client_property("product".into(), "Scriptorium".into());
        let connecting = Box::pin(async move {
            let builder = DefaultConnectionBuilder::new()?.with_uri(settings.uri.clone());
            builder.with_properties(properties).with_tls_config(settings.tls.clone()).connect().await
        });
        let connection = in_time(connecting).await?.map_err(|error| broker_error(&error))?;
        let control = open_channel(&connection).await?;
        settings.topology.declare(&control).await?;
        let mut publishers = HashMap::new();
        for queue in settings.topology.names() {
            let channel = open_channel(&connection).await?;
            let confirming = channel.confirm_select(ConfirmSelectOptions::default());
            in_time(confirming).await?.map_err(|error| broker_error(&error))?;
            publishers.insert(queue, channel);
        }
        Ok(Arc::new(Self { connection, control, publishers, broken: CancellationToken::new() }))
    }

    /// Makes the supervisor replace this connection.
    pub(super) fn give_up(&self, why: &str) {
        if !self.broken.is_cancelled() {
            debug!(why, "a connection is given up");
        }
        self.broken.cancel();
    }

    /// Returns when it is of no use any more.
    pub(super) async fn broken(&self) {
        self.broken.cancelled().await;
    }

    pub(super) fn usable(&self) -> Result<(), QueueError> {
        if self.broken.is_cancelled() || !self.connection.status().connected() {
            return Err(unavailable("the connection was lost"));
        }
        if self.connection.status().blocked() {
            return Err(unavailable("it takes no messages, because it is short of memory or disk space"));
        }
        Ok(())
    }

    /// The messages that wait in `queue`.
    pub(super) async fn count(&self, queue: &str) -> Result<u64, QueueError> {
        self.usable()?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
        let asked = self.control.queue_declare(queue.into(), passive, FieldTable::default());
        match in_time(asked).await? {
            Ok(found) => Ok(found.message_count().into()),
            Err(error) => {
                // The channel is closed by such an answer, and the queue must be declared again.
                self.give_up("a queue is not there");
                Err(broker_error(&error))
            }
        }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) async fn delete(&self, queue: &str) -> Result<(), QueueError> {
        let deleting = self.control.queue_delete(queue.into(), lapin::options::QueueDeleteOptions::default());
        in_time(deleting).await?.map_err(|error| broker_error(&error))?;
        Ok(())
    }

    /// Waits until the connection is lost, and tells why.
    async fn lost(&self, events: impl Stream<Item = Event>) -> String {
        let mut events = pin!(events);
        let mut tick = tokio::time::interval(TICK);
        let mut why = "it was closed".to_owned();
        loop {
            tokio::select! {
                () = self.broken() => return why,
                Some(event) = events.next() => match note(event) {
                    Some(problem) => why = problem,
                    None => continue,
                },
                _ = tick.tick() => self.forget_given_up().await,
            }
            if !self.connection.status().connected() {
                self.broken.cancel();
                return why;
            }
        }
    }

    /// The client library keeps the confirms of publishers who did not wait for them (a caller gave up) until it is asked
    /// for them.
    async fn forget_given_up(&self) {
        for channel in self.publishers.values() {
            // Outstanding ones are left to the next time.
            let _ = timeout(Duration::ZERO, channel.wait_for_confirms()).await;
        }
    }

    async fn close(&self) {
        if self.connection.status().connected() {
            let _ = timeout(PATIENCE, self.connection.close(200, "closed".into())).await;
        }
    }
}

/// Tells what concerns people; returns what may be the end of the connection.
fn note(event: Event) -> Option<String> {
    if let Event::Error(problem) = event {
        return Some(problem.to_string());
    }
    if let Event::ConnectionBlocked(reason) = event {
        warn!(reason, "the message broker takes no messages for now");
    } else if let Event::ConnectionUnblocked = event {
        info!("the message broker takes messages again");
    }
    None
}

async fn open_channel(connection: &Connection) -> Result<Channel, QueueError> {
    in_time(connection.create_channel()).await?.map_err(|error| broker_error(&error))
}

/// The first connection: waits for the broker until `stop`, but not if it refuses.
pub(super) async fn first(settings: &Settings, stop: &CancellationToken) -> Result<Arc<Link>, QueueError> {
    let (mut pauses, mut told) = (pauses(), false);
    loop {
        let problem = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(unavailable("it was not waited for")),
            attempt = Link::establish(settings) => match attempt {
                Ok(link) => return Ok(link),
                Err(problem) if !problem.retryable() => return Err(problem),
                Err(problem) => problem,
            },
        };
        if !told {
            warn!(address = settings.address(), %problem, "waiting for the message broker");
            told = true;
        }
        tokio::select! {
            () = stop.cancelled() => return Err(problem),
            () = pause(&mut pauses) => {}
        }
    }
}

/// Replaces a lost connection by a new one, until `stop`.
pub(super) async fn supervise(
    settings: Arc<Settings>,
    mut link: Arc<Link>,
    state: watch::Sender<LinkState>,
    stop: CancellationToken,
) {
    loop {
        let events = link.connection.events_listener();
        let why = tokio::select! {
            why = link.lost(events) => why,
            () = stop.cancelled() => break,
        };
        let address = settings.address();
        warn!(address, why, "the connection to the message broker is lost; connecting again");
        state.send_replace(LinkState::Down { detail: format!("the connection was lost: {why}") });
        // What is left of it is closed by the last who holds it.
        link = tokio::select! {
            next = again(&settings) => next,
            () = stop.cancelled() => break,
        };
        info!(address, "connected to the message broker again");
        state.send_replace(LinkState::Up(Arc::clone(&link)));
    }
    state.send_replace(LinkState::Closed);
    // Deliveries in hand keep the link; who holds the last of them ends the connection.
    if let Some(link) = Arc::into_inner(link) {
        link.close().await;
    }
}

async fn again(settings: &Settings) -> Arc<Link> {
    let (mut pauses, mut told) = (pauses(), false);
    loop {
        match Link::establish(settings).await {
            Ok(link) => return link,
            // A person must act; then it goes on.
            Err(problem) if !problem.retryable() && !told => {
                told = true;
                error!(address = settings.address(), %problem, "the message broker can't be used");
            }
            Err(problem) => debug!(%problem, "the message broker is still away"),
        }
        pause(&mut pauses).await;
    }
}

/// 0.2 s, then growing to 5 s, with jitter, without end.
fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times()
        .build()
}

async fn pause(pauses: &mut ExponentialBackoff) {
    tokio::time::sleep(pauses.next().unwrap_or(PATIENCE)).await;
}
