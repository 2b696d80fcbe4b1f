//! Takes connections, bounds them, and ends them when the process is asked to.

use crate::config::{GatewayConfig, Tenancy};
use crate::router::router;
use crate::stall::StallGuard;
use axum::Router;
use axum::body::Body;
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use scriptorium_shared::jobs::Jobs;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

/// Bytes of a request's head after which no more of it is read; the last read may bring as much again. Presigned addresses have about
/// 600.
const MAX_HEAD: usize = 64 << 10;
/// Pause after a connection could not be accepted because the process has no file descriptor left for it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Error)]
pub enum GatewayError {
    #[error("the listening socket can't be used")]
    Listener(#[source] io::Error),
}

/// What all connections share.
#[derive(Clone)]
struct Server {
    router: Router,
    header_timeout: Duration,
    stall_timeout: Duration,
    /// Cancelled when the process is asked to end.
    shutdown: CancellationToken,
    /// Cancelled when its patience is over.
    abort: CancellationToken,
}

/// Serves the API, and `extra` (the embedded object store) on the same port, until `shutdown`. Then live streams end,
/// requests under way may finish for `config.shutdown_grace`, and what is left is cut off.
pub fn run(
    config: GatewayConfig,
    jobs: Jobs,
    access: Tenancy,
    extra: Option<Router>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> BoxFuture<'static, Result<(), GatewayError>> {
    Box::pin(async move {
        let address = listener.local_addr().map_err(GatewayError::Listener)?;
        let (grace, max_connections) = (config.shutdown_grace, config.max_connections);
        let (header_timeout, stall_timeout) = (config.header_timeout, config.stall_timeout);
        let tasks = TaskTracker::new();
        let api = router(config, jobs, access, shutdown.clone(), &tasks);
        let router = match extra {
            // Each with its own layers; what the object store does not know is the API's.
            Some(extra) => extra.fallback_service(api),
            None => api,
        };
        let abort = CancellationToken::new();
        let server = Server { router, header_timeout, stall_timeout, shutdown, abort: abort.clone() };
        tracing::info!(%address, "listening");
        accept(&server, listener, max_connections, &tasks).await;
        tasks.close();
        if tokio::time::timeout(grace, tasks.wait()).await.is_err() {
            tracing::warn!(connections = tasks.len(), "connections are cut off: they did not finish in time");
            abort.cancel();
            tasks.wait().await;
        }
        Ok(())
    })
}

async fn accept(server: &Server, listener: TcpListener, max_connections: usize, tasks: &TaskTracker) {
    let places = Arc::new(Semaphore::new(max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    loop {
        let accepted = tokio::select! {
            accepted = next(&listener, &places) => accepted,
            () = server.shutdown.cancelled() => return,
        };
        match accepted {
            Ok((stream, place)) => {
                tasks.spawn(serve(server.clone(), stream, place));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A place first: a client that has to wait does so in the system's queue.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

fn is_of_one_connection(error: &io::Error) -> bool {
    [io::ErrorKind::ConnectionRefused, io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset]
        .contains(&error.kind())
}

async fn serve(server: Server, stream: TcpStream, _place: OwnedSemaphorePermit) {
    // Frames are small and should not wait for more of them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone at once");
        return;
    }
    let io = TokioIo::new(StallGuard::new(stream, server.stall_timeout));
    let service = server.router.map_request(|request: http::Request<Incoming>| request.map(Body::new));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(server.header_timeout)
        .max_buf_size(MAX_HEAD)
        .serve_connection(io, TowerToHyperService::new(service));
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = server.abort.cancelled() => return,
        () = server.shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                result = connection.as_mut() => result,
                () = server.abort.cancelled() => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}
