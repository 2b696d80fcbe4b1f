//! One connection to Redis, shared by all callers and made anew when it breaks.
//!
//! Not the library's `ConnectionManager`, because that one stays broken after a failure that is not of the network
//! (a password that is changed, a start that takes long), and goes on with a connection that has stopped answering.
//!
//! Everything that is sent through here is *repeatable*: done twice it leaves what it leaves when done once. So a call
//! whose connection broke, which may have been carried out or not, is simply sent again, and a Redis that is away for
//! less than [`CALL_TIMEOUT`] is not noticed by anyone.

use super::RedisError;
use super::config::Nodes;
use super::connection::Connection;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::future::BoxFuture;
use redis::{Cmd, FromRedisValue, Pipeline, RedisResult, Script, Value};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// A call that has no answer after this is given up, if nothing else is said.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Until a connection to a node is made and its user accepted. Shorter than a call, so that a call may try another time.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What is sent.
#[derive(Clone, Copy)]
pub(crate) enum Request<'a> {
    Command(&'a Cmd),
    Pipeline(&'a Pipeline),
    /// An `EVALSHA` of the script, which is loaded if Redis does not know it (any more).
    Script(&'a Script, &'a Cmd),
}

/// What came back.
pub(crate) struct Reply<T> {
    pub value: T,
    /// It was sent more than once, so the answer may be to a repetition of what had been done already.
    pub repeated: bool,
}

/// Clones share the connection.
#[derive(Clone)]
pub(crate) struct Link {
    inner: Arc<Inner>,
}

struct Inner {
    nodes: Nodes,
    /// A call that has no answer after this is given up.
    patience: Duration,
    /// Calls under way; closed when the link is.
    calls: TaskTracker,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// Of the connection, so that nobody takes away a newer one than the one that failed him.
    generation: u64,
    broken: Option<Broken>,
}

/// Since the last connection broke. All callers share the pauses, or a thousand of them would knock a thousand times.
struct Broken {
    error: RedisError,
    pauses: ExponentialBackoff,
    retry_at: Instant,
}

impl Link {
    pub fn new(nodes: Nodes) -> Self {
        Self::with_patience(nodes, CALL_TIMEOUT)
    }

    /// For calls of which nothing depends: they are given up after this.
    pub fn with_patience(nodes: Nodes, patience: Duration) -> Self {
        let inner = Inner { nodes, patience, calls: TaskTracker::new(), state: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Host and port, for logs.
    pub fn address(&self) -> &str {
        &self.inner.nodes.address
    }

    /// What Redis tells about a subject (`INFO`): a text of each primary.
    pub async fn info(&self, subject: &str) -> Result<Vec<String>, RedisError> {
        let mut asking = redis::cmd("INFO");
        asking.arg(subject);
        let told: Value = self.call(Request::Command(&asking)).await?;
        let told = if let Value::Map(nodes) = told {
            nodes.into_iter().map(|(_, told)| told).collect()
        } else {
            vec![told]
        };
        told.into_iter().map(read).collect()
    }

    /// Sends and waits for the answer, trying again until its time is over.
    pub async fn call<T: FromRedisValue>(&self, request: Request<'_>) -> Result<T, RedisError> {
        Ok(self.call_and_tell(request).await?.value)
    }

    /// The same, and whether it was sent more than once.
    pub async fn call_and_tell<T: FromRedisValue>(
        &self,
        request: Request<'_>,
    ) -> Result<Reply<T>, RedisError> {
        let _under_way = self.inner.calls.token();
        let (mut used, mut last, mut sent) = (None, None, 0);
        let mut pauses = pauses();
        let calling = async {
            loop {
                let error = match self.try_once(request, &mut used, &mut sent).await {
                    Ok(value) => return Ok(value),
                    Err(error @ RedisError::Unavailable { .. }) => error,
                    Err(error) => return Err(error),
                };
                last = Some(error);
                tokio::time::sleep(pauses.next().unwrap_or(CALL_TIMEOUT)).await;
            }
        };
        let value = match tokio::time::timeout(self.inner.patience, calling).await {
            Ok(value) => value?,
            Err(_) => {
                let error = last.unwrap_or_else(|| RedisError::Unavailable {
                    detail: format!("{} does not answer", self.address()),
                });
                // A connection may be dead without a sign of it.
                if let Some(generation) = used {
                    self.broken(generation, &error).await;
                }
                return Err(error);
            }
        };
        Ok(Reply { value: read(value)?, repeated: sent > 1 })
    }

    /// One attempt. `used` is the generation of a connection from which no answer has come yet.
    async fn try_once(
        &self,
        request: Request<'_>,
        used: &mut Option<u64>,
        sent: &mut u32,
    ) -> Result<Value, RedisError> {
        let (generation, mut connection) = self.connection().await?;
        (*used, *sent) = (Some(generation), sent.saturating_add(1));
        let answer = send(request, &mut connection).await;
        *used = None;
        match answer {
            Ok(value) => Ok(value),
            Err(error) => {
                let told = RedisError::of(&error);
                if RedisError::ends_connection(&error) {
                    self.broken(generation, &told).await;
                }
                Err(told)
            }
        }
    }

    async fn connection(&self) -> Result<(u64, Connection), RedisError> {
        let mut state = self.inner.state.lock().await;
        if self.inner.calls.is_closed() {
            return Err(RedisError::Closed);
        }
        if let Some(connection) = &state.connection {
            return Ok((state.generation, connection.clone()));
        }
        if let Some(broken) = &state.broken
            && Instant::now() < broken.retry_at
        {
            return Err(broken.error.clone());
        }
        match self.make().await {
            Ok(connection) => {
                state.generation += 1;
                state.connection = Some(connection.clone());
                if state.broken.take().is_some() && state.generation > 1 {
                    tracing::info!(address = self.address(), "connected to Redis again");
                }
                Ok((state.generation, connection))
            }
            Err(error) => {
                // Who was let in before is let in again some day: a password is being changed, or there are too many
                // clients for a while, which the library does not tell apart.
                let error = if state.generation > 0 { error.passing() } else { error };
                state.failed(error.clone());
                Err(error)
            }
        }
    }

    fn make(&self) -> BoxFuture<'_, Result<Connection, RedisError>> {
        Box::pin(Connection::make(&self.inner.nodes))
    }

    /// The connection of this generation is not used any more. Calls under way on it may still be answered.
    async fn broken(&self, generation: u64, error: &RedisError) {
        let mut state = self.inner.state.lock().await;
        if state.generation == generation && state.connection.take().is_some() {
            tracing::warn!(address = self.address(), %error, "the connection to Redis is broken; making it anew");
            let retry_at = Instant::now();
            state.broken = Some(Broken { error: error.clone(), pauses: pauses(), retry_at });
        }
    }

    /// Waits for the calls under way and ends the connection; later calls are refused. Harmless twice.
    pub async fn close(&self) {
        self.inner.calls.close();
        self.inner.calls.wait().await;
        self.inner.state.lock().await.connection = None;
    }
}

impl State {
    /// No connection could be made; the next one is tried after a pause.
    fn failed(&mut self, error: RedisError) {
        let mut pauses = self.broken.take().map_or_else(pauses, |broken| broken.pauses);
        let pause = pauses.next().unwrap_or(CALL_TIMEOUT);
        self.broken = Some(Broken { error, pauses, retry_at: Instant::now() + pause });
    }
}

fn send<'a>(request: Request<'a>, connection: &'a mut Connection) -> BoxFuture<'a, RedisResult<Value>> {
    Box::pin(async move {
        match request {
            Request::Command(command) => command.query_async(connection).await,
            Request::Pipeline(pipeline) => pipeline.query_async(connection).await,
            Request::Script(script, command) => match command.query_async(connection).await {
                Err(error) if error.code() == Some("NOSCRIPT") => {
                    script.load_async(connection).await?;
                    command.query_async(connection).await
                }
                answer => answer,
            },
        }
    })
}

fn read<T: FromRedisValue>(value: Value) -> Result<T, RedisError> {
    redis::from_redis_value(value)
        .map_err(|error| RedisError::Internal { detail: format!("an unexpected answer: {error}") })
}

/// 20 ms, growing to a second, with jitter.
pub(super) fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(20))
        .with_max_delay(Duration::from_secs(1))
        .without_max_times()
        .with_jitter()
        .build()
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("address", &self.inner.nodes.address).finish_non_exhaustive()
    }
}
