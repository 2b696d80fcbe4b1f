//! The queue between the windows' logic and the threads that run the model, and those threads.
//!
//! A request says nothing of jobs, so whatever waits is batched. The queue is as long as the number of windows
//! that [`Whisper`](super::Whisper) lets in: each has one request in it at most.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::EngineError;
use super::backend::Model;
use super::request::{Answer, Request};

type Reply = oneshot::Sender<Result<Answer, EngineError>>;

struct Job {
    request: Request,
    reply: Reply,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Threads that have nothing to do.
    idle: usize,
    closed: bool,
}

/// Requests in the order they came.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    /// Has a request run, together with others that wait. Dropping the future takes it off the queue, or lets its
    /// result go if it is being computed.
    ///
    /// # Errors
    /// [`EngineError::Closed`], or what the model says.
    pub async fn run(&self, request: Request) -> Result<Answer, EngineError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut state = self.lock();
            if state.closed {
                return Err(EngineError::Closed);
            }
            // Abandoned requests must not pile up behind busy threads.
            state.waiting.retain(|job| !job.reply.is_closed());
            state.waiting.push_back(Job { request, reply });
        }
        self.changed.notify_one();
        answer.await.unwrap_or(Err(EngineError::Closed))
    }

    /// Takes no more requests and drops those that wait; the threads end after the batch they are at.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.changed.notify_all();
    }

    /// The next batch: the oldest request and those that fit it, at most `max`, and no more than leaves a fair
    /// share to threads that are idle too. Waits for one; `None` when the queue is closed.
    fn take(&self, max: usize) -> Option<Vec<Job>> {
        let mut state = self.lock();
        state.idle += 1;
        loop {
            state.waiting.retain(|job| !job.reply.is_closed());
            if state.closed || !state.waiting.is_empty() {
                break;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let share = state.waiting.len().div_ceil(state.idle).clamp(1, max);
        state.idle -= 1;
        let first = state.waiting.pop_front()?;
        let mut batch = vec![first];
        let mut rest = VecDeque::with_capacity(state.waiting.len());
        for job in std::mem::take(&mut state.waiting) {
            if batch.len() < share && job.request.fits(&batch[0].request) {
                batch.push(job);
            } else {
                rest.push_back(job);
            }
        }
        state.waiting = rest;
        if !state.waiting.is_empty() {
            self.changed.notify_one();
        }
        Some(batch)
    }

    /// The state; a thread that panicked while holding it cannot have left it half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

/// Starts the threads, one for each slot, each taking batches of up to `max_batch` requests.
///
/// # Errors
/// [`EngineError::Thread`]; the threads already started end.
pub fn start(
    queue: &Arc<Queue>,
    model: &Arc<Model>,
    slots: usize,
    max_batch: usize,
) -> Result<Vec<JoinHandle<()>>, EngineError> {
    let spawn = |slot: usize| {
        let (queue, model) = (Arc::clone(queue), Arc::clone(model));
        std::thread::Builder::new().name(format!("whisper-{slot}")).spawn(move || {
            let _guard = CloseOnPanic(&queue);
            while let Some(batch) = queue.take(max_batch) {
                answer(&model, batch);
            }
        })
    };
    let threads: Result<Vec<_>, _> = (0..slots).map(spawn).collect();
    threads.map_err(|error| {
        queue.close();
        EngineError::Thread(error)
    })
}

/// An engine with a thread less would be slow without anybody knowing why; one that is closed says so.
struct CloseOnPanic<'a>(&'a Queue);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.close();
        }
    }
}

/// Runs a batch and sends the answers. If the batch fails, each request is run alone, so that none fails because
/// of its neighbours.
fn answer(model: &Model, batch: Vec<Job>) {
    let requests: Vec<&Request> = batch.iter().map(|job| &job.request).collect();
    tracing::debug!(windows = requests.len(), "the model begins a batch");
    match model.run(&requests) {
        Ok(answers) => {
            for (job, answer) in batch.into_iter().zip(answers) {
                send(job.reply, Ok(answer));
            }
        }
        Err(error) if batch.len() > 1 => {
            tracing::warn!(%error, windows = batch.len(), "a batch failed; running its windows one by one");
            for job in batch {
                let result = model.run(&[&job.request]);
                send(job.reply, result.and_then(single));
            }
        }
        Err(error) => {
            if let Some(job) = batch.into_iter().next() {
                send(job.reply, Err(error));
            }
        }
    }
}

fn single(answers: Vec<Answer>) -> Result<Answer, EngineError> {
    answers.into_iter().next().ok_or_else(|| EngineError::Inference("no result".to_owned()))
}

/// Nobody waits any more if the receiver is gone; that is no error.
fn send(reply: Reply, result: Result<Answer, EngineError>) {
    drop(reply.send(result));
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
