//! The bytes of a request's body, as they come.

use crate::problem::{Code, Problem};
use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::StreamExt;
use std::time::{Duration, Instant};

/// What is still taken from a client that has been refused: many listen only after they have sent all.
const LINGER: Duration = Duration::from_secs(2);
const MAX_LINGER: usize = 64 << 20;

pub struct Source {
    stream: BodyDataStream,
    /// The longest silence.
    patience: Duration,
    pace: Pace,
}

/// How fast a client sends. Whoever sends a byte now and then is never silent, and would hold a place for ever.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Bytes a second.
    least: u64,
    window: Duration,
    /// In this window.
    waited: Duration,
    bytes: u64,
}

impl Pace {
    pub const fn new(least: u64, window: Duration) -> Self {
        Self { least, window, waited: Duration::ZERO, bytes: 0 }
    }

    /// So many bytes came after a wait. False: over a whole window they have come too slowly.
    fn keeps(&mut self, waited: Duration, bytes: usize) -> bool {
        self.waited += waited;
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.waited < self.window {
            return true;
        }
        let fast = self.bytes as f64 >= self.least as f64 * self.waited.as_secs_f64();
        *self = Self::new(self.least, self.window);
        fast
    }
}

impl Source {
    pub fn new(body: Body, patience: Duration, pace: Pace) -> Self {
        Self { stream: body.into_data_stream(), patience, pace }
    }

    /// The next bytes; `None` at the end. Cancel-safe.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Problem> {
        let began = Instant::now();
        match tokio::time::timeout(self.patience, self.stream.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(bytes))) if self.pace.keeps(began.elapsed(), bytes.len()) => Ok(Some(bytes)),
            Ok(Some(Ok(_))) => {
                let detail = format!(
                    "The body comes too slowly: less than {} bytes a second. Use a chunked upload.",
                    self.pace.least
                );
                Err(Problem::new(Code::RequestTimeout, detail))
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_in_which_the_client_is_waited_for_counts() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(100, 10 * second);
        // Bursts that come at once pass however small, and a pause is made up for by what comes after it.
        assert!((0..10_000).all(|_| pace.keeps(Duration::from_micros(1), 1)));
        for bytes in [0, 0, 0, 0, 0, 0, 0, 0, 500, 500] {
            assert!(pace.keeps(second, bytes));
        }
        // Each window is a new one.
        assert!((0..9).all(|_| pace.keeps(second, 99)));
        assert!(!pace.keeps(second, 99));
        assert!((0..30).all(|_| pace.keeps(second, 100)));
    }
}
