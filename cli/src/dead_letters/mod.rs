//! `scriptorium admin dead-letters`: what the roles have put aside in RabbitMQ.

mod table;

use crate::args::{DeadLettersCommand, DeadLettersListArgs, SendAgainArgs};
use crate::config::{BrokerArgs, ConfigError, TlsArgs};
use crate::exit::Exit;
use crate::roles::broker;
use scriptorium_shared::queue::{Queue, QueueError, RabbitMqQueue, Which};
use std::io::{self, Write};
use std::time::Duration;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// For a broker that does not answer: a person waits.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Error)]
pub enum DeadLettersError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("RabbitMQ: {0}")]
    Queue(#[from] QueueError),
    #[error("RabbitMQ does not answer")]
    Silent,
    #[error("there is no dead letter {0}; `scriptorium admin dead-letters list` tells them")]
    NoSuchLetter(String),
    #[error("nobody knows where {0} belongs; it stays where it is")]
    Nowhere(String),
    #[error("the answer could not be written: {0}")]
    Output(#[from] io::Error),
}

impl DeadLettersError {
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Config(_) => Exit::Usage,
            Self::Queue(error) if !error.retryable() => Exit::Usage,
            Self::Queue(_) | Self::NoSuchLetter(_) | Self::Nowhere(_) | Self::Output(_) => Exit::Failed,
            Self::Silent => Exit::Unreachable,
        }
    }
}

/// Carries the command out.
///
/// # Errors
/// See [`DeadLettersError`].
pub async fn run(command: &DeadLettersCommand) -> Result<(), DeadLettersError> {
    let done = match command {
        DeadLettersCommand::List(args) => list(args).await,
        DeadLettersCommand::SendAgain(args) => send_again(args).await,
    };
    match done {
        // Whoever read us has enough, as `head` has.
        Err(DeadLettersError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

async fn open(args: &BrokerArgs, tls: &TlsArgs) -> Result<RabbitMqQueue, DeadLettersError> {
    args.check()?;
    let (config, stop) = (broker(args, &tls.read()?, "admin"), CancellationToken::new());
    let connecting = tokio::time::timeout(PATIENCE, RabbitMqQueue::connect(config, &stop)).await;
    Ok(connecting.map_err(|_| DeadLettersError::Silent)??)
}

async fn list(args: &DeadLettersListArgs) -> Result<(), DeadLettersError> {
    let queue = open(&args.broker, &args.tls).await?;
    let letters = queue.list_dead_letters(args.limit.into()).await?;
    let queue = Queue::RabbitMq(queue);
    let all = queue.dead_letters().await?;
    queue.close().await;
    let text = if args.json { letters.iter().map(table::json).collect() } else { table::rows(&letters) };
    print(&text)?;
    if all > letters.len() as u64 {
        note(&format!("{all} in all; the next call shows those that come next"));
    }
    Ok(())
}

async fn send_again(args: &SendAgainArgs) -> Result<(), DeadLettersError> {
    let which = if args.which.all { Which::All } else { Which::Ids(args.which.id.iter().cloned().collect()) };
    let queue = open(&args.broker, &args.tls).await?;
    let done = queue.send_dead_letters_again(&which).await?;
    Queue::RabbitMq(queue).close().await;
    let letters = if done.sent == 1 { "letter" } else { "letters" };
    note(&format!("{} {letters} sent again", done.sent));
    let joined = |ids: Vec<String>| ids.join(", ");
    if !done.missing.is_empty() {
        return Err(DeadLettersError::NoSuchLetter(joined(done.missing.into_iter().collect())));
    }
    if !done.kept.is_empty() {
        return Err(DeadLettersError::Nowhere(joined(done.kept.into_iter().collect())));
    }
    Ok(())
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// For the person, apart from what a script reads.
fn note(line: &str) {
    drop(writeln!(io::stderr(), "scriptorium: {line}"));
}
