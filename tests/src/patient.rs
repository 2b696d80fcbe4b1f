//! A client as it should be: what fails for a moment is tried again, at another gateway too, and a stream that breaks is
//! read on from where it broke.

use crate::client::{self, Client, Frame, PATIENCE, Session};
use crate::dice::Dice;
use futures::StreamExt;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A live stream that says nothing for so long, not even a heartbeat, is opened anew.
const SILENCE: Duration = Duration::from_secs(40);

pub struct Patient {
    http: reqwest::Client,
    gateways: Vec<String>,
    pub dice: Dice,
    /// One stream in so many frames is left by the client itself, and gone on with elsewhere; 0 for never.
    pub leaves: usize,
}

impl Patient {
    /// Chooses among `gateways` with `dice`.
    pub fn new(gateways: &[String], dice: Dice) -> Self {
        let http = reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(5)).build().unwrap();
        Self { http, gateways: gateways.to_vec(), dice, leaves: 0 }
    }

    /// The reply to a request that is made until it succeeds. What trying again does not cure fails the test; `passing` says
    /// what it does.
    async fn ask(
        &mut self,
        what: &str,
        passing: fn(StatusCode) -> bool,
        build: impl Fn(&reqwest::Client, &str) -> RequestBuilder,
    ) -> Response {
        let begun = Instant::now();
        loop {
            let gateway = self.dice.pick(&self.gateways).clone();
            let trouble = match build(&self.http, &gateway).send().await {
                Ok(reply) if reply.status().is_success() => return reply,
                Ok(reply) if passing(reply.status()) => reply.status().to_string(),
                Ok(reply) => {
                    let (status, text) = (reply.status(), reply.text().await.unwrap_or_default());
                    panic!("{what} → {status}: {text}");
                }
                Err(error) => error.to_string(),
            };
            assert!(begun.elapsed() < PATIENCE, "{what} never succeeded: {trouble}");
            tokio::time::sleep(self.dice.millis(50, 500)).await;
        }
    }

    /// As [`Patient::ask`], with the whole body.
    async fn text(
        &mut self,
        what: &str,
        passing: fn(StatusCode) -> bool,
        build: impl Fn(&reqwest::Client, &str) -> RequestBuilder,
    ) -> String {
        let patient =
            |http: &reqwest::Client, gateway: &str| build(http, gateway).timeout(Duration::from_secs(30));
        loop {
            let reply = self.ask(what, passing, patient).await;
            if let Ok(text) = reply.text().await {
                return text;
            }
        }
    }

    /// Opens an upload session. `key` is its idempotency key: a repetition makes no second job.
    pub async fn open(&mut self, filename: &str, bytes: Vec<u8>, chunk_size_mb: u64, key: &str) -> Session {
        let body = json!({ "filename": filename, "total_size": bytes.len(), "chunk_size_mb": chunk_size_mb });
        let reply = self
            .text("opening a session", is_busy, |http, gateway| {
                http.post(format!("{gateway}/chunked-upload-stream"))
                    .header("idempotency-key", key)
                    .json(&body)
            })
            .await;
        let reply: Value = serde_json::from_str(&reply).unwrap();
        let job = reply["parent_job_id"].as_str().unwrap().to_owned();
        Session { client: Client::new(&self.gateways[0]), job, reply, bytes: bytes.into() }
    }

    pub async fn put(&mut self, session: &Session, chunk: u32) {
        let (url, bytes) = (session.upload_url(chunk), session.chunk_bytes(chunk));
        // A store that starts again answers with this and that.
        let put = |http: &reqwest::Client, _: &str| http.put(&url).body(bytes.clone());
        self.text("PUT of a chunk", |status| status.is_server_error(), put).await;
    }

    pub async fn notice(&mut self, session: &Session, chunk: u32) {
        let body = json!({
            "parent_job_id": session.job, "chunk_index": chunk, "actual_size": session.chunk_bytes(chunk).len(),
        });
        self.text("a notice", is_busy, |http, gateway| {
            http.post(format!("{gateway}/chunk-upload-complete")).json(&body)
        })
        .await;
    }

    pub async fn transcript(&mut self, session: &Session) -> String {
        let path = format!("jobs/{}/transcript?format=json", session.job);
        self.text("the transcript", is_busy, |http, gateway| http.get(format!("{gateway}/{path}"))).await
    }

    /// All numbered frames from the beginning to the end of the job, live, from one gateway and the other.
    pub async fn follow(&mut self, session: &Session) -> Vec<Frame> {
        let begun = Instant::now();
        let mut frames: Vec<Frame> = Vec::new();
        // As deltas the stream tells every event of the log, so that a hole can be seen; full partial texts leave those
        // out that newer ones replace.
        let address = format!("chunked-stream/{}?partial=delta", session.job);
        while !frames.last().is_some_and(Frame::is_last) {
            let position = frames.last().and_then(|frame| frame.id);
            let reply = self
                .ask("a stream", is_busy, |http, gateway| {
                    let request = http.get(format!("{gateway}/{address}"));
                    position
                        .into_iter()
                        .fold(request, |request, id| request.header("last-event-id", id.to_string()))
                })
                .await;
            assert_eq!(reply.status(), StatusCode::OK, "the end is not in sight after {position:?}");
            self.read(reply, &mut frames).await;
            assert!(
                begun.elapsed() < PATIENCE || frames.last().is_some_and(Frame::is_last),
                "job {} has not ended: {:?}",
                session.job,
                frames.last()
            );
        }
        frames
    }

    /// Until the stream ends, breaks, falls silent, or is left.
    async fn read(&mut self, reply: Response, frames: &mut Vec<Frame>) {
        let (mut body, mut text) = (reply.bytes_stream(), Vec::new());
        while let Ok(Some(Ok(piece))) = tokio::time::timeout(SILENCE, body.next()).await {
            text.extend_from_slice(&piece);
            while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = text.drain(..end + 2).collect();
                let Some(frame) = client::parse(std::str::from_utf8(&block).unwrap()) else { continue };
                if frame.id.is_some() {
                    frames.push(frame);
                }
                if self.leaves > 0 && self.dice.one_in(self.leaves) {
                    return;
                }
            }
        }
    }
}

/// What a gateway says when it, or what it needs, is away for a moment.
fn is_busy(status: StatusCode) -> bool {
    status == StatusCode::SERVICE_UNAVAILABLE
}
