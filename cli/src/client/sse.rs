//! Server-sent events, from bytes to events (WHATWG HTML, "9.2.6 Interpreting an event stream").

use thiserror::Error;

/// Most bytes of one event. The largest is the whole transcript of a recording of some days.
const MAX_EVENT: usize = 64 << 20;

/// One event: what stood between two blank lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    pub data: String,
    /// The last `id:` seen up to here, in this event or an earlier one.
    pub id: Option<String>,
}

/// The stream breaks a bound.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("an event of the live stream is larger than {MAX_EVENT} bytes")]
pub struct TooLarge;

/// Takes bytes as they come, cut anywhere, and gives whole events.
#[derive(Debug, Default)]
pub struct SseParser {
    /// The line that has no end yet.
    line: Vec<u8>,
    /// The last byte was CR: an LF right after it belongs to the same end of line.
    after_cr: bool,
    past_first_line: bool,
    data: Vec<u8>,
    has_data: bool,
    id: Option<String>,
    /// Milliseconds to wait before a reconnect, as the server wants it.
    retry: Option<u64>,
}

impl SseParser {
    /// # Errors
    /// [`TooLarge`]; the stream is then of no use.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, TooLarge> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\r' | b'\n' => events.extend(self.end_of_line()),
                _ if self.line.len() + self.data.len() >= MAX_EVENT => return Err(TooLarge),
                _ => self.line.push(byte),
            }
        }
        Ok(events)
    }

    /// Milliseconds to wait before a reconnect, where the server said so.
    pub fn retry(&self) -> Option<u64> {
        self.retry
    }

    fn end_of_line(&mut self) -> Option<SseEvent> {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.past_first_line, true) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if line.is_empty() {
            return self.dispatch();
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = match colon {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (&line[..], &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
                self.has_data = true;
            }
            b"id" if !value.contains(&0) => self.id = Some(String::from_utf8_lossy(value).into_owned()),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                self.retry = String::from_utf8_lossy(value).parse().ok();
            }
            // Comments (an empty name), `event`, and fields of later times.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let mut data = std::mem::take(&mut self.data);
        if !std::mem::take(&mut self.has_data) {
            return None;
        }
        data.pop();
        Some(SseEvent { data: String::from_utf8_lossy(&data).into_owned(), id: self.id.clone() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const STREAM: &str = "\u{feff}retry: 1500\r\n: heartbeat\n\nid: 1\ndata: {\"a\":\"h\u{e9}\u{1f600}\"}\n\ndata:two\rdata: lines\r\r\
                          id\r\nevent: named\r\ndata\r\n\r\nid: 7\n\nfuture: x\ndata:  kept space\n\ndata: never ended\n";

    fn expected() -> Vec<SseEvent> {
        let event = |data: &str, id: &str| SseEvent { data: data.to_owned(), id: Some(id.to_owned()) };
        vec![
            event("{\"a\":\"h\u{e9}\u{1f600}\"}", "1"),
            event("two\nlines", "1"),
            event("", ""),
            event(" kept space", "7"),
        ]
    }

    #[test]
    fn a_stream_may_be_cut_at_any_byte() {
        let bytes = STREAM.as_bytes();
        for cut in 0..=bytes.len() {
            let mut parser = SseParser::default();
            let mut events = parser.push(&bytes[..cut]).unwrap();
            events.extend(parser.push(&bytes[cut..]).unwrap());
            assert_eq!(events, expected(), "cut at {cut}");
            assert_eq!(parser.retry(), Some(1500));
        }
        let mut parser = SseParser::default();
        let single: Vec<SseEvent> = bytes.iter().flat_map(|byte| parser.push(&[*byte]).unwrap()).collect();
        assert_eq!(single, expected());
    }

    #[test]
    fn ids_and_waits_that_make_no_sense_are_passed_over() {
        let mut parser = SseParser::default();
        let events = parser.push(b"id: 4\nid: a\0b\nretry: soon\nretry: -1\nretry:\ndata: x\n\n").unwrap();
        assert_eq!(events, vec![SseEvent { data: "x".to_owned(), id: Some("4".to_owned()) }]);
        assert_eq!(parser.retry(), None);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut parser = SseParser::default();
        let block = vec![b'x'; 1 << 20];
        let pushed = (0..80).find_map(|_| parser.push(&block).err());
        assert_eq!(pushed, Some(TooLarge));
    }
}
