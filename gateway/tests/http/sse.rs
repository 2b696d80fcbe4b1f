//! A reader of live streams that believes nothing.

use serde_json::Value;
use std::time::Duration;

/// One dispatched event.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub id: u64,
    pub data: Value,
}

impl Frame {
    pub fn kind(&self) -> &str {
        self.data["type"].as_str().unwrap()
    }
}

pub struct Stream {
    response: reqwest::Response,
    buffer: String,
    pub comments: Vec<String>,
    pub retry: Option<u64>,
}

impl Stream {
    pub async fn open(http: &reqwest::Client, url: &str, last: Option<u64>) -> Self {
        let mut request = http.get(url);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last.to_string());
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-accel-buffering"), "no");
        Self { response, buffer: String::new(), comments: Vec::new(), retry: None }
    }

    /// The next frame; `None` when the stream has ended as it should.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.buffer = rest;
                if let Some(frame) = self.block(&block) {
                    return Some(frame);
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.response.chunk());
            match chunk.await.expect("a frame comes in time").expect("the stream ends cleanly") {
                Some(bytes) => self.buffer.push_str(std::str::from_utf8(&bytes).unwrap()),
                None => {
                    assert!(self.buffer.is_empty(), "cut off inside a frame: {}", self.buffer);
                    return None;
                }
            }
        }
    }

    fn block(&mut self, block: &str) -> Option<Frame> {
        let (mut id, mut data) = (None, None);
        for line in block.lines() {
            let (field, value) = line.split_once(':').unwrap();
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" => self.comments.push(value.to_owned()),
                "retry" => assert!(self.retry.replace(value.parse().unwrap()).is_none(), "once"),
                "id" => assert!(id.replace(value.parse().unwrap()).is_none()),
                "data" => assert!(data.replace(serde_json::from_str(value).unwrap()).is_none()),
                other => panic!("a field {other} in an unnamed frame"),
            }
        }
        let data = data?;
        Some(Frame { id: id.expect("each frame has an id"), data })
    }

    pub async fn rest(mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }

    /// Frames up to the first one of this type.
    pub async fn until(&mut self, kind: &str) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            let found = frame.kind() == kind;
            frames.push(frame);
            if found {
                return frames;
            }
        }
        panic!("the stream ended without {kind}: {frames:?}");
    }
}
