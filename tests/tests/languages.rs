//! A passage that is taken for another language is done again in the recording's.
#![allow(clippy::unwrap_used)]

use scriptorium_tests::{Client, Deployment, recordings};
use serde_json::{Value, json};

/// English, then 45 seconds of it played backwards (which the model takes for Latvian, not very surely), then English.
const BACKWARDS_IN_THE_MIDDLE: [&str; 6] = [
    "-filter_complex",
    "[0]atrim=0:40[a];[0]atrim=90:135,areverse[b];[0]atrim=150:180[c];[a][b][c]concat=n=3:v=0:a=1",
    "-ar",
    "48000",
    "-c:a",
    "pcm_s16le",
];

/// The transcript, and the chunks' texts before anything was done again.
async fn transcript(
    workers: &str,
    chunk_size_mb: u64,
    order: impl Fn(u32) -> Vec<u32>,
) -> (String, Vec<String>) {
    let settings =
        [("SCRIPTORIUM_MODEL", "base"), ("SCRIPTORIUM_PART_SECONDS", "60"), ("SCRIPTORIUM_WORKERS", workers)];
    let server = Deployment::start(&settings).await;
    let bytes = recordings::converted(&BACKWARDS_IN_THE_MIDDLE, "wav");
    let session = Client::new(&server.url()).open("two.wav", bytes, chunk_size_mb, json!({})).await;
    for chunk in order(session.chunks()) {
        session.upload(chunk).await;
    }
    assert_eq!(session.ended().await.data["status"], "completed");
    let frames = session.client.frames(&session.job, None, |_| false).await.unwrap();
    let texts = frames
        .iter()
        .filter(|frame| frame.kind() == "chunk_complete")
        .map(|frame| frame.data["text"].as_str().unwrap().to_owned());
    (session.transcript("json").await, texts.collect())
}

#[tokio::test]
async fn a_doubtful_passage_is_done_again_in_the_recordings_language() {
    let (text, at_first) = transcript("1", 1, |chunks| (0..chunks).collect()).await;
    let parsed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(parsed["language"], "en");
    for segment in parsed["segments"].as_array().unwrap() {
        assert_eq!(segment["language"], "en", "{segment}");
    }
    let whole = parsed["text"].as_str().unwrap();
    assert!(at_first.iter().any(|text| !whole.contains(text.as_str())), "nothing was done again");

    // The language is found passage by passage: it depends on nothing else. On the roles `real` and `chaos` ask that.
    if Deployment::is_roles() {
        return;
    }
    let (backwards, _) = transcript("2", 3, |chunks| (0..chunks).rev().collect()).await;
    assert!(backwards == text, "another order, size and number of workers gave another transcript");
}
