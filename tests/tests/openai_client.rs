//! OpenAI's own Python package against this service.
#![allow(clippy::unwrap_used)]

use scriptorium_tests::{Client, Deployment, python, recordings};
use serde_json::json;
use std::path::Path;
use std::process::Command;

#[tokio::test]
async fn the_official_client_gets_what_a_chunked_upload_gives() {
    let modules = python::packages("openai");
    let server = Deployment::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    // 30 MB in 20 seconds.
    let wide = ["-t", "20", "-c:a", "pcm_f32le", "-ar", "192000", "-ac", "2"];
    let bytes = recordings::converted(&wide, "wav");
    let recording = folder.path().join("sample.wav");
    std::fs::write(&recording, &bytes).unwrap();
    // Segments with words last from their first word to their last, so the other formats are those of another job.
    for (words, formats) in [(true, &["json"][..]), (false, &["txt", "srt", "vtt"])] {
        let options = json!({ "word_timestamps": words });
        let session = Client::new(&server.url()).open("sample.wav", bytes.clone(), 5, options).await;
        session.upload_all().await;
        assert_eq!(session.ended().await.data["status"], "completed");
        for format in formats {
            let path = folder.path().join(format!("transcript.{format}"));
            std::fs::write(path, session.transcript(format).await).unwrap();
        }
    }
    std::fs::write(folder.path().join("picture.png"), PICTURE).unwrap();
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("openai/check.py");
    let mut command = Command::new("python3");
    command.arg(check).arg(server.url()).arg(&recording).arg(folder.path());
    command.env("PYTHONPATH", modules).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A dot, as PNG.
const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55\
    \0\0\0\nIDAT\x78\x9c\x63\x60\0\0\0\x02\0\x01\x48\xaf\xa4\x71\0\0\0\0IEND\xae\x42\x60\x82";
