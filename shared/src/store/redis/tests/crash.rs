//! Redis is killed with -9 at any moment, and started again: what was acknowledged is there, and nothing by half.

use super::open;
use crate::bus::{Bus, RedisBus, Subscription, Wake};
use crate::jobs::{CreatedJob, Jobs, JobsError};
use crate::redis::server::RedisServer;
use crate::store::{Commit, Store};
use crate::testing::{jobs_on, media, new_id, new_job, result_of};
use scriptorium_contracts::job::{self, ChunkState, Input, JobHeader};
use scriptorium_contracts::{JobId, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const CHUNKS: u32 = 40;
const PATIENCE: Duration = Duration::from_secs(30);

/// What a client has been told: the last revision of each job.
type Acknowledged = Arc<Mutex<BTreeMap<JobId, u64>>>;

fn acknowledge(acknowledged: &Acknowledged, header: &JobHeader) {
    acknowledged.lock().unwrap().insert(header.id, header.revision);
}

/// Waits a little after what may be tried again.
async fn again(error: &JobsError) {
    assert!(error.retryable(), "{error}");
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Tries each change until it is through, as a caller of the port does.
async fn one_job(jobs: &Jobs, acknowledged: &Acknowledged) {
    let id = new_id();
    loop {
        match jobs.create(new_job(id, CHUNKS), None).await {
            Ok(CreatedJob::New(header) | CreatedJob::Existing(header)) => {
                acknowledge(acknowledged, &header);
                break;
            }
            Ok(CreatedJob::KeyReused) => panic!("there is no key"),
            Err(error) => again(&error).await,
        }
    }
    let mut inputs = vec![Input::Probed { media: media() }];
    for chunk in 0..CHUNKS {
        let result = Box::new(result_of(chunk));
        inputs.extend([Input::Uploaded { chunk }, Input::Completed { chunk, epoch: 1, result }]);
    }
    for input in inputs {
        loop {
            match jobs.advance(id, input.clone()).await {
                Ok(header) => break acknowledge(acknowledged, &header),
                Err(error) => again(&error).await,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment() {
    let Some(mut server) = RedisServer::start(&["--appendfsync", "always"]).await else { return };
    let config = server.config();
    let bus = Bus::Redis(RedisBus::connect(&config, &CancellationToken::new()).await.unwrap());
    let mut subscription = bus.subscribe();
    let jobs = jobs_on(open(&config).await);
    let acknowledged = Acknowledged::default();
    let mut clients = JoinSet::new();
    for _ in 0..6 {
        let (jobs, acknowledged) = (jobs.clone(), acknowledged.clone());
        clients.spawn(async move {
            loop {
                one_job(&jobs, &acknowledged).await;
            }
        });
    }
    let revisions = || acknowledged.lock().unwrap().values().sum::<u64>();
    for wait in [1, 3, 20, 77, 150, 333, 500] {
        let before = revisions();
        tokio::time::timeout(PATIENCE, async {
            while revisions() < before + 30 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("the clients go on after each start");
        tokio::time::sleep(Duration::from_millis(wait)).await;
        server.kill();
        server.begin();
        missed(&mut subscription).await;
    }
    clients.shutdown().await;
    let store = open(&config).await;
    let told = acknowledged.lock().unwrap().clone();
    assert!(told.values().sum::<u64>() > 200, "much has happened");
    for (job, revision) in told {
        let stored = store.load(job, &[]).await.unwrap().expect("an acknowledged job is there").0.revision;
        assert!(stored >= revision, "revision {revision} was acknowledged, {stored} is stored");
    }
    for job in store.jobs_to_sweep(None, 10_000).await.unwrap() {
        whole(&store, job).await;
    }
}

async fn missed(subscription: &mut Subscription) {
    let missed = async {
        loop {
            match subscription.next().await {
                Wake::Missed => return,
                Wake::Job(_) => {}
                Wake::Closed => panic!("the bus is still there"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, missed).await.expect("a subscriber is told after each start");
}

/// Header, records, results, events and effects are of one revision.
async fn whole(store: &Store, job: JobId) {
    let all: Vec<u32> = (0..CHUNKS).collect();
    let (header, records) = store.load(job, &all).await.unwrap().unwrap();
    assert_eq!(records.len(), all.len());
    let events = store.events(job, 0, 10_000).await.unwrap();
    assert!(events.iter().map(|event| event.id).eq(1..=header.last_event));
    for (chunk, record) in &records {
        assert_eq!(header.uploaded.contains(*chunk), record.state != ChunkState::Pending);
        assert_eq!(header.completed.contains(*chunk), record.state == ChunkState::Completed);
        let result = store.result(job, *chunk).await.unwrap();
        assert_eq!(result.is_some(), record.state == ChunkState::Completed);
    }
    let effects = store.due_effects(Timestamp(u64::MAX), None, 10_000).await.unwrap();
    for due in effects.iter().filter(|due| due.key.job == job) {
        assert!(due.key.number <= header.last_effect && due.effect.is_ok());
    }
}

/// A commit that is on its way while Redis dies: it says `Done` once, or it says that nobody knows, and never
/// `Conflict` if it was written.
#[tokio::test(flavor = "multi_thread")]
async fn a_lone_commit_is_never_told_a_conflict() {
    let Some(mut server) = RedisServer::start(&["--appendfsync", "always"]).await else { return };
    let store = open(&server.config()).await;
    let created = job::create(new_job(new_id(), 200), crate::clock::now());
    store.create(&created, None).await.unwrap();
    let job = created.header.id;
    for round in 0..12u32 {
        let committing = async {
            for chunk in round * 16..(round + 1) * 16 {
                loop {
                    let Ok(loaded) = store.load(job, &[0, chunk]).await else { continue };
                    let (header, chunks) = loaded.unwrap();
                    if header.uploaded.contains(chunk) {
                        break;
                    }
                    let input = Input::Uploaded { chunk };
                    let step = job::step(&header, &chunks, input, crate::clock::now()).unwrap().unwrap();
                    match store.commit(&step).await {
                        Ok(outcome) => assert_eq!(outcome, Commit::Done),
                        Err(error) => assert!(error.retryable(), "{error}"),
                    }
                }
            }
        };
        let dying = async {
            tokio::time::sleep(Duration::from_micros(u64::from(round) * 311)).await;
            server.kill();
            server.begin();
        };
        tokio::join!(committing, dying);
    }
    let header = store.load(job, &[]).await.unwrap().unwrap().0;
    assert_eq!(header.uploaded.len(), 12 * 16);
    assert_eq!(header.revision, 1 + 12 * 16, "each went through once");
}
