//! The server's resources, one function each.

use super::error::{ClientError, refused};
use super::wire::{Fetch, FreshUrls, JobsPage, NewFetch, NewUpload, Notice, Status, Upload};
use crate::args::Format;
use crate::config::ApiKey;
use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use reqwest::{Method, RequestBuilder, Response, Url, header, redirect};
use scriptorium_contracts::JobId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::time::Duration;

/// Longest reply that is read into memory: a transcript as JSON of some days.
const MAX_REPLY: usize = 1 << 30;
/// Longest reply of which the reason for a refusal is read.
const MAX_PROBLEM: usize = 64 << 10;
/// For questions that the server answers from its records.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// How often and how long something is tried that may pass.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Tries after the first.
    pub retries: usize,
    pub first_delay: Duration,
    pub longest_delay: Duration,
    /// A transfer on which nothing moves for so long is given up and begun again.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            retries: 8,
            first_delay: Duration::from_millis(300),
            longest_delay: Duration::from_secs(15),
            stall: Duration::from_secs(60),
        }
    }
}

impl Patience {
    pub fn delays(&self) -> ExponentialBuilder {
        ExponentialBuilder::default()
            .with_min_delay(self.first_delay)
            .with_max_delay(self.longest_delay)
            .with_max_times(self.retries)
            .with_jitter()
    }
}

/// A server.
#[derive(Clone, Debug)]
pub struct Api {
    base: Url,
    http: reqwest::Client,
    key: Option<ApiKey>,
    pub patience: Patience,
}

impl Api {
    /// The server at `url`. `direct`: without a proxy that the environment names, for servers in this process.
    ///
    /// # Errors
    /// `url` is not one.
    pub fn new(url: &str, direct: bool, patience: Patience) -> Result<Self, ClientError> {
        let address = || ClientError::Address { url: url.to_owned() };
        let base = Url::parse(url).map_err(|_| address())?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() || base.query().is_some() {
            return Err(address());
        }
        let builder = reqwest::Client::builder()
            .user_agent(concat!("scriptorium/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            // A signed URL that is redirected is another one, and bodies are not sent twice.
            .redirect(redirect::Policy::none());
        let builder = if direct { builder.no_proxy() } else { builder };
        let http = builder.build().map_err(|error| ClientError::Unexpected(error.to_string()))?;
        Ok(Self { base, http, key: None, patience })
    }

    /// With the server's key. It goes to the server and nowhere else: upload URLs have signatures of their own.
    pub fn with_key(self, key: Option<&ApiKey>) -> Self {
        Self { key: key.cloned(), ..self }
    }

    /// As the user knows the server.
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Begins an upload. Tried again with the same key, it makes the same job.
    pub async fn begin(&self, upload: &NewUpload) -> Result<Upload, ClientError> {
        self.make("/chunked-upload-stream", upload).await
    }

    /// Has the server fetch a recording; likewise.
    pub async fn fetch(&self, fetch: &NewFetch) -> Result<Fetch, ClientError> {
        self.make("/api/transcripts", fetch).await
    }

    async fn make<T: DeserializeOwned>(&self, path: &str, new: &impl Serialize) -> Result<T, ClientError> {
        let key = uuid::Uuid::new_v4().to_string();
        let body = serde_json::to_value(new).map_err(|error| ClientError::Unexpected(error.to_string()))?;
        let attempt = || {
            let request = self.request(Method::POST, path);
            self.json(request.header("Idempotency-Key", &key).json(&body))
        };
        // A server that is not there at the beginning is more likely mistyped than restarting.
        self.retried(attempt, self.patience.delays().with_max_times(self.patience.retries.min(3))).await
    }

    /// Fresh upload URLs for those of the chunks that have not arrived.
    pub async fn fresh_urls(&self, job: JobId, chunks: &[u32]) -> Result<FreshUrls, ClientError> {
        let body = json!({ "parent_job_id": job, "chunk_indexes": chunks });
        self.patiently(|| self.post("/chunked-upload-urls", &body)).await
    }

    /// Tells the server that a chunk is uploaded; returns the chunk that it wants next, if it matters.
    pub async fn uploaded(&self, job: JobId, chunk: u32, size: u64) -> Result<Option<u32>, ClientError> {
        let body = json!({ "parent_job_id": job, "chunk_index": chunk, "actual_size": size });
        let reply: Notice = self.patiently(|| self.post("/chunk-upload-complete", &body)).await?;
        Ok(reply.advice.map(|advice| advice.next))
    }

    /// Cancels a job; harmless on one that is over. Tried once, since somebody waits for the program to end.
    pub async fn cancel(&self, job: JobId, reason: &str) -> Result<(), ClientError> {
        let body = json!({ "parent_job_id": job, "reason": reason });
        self.post("/chunked-upload-cancel", &body).await.map(|_: serde_json::Value| ())
    }

    /// How a job stands.
    pub async fn status(&self, job: JobId) -> Result<Status, ClientError> {
        self.patiently(|| {
            self.json(self.request(Method::GET, &format!("/chunked-upload-status?parent_job_id={job}")))
        })
        .await
    }

    /// A page of the list of jobs; `query` as the server names it.
    pub async fn jobs(&self, query: &[(&str, String)]) -> Result<JobsPage, ClientError> {
        let mut url = Url::parse(&format!("{}/jobs", self.address()))
            .map_err(|_| ClientError::Address { url: self.address().to_owned() })?;
        url.query_pairs_mut().extend_pairs(query);
        self.patiently(|| self.json(self.signed(self.http.get(url.clone())))).await
    }

    /// All that the server tells of a job.
    pub async fn job(&self, job: JobId) -> Result<serde_json::Value, ClientError> {
        self.patiently(|| self.json(self.request(Method::GET, &format!("/jobs/{job}")))).await
    }

    /// Deletes a job. Tried once: a second time there would be no such job.
    pub async fn delete(&self, job: JobId) -> Result<serde_json::Value, ClientError> {
        self.json(self.request(Method::DELETE, &format!("/jobs/{job}"))).await
    }

    /// The finished transcript, byte by byte as the server gives it.
    pub async fn transcript(&self, job: JobId, format: Format) -> Result<Bytes, ClientError> {
        let path = format!("/jobs/{job}/transcript?format={}", format.name());
        // The time is counted anew for each block; a large transcript may take its time.
        self.patiently(|| async {
            let response = self.send(self.request(Method::GET, &path)).await?;
            self.read(response, MAX_REPLY).await
        })
        .await
    }

    /// Opens a job's live stream behind the event `after`. `None`: it has ended, and nothing is left.
    pub async fn stream(&self, path: &str, after: Option<&str>) -> Result<Option<Response>, ClientError> {
        let mut request = self.request(Method::GET, path).header(header::ACCEPT, "text/event-stream");
        if let Some(id) = after.filter(|id| !id.is_empty()) {
            request = request.header("Last-Event-ID", id);
        }
        let response = self.send(request).await?;
        Ok((response.status() != reqwest::StatusCode::NO_CONTENT).then_some(response))
    }

    /// A chunk's bytes to where `url` says. Tried once; the caller knows how to begin again.
    pub(super) async fn put(&self, url: &str, size: u64, body: reqwest::Body) -> Result<(), ClientError> {
        let request = self.http.put(url).header(header::CONTENT_LENGTH, size).body(body);
        let response = request.send().await.map_err(|error| unreachable(url, &error))?;
        self.accepted(response).await.map(|_| ())
    }

    /// `path` begins with a slash; it is taken below the server's address, which may have a path of its own.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.signed(self.http.request(method, format!("{}{path}", self.address())))
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.key {
            Some(key) => request.bearer_auth(key.as_str()),
            None => request,
        }
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<T, ClientError> {
        self.json(self.request(Method::POST, path).json(body)).await
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.send(request).await?;
        let body = self.read(response, MAX_REPLY).await?;
        serde_json::from_slice(&body).map_err(|error| ClientError::Unexpected(error.to_string()))
    }

    /// Sends, and waits for the head of a reply that is a success.
    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        match tokio::time::timeout(ANSWER_TIME, request.send()).await {
            Ok(Ok(response)) => self.accepted(response).await,
            Ok(Err(error)) => Err(unreachable(self.address(), &error)),
            Err(_) => Err(self.silent()),
        }
    }

    async fn accepted(&self, response: Response) -> Result<Response, ClientError> {
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.map(str::to_owned);
        // The reason is nice to have; the status says enough.
        let body = self.read(response, MAX_PROBLEM).await.unwrap_or_default();
        Err(refused(status, retry_after.as_deref(), &body))
    }

    async fn read(&self, mut response: Response, max: usize) -> Result<Bytes, ClientError> {
        let mut body = Vec::new();
        loop {
            match tokio::time::timeout(ANSWER_TIME, response.chunk()).await {
                Ok(Ok(Some(block))) if body.len() + block.len() > max => {
                    return Err(ClientError::Unexpected(format!("more than {max} bytes")));
                }
                Ok(Ok(Some(block))) => body.extend_from_slice(&block),
                Ok(Ok(None)) => return Ok(body.into()),
                Ok(Err(error)) => return Err(unreachable(self.address(), &error)),
                Err(_) => return Err(self.silent()),
            }
        }
    }

    fn silent(&self) -> ClientError {
        let reason = format!("no answer for {} s", ANSWER_TIME.as_secs());
        ClientError::Unreachable { url: self.address().to_owned(), reason }
    }

    /// Tries again what may pass.
    pub(super) async fn patiently<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<T, ClientError> {
        self.retried(attempt, self.patience.delays()).await
    }

    async fn retried<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        attempt: impl FnMut() -> F,
        delays: ExponentialBuilder,
    ) -> Result<T, ClientError> {
        attempt
            .retry(delays)
            .when(ClientError::retryable)
            .adjust(|error, delay| {
                delay.map(|delay| error.retry_after().map_or(delay, |asked| asked.max(delay)))
            })
            .await
    }
}

/// A transport failure in one line, with its causes, without the URL (whose signature is nobody's business).
pub(super) fn unreachable(url: &str, error: &reqwest::Error) -> ClientError {
    let mut reason = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(next) = cause {
        let text = next.to_string();
        if !reason.contains(&text) {
            if !reason.is_empty() {
                reason.push_str(": ");
            }
            reason.push_str(&text);
        }
        cause = next.source();
    }
    if reason.is_empty() {
        reason = "the connection failed".to_owned();
    }
    let url = url.split('?').next().unwrap_or(url).to_owned();
    ClientError::Unreachable { url, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for good in ["http://127.0.0.1:8787", "https://example.org/speech/", "http://[::1]:1"] {
            assert!(Api::new(good, true, Patience::default()).is_ok(), "{good}");
        }
        for bad in
            ["", "127.0.0.1:8787", "ftp://example.org", "file:///etc/passwd", "http://", "http://h/?x=1"]
        {
            let error = Api::new(bad, true, Patience::default()).err();
            assert!(matches!(error, Some(ClientError::Address { .. })), "{bad}");
        }
    }
}
