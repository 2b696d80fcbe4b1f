//! One subscription to the bus for the whole process, fanned out to the readers of each job.
//!
//! A job that is read has a feed: a counter of wake-ups that its readers watch, and the end of its log, which the first
//! reader that is woken reads and the others share. Nothing is held for a reader that does not ask.

use super::frames::Newest;
use scriptorium_contracts::JobId;
use scriptorium_contracts::event::EventRecord;
use scriptorium_contracts::job::JobHeader;
use scriptorium_shared::bus::{Bus, Wake};
use scriptorium_shared::jobs::{Jobs, JobsError};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Events of one page of the log.
const PAGE: u32 = 16;
/// Events of the log's end that the readers of a job share.
const SHARED: usize = 32;

/// The feeds of all jobs that are read.
#[derive(Default)]
pub struct Hub {
    feeds: Mutex<HashMap<JobId, Arc<Feed>>>,
}

struct Feed {
    /// Counts wake-ups.
    wakes: watch::Sender<u64>,
    tail: tokio::sync::Mutex<Tail>,
}

/// The end of the log as it was after wake-up number `at`: the events behind `after` up to the last one.
#[derive(Default)]
struct Tail {
    at: Option<u64>,
    newest: Newest,
    after: u64,
    events: VecDeque<Arc<EventRecord>>,
}

impl Tail {
    fn end(&self) -> u64 {
        self.after + self.events.len() as u64
    }

    fn page(&self, after: u64) -> Page {
        let skipped = usize::try_from(after.saturating_sub(self.after)).unwrap_or(usize::MAX);
        let events = self.events.iter().skip(skipped).take(PAGE as usize).cloned().collect();
        Page { newest: self.newest, events }
    }

    /// Takes in the events behind `after`, which are the last ones of the log.
    fn extend(&mut self, at: u64, newest: Newest, after: u64, events: &[Arc<EventRecord>]) {
        if self.at.is_none() || self.end() != after {
            self.after = after;
            self.events.clear();
        }
        self.events.extend(events.iter().cloned());
        while self.events.len() > SHARED {
            self.events.pop_front();
            self.after += 1;
        }
        (self.at, self.newest) = (Some(at), newest);
    }
}

/// Some events of a job's log, and how far the job was when they were read.
pub struct Page {
    pub newest: Newest,
    pub events: Vec<Arc<EventRecord>>,
}

impl Hub {
    /// Passes wake-ups on until the shutdown, or until the bus is gone; then readers live on their own looks.
    pub async fn run(self: Arc<Self>, bus: Bus, shutdown: CancellationToken) {
        let mut subscription = bus.subscribe();
        // Otherwise the hub itself would keep an embedded bus alive.
        drop(bus);
        loop {
            let wake = tokio::select! {
                wake = subscription.next() => wake,
                () = shutdown.cancelled() => return,
            };
            match wake {
                Wake::Job(job) => self.wake(Some(job)),
                Wake::Missed => self.wake(None),
                Wake::Closed => {
                    tracing::warn!("the bus is gone: live streams are updated at heartbeats only");
                    return;
                }
            }
        }
    }

    fn wake(&self, job: Option<JobId>) {
        let feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        let bump = |feed: &Arc<Feed>| feed.wakes.send_modify(|count| *count = count.wrapping_add(1));
        match job {
            Some(job) => {
                if let Some(feed) = feeds.get(&job) {
                    bump(feed);
                }
            }
            None => feeds.values().for_each(bump),
        }
    }

    /// A new reader of a job.
    pub fn listen(self: &Arc<Self>, job: JobId) -> Listener {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Feed { wakes: watch::Sender::new(0), tail: Default::default() });
        let feed = Arc::clone(feeds.entry(job).or_insert_with(new));
        let wakes = feed.wakes.subscribe();
        Listener { hub: Arc::clone(self), job, feed, wakes }
    }

    /// Jobs that are read now.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.feeds.lock().unwrap().len()
    }
}

/// One reader's place at a feed. Dropping it frees what it held.
pub struct Listener {
    hub: Arc<Hub>,
    job: JobId,
    feed: Arc<Feed>,
    wakes: watch::Receiver<u64>,
}

impl Listener {
    /// Waits until the job has gone on since the last [`Self::page`]; not at all if it has already. Cancel-safe.
    pub async fn woken(&mut self) {
        // It fails only without a sender, and the feed holds it.
        let _ = self.wakes.changed().await;
        self.wakes.mark_changed();
    }

    /// The reader is going to look at the job itself: only what happens from here on wakes it.
    pub fn look(&mut self) {
        self.wakes.mark_unchanged();
    }

    /// Has the job gone on since the last [`Self::page`]?
    pub fn is_woken(&self) -> bool {
        self.wakes.has_changed().unwrap_or(false)
    }

    /// The events behind `after`, at most a page of them. `look`: even if nobody has woken us, for wake-ups may be lost.
    pub async fn page(&mut self, jobs: &Jobs, after: u64, look: bool) -> Result<Page, JobsError> {
        // Before reading: what happens while we read wakes us again.
        let wanted = *self.wakes.borrow_and_update();
        let mut tail = self.feed.tail.lock().await;
        let fresh = !look && tail.at.is_some_and(|at| at >= wanted);
        if fresh && after >= tail.after {
            return Ok(tail.page(after));
        }
        let at = *self.feed.wakes.borrow();
        let header = jobs.header(self.job).await?.ok_or(JobsError::NoSuchJob(self.job))?;
        let newest = newest(&header);
        let events: Vec<Arc<EventRecord>> = if newest.event > after {
            jobs.store.events(self.job, after, PAGE).await?.into_iter().map(Arc::new).collect()
        } else {
            Vec::new()
        };
        let end = events.last().map_or(after, |last| last.id);
        if end >= newest.event {
            tail.extend(at, newest, after, &events);
        }
        Ok(Page { newest, events })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut feeds = self.hub.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        // Ours and the map's: nobody else listens. New listeners come under the same lock.
        if Arc::strong_count(&self.feed) == 2 {
            feeds.remove(&self.job);
        }
    }
}

/// How far a job is.
pub fn newest(header: &JobHeader) -> Newest {
    Newest { event: header.last_event, text_chunks: header.text_chunks, over: header.state.is_final() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scriptorium_contracts::Timestamp;
    use scriptorium_contracts::event::Event;
    use scriptorium_shared::bus::EmbeddedBus;
    use uuid::Uuid;

    fn job(number: u128) -> JobId {
        JobId::new(Uuid::from_u128(number))
    }

    fn event(id: u64) -> Arc<EventRecord> {
        Arc::new(EventRecord { id, at: Timestamp(0), event: Event::Expired {} })
    }

    #[tokio::test]
    async fn wakes_the_readers_of_the_job_and_nobody_else() {
        let (hub, bus, shutdown) =
            (Arc::new(Hub::default()), Bus::Embedded(EmbeddedBus::new()), CancellationToken::new());
        let mut running = tokio::task::JoinSet::new();
        running.spawn(Arc::clone(&hub).run(bus.clone(), shutdown.clone()));
        let (mut first, mut second, other) = (hub.listen(job(1)), hub.listen(job(1)), hub.listen(job(2)));
        while !(first.is_woken() && second.is_woken()) {
            bus.notify(job(1)).await;
            tokio::task::yield_now().await;
        }
        first.woken().await;
        second.woken().await;
        assert!(!other.is_woken());
        hub.wake(None);
        assert!(other.is_woken());
        shutdown.cancel();
        running.join_next().await.unwrap().unwrap();
        assert_eq!(hub.len(), 2);
        drop((first, other));
        assert_eq!(hub.len(), 1);
        drop(second);
        assert_eq!(hub.len(), 0);
    }

    #[test]
    fn the_shared_end_of_a_log_grows_and_stays_short() {
        let mut tail = Tail::default();
        let newest = |event| Newest { event, ..Newest::default() };
        tail.extend(0, newest(3), 0, &[event(1), event(2), event(3)]);
        tail.extend(1, newest(5), 3, &[event(4), event(5)]);
        let ids = |page: Page| page.events.iter().map(|event| event.id).collect::<Vec<_>>();
        assert_eq!(ids(tail.page(0)), [1, 2, 3, 4, 5]);
        assert_eq!(ids(tail.page(4)), [5]);
        assert_eq!(ids(tail.page(9)), [0u64; 0]);
        for id in 6..=100 {
            tail.extend(id, newest(id), id - 1, &[event(id)]);
        }
        assert_eq!((tail.after, tail.events.len()), (68, SHARED));
        // Not the continuation: starts anew.
        tail.extend(101, newest(210), 209, &[event(210)]);
        assert_eq!(ids(tail.page(209)), [210]);
        assert_eq!(tail.after, 209);
    }
}
