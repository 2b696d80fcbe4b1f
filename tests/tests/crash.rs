//! `kill -9` of everything at any moment, and a new start on what was kept: nothing is lost, nothing comes twice.
#![allow(clippy::unwrap_used)]

use scriptorium_tests::stack::UNDRAINED;
use scriptorium_tests::{Client, Deployment, Frame, Server, Session, recordings};
use serde_json::json;
use std::time::Duration;

/// What waits for the dead does not wait for long.
const SOON: [(&str, &str); 2] =
    [("SCRIPTORIUM_CHUNK_RETRY_DELAY_SECONDS", "1"), ("SCRIPTORIUM_SWEEP_INTERVAL_SECONDS", "1")];

/// All frames but progress and partial texts, which depend on the time of day.
fn lasting(frames: &[Frame]) -> Vec<&Frame> {
    frames
        .iter()
        .filter(|frame| !matches!(frame.kind(), "progress_update" | "partial_transcript" | "chunk_failed"))
        .collect()
}

fn ids(frames: &[Frame]) -> Vec<u64> {
    frames.iter().filter_map(|frame| frame.id).collect()
}

async fn undisturbed(bytes: &[u8]) -> (String, Vec<Frame>) {
    let server = Server::start(&[]).await;
    let session = Client::new(&server.url()).open("sample.wav", bytes.to_vec(), 1, json!({})).await;
    session.upload_all().await;
    session.ended().await;
    (session.transcript("json").await, session.all_frames().await)
}

/// Uploads and kills all by the way: `moments` are milliseconds between a start and the next kill.
async fn disturbed(server: &mut Deployment, session: &Session, moments: &[u64]) {
    let mut next = 0;
    for moment in moments {
        let until = tokio::time::Instant::now() + Duration::from_millis(*moment);
        // Two chunks an interval, then whatever the workers are at when the time is over.
        for _ in 0..2 {
            if next < session.chunks() && tokio::time::Instant::now() < until {
                session.upload(next).await;
                next += 1;
            }
        }
        tokio::time::sleep_until(until).await;
        server.kill();
        server.resume().await;
    }
    for chunk in next..session.chunks() {
        session.upload(chunk).await;
    }
}

#[tokio::test]
async fn killed_again_and_again_the_transcript_is_the_same() {
    let bytes = recordings::converted(&["-t", "150", "-c:a", "pcm_s16le"], "wav");
    let (expected, frames) = undisturbed(&bytes).await;

    let mut server = Deployment::start(&SOON).await;
    let session = Client::new(&server.url()).open("sample.wav", bytes, 1, json!({})).await;
    // Again and again in the middle of the same passage, which looks as if it were what kills the workers.
    disturbed(&mut server, &session, &[40, 300, 900, 1_700, 2_500]).await;
    let end = session.ended().await;
    assert_eq!(end.data["status"], "completed", "{}", session.status().await);
    assert!(session.transcript("json").await == expected, "the transcript changed");

    let after = session.all_frames().await;
    assert!(ids(&after).is_sorted_by(|a, b| a < b), "ids grow: {:?}", ids(&after));
    let (mut chunks, mut before): (Vec<_>, Vec<_>) = (
        lasting(&after).into_iter().map(|frame| frame.data.to_string()).collect(),
        lasting(&frames)
            .into_iter()
            .map(|frame| frame.data.to_string().replace(&job_of(&frames), &session.job))
            .collect(),
    );
    chunks.sort();
    before.sort();
    assert_eq!(chunks, before, "each chunk was told once, with the same text");
}

fn job_of(frames: &[Frame]) -> String {
    frames[0].data["parent_job_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_cut_across_a_restart() {
    let bytes = recordings::converted(&["-t", "125", "-c:a", "pcm_s16le"], "wav");
    let mut server = Deployment::start(&SOON).await;
    let session = Client::new(&server.url()).open("sample.wav", bytes, 1, json!({})).await;
    // Chunk 0 is complete once its last passage is known to end, before the last chunk.
    let last_chunk = session.chunks() - 1;
    for chunk in 0..last_chunk {
        session.upload(chunk).await;
    }
    let complete = |frame: &Frame| frame.kind() == "chunk_complete";
    let mut frames = session.client.frames(&session.job, None, complete).await.unwrap();
    server.kill();
    server.resume().await;
    session.upload(last_chunk).await;
    let last = ids(&frames).into_iter().max();
    frames.extend(session.client.frames(&session.job, last, Frame::is_last).await.unwrap());
    assert!(ids(&frames).is_sorted_by(|a, b| a < b), "{:?}", ids(&frames));

    let all = session.all_frames().await;
    let (cut, whole) = (lasting(&frames), lasting(&all));
    assert_eq!(cut, whole, "the two halves are the whole");
    let end = ids(&all).into_iter().max();
    assert!(session.client.frames(&session.job, end, |_| false).await.is_none(), "204 after the end");
}

#[tokio::test]
async fn a_lost_notice_is_found_and_sigterm_is_clean() {
    let bytes = recordings::converted(&["-t", "60", "-ar", "48000", "-c:a", "pcm_s16le"], "wav");
    let mut server = Deployment::start(&SOON).await;
    let session = Client::new(&server.url()).open("sample.wav", bytes, 2, json!({})).await;
    for chunk in 0..session.chunks() {
        session.put(chunk).await;
    }
    assert!(server.terminate(Duration::from_secs(15)).await, "SIGTERM ends it with exit code 0");
    // Nor by giving up on what is in work: that would end with code 0 as well.
    assert!(!server.log().contains(UNDRAINED), "{}", server.log());
    server.resume().await;
    assert_eq!(session.ended().await.data["status"], "completed");
}
