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
use scriptorium_tests::chaos::doubles::Doubles;
use scriptorium_tests::chaos::judge::{self, Expected, Seen};
use scriptorium_tests::chaos::{self, Faults, plan::Blows};
use scriptorium_tests::dice::Dice;
use scriptorium_tests::patient::Patient;
use scriptorium_tests::{Client, Plan, Server, Session, Stack, recordings, services};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// The run of `make test`: each kind of fault comes.
const SEED: u64 = 84;
const SECONDS: u64 = 10;
/// Jobs at once.
const SLOTS: u64 = 3;
/// Messages that are said again when all jobs are over: tasks, which are work, and others.
const LATE: (usize, usize) = (8, 100);

struct Recording {
    name: String,
    bytes: Vec<u8>,
    chunk_size_mb: u64,
    expected: Expected,
}

/// A job of the run, and what was seen of it.
struct Job {
    session: Session,
    seen: Seen,
    recording: usize,
}

/// What comes of the first so many recordings when nothing disturbs.
async fn undisturbed(kinds_wanted: usize) -> Vec<Recording> {
    // Many bytes a second, so that chunks are many and the engine has little to do. The index of the third comes last, so
    // that its first chunk waits for its last.
    let kinds: [(&str, u64, &[&str]); 6] = [
        ("wav", 2, &["-c:a", "pcm_f32le", "-ar", "96000", "-ac", "2", "-t", "14"]),
        (
            "flac",
            1,
            &["-sample_fmt", "s32", "-compression_level", "0", "-ar", "192000", "-ac", "2", "-t", "28"],
        ),
        ("m4a", 1, &["-c:a", "alac", "-sample_fmt", "s32p", "-ar", "192000", "-ac", "2", "-t", "13"]),
        ("webm", 4, &["-c:a", "libopus", "-b:a", "510k", "-vbr", "off", "-ac", "2", "-t", "90"]),
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
        let lasting = judge::lasting(&session.all_frames().await, &session.job);
        recordings.push(Recording { name, bytes, chunk_size_mb, expected: Expected { transcript, lasting } });
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

/// One job from its beginning to its end, and once more from each gateway.
async fn job(
    patient: &mut Patient,
    gateways: &[String],
    recording: &Recording,
    key: &str,
) -> (Session, Seen) {
    let session = patient.open(&recording.name, recording.bytes.clone(), recording.chunk_size_mb, key).await;
    let mut reader = Patient::new(gateways, patient.dice.fork(1));
    reader.leaves = 12;
    let (live, ()) = tokio::join!(reader.follow(&session), upload(patient, &session));
    let completed = live.last().is_some_and(|end| end.data["status"] == "completed");
    let transcript = if completed { Some(patient.transcript(&session).await) } else { None };
    let mut seen = Seen { job: session.job.clone(), live, transcript, replays: Vec::new() };
    for gateway in gateways {
        let replay = Patient::new(std::slice::from_ref(gateway), patient.dice.fork(2)).follow(&session).await;
        seen.replays.push((gateway.clone(), replay));
    }
    (session, seen)
}

/// One job after the other as long as there is time, at least one.
async fn slot(
    number: u64,
    seed: u64,
    gateways: &[String],
    recordings: &[Recording],
    until: Instant,
) -> Vec<Job> {
    let mut patient = Patient::new(gateways, Dice::new(seed).fork(10 + number));
    let mut done = Vec::new();
    while done.is_empty() || Instant::now() < until {
        // The first jobs are different ones.
        let first = usize::try_from(number).unwrap() + usize::try_from(seed % 97).unwrap();
        let recording =
            if done.is_empty() { first % recordings.len() } else { patient.dice.below(recordings.len()) };
        let key = format!("chaos-{seed}-{number}-{}", done.len());
        let (session, seen) = job(&mut patient, gateways, &recordings[recording], &key).await;
        done.push(Job { session, seen, recording });
    }
    done
}

/// When all is over, some of what was said is said again; the jobs must not notice.
async fn late_doubles(doubles: &Mutex<Doubles>, dice: &mut Dice) -> u32 {
    let mut doubles = doubles.lock().await;
    let said = doubles.say_late(dice, LATE.0, LATE.1).await;
    let seen = doubles.seen();
    assert!(seen.len() == 2 && said > 0, "the copies of {seen:?} prove nothing");
    doubles.end().await;
    said
}

/// Each job's log and transcript, after all that came late.
async fn read_again(gateways: &[String], jobs: &mut [Job], dice: &mut Dice) {
    let mut patient = Patient::new(gateways, dice.fork(3));
    for Job { session, seen, .. } in jobs {
        let replay = patient.follow(session).await;
        seen.replays.push(("a gateway, after late doubles,".to_owned(), replay));
        if seen.transcript.is_some() {
            let again = patient.transcript(session).await;
            seen.transcript = seen.transcript.take().filter(|before| *before == again);
        }
    }
}

/// After the end: no object of an upload, no message, nothing dead. Waits until there is nothing to tell, `patience` at
/// most.
async fn left_behind(stack: &Stack, jobs: &[String], patience: Duration) -> Vec<String> {
    let (begun, mut clean) = (Instant::now(), 0);
    let broker = stack.services.broker();
    loop {
        let left = judge::of_rest(&stack.services.objects(), &broker.queues().await, jobs);
        // The broker's counts are a second or two late.
        clean = if left.is_empty() { clean + 1 } else { 0 };
        if clean > 4 || begun.elapsed() > patience {
            return left;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The proof that the look at what is left behind sees something: a message that nobody can read, and an object.
async fn what_is_left_behind_is_seen(stack: &mut Stack, jobs: &[String]) {
    let errors = stack.errors();
    assert!(errors.is_empty(), "the roles logged errors:\n{}", errors.join("\n"));
    // The coordinator says that it puts the message aside.
    stack.allow_errors = true;
    let broker = stack.services.broker();
    let queues = broker.queues().await;
    let (coordinator, _) = queues.iter().find(|(name, _)| name.ends_with(".coordinator")).unwrap();
    let there = broker.publish(coordinator, &json!({ "delivery_mode": 2 }), "no message of ours").await;
    assert_eq!(there, Ok(true));
    let object = "jobs/00000000-0000-0000-0000-000000000000/upload/chunk-00000";
    stack.services.put_object(object);
    let begun = Instant::now();
    loop {
        let left = left_behind(stack, jobs, Duration::ZERO).await;
        if left.len() == 2 && left[0] == object && left[1].contains(".dead: 1 ") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it is not seen: {left:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// A run of the program with these arguments, beside the proxies on its way, which are tasks of this runtime: its output.
async fn command(stack: &Stack, arguments: &[&str]) -> String {
    let mut command = stack.command(arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The message that nobody can read is listed by the command, and sent again it comes back to the coordinator, which puts it
/// aside once more.
async fn the_dead_letter_is_told_and_sent_again(stack: &Stack) {
    let listed = command(stack, &["admin", "dead-letters", "list", "--json"]).await;
    let letters: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(letters.len(), 1, "{listed}");
    assert_eq!((&letters[0]["topic"], &letters[0]["job"]), (&json!("coordinator"), &json!(null)));
    assert!(letters[0]["reason"].as_str().unwrap().contains("can't be read"), "{listed}");
    let id = letters[0]["id"].as_str().unwrap();
    let table = command(stack, &["admin", "dead-letters", "list"]).await;
    assert!(table.lines().count() == 2 && table.contains(id), "{table}");
    command(stack, &["admin", "dead-letters", "send-again", "--id", id]).await;
    let begun = Instant::now();
    while stack.errors().iter().filter(|line| line.contains("put aside as a dead letter")).count() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(30), "it has not come: {:?}", stack.errors());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // It is said before it is done.
    while command(stack, &["admin", "dead-letters", "list", "--json"]).await.lines().count() != 1 {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is not there again");
        tokio::time::sleep(Duration::from_millis(100)).await;
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

fn plan(parts: &str) -> Plan {
    let plan = Plan::pairs(&[
        ("SCRIPTORIUM_WORKERS", "1"),
        ("SCRIPTORIUM_LEASE_SECONDS", "3"),
        ("SCRIPTORIUM_SWEEP_INTERVAL_SECONDS", "2"),
        ("SCRIPTORIUM_CHUNK_RETRY_DELAY_SECONDS", "1"),
        ("SCRIPTORIUM_PART_SECONDS", parts),
    ]);
    Plan { harm: true, ..plan }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_whatever_dies() {
    if !services::wanted() {
        return;
    }
    let (seed, seconds) =
        (number("SCRIPTORIUM_CHAOS_SEED", SEED), number("SCRIPTORIUM_CHAOS_SECONDS", SECONDS));
    eprintln!("chaos: seed {seed}, {seconds} s");
    let mut dice = Dice::new(seed).fork(4);
    let parts = *dice.pick(&["300", "20", "8"]);
    let plan = plan(parts);
    // Longer recordings are for longer runs.
    let (recordings, mut stack) =
        tokio::join!(undisturbed(if seconds > 60 { 6 } else { 3 }), Stack::start(&plan));
    let doubles = Arc::new(Mutex::new(Doubles::start(stack.services.broker()).await));
    // A queue that was declared in the last moment before RabbitMQ is killed is not on its disk yet.
    tokio::time::sleep(Duration::from_secs(2)).await;

    let gateways = stack.gateways();
    let (begun, length) = (Instant::now(), Duration::from_secs(seconds));
    let slots = (0..SLOTS).map(|number| slot(number, seed, &gateways, &recordings, begun + length));
    let disturbed = chaos::disturb(&mut stack, &doubles, Blows::new(seed), length);
    let (faults, done) = tokio::join!(disturbed, join_all(slots));
    let ended = begun.elapsed();
    let mut jobs: Vec<Job> = done.into_iter().flatten().collect();
    let late = late_doubles(&doubles, &mut dice).await;
    let ids: Vec<String> = jobs.iter().map(|job| job.seen.job.clone()).collect();
    let left = left_behind(&stack, &ids, Duration::from_secs(90)).await;
    read_again(&gateways, &mut jobs, &mut dice).await;

    let mut wrong: Vec<String> = left.into_iter().map(|left| format!("left behind: {left}")).collect();
    for Job { seen, recording, .. } in &jobs {
        let Recording { name, expected, .. } = &recordings[*recording];
        let of_job = judge::of_job(seen, expected);
        wrong.extend(of_job.into_iter().map(|what| format!("job {} ({name}): {what}", seen.job)));
    }
    eprintln!(
        "chaos: seed {seed}, parts of {parts} s, {} jobs ended after {} s; {}doubled late {late}, mismatches {}",
        jobs.len(),
        ended.as_secs(),
        told(&faults),
        wrong.len()
    );
    assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
    let missed: Vec<&&str> = faults.iter().filter(|(_, count)| **count == 0).map(|(kind, _)| kind).collect();
    assert!(
        missed.is_empty() || seed != SEED,
        "a run of make test has each kind of fault, not so {missed:?}"
    );
    what_is_left_behind_is_seen(&mut stack, &ids).await;
    the_dead_letter_is_told_and_sent_again(&stack).await;
}
