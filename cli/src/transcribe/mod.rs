//! `scriptorium transcribe FILE`: one recording, from here or from elsewhere, to text, by a server in this process or elsewhere.

mod cache;
mod display;
mod local;
mod output;
mod session;
mod text;

use crate::args::{ChunkSize, TranscribeArgs};
use crate::client::api::Patience;
use crate::client::source::{Source, SourceError};
use crate::client::{Api, ClientError};
use crate::exit::{Exit, Signal};
use crate::serve::ServeError;
use display::Display;
use local::LocalServer;
use scriptorium_contracts::JobId;
use scriptorium_contracts::failure::Failure;
use session::{Finished, Session};
use std::cell::OnceCell;
use std::io;
use std::path::Path;
use std::time::Duration;
use thiserror::Error;
use tokio::signal::unix::{self, SignalKind};
use tokio_util::sync::CancellationToken;

/// For telling the server that nobody waits any more.
const CANCEL_TIME: Duration = Duration::from_secs(5);

/// Why there is no transcript.
#[derive(Debug, Error)]
pub enum TranscribeError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("{}", client_advice(.0))]
    Client(#[from] ClientError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("{}", .0.detail)]
    JobFailed(Failure),
    #[error("the job was cancelled on the server ({0})")]
    CancelledElsewhere(String),
    #[error("the upload was left alone for too long and has expired")]
    Expired,
    #[error("the transcript cannot be written to {path}: {reason}")]
    Output { path: String, reason: String },
    #[error("the transcript could not be written to {path}: {source}")]
    OutputLost { path: String, source: io::Error },
    #[error("no folder for temporary data can be made in {path}: {source}")]
    Temporary { path: String, source: io::Error },
    /// The work was told to stop; the user reads [`Self::Interrupted`].
    #[error("cancelled")]
    Stopped,
    #[error("cancelled")]
    Interrupted(Signal),
}

impl TranscribeError {
    pub fn exit(&self) -> Exit {
        match self {
            Self::Source(_) | Self::Output { .. } | Self::Temporary { .. } => Exit::Usage,
            Self::Client(error) => error.exit(),
            Self::Serve(error) => error.exit(),
            Self::JobFailed(_)
            | Self::CancelledElsewhere(_)
            | Self::Expired
            | Self::Stopped
            | Self::OutputLost { .. } => Exit::Failed,
            Self::Interrupted(signal) => Exit::Signal(*signal),
        }
    }
}

/// What the user can do about it, where the server's words are for programs.
fn client_advice(error: &ClientError) -> String {
    match error.code() {
        "file_too_small" => {
            format!("{error}\nWithout --server, `scriptorium transcribe` takes recordings of any size.")
        }
        _ => error.to_string(),
    }
}

/// Carries the command out; the outcome's number is the exit code.
///
/// # Errors
/// See [`TranscribeError`].
pub async fn run(args: &TranscribeArgs) -> Result<Exit, TranscribeError> {
    let mut interrupts = Interrupts::listen()?;
    let recording = Recording::open(&args.file).await?;
    let target = output::Target::new(args.output.as_deref(), &args.file)?;
    let display = Display::new(args.quiet);
    let begun = OnceCell::new();
    let stop = CancellationToken::new();
    let work = transcribe(args, &recording, &display, &begun, &stop);
    tokio::pin!(work);
    let outcome = tokio::select! {
        outcome = &mut work => outcome,
        signal = interrupts.next() => {
            display.stage("stopping");
            stop.cancel();
            tokio::select! {
                _ = &mut work => {}
                // The second one means it.
                _ = interrupts.next() => {}
            }
            Err(TranscribeError::Interrupted(signal))
        }
    };
    if let (Err(error), Some(job)) = (&outcome, begun.get()) {
        display.stage("cancelling the job");
        tokio::select! {
            () = cancel(job, error) => {}
            _ = interrupts.next() => {}
        }
    }
    display.end();
    let finished = outcome?;
    target.write(&finished.transcript)?;
    display.summary(&finished);
    Ok(if finished.gaps { Exit::Gaps } else { Exit::Done })
}

/// Where the recording is.
enum Recording {
    File(Source),
    /// The server is to fetch it.
    Elsewhere(String),
}

impl Recording {
    async fn open(path: &Path) -> Result<Self, SourceError> {
        match path.to_str().filter(|text| text.starts_with("https://") || text.starts_with("http://")) {
            Some(url) => Ok(Self::Elsewhere(url.to_owned())),
            None => Source::open(path).await.map(Self::File),
        }
    }

    /// Bytes, as far as they are known here.
    fn size(&self) -> u64 {
        match self {
            Self::File(source) => source.size(),
            Self::Elsewhere(_) => 0,
        }
    }
}

/// A job on a server that goes on without us: it has to be told when nobody waits any more.
type Begun = OnceCell<(Api, JobId)>;

async fn transcribe(
    args: &TranscribeArgs,
    recording: &Recording,
    display: &Display,
    begun: &Begun,
    stop: &CancellationToken,
) -> Result<Finished, TranscribeError> {
    let Some(url) = &args.server else { return with_own_server(args, recording, display, stop).await };
    let api = Api::new(url, false, Patience::default())?.with_key(args.api_key.as_ref());
    let session = Session { api: &api, recording, args, display, begun: Some(begun) };
    let outcome = stop.run_until_cancelled(Box::pin(session.run(args.chunk_size_mb))).await;
    outcome.unwrap_or(Err(TranscribeError::Stopped))
}

/// The server and all that it keeps go when this ends.
async fn with_own_server(
    args: &TranscribeArgs,
    recording: &Recording,
    display: &Display,
    stop: &CancellationToken,
) -> Result<Finished, TranscribeError> {
    let folder = cache::folder()?;
    display.stage("loading the speech model");
    let started = stop.run_until_cancelled(Box::pin(LocalServer::start(folder.path(), &args.engine))).await;
    let mut server = started.ok_or(TranscribeError::Stopped)??;
    let api = Api::new(server.url(), true, Patience::default())?;
    let chunk_size = match args.chunk_size_mb {
        ChunkSize::Auto => ChunkSize::Megabytes(local::chunk_megabytes(recording.size(), server.slots())),
        asked @ ChunkSize::Megabytes(_) => asked,
    };
    let session = Session { api: &api, recording, args, display, begun: None };
    let outcome = tokio::select! {
        outcome = session.run(chunk_size) => outcome,
        error = server.ended() => Err(error.into()),
        () = stop.cancelled() => Err(TranscribeError::Stopped),
    };
    server.stop().await;
    outcome
}

/// Best effort, once.
async fn cancel((api, job): &(Api, JobId), why: &TranscribeError) {
    let reason = match why {
        TranscribeError::Interrupted(_) | TranscribeError::Stopped => "cancelled by the user",
        TranscribeError::Client(_) | TranscribeError::Source(_) => {
            "the client could not upload the recording"
        }
        // The job is over, or the reason is on our side after its end.
        TranscribeError::JobFailed(_)
        | TranscribeError::CancelledElsewhere(_)
        | TranscribeError::Expired
        | TranscribeError::Serve(_)
        | TranscribeError::Output { .. }
        | TranscribeError::OutputLost { .. }
        | TranscribeError::Temporary { .. } => return,
    };
    match tokio::time::timeout(CANCEL_TIME, api.cancel(*job, reason)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%job, %error, "the job could not be cancelled on the server"),
        Err(_) => tracing::warn!(%job, "the server did not answer; it will let the job expire"),
    }
}

/// Ctrl-C and SIGTERM.
struct Interrupts {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl Interrupts {
    fn listen() -> Result<Self, ServeError> {
        let set_up = |kind| unix::signal(kind).map_err(ServeError::Signals);
        Ok(Self { interrupt: set_up(SignalKind::interrupt())?, terminate: set_up(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}
