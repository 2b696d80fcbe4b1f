//! How a process is asked to end.

use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A token that is cancelled by SIGTERM or SIGINT. The task that waits for the signals belongs to `tasks` and ends
/// with the token, however that comes to be cancelled. A second signal changes nothing: whoever wants to end at once
/// sends SIGKILL, and nothing is lost then either.
///
/// Fails if the signal handlers can't be installed. Must be called inside a tokio runtime.
pub fn signals(tasks: &TaskTracker) -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tasks.spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = cancelled.cancelled() => return,
        };
        tracing::info!(signal = name, "shutting down");
        cancelled.cancel();
    });
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_task_ends_with_the_token() {
        let tasks = TaskTracker::new();
        let token = signals(&tasks).unwrap();
        token.cancel();
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn a_signal_cancels_the_token() {
        let tasks = TaskTracker::new();
        let token = signals(&tasks).unwrap();
        let kill = std::process::Command::new("kill")
            .args(["-TERM", &std::process::id().to_string()])
            .status()
            .unwrap();
        assert!(kill.success());
        token.cancelled().await;
        tasks.close();
        tasks.wait().await;
    }
}
