//! A transcript in the forms of OpenAI's API. Pure.

use super::request::{Asked, ResponseFormat};
use crate::render;
use flate2::{Compression, write::ZlibEncoder};
use schemars::JsonSchema;
use scriptorium_contracts::language;
use scriptorium_contracts::transcript::{Gap, Segment, TimedWord, Transcript};
use serde::Serialize;
use std::io::Write;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OpenAiTranscription")]
pub struct Plain<'a> {
    text: &'a str,
    usage: Usage,
}

/// As whisper-1 counts: seconds of audio, rounded up.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OpenAiUsage")]
pub struct Usage {
    r#type: &'static str,
    seconds: u64,
}

impl Usage {
    pub fn of(seconds: f64) -> Self {
        // `as` saturates, and NaN becomes 0.
        Self { r#type: "duration", seconds: seconds.ceil() as u64 }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OpenAiVerboseTranscription")]
pub struct Verbose<'a> {
    task: &'static str,
    language: &'a str,
    /// Seconds.
    duration: f64,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Vec<VerboseSegment<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<VerboseWord<'a>>>,
    /// Not of OpenAI's API: stretches without text because something failed there.
    #[serde(skip_serializing_if = "<[Gap]>::is_empty")]
    gaps: &'a [Gap],
    usage: Usage,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OpenAiSegment")]
struct VerboseSegment<'a> {
    id: u32,
    /// Where the segment begins, in Whisper's frames of 10 ms.
    seek: u64,
    start: f64,
    end: f64,
    text: &'a str,
    /// The numbers of the tokens are not kept, so there are none.
    tokens: [u32; 0],
    /// Nothing is drawn by lot here, in whatever way a segment was decoded.
    temperature: f32,
    avg_logprob: f32,
    /// Of the segment's own text.
    compression_ratio: f64,
    no_speech_prob: f32,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OpenAiWord")]
struct VerboseWord<'a> {
    word: &'a str,
    start: f64,
    end: f64,
}

pub const fn content_type(format: ResponseFormat) -> &'static str {
    match format {
        ResponseFormat::Json | ResponseFormat::VerboseJson => "application/json",
        ResponseFormat::Text => render::Format::Txt.content_type(),
        ResponseFormat::Srt => render::Format::Srt.content_type(),
        ResponseFormat::Vtt => render::Format::Vtt.content_type(),
    }
}

/// The answer's body.
pub fn body(transcript: &Transcript, asked: Asked) -> Result<Vec<u8>, serde_json::Error> {
    let usage = Usage::of(transcript.duration);
    match asked.format {
        ResponseFormat::Json => serde_json::to_vec(&Plain { text: &transcript.text, usage }),
        ResponseFormat::Text => Ok(render::text(transcript).into_bytes()),
        ResponseFormat::Srt => Ok(render::srt(transcript, None).into_bytes()),
        ResponseFormat::Vtt => Ok(render::vtt(transcript, None).into_bytes()),
        ResponseFormat::VerboseJson => serde_json::to_vec(&Verbose {
            task: "transcribe",
            language: language::name(&transcript.language),
            duration: transcript.duration,
            text: &transcript.text,
            segments: asked.segments.then(|| transcript.segments.iter().map(segment).collect()),
            words: asked
                .words
                .then(|| transcript.segments.iter().flat_map(|segment| &segment.words).map(word).collect()),
            gaps: &transcript.gaps,
            usage,
        }),
    }
}

fn segment(segment: &Segment) -> VerboseSegment<'_> {
    VerboseSegment {
        id: segment.id,
        seek: (segment.start * 100.0).round() as u64,
        start: segment.start,
        end: segment.end,
        text: &segment.text,
        tokens: [],
        temperature: 0.0,
        avg_logprob: segment.avg_logprob,
        compression_ratio: compression_ratio(&segment.text),
        no_speech_prob: segment.no_speech_prob,
    }
}

/// There without the space before it.
fn word(word: &TimedWord) -> VerboseWord<'_> {
    VerboseWord { word: word.word.trim(), start: word.start, end: word.end }
}

/// As Whisper defines it: bytes of the text over bytes of the text in zlib's compression.
fn compression_ratio(text: &str) -> f64 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing to memory has no way to fail.
    let compressed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).unwrap_or_default();
    text.len() as f64 / compressed.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn transcript() -> Transcript {
        serde_json::from_value(json!({
            "version": 1, "text": "Hello there.", "language": "en", "duration": 12.2, "engine": "whisper", "model": "tiny",
            "media": {"container": "wav", "codec": "pcm_s16le", "sample_rate": 16_000, "channels": 1,
                      "bitrate": null, "duration_seconds": null},
            "segments": [{"id": 0, "start": 1.25, "end": 2.5, "text": " Hello there.", "avg_logprob": -0.25,
                          "no_speech_prob": 0.5, "words": [
                {"word": " Hello", "start": 1.25, "end": 1.75, "probability": 0.5},
                {"word": " there.", "start": 1.75, "end": 2.5, "probability": 0.5}]}],
            "gaps": [],
        }))
        .unwrap()
    }

    fn made(format: ResponseFormat, words: bool, segments: bool) -> String {
        let asked = Asked { format, words, segments, stream: false };
        String::from_utf8(body(&transcript(), asked).unwrap()).unwrap()
    }

    fn parsed(format: ResponseFormat, words: bool, segments: bool) -> Value {
        serde_json::from_str(&made(format, words, segments)).unwrap()
    }

    #[test]
    fn all_forms() {
        let usage = json!({"type": "duration", "seconds": 13});
        assert_eq!(
            parsed(ResponseFormat::Json, false, true),
            json!({"text": "Hello there.", "usage": usage})
        );
        assert_eq!(made(ResponseFormat::Text, false, true), "Hello there.\n");
        assert_eq!(
            made(ResponseFormat::Srt, false, true),
            "1\n00:00:01,250 --> 00:00:02,500\nHello there.\n\n"
        );
        assert!(made(ResponseFormat::Vtt, false, true).starts_with("WEBVTT\n\n00:00:01.250 --> "));
        let verbose = parsed(ResponseFormat::VerboseJson, true, true);
        assert_eq!((&verbose["language"], &verbose["duration"]), (&json!("english"), &json!(12.2)));
        assert_eq!((&verbose["task"], &verbose["usage"]), (&json!("transcribe"), &usage));
        assert_eq!(verbose["words"][1], json!({"word": "there.", "start": 1.75, "end": 2.5}));
        let segment = &verbose["segments"][0];
        assert_eq!(
            (&segment["seek"], &segment["tokens"], &segment["avg_logprob"]),
            (&json!(125), &json!([]), &json!(-0.25))
        );
        assert_eq!(verbose.get("gaps"), None);
        assert_eq!(parsed(ResponseFormat::VerboseJson, true, false).get("segments"), None);
        assert_eq!(parsed(ResponseFormat::VerboseJson, false, true).get("words"), None);
    }

    #[test]
    fn repetition_compresses_well() {
        // By Python's zlib 12.5 and 1.0; others write some bytes more or less.
        assert_eq!(compression_ratio(""), 0.0);
        assert!(compression_ratio(&"word ".repeat(40)) > 6.0);
        let sentence =
            compression_ratio("Printing, in the only sense with which we are at present concerned");
        assert!((0.9..1.2).contains(&sentence), "{sentence}");
    }
}
