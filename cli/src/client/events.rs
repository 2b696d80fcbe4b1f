//! A job's live stream: read, and opened again where it stopped, until nothing is left.

use super::sse::{SseEvent, SseParser};
use super::wire::Frame;
use super::{Api, ClientError};
use bytes::Bytes;
use reqwest::Response;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The longest wait before the stream is opened again that a server may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// A stream that was open for so long was of use, also if nothing happened.
const HEALTHY: Duration = Duration::from_secs(10);

/// The live stream of one job.
pub struct Events<'a> {
    api: &'a Api,
    path: String,
    open: Option<Open>,
    waiting: VecDeque<Frame>,
    last_id: Option<String>,
    /// Before the stream is opened again.
    pause: Duration,
    /// Streams in a row that ended without an event.
    fruitless: usize,
}

struct Open {
    response: Response,
    parser: SseParser,
    since: Instant,
}

impl<'a> Events<'a> {
    /// `path`: the `stream_url` of the upload.
    pub fn new(api: &'a Api, path: &str) -> Self {
        // The whole text with each frame would cost its square in the end; the chunks' texts are enough.
        let separator = if path.contains('?') { '&' } else { '?' };
        Self {
            api,
            path: format!("{path}{separator}partial=delta"),
            open: None,
            waiting: VecDeque::new(),
            last_id: None,
            pause: Duration::from_secs(1),
            fruitless: 0,
        }
    }

    /// The next frame, each one once. `None`: the stream has ended for good.
    ///
    /// # Errors
    /// The server cannot be reached for longer than the patience lasts, or refuses.
    pub async fn next(&mut self) -> Result<Option<Frame>, ClientError> {
        loop {
            if let Some(frame) = self.waiting.pop_front() {
                return Ok(Some(frame));
            }
            let Some(open) = self.open.as_mut() else {
                if !self.reopen().await? {
                    return Ok(None);
                }
                continue;
            };
            match read(&mut open.response, self.api.patience.stall).await {
                Some(bytes) => {
                    let events = open
                        .parser
                        .push(&bytes)
                        .map_err(|error| ClientError::Unexpected(error.to_string()))?;
                    if let Some(retry) = open.parser.retry() {
                        self.pause = Duration::from_millis(retry).min(MAX_PAUSE);
                    }
                    events.into_iter().for_each(|event| self.take(event));
                }
                None => {
                    if open.since.elapsed() >= HEALTHY {
                        self.fruitless = 0;
                    }
                    self.open = None;
                }
            }
        }
    }

    fn take(&mut self, event: SseEvent) {
        self.fruitless = 0;
        self.last_id = event.id.or(self.last_id.take());
        match serde_json::from_str(&event.data) {
            Ok(frame) => self.waiting.push_back(frame),
            Err(error) => {
                tracing::debug!(%error, "a frame of the live stream is not understood and passed over")
            }
        }
    }

    /// `false`: nothing is left of the stream.
    async fn reopen(&mut self) -> Result<bool, ClientError> {
        if self.fruitless > self.api.patience.retries {
            return Err(ClientError::Unreachable {
                url: self.api.address().to_owned(),
                reason: "the live stream ends as soon as it is opened".to_owned(),
            });
        }
        // The first time there is no reason to wait.
        if self.fruitless > 0 || self.last_id.is_some() {
            tokio::time::sleep(self.pause).await;
        }
        self.fruitless += 1;
        let opened = self.api.patiently(|| self.api.stream(&self.path, self.last_id.as_deref())).await?;
        self.open =
            opened.map(|response| Open { response, parser: SseParser::default(), since: Instant::now() });
        Ok(self.open.is_some())
    }
}

/// The next bytes. `None`: the stream has ended, is broken, or was silent for longer than its heartbeat allows.
async fn read(response: &mut Response, patience: Duration) -> Option<Bytes> {
    match tokio::time::timeout(patience, response.chunk()).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the live stream broke");
            None
        }
        Err(_) => {
            tracing::debug!("the live stream fell silent");
            None
        }
    }
}
