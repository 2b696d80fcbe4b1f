//! A transcript as text or subtitles. Pure.

mod shape;
mod srt;
mod text;
mod vtt;

use scriptorium_contracts::transcript::{Gap, Transcript};

/// Forms in which a transcript can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Json,
    Txt,
    Srt,
    Vtt,
}

impl Format {
    /// In the order in which they are preferred.
    pub const ALL: [Self; 4] = [Self::Json, Self::Txt, Self::Srt, Self::Vtt];

    /// As in the header `Accept`.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Txt => "text/plain",
            Self::Srt => "application/x-subrip",
            Self::Vtt => "text/vtt",
        }
    }

    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Txt => "text/plain; charset=utf-8",
            Self::Srt => "application/x-subrip; charset=utf-8",
            Self::Vtt => "text/vtt; charset=utf-8",
        }
    }
}

pub use shape::Shape;
pub use srt::srt;
pub use text::text;
pub use vtt::vtt;

/// A piece of the transcript with its times, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cue {
    start: u64,
    end: u64,
    text: String,
}

/// Segments and marked gaps in the order of their times. Empty segments are left out.
fn cues(transcript: &Transcript, shape: Option<&Shape>) -> Vec<Cue> {
    match shape {
        Some(shape) => shape::cues(transcript, shape),
        None => plain_cues(transcript),
    }
}

fn plain_cues(transcript: &Transcript) -> Vec<Cue> {
    let spoken = transcript.segments.iter().map(|segment| {
        let (start, end) = (milliseconds(segment.start), milliseconds(segment.end));
        // On one line: a blank line would end the cue.
        let text = segment.text.split_whitespace().collect::<Vec<_>>().join(" ");
        Cue { start, end: end.max(start), text }
    });
    let missing = transcript.gaps.iter().map(|gap| {
        let (start, end) = (milliseconds(gap.start), milliseconds(gap.end));
        Cue { start, end: end.max(start), text: gap_mark(gap) }
    });
    let mut cues: Vec<Cue> = spoken.chain(missing).filter(|cue| !cue.text.is_empty()).collect();
    cues.sort_by_key(|cue| (cue.start, cue.end));
    cues
}

/// R21: `[no transcript: 00:01:02–00:01:32]`, whole seconds that enclose the gap.
fn gap_mark(gap: &Gap) -> String {
    let (start, end) = (milliseconds(gap.start) / 1_000, milliseconds(gap.end).div_ceil(1_000));
    let clock = |seconds: u64| format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("[no transcript: {}–{}]", clock(start), clock(end.max(start)))
}

/// Seconds to milliseconds; 0 for what is no time.
fn milliseconds(seconds: f64) -> u64 {
    // `as` saturates, and NaN becomes 0.
    (seconds * 1_000.0).round() as u64
}

/// `00:01:02,345`; hours grow as they must.
fn stamp(milliseconds: u64, decimal: char) -> String {
    let (seconds, rest) = (milliseconds / 1_000, milliseconds % 1_000);
    format!("{:02}:{:02}:{:02}{decimal}{rest:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests;
