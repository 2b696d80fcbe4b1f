//! SubRip: numbered cues, times with a comma.

use super::{Shape, cues, stamp};
use scriptorium_contracts::transcript::Transcript;
use std::fmt::Write;

/// `shape`: how long cues may be; without it they are as the segments are.
pub fn srt(transcript: &Transcript, shape: Option<&Shape>) -> String {
    let mut out = String::new();
    for (number, cue) in cues(transcript, shape).iter().enumerate() {
        let (start, end) = (stamp(cue.start, ','), stamp(cue.end, ','));
        // `-->` inside a text would look like a time line to some players.
        let text = cue.text.replace("-->", "→");
        let _ = write!(out, "{}\n{start} --> {end}\n{text}\n\n", number + 1);
    }
    out
}
