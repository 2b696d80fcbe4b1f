//! Recordings that the service fetches itself: from servers that do well, from those that do not, and over `kill -9`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scriptorium_tests::files::{Asked, Fault, FileServer, Manner};
use scriptorium_tests::server::binary;
use scriptorium_tests::{Client, Deployment, recordings};
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};

/// What an address is signed with; nobody but its server may see it.
const SECRET: &str = "sgn4t7re";
const ROUTE: &str = "/api/transcripts";

/// Chunks of a megabyte, so that there are some.
async fn open() -> (Deployment, Client) {
    let settings = [
        ("SCRIPTORIUM_SOURCE_ALLOW_PRIVATE", "true"),
        ("SCRIPTORIUM_CHUNK_SIZE_MIN_MB", "1"),
        ("SCRIPTORIUM_CHUNK_SIZE_MAX_MB", "1"),
        ("SCRIPTORIUM_SWEEP_INTERVAL_SECONDS", "1"),
        ("SCRIPTORIUM_WORKERS", "2"),
    ];
    let deployment = Deployment::start(&settings).await;
    let client = Client::new(&deployment.url());
    (deployment, client)
}

const CHUNKS: u64 = 6;

/// Two minutes of speech in six chunks.
fn speech() -> Vec<u8> {
    let bytes = recordings::converted(&["-t", "115", "-c:a", "pcm_s24le", "-ar", "16000"], "wav");
    assert_eq!((bytes.len() as u64).div_ceil(1 << 20), CHUNKS, "{}", bytes.len());
    bytes
}

/// The transcript of the same recording, uploaded by a client.
async fn uploaded(client: &Client, name: &str, bytes: &[u8]) -> String {
    let session = client.open(name, bytes.to_vec(), 2, json!({})).await;
    session.upload_all().await;
    assert_eq!(session.ended().await.data["status"], "completed");
    session.transcript("json").await
}

async fn fetch(client: &Client, url: &str) -> String {
    let record = client.post_ok(ROUTE, &json!({ "source_url": url })).await;
    record["id"].as_str().unwrap().to_owned()
}

/// The record of the job at its end.
async fn ended(client: &Client, job: &str) -> Value {
    let begun = Instant::now();
    loop {
        let record = client.get_ok(&format!("{ROUTE}/{job}")).await;
        if !["created", "uploading", "processing", "assembling"].contains(&record["status"].as_str().unwrap())
        {
            return record;
        }
        assert!(begun.elapsed() < Duration::from_secs(300), "{record}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn transcript(client: &Client, job: &str) -> String {
    let reply = client.get(&format!("/jobs/{job}/transcript?format=json")).await;
    assert!(reply.status().is_success(), "{job}");
    reply.text().await.unwrap()
}

/// Requests for parts, the look at the beginning left out.
fn parts(asked: &[Asked]) -> Vec<(u64, u64)> {
    asked.iter().filter_map(|asked| asked.range).filter(|range| *range != (0, 0)).collect()
}

#[tokio::test]
async fn an_address_gives_the_transcript_of_the_upload() {
    let (deployment, client) = open().await;
    let files = FileServer::start(Manner::default()).await;
    // Its index is at its end: the last chunk is needed early.
    let mp4 = recordings::converted(
        &["-t", "115", "-c:a", "alac", "-sample_fmt", "s32p", "-ar", "48000", "-ac", "2"],
        "m4a",
    );
    assert!(mp4.len() > 5 << 20, "{}", mp4.len());
    for (name, bytes) in [("talk.wav", speech()), ("talk.m4a", mp4)] {
        let expected = uploaded(&client, name, &bytes).await;
        let chunks = bytes.len().div_ceil(1 << 20);
        files.put(&format!("/{name}"), bytes);
        for ranges in [true, false] {
            let before = files.asked().len();
            files.change(|manner| manner.ranges = ranges);
            let url = files.url(&format!("/{name}?signature={SECRET}"));
            let body = json!({ "source_url": url });
            let record = client.post_ok(&format!("{ROUTE}?wait=true"), &body).await;
            assert_eq!(
                (&record["status"], &record["original_filename"]),
                (&json!("completed"), &json!(name))
            );
            let job = record["id"].as_str().unwrap();
            assert!(transcript(&client, job).await == expected, "another transcript than that of the upload");
            let asked = files.asked()[before..].to_vec();
            // The look, and each chunk once; without parts all at once.
            assert_eq!(asked.len(), 1 + if ranges { chunks } else { 1 }, "{asked:?}");
        }
    }
    assert!(!deployment.log().contains(SECRET), "the log has a signature");
}

/// `kill -9` in the middle, then a new start: what is there is not fetched again, where parts can be had, and the transcript is
/// the same either way.
#[tokio::test]
async fn a_fetch_outlives_the_process() {
    let (mut deployment, client) = open().await;
    let bytes = speech();
    let expected = uploaded(&client, "talk.wav", &bytes).await;
    for ranges in [true, false] {
        let slow =
            Manner { ranges, pause: Duration::from_millis(700), pace: Some(1 << 20), ..Manner::default() };
        let files = FileServer::start(slow).await;
        files.put("/talk.wav", bytes.clone());
        let job = fetch(&client, &files.url("/talk.wav")).await;
        let begun = Instant::now();
        let there = loop {
            let told = client.get_ok(&format!("/jobs/{job}")).await;
            let there = told["uploaded_chunks"].as_u64().unwrap();
            if there > 0 {
                break there;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{told}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(there < CHUNKS, "all of it is there already");
        deployment.kill();
        files.change(|manner| (manner.pause, manner.pace) = (Duration::ZERO, None));
        let before = files.asked().len();
        deployment.resume().await;
        assert_eq!(ended(&client, &job).await["status"], "completed");
        assert!(transcript(&client, &job).await == expected, "another transcript after kill -9");
        let after = files.asked()[before..].to_vec();
        if ranges {
            assert!(
                parts(&after).len() as u64 <= CHUNKS - there,
                "what was there was fetched again: {after:?}"
            );
        } else {
            assert_eq!(after.len(), 1, "{after:?}");
        }
    }
}

/// What may pass is tried again; nothing of it shows in the transcript.
#[tokio::test]
async fn a_server_with_troubles_is_asked_again() {
    let (_deployment, client) = open().await;
    let files = FileServer::start(Manner::default()).await;
    let bytes = speech();
    let expected = uploaded(&client, "talk.wav", &bytes).await;
    files.put("/talk.wav", bytes);
    for faults in [
        vec![None, Some(Fault::Status(503))],
        vec![None, None, Some(Fault::Cut(100_000)), Some(Fault::OtherPart)],
        vec![Some(Fault::Redirect("/talk.wav".to_owned())), None, Some(Fault::Later(429, "1"))],
    ] {
        files.faults(&faults);
        let job = fetch(&client, &files.url("/talk.wav")).await;
        assert_eq!(ended(&client, &job).await["status"], "completed", "{faults:?}");
        assert!(transcript(&client, &job).await == expected, "another transcript after {faults:?}");
    }
    files.change(|manner| manner.ranges = false);
    files.faults(&[None, Some(Fault::Cut(3 << 20))]);
    let job = fetch(&client, &files.url("/talk.wav")).await;
    assert_eq!(ended(&client, &job).await["status"], "completed");
    assert!(transcript(&client, &job).await == expected, "another transcript after a cut");
}

/// What can't be had fails the job, says why, and leaves nothing.
#[tokio::test]
async fn what_can_not_be_had_is_given_up_with_its_reason() {
    let (deployment, client) = open().await;
    let before = deployment.objects();
    let files = FileServer::start(Manner::default()).await;
    files.put("/talk.wav", speech());
    for (fault, code, says) in [
        (Fault::Status(410), "source_refused", "410"),
        (Fault::Replaced, "source_changed", "changed"),
        (Fault::Grown, "source_changed", "changed"),
        (Fault::Redirect("ftp://example.org/".to_owned()), "source_refused", "address"),
    ] {
        // The look, one good part, and then this.
        files.faults(&[None, None, Some(fault.clone())]);
        let job = fetch(&client, &files.url(&format!("/talk.wav?signature={SECRET}"))).await;
        let record = ended(&client, &job).await;
        assert_eq!(
            (&record["status"], &record["error"]["code"]),
            (&json!("failed"), &json!(code)),
            "{fault:?}"
        );
        let detail = record["error"]["detail"].as_str().unwrap();
        assert!(detail.contains(says) && !detail.contains("127.0.0.1"), "{detail}");
    }
    // Longer than it says, and without parts.
    files.change(|manner| (manner.ranges, manner.tags) = (false, false));
    files.faults(&[None, Some(Fault::Endless)]);
    let job = fetch(&client, &files.url("/talk.wav")).await;
    assert_eq!(ended(&client, &job).await["error"]["code"], "source_changed");
    let begun = Instant::now();
    let left = || -> Vec<String> {
        deployment.objects().into_iter().filter(|object| !before.contains(object)).collect()
    };
    while !left().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "left: {:?}", left());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!deployment.log().contains(SECRET), "the log has a signature");
}

/// The command has the server fetch it, too.
#[tokio::test]
async fn the_command_takes_an_address() {
    let (deployment, _client) = open().await;
    let files = FileServer::start(Manner::default()).await;
    let clip = std::fs::read(recordings::sample().with_file_name("LJ001-0001.wav")).unwrap();
    files.put("/clip.wav", clip);
    let server = deployment.url();
    let run = async |url: String| {
        let mut command = Command::new(binary());
        command.args(["transcribe", &url, "--server", &server]);
        tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
    };
    let output = run(files.url("/clip.wav")).await;
    let (text, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.starts_with("Printing"), "{text}\n{told}");
    assert!(told.contains("in 1 parts"), "{told}");
    let refused = run(files.url("/other.wav")).await;
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && told.contains("404"), "{:?} {told}", refused.status);
}

/// Who cancels a job has it fetched no further, and where nothing is allowed nothing is asked.
#[tokio::test]
async fn a_cancelled_job_asks_for_nothing_more() {
    let (_deployment, client) = open().await;
    let slow = Manner { pause: Duration::from_millis(500), ..Manner::default() };
    let files = FileServer::start(slow).await;
    files.put("/talk.wav", speech());
    let job = fetch(&client, &files.url("/talk.wav")).await;
    files.got(2).await;
    client.post_ok("/chunked-upload-cancel", &json!({ "parent_job_id": job })).await;
    // Those that are under way, and no others.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = files.asked().len();
    assert!(asked <= 4, "{asked}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(files.asked().len(), asked);

    let closed = Deployment::start(&[]).await;
    let closed = Client::new(&closed.url());
    let reply = closed.post(ROUTE, &json!({ "source_url": files.url("/talk.wav") })).await;
    assert_eq!(reply.status(), 422);
    assert_eq!(files.asked().len(), asked, "an address of this machine was asked");
}
