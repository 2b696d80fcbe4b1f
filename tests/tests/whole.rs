//! Recordings in one piece, as curl sends them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use scriptorium_tests::{Client, Deployment, recordings};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// `curl` with the arguments; the body of the reply.
async fn curl(arguments: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "600"]).args(arguments);
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("curl is needed")
}

async fn upload(url: &str, query: &str, fields: &[&str], file: &Path) -> Value {
    let (address, file) =
        (format!("{url}/api/transcripts/upload{query}"), format!("file=@{}", file.display()));
    let mut arguments = vec![address.as_str()];
    for field in fields {
        arguments.extend(["-F", field]);
    }
    arguments.extend(["-F", &file]);
    let output = curl(&arguments).await;
    assert!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a record")
}

async fn get(client: &Client, path: &str) -> String {
    let reply = client.get(path).await;
    assert!(reply.status().is_success(), "{path}");
    reply.text().await.unwrap()
}

#[tokio::test]
async fn a_recording_in_one_piece_gives_the_transcript_of_the_chunked_upload() {
    let server = Deployment::start(&[("SCRIPTORIUM_WORKERS", "2")]).await;
    let client = Client::new(&server.url());
    let folder = tempfile::tempdir().unwrap();
    // Held whole and one chunk; and three chunks, which go to the store as they come.
    let wide: &[&str] = &["-t", "45", "-c:a", "pcm_f32le", "-ar", "96000", "-ac", "2"];
    for (arguments, chunks) in [(&["-t", "125", "-c:a", "pcm_s16le"][..], 1), (wide, 3)] {
        let bytes = recordings::converted(arguments, "wav");
        let file = folder.path().join("sample.wav");
        std::fs::write(&file, &bytes).unwrap();
        let session = client.open("sample.wav", bytes, 5, json!({ "word_timestamps": true })).await;
        session.upload_all().await;
        assert_eq!(session.ended().await.data["status"], "completed");
        let expected = session.transcript("json").await;

        let record =
            upload(&server.url(), "?wait=true", &["word_timestamps=true", "language=auto"], &file).await;
        let id = record["id"].as_str().unwrap();
        assert_eq!(
            (&record["status"], &record["original_filename"]),
            (&json!("completed"), &json!("sample.wav"))
        );
        assert_eq!(record["chunks_processed"], chunks);
        let whole = get(&client, &format!("/jobs/{id}/transcript?format=json")).await;
        assert!(whole == expected, "another transcript than that of the chunked upload");
        let expected: Value = serde_json::from_str(&expected).unwrap();
        assert_eq!((&record["text"], &record["segments"]), (&expected["text"], &expected["segments"]));
        assert_eq!(record["audio_duration"], expected["duration"]);
        let later: Value =
            serde_json::from_str(&get(&client, &format!("/api/transcripts/{id}")).await).unwrap();
        assert_eq!(later, record);
    }
}

#[tokio::test]
async fn a_small_one_and_one_that_is_no_recording() {
    let server = Deployment::start(&[]).await;
    let client = Client::new(&server.url());
    let clip = recordings::sample().with_file_name("LJ001-0001.wav");
    let record = upload(&server.url(), "", &["language=en"], &clip).await;
    let address = format!("/api/transcripts/{}", record["id"].as_str().unwrap());
    let begun = Instant::now();
    let ended = loop {
        let record: Value = serde_json::from_str(&get(&client, &address).await).unwrap();
        if record["status"] == "completed" {
            break record;
        }
        assert!(begun.elapsed() < Duration::from_secs(300), "{record}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(ended["text"].as_str().unwrap().starts_with("Printing"), "{ended}");
    let text = recordings::sample().with_file_name("sample.txt");
    let failed = upload(&server.url(), "?wait=true", &[], &text).await;
    assert_eq!(
        (&failed["status"], &failed["error"]["code"]),
        (&json!("failed"), &json!("not_audio")),
        "{failed}"
    );
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let settings = [("SCRIPTORIUM_SWEEP_INTERVAL_SECONDS", "1")];
    let server = Deployment::start(&settings).await;
    // On services that another test had before.
    let before = server.objects();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("long.wav");
    // 44 MB at 4 MB a second; curl gives up after 8 seconds.
    std::fs::write(&file, recordings::generated("anoisesrc=d=230:r=96000:a=0.1")).unwrap();
    let (address, field) =
        (format!("{}/api/transcripts/upload", server.url()), format!("file=@{}", file.display()));
    let output = curl(&[&address, "--limit-rate", "4M", "-F", &field, "--max-time", "8"]).await;
    assert_eq!(output.status.code(), Some(28), "curl was to break off");
    let begun = Instant::now();
    // It was cancelled, and its objects are deleted when the delay for that is over.
    let left = || -> Vec<String> {
        server.objects().into_iter().filter(|object| !before.contains(object)).collect()
    };
    while !server.log().contains("broke off; the job is cancelled") || !left().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "left: {:?}", left());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
