//! Times of single words through the whole chain: upload, queue, workers, coordinator, transcript.
#![allow(clippy::unwrap_used)]

use scriptorium_tests::server::{binary, models_dir};
use scriptorium_tests::{Client, Deployment, recordings};
use serde_json::{Value, json};

/// Words of the sample with their times in seconds, as faster-whisper 1.2.1 gives them (tiny.en, int8, beam 5). From the
/// beginning, the middle and the end: an error that grows with time shows.
const JUDGED: [(&str, f64, f64); 8] = [
    ("sense", 1.64, 2.0),
    ("Chinese", 13.1, 13.54),
    ("predecessors", 25.22, 25.78),
    ("century", 31.38, 31.8),
    ("closely.", 118.58, 118.98),
    ("satisfactorily", 129.52, 130.32),
    ("monastery", 222.64, 222.9),
    ("exceedingly", 226.36, 226.84),
];
/// Seconds. Whisper sees other stretches at once here than there, and processors without AVX-512 have other 8-bit products.
const TOLERANCE: f64 = 0.5;

const ALL: [&str; 2] = ["-c:a", "pcm_s16le"];
const A_MINUTE: [&str; 6] = ["-t", "60", "-ar", "48000", "-c:a", "pcm_s16le"];

async fn transcript(server: &Deployment, recording: &[&str], chunk_size_mb: u64, options: Value) -> String {
    let bytes = recordings::converted(recording, "wav");
    let session = Client::new(&server.url()).open("sample.wav", bytes, chunk_size_mb, options).await;
    session.upload_all().await;
    assert_eq!(session.ended().await.data["status"], "completed");
    session.transcript("json").await
}

#[tokio::test]
async fn every_word_has_its_time_whatever_the_chunks_and_the_workers() {
    let asked = json!({ "word_timestamps": true });
    let server = Deployment::start(&[("SCRIPTORIUM_WORKERS", "2")]).await;
    let text = transcript(&server, &ALL, 1, asked.clone()).await;
    let plain: Value = serde_json::from_str(&transcript(&server, &ALL, 2, json!({})).await).unwrap();
    drop(server);
    let other = Deployment::start(&[("SCRIPTORIUM_WORKERS", "1")]).await;
    assert!(
        transcript(&other, &ALL, 5, asked).await == text,
        "other chunks and workers gave another transcript"
    );

    let transcript: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(transcript["word_timestamps"], true);
    assert_eq!(transcript["text"], plain["text"], "words make no difference to the text");
    assert_eq!((&plain["word_timestamps"], &plain["segments"][0]["words"]), (&Value::Null, &Value::Null));

    let seconds = |value: &Value| value.as_f64().unwrap();
    let mut all: Vec<(String, f64, f64)> = Vec::new();
    for segment in transcript["segments"].as_array().unwrap() {
        let words = segment["words"].as_array().unwrap();
        let spoken: String = words.iter().map(|word| word["word"].as_str().unwrap()).collect();
        assert_eq!(spoken, segment["text"].as_str().unwrap());
        let mut before = seconds(&segment["start"]);
        for word in words {
            let (start, end) = (seconds(&word["start"]), seconds(&word["end"]));
            assert!(before <= start && start <= end && end <= seconds(&segment["end"]), "{segment}");
            assert!((0.0..=1.0).contains(&seconds(&word["probability"])), "{segment}");
            before = end;
            all.push((word["word"].as_str().unwrap().trim().to_owned(), start, end));
        }
    }
    for (expected, from, to) in JUDGED {
        let off = |(_, start, end): &(String, f64, f64)| (start - from).abs().max((end - to).abs());
        let nearest = all.iter().filter(|(word, ..)| word == expected).map(off).fold(f64::INFINITY, f64::min);
        assert!(nearest <= TOLERANCE, "{expected:?} at {from} to {to} s is {nearest} s off");
    }
}

#[tokio::test]
async fn a_model_without_times_of_words_is_told_of() {
    let model = tempfile::tempdir().unwrap();
    for name in ["model.bin", "tokenizer.json", "vocabulary.txt"] {
        let from = models_dir().join("tiny.en").join(name).canonicalize().unwrap();
        std::os::unix::fs::symlink(from, model.path().join(name)).unwrap();
    }
    let config = std::fs::read_to_string(models_dir().join("tiny.en/config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config.as_object_mut().unwrap().remove("alignment_heads");
    std::fs::write(model.path().join("config.json"), config.to_string()).unwrap();
    let server = Deployment::start(&[("SCRIPTORIUM_MODEL", model.path().to_str().unwrap())]).await;
    let transcript = transcript(&server, &A_MINUTE, 5, json!({ "word_timestamps": true })).await;
    let transcript: Value = serde_json::from_str(&transcript).unwrap();
    assert_eq!(transcript["word_timestamps"], false);
    let segments = transcript["segments"].as_array().unwrap();
    assert!(segments.len() > 5 && segments.iter().all(|segment| segment.get("words").is_none()));
}

#[test]
fn the_command_writes_words_too() {
    let clip = recordings::sample().with_file_name("LJ001-0001.wav");
    let transcribe = |options: &[&str]| {
        let mut command = std::process::Command::new(binary());
        command.args(["transcribe", "--quiet", "--format", "json"]).arg(&clip).args(options);
        let output = command.env("SCRIPTORIUM_MODELS_DIR", models_dir()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let transcript = transcribe(&["--word-timestamps"]);
    let words = transcript["segments"][0]["words"].as_array().unwrap();
    assert_eq!((&words[0]["word"], words.len() > 10), (&json!("Printing,"), true), "{transcript}");
    assert_eq!(transcribe(&[])["segments"][0].get("words"), None);
}
