//! How a role tells the cluster that it runs (`/healthz`) and that it can work (`/readyz`), on a port of its own (R65).
//!
//! The port is opened before anything else: a process that waits for its services is alive, but not ready.

use crate::objects::Objects;
use crate::queue::Queue;
use crate::store::Store;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// For one question to a service.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a role needs to work.
#[derive(Clone)]
pub struct Needs {
    /// A worker reads no job state.
    pub store: Option<Store>,
    pub queue: Queue,
    pub objects: Objects,
}

/// The state of a role, as its operations port tells it.
#[derive(Clone)]
pub struct Health {
    needs: Arc<OnceLock<Needs>>,
    /// Cancelled when the process is asked to end.
    shutdown: CancellationToken,
}

impl Health {
    pub fn new(shutdown: CancellationToken) -> Self {
        Self { needs: Arc::default(), shutdown }
    }

    /// From now on the role is ready when these answer. Said once.
    pub fn started(&self, needs: Needs) {
        if self.needs.set(needs).is_err() {
            tracing::debug!("the role had started before");
        }
    }

    /// Answers until `end`.
    ///
    /// # Errors
    /// The listener can't be used.
    pub async fn serve(self, listener: TcpListener, end: CancellationToken) -> io::Result<()> {
        let router =
            Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz)).with_state(self);
        axum::serve(listener, router).with_graceful_shutdown(end.cancelled_owned()).await
    }

    async fn look(&self) -> Ready {
        let Some(needs) = self.needs.get() else { return Ready::of("starting", BTreeMap::new()) };
        let store = async {
            match &needs.store {
                Some(store) => Some(("store", check("store", PATIENCE, store.ping()).await)),
                None => None,
            }
        };
        let (store, queue, objects) = tokio::join!(
            store,
            check("queue", PATIENCE, needs.queue.ping()),
            check("objects", PATIENCE, needs.objects.ping()),
        );
        let checks: BTreeMap<_, _> =
            store.into_iter().chain([("queue", queue), ("objects", objects)]).collect();
        let fine = checks.values().all(|answer| *answer == "ok");
        Ready::of(if fine { "ok" } else { "unavailable" }, checks)
    }
}

#[derive(Debug, Serialize)]
struct Ready {
    /// `ok`, `starting`, `unavailable` or `shutting_down`.
    status: &'static str,
    checks: BTreeMap<&'static str, &'static str>,
}

impl Ready {
    fn of(status: &'static str, checks: BTreeMap<&'static str, &'static str>) -> Self {
        Self { status, checks }
    }
}

async fn healthz() -> Response {
    fresh(Json(serde_json::json!({"status": "ok"})).into_response())
}

async fn readyz(State(health): State<Health>) -> Response {
    let mut ready = health.look().await;
    if health.shutdown.is_cancelled() {
        ready.status = "shutting_down";
    }
    let code = if ready.status == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    fresh((code, Json(ready)).into_response())
}

fn fresh(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What a service answers within `patience`: `ok`, `unavailable` or `timed_out`.
pub async fn check<E: Display>(
    part: &str,
    patience: Duration,
    ping: impl Future<Output = Result<(), E>>,
) -> &'static str {
    match tokio::time::timeout(patience, ping).await {
        Ok(Ok(())) => "ok",
        Ok(Err(error)) => {
            tracing::warn!(part, %error, "not ready");
            "unavailable"
        }
        Err(_) => {
            tracing::warn!(part, "not ready: no answer in time");
            "timed_out"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::EmbeddedQueue;
    use crate::testing::no_objects;
    use tokio::task::JoinSet;

    async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("http://{address}{path}")).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    #[tokio::test]
    async fn alive_before_it_is_ready() {
        let (shutdown, end) = (CancellationToken::new(), CancellationToken::new());
        let health = Health::new(shutdown.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(health.clone().serve(listener, end.clone()));

        assert_eq!(get(address, "/healthz").await.0, 200);
        assert_eq!(get(address, "/readyz").await, (503, r#"{"status":"starting","checks":{}}"#.to_owned()));

        let queue = Queue::Embedded(EmbeddedQueue::new());
        health.started(Needs { store: None, queue, objects: no_objects() });
        let (code, body) = get(address, "/readyz").await;
        assert_eq!(code, 503, "the object store is not there");
        assert!(body.contains(r#""queue":"ok""#) && body.contains(r#""status":"unavailable""#), "{body}");

        shutdown.cancel();
        assert!(get(address, "/readyz").await.1.contains("shutting_down"));
        assert_eq!(get(address, "/healthz").await.0, 200);
        end.cancel();
        server.join_next().await.unwrap().unwrap().unwrap();
    }
}
