//! One server as the engine of another, by OpenAI's API.
#![allow(clippy::unwrap_used)]

use scriptorium_tests::{Client, Deployment, Server, recordings};
use serde_json::{Value, json};

#[tokio::test]
async fn a_server_transcribes_through_another() {
    let service = Server::start(&[]).await;
    let base = format!("{}/v1", service.url());
    let server = Deployment::start(&[
        ("SCRIPTORIUM_ENGINE", "openai"),
        ("SCRIPTORIUM_OPENAI_BASE_URL", base.as_str()),
        ("SCRIPTORIUM_API_RATE_LIMIT_PER_MINUTE", "1000"),
    ])
    .await;
    let minute = recordings::converted(&["-t", "60", "-ar", "48000", "-c:a", "pcm_s16le"], "wav");
    let options = json!({"language": "en", "word_timestamps": true});
    let session = Client::new(&server.url()).open("minute.wav", minute, 1, options).await;
    session.upload_all().await;
    assert_eq!(session.ended().await.data["status"], "completed");
    let transcript: Value = serde_json::from_str(&session.transcript("json").await).unwrap();
    assert_eq!((&transcript["engine"], &transcript["model"]), (&json!("openai"), &json!("whisper-1")));
    let text = transcript["text"].as_str().unwrap();
    for said in ["Printing", "arts and crafts", "of the Netherlands by a similar process"] {
        assert!(text.contains(said), "{said:?} is missing: {text}");
    }
    let segments = transcript["segments"].as_array().unwrap();
    let words = segments.iter().filter_map(|segment| segment["words"].as_array());
    assert!(words.map(Vec::len).sum::<usize>() > 80, "the words' times are missing");
    let ends: Vec<f64> = segments.iter().map(|segment| segment["end"].as_f64().unwrap()).collect();
    assert!(ends.is_sorted() && ends.last().is_some_and(|end| (50.0..=60.5).contains(end)), "{ends:?}");
}
