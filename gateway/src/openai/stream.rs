//! A live stream in the events of OpenAI's API: our own frames, translated. Pure.

use super::error;
use super::reply::Usage;
use crate::problem::{Code, Problem};
use scriptorium_contracts::failure::Failure;
use serde::Deserialize;
use serde_json::{Value, json};

/// What matters of a frame's data.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Frame {
    PartialTranscript {
        delta: String,
    },
    FinalResult {
        final_transcript: String,
    },
    JobFailed {
        error: Failure,
    },
    MediaInfo {
        media: Media,
    },
    Cancelled {
        reason: String,
    },
    Expired {},
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Media {
    duration_seconds: Option<f64>,
}

/// Translates the frames of one stream.
#[derive(Default)]
pub struct Translator {
    /// Seconds of the recording, as far as its head tells.
    duration: Option<f64>,
}

impl Translator {
    /// Whole frames in, whole frames out; signs of life stay.
    pub fn translate(&mut self, frames: &str) -> String {
        let mut out = String::new();
        for frame in frames.split_terminator("\n\n") {
            let data = frame.lines().find_map(|line| line.strip_prefix("data: "));
            match data.map(serde_json::from_str::<Frame>) {
                None if frame.starts_with(':') => out.push_str(": \n\n"),
                Some(Ok(frame)) => {
                    if let Some(event) = self.event(frame) {
                        out.push_str(&format!("data: {event}\n\n"));
                    }
                }
                None | Some(Err(_)) => {}
            }
        }
        out
    }

    fn event(&mut self, frame: Frame) -> Option<Value> {
        match frame {
            Frame::PartialTranscript { delta } if delta.is_empty() => None,
            Frame::PartialTranscript { delta } => {
                Some(json!({"type": "transcript.text.delta", "delta": delta}))
            }
            Frame::FinalResult { final_transcript } => {
                let mut event = json!({"type": "transcript.text.done", "text": final_transcript});
                if let (Some(event), Some(duration)) = (event.as_object_mut(), self.duration) {
                    let usage = serde_json::to_value(Usage::of(duration)).unwrap_or_default();
                    event.insert("usage".to_owned(), usage);
                }
                Some(event)
            }
            Frame::MediaInfo { media } => {
                self.duration = media.duration_seconds;
                None
            }
            Frame::JobFailed { error } => Some(error::of_failure(&error).1),
            Frame::Cancelled { reason } => Some(ended(format!("The job was cancelled: {reason}"))),
            Frame::Expired {} => Some(ended("The job has expired.".to_owned())),
            Frame::Other => None,
        }
    }
}

/// The code is the one that a client gets who waits for the whole text.
fn ended(detail: String) -> Value {
    error::of_problem(&Problem::new(Code::JobOver, detail)).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_become_events() {
        let mut translator = Translator::default();
        let frames = [
            ": scriptorium\nretry: 2000",
            "id: 1\ndata: {\"type\":\"initialized\",\"parent_job_id\":\"x\",\"total_chunks\":1}",
            "id: 2\ndata: {\"type\":\"media_info\",\"media\":{\"duration_seconds\":9.5}}",
            "id: 3\ndata: {\"type\":\"partial_transcript\",\"offset\":0,\"delta\":\"\",\"chunks\":1}",
            "id: 4\ndata: {\"type\":\"partial_transcript\",\"offset\":0,\"delta\":\"Hello.\\n\",\"chunks\":2}",
            "id: 5\ndata: {\"type\":\"final_result\",\"final_transcript\":\"Hello.\",\"status\":\"completed\"}",
        ];
        let out = translator.translate(&frames.map(|frame| format!("{frame}\n\n")).concat());
        let events: Vec<Value> = out
            .split_terminator("\n\n")
            .filter_map(|frame| frame.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).unwrap())
            .collect();
        let usage = json!({"type": "duration", "seconds": 10});
        assert_eq!(
            events,
            [
                json!({"type": "transcript.text.delta", "delta": "Hello.\n"}),
                json!({"type": "transcript.text.done", "text": "Hello.", "usage": usage}),
            ]
        );
        assert!(out.starts_with(": \n\n"));
    }

    #[test]
    fn ends_without_a_text_are_errors() {
        for (frame, code) in [
            (
                json!({"type": "job_failed", "error": {"code": "not_audio", "detail": "A picture."}}),
                "not_audio",
            ),
            (json!({"type": "cancelled", "reason": "No more."}), "job_over"),
            (json!({"type": "expired"}), "job_over"),
        ] {
            let out = Translator::default().translate(&format!("id: 1\ndata: {frame}\n\n"));
            let event: Value = serde_json::from_str(out.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(event["error"]["code"], code);
        }
        assert_eq!(Translator::default().translate("id: 1\ndata: {\n\n"), "");
    }
}
