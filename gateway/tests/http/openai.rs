//! The route of OpenAI's API.

use crate::house::{House, MB, Reply};
use crate::whole::{finish, form, noise, open_jobs, request, send, until};
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::{Input, JobState};
use serde_json::{Value, json};
use std::time::Duration;

const PATH: &str = "/v1/audio/transcriptions";

/// The error, after a look at its form.
#[track_caller]
fn error(reply: &Reply, status: u16, code: &str) -> Value {
    assert_eq!((reply.status, reply.content_type.as_str()), (status, "application/json"), "{}", reply.body);
    let error = reply.json()["error"].clone();
    assert_eq!((&error["code"], error["message"].is_string()), (&json!(code), true), "{error}");
    let kind = if status >= 500 { "server_error" } else { "invalid_request_error" };
    assert_eq!(error["type"], kind);
    error
}

/// Sends the form and does what workers do.
async fn transcribed(house: &House, body: Vec<u8>) -> Reply {
    let finishing = async {
        let job = until(house, |header| header.state == JobState::Processing).await.id;
        finish(house, job).await;
    };
    let (reply, ()) = tokio::join!(Reply::of(request(house, PATH, body)), finishing);
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(reply.headers["location"].to_str().unwrap().starts_with("/api/transcripts/"));
    reply
}

#[tokio::test]
async fn a_request_without_a_place_for_its_stream_leaves_no_work() {
    let house = House::with(|config| config.max_streams = 0).await;
    let fields = [("model", "whisper-1"), ("stream", "true")];
    let reply = Reply::of(request(&house, PATH, form(&fields, &noise(2 * MB), &[]))).await;
    error(&reply, 503, "too_many_streams");
    assert_eq!(open_jobs(&house).await.len(), 0);
    house.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_told_in_openais_form() {
    let house = House::new().await;
    error(&house.get(PATH).await, 405, "method_not_allowed");
    error(&house.get("/v1/models").await, 404, "route_not_found");
    house.stop().await;
}

#[tokio::test]
async fn every_format() {
    let house = House::new().await;
    let file = noise(2 * MB);
    for (format, content_type, part) in [
        (
            "json",
            "application/json",
            "{\"text\":\"Hello.\",\"usage\":{\"type\":\"duration\",\"seconds\":13}}",
        ),
        ("text", "text/plain; charset=utf-8", "Hello.\n"),
        ("srt", "application/x-subrip; charset=utf-8", "1\n00:00:00,000 --> 00:00:01,500\nHello.\n"),
        ("vtt", "text/vtt; charset=utf-8", "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello.\n"),
        ("verbose_json", "application/json", "\"language\":\"english\""),
    ] {
        // As in OpenAI's own examples, the file comes first.
        let fields = [("model", "whisper-1"), ("response_format", format), ("temperature", "0")];
        let reply = transcribed(&house, form(&[], &file, &fields)).await;
        assert_eq!(reply.content_type, content_type);
        assert!(reply.body.contains(part), "{}", reply.body);
    }
    let fields = [
        ("model", "whisper-1"),
        ("language", "en"),
        ("response_format", "verbose_json"),
        ("timestamp_granularities[]", "word"),
        ("timestamp_granularities[]", "segment"),
    ];
    let reply = transcribed(&house, form(&fields, &noise(30 * MB), &[])).await.json();
    assert_eq!(reply["words"], json!([{"word": "Hello.", "start": 0.0, "end": 1.5}]));
    assert_eq!(reply["segments"][0]["text"], " Hello.");
    house.stop().await;
}

/// As elsewhere, though OpenAI's clients do not send it.
#[tokio::test]
async fn an_idempotency_key_makes_one_job() {
    let house = House::new().await;
    let body = form(&[("model", "whisper-1")], &noise(2 * MB), &[]);
    let keyed = |body: Vec<u8>| Reply::of(request(&house, PATH, body).header("Idempotency-Key", "seven"));
    let finishing = async {
        let job = until(&house, |header| header.state == JobState::Processing).await.id;
        finish(&house, job).await;
    };
    let (first, ()) = tokio::join!(keyed(body.clone()), finishing);
    let again = keyed(body).await;
    assert_eq!((first.status, again.status), (200, 200), "{} {}", first.body, again.body);
    assert_eq!((&first.headers["location"], &first.body), (&again.headers["location"], &again.body));
    let other = keyed(form(&[("model", "whisper-2")], &noise(2 * MB), &[])).await;
    error(&other, 400, "idempotency_key_reused");
    house.stop().await;
}

#[tokio::test]
async fn errors_have_their_form() {
    let house = House::new().await;
    let file = noise(1_000);
    let with = |name, value| form(&[("model", "whisper-1"), (name, value)], &file, &[]);
    for (name, value, code) in [
        ("language", "klingon", "invalid_field"),
        ("temperature", "0.7", "not_supported_yet"),
        ("response_format", "xml", "invalid_field"),
        ("colour", "red", "unknown_field"),
    ] {
        assert_eq!(error(&send(&house, PATH, with(name, value)).await, 400, code)["param"], name);
    }
    let without = send(&house, PATH, form(&[], &file, &[])).await;
    assert_eq!(error(&without, 400, "missing_field")["param"], "model");
    let json = house.http.post(house.url(PATH)).json(&json!({"model": "whisper-1"}));
    error(&Reply::of(json).await, 415, "unsupported_content_type");
    let late = form(&[("model", "whisper-1")], &noise(30 * MB), &[("language", "en")]);
    error(&send(&house, PATH, late).await, 400, "field_after_file");
    house.stop().await;
}

#[tokio::test]
async fn jobs_that_fail_and_jobs_that_take_too_long() {
    let house = House::with(|config| config.stream_timeout = Duration::from_millis(400)).await;
    let body = form(&[("model", "whisper-1")], &noise(MB), &[]);
    let failing = async {
        let job = until(&house, |header| header.state == JobState::Processing).await.id;
        let epoch = house.epoch(job, 0).await;
        let failure = Failure::new(FailureCode::NotAudio, "A picture.");
        house.advance(job, Input::Failed { chunk: 0, part: None, epoch, failure }).await;
    };
    let (reply, ()) = tokio::join!(send(&house, PATH, body.clone()), failing);
    assert_eq!(error(&reply, 400, "not_audio")["param"], "file");
    let late = send(&house, PATH, body).await;
    let message = error(&late, 504, "transcript_not_ready")["message"].clone();
    let job = open_jobs(&house).await[0];
    assert!(message.as_str().unwrap().contains(&format!("/api/transcripts/{job}")), "{message}");
    assert_eq!(late.headers["x-should-retry"], "false");
    house.stop().await;
}

#[tokio::test]
async fn the_text_is_streamed_as_it_grows() {
    let house = House::new().await;
    let fields = [("model", "whisper-1"), ("stream", "true")];
    let reply = transcribed(&house, form(&fields, &noise(30 * MB), &[])).await;
    assert_eq!(reply.content_type, "text/event-stream");
    let events: Vec<Value> = reply
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let (last, deltas) = events.split_last().unwrap();
    let text: String = deltas.iter().map(|event| event["delta"].as_str().unwrap()).collect();
    assert!(deltas.iter().all(|event| event["type"] == "transcript.text.delta"));
    // Two chunks, each of which says hello here.
    assert_eq!(text, "Hello. Hello.");
    assert_eq!((&last["type"], &last["text"]), (&json!("transcript.text.done"), &json!("Hello.")));
    house.stop().await;
}
