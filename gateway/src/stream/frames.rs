//! Events to frames: a state machine without any input or output.
//!
//! Frames keep the order of the log, each carries the id of its own event, and ids only grow: so a client that comes
//! back with the last id it saw gets exactly what it missed. To limit how often the growing text is sent, a
//! `text_grew` event is left out when a later one is known, and otherwise held back together with everything behind it
//! until its time has come (at most one interval). Deltas are never left out: each is a pure function of the log.

use super::text::{GrowingText, Keep};
use schemars::JsonSchema;
use scriptorium_contracts::event::{Event, EventRecord};
use serde::Serialize;
use std::fmt::Write;

/// The longest text in one `partial_transcript` frame, in bytes; of a longer one the last part is sent.
pub const MAX_PARTIAL: usize = 256 << 10;

/// What `partial_transcript` frames hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Partial {
    /// All of the text without a gap (or its last part).
    #[default]
    Full,
    /// What was added, with its offset.
    Delta,
}

/// How far the job is, as its header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Newest {
    /// Id of the last event.
    pub event: u64,
    /// Chunks of the last `text_grew` event.
    pub text_chunks: u32,
    /// The job is over: no event follows, unless it reopens.
    pub over: bool,
}

/// What is to be done with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send a frame with this data; the event is done with.
    Send(String),
    /// The event is done with.
    Skip,
    /// Ask again in so many milliseconds, or when the job has gone on.
    Hold(u64),
    /// Read the event with this id, supply it, ask again.
    Fetch(u64),
}

/// The state of one stream.
pub struct Frames {
    partial: Partial,
    interval: u64,
    text: GrowingText,
    /// When the last `partial_transcript` was sent.
    last_partial: Option<u64>,
}

/// The `data:` of a frame with the text as far as it has no gap. `partial` of the request says which.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type")]
pub enum PartialTranscript<'a> {
    /// All of it, or its last part.
    #[serde(rename = "partial_transcript")]
    Full {
        partial_transcript: &'a str,
        /// Chunks that the text reaches over.
        chunks: u32,
        /// The beginning is left out.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        truncated: bool,
        /// Characters (Unicode code points) before the text, if it is truncated.
        #[serde(skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
    },
    /// What was added.
    #[serde(rename = "partial_transcript")]
    Added {
        /// Characters (Unicode code points) before `delta`.
        offset: u64,
        delta: &'a str,
        /// Chunks that the text reaches over.
        chunks: u32,
    },
}

impl Frames {
    /// `interval`: least milliseconds between two frames with the whole text.
    pub fn new(partial: Partial, interval: u64) -> Self {
        let keep = match partial {
            Partial::Full => Keep::Tail(MAX_PARTIAL),
            Partial::Delta => Keep::Added,
        };
        Self { partial, interval, text: GrowingText::new(keep), last_partial: None }
    }

    /// Takes in an event that the client has seen already. `Err`: fetch this event, supply it, call again.
    pub fn seen(&mut self, record: &EventRecord) -> Result<(), u64> {
        self.note(record);
        if let Event::TextGrew { chunks } = &record.event {
            self.text.grow(*chunks)?;
            if self.partial == Partial::Delta {
                self.text.take_added();
            }
        }
        Ok(())
    }

    /// The event that [`Verdict::Fetch`] asked for.
    pub fn supply(&mut self, record: &EventRecord) {
        if let Event::ChunkComplete { chunk_index, text, language, .. } = &record.event {
            self.text.supply(*chunk_index, text, language.as_deref());
        }
    }

    /// What to do with the next event of the log. `now` in milliseconds, from any start.
    pub fn next(&mut self, record: &EventRecord, newest: Newest, now: u64) -> Verdict {
        self.note(record);
        let Event::TextGrew { chunks } = &record.event else {
            return if record.event == (Event::Lost {}) { Verdict::Skip } else { send(&record.event) };
        };
        let superseded = *chunks < newest.text_chunks;
        if self.partial == Partial::Full && !superseded && !newest.over {
            let due = self.last_partial.map_or(now, |last| last.saturating_add(self.interval));
            if now < due {
                return Verdict::Hold(due - now);
            }
        }
        if let Err(event) = self.text.grow(*chunks) {
            return Verdict::Fetch(event);
        }
        match self.partial {
            Partial::Delta => {
                let (offset, delta) = self.text.take_added();
                send(&PartialTranscript::Added { offset, delta: &delta, chunks: *chunks })
            }
            Partial::Full if superseded => Verdict::Skip,
            Partial::Full => {
                self.last_partial = Some(now);
                let (before, text) = self.text.kept();
                let truncated = before > 0;
                let offset = truncated.then_some(before);
                send(&PartialTranscript::Full {
                    partial_transcript: text,
                    chunks: *chunks,
                    truncated,
                    offset,
                })
            }
        }
    }

    fn note(&mut self, record: &EventRecord) {
        if let Event::ChunkComplete { chunk_index, text, language, .. } = &record.event {
            self.text.completed(record.id, *chunk_index, text, language.as_deref());
        }
    }
}

fn send(data: &impl Serialize) -> Verdict {
    // Writing plain data to a string has no way to fail; if it ever did, one frame would be missing, not the stream.
    serde_json::to_string(data).map_or(Verdict::Skip, Verdict::Send)
}

/// Appends an unnamed frame. JSON has no line breaks, so one `data:` line holds it.
pub fn write_frame(out: &mut String, id: u64, data: &str) {
    let _ = write!(out, "id: {id}\ndata: {data}\n\n");
}

#[cfg(test)]
mod tests;
