//! Whatever comes in whatever order, however often, and whenever the process ends: the job ends alike.

use super::peers::{answers, assemble, finish, log, make_limited, task, waiting};
use super::{Bucket, Place, bucket};
use crate::jobs::Jobs;
use crate::queue::{Delivery, Topic};
use crate::testing::result_of;
use proptest::prelude::*;
use scriptorium_contracts::JobId;
use scriptorium_contracts::event::Event;
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::{Input, JobState};
use scriptorium_contracts::message::CoordinatorMessage;
use std::time::Duration;

/// `usize`s choose among what is there at the time.
#[derive(Clone, Debug)]
enum Action {
    Upload(u32),
    /// A worker takes a task, now or never acknowledging it.
    Take {
        acknowledge: bool,
    },
    /// A worker that took a task says something, perhaps again, perhaps much too late.
    Say(usize),
    /// A worker that took a task says that it failed.
    Fail(usize),
    /// A worker that took a task asks for another chunk.
    Need(usize, u32),
    /// The coordinator takes its messages.
    Assemble,
    Sweep,
    /// The process ends while something is going on, after so many microseconds, and starts again.
    Restart(usize, u64),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (0..8u32).prop_map(Action::Upload),
        3 => any::<bool>().prop_map(|acknowledge| Action::Take { acknowledge }),
        8 => any::<usize>().prop_map(Action::Say),
        1 => any::<usize>().prop_map(Action::Fail),
        1 => (any::<usize>(), 0..8u32).prop_map(|(at, needed)| Action::Need(at, needed)),
        2 => Just(Action::Assemble),
        1 => Just(Action::Sweep),
        2 => (any::<usize>(), 0..4_000u64).prop_map(|(at, micros)| Action::Restart(at, micros)),
    ]
}

struct World {
    place: Place,
    bucket: Bucket,
    jobs: Option<Jobs>,
    job: JobId,
    chunks: u32,
    /// Deliveries that nobody has answered; they die with the process.
    held: Vec<Delivery>,
    /// Chunk and epoch of all tasks ever taken.
    taken: Vec<(u32, u32)>,
    /// What can be said; more and more of it is outdated.
    sayings: Vec<Input>,
    restarts: u32,
}

impl World {
    async fn new(place: Place, chunks: u32) -> Self {
        let bucket = bucket(place.path()).await;
        let jobs = place.start(bucket.objects.clone()).await;
        let job = make_limited(&jobs, chunks, |limits| limits.max_retries = 1_000_000).await.id;
        let (held, taken, sayings) = (Vec::new(), Vec::new(), Vec::new());
        Self { place, bucket, jobs: Some(jobs), job, chunks, held, taken, sayings, restarts: 0 }
    }

    fn jobs(&self) -> &Jobs {
        self.jobs.as_ref().unwrap()
    }

    async fn advance(&self, input: Input) {
        self.jobs().advance(self.job, input).await.unwrap();
    }

    async fn act(&mut self, action: Action) {
        match action {
            Action::Upload(chunk) => self.advance(Input::Uploaded { chunk: chunk % self.chunks }).await,
            Action::Take { acknowledge } => self.take(acknowledge).await,
            Action::Say(at) => {
                if let Some(input) = pick(&self.sayings, at) {
                    self.advance(input).await;
                }
            }
            Action::Fail(at) => {
                if let Some((chunk, epoch)) = pick(&self.taken, at) {
                    let failure = Failure::new(FailureCode::EngineFailed, "The engine failed.");
                    self.advance(Input::Failed { chunk, part: None, epoch, failure }).await;
                }
            }
            Action::Need(at, needed) => {
                if let Some((chunk, epoch)) = pick(&self.taken, at) {
                    let needed = needed % self.chunks;
                    self.advance(Input::NeedsChunk { chunk, epoch, needed }).await;
                }
            }
            Action::Assemble => self.assemble().await,
            Action::Sweep => {
                self.jobs().perform_due().await.unwrap();
                self.advance(Input::Tick).await;
            }
            Action::Restart(at, micros) => self.restart(at, micros).await,
        }
    }

    async fn take(&mut self, acknowledge: bool) {
        for delivery in waiting(self.jobs(), Topic::Tasks).await {
            let task = task(&delivery);
            self.taken.push((task.chunk, task.epoch));
            self.sayings.extend(answers(&task));
            if acknowledge {
                delivery.ack().await.unwrap();
            } else {
                self.held.push(delivery);
            }
        }
    }

    async fn assemble(&mut self) {
        for delivery in waiting(self.jobs(), Topic::Coordinator).await {
            let CoordinatorMessage::Assemble { job, epoch, .. } =
                serde_json::from_slice(&delivery.payload).unwrap()
            else {
                panic!("nobody sends reports here");
            };
            let assembled = assemble(self.jobs(), job, epoch).await;
            self.sayings.push(assembled);
            delivery.ack().await.unwrap();
        }
    }

    async fn restart(&mut self, at: usize, micros: u64) {
        let input = pick(&self.sayings, at).unwrap_or(Input::Uploaded { chunk: at as u32 % self.chunks });
        let going_on = self.jobs().advance(self.job, input);
        // Broken off in the middle, or through: both are right.
        let _ = tokio::time::timeout(Duration::from_micros(micros), going_on).await;
        self.held.clear();
        self.jobs = None;
        let jobs = self.place.start(self.bucket.objects.clone()).await;
        jobs.recover().await.unwrap();
        self.jobs = Some(jobs);
        self.restarts += 1;
    }

    async fn check_the_end(self) -> Place {
        let (jobs, job) = (self.jobs(), self.job);
        for chunk in 0..self.chunks {
            self.advance(Input::Uploaded { chunk }).await;
        }
        // A task that a worker holds without ever answering comes to nobody else; its process ends some day.
        jobs.recover().await.unwrap();
        let header = finish(jobs, job).await;
        assert_eq!(header.state, JobState::Completed);
        assert_eq!(header.completed.len(), self.chunks);
        assert!(header.in_flight.is_empty() && header.ready.is_empty() && header.failed.is_empty());
        assert_eq!((header.text_chunks, header.progress), (self.chunks, 100));
        let records = jobs.store.chunk_records(job, 0, 100).await.unwrap();
        assert!(records.iter().all(|record| header.completed.contains(record.index)));

        let mut texts = Vec::new();
        for chunk in 0..self.chunks {
            assert_eq!(jobs.store.result(job, chunk).await.unwrap(), Some(result_of(chunk)));
            texts.push(result_of(chunk).text());
        }
        let (mut completed, mut text_chunks, mut finals, mut progress) = (Vec::new(), 0, Vec::new(), 0);
        for record in log(jobs, job).await {
            match record.event {
                Event::ChunkComplete { chunk_index, text, .. } => {
                    assert_eq!(text, texts[chunk_index as usize]);
                    completed.push(chunk_index);
                }
                Event::TextGrew { chunks } => {
                    assert!(chunks > text_chunks, "the text only grows");
                    assert!((0..chunks).all(|chunk| completed.contains(&chunk)), "without a gap");
                    text_chunks = chunks;
                }
                Event::ProgressUpdate { progress: now, .. } => {
                    assert!(now >= progress, "progress never goes back");
                    progress = now;
                }
                Event::FinalResult { final_transcript, status } => finals.push((final_transcript, status)),
                Event::Initialized { .. } | Event::MediaInfo { .. } | Event::ChunkFailed { .. } => {}
                other @ (Event::WebhookDisabled { .. }
                | Event::JobFailed { .. }
                | Event::Cancelled { .. }
                | Event::Expired {}
                | Event::Lost {}
                | Event::Reopened {}) => panic!("{other:?}"),
            }
        }
        completed.sort_unstable();
        assert!(completed.into_iter().eq(0..self.chunks), "each chunk's text comes exactly once");
        assert_eq!(finals, [(texts.join(" "), JobState::Completed)]);
        self.place
    }
}

fn pick<T: Clone>(among: &[T], at: usize) -> Option<T> {
    among.get(at.checked_rem(among.len())?).cloned()
}

fn play(place: Place, chunks: u32, actions: Vec<Action>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(place, chunks).await;
        for action in actions {
            world.act(action).await;
        }
        world.check_the_end().await.clean().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_job_ends_alike(chunks in 1..8u32, actions in proptest::collection::vec(action(), 0..60)) {
        play(Place::embedded(), chunks, actions);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_job_ends_alike_in_redis(chunks in 1..8u32, actions in proptest::collection::vec(action(), 0..60)) {
        if let Some(place) = Place::redis() {
            play(place, chunks, actions);
        }
    }
}
