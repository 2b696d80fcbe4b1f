//! Corrections by a language model (R25), end to end. The model is a chat service that corrects by rules
//! (`scriptorium_tests::proofreader`); what it corrects is what the speech model really mishears.
#![allow(clippy::unwrap_used)]

use reqwest::StatusCode;
use scriptorium_tests::proofreader::{Manner, Proofreader};
use scriptorium_tests::{Client, Deployment, Session, recordings};
use serde_json::{Value, json};
use std::time::Duration;

async fn deployment(url: &str) -> Deployment {
    Deployment::start(&[
        ("SCRIPTORIUM_LLM_BASE_URL", url),
        ("SCRIPTORIUM_LLM_MODEL", "proofreader"),
        ("SCRIPTORIUM_LLM_API_KEY", "a-secret-key"),
        ("SCRIPTORIUM_ALLOW_LLM", "true"),
    ])
    .await
}

/// The whole sample in chunks of half a minute, processed to the end.
async fn processed(server: &Deployment, options: Value) -> Session {
    let bytes = recordings::converted(&["-c:a", "pcm_s16le"], "wav");
    let session = Client::new(&server.url()).open("sample.wav", bytes, 1, options).await;
    session.upload_all().await;
    assert_eq!(session.ended().await.data["status"], "completed");
    session
}

async fn json_of(session: &Session) -> Value {
    serde_json::from_str(&session.transcript("json").await).unwrap()
}

/// As it was heard, byte for byte.
async fn raw(session: &Session) -> String {
    let reply = session.client.get(&format!("/jobs/{}/transcript?format=json&raw=true", session.job)).await;
    assert_eq!(reply.status(), StatusCode::OK);
    reply.text().await.unwrap()
}

fn text(transcript: &Value) -> &str {
    transcript["text"].as_str().unwrap()
}

fn edits(transcript: &Value) -> &Vec<Value> {
    transcript["correction"]["edits"].as_array().unwrap()
}

/// What has to be true of a corrected transcript, beside what was heard.
fn check(transcript: &Value, plain: &Value) {
    let (corrected, heard) = (text(transcript), text(plain));
    assert_eq!(transcript["raw_text"], heard);
    for (said, misheard) in
        [("concerned,", "concern,"), ("missal type", "missile"), ("missals,", "missiles,")]
    {
        assert!(corrected.contains(said) && !corrected.contains(misheard), "{said}: {corrected}");
        assert!(heard.contains(misheard), "{misheard} is not heard any more: {heard}");
    }
    // The service would have changed a name.
    assert!(corrected.contains("Schofer"), "{corrected}");
    assert!(transcript["correction"]["refused_segments"].as_u64().unwrap() >= 1);
    assert_eq!(transcript["correction"]["unanswered_segments"], 0);
    assert_eq!(transcript["correction"]["model"], "proofreader");
    let errors = |text: &str| recordings::word_error_rate(&recordings::sample_text(), text);
    assert!(errors(corrected) < errors(heard));
    // Times are as they were; texts are the raw ones with the edits that are listed.
    let segments = transcript["segments"].as_array().unwrap();
    let plain_segments = plain["segments"].as_array().unwrap();
    assert_eq!(segments.len(), plain_segments.len());
    for (segment, plain) in segments.iter().zip(plain_segments) {
        assert_eq!((&segment["start"], &segment["end"]), (&plain["start"], &plain["end"]));
        let own: Vec<&Value> =
            edits(transcript).iter().filter(|edit| edit["segment"] == segment["id"]).collect();
        let raw = if own.is_empty() { &segment["text"] } else { &segment["raw_text"] };
        assert_eq!(raw, &plain["text"]);
        for edit in own {
            let at = edit["start"].as_u64().unwrap() as usize;
            let behind: String = raw.as_str().unwrap().chars().skip(at).collect();
            assert!(behind.starts_with(edit["before"].as_str().unwrap()), "{edit}");
            assert!(segment["text"].as_str().unwrap().contains(edit["after"].as_str().unwrap()), "{edit}");
        }
    }
    let usage = &transcript["correction"]["usage"];
    assert!(
        usage["calls"].as_u64().unwrap() >= 1 && usage["prompt_tokens"].as_u64().unwrap() > 500,
        "{usage}"
    );
    assert_eq!(usage["failed_calls"], 0);
}

#[tokio::test]
async fn text_is_corrected_and_what_was_heard_stays_beside_it() {
    let proofreader = Proofreader::start(Manner::Rules).await;
    let server = deployment(proofreader.url()).await;
    let plain = processed(&server, json!({})).await.transcript("json").await;
    assert_eq!(proofreader.asked(), 0);
    let plain_json: Value = serde_json::from_str(&plain).unwrap();
    assert!(plain_json.get("correction").is_none() && plain_json.get("raw_text").is_none());

    for mode in ["post_process", "per_chunk"] {
        let session = processed(&server, json!({"use_llm": true, "llm_mode": mode})).await;
        let transcript = json_of(&session).await;
        check(&transcript, &plain_json);
        assert_eq!(transcript["correction"]["mode"], mode);
        assert_eq!(raw(&session).await, plain, "{mode}: what was heard is the same, byte for byte");
        let frames = session.all_frames().await;
        assert_eq!(frames.last().unwrap().data["final_transcript"], text(&transcript));
        let live = |word: &str| {
            let complete = frames.iter().filter(|frame| frame.kind() == "chunk_complete");
            complete.filter(|frame| frame.data["text"].as_str().unwrap().contains(word)).count()
        };
        let (misheard, said) = (live("missile"), live("missal"));
        match mode {
            "per_chunk" => assert!(misheard == 0 && said > 0, "live readers see corrected text"),
            _ => assert!(misheard > 0 && said == 0, "it is corrected when all of it is there"),
        }
        let status = session.status().await;
        assert_eq!(status["correction"]["edits"], edits(&transcript).len());
        assert_eq!(status["correction"]["usage"], transcript["correction"]["usage"]);
        let timings = &status["timings"];
        assert!(timings["work"]["llm"].as_f64().unwrap() > 0.0, "{timings}");
        let parts = ["upload", "queue", "rate_limit", "decode", "engine", "llm", "assembly"];
        let sum: f64 = parts.iter().map(|part| timings[part].as_f64().unwrap()).sum();
        assert!((sum - timings["total"].as_f64().unwrap()).abs() < 1e-6, "{timings}");
        let text = session.transcript("srt").await;
        assert!(text.contains("missal") && !text.contains("missile"), "{text}");
    }
    assert!(!server.log().contains("a-secret-key"));
}

#[tokio::test]
async fn an_edit_is_taken_back() {
    let proofreader = Proofreader::start(Manner::Rules).await;
    let server = deployment(proofreader.url()).await;
    let session = processed(&server, json!({"use_llm": true})).await;
    let before = json_of(&session).await;
    let edit =
        edits(&before).iter().find(|edit| edit["before"].as_str().unwrap().contains("concern,")).unwrap();
    let revert = |edit: String| {
        let (client, path) = (session.client.clone(), format!("/jobs/{}/edits/{edit}/revert", session.job));
        async move { client.post(&path, &json!({})).await }
    };
    for _ in 0..2 {
        let reply = revert(edit["id"].to_string()).await;
        assert_eq!(reply.status(), StatusCode::OK);
        let reply: Value = reply.json().await.unwrap();
        assert_eq!((&reply["edit"], &reply["reverted"]), (&edit["id"], &json!([edit["id"]])));
    }
    let after = json_of(&session).await;
    assert!(text(&after).contains("present concern,") && text(&after).contains("missal type"));
    let reverted: Vec<&Value> = edits(&after).iter().filter(|edit| edit["reverted"] == true).collect();
    assert_eq!(reverted.len(), 1);
    assert_eq!(reverted[0]["id"], edit["id"]);
    for format in ["txt", "srt", "vtt"] {
        let text = session.transcript(format).await;
        assert!(text.contains("concern,") && !text.contains("concerned,"), "{format}: {text}");
    }
    let record = session.client.get_ok(&format!("/api/transcripts/{}", session.job)).await;
    assert_eq!((&record["text"], &record["raw_text"]), (&after["text"], &after["raw_text"]));
    // All of them: what was heard is there again.
    for edit in edits(&before) {
        assert_eq!(revert(edit["id"].to_string()).await.status(), StatusCode::OK);
    }
    let all = json_of(&session).await;
    assert_eq!(all["text"], all["raw_text"]);
    for wrong in ["100000", "x", "-1"] {
        let reply = revert(wrong.to_owned()).await;
        assert_eq!(reply.status(), StatusCode::NOT_FOUND, "{wrong}");
        let problem: Value = reply.json().await.unwrap();
        assert_eq!(problem["code"], "edit_not_found");
    }
}

/// Whatever the service does or does not do, the job completes with what was heard.
#[tokio::test]
async fn a_service_that_fails_or_obeys_the_speech_changes_nothing() {
    let proofreader = Proofreader::start(Manner::Broken).await;
    let server = deployment(proofreader.url()).await;
    let minute = recordings::converted(&["-t", "60", "-ar", "48000", "-c:a", "pcm_s16le"], "wav");
    let run = async |options: Value| {
        let session = Client::new(&server.url()).open("minute.wav", minute.clone(), 2, options).await;
        session.upload_all().await;
        assert_eq!(session.ended().await.data["status"], "completed");
        json_of(&session).await
    };
    let plain = run(json!({})).await;
    proofreader.set_manner(Manner::Obedient);
    for mode in ["per_chunk", "post_process"] {
        let transcript = run(json!({"use_llm": true, "llm_mode": mode})).await;
        assert_eq!((text(&transcript), transcript["raw_text"].as_str()), (text(&plain), Some(text(&plain))));
        assert!(edits(&transcript).is_empty());
        assert!(
            transcript["correction"]["refused_segments"].as_u64().unwrap() > 0,
            "{}",
            transcript["correction"]
        );
    }
    // From here on it is away; those who have asked in vain leave it alone for a while.
    proofreader.set_manner(Manner::Broken);
    for mode in ["post_process", "per_chunk"] {
        let transcript = run(json!({"use_llm": true, "llm_mode": mode})).await;
        assert_eq!((text(&transcript), transcript["raw_text"].as_str()), (text(&plain), Some(text(&plain))));
        let correction = &transcript["correction"];
        assert_eq!(correction["unanswered_segments"], transcript["segments"].as_array().unwrap().len());
        assert!(correction["usage"]["failed_calls"].as_u64().unwrap() > 0, "{correction}");
    }
}

/// `kill -9` of everything while the language model has the text.
#[tokio::test]
async fn a_death_in_the_middle_has_it_asked_again() {
    let proofreader = Proofreader::start(Manner::Slow(Duration::from_secs(60))).await;
    let mut server = deployment(proofreader.url()).await;
    let minute = recordings::converted(&["-t", "60", "-ar", "48000", "-c:a", "pcm_s16le"], "wav");
    let session = Client::new(&server.url()).open("minute.wav", minute, 2, json!({"use_llm": true})).await;
    session.upload_all().await;
    while proofreader.asked() == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let asked = proofreader.asked();
    server.kill();
    proofreader.set_manner(Manner::Rules);
    server.resume().await;
    assert_eq!(session.ended().await.data["status"], "completed");
    let transcript = json_of(&session).await;
    assert!(text(&transcript).contains("present concerned,"), "{transcript}");
    assert!(proofreader.asked() > asked);
}

#[tokio::test]
async fn a_server_without_a_language_model_says_so() {
    let server = Deployment::start(&[]).await;
    let body = json!({"filename": "a.wav", "total_size": 6_000_000, "use_llm": true});
    let reply = Client::new(&server.url()).post("/chunked-upload-stream", &body).await;
    assert_eq!(reply.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let problem: Value = reply.json().await.unwrap();
    assert_eq!((&problem["code"], &problem["field"]), (&json!("llm_not_configured"), &json!("use_llm")));
}
