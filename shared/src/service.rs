//! Calls of a service elsewhere that speaks OpenAI's API: within the limits that hold for all processes together, again where
//! that may help, and at another address where one does not answer.

use crate::clock;
use crate::limiter::{CallLimits, Granted, Limiter, Permit};
use crate::waits::Waits;
use futures::future::BoxFuture;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;
use tracing::{debug, warn};

/// No `Retry-After` is obeyed for longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// An endpoint that refuses us may be mended, but not at once.
const REFUSED_PAUSE: Duration = Duration::from_secs(20);
/// Answers hold text, of which a megabyte is some hours.
const MAX_REPLY: usize = 1 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One server of the API.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// With the version: `https://api.openai.com/v1`.
    pub base_url: String,
    /// Servers of one's own may need none.
    pub api_key: Option<String>,
}

impl fmt::Debug for Endpoint {
    /// Without the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Endpoint").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
pub struct ServiceConfig {
    /// The name under which the limiter counts the calls.
    pub name: &'static str,
    /// Asked in this order: the next one where the one before does not answer.
    pub endpoints: Vec<Endpoint>,
    /// Over all processes together, as far as they share the limiter.
    pub limits: CallLimits,
    /// For one call.
    pub timeout: Duration,
    /// Before an endpoint that failed is asked again, if it does not say; doubles with each try of a call.
    pub first_pause: Duration,
    /// Tries of one call.
    pub tries: u32,
}

/// Why there is no answer. The texts are for logs: they name addresses, and no keys.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// It may pass.
    #[error("{0}")]
    Unavailable(String),
    /// No endpoint takes us: a wrong key, a model that it does not have.
    #[error("{0}")]
    Refused(String),
    /// It would be the same everywhere.
    #[error("the API answers {0}")]
    Request(StatusCode),
}

/// Why one try gave no answer.
enum Trouble {
    /// Ask again, not before this time if the endpoint says so.
    Away {
        what: String,
        pause: Option<Duration>,
    },
    Refused(StatusCode),
    Request(StatusCode),
}

pub struct Service {
    client: Client,
    config: ServiceConfig,
    /// When each endpoint may be asked again.
    free_at: Mutex<Vec<Instant>>,
    limiter: Limiter,
}

impl Service {
    /// Calls nobody yet.
    ///
    /// # Errors
    /// This machine has no root certificates to check a server's with.
    pub fn new(config: ServiceConfig, limiter: Limiter) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let free_at = Mutex::new(vec![Instant::now(); config.endpoints.len()]);
        Ok(Self { client, config, free_at, limiter })
    }

    /// Posts to `path` below an endpoint's address (`/chat/completions`). `fill` gives the request its body, `read` makes something
    /// of the answer's; an answer of which it makes nothing is a fault that may pass. `waits` counts the time until a call is made.
    ///
    /// # Errors
    /// After all tries, or where no further one can help.
    pub fn post<'a, T: Send + 'a>(
        &'a self,
        path: &'a str,
        fill: impl Fn(RequestBuilder) -> Result<RequestBuilder, reqwest::Error> + Send + Sync + 'a,
        read: impl Fn(&[u8]) -> Option<T> + Send + Sync + 'a,
        waits: &'a Waits,
    ) -> BoxFuture<'a, Result<T, ServiceError>> {
        Box::pin(async move {
            let mut last = ServiceError::Unavailable("it has no address".to_owned());
            let mut refused = vec![false; self.config.endpoints.len()];
            for attempt in 0..self.config.tries {
                let (index, free_at) = self.next_endpoint();
                let Some(endpoint) = self.config.endpoints.get(index) else { break };
                let waiting = waits.begin();
                tokio::time::sleep_until(free_at).await;
                let permit = self.permit().await?;
                // While this call waited for leave, another one may have been told to wait.
                let permit = self.still_free(index, permit).await?;
                drop(waiting);
                let outcome = self.try_once(endpoint, path, &fill, &read).await;
                self.give_back(permit).await;
                let pause = match outcome {
                    Ok(answer) => return Ok(answer),
                    Err(Trouble::Request(status)) => return Err(ServiceError::Request(status)),
                    Err(Trouble::Refused(status)) => {
                        last = ServiceError::Refused(format!("{} answers {status}", endpoint.base_url));
                        if let Some(refused) = refused.get_mut(index) {
                            *refused = true;
                        }
                        REFUSED_PAUSE
                    }
                    Err(Trouble::Away { what, pause }) => {
                        last = ServiceError::Unavailable(format!("{}: {what}", endpoint.base_url));
                        pause.unwrap_or(self.config.first_pause * (1 << attempt.min(16)))
                    }
                };
                warn!(problem = %last, pause_seconds = pause.as_secs_f64(), "a call of the API failed");
                self.put_off(index, pause.min(LONGEST_PAUSE));
                if refused.iter().all(|refused| *refused) {
                    break;
                }
            }
            Err(last)
        })
    }

    /// The one that may be asked first; of several the first in the list.
    fn next_endpoint(&self) -> (usize, Instant) {
        let (now, free_at) = (Instant::now(), self.free_at.lock().unwrap_or_else(PoisonError::into_inner));
        let times = free_at.iter().map(|at| (*at).max(now)).enumerate();
        times.min_by_key(|(_, at)| *at).unwrap_or((0, now))
    }

    /// A short pause does not end a longer one that another call was told.
    fn put_off(&self, index: usize, pause: Duration) {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = free_at.get_mut(index) {
            *at = (*at).max(Instant::now() + pause);
        }
    }

    /// Gives the permit back while the endpoint has asked for a pause, and waits for both again.
    async fn still_free(&self, index: usize, mut permit: Permit) -> Result<Permit, ServiceError> {
        loop {
            let free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner).get(index).copied();
            let Some(free_at) = free_at.filter(|at| *at > Instant::now()) else { return Ok(permit) };
            self.give_back(permit).await;
            tokio::time::sleep_until(free_at).await;
            permit = self.permit().await?;
        }
    }

    async fn give_back(&self, permit: Permit) {
        if let Err(problem) = self.limiter.release(permit).await {
            debug!(%problem, "a permit can't be given back; it ends with its lease");
        }
    }

    /// Waits for leave to make a call. It ends by itself should this process die during the call.
    async fn permit(&self) -> Result<Permit, ServiceError> {
        let lease = self.config.timeout + Duration::from_secs(10);
        loop {
            let granted =
                self.limiter.acquire(self.config.name, self.config.limits, clock::now(), lease).await;
            match granted.map_err(|problem| ServiceError::Unavailable(problem.to_string()))? {
                Granted::Permit(permit) => return Ok(permit),
                Granted::Wait(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    async fn try_once<T>(
        &self,
        endpoint: &Endpoint,
        path: &str,
        fill: &(impl Fn(RequestBuilder) -> Result<RequestBuilder, reqwest::Error> + Send + Sync),
        read: &(impl Fn(&[u8]) -> Option<T> + Send + Sync),
    ) -> Result<T, Trouble> {
        let url = format!("{}{path}", endpoint.base_url.trim_end_matches('/'));
        let mut request = fill(self.client.post(url).timeout(self.config.timeout)).map_err(away)?;
        if let Some(key) = &endpoint.api_key {
            request = request.bearer_auth(key);
        }
        // What reqwest says names the URL, and never the key.
        let response = request.send().await.map_err(|problem| away(problem.without_url()))?;
        let status = response.status();
        if status.is_success() {
            let what = || Trouble::Away { what: "an answer that can't be read".to_owned(), pause: None };
            return read(&body(response).await?).ok_or_else(what);
        }
        let pause = retry_after(&response);
        Err(match status.as_u16() {
            408 | 409 | 425 | 429 | 500..=599 => Trouble::Away { what: status.to_string(), pause },
            400 | 413 | 415 | 422 => Trouble::Request(status),
            _ => Trouble::Refused(status),
        })
    }
}

async fn body(mut response: Response) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|problem| away(problem.without_url()))? {
        if body.len() + piece.len() > MAX_REPLY {
            return Err(Trouble::Away { what: "a reply of more than 1 MiB".to_owned(), pause: None });
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

fn away(problem: reqwest::Error) -> Trouble {
    let what = if problem.is_timeout() { "no answer in time".to_owned() } else { problem.to_string() };
    Trouble::Away { what, pause: None }
}

/// Seconds; a date is not used by these APIs.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds: f64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().map(|pause| pause.min(LONGEST_PAUSE))
}
