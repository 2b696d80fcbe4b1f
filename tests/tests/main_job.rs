//! The main job, end to end: a real recording through upload, queue, workers and coordinator to text.
#![allow(clippy::unwrap_used)]

use scriptorium_tests::{Client, Deployment, recordings};
use serde_json::{Value, json};

/// The transcript with 16 kHz WAV of the sample in chunks of a size, by a number of workers.
async fn transcript(chunk_size_mb: u64, workers: &str, backwards: bool, part_seconds: &str) -> String {
    let settings = [("SCRIPTORIUM_WORKERS", workers), ("SCRIPTORIUM_PART_SECONDS", part_seconds)];
    let server = Deployment::start(&settings).await;
    let bytes = recordings::converted(&["-c:a", "pcm_s16le"], "wav");
    let session = Client::new(&server.url()).open("sample.wav", bytes, chunk_size_mb, json!({})).await;
    let mut order: Vec<u32> = (0..session.chunks()).collect();
    if backwards {
        order.reverse();
    }
    for chunk in order {
        session.upload(chunk).await;
    }
    assert_eq!(session.ended().await.data["status"], "completed");
    let transcript = session.transcript("json").await;
    let parsed: Value = serde_json::from_str(&transcript).unwrap();
    assert_eq!(session.status().await["coverage"], parsed["coverage"]);
    transcript
}

#[tokio::test]
async fn text_is_right_and_the_same_whatever_the_chunks_the_workers_and_the_order() {
    let reference = transcript(1, "1", false, "300").await;
    let parsed: Value = serde_json::from_str(&reference).unwrap();
    let errors = recordings::word_error_rate(&recordings::sample_text(), parsed["text"].as_str().unwrap());
    assert!(errors < 0.12, "word error rate {errors}");
    let coverage = parsed["coverage"].as_object().unwrap();
    let seconds: f64 = coverage.values().map(|seconds| seconds.as_f64().unwrap()).sum();
    assert!((seconds - parsed["duration"].as_f64().unwrap()).abs() < 1e-6, "{coverage:?}");
    assert!(coverage["transcribed"].as_f64().unwrap() > 0.8 * seconds, "{coverage:?}");
    // The last two divide their chunks: into parts of one or two passages, and of one.
    for (chunk_size_mb, workers, backwards, part_seconds) in
        [(2, "2", true, "300"), (20, "4", false, "60"), (5, "2", false, "1")]
    {
        let other = transcript(chunk_size_mb, workers, backwards, part_seconds).await;
        assert!(
            other == reference,
            "{chunk_size_mb} MB, {workers} workers and parts of {part_seconds} s gave another transcript"
        );
    }
}

#[tokio::test]
async fn every_format_gives_text_with_times_that_fit() {
    let server = Deployment::start(&[]).await;
    let client = Client::new(&server.url());
    // The beginning of the sample, in so many bits that it is as large as a recording has to be; AAC needs all of it.
    let formats: [(&str, &[&str]); 5] = [
        ("flac", &["-t", "45", "-ar", "96000", "-ac", "2", "-sample_fmt", "s32", "-compression_level", "0"]),
        ("mp3", &["-t", "140", "-b:a", "320k", "-ar", "44100", "-ac", "2"]),
        ("wav", &["-t", "40", "-c:a", "pcm_f32le", "-ar", "48000", "-ac", "2"]),
        ("m4a", &["-c:a", "aac", "-b:a", "320k", "-ar", "48000", "-ac", "2"]),
        ("webm", &["-t", "90", "-c:a", "libopus", "-b:a", "510k", "-vbr", "off", "-ac", "2"]),
    ];
    for (ending, arguments) in formats {
        let bytes = recordings::converted(arguments, ending);
        let session = client.open(&format!("sample.{ending}"), bytes, 1, json!({})).await;
        session.upload_all().await;
        assert_eq!(session.ended().await.data["status"], "completed", "{ending} {arguments:?}");
        let transcript: Value = serde_json::from_str(&session.transcript("json").await).unwrap();
        let text = transcript["text"].as_str().unwrap();
        let (errors, words) = recordings::word_error_rate_of_beginning(&recordings::sample_text(), text);
        assert!(words > transcript["duration"].as_f64().unwrap() as usize, "{ending}: {words} words");
        assert!(errors < 0.13, "{ending} {arguments:?}: word error rate {errors}");
        let (duration, segments) =
            (transcript["duration"].as_f64().unwrap(), transcript["segments"].as_array().unwrap());
        assert!(segments.iter().all(|segment| {
            let (start, end) = (segment["start"].as_f64().unwrap(), segment["end"].as_f64().unwrap());
            0.0 <= start && start <= end && end <= duration
        }));
        assert!(segments.is_sorted_by_key(|segment| (segment["start"].as_f64().unwrap() * 1e3) as u64));
    }
}

#[tokio::test]
async fn text_comes_while_the_upload_is_still_running() {
    let server = Deployment::start(&[]).await;
    let bytes = recordings::converted(&["-t", "125", "-c:a", "pcm_s16le"], "wav");
    let session = Client::new(&server.url()).open("sample.wav", bytes, 1, json!({})).await;
    let last = session.chunks() - 1;
    for chunk in 0..last {
        session.upload(chunk).await;
    }
    // The last chunk is held back: text must come all the same.
    let partial = |frame: &scriptorium_tests::Frame| {
        frame.data["partial_transcript"].as_str().is_some_and(|text| text.split(' ').count() > 20)
    };
    let frames = session.client.frames(&session.job, None, partial).await.unwrap();
    let kinds: Vec<&str> = frames.iter().map(|frame| frame.kind()).collect();
    assert_eq!(kinds[0], "initialized");
    assert!(kinds.contains(&"media_info") && kinds.contains(&"chunk_complete"), "{kinds:?}");
    let text = frames.last().unwrap().data["partial_transcript"].as_str().unwrap().to_owned();
    let status = session.status().await;
    assert_eq!(status["status"], "uploading", "{status}");

    session.upload(last).await;
    let end = session.ended().await;
    let whole = end.data["final_transcript"].as_str().unwrap();
    assert!(whole.starts_with(&text), "the partial text is the beginning of the whole one");
}

#[tokio::test]
async fn silence_and_noise_give_no_text() {
    let server = Deployment::start(&[]).await;
    let client = Client::new(&server.url());
    for (name, source) in [
        ("silence", "anullsrc=r=16000:cl=mono,atrim=duration=180"),
        ("noise", "anoisesrc=r=16000:c=pink:a=0.05:seed=7:d=180"),
    ] {
        let bytes = recordings::generated(source);
        let session = client.open(&format!("{name}.wav"), bytes, 1, json!({})).await;
        session.upload_all().await;
        let end = session.ended().await;
        assert_eq!(end.data["status"], "completed", "{name}");
        assert_eq!(end.data["final_transcript"], "", "{name}");
        let transcript: Value = serde_json::from_str(&session.transcript("json").await).unwrap();
        assert_eq!(transcript["duration"], 180.0, "{name}");
        assert_eq!(transcript["language"], "auto", "{name}");
    }
}
