//! SubRip: numbered cues, times with a comma.

use super::{cues, stamp};
use scriptorium_contracts::transcript::Transcript;
use std::fmt::Write;

pub fn srt(transcript: &Transcript) -> String {
    let mut out = String::new();
    for (number, cue) in cues(transcript).iter().enumerate() {
        let (start, end) = (stamp(cue.start, ','), stamp(cue.end, ','));
        // `-->` inside a text would look like a time line to some players.
        let text = cue.text.replace("-->", "→");
        let _ = write!(out, "{}\n{start} --> {end}\n{text}\n\n", number + 1);
    }
    out
}
