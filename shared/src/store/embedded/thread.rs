//! A thread that owns a connection and works off what it is sent.

use super::super::StoreError;
use super::schema::failed;
use rusqlite::Connection;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// Requests that wait for a thread; further callers wait for a place.
const INBOX: usize = 256;
/// Requests of one transaction.
const MAX_GROUP: usize = 128;

/// Answers the caller. Gets the outcome of the transaction that the work was part of.
type Answer = Box<dyn FnOnce(Result<(), StoreError>)>;

/// What a request did: whether its writes are to be kept, and how to answer.
pub(crate) struct Worked {
    keep: bool,
    answer: Answer,
}

/// Work on the connection; or the reason why there will be none.
pub(crate) type Request = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Worked + Send>;

enum Message {
    Run(Request),
    Close,
}

/// The handle of a thread. Dropping it waits for the thread to finish what it has begun.
#[derive(Debug)]
pub(crate) struct StoreThread {
    inbox: Option<mpsc::Sender<Message>>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl StoreThread {
    /// `work` gets what has come in, at least one request, and answers all of it. `keep` lives as long as the thread.
    pub fn start(
        name: &str,
        connection: Connection,
        keep: Option<std::fs::File>,
        work: fn(&Connection, Vec<Request>),
    ) -> Result<Self, StoreError> {
        let (inbox, requests) = mpsc::channel(INBOX);
        let handle = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                serve(&connection, requests, work);
                drop(connection);
                drop(keep);
            })
            .map_err(|error| StoreError::Unavailable { detail: error.to_string() })?;
        Ok(Self { inbox: Some(inbox), handle: Mutex::new(Some(handle)) })
    }

    /// Has `work` done. If the caller goes away, it may be done all the same.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let request: Request = Box::new(move |connection| {
            let result = connection.and_then(work);
            let keep = result.is_ok();
            Worked {
                keep,
                answer: Box::new(move |transaction| {
                    // An error means that the caller has gone away.
                    let _ = reply.send(result.and_then(|value| transaction.map(|()| value)));
                }),
            }
        });
        let inbox = self.inbox.as_ref().ok_or(StoreError::Closed)?;
        inbox.send(Message::Run(request)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Ends the thread after what it has begun, and waits for that. Blocks. Harmless twice.
    pub fn close(&self) {
        if let Some(inbox) = &self.inbox {
            // An error means that the thread has ended.
            let _ = inbox.blocking_send(Message::Close);
        }
        self.join();
    }

    fn join(&self) {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle
            && handle.join().is_err()
        {
            tracing::error!("a thread of the job store has panicked");
        }
    }
}

impl Drop for StoreThread {
    fn drop(&mut self) {
        self.inbox = None;
        self.join();
    }
}

/// Ends when it is told to or when all senders are gone.
fn serve(connection: &Connection, mut inbox: mpsc::Receiver<Message>, work: fn(&Connection, Vec<Request>)) {
    let mut open = true;
    while open && let Some(first) = inbox.blocking_recv() {
        let mut requests = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Run(request) => requests.push(request),
                Message::Close => {
                    open = false;
                    break;
                }
            }
            next = if requests.len() < MAX_GROUP { inbox.try_recv().ok() } else { None };
        }
        if !requests.is_empty() {
            work(connection, requests);
        }
    }
}

/// Reads: each request sees one state of the database from its first to its last statement.
pub(crate) fn read_each(connection: &Connection, requests: Vec<Request>) {
    for request in requests {
        let begun = connection.execute_batch("BEGIN").map_err(|error| failed(&error));
        let worked = request(begun.map(|()| connection));
        end(connection);
        (worked.answer)(Ok(()));
    }
}

/// Writes: one transaction for all requests, so one fsync. A request that fails is taken back alone.
pub(crate) fn write_together(connection: &Connection, requests: Vec<Request>) {
    let mut worked = Vec::with_capacity(requests.len());
    let begun = begin(connection);
    for request in requests {
        let usable = begun.clone().and_then(|()| usable(connection));
        worked.push(in_savepoint(connection, usable, request));
    }
    let committed = begun
        .and_then(|()| usable(connection))
        .and_then(|()| connection.execute_batch("COMMIT").map_err(|error| failed(&error)));
    end(connection);
    for Worked { answer, .. } in worked {
        answer(committed.clone());
    }
}

fn begin(connection: &Connection) -> Result<(), StoreError> {
    connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| failed(&error))
}

/// After some errors (full disk, I/O) SQLite has taken back the whole transaction by itself. What would be written
/// then would stand outside of it.
fn usable(connection: &Connection) -> Result<(), StoreError> {
    if connection.is_autocommit() {
        let detail = "the transaction was taken back because another write in it failed".to_owned();
        return Err(StoreError::Unavailable { detail });
    }
    Ok(())
}

fn in_savepoint(connection: &Connection, usable: Result<(), StoreError>, request: Request) -> Worked {
    let begun =
        usable.and_then(|()| connection.execute_batch("SAVEPOINT one").map_err(|error| failed(&error)));
    let in_it = begun.is_ok();
    let worked = request(begun.map(|()| connection));
    if in_it && !connection.is_autocommit() {
        let end = if worked.keep { "RELEASE one" } else { "ROLLBACK TO one; RELEASE one" };
        if let Err(error) = connection.execute_batch(end) {
            // Without its end the savepoint can't be told from its neighbours: nothing of the group is kept.
            tracing::warn!(%error, "a group of commits is taken back");
            self::end(connection);
        }
    }
    worked
}

/// Leaves the transaction, if there is one still.
fn end(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::warn!(%error, "a transaction of the job store could not be taken back");
    }
}
