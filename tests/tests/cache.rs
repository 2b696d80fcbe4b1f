//! What was transcribed before is not transcribed again, and the transcript is the same to the byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use scriptorium_tests::recordings::{SPEECH_RATE, encoded, speech, wav};
use scriptorium_tests::{Client, Deployment, Plan, Server, Session, Stack, services};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const KEPT: (&str, &str) = ("SCRIPTORIUM_CACHE_TTL_SECONDS", "3600");

/// What a job has told of its windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    windows: u64,
    hits: u64,
}

impl Told {
    fn computed(self) -> u64 {
        self.windows - self.hits
    }
}

async fn told(session: &Session) -> Told {
    let status = session.status().await;
    let number = |name: &str| status[name].as_u64().unwrap_or_else(|| panic!("{name}: {status}"));
    Told { windows: number("windows"), hits: number("cache_hits") }
}

async fn ended(session: &Session) -> (String, Told) {
    assert_eq!(session.ended().await.data["status"], "completed");
    (session.transcript("json").await, told(session).await)
}

/// Many bytes a second, so that a short recording is as large as one has to be.
fn dense(samples: &[i16]) -> Vec<u8> {
    encoded(samples, &["-ar", "96000", "-ac", "2", "-c:a", "pcm_s16le"], "wav")
}

async fn run(client: &Client, recording: &[u8], chunk_size_mb: u64, options: Value) -> (String, Told) {
    let session = client.open("speech.wav", recording.to_vec(), chunk_size_mb, options).await;
    session.upload_all().await;
    ended(&session).await
}

/// Ten seconds in the middle are others.
fn edited(samples: &[i16]) -> Vec<i16> {
    let (mut edited, from) = (samples.to_vec(), samples.len() / 2 + 4_321);
    let others = speech(20, 99);
    for (sample, other) in edited[from..].iter_mut().zip(&others[..10 * SPEECH_RATE]) {
        *sample = other / 2;
    }
    edited
}

/// Windows that ten other seconds may change: those of the passages that they touch, and of one on either side where a cut
/// is sought in them. A passage lasts some 30 s, and a window has 21 s on average.
const CHANGED: u64 = 7;

#[tokio::test]
async fn a_recording_comes_again_whole_and_edited() {
    let server = Deployment::start(&[KEPT]).await;
    let client = Client::new(&server.url());
    let samples = speech(240, 1);
    let recording = wav(&samples);
    let (first, was) = run(&client, &recording, 1, json!({})).await;
    assert!(was.windows > 8 && was.hits == 0, "{was:?}");

    let again = client.open("again.wav", recording, 3, json!({})).await;
    again.upload_all().await;
    let frames = again.client.frames(&again.job, None, scriptorium_tests::Frame::is_last).await.unwrap();
    let (transcript, is) = ended(&again).await;
    assert_eq!(is, Told { hits: was.windows, ..was });
    assert!(transcript == first, "the cache changed the transcript");
    let complete: Vec<Value> = frames
        .iter()
        .filter(|frame| frame.kind() == "chunk_complete")
        .map(|frame| frame.data.clone())
        .collect();
    let known = |told: &[Value]| told.iter().filter(|one| one["from_cache"] == true).count() as u32;
    // No passage need begin in the last chunk, and of nothing nothing is known.
    assert!(
        complete.len() as u32 == again.chunks() && known(&complete) + 1 >= again.chunks(),
        "{complete:?}"
    );
    let status = again.status().await;
    assert_eq!(known(status["chunks"].as_array().unwrap()), known(&complete), "{status}");
    assert_eq!(
        (&status["progress"], &status["success_rate"]),
        (&json!(100), &json!(1.0)),
        "hits are progress"
    );

    let edited = wav(&edited(&samples));
    let (with, told) = run(&client, &edited, 1, json!({})).await;
    assert!((1..=CHANGED).contains(&told.computed()) && told.hits > told.windows / 3, "{told:?}");
    let (without, told) = run(&client, &edited, 1, json!({"use_cache": false})).await;
    assert_eq!(told.hits, 0);
    assert!(with == without && with != first, "the cache changed the transcript");
}

#[tokio::test]
async fn another_question_is_not_answered_by_the_cache() {
    let server = Deployment::start(&[KEPT]).await;
    let client = Client::new(&server.url());
    let recording = dense(&speech(75, 2));
    let (private, was) = run(&client, &recording, 5, json!({"use_cache": false})).await;
    // It has left nothing.
    let (first, told) = run(&client, &recording, 5, json!({})).await;
    assert!(first == private && told == Told { hits: 0, ..was }, "{told:?}");
    for options in [json!({"word_timestamps": true}), json!({"prompt": "William Morris."})] {
        let (first, told) = run(&client, &recording, 5, options.clone()).await;
        assert_eq!(told.hits, 0, "{options}");
        let (again, told) = run(&client, &recording, 9, options.clone()).await;
        assert!(again == first && told.computed() == 0, "{options}: {told:?}");
    }
}

/// `kill -9` while windows are written to the cache; then a start with what it kept.
#[tokio::test]
async fn a_server_that_is_killed_keeps_what_it_had() {
    let recording = wav(&speech(180, 3));
    let plain = Server::start(&[]).await;
    let (expected, _) = run(&Client::new(&plain.url()), &recording, 1, json!({})).await;
    drop(plain);
    let mut server = Server::start(&[KEPT, ("SCRIPTORIUM_CHUNK_RETRY_DELAY_SECONDS", "1")]).await;
    let client = Client::new(&server.url());
    let session = client.open("speech.wav", recording.clone(), 1, json!({})).await;
    session.upload_all().await;
    for moment in [900, 1_700, 2_300] {
        tokio::time::sleep(Duration::from_millis(moment)).await;
        server.kill();
        server.resume().await;
    }
    let (transcript, _) = ended(&session).await;
    assert!(transcript == expected, "the transcript changed");
    // Nothing but the file is left of what was known.
    server.kill();
    server.resume().await;
    let (transcript, told) = run(&client, &recording, 2, json!({})).await;
    assert!(transcript == expected && told.computed() == 0, "{told:?}");
    // Damaged, it costs time.
    server.kill();
    // The log of the last writes might make up for it.
    let _ = std::fs::remove_file(server.data_dir().join("cache.sqlite-wal"));
    std::fs::write(server.data_dir().join("cache.sqlite"), "no database").unwrap();
    server.resume().await;
    let (transcript, told) = run(&client, &recording, 2, json!({})).await;
    assert!(transcript == expected && told.hits == 0, "{told:?}");
    let (_, told) = run(&client, &recording, 2, json!({})).await;
    assert_eq!(told.computed(), 0);
}

#[tokio::test]
async fn without_time_or_room_nothing_is_kept() {
    let recording = dense(&speech(30, 4));
    let no_time = [("SCRIPTORIUM_CACHE_TTL_SECONDS", "0")];
    let no_room = [KEPT, ("SCRIPTORIUM_CACHE_MEMORY_MB", "0"), ("SCRIPTORIUM_CACHE_DISK_MB", "0")];
    for settings in [&no_time[..], &no_room] {
        let server = Server::start(settings).await;
        let client = Client::new(&server.url());
        for _ in 0..2 {
            let (_, told) = run(&client, &recording, 5, json!({})).await;
            assert!(told.windows > 0 && told.hits == 0, "{settings:?}: {told:?}");
        }
        assert!(!server.data_dir().join("cache.sqlite").exists());
    }
}

async fn only(stack: &mut Stack, worker: &str) {
    for other in stack.names("worker") {
        if other != worker {
            stack.kill(&other);
        }
    }
    stack.resume(worker);
    stack.ready(worker).await;
}

#[tokio::test]
async fn workers_share_through_redis_and_believe_nothing_that_was_changed_there() {
    if !services::wanted() {
        return;
    }
    let mut stack = Stack::start(&Plan::pairs(&[KEPT])).await;
    let client = Client::new(&stack.gateways()[0]);
    let recording = dense(&speech(75, 5));
    only(&mut stack, "worker-1").await;
    let (first, was) = run(&client, &recording, 1, json!({})).await;
    assert_eq!(was.hits, 0);

    only(&mut stack, "worker-2").await;
    let (transcript, told) = run(&client, &recording, 2, json!({})).await;
    assert!(transcript == first && told.computed() == 0, "{told:?}");

    // A fresh process, and a Redis in which somebody has written over everything.
    only(&mut stack, "worker-1").await;
    let poison = "EVAL \"local all = redis.call('KEYS', 'scriptorium:cache:*') \
                  for _, key in ipairs(all) do redis.call('SET', key, ARGV[1], 'KEEPTTL') end return #all\" 0 poison";
    let poisoned: u64 = stack.services.redis(poison).trim_start_matches(':').parse().unwrap();
    assert!(poisoned >= was.windows, "{poisoned}");
    let (transcript, told) = run(&client, &recording, 1, json!({})).await;
    assert!(transcript == first && told.hits == 0, "{told:?}");
    only(&mut stack, "worker-2").await;
    let (_, told) = run(&client, &recording, 1, json!({})).await;
    assert_eq!(told.computed(), 0, "what was poisoned was replaced");
}

#[tokio::test]
async fn a_redis_that_is_away_costs_time_and_no_text() {
    if !services::wanted() {
        return;
    }
    let recording = dense(&speech(75, 6));
    let plain = Server::start(&[]).await;
    let (expected, _) = run(&Client::new(&plain.url()), &recording, 1, json!({})).await;
    drop(plain);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = format!("redis://{gone}/0");
    let mut plan = Plan::pairs(&[KEPT, ("SCRIPTORIUM_CACHE_REDIS_URL", &gone)]);
    plan.workers = 1;
    let stack = Stack::start(&plan).await;
    let client = Client::new(&stack.gateways()[0]);
    let (transcript, told) = run(&client, &recording, 1, json!({})).await;
    assert!(transcript == expected && told.hits == 0, "{told:?}");
    // The one worker's memory.
    let (transcript, told) = run(&client, &recording, 1, json!({})).await;
    assert!(transcript == expected && told.computed() == 0, "{told:?}");
}

/// The figure of the documentation. `cargo test --release --workspace --test cache -- --ignored --nocapture`, some ten minutes.
#[tokio::test]
#[ignore = "a measurement"]
async fn an_hour_with_ten_seconds_replaced() {
    let server = Deployment::start(&[KEPT]).await;
    let client = Client::new(&server.url());
    let recording = speech(3_600, 1);
    let timed = async |samples: &[i16]| {
        let begun = Instant::now();
        let (transcript, told) = run(&client, &wav(samples), 10, json!({})).await;
        println!("{told:?} in {:.1} s", begun.elapsed().as_secs_f64());
        (transcript, told)
    };
    let (first, was) = timed(&recording).await;
    assert!(was.hits * 100 < was.windows, "{was:?}");
    let (again, told) = timed(&recording).await;
    assert!(again == first && told.computed() == 0, "{told:?}");
    let (_, told) = timed(&edited(&recording)).await;
    let percent = told.computed() as f64 * 100.0 / told.windows as f64;
    println!(
        "10 s of 60 minutes replaced: {} of {} windows computed ({percent:.1} %)",
        told.computed(),
        told.windows
    );
    assert!(percent < 3.0, "{told:?}");
}
