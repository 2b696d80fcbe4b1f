//! What a worker does with the queue, without services: how many tasks it takes, and when it lets go of one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use scriptorium_contracts::JobId;
use scriptorium_contracts::job::JobOptions;
use scriptorium_contracts::message::{ChunkTask, CoordinatorMessage, Report, VERSION, WorkerReport};
use scriptorium_shared::objects::{Access, Objects, ObjectsConfig};
use scriptorium_shared::queue::{Consumer, Delivery, EmbeddedQueue, Queue, QueueError, Topic};
use scriptorium_test_engines::engine::Sleep;
use scriptorium_worker::{WindowCache, WorkerConfig};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Bytes of a recording of five chunks, and of each of them.
const RECORDING: (u64, u64) = (500, 100);
/// Longer than the pause before a task that was put off comes again.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time in which something that must not happen would happen.
const SILENCE: Duration = Duration::from_secs(1);

fn task(chunk: u32) -> Vec<u8> {
    let (total_size, chunk_size) = RECORDING;
    let task = ChunkTask {
        version: VERSION,
        job: "00000000-0000-4000-8000-000000000001".parse::<JobId>().unwrap(),
        chunk,
        epoch: 1,
        total_size,
        chunk_size,
        options: JobOptions::default(),
        lease_ms: 600_000,
        part: None,
        divide: false,
        redo: None,
        tenant: None,
        alone: false,
    };
    serde_json::to_vec(&task).unwrap()
}

/// A worker on the queue, whose object store is at that address. Never ends.
async fn worker(queue: &Queue, slots: usize, store: &TcpListener) {
    let config = WorkerConfig { slots, part_length: Duration::from_secs(300), llm: None };
    let objects = ObjectsConfig {
        endpoint: format!("http://{}", store.local_addr().unwrap()),
        public_endpoint: None,
        bucket: "scriptorium".to_owned(),
        region: "local".to_owned(),
        access: Access::Keys { access_key: "access".to_owned(), secret_key: "secret".to_owned() },
    };
    let (engine, objects) = (Arc::new(Sleep::new(Duration::ZERO, slots)), Objects::new(objects).unwrap());
    let never = CancellationToken::new();
    scriptorium_worker::run(config, engine, WindowCache::off(), queue.clone(), objects, never).await.unwrap();
}

async fn next(reports: &mut Consumer) -> (Delivery, WorkerReport) {
    let delivery = tokio::time::timeout(PATIENCE, reports.next()).await.expect("no report comes").unwrap();
    let message = serde_json::from_slice(&delivery.payload).unwrap();
    let CoordinatorMessage::Report(report) = message else { panic!("not a report") };
    (delivery, report)
}

/// Puts something in, and takes it out without an answer: there is room for one less.
async fn hold_one(queue: &Queue, topic: Topic) -> Delivery {
    queue.publish(topic, Vec::new()).await.unwrap();
    queue.consume(topic, 1).await.unwrap().next().await.unwrap()
}

/// Whether there is room for a task; what is put in to see it stays.
async fn is_let_go(queue: &Queue) -> bool {
    match queue.publish(Topic::Tasks, task(0)).await {
        Ok(()) => true,
        Err(QueueError::Full(_)) => false,
        Err(problem) => panic!("{problem}"),
    }
}

/// Of each topic the queue has room for one message beside the one that the test holds.
#[tokio::test]
async fn a_task_is_acknowledged_after_its_report_is_safe() {
    let queue = Queue::Embedded(EmbeddedQueue::bounded(2));
    let (_task, held) = (hold_one(&queue, Topic::Tasks).await, hold_one(&queue, Topic::Coordinator).await);
    let mut reports = queue.consume(Topic::Coordinator, 8).await.unwrap();
    // There is no such chunk, so that the answer is there at once, and is one that ends the task.
    queue.publish(Topic::Tasks, task(99)).await.unwrap();
    let store = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let scene = async {
        let (started, report) = next(&mut reports).await;
        assert!(matches!(report.report, Report::Started {}), "{report:?}");
        // The answer finds no room in the queue.
        let begun = Instant::now();
        while begun.elapsed() < SILENCE {
            assert!(!is_let_go(&queue).await, "acknowledged before its report was safe");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        held.ack().await.unwrap();
        started.ack().await.unwrap();
        // The task comes again after a while, and is answered then.
        let (started, report) = next(&mut reports).await;
        assert!(matches!(report.report, Report::Started {}), "{report:?}");
        let (_answer, report) = next(&mut reports).await;
        assert!(matches!(report.report, Report::Failed { .. }), "{report:?}");
        started.ack().await.unwrap();
        let begun = Instant::now();
        while !is_let_go(&queue).await {
            assert!(begun.elapsed() < PATIENCE, "the task is never acknowledged");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = worker(&queue, 1, &store) => panic!("the worker has ended"),
        () = scene => {}
    }
}

/// Others are to have the rest.
#[tokio::test]
async fn a_worker_takes_as_many_tasks_as_it_has_slots() {
    let queue = Queue::Embedded(EmbeddedQueue::new());
    let mut reports = queue.consume(Topic::Coordinator, 64).await.unwrap();
    for chunk in 0..5 {
        queue.publish(Topic::Tasks, task(chunk)).await.unwrap();
    }
    // Takes connections and never says a word: what is begun does not end.
    let store = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let scene = async {
        let mut begun = BTreeSet::new();
        for _ in 0..2 {
            let (delivery, report) = next(&mut reports).await;
            assert!(matches!(report.report, Report::Started {}), "{report:?}");
            begun.insert(report.chunk);
            delivery.ack().await.unwrap();
        }
        assert_eq!(begun, BTreeSet::from([0, 1]), "two slots, two tasks");
        let third = tokio::time::timeout(SILENCE, next(&mut reports)).await;
        assert!(third.is_err(), "a third report: {:?}", third.unwrap().1);
        // Nor does it hold any that it has no slot for.
        let mut other = queue.consume(Topic::Tasks, 8).await.unwrap();
        let mut left = Vec::new();
        while let Ok(delivery) = tokio::time::timeout(SILENCE, other.next()).await {
            left.push(delivery.unwrap());
        }
        let left: Vec<u32> = left
            .iter()
            .map(|delivery| serde_json::from_slice::<ChunkTask>(&delivery.payload).unwrap().chunk)
            .collect();
        assert_eq!(left, [2, 3, 4]);
    };
    tokio::select! {
        () = worker(&queue, 2, &store) => panic!("the worker has ended"),
        () = scene => {}
    }
}
