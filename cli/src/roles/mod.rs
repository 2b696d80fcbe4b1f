//! One role in a process, on the real services: RabbitMQ, Redis, S3.
//!
//! Each begins alike: the settings are checked, the operations port opens, the services are waited for, the role works. And
//! ends alike: SIGTERM stops it from taking more, what it has in hand is ended or handed back, the connections close.

mod bucket;
mod coordinator;
mod error;
mod gateway;
mod services;
mod worker;

pub use bucket::admin_bucket;
pub use coordinator::coordinator;
pub use error::RoleError;
pub use gateway::gateway;
pub use services::{broker, redis};
pub use worker::worker;

use crate::config::OpsArgs;
use scriptorium_shared::ops::Health;
use scriptorium_shared::shutdown;
use std::time::Duration;
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// For those who ask on the operations port at the end.
const OPS_GRACE: Duration = Duration::from_secs(2);

/// What every role has around its work.
struct Frame {
    /// Cancelled by SIGTERM and Ctrl-C.
    shutdown: CancellationToken,
    health: Health,
    /// Ends the operations port, after all else.
    end: CancellationToken,
    ops: AbortOnDropHandle<std::io::Result<()>>,
    signals: TaskTracker,
}

impl Frame {
    async fn begin(ops: &OpsArgs) -> Result<Self, RoleError> {
        let listener = listen(&ops.ops_listen, &ops.ops_listen).await?;
        let signals = TaskTracker::new();
        let shutdown = shutdown::signals(&signals).map_err(RoleError::Signals)?;
        let (health, end) = (Health::new(shutdown.clone()), CancellationToken::new());
        let serve = health.clone().serve(listener, end.clone());
        #[expect(clippy::disallowed_methods, reason = "the handle aborts the task when it is dropped")]
        let ops = AbortOnDropHandle::new(tokio::spawn(serve));
        Ok(Self { shutdown, health, end, ops, signals })
    }

    /// Until SIGTERM or the end of `work`, and then for at most `drain` longer.
    async fn run(
        &self,
        drain: Duration,
        work: impl Future<Output = Result<(), RoleError>>,
    ) -> Result<(), RoleError> {
        let patience = async {
            self.shutdown.cancelled().await;
            tokio::time::sleep(drain).await;
        };
        tokio::select! {
            outcome = work => outcome,
            () = patience => {
                tracing::warn!(
                    seconds = drain.as_secs_f64(),
                    "not all work ended in time; it goes on elsewhere when its lease has ended"
                );
                Ok(())
            }
        }
    }

    async fn end(self) {
        self.shutdown.cancel();
        self.end.cancel();
        self.signals.close();
        self.signals.wait().await;
        // A client that never ends its request must not keep the process; what is dropped here is cut off.
        match tokio::time::timeout(OPS_GRACE, self.ops).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the operations port ended early"),
            Ok(Err(error)) => tracing::warn!(%error, "the operations port ended abnormally"),
            Err(_) => tracing::debug!("a connection to the operations port was cut off"),
        }
    }
}

/// `named` is what the user wrote.
async fn listen(addresses: impl ToSocketAddrs, named: &str) -> Result<TcpListener, RoleError> {
    TcpListener::bind(addresses)
        .await
        .map_err(|source| RoleError::Listen { address: named.to_owned(), source })
}
