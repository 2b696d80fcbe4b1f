//! The bytes of a request's body, as they come.

use crate::problem::{Code, Problem};
use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::StreamExt;
use std::time::Duration;

/// What is still taken from a client that has been refused: many listen only after they have sent all.
const LINGER: Duration = Duration::from_secs(2);
const MAX_LINGER: usize = 64 << 20;

pub struct Source {
    stream: BodyDataStream,
    /// The longest silence.
    patience: Duration,
}

impl Source {
    pub fn new(body: Body, patience: Duration) -> Self {
        Self { stream: body.into_data_stream(), patience }
    }

    /// The next bytes; `None` at the end. Cancel-safe.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Problem> {
        match tokio::time::timeout(self.patience, self.stream.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
            Ok(Some(Err(_))) => {
                Err(Problem::new(Code::MalformedBody, "The body ended before all of it had come."))
            }
            Err(_) => {
                let seconds = self.patience.as_secs_f64();
                let detail = format!("Nothing more of the body has come for {seconds} seconds.");
                Err(Problem::new(Code::RequestTimeout, detail))
            }
        }
    }

    /// Reads on for a moment, so that the client gets to see why it was refused, and not only that the connection broke.
    pub async fn linger(&mut self) {
        let mut passed = 0;
        let reading = async {
            while let Some(Ok(bytes)) = self.stream.next().await {
                passed += bytes.len();
                if passed > MAX_LINGER {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, reading).await;
    }
}
