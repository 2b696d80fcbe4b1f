//! Jobs while everything around them dies, chosen by a seed: nothing is lost, nothing comes twice, nothing is left behind.
//!
//! `SCRIPTORIUM_CHAOS_SEED` and `SCRIPTORIUM_CHAOS_SECONDS` choose the run; see CONTRIBUTING.md. The faults, their order and
//! the pauses between them are the seed's; what the roles are at in that moment is the machine's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods
)]

use futures::future::join_all;
use scriptorium_tests::chaos::{self, Faults};
use scriptorium_tests::dice::Dice;
use scriptorium_tests::patient::Patient;
use scriptorium_tests::{Client, Frame, Plan, Server, Session, Stack, recordings, services};
use serde_json::json;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// The run of `make test`.
const SEED: u64 = 4;
const SECONDS: u64 = 12;
/// Jobs at once.
const SLOTS: u64 = 3;

struct Recording {
    name: String,
    bytes: Vec<u8>,
    chunk_size_mb: u64,
    transcript: String,
    lasting: Vec<String>,
}

/// All frames but those that depend on the time of day, without the job's id, in an order that does not depend on who
/// was first.
fn lasting(frames: &[Frame], job: &str) -> Vec<String> {
    let momentary = ["progress_update", "partial_transcript", "chunk_failed"];
    let frames = frames.iter().filter(|frame| !momentary.contains(&frame.kind()));
    let mut texts: Vec<String> = frames.map(|frame| frame.data.to_string().replace(job, "JOB")).collect();
    texts.sort();
    texts
}

/// What comes of the first so many recordings when nothing disturbs.
async fn undisturbed(kinds_wanted: usize) -> Vec<Recording> {
    // Many bytes a second, so that chunks are many and the engine has little to do.
    let kinds: [(&str, u64, &[&str]); 5] = [
        ("wav", 2, &["-c:a", "pcm_f32le", "-ar", "48000", "-ac", "2", "-t", "40"]),
        (
            "flac",
            1,
            &["-sample_fmt", "s32", "-compression_level", "0", "-ar", "96000", "-ac", "2", "-t", "45"],
        ),
        ("webm", 1, &["-c:a", "libopus", "-b:a", "510k", "-vbr", "off", "-ac", "2", "-t", "90"]),
        ("mp3", 2, &["-b:a", "320k", "-ar", "44100", "-ac", "2", "-t", "140"]),
        ("wav", 1, &["-c:a", "pcm_s16le"]),
    ];
    let server = Server::start(&[]).await;
    let client = Client::new(&server.url());
    let mut recordings = Vec::new();
    for (ending, chunk_size_mb, arguments) in kinds.into_iter().take(kinds_wanted) {
        let bytes = recordings::converted(arguments, ending);
        let name = format!("sample.{ending}");
        let session = client.open(&name, bytes.clone(), chunk_size_mb, json!({})).await;
        session.upload_all().await;
        assert_eq!(session.ended().await.data["status"], "completed", "{name}");
        let transcript = session.transcript("json").await;
        let lasting = lasting(&session.all_frames().await, &session.job);
        recordings.push(Recording { name, bytes, chunk_size_mb, transcript, lasting });
    }
    recordings
}

/// Uploads in an order, with pauses, with notices that get lost or are said twice.
async fn upload(patient: &mut Patient, session: &Session) {
    let mut order: Vec<u32> = (0..session.chunks()).collect();
    if patient.dice.one_in(3) {
        patient.dice.shuffle(&mut order);
    }
    for chunk in order {
        patient.put(session, chunk).await;
        let notices = *patient.dice.pick(&[0, 1, 1, 1, 1, 1, 2, 3]);
        for _ in 0..notices {
            patient.notice(session, chunk).await;
        }
        let pause = patient.dice.millis(0, 800);
        tokio::time::sleep(pause).await;
    }
}

/// One job, and what is wrong with it.
async fn job(
    patient: &mut Patient,
    gateways: &[String],
    recording: &Recording,
    key: &str,
) -> (String, Vec<String>) {
    let session = patient.open(&recording.name, recording.bytes.clone(), recording.chunk_size_mb, key).await;
    let mut reader = Patient::new(gateways, patient.dice.fork(1));
    reader.leaves = 12;
    let (live, ()) = tokio::join!(reader.follow(&session), upload(patient, &session));
    let mut wrong = Vec::new();
    let mut expect = |fine: bool, what: String| {
        if !fine {
            wrong.push(format!("job {} ({}): {what}", session.job, recording.name));
        }
    };
    let end = live.last().unwrap();
    expect(end.data["status"] == "completed", format!("it ended as {}", end.data));
    if end.data["status"] == "completed" {
        let transcript = patient.transcript(&session).await;
        expect(transcript == recording.transcript, "another transcript".to_owned());
    }
    let ids: Vec<u64> = live.iter().filter_map(|frame| frame.id).collect();
    let whole = ids.iter().copied().eq(1..=ids.len() as u64);
    expect(whole, format!("a hole or a double in the live stream: {ids:?}"));
    let told = lasting(&live, &session.job);
    let difference = first_difference(&told, &recording.lasting);
    expect(told == recording.lasting, format!("other events, the first: {difference}"));
    for gateway in gateways {
        let replay = Patient::new(std::slice::from_ref(gateway), patient.dice.fork(2)).follow(&session).await;
        expect(replay == live, format!("{gateway} replays something else than was told live"));
    }
    (session.job, wrong)
}

fn first_difference(told: &[String], expected: &[String]) -> String {
    let more = told.iter().find(|text| count(told, text) > count(expected, text));
    let missing = expected.iter().find(|text| count(told, text) < count(expected, text));
    format!("too often {more:?}, missing {missing:?}")
}

fn count(list: &[String], text: &String) -> usize {
    list.iter().filter(|other| *other == text).count()
}

/// One job after the other as long as there is time, at least one.
async fn slot(
    number: u64,
    seed: u64,
    gateways: &[String],
    recordings: &[Recording],
    until: Instant,
) -> Vec<(String, Vec<String>)> {
    let mut patient = Patient::new(gateways, Dice::new(seed).fork(10 + number));
    let mut done = Vec::new();
    while done.is_empty() || Instant::now() < until {
        // The first jobs are different ones.
        let first = usize::try_from(number).unwrap() + usize::try_from(seed % 97).unwrap();
        let chosen =
            if done.is_empty() { first % recordings.len() } else { patient.dice.below(recordings.len()) };
        let key = format!("chaos-{seed}-{number}-{}", done.len());
        done.push(job(&mut patient, gateways, &recordings[chosen], &key).await);
    }
    done
}

/// After the end: no object of an upload, no message, nothing dead.
async fn left_behind(stack: &Stack, jobs: &[String]) -> Vec<String> {
    let begun = Instant::now();
    loop {
        // Objects go ten seconds after the end of a job; the broker's counts are some seconds late.
        let late = begun.elapsed() > Duration::from_secs(60);
        let objects = stack.services.objects();
        let mut left: Vec<String> = objects.iter().filter(|key| key.contains("/upload/")).cloned().collect();
        let kept = jobs.iter().filter(|job| !objects.contains(&format!("jobs/{job}/transcript.json")));
        left.extend(kept.map(|job| format!("the transcript of {job} is missing")));
        let queues = stack.services.queues().await;
        assert!(queues.iter().any(|(name, _)| name.ends_with(".dead")), "{queues:?}");
        left.extend(
            queues.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name}: {count}")),
        );
        if left.is_empty() && begun.elapsed() > Duration::from_secs(6) || late {
            return left;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok().filter(|text| !text.is_empty());
    given.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

fn told(faults: &Faults) -> String {
    let mut text = String::new();
    for (kind, count) in faults {
        let _ = write!(text, "{kind} {count}, ");
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_whatever_dies() {
    if !services::wanted() {
        return;
    }
    let (seed, seconds) =
        (number("SCRIPTORIUM_CHAOS_SEED", SEED), number("SCRIPTORIUM_CHAOS_SECONDS", SECONDS));
    eprintln!("chaos: seed {seed}, {seconds} s");
    // Longer recordings are for longer runs.
    let recordings = undisturbed(if seconds > 60 { 5 } else { 3 }).await;
    let mut dice = Dice::new(seed);
    let parts = *dice.pick(&["300", "20", "8"]);
    let mut plan = Plan::pairs(&[
        ("SCRIPTORIUM_WORKERS", "1"),
        ("SCRIPTORIUM_LEASE_SECONDS", "3"),
        ("SCRIPTORIUM_SWEEP_INTERVAL_SECONDS", "2"),
        ("SCRIPTORIUM_CHUNK_RETRY_DELAY_SECONDS", "1"),
        ("SCRIPTORIUM_PART_SECONDS", parts),
    ]);
    plan.proxies = true;
    let mut stack = Stack::start(&plan).await;
    // A queue that was declared in the last moment before RabbitMQ is killed is not on its disk yet.
    tokio::time::sleep(Duration::from_secs(2)).await;

    let gateways = stack.gateways();
    let (begun, length) = (Instant::now(), Duration::from_secs(seconds));
    let slots = (0..SLOTS).map(|number| slot(number, seed, &gateways, &recordings, begun + length));
    let (faults, done) = tokio::join!(chaos::disturb(&mut stack, &mut dice, length), join_all(slots));
    let ended = begun.elapsed();
    let (jobs, wrong): (Vec<String>, Vec<Vec<String>>) = done.into_iter().flatten().unzip();
    let mut wrong: Vec<String> = wrong.into_iter().flatten().collect();
    wrong.extend(left_behind(&stack, &jobs).await.into_iter().map(|left| format!("left behind: {left}")));
    eprintln!(
        "chaos: seed {seed}, parts of {parts} s, {} jobs ended after {} s; {}mismatches {}",
        jobs.len(),
        ended.as_secs(),
        told(&faults),
        wrong.len()
    );
    assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
}
