//! WebVTT (W3C): times with a dot, `&`, `<` and `>` escaped.

use super::{Shape, cues, stamp};
use scriptorium_contracts::transcript::Transcript;
use std::fmt::Write;

/// `shape`: how long cues may be; without it they are as the segments are.
pub fn vtt(transcript: &Transcript, shape: Option<&Shape>) -> String {
    let mut out = String::from("WEBVTT\n\n");
    for cue in cues(transcript, shape) {
        let text = cue.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        // The standard wants an end later than the start.
        let (start, end) = (stamp(cue.start, '.'), stamp(cue.end.max(cue.start + 1), '.'));
        let _ = write!(out, "{start} --> {end}\n{text}\n\n");
    }
    out
}
