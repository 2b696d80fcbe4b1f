//! Live streams while the job runs.

use crate::house::House;
use crate::sse::{Frame, Stream};
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::Input;
use serde_json::json;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn kinds(frames: &[Frame]) -> Vec<&str> {
    frames.iter().map(Frame::kind).collect()
}

async fn open(house: &House, job: scriptorium_contracts::JobId, query: &str) -> Stream {
    Stream::open(&house.http, &house.url(&format!("/chunked-stream/{job}{query}")), None).await
}

#[tokio::test]
async fn a_job_is_told_from_beginning_to_end() {
    let house = House::with(|config| config.partial_interval = Duration::ZERO).await;
    let (job, _) = house.init(5).await;
    let mut stream = open(&house, job, "").await;
    let first = stream.next().await.unwrap();
    assert_eq!(first.id, 1);
    assert_eq!(first.data, json!({"type": "initialized", "parent_job_id": job, "total_chunks": 5}));
    assert_eq!(stream.retry, Some(2_000));
    house.advance(job, Input::Uploaded { chunk: 0 }).await;
    let progress = stream.next().await.unwrap();
    assert_eq!(
        progress.data,
        json!({"type": "progress_update", "progress": 10, "uploaded_chunks": 1, "completed_chunks": 0})
    );
    house.advance(job, Input::Probed { media: scriptorium_shared::testing::media() }).await;
    assert_eq!(stream.next().await.unwrap().data["media"]["container"], "wav");
    for chunk in 1..5 {
        house.advance(job, Input::Uploaded { chunk }).await;
    }
    house.complete(job, 1, "Two.").await;
    // Ahead of the gap: told, but not part of the text.
    let ahead = stream.until("chunk_complete").await.pop().unwrap();
    assert_eq!((&ahead.data["chunk_index"], &ahead.data["text"]), (&json!(1), &json!("Two.")));
    house.complete(job, 0, "One.").await;
    let grown = stream.until("partial_transcript").await.pop().unwrap();
    assert_eq!(grown.data["partial_transcript"], "One. Two.");
    for (chunk, text) in [(2, "Three."), (3, ""), (4, "Five.")] {
        house.complete(job, chunk, text).await;
    }
    house.assemble(job, "One. Two. Three. Five.").await;
    let rest = stream.rest().await;
    let last = rest.last().unwrap();
    assert_eq!(
        last.data,
        json!({"type": "final_result", "final_transcript": "One. Two. Three. Five.", "status": "completed"})
    );
    house.stop().await;
}

#[tokio::test]
async fn every_way_to_end_ends_the_stream() {
    let house = House::with(|config| config.limits.upload_expiry_ms = 300).await;
    let (cancelled, _) = house.init(5).await;
    let stream = open(&house, cancelled, "").await;
    house.advance(cancelled, Input::Cancel { reason: "enough".into() }).await;
    let last = stream.rest().await.pop().unwrap();
    assert_eq!(last.data, json!({"type": "cancelled", "reason": "enough"}));

    let (failed, _) = house.init(5).await;
    let stream = open(&house, failed, "").await;
    house.advance(failed, Input::Uploaded { chunk: 0 }).await;
    let epoch = house.epoch(failed, 0).await;
    let failure = Failure::new(FailureCode::NotAudio, "This is a text file.");
    house.advance(failed, Input::Failed { chunk: 0, part: None, epoch, failure }).await;
    let frames = stream.rest().await;
    assert_eq!(kinds(&frames), ["initialized", "progress_update", "chunk_failed", "job_failed"]);
    assert_eq!(
        frames[2].data,
        json!({
            "type": "chunk_failed", "chunk_index": 0, "attempts": 1, "will_retry": false,
            "error": {"code": "not_audio", "detail": "This is a text file."},
        })
    );

    let (expired, _) = house.init(5).await;
    let stream = open(&house, expired, "").await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    house.advance(expired, Input::Tick).await;
    assert_eq!(kinds(&stream.rest().await), ["initialized", "expired"]);
    house.stop().await;
}

#[tokio::test]
async fn the_growing_text_comes_at_most_once_an_interval_but_nothing_else_is_lost() {
    let house = House::with(|config| config.partial_interval = Duration::from_millis(400)).await;
    let job = house.uploaded(40).await;
    let mut stream = open(&house, job, "").await;
    let began = std::time::Instant::now();
    let driving = async {
        for chunk in 0..40 {
            house.complete(job, chunk, &format!("Chunk {chunk}.")).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let reading = async {
        let mut frames = Vec::new();
        loop {
            let frame = stream.next().await.unwrap();
            let whole = frame.kind() == "partial_transcript" && frame.data["chunks"] == 40;
            frames.push(frame);
            if whole {
                return frames;
            }
        }
    };
    let ((), frames) = tokio::join!(driving, reading);
    let partials = frames.iter().filter(|frame| frame.kind() == "partial_transcript").count() as u128;
    assert!(partials <= began.elapsed().as_millis() / 400 + 2, "{partials}");
    assert_eq!(frames.iter().filter(|frame| frame.kind() == "chunk_complete").count(), 40);
    assert!(frames.iter().is_sorted_by(|one, other| one.id < other.id));
    house.stop().await;
}

#[tokio::test]
async fn a_stream_beats_times_out_and_gives_its_place_back() {
    let house = House::with(|config| {
        config.heartbeat = Duration::from_millis(100);
        config.stream_timeout = Duration::from_millis(700);
        config.max_streams = 1;
    })
    .await;
    let (job, _) = house.init(5).await;
    let mut stream = open(&house, job, "").await;
    stream.next().await.unwrap();
    let refused = house.get(&format!("/chunked-stream/{job}")).await;
    refused.is_problem(503, "too_many_streams");
    assert!(refused.headers.contains_key("retry-after"));
    // The time of the stream is over: it ends cleanly, after some beats.
    assert_eq!(stream.next().await, None);
    assert!(stream.comments.iter().filter(|comment| comment.as_str() == "heartbeat").count() >= 3);
    // A client that goes away frees its place too.
    for _ in 0..3 {
        let mut tries = 0;
        let stream = loop {
            let response = house.http.get(house.url(&format!("/chunked-stream/{job}"))).send().await.unwrap();
            if response.status() == 200 {
                break response;
            }
            tries += 1;
            assert!(tries < 200, "the place is not given back");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        drop(stream);
    }
    house.stop().await;
}

#[tokio::test]
async fn a_lost_wake_up_delays_only_until_the_next_heartbeat() {
    let house = House::with(|config| config.heartbeat = Duration::from_millis(200)).await;
    let (job, _) = house.init(5).await;
    let mut stream = open(&house, job, "").await;
    stream.next().await.unwrap();
    // Another process writes to the store, and its wake-up gets lost.
    let (header, records) = house.jobs.store.load(job, &[0]).await.unwrap().unwrap();
    let now = scriptorium_shared::clock::now();
    let step = scriptorium_contracts::job::step(&header, &records, Input::Uploaded { chunk: 0 }, now);
    house.jobs.store.commit(&step.unwrap().unwrap()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().kind(), "progress_update");
    house.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_delays_nobody() {
    let house = House::new().await;
    let job = house.uploaded(30).await;
    let mut deaf = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        let request = format!("GET /chunked-stream/{job} HTTP/1.1\r\nHost: h\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        deaf.push(stream);
    }
    let stream = open(&house, job, "?partial=delta").await;
    // Much more than the buffers of a connection hold.
    let text = "word ".repeat(60_000);
    for chunk in 0..30 {
        house.complete(job, chunk, &text).await;
    }
    house.assemble(job, "done").await;
    let frames = tokio::time::timeout(Duration::from_secs(30), stream.rest()).await.unwrap();
    assert_eq!(frames.last().unwrap().kind(), "final_result");
    assert_eq!(frames.iter().filter(|frame| frame.kind() == "chunk_complete").count(), 30);
    drop(deaf);
    house.stop().await;
}

#[tokio::test]
async fn many_readers_of_one_job_all_get_everything() {
    let house = House::new().await;
    let job = house.uploaded(10).await;
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (http, url) = (house.http.clone(), house.url(&format!("/chunked-stream/{job}?partial=delta")));
        readers.spawn(async move { Stream::open(&http, &url, None).await.rest().await });
    }
    for chunk in 0..10 {
        house.complete(job, chunk, "Some words.").await;
    }
    house.assemble(job, "done").await;
    let all = readers.join_all().await;
    let last = house.jobs.header(job).await.unwrap().unwrap().last_event;
    for frames in all {
        assert!(frames.iter().map(|frame| frame.id).eq(1..=last));
    }
    house.stop().await;
}
