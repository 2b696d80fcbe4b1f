//! A server in this process, for one command.

use crate::config::EngineArgs;
use crate::serve::{self, ServeConfig, ServeError, Server};
use scriptorium_contracts::job::MEGABYTE;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Chunks for each slot: enough that none is idle for long at the end, and that text comes early.
const CHUNKS_PER_SLOT: u64 = 4;
/// Megabytes. Larger chunks bring nothing on the same machine.
const MAX_CHUNK_MB: u64 = 15;

pub struct LocalServer {
    url: String,
    slots: usize,
    shutdown: CancellationToken,
    task: AbortOnDropHandle<Result<(), ServeError>>,
}

impl LocalServer {
    /// Starts on a free port of the loopback; loads the model first.
    ///
    /// # Errors
    /// See [`Server::prepare`].
    pub async fn start(data_dir: &Path, engine: &EngineArgs) -> Result<Self, ServeError> {
        // Models lie in the user's folders, not in the temporary one.
        let choice = engine.choice(None)?;
        let mut config = ServeConfig::new(data_dir.to_owned(), choice, engine.slots());
        // Small recordings have no other way here.
        config.gateway.min_file_size = 1;
        // What has not ended then is thrown away with the folder.
        config.drain = Duration::from_secs(5);
        // Nobody else reads the events.
        config.gateway.limits.progress_interval_ms = 200;
        let slots = config.slots;
        let listener = serve::listen(&[SocketAddr::from((Ipv4Addr::LOCALHOST, 0))], "a free port").await?;
        let address = serve::local_address(&listener)?;
        let server = Server::prepare(config, address).await?;
        let shutdown = CancellationToken::new();
        let running = server.run(listener, shutdown.clone());
        #[expect(clippy::disallowed_methods, reason = "the handle aborts the task when it is dropped")]
        let task = AbortOnDropHandle::new(tokio::spawn(running));
        Ok(Self { url: serve::url(address), slots, shutdown, task })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Transcription slots.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Waits for an end that nobody asked for. Not to be called again after it has returned.
    pub async fn ended(&mut self) -> ServeError {
        let reason = match (&mut self.task).await {
            Ok(Ok(())) => "without being asked to".to_owned(),
            Ok(Err(error)) => return error,
            Err(error) => error.to_string(),
        };
        ServeError::Role { role: serve::Role::Gateway, reason }
    }

    /// Ends in order.
    pub async fn stop(self) {
        self.shutdown.cancel();
        if self.task.is_finished() {
            return;
        }
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the server in this process did not end in order"),
            Err(error) => tracing::warn!(%error, "the server in this process did not end in order"),
        }
    }
}

/// Megabytes of a chunk, so that every slot gets some. The text does not depend on it.
pub fn chunk_megabytes(size: u64, slots: usize) -> u32 {
    let chunks = CHUNKS_PER_SLOT * slots.max(1) as u64;
    let megabytes = size.div_ceil(chunks).div_ceil(MEGABYTE).clamp(1, MAX_CHUNK_MB);
    u32::try_from(megabytes).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_gets_some_chunks() {
        assert_eq!(chunk_megabytes(5 * MEGABYTE, 2), 1);
        assert_eq!(chunk_megabytes(80 * MEGABYTE, 2), 10);
        assert_eq!(chunk_megabytes(80 * MEGABYTE, 20), 1);
        assert_eq!(chunk_megabytes(10_240 * MEGABYTE, 2), 15);
        assert_eq!(chunk_megabytes(1, 128), 1);
    }
}
