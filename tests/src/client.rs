//! A client of the HTTP API, as a test needs it: small steps, every reply checked.

use futures::StreamExt;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a test waits for a job at most; a hang fails, however slow the machine.
pub const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    key: Option<String>,
}

/// An upload session.
#[derive(Clone)]
pub struct Session {
    pub client: Client,
    pub job: String,
    pub reply: Value,
    pub bytes: std::sync::Arc<Vec<u8>>,
}

/// One SSE frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub id: Option<u64>,
    pub data: Value,
}

impl Frame {
    pub fn kind(&self) -> &str {
        self.data["type"].as_str().unwrap_or("")
    }

    pub fn is_last(&self) -> bool {
        matches!(self.kind(), "final_result" | "job_failed" | "cancelled" | "expired")
    }
}

impl Client {
    pub fn new(url: &str) -> Self {
        // Shorter than the server keeps idle connections, or a request may meet one that is just being closed.
        let http = reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(5)).build().unwrap();
        Self { http, url: url.to_owned(), key: None }
    }

    /// One that shows this API key.
    pub fn with_key(url: &str, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..Self::new(url) }
    }

    /// With the key, if there is one. Not for upload URLs: they are signed.
    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.signed(self.http.post(format!("{}{path}", self.url))).json(body).send().await.unwrap()
    }

    pub async fn post_raw(&self, path: &str, content_type: &str, body: Vec<u8>) -> Response {
        let request = self.http.post(format!("{}{path}", self.url)).header("content-type", content_type);
        self.signed(request).body(body).send().await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Response {
        self.signed(self.http.get(format!("{}{path}", self.url))).send().await.unwrap()
    }

    pub async fn delete(&self, path: &str) -> Response {
        self.signed(self.http.delete(format!("{}{path}", self.url))).send().await.unwrap()
    }

    pub async fn get_ok(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        let (status, text) = (reply.status(), reply.text().await.unwrap());
        assert!(status.is_success(), "{path} → {status}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub async fn post_ok(&self, path: &str, body: &Value) -> Value {
        let reply = self.post(path, body).await;
        let (status, text) = (reply.status(), reply.text().await.unwrap());
        assert!(status.is_success(), "{path} → {status}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Opens an upload session; `options` are further fields of the request.
    pub async fn open(&self, filename: &str, bytes: Vec<u8>, chunk_size_mb: u64, options: Value) -> Session {
        let mut body =
            json!({ "filename": filename, "total_size": bytes.len(), "chunk_size_mb": chunk_size_mb });
        body.as_object_mut().unwrap().extend(options.as_object().cloned().unwrap_or_default());
        let reply = self.post_ok("/chunked-upload-stream", &body).await;
        let job = reply["parent_job_id"].as_str().unwrap().to_owned();
        Session { client: self.clone(), job, reply, bytes: bytes.into() }
    }

    /// Reads the stream to its end, or until `stop` says so; `None` for 204.
    pub async fn frames(
        &self,
        job: &str,
        last_event_id: Option<u64>,
        mut stop: impl FnMut(&Frame) -> bool,
    ) -> Option<Vec<Frame>> {
        let mut request = self.signed(self.http.get(format!("{}/chunked-stream/{job}", self.url)));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id.to_string());
        }
        let reply = request.send().await.unwrap();
        if reply.status() == StatusCode::NO_CONTENT {
            return None;
        }
        assert_eq!(reply.status(), StatusCode::OK);
        let read = async {
            let (mut body, mut text, mut frames) = (reply.bytes_stream(), Vec::new(), Vec::new());
            while let Some(Ok(piece)) = body.next().await {
                text.extend_from_slice(&piece);
                while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
                    let block: Vec<u8> = text.drain(..end + 2).collect();
                    if let Some(frame) = parse(std::str::from_utf8(&block).unwrap()) {
                        let done = stop(&frame);
                        frames.push(frame);
                        if done {
                            return frames;
                        }
                    }
                }
            }
            frames
        };
        Some(tokio::time::timeout(PATIENCE, read).await.expect("the stream did not end"))
    }
}

pub(crate) fn parse(block: &str) -> Option<Frame> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name).map(str::trim));
    let data = serde_json::from_str(field("data:")?).unwrap();
    Some(Frame { id: field("id:").map(|id| id.parse().unwrap()), data })
}

impl Session {
    pub fn chunks(&self) -> u32 {
        self.reply["chunk_info"]["total_chunks"].as_u64().unwrap() as u32
    }

    pub fn chunk_bytes(&self, chunk: u32) -> Vec<u8> {
        let size = self.reply["chunk_info"]["chunk_size_bytes"].as_u64().unwrap() as usize;
        let from = chunk as usize * size;
        self.bytes[from..(from + size).min(self.bytes.len())].to_vec()
    }

    pub fn upload_url(&self, chunk: u32) -> String {
        let urls = self.reply["upload_urls"].as_array().unwrap();
        let entry = urls.iter().find(|entry| entry["chunk_index"] == chunk).unwrap();
        entry["upload_url"].as_str().unwrap().to_owned()
    }

    /// Puts the chunk's bytes, without a notice.
    pub async fn put(&self, chunk: u32) {
        let accepted = self.put_bytes(chunk, self.chunk_bytes(chunk)).await;
        assert!(accepted, "PUT of chunk {chunk}");
    }

    /// Whether the store took the bytes. One that refuses them early may close the connection while they are sent.
    pub async fn put_bytes(&self, chunk: u32, bytes: Vec<u8>) -> bool {
        let reply = self.client.http.put(self.upload_url(chunk)).body(bytes).send().await;
        reply.is_ok_and(|reply| reply.status().is_success())
    }

    pub async fn notice(&self, chunk: u32) -> Response {
        let body = json!({
            "parent_job_id": self.job, "chunk_index": chunk, "actual_size": self.chunk_bytes(chunk).len(),
        });
        self.client.post("/chunk-upload-complete", &body).await
    }

    pub async fn upload(&self, chunk: u32) {
        self.put(chunk).await;
        let reply = self.notice(chunk).await;
        let status = reply.status();
        assert!(status.is_success(), "notice of chunk {chunk} → {status}: {}", reply.text().await.unwrap());
    }

    pub async fn upload_all(&self) {
        for chunk in 0..self.chunks() {
            self.upload(chunk).await;
        }
    }

    /// The whole stream, from the first event on.
    pub async fn all_frames(&self) -> Vec<Frame> {
        self.client.frames(&self.job, None, |_| false).await.unwrap()
    }

    /// Waits for the end and returns the last frame.
    pub async fn ended(&self) -> Frame {
        let frames = self.client.frames(&self.job, None, Frame::is_last).await.unwrap();
        frames.last().cloned().expect("an empty stream")
    }

    pub async fn status(&self) -> Value {
        let reply = self.client.get(&format!("/chunked-upload-status?parent_job_id={}", self.job)).await;
        assert!(reply.status().is_success());
        reply.json().await.unwrap()
    }

    pub async fn transcript(&self, format: &str) -> String {
        let reply = self.client.get(&format!("/jobs/{}/transcript?format={format}", self.job)).await;
        let (status, text) = (reply.status(), reply.text().await.unwrap());
        assert!(status.is_success(), "transcript → {status}: {text}");
        text
    }
}
