//! Status, cancel, retry, transcripts, health.

use crate::house::House;
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::Input;
use scriptorium_contracts::objects::transcript_key;
use serde_json::{Value, json};

async fn fail(house: &House, job: scriptorium_contracts::JobId, chunk: u32, code: FailureCode) {
    let epoch = house.epoch(job, chunk).await;
    let failure = Failure::new(code, "Bytes are missing.");
    house.advance(job, Input::Failed { chunk, part: None, epoch, failure }).await;
}

#[tokio::test]
async fn the_status_tells_how_far_a_job_is() {
    let house = House::new().await;
    let (job, _) = house.init(5).await;
    let path = format!("/chunked-upload-status?parent_job_id={job}");
    let fresh = house.get(&path).await.json();
    assert_eq!((&fresh["status"], &fresh["progress"]), (&json!("created"), &json!(0)));
    assert_eq!(fresh.get("estimated_seconds_remaining"), None);
    for chunk in 0..4 {
        house.advance(job, Input::Uploaded { chunk }).await;
    }
    house.advance(job, Input::Probed { media: scriptorium_shared::testing::media() }).await;
    house.complete(job, 0, "One.").await;
    fail(&house, job, 1, FailureCode::DamagedMedia).await;
    let status = house.get(&path).await.json();
    assert_eq!(status["status"], "uploading");
    assert_eq!((&status["upload_progress"], &status["processing_progress"]), (&json!(80.0), &json!(40.0)));
    assert_eq!((&status["success_rate"], &status["progress"]), (&json!(0.2), &json!(50)));
    assert_eq!(status["media"]["codec"], "pcm_s16le");
    assert!(status["estimated_seconds_remaining"].is_u64());
    let states: Vec<&Value> =
        status["chunks"].as_array().unwrap().iter().map(|chunk| &chunk["status"]).collect();
    assert_eq!(states, ["completed", "failed", "queued", "queued", "pending"]);
    assert_eq!(status["chunks"][1]["error"]["code"], "damaged_media");
    assert_eq!((&status["chunks"][1]["attempts"], &status["gaps"]), (&json!(1), &json!([])));
    house.stop().await;
}

#[tokio::test]
async fn cancelling_is_harmless_twice_and_too_late_after_the_end() {
    let house = House::new().await;
    let (job, _) = house.init(5).await;
    for _ in 0..2 {
        let body = json!({"parent_job_id": job, "reason": "changed my mind"});
        let reply = house.post("/chunked-upload-cancel", body).await;
        assert_eq!((reply.status, &reply.json()["status"]), (200, &json!("cancelled")));
    }
    let notice = json!({"parent_job_id": job, "chunk_index": 0, "actual_size": 1 << 20});
    let problem = house.post("/chunk-upload-complete", notice).await.is_problem(409, "job_over");
    assert_eq!(problem["job_status"], "cancelled");
    house.post("/chunked-upload-urls", json!({"parent_job_id": job})).await.is_problem(409, "job_over");
    let retry = json!({"parent_job_id": job, "chunk_index": 0});
    house.post("/chunked-upload-retry", retry).await.is_problem(409, "job_over");
    let done = house.uploaded(5).await;
    for chunk in 0..5 {
        house.complete(done, chunk, "x").await;
    }
    house.assemble(done, "x").await;
    house.post("/chunked-upload-cancel", json!({"parent_job_id": done})).await.is_problem(409, "job_over");
    house.stop().await;
}

#[tokio::test]
async fn a_retry_uploads_processes_or_does_nothing() {
    let house = House::new().await;
    let (job, _) = house.init(5).await;
    let retry = async |chunk: u32| {
        house.post("/chunked-upload-retry", json!({"parent_job_id": job, "chunk_index": chunk})).await
    };
    let pending = retry(4).await.json();
    assert_eq!((&pending["action"], &pending["upload"]["chunk_index"]), (&json!("upload"), &json!(4)));
    for chunk in 0..5 {
        house.advance(job, Input::Uploaded { chunk }).await;
    }
    house.advance(job, Input::Probed { media: scriptorium_shared::testing::media() }).await;
    assert_eq!(retry(4).await.json()["action"], "none");
    for chunk in 0..4 {
        house.complete(job, chunk, "x").await;
    }
    fail(&house, job, 4, FailureCode::DamagedMedia).await;
    let header = house.assemble(job, "x").await;
    assert!(header.state.is_final());
    // The finished job reopens.
    for action in ["process", "none"] {
        let reply = retry(4).await.json();
        assert_eq!((&reply["action"], &reply["status"]), (&json!(action), &json!("processing")));
    }
    house.complete(job, 4, "y").await;
    house.assemble(job, "x y").await;
    assert_eq!(retry(4).await.json()["action"], "none");
    retry(5).await.is_problem(422, "chunk_out_of_range");
    house.stop().await;
}

#[tokio::test]
async fn a_chunk_whose_bytes_are_gone_can_not_be_retried() {
    let house = House::with(|config| config.limits.retention_ms = 0).await;
    let job = house.uploaded(5).await;
    for chunk in 0..4 {
        house.complete(job, chunk, "x").await;
    }
    fail(&house, job, 4, FailureCode::DamagedMedia).await;
    house.assemble(job, "x").await;
    house.advance(job, Input::Tick).await;
    let body = json!({"parent_job_id": job, "chunk_index": 4});
    house.post("/chunked-upload-retry", body).await.is_problem(409, "chunk_released");
    house.stop().await;
}

fn transcript() -> Value {
    json!({
        "version": 1, "text": "Hello. World.", "language": "en", "duration": 12.5, "engine": "whisper",
        "model": "tiny.en", "media": scriptorium_shared::testing::media(),
        "segments": [
            {"id": 0, "start": 0.0, "end": 1.5, "text": "Hello.", "avg_logprob": -0.2, "no_speech_prob": 0.1},
            {"id": 1, "start": 4.0, "end": 5.0, "text": "World.", "avg_logprob": -0.2, "no_speech_prob": 0.1},
        ],
        "gaps": [{"start": 2.0, "end": 3.5, "reason": "failed"}],
    })
}

#[tokio::test]
async fn transcripts_in_every_form() {
    let house = House::new().await;
    let job = house.uploaded(5).await;
    let path = format!("/jobs/{job}/transcript");
    let early = house.get(&path).await.is_problem(409, "transcript_not_ready");
    assert_eq!(early["job_status"], "processing");
    for chunk in 0..5 {
        house.complete(job, chunk, "x").await;
    }
    // Longer than a piece, so that it comes in several.
    let mut stored = transcript();
    stored["media"]["title"] = json!("é".repeat(1 << 20));
    let stored = stored.to_string();
    let body = bytes::Bytes::from(stored.clone());
    house.jobs.objects.write(&transcript_key(job), body, "application/json").await.unwrap();
    house.assemble(job, "Hello. World.").await;
    let json = house.get(&path).await;
    assert_eq!((json.status, json.content_type.as_str()), (200, "application/json"));
    assert_eq!(json.body, stored);
    for (format, content_type, part) in [
        ("txt", "text/plain; charset=utf-8", "Hello.\n\n[no transcript: 00:00:02–00:00:04]\n\nWorld.\n"),
        ("srt", "application/x-subrip; charset=utf-8", "2\n00:00:02,000 --> 00:00:03,500\n[no transcript"),
        ("vtt", "text/vtt; charset=utf-8", "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello.\n"),
    ] {
        let reply = house.get(&format!("{path}?format={format}")).await;
        assert_eq!((reply.status, reply.content_type.as_str()), (200, content_type));
        assert!(reply.body.contains(part), "{}", reply.body);
    }
    house.get(&format!("{path}?format=doc")).await.is_problem(400, "malformed_query");
    house.stop().await;
}

#[tokio::test]
async fn a_job_without_a_transcript_says_so() {
    let house = House::new().await;
    let (job, _) = house.init(5).await;
    house.advance(job, Input::Cancel { reason: String::new() }).await;
    let problem = house.get(&format!("/jobs/{job}/transcript")).await.is_problem(404, "no_transcript");
    assert_eq!(problem["job_status"], "cancelled");
    house.stop().await;
}

#[tokio::test]
async fn health_and_readiness() {
    let house = House::new().await;
    assert_eq!(house.get("/healthz").await.json(), json!({"status": "ok"}));
    let ready = house.get("/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.body);
    assert_eq!(
        ready.json(),
        json!({"status": "ok", "checks": {"store": "ok", "queue": "ok", "objects": "ok"}})
    );
    house.jobs.queue.close().await;
    house.jobs.store.close().await;
    let ready = house.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert_eq!(
        ready.json()["checks"],
        json!({"store": "unavailable", "queue": "unavailable", "objects": "ok"})
    );
    assert_eq!(house.get("/healthz").await.status, 200);
    // What needs the store is refused for a while, with when to come back.
    let id = scriptorium_shared::testing::new_id();
    let reply = house.get(&format!("/chunked-upload-status?parent_job_id={id}")).await;
    reply.is_problem(503, "service_unavailable");
    assert_eq!(reply.headers["retry-after"], "2");
    house.stop().await;
}
