//! What is wrong is told clearly: never a panic, never a hang, never a 500.
#![allow(clippy::unwrap_used)]

use reqwest::{Response, StatusCode};
use scriptorium_tests::{Client, Deployment, Session, recordings};
use serde_json::{Value, json};

const MB: usize = 1 << 20;

async fn problem(reply: Response, status: u16, code: &str) -> Value {
    let (found, kind) = (reply.status(), reply.headers()["content-type"].to_str().unwrap().to_owned());
    let text = reply.text().await.unwrap();
    assert_eq!(found.as_u16(), status, "{text}");
    assert!(kind.starts_with("application/problem+json"), "{kind}: {text}");
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(body["code"], code, "{text}");
    assert!(body["type"].is_string() && body["title"].is_string() && body["status"] == status, "{text}");
    body
}

fn random_bytes(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[tokio::test]
async fn a_request_that_asks_for_something_wrong() {
    let server = Deployment::start(&[]).await;
    let client = Client::new(&server.url());
    let init = "/chunked-upload-stream";
    let good = json!({ "filename": "a.wav", "total_size": 6 * MB, "chunk_size_mb": 5 });
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let unknown = problem(client.post(init, &with("colour", json!("red"))).await, 422, "unknown_field").await;
    assert!(unknown["detail"].as_str().unwrap().contains("colour"), "{unknown}");
    for (field, value) in [
        ("total_size", json!("large")),
        ("total_size", json!(-1)),
        ("total_size", json!(1.5)),
        ("chunk_size_mb", json!(0)),
        ("chunk_size_mb", json!(101)),
        ("chunk_size_mb", json!("huge")),
        ("filename", json!(7)),
    ] {
        problem(client.post(init, &with(field, value)).await, 422, "invalid_field").await;
    }
    problem(client.post(init, &with("total_size", json!(5 * MB - 1))).await, 422, "file_too_small").await;
    problem(
        client.post(init, &with("total_size", json!(10u64 * 1024 * MB as u64 + 1))).await,
        413,
        "file_too_large",
    )
    .await;
    let broken = client.post_raw(init, "application/json", b"{\"filename\": ".to_vec()).await;
    assert!(broken.status().is_client_error());
}

#[tokio::test]
async fn jobs_and_chunks_that_are_not_there() {
    let server = Deployment::start(&[]).await;
    let client = Client::new(&server.url());
    let nobody = "00000000-0000-4000-8000-000000000000";
    problem(
        client.get(&format!("/chunked-upload-status?parent_job_id={nobody}")).await,
        404,
        "job_not_found",
    )
    .await;
    problem(client.get(&format!("/chunked-stream/{nobody}")).await, 404, "job_not_found").await;
    let cancel = json!({ "parent_job_id": nobody, "reason": "test" });
    problem(client.post("/chunked-upload-cancel", &cancel).await, 404, "job_not_found").await;
    assert!(client.get("/chunked-upload-status?parent_job_id=7").await.status().is_client_error());

    let session = client.open("a.wav", vec![0; 6 * MB], 5, json!({})).await;
    problem(session.notice(0).await, 409, "chunk_not_uploaded").await;
    let outside = json!({ "parent_job_id": session.job, "chunk_index": 2, "actual_size": 1 });
    let reply = client.post("/chunk-upload-complete", &outside).await;
    assert!(reply.status().is_client_error(), "{}", reply.status());
    let wrong = json!({ "parent_job_id": session.job, "chunk_index": 0, "actual_size": 1 });
    session.put(0).await;
    problem(client.post("/chunk-upload-complete", &wrong).await, 409, "size_mismatch").await;
    assert!(session.notice(0).await.status().is_success());
    assert!(session.notice(0).await.status().is_success(), "repeating the notice is harmless");
}

#[tokio::test]
async fn an_upload_url_takes_only_what_was_signed() {
    let server = Deployment::start(&[]).await;
    let client = Client::new(&server.url());
    let session = client.open("a.wav", vec![0; 6 * MB], 5, json!({})).await;
    assert!(!session.put_bytes(0, vec![0; 5 * MB - 1]).await, "too short");
    assert!(!session.put_bytes(0, vec![0; 5 * MB + 1]).await, "too long");
    let tampered = session.upload_url(0).replace("chunk-00000", "chunk-00001");
    let http = reqwest::Client::new();
    let reply = http.put(tampered).body(vec![0; 5 * MB]).send().await;
    assert!(reply.is_err() || reply.is_ok_and(|reply| reply.status() == StatusCode::FORBIDDEN));
    let anonymous = session.upload_url(0).split('?').next().unwrap().to_owned();
    let reply = http.put(anonymous).body(vec![0; 5 * MB]).send().await;
    assert!(reply.is_err() || reply.is_ok_and(|reply| reply.status() == StatusCode::FORBIDDEN));
    problem(session.notice(0).await, 409, "chunk_not_uploaded").await;
}

/// The job's last frame for a recording of these bytes.
async fn outcome(client: &Client, name: &str, bytes: Vec<u8>) -> Value {
    ended(client, name, bytes).await.1
}

async fn ended(client: &Client, name: &str, bytes: Vec<u8>) -> (Session, Value) {
    let session = client.open(name, bytes, 1, json!({})).await;
    for chunk in 0..session.chunks() {
        session.put(chunk).await;
        let reply = session.notice(chunk).await;
        if reply.status() == StatusCode::CONFLICT {
            // Told already that this is no recording.
            problem(reply, 409, "job_over").await;
            break;
        }
        assert!(reply.status().is_success());
    }
    let last = session.ended().await.data;
    (session, last)
}

/// What is no sound is told, as damaged from second `from` to the end.
async fn check_damaged_end(session: &Session, from: f64) {
    let transcript: Value = serde_json::from_str(&session.transcript("json").await).unwrap();
    let gap = transcript["gaps"].as_array().unwrap().last().unwrap();
    let second = |value: &Value| value.as_f64().unwrap();
    assert_eq!(gap["reason"], "damaged");
    assert!((second(&gap["start"]) - from).abs() < 2.0, "{gap}");
    assert!((second(&gap["end"]) - second(&transcript["duration"])).abs() < 0.01, "{gap}");
    assert!(second(&transcript["coverage"]["damaged"]) > 10.0, "{}", transcript["coverage"]);
    assert_eq!(session.status().await["gaps"], transcript["gaps"]);
}

#[tokio::test]
async fn recordings_that_are_no_audio() {
    let server = Deployment::start(&[]).await;
    let client = Client::new(&server.url());
    let text = "This is a letter, not a recording. ".repeat(200_000).into_bytes();
    let found = outcome(&client, "letter.mp3", text).await;
    assert_eq!(
        (&found["type"], &found["error"]["code"]),
        (&json!("job_failed"), &json!("not_audio")),
        "{found}"
    );
    assert!(found["error"]["detail"].as_str().unwrap().to_lowercase().contains("text"), "{found}");
    for bytes in [random_bytes(6 * MB), vec![0; 6 * MB]] {
        let found = outcome(&client, "noise.mp3", bytes).await;
        assert_eq!(found["type"], "job_failed", "{found}");
    }
    // Told as soon as the first chunk is there, not when the upload is over.
    let session = client.open("letter.wav", "letter ".repeat(MB).into_bytes(), 1, json!({})).await;
    session.upload(0).await;
    assert_eq!(session.ended().await.data["type"], "job_failed");
    // The same where a header is damaged: an MP4 file whose index has sizes that cannot be.
    let mut bytes = vec![b'x'; 6 * MB];
    bytes[..32].copy_from_slice(b"\0\0\0\x10ftypM4A \0\0\0\0\0\0\0\x10moov\0\0\0\x08mvhd");
    let session = client.open("damaged.m4a", bytes, 1, json!({})).await;
    session.upload(0).await;
    let end = session.ended().await.data;
    assert_eq!(
        (&end["type"], &end["error"]["code"]),
        (&json!("job_failed"), &json!("damaged_header")),
        "{end}"
    );
    assert!(end["error"]["detail"].as_str().unwrap().contains("MP4"), "{end}");
}

#[tokio::test]
async fn recordings_that_break_off_or_turn_to_noise() {
    let server = Deployment::start(&[]).await;
    let client = Client::new(&server.url());
    // As little speech as makes a recording that is large enough.
    let formats: [(&str, u32, &[&str]); 3] = [
        ("wav", 40, &["-c:a", "pcm_s16le", "-ar", "44100"]),
        ("flac", 45, &["-sample_fmt", "s32", "-compression_level", "0", "-ar", "96000"]),
        ("mp3", 140, &["-b:a", "320k", "-ar", "44100"]),
    ];
    for (ending, seconds, arguments) in formats {
        let length = seconds.to_string();
        let arguments = [&["-t", &length], arguments].concat();
        let good = recordings::converted(&[&arguments[..], &["-ac", "2"]].concat(), ending);
        // A good header, then random bytes to the end.
        let mut noise = good[..MB].to_vec();
        noise.extend(random_bytes(5 * MB));
        let (session, end) = ended(&client, &format!("noise.{ending}"), noise).await;
        assert_eq!(end["type"], "final_result", "{ending}: {end}");
        // Of numbers without a frame nobody can tell that they are no sound.
        if ending != "wav" {
            check_damaged_end(&session, f64::from(seconds) * MB as f64 / good.len() as f64).await;
        }
        // A body cut off in the middle of a packet.
        let cut = good[..(good.len() * 9 / 10).max(5 * MB + 1) | 1].to_vec();
        let end = outcome(&client, &format!("cut.{ending}"), cut).await;
        assert_eq!(end["type"], "final_result", "{ending}: {end}");
        assert!(end["final_transcript"].as_str().unwrap().len() > 200, "{ending}: {end}");
    }
}

#[tokio::test]
async fn a_cancelled_job_stays_cancelled() {
    let server = Deployment::start(&[]).await;
    let client = Client::new(&server.url());
    let bytes = recordings::converted(&["-c:a", "pcm_s16le"], "wav");
    let session = client.open("a.wav", bytes, 1, json!({})).await;
    session.upload(0).await;
    let body = json!({ "parent_job_id": session.job, "reason": "changed my mind" });
    client.post_ok("/chunked-upload-cancel", &body).await;
    client.post_ok("/chunked-upload-cancel", &body).await;
    assert_eq!(session.ended().await.data["type"], "cancelled");
    assert_eq!(session.status().await["status"], "cancelled");
    assert!(session.notice(1).await.status().is_client_error(), "no notices for a cancelled job");
    let reply = client.get(&format!("/jobs/{}/transcript?format=txt", session.job)).await;
    assert!(reply.status().is_client_error());
}
