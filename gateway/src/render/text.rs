//! Plain text: what was said, gaps marked on lines of their own.

use super::{gap_mark, milliseconds};
use scriptorium_contracts::transcript::{Joined, Transcript};

pub fn text(transcript: &Transcript) -> String {
    if transcript.gaps.is_empty() {
        return end_with_line(transcript.text.trim().to_owned());
    }
    let mut gaps = transcript.gaps.iter().peekable();
    let mut paragraphs = Vec::new();
    let mut paragraph = Joined::default();
    for segment in &transcript.segments {
        while let Some(gap) = gaps.next_if(|gap| milliseconds(gap.start) <= milliseconds(segment.start)) {
            paragraphs.push(std::mem::take(&mut paragraph.0));
            paragraphs.push(gap_mark(gap));
        }
        paragraph.push(&segment.text, segment.language.as_deref().or(Some(&transcript.language)));
    }
    paragraphs.push(paragraph.0);
    paragraphs.extend(gaps.map(gap_mark));
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    end_with_line(paragraphs.join("\n\n"))
}

fn end_with_line(mut text: String) -> String {
    if !text.is_empty() {
        text.push('\n');
    }
    text
}
