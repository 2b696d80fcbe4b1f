//! The roles as processes of their own, two of each, on real RabbitMQ, Redis and S3.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use scriptorium_tests::dice::Dice;
use scriptorium_tests::patient::Patient;
use scriptorium_tests::{Client, Frame, Plan, Server, Stack, recordings, services};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Longer than a role takes to hand back what it has in hand, however slow the machine.
const DRAIN: Duration = Duration::from_secs(30);

fn sample() -> Vec<u8> {
    recordings::converted(&["-c:a", "pcm_s16le"], "wav")
}

/// Many bytes a second: `chunks` chunks of 1 MB that give the engine little to do.
fn dense(chunks: usize) -> Vec<u8> {
    let seconds = (chunks * (1 << 20) - 4_096) as f64 / (96_000.0 * 2.0 * 4.0);
    let seconds = format!("{seconds:.6}");
    recordings::converted(&["-c:a", "pcm_f32le", "-ar", "96000", "-ac", "2", "-t", &seconds], "wav")
}

/// What `serve` makes of it, in chunks of another size.
async fn by_serve(bytes: &[u8]) -> String {
    let server = Server::start(&[]).await;
    let session = Client::new(&server.url()).open("sample.wav", bytes.to_vec(), 4, json!({})).await;
    session.upload_all().await;
    assert_eq!(session.ended().await.data["status"], "completed");
    session.transcript("json").await
}

/// How often each chunk was told to be complete, and the ids of all frames.
fn check_events(frames: &[Frame], chunks: u32) {
    let ids: Vec<u64> = frames.iter().filter_map(|frame| frame.id).collect();
    assert!(ids.iter().copied().eq(1..=ids.len() as u64), "a hole or a double: {ids:?}");
    let mut complete: BTreeMap<u64, u32> = BTreeMap::new();
    for frame in frames.iter().filter(|frame| frame.kind() == "chunk_complete") {
        *complete.entry(frame.data["chunk_index"].as_u64().unwrap()).or_default() += 1;
    }
    let once: BTreeMap<u64, u32> = (0..u64::from(chunks)).map(|chunk| (chunk, 1)).collect();
    assert_eq!(complete, once, "each chunk is complete once");
}

fn patient(gateways: &[String], seed: u64) -> Patient {
    Patient::new(gateways, Dice::new(seed))
}

#[tokio::test]
async fn the_main_job_over_two_gateways_gives_what_serve_gives() {
    if !services::wanted() {
        return;
    }
    let bytes = dense(8);
    let plan = Plan::pairs(&[("SCRIPTORIUM_SWEEP_INTERVAL_SECONDS", "1")]);
    let (expected, stack) = tokio::join!(by_serve(&bytes), Stack::start(&plan));
    let gateways = stack.gateways();
    let [first, second] = [Client::new(&gateways[0]), Client::new(&gateways[1])];
    let session = first.open("sample.wav", bytes.clone(), 1, json!({})).await;
    // Chunk 2's notice gets lost: the sweep finds the object.
    for chunk in 0..session.chunks() - 1 {
        session.put(chunk).await;
        if chunk != 2 {
            assert!(session.notice(chunk).await.status().is_success());
        }
    }
    // The last chunk is held back, so the stream is read while the job runs; then it goes on at the other gateway.
    let complete = |frame: &Frame| frame.kind() == "chunk_complete";
    let mut frames = second.frames(&session.job, None, complete).await.unwrap();
    session.upload(session.chunks() - 1).await;
    for gateway in [&first, &second].into_iter().cycle().take(100) {
        let position = frames.iter().filter_map(|frame| frame.id).max();
        let mut left = 2;
        let stop = |frame: &Frame| {
            left -= 1;
            left == 0 || frame.is_last()
        };
        let Some(more) = gateway.frames(&session.job, position, stop).await else { break };
        let fresh = more.iter().filter_map(|frame| frame.id).all(|id| Some(id) > position);
        assert!(fresh, "told twice: {more:?} after {position:?}");
        frames.extend(more);
        if frames.last().is_some_and(Frame::is_last) {
            break;
        }
    }
    assert_eq!(frames.last().unwrap().data["status"], "completed");
    for gateway in &gateways {
        let mut patient = patient(std::slice::from_ref(gateway), 1);
        assert!(patient.transcript(&session).await == expected, "{gateway} gives another transcript");
        check_events(&patient.follow(&session).await, session.chunks());
    }
}

/// SIGTERM of one after the other, each followed by a new start, while a job runs.
#[tokio::test]
async fn a_rolling_restart_loses_nothing_and_a_silent_worker_loses_its_chunk() {
    if !services::wanted() {
        return;
    }
    let bytes = sample();
    let plan = Plan::pairs(&[
        ("SCRIPTORIUM_WORKERS", "1"),
        ("SCRIPTORIUM_LEASE_SECONDS", "3"),
        ("SCRIPTORIUM_SWEEP_INTERVAL_SECONDS", "1"),
    ]);
    let (expected, mut stack) = tokio::join!(by_serve(&bytes), Stack::start(&plan));
    let gateways = stack.gateways();
    let (mut client, mut reader) = (patient(&gateways, 3), patient(&gateways, 4));
    let session = client.open("sample.wav", bytes.clone(), 1, "rolling").await;
    // The last chunk is held back, so that the job lasts as long as the restarts, however fast the machine.
    let last = session.chunks() - 1;
    for chunk in 0..last {
        client.put(&session, chunk).await;
        client.notice(&session, chunk).await;
    }
    let roll = async {
        // The workers first, while there is most to do.
        for name in stack.names("").into_iter().rev() {
            let ended = stack.terminate(&name, DRAIN).await;
            let fine = ended.is_some_and(|status| status.success());
            assert!(fine, "{name} ended with {ended:?}:\n{}", stack.log(&name));
            stack.resume(&name);
            stack.ready(&name).await;
        }
        client.put(&session, last).await;
        client.notice(&session, last).await;
        stack
    };
    let (frames, stack) = tokio::join!(reader.follow(&session), roll);
    assert_eq!(frames.last().unwrap().data["status"], "completed");
    check_events(&frames, session.chunks());
    assert!(client.transcript(&session).await == expected, "the transcript changed");
    a_silent_worker_loses_its_chunk(stack, &bytes, &expected).await;
}

/// One scene of the test above, because the services take a while to start.
async fn a_silent_worker_loses_its_chunk(mut stack: Stack, bytes: &[u8], expected: &str) {
    let gateways = stack.gateways();
    let mut client = patient(&gateways, 5);
    stack.kill("worker-2");
    let session = client.open("sample.wav", bytes.to_vec(), 1, "silent").await;
    for chunk in 0..session.chunks() {
        client.put(&session, chunk).await;
        client.notice(&session, chunk).await;
    }
    // The only worker has a chunk, and falls silent with its connection open: the broker notices nothing.
    let probed = |frame: &Frame| frame.kind() == "media_info";
    session.client.frames(&session.job, None, probed).await.unwrap();
    stack.signal("worker-1", "STOP");
    stack.resume("worker-2");
    stack.ready("worker-2").await;
    let frames = client.follow(&session).await;
    // It wakes, finishes what it was at, and says so; its token is an old one.
    let of_job = format!("job={} ", session.job);
    let ended = |stack: &Stack| {
        let log = stack.log("worker-1");
        log.lines().filter(|line| line.contains(&of_job) && line.contains("chunk done")).count()
    };
    let (before, begun) = (ended(&stack), Instant::now());
    stack.signal("worker-1", "CONT");
    while ended(&stack) == before && begun.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Its report is on its way.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(frames.last().unwrap().data["status"], "completed");
    check_events(&frames, session.chunks());
    assert!(client.transcript(&session).await == expected, "the transcript changed");
    assert!(client.follow(&session).await == frames, "the late result was taken");
    // By a task with a new token, as leases do, and not by the broker, which gives the old task to another worker once it
    // misses the silent one's heartbeats.
    let again = format!("job={} chunk=0 epoch=", session.job);
    let epochs = |name: &str| -> Vec<String> {
        let log = stack.log(name);
        let lines = log.split(&again).skip(1).filter_map(|rest| rest.split_once('}'));
        lines.map(|(epoch, _)| epoch.to_owned()).collect()
    };
    let other = epochs("worker-2");
    // The broker's copy may come too, later, and is refused as the zombie's is.
    let first = other.first().expect("the silent worker had nothing: the scene proves nothing");
    assert_ne!(first, "1", "the lease did not end: {other:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_wait_for_services_and_name_missing_settings() {
    if !services::wanted() {
        return;
    }
    let mut stack = Stack::prepare(&Plan { harm: true, ..Plan::pairs(&[]) }).await;
    for (role, settings) in [
        ("gateway", ["AMQP_URL", "REDIS_URL", "S3_BUCKET"].as_slice()),
        ("coordinator", &["AMQP_URL", "REDIS_URL", "S3_BUCKET"]),
        ("worker", &["AMQP_URL", "S3_BUCKET"]),
    ] {
        for setting in settings {
            let output =
                stack.command(&[role]).env_remove(format!("SCRIPTORIUM_{setting}")).output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr).to_uppercase().replace('-', "_");
            assert_eq!(output.status.code(), Some(2), "{role} without {setting}: {told}");
            assert!(told.contains(setting), "{role} without {setting}: {told}");
        }
    }
    stack.services.kill("rabbitmq");
    stack.services.kill("redis");
    for name in stack.names("") {
        stack.resume(&name);
    }
    // They live, and say that they are not ready; for longer than a first try takes.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        for name in stack.names("") {
            let ready = stack.probe(&name, "readyz").await;
            assert!(ready.is_none_or(|status| status == 503), "{name}: {ready:?}");
        }
    }
    for name in stack.names("") {
        assert_eq!(stack.probe(&name, "healthz").await, Some(200), "{name}");
        assert_eq!(stack.probe(&name, "readyz").await, Some(503), "{name}");
    }
    stack.services.resume("redis");
    stack.services.resume("rabbitmq");
    for name in stack.names("") {
        stack.ready(&name).await;
    }
    let session = Client::new(&stack.gateways()[1]).open("sample.wav", dense(6), 1, json!({})).await;
    session.upload_all().await;
    assert_eq!(session.ended().await.data["status"], "completed");
}
