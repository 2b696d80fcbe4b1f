//! Recordings that are fetched, from the job to its last chunk: remembered, found by the sweep, taken, fetched.

use super::super::{CreatedJob, Jobs};
use super::{Bucket, Place, bucket};
use crate::objects::Imports;
use crate::outbound::Reach;
use crate::source::{self, Fetcher, SourceConfig};
use crate::testing::{new_id, new_job};
use bytes::Bytes;
use scriptorium_contracts::JobId;
use scriptorium_contracts::failure::FailureCode;
use scriptorium_contracts::job::{JobHeader, JobState, NewJob};
use scriptorium_contracts::objects::{chunk_key, job_prefix};
use scriptorium_contracts::source::{Origin, Source};
use scriptorium_tests::files::{Fault, FileServer, Manner};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

on_each_store![
    two_processes_fetch_each_chunk_once,
    out_of_a_bucket_as_from_an_address,
    servers_without_ranges_leave_places_to_others,
    what_can_not_be_had_leaves_nothing,
    a_deleted_job_leaves_nothing,
    where_nothing_may_be_fetched_it_stays_remembered,
];

const PATIENCE: Duration = Duration::from_secs(30);
const CHUNKS: u32 = 5;

/// Of [`new_job`] with five chunks.
fn recording() -> Vec<u8> {
    (0..450).map(|at| (at * 7 % 251) as u8).collect()
}

/// Processes that sweep and fetch, until this is dropped.
struct Coordinators {
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Coordinators {
    fn start(jobs: &Jobs, count: usize, at_once: u32) -> Self {
        let (shutdown, mut tasks) = (CancellationToken::new(), JoinSet::new());
        for _ in 0..count {
            // Of their own, but for what processes share.
            let (store, queue) = (jobs.store.clone(), jobs.queue.clone());
            let jobs = Jobs::new(store, queue, jobs.bus.clone(), jobs.objects.clone());
            let imports = Imports::new(&jobs.objects, "scriptorium", "imports");
            let config = SourceConfig { reach: Reach::Anywhere, at_once };
            let fetcher = Fetcher::new(config, Some(imports)).unwrap();
            tasks.spawn(jobs.clone().run_sweeper(Duration::from_millis(20), shutdown.clone()));
            tasks.spawn(source::run(jobs, fetcher, shutdown.clone()));
        }
        Self { shutdown, tasks }
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        let ending = async { while self.tasks.join_next().await.is_some() {} };
        tokio::time::timeout(PATIENCE, ending).await.expect("they end");
    }
}

async fn parts(place: &Place, manner: Manner) -> (Jobs, Bucket, FileServer) {
    let bucket = bucket(place.path()).await;
    let files = FileServer::start(manner).await;
    files.put("/talk", recording());
    (place.start(bucket.objects.clone()).await, bucket, files)
}

async fn job(jobs: &Jobs, origin: Origin, ranges: bool) -> JobId {
    let source = Some(Source::new(origin, None, ranges));
    let new = NewJob { source, ..new_job(new_id(), CHUNKS) };
    let CreatedJob::New(header) = jobs.create(new, None).await.unwrap() else { panic!("it is new") };
    header.id
}

/// Waits until the job is as wanted.
async fn until(jobs: &Jobs, job: JobId, wanted: impl Fn(&JobHeader) -> bool) -> JobHeader {
    let waiting = async {
        loop {
            let header = jobs.header(job).await.unwrap().unwrap();
            if wanted(&header) {
                return header;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the job comes to that")
}

fn is_whole(header: &JobHeader) -> bool {
    header.uploaded.len() == CHUNKS
}

async fn check_chunks(jobs: &Jobs, job: JobId) {
    for (chunk, bytes) in (0..).zip(recording().chunks(100)) {
        let stored = jobs.objects.read(&chunk_key(job, chunk), 0, 1_000).await.unwrap();
        assert_eq!(stored.as_deref(), Some(bytes), "chunk {chunk}");
    }
}

async fn two_processes_fetch_each_chunk_once(place: &Place) {
    let (jobs, _bucket, files) = parts(place, Manner::default()).await;
    let mut all = Vec::new();
    for number in 0..10 {
        // One file has parts, the next has none.
        let origin = Origin::Url(files.url(&format!("/talk?number={number}")));
        all.push(job(&jobs, origin, number % 2 == 0).await);
    }
    let coordinators = Coordinators::start(&jobs, 2, 4);
    for job in &all {
        let header = until(&jobs, *job, is_whole).await;
        assert_eq!((header.state, header.source), (JobState::Processing, None));
        check_chunks(&jobs, *job).await;
    }
    coordinators.stop().await;
    assert_eq!(files.asked().len(), 5 * CHUNKS as usize + 5, "each chunk once, or all at once");
}

async fn out_of_a_bucket_as_from_an_address(place: &Place) {
    let (jobs, _bucket, _files) = parts(place, Manner::default()).await;
    let key = "imports/acme/talk.wav";
    jobs.objects.write(key, recording().into(), "audio/wav").await.unwrap();
    let head = Imports::new(&jobs.objects, "scriptorium", "imports").head(key).await.unwrap().unwrap();
    assert_eq!(head.size, 450);
    let coordinators = Coordinators::start(&jobs, 1, 1);
    let good = job(&jobs, Origin::Key(key.to_owned()), true).await;
    until(&jobs, good, is_whole).await;
    check_chunks(&jobs, good).await;
    // Outside of the prefix, and one that is not there.
    jobs.objects.write("secret/talk.wav", recording().into(), "audio/wav").await.unwrap();
    for key in ["secret/talk.wav", "imports/acme/other.wav"] {
        let failed = job(&jobs, Origin::Key(key.to_owned()), true).await;
        let header = until(&jobs, failed, |header| header.state.is_final()).await;
        assert_eq!(header.failure.unwrap().code, FailureCode::SourceRefused, "{key}");
    }
    // Written anew since it was looked at.
    let source = Source::new(Origin::Key(key.to_owned()), head.tag, true);
    let other: Vec<u8> = recording().into_iter().rev().collect();
    jobs.objects.write(key, Bytes::from(other), "audio/wav").await.unwrap();
    let new = NewJob { source: Some(source), ..new_job(new_id(), CHUNKS) };
    let changed = new.id;
    jobs.create(new, None).await.unwrap();
    let header = until(&jobs, changed, |header| header.state.is_final()).await;
    assert_eq!(header.failure.unwrap().code, FailureCode::SourceChanged);
    coordinators.stop().await;
}

async fn servers_without_ranges_leave_places_to_others(place: &Place) {
    let (jobs, _bucket, files) = parts(place, Manner::default()).await;
    let never = Manner { pause: PATIENCE * 2, ..Manner::default() };
    let mut silent = Vec::new();
    for _ in 0..4 {
        let server = FileServer::start(never.clone()).await;
        server.put("/talk", recording());
        job(&jobs, Origin::Url(server.url("/talk")), false).await;
        silent.push(server);
    }
    let coordinators = Coordinators::start(&jobs, 1, 4);
    let asked = async {
        while silent.iter().map(|server| server.asked().len()).sum::<usize>() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("two of them are asked");
    let quick = job(&jobs, Origin::Url(files.url("/talk")), true).await;
    until(&jobs, quick, is_whole).await;
    assert_eq!(silent.iter().filter(|server| !server.asked().is_empty()).count(), 2, "half of the places");
    coordinators.stop().await;
}

/// A job of which nothing is left in the object store.
async fn until_empty(jobs: &Jobs, job: JobId) {
    let waiting = async {
        while !jobs.objects.list(&job_prefix(job)).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("its objects are deleted");
}

async fn what_can_not_be_had_leaves_nothing(place: &Place) {
    let (jobs, _bucket, files) = parts(place, Manner::default()).await;
    let coordinators = Coordinators::start(&jobs, 1, 1);
    files.faults(&[None, None, Some(Fault::Status(404))]);
    let failed = job(&jobs, Origin::Url(files.url("/talk")), true).await;
    let header = until(&jobs, failed, |header| header.state.is_final()).await;
    let failure = header.failure.unwrap();
    assert_eq!((header.state, failure.code), (JobState::Failed, FailureCode::SourceRefused));
    assert!(failure.detail.contains("404"), "{failure:?}");
    until_empty(&jobs, failed).await;
    // What may pass is waited for: it is due again, and not before its time.
    files.faults(&vec![Some(Fault::Later(503, "600")); 2]);
    let waits = job(&jobs, Origin::Url(files.url("/talk")), true).await;
    let tried = |header: &JobHeader| header.source.as_ref().is_some_and(|source| source.failure.is_some());
    let header = until(&jobs, waits, tried).await;
    let source = header.source.unwrap();
    let pause = source.due.since(header.updated_at);
    assert!((600_000..=720_000).contains(&pause), "{pause}");
    assert_eq!((header.state, source.attempts, source.holder), (JobState::Created, 1, None));
    coordinators.stop().await;
}

async fn a_deleted_job_leaves_nothing(place: &Place) {
    let slow = Manner { pause: Duration::from_millis(300), ..Manner::default() };
    let (jobs, _bucket, files) = parts(place, slow).await;
    let coordinators = Coordinators::start(&jobs, 1, 1);
    let gone = job(&jobs, Origin::Url(files.url("/talk")), true).await;
    // The second pair of chunks is under way.
    files.got(3).await;
    jobs.delete(gone, Duration::from_secs(1)).await.unwrap();
    assert!(jobs.header(gone).await.unwrap().is_none());
    let next = job(&jobs, Origin::Url(files.url("/talk?next")), true).await;
    until(&jobs, next, is_whole).await;
    assert_eq!(files.asked().len(), 4 + CHUNKS as usize, "the rest was not asked for");
    // What came too late goes when the deletion is done a second time.
    tokio::time::sleep(Duration::from_secs(6)).await;
    until_empty(&jobs, gone).await;
    coordinators.stop().await;
}

async fn where_nothing_may_be_fetched_it_stays_remembered(place: &Place) {
    let (jobs, _bucket, files) = parts(place, Manner::default()).await;
    let coordinators = Coordinators::start(&jobs, 1, 0);
    let waits = job(&jobs, Origin::Url(files.url("/talk")), true).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    coordinators.stop().await;
    assert_eq!(jobs.header(waits).await.unwrap().unwrap().source.unwrap().attempts, 0);
    assert!(files.asked().is_empty());
    let coordinators = Coordinators::start(&jobs, 1, 1);
    until(&jobs, waits, is_whole).await;
    coordinators.stop().await;
}
