//! The roles as processes of their own, two of each, on real RabbitMQ, Redis and S3.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use scriptorium_tests::dice::Dice;
use scriptorium_tests::patient::Patient;
use scriptorium_tests::stack::UNDRAINED;
use scriptorium_tests::{Client, Frame, Plan, Server, Stack, recordings, services};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Longer than a role takes to hand back what it has in hand, however slow the machine.
const DRAIN: Duration = Duration::from_secs(30);

/// What a role's log says that waits.
const WAITS: [&str; 2] = ["waiting for the message broker", "waiting for Redis"];

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

/// What a browser asks before a page of another origin may `PUT`; `admin bucket` has set the answer.
async fn pages_may_upload(url: &str) {
    let ask = reqwest::Client::new().request(reqwest::Method::OPTIONS, url);
    let ask = ask.header("origin", "https://page.example").header("access-control-request-method", "PUT");
    let answer = ask.send().await.unwrap();
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap());
    let origin = header("access-control-allow-origin");
    assert!(matches!(origin, Some("*" | "https://page.example")), "{answer:?}");
    // A bucket as this store makes it allows other methods, too.
    assert_eq!(header("access-control-allow-methods"), Some("PUT"), "{answer:?}");
    assert!(answer.status().is_success(), "{answer:?}");
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
    pages_may_upload(&session.upload_url(0)).await;
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

/// How many chunks of the job a worker has computed to their end.
fn chunks_done(stack: &Stack, worker: &str, job: &str) -> usize {
    let (log, of_job) = (stack.log(worker), format!("job={job} "));
    log.lines().filter(|line| line.contains(&of_job) && line.contains("chunk done")).count()
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
            // One that gives up on what it has in hand ends with code 0 as well.
            assert!(!stack.log(&name).contains(UNDRAINED), "{name} handed nothing back");
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
    // What was done stays done: at most the one chunk that each of the two workers had in hand is computed again.
    let workers = stack.names("worker");
    let done: usize = workers.iter().map(|name| chunks_done(&stack, name, &session.job)).sum();
    let chunks = session.chunks() as usize;
    assert!((chunks..=chunks + workers.len()).contains(&done), "{done} chunks were computed, of {chunks}");
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
    let ended = |stack: &Stack| chunks_done(stack, "worker-1", &session.job);
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

/// A role that is started with settings which can't be right ends with code 2, and names the setting.
async fn refused(stack: &Stack, role: &str, set: &[(&str, &str)], unset: &str, named: &str) {
    let mut command = stack.command(&[role, "--ops-listen", "127.0.0.1:0"]);
    command.envs(set.iter().copied()).env_remove(format!("SCRIPTORIUM_{unset}"));
    // One that takes them does not end.
    let output = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output = tokio::time::timeout(DRAIN, output).await;
    let output = output.unwrap_or_else(|_| panic!("{role} runs without {unset} and with {set:?}")).unwrap();
    let told = String::from_utf8_lossy(&output.stderr).to_uppercase().replace('-', "_");
    assert_eq!(output.status.code(), Some(2), "{role} without {unset} and with {set:?}: {told}");
    assert!(told.contains(named), "{role} without {unset} and with {set:?}: {told}");
}

/// Missing settings, and such as contradict each other.
async fn wrong_settings_are_refused(stack: &Stack) {
    for (role, settings) in [
        ("gateway", ["AMQP_URL", "REDIS_URL", "S3_BUCKET"].as_slice()),
        ("coordinator", &["AMQP_URL", "REDIS_URL", "S3_BUCKET"]),
        ("worker", &["AMQP_URL", "S3_BUCKET"]),
    ] {
        for setting in settings {
            refused(stack, role, &[], setting, setting).await;
        }
    }
    // Calls of a service are counted in Redis, for all workers.
    let openai = [("SCRIPTORIUM_ENGINE", "openai"), ("SCRIPTORIUM_OPENAI_API_KEY", "key")];
    refused(stack, "worker", &openai, "REDIS_URL", "__REDIS_URL").await;
    // The stack's settings have a public endpoint.
    refused(stack, "gateway", &[], "S3_ENDPOINT", "__S3_PUBLIC_ENDPOINT").await;
}

/// Waits until each role says this of each service that it needs.
async fn all_say(stack: &Stack, wanted: impl Fn(&str, &str) -> bool) {
    let begun = Instant::now();
    for name in stack.names("") {
        loop {
            let checks = stack.checks(&name).await;
            if !checks.is_empty() && checks.iter().all(|(part, answer)| wanted(part, answer)) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(90), "{name} says {checks:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Each role's log says what it waits for, some seconds after its start. A worker with a model of its own waits for no Redis.
async fn waits_are_told(stack: &Stack) {
    let begun = Instant::now();
    for name in stack.names("") {
        let wanted = if name.starts_with("worker") { &WAITS[..1] } else { WAITS.as_slice() };
        while !wanted.iter().all(|wait| stack.log(&name).contains(wait)) {
            assert!(begun.elapsed() < DRAIN, "{name} does not say {wanted:?}:\n{}", stack.log(&name));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_wait_for_services_and_name_wrong_settings() {
    if !services::wanted() {
        return;
    }
    let mut stack = Stack::prepare(&Plan { harm: true, ..Plan::pairs(&[]) }).await;
    wrong_settings_are_refused(&stack).await;
    for service in ["rabbitmq", "redis", "s3"] {
        stack.services.kill(service);
    }
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
    waits_are_told(&stack).await;
    stack.services.resume("redis");
    stack.services.resume("rabbitmq");
    // Nothing but the object store is missing now, and a role without it is not ready.
    all_say(&stack, |part, answer| (answer == "ok") == (part != "objects")).await;
    for name in stack.names("") {
        assert_eq!(stack.probe(&name, "readyz").await, Some(503), "{name}");
    }
    stack.services.resume("s3");
    for name in stack.names("") {
        stack.ready(&name).await;
    }
    let session = Client::new(&stack.gateways()[1]).open("sample.wav", dense(6), 1, json!({})).await;
    session.upload_all().await;
    assert_eq!(session.ended().await.data["status"], "completed");
}
