//! `multipart/form-data` (RFC 7578), piece by piece. Pure: bytes are pushed in, events are taken out, and every event says
//! where in the body it stands, because a file's size is told by what surrounds it before all of it has come.

// Each with its place, because gateway/fuzz compiles this file, too: it needs the parser and nothing else of the gateway.
#[cfg(any(test, fuzzing))]
#[path = "multipart/check.rs"]
pub mod check;
#[path = "multipart/head.rs"]
mod head;

use bytes::{Bytes, BytesMut};
pub use head::{Head, boundary};
use memchr::memmem;
use thiserror::Error;

/// Bytes before the first part, and behind the last one. No client sends more than a line break.
const MAX_AROUND: usize = 1 << 10;
/// Bytes of a part's head.
const MAX_HEAD: usize = 8 << 10;

/// What comes next in the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A part begins; its first byte has this position in the body.
    Part { head: Head, first: u64 },
    /// Some bytes of the part.
    Data(Bytes),
    /// The part is over.
    PartEnd,
    /// All parts are over. What may follow means nothing.
    End,
}

/// The body is no form.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    #[error("it does not begin with the boundary that the Content-Type names")]
    Start,
    #[error("a boundary is followed by something else than a line break")]
    Boundary,
    #[error("the head of a part has more than {MAX_HEAD} bytes")]
    LongHead,
    #[error("the head of a part cannot be read: {0}")]
    Head(&'static str),
    #[error("something follows the last boundary")]
    Rest,
    #[error("it ends before the last boundary")]
    CutOff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Start,
    /// Right behind a boundary.
    Boundary,
    Head,
    Data,
    /// Behind the last boundary; the number of bytes that have been passed over.
    Over(usize),
}

/// Reads one body.
pub struct Reader {
    /// `\r\n--` and the boundary.
    delimiter: memmem::Finder<'static>,
    state: State,
    buffer: BytesMut,
    /// Position in the body of the buffer's first byte. Two less than that at first: the line break before the first
    /// boundary is ours, so that all boundaries look alike.
    at: i64,
}

impl Reader {
    pub fn new(boundary: &str) -> Self {
        let delimiter = memmem::Finder::new(&format!("\r\n--{boundary}")).into_owned();
        Self { delimiter, state: State::Start, buffer: BytesMut::from(&b"\r\n"[..]), at: -2 }
    }

    /// Further bytes of the body. To be called when [`Self::event`] has nothing more to give.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next event; `None` when more bytes are needed.
    pub fn event(&mut self) -> Result<Option<Event>, Malformed> {
        loop {
            let event = match self.state {
                State::Start => self.start()?,
                State::Boundary => self.boundary()?,
                State::Head => self.head()?,
                State::Data => self.data(),
                State::Over(passed) => return self.over(passed),
            };
            match event {
                Step::Event(event) => return Ok(Some(event)),
                Step::On => {}
                Step::More => return Ok(None),
            }
        }
    }

    /// To be called at the end of the body: whether it was whole.
    pub fn finish(&self) -> Result<(), Malformed> {
        match self.state {
            State::Over(_) => Ok(()),
            State::Start | State::Boundary | State::Head | State::Data => Err(Malformed::CutOff),
        }
    }

    fn take(&mut self, count: usize) -> Bytes {
        let count = count.min(self.buffer.len());
        self.at += count as i64;
        self.buffer.split_to(count).freeze()
    }

    fn start(&mut self) -> Result<Step, Malformed> {
        match self.delimiter.find(&self.buffer) {
            Some(found) if found <= MAX_AROUND => {
                self.take(found + self.delimiter.needle().len());
                self.state = State::Boundary;
                Ok(Step::On)
            }
            Some(_) => Err(Malformed::Start),
            None if self.buffer.len() > MAX_AROUND + self.delimiter.needle().len() => Err(Malformed::Start),
            None => Ok(Step::More),
        }
    }

    fn boundary(&mut self) -> Result<Step, Malformed> {
        if self.buffer.starts_with(b"--") {
            self.take(2);
            self.state = State::Over(0);
            return Ok(Step::Event(Event::End));
        }
        // Blanks may stand between a boundary and its line break (RFC 2046, 5.1.1).
        let blanks = self.buffer.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let rest = self.buffer.get(blanks..).unwrap_or_default();
        if blanks > MAX_AROUND {
            Err(Malformed::Boundary)
        } else if rest.starts_with(b"\r\n") {
            // The line break stays: a part without a head has nothing but a second one.
            self.take(blanks);
            self.state = State::Head;
            Ok(Step::On)
        } else if b"\r\n".starts_with(rest) || (blanks == 0 && rest == b"-") {
            Ok(Step::More)
        } else {
            Err(Malformed::Boundary)
        }
    }

    fn head(&mut self) -> Result<Step, Malformed> {
        let end = memmem::find(&self.buffer, b"\r\n\r\n");
        // The end may have begun with the last bytes that are there.
        if end.unwrap_or(self.buffer.len().saturating_sub(3)) > MAX_HEAD {
            return Err(Malformed::LongHead);
        }
        let Some(end) = end else { return Ok(Step::More) };
        let lines = self.take(end + 4);
        let head = Head::read(lines.get(2..end).unwrap_or_default()).map_err(Malformed::Head)?;
        self.state = State::Data;
        Ok(Step::Event(Event::Part { head, first: u64::try_from(self.at).unwrap_or(0) }))
    }

    fn data(&mut self) -> Step {
        let delimiter = self.delimiter.needle().len();
        match self.delimiter.find(&self.buffer) {
            Some(0) => {
                self.take(delimiter);
                self.state = State::Boundary;
                Step::Event(Event::PartEnd)
            }
            Some(found) => Step::Event(Event::Data(self.take(found))),
            // What may be the beginning of the delimiter stays.
            None if self.buffer.len() >= delimiter => {
                let sure = self.buffer.len() + 1 - delimiter;
                Step::Event(Event::Data(self.take(sure)))
            }
            None => Step::More,
        }
    }

    fn over(&mut self, passed: usize) -> Result<Option<Event>, Malformed> {
        let passed = passed.saturating_add(self.buffer.len());
        self.take(self.buffer.len());
        self.state = State::Over(passed);
        if passed > MAX_AROUND { Err(Malformed::Rest) } else { Ok(None) }
    }
}

enum Step {
    Event(Event),
    /// Go on at once.
    On,
    /// More bytes are needed.
    More,
}

/// Bytes of the part that begins at `first` and is the last one of a body of `body` bytes, if `tail` bytes follow the
/// last boundary; `None` if they do not fit. Nearly all clients end with a line break, so `tail` is 2.
pub fn size_of_last_part(body: u64, first: u64, boundary: &str, tail: u64) -> Option<u64> {
    // "\r\n--" boundary "--"
    let closing = 6 + boundary.len() as u64;
    body.checked_sub(first)?.checked_sub(closing)?.checked_sub(tail)
}

#[cfg(test)]
mod tests;
