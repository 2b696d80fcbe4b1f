//! The loop of one live stream: reads the log, makes frames, waits, beats.
//!
//! It runs only when the connection asks for more, so a client that does not read costs one page of events and one
//! buffer, and delays nobody. It ends with the client, the job, the stream's time or the process.

use super::frames::{Frames, Newest, Verdict, write_frame};
use super::hub::Listener;
use bytes::Bytes;
use scriptorium_contracts::JobId;
use scriptorium_contracts::event::{Event, EventRecord};
use scriptorium_contracts::job::{DELETED, Input};
use scriptorium_shared::jobs::{Jobs, JobsError};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Frames are put together up to so many bytes, so that replaying a long log does not take a write each.
const BUFFER: usize = 16 << 10;
/// Events that wait for their turn; beyond it no more are read.
const QUEUE: usize = 32;
/// Failing reads in a row after which the stream is closed, and the pause after each.
const MAX_FAILURES: u32 = 30;
const PAUSE: Duration = Duration::from_secs(1);

/// Times of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// A comment is sent when nothing else was for this long.
    pub heartbeat: Duration,
    /// The stream is closed after this.
    pub timeout: Duration,
}

/// What a stream is made of.
pub struct Reader {
    job: JobId,
    jobs: Jobs,
    listener: Listener,
    frames: Frames,
    times: Times,
    shutdown: CancellationToken,
    /// Events up to this one have been seen by the client before; they only build up the text.
    resume_after: u64,
    /// The last event that is done with.
    done: u64,
    queue: VecDeque<Arc<EventRecord>>,
    newest: Newest,
    /// Read the log even if nobody has woken us.
    look: bool,
    buffer: String,
    started: Instant,
    last_sent: Instant,
    failures: u32,
    over: bool,
    /// The place among the streams that this gateway allows.
    _permit: OwnedSemaphorePermit,
}

/// Why a wait ended.
enum Waited {
    Woken,
    Due,
    Heartbeat,
    Over,
}

impl Reader {
    pub fn new(
        (job, resume_after): (JobId, u64),
        jobs: Jobs,
        listener: Listener,
        frames: Frames,
        times: Times,
        shutdown: CancellationToken,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let now = Instant::now();
        Self {
            job,
            jobs,
            listener,
            frames,
            times,
            shutdown,
            resume_after,
            done: 0,
            queue: VecDeque::new(),
            newest: Newest::default(),
            look: true,
            // The comment lets clients see at once that the stream stands.
            buffer: String::from(": scriptorium\nretry: 2000\n\n"),
            started: now,
            last_sent: now,
            failures: 0,
            over: false,
            _permit: permit,
        }
    }

    /// The next bytes of the stream; `None` at its end.
    pub async fn next(&mut self) -> Option<Bytes> {
        while !self.over && self.buffer.len() < BUFFER {
            let wait = match self.turn().await {
                Ok(None) => continue,
                Ok(Some(wait)) => wait,
                Err(error) => self.failed(&error),
            };
            if self.over || !self.buffer.is_empty() {
                break;
            }
            self.wait(wait).await;
        }
        if self.buffer.is_empty() {
            return None;
        }
        self.last_sent = Instant::now();
        Some(Bytes::from(std::mem::take(&mut self.buffer)))
    }

    /// One event or one page. `Some`: there is nothing to do for so long, or until the job goes on.
    async fn turn(&mut self) -> Result<Option<Duration>, JobsError> {
        if self.shutdown.is_cancelled() || self.started.elapsed() >= self.times.timeout {
            self.over = true;
            return Ok(None);
        }
        let room = self.queue.len() < QUEUE;
        if self.queue.is_empty() || (self.listener.is_woken() && room) {
            self.read().await?;
        }
        let Some(record) = self.queue.front().map(Arc::clone) else {
            self.over = self.newest.over && self.done >= self.newest.event;
            return Ok(Some(self.times.heartbeat));
        };
        if record.id <= self.resume_after {
            match self.frames.seen(&record) {
                Ok(()) => self.pop(record.id),
                Err(event) => self.fetch(event).await?,
            }
            return Ok(None);
        }
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match self.frames.next(&record, self.newest, now) {
            Verdict::Send(data) => {
                write_frame(&mut self.buffer, record.id, &data);
                self.pop(record.id);
            }
            Verdict::Skip => self.pop(record.id),
            Verdict::Fetch(event) => self.fetch(event).await?,
            Verdict::Hold(milliseconds) => return Ok(Some(Duration::from_millis(milliseconds))),
        }
        Ok(None)
    }

    fn pop(&mut self, id: u64) {
        self.queue.pop_front();
        self.done = id;
    }

    /// The next page of the log.
    async fn read(&mut self) -> Result<(), JobsError> {
        let after = self.queue.back().map_or(self.done, |last| last.id);
        let page = self.listener.page(&self.jobs, after, self.look).await?;
        (self.look, self.failures) = (false, 0);
        if page.newest.event < self.done {
            // A store that was restarted may have lost its last second, and with it what this client has seen.
            tracing::warn!(job = %self.job, seen = self.done, stored = page.newest.event, "the event log went back");
            self.jobs.advance(self.job, Input::EventsSeen { last: self.done }).await?;
        }
        self.newest = page.newest;
        self.queue.extend(page.events);
        Ok(())
    }

    /// An event whose text was too long to be held.
    async fn fetch(&mut self, event: u64) -> Result<(), JobsError> {
        let found = self.jobs.store.events(self.job, event.saturating_sub(1), 1).await?;
        match found.first() {
            Some(record) => self.frames.supply(record),
            None => return Err(JobsError::Damaged(self.job)),
        }
        Ok(())
    }

    /// A closed stream makes the client come back and meet the same fault, so the fault is waited out for a while.
    fn failed(&mut self, error: &JobsError) -> Duration {
        self.failures += 1;
        if matches!(error, JobsError::NoSuchJob(_)) {
            // The log is gone, or about to be; its last event was that the job is cancelled. The client may have missed some
            // before it, but there is nothing left to go on from.
            tracing::info!(job = %self.job, "a live stream ends: its job was deleted");
            let id = self.done.max(self.newest.event).saturating_add(1);
            write_frame(&mut self.buffer, id, &deleted());
            self.over = true;
            return PAUSE;
        }
        let gone = matches!(error, JobsError::Damaged(_));
        if gone || self.failures > MAX_FAILURES {
            tracing::warn!(job = %self.job, %error, "a live stream was closed: the event log can't be read");
            self.over = true;
        }
        self.look = true;
        PAUSE
    }

    async fn wait(&mut self, most: Duration) {
        let end = self.started + self.times.timeout;
        let beat = self.last_sent + self.times.heartbeat;
        let due = Instant::now() + most;
        // Failing reads are not repeated at each wake-up, and with a full queue wake-ups are of no use.
        let deaf = self.failures > 0 || self.queue.len() >= QUEUE;
        let waited = tokio::select! {
            () = self.shutdown.cancelled() => Waited::Over,
            () = sleep_until(end) => Waited::Over,
            () = sleep_until(beat) => Waited::Heartbeat,
            () = self.listener.woken(), if !deaf => Waited::Woken,
            () = sleep_until(due) => Waited::Due,
        };
        match waited {
            Waited::Woken | Waited::Due => {}
            Waited::Heartbeat => {
                self.buffer.push_str(": heartbeat\n\n");
                self.look = true;
            }
            Waited::Over => self.over = true,
        }
    }
}

/// As the client would be told of any job that is cancelled.
fn deleted() -> String {
    let event = Event::Cancelled { reason: DELETED.to_owned() };
    // Writing plain data to a string has no way to fail.
    serde_json::to_string(&event).unwrap_or_default()
}
