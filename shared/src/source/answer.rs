//! What the answers of a server say of a recording. Pure.

use super::SourceError;
use crate::outbound::retry_after;
use http::{HeaderMap, StatusCode, header};
use scriptorium_contracts::Timestamp;
use scriptorium_contracts::job::{ChunkRange, MAX_FILE_SIZE};

/// Characters of a tag or a date.
const MAX_VERSION: usize = 256;

/// A recording, before any of it is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Bytes.
    pub size: u64,
    /// Its tag, else its date.
    pub version: Option<String>,
    /// Parts of it can be had.
    pub ranges: bool,
}

/// Of the answer to a request for the first byte.
pub fn found(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Result<Found, SourceError> {
    let range = content_range(headers);
    let size = match status {
        StatusCode::OK => content_length(headers),
        StatusCode::PARTIAL_CONTENT => range.and_then(|range| range.total),
        StatusCode::RANGE_NOT_SATISFIABLE if range.is_some_and(|range| range.total == Some(0)) => Some(0),
        _ => return Err(refusal(status, headers, now)),
    };
    check_encoding(headers)?;
    match size {
        None => Err(SourceError::NoSize),
        Some(0) => Err(SourceError::Empty),
        Some(size) if size > MAX_FILE_SIZE => Err(SourceError::TooLarge(size)),
        Some(size) => {
            Ok(Found { size, version: version(headers), ranges: status == StatusCode::PARTIAL_CONTENT })
        }
    }
}

/// Whether the answer is this part of that recording.
pub fn check_part(
    status: StatusCode,
    headers: &HeaderMap,
    wanted: ChunkRange,
    of: &Found,
    now: Timestamp,
) -> Result<(), SourceError> {
    check_encoding(headers)?;
    let told = content_range(headers);
    match status {
        StatusCode::PARTIAL_CONTENT => {
            let Some(told) = told else { return Err(SourceError::OtherPart) };
            check_same(told.total, headers, of)?;
            if told.bytes == Some((wanted.first, wanted.last)) { Ok(()) } else { Err(SourceError::OtherPart) }
        }
        StatusCode::OK => {
            check_same(content_length(headers), headers, of)?;
            Err(SourceError::OtherPart)
        }
        // There was such a part.
        StatusCode::RANGE_NOT_SATISFIABLE => Err(SourceError::Changed),
        _ => Err(refusal(status, headers, now)),
    }
}

/// Whether the answer is all of that recording.
pub fn check_whole(
    status: StatusCode,
    headers: &HeaderMap,
    of: &Found,
    now: Timestamp,
) -> Result<(), SourceError> {
    if status != StatusCode::OK {
        return Err(refusal(status, headers, now));
    }
    check_encoding(headers)?;
    check_same(content_length(headers), headers, of)
}

/// What a server does not say again is taken to be as it was; how many bytes come is counted all the same.
fn check_same(size: Option<u64>, headers: &HeaderMap, of: &Found) -> Result<(), SourceError> {
    let other_size = size.is_some_and(|size| size != of.size);
    if other_size || is_other(of.version.as_deref(), version(headers).as_deref()) {
        return Err(SourceError::Changed);
    }
    Ok(())
}

/// A tag can only be compared with a tag, a date with a date.
pub fn is_other(before: Option<&str>, now: Option<&str>) -> bool {
    let is_tag = |version: &str| version.ends_with('"');
    match (before, now) {
        (Some(before), Some(now)) => before != now && is_tag(before) == is_tag(now),
        (None, _) | (_, None) => false,
    }
}

fn refusal(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> SourceError {
    SourceError::Status { status: status.as_u16(), retry_after_ms: retry_after(headers, now) }
}

/// Of a compressed file neither the size nor its parts would be the recording's.
fn check_encoding(headers: &HeaderMap) -> Result<(), SourceError> {
    let plain = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
        Ok(())
    } else {
        Err(SourceError::Encoded)
    }
}

fn version(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name)?.to_str().ok().filter(|text| (1..=MAX_VERSION).contains(&text.len()));
    let tag = text(header::ETAG).filter(|tag| tag.ends_with('"'));
    tag.or_else(|| text(header::LAST_MODIFIED).filter(|date| !date.ends_with('"'))).map(str::to_owned)
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    number(headers.get(header::CONTENT_LENGTH)?.to_str().ok()?)
}

/// `bytes FIRST-LAST/TOTAL`, with `*` for what is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ContentRange {
    bytes: Option<(u64, u64)>,
    total: Option<u64>,
}

fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    parse_content_range(headers.get(header::CONTENT_RANGE)?.to_str().ok()?)
}

fn parse_content_range(text: &str) -> Option<ContentRange> {
    let (unit, rest) = text.trim().split_once(' ')?;
    let (range, total) = rest.trim().split_once('/')?;
    let total = if total == "*" { None } else { Some(number(total)?) };
    let bytes = if range == "*" {
        None
    } else {
        let (first, last) = range.split_once('-')?;
        Some((number(first)?, number(last)?)).filter(|(first, last)| first <= last)
    };
    unit.eq_ignore_ascii_case("bytes").then_some(ContentRange { bytes, total })
}

/// Digits and nothing else.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_349_368_000);

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn look(status: u16, pairs: &[(&'static str, &str)]) -> Result<Found, String> {
        let status = StatusCode::from_u16(status).unwrap();
        found(status, &headers(pairs), NOW).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn what_the_first_answer_tells() {
        let of =
            |size, version: Option<&str>, ranges| Found { size, version: version.map(str::to_owned), ranges };
        let tagged = [("content-range", "bytes 0-0/12345"), ("etag", "W/\"a\""), ("last-modified", "then")];
        assert_eq!(look(206, &tagged), Ok(of(12_345, Some("W/\"a\""), true)));
        let dated = [("content-length", "77"), ("last-modified", "Sun, 22 Nov 2026 12:00:00 GMT")];
        assert_eq!(look(200, &dated), Ok(of(77, Some("Sun, 22 Nov 2026 12:00:00 GMT"), false)));
        assert_eq!(
            look(200, &[("content-length", "77"), ("content-encoding", "identity")]),
            Ok(of(77, None, false))
        );
        let huge = MAX_FILE_SIZE + 1;
        let huge_range = format!("bytes 0-0/{huge}");
        for (status, pairs, wanted) in [
            (200, &[][..], "NoSize".to_owned()),
            (206, &[], "NoSize".to_owned()),
            (206, &[("content-range", "bytes 0-0/*")], "NoSize".to_owned()),
            (200, &[("content-length", "+7")], "NoSize".to_owned()),
            (200, &[("content-length", "0")], "Empty".to_owned()),
            (416, &[("content-range", "bytes */0")], "Empty".to_owned()),
            (206, &[("content-range", huge_range.as_str())], format!("TooLarge({huge})")),
            (200, &[("content-length", "99999999999999999999")], "NoSize".to_owned()),
            (200, &[("content-length", "7"), ("content-encoding", "gzip")], "Encoded".to_owned()),
            (404, &[], "Status { status: 404, retry_after_ms: None }".to_owned()),
            (503, &[("retry-after", "7")], "Status { status: 503, retry_after_ms: Some(7000) }".to_owned()),
        ] {
            assert_eq!(look(status, pairs), Err(wanted), "{status} {pairs:?}");
        }
    }

    #[test]
    fn a_part_has_to_be_the_one_that_was_asked_for() {
        let of = Found { size: 100, version: Some("\"a\"".to_owned()), ranges: true };
        let wanted = ChunkRange { first: 10, last: 19 };
        let part = |status: u16, pairs: &[(&'static str, &str)]| {
            let status = StatusCode::from_u16(status).unwrap();
            check_part(status, &headers(pairs), wanted, &of, NOW).map_err(|error| format!("{error:?}"))
        };
        let told =
            |told: &'static str, tag: &'static str| part(206, &[("content-range", told), ("etag", tag)]);
        assert_eq!(told("bytes 10-19/100", "\"a\""), Ok(()));
        assert_eq!(told("BYTES 10-19/*", "\"a\""), Ok(()));
        assert_eq!(part(206, &[("content-range", "bytes 10-19/100")]), Ok(()), "no tag this time");
        for (range, tag, error) in [
            ("bytes 10-19/101", "\"a\"", "Changed"),
            ("bytes 10-19/100", "\"b\"", "Changed"),
            ("bytes 0-9/100", "\"a\"", "OtherPart"),
            ("bytes 10-18/100", "\"a\"", "OtherPart"),
            ("bytes */100", "\"a\"", "OtherPart"),
            ("lines 10-19/100", "\"a\"", "OtherPart"),
            ("bytes 10-19", "\"a\"", "OtherPart"),
        ] {
            assert_eq!(told(range, tag), Err(error.to_owned()), "{range} {tag}");
        }
        assert_eq!(part(200, &[("content-length", "100"), ("etag", "\"a\"")]), Err("OtherPart".to_owned()));
        assert_eq!(part(200, &[("content-length", "90"), ("etag", "\"a\"")]), Err("Changed".to_owned()));
        assert_eq!(part(416, &[("content-range", "bytes */5")]), Err("Changed".to_owned()));
        assert!(part(403, &[]).unwrap_err().contains("403"));
    }

    #[test]
    fn the_whole_has_to_be_the_same_file() {
        let of = Found { size: 100, version: Some("Sun, 22 Nov 2026".to_owned()), ranges: false };
        let whole = |status: u16, pairs: &[(&'static str, &str)]| {
            let status = StatusCode::from_u16(status).unwrap();
            check_whole(status, &headers(pairs), &of, NOW).map_err(|error| format!("{error:?}"))
        };
        assert_eq!(whole(200, &[("content-length", "100")]), Ok(()));
        assert_eq!(whole(200, &[]), Ok(()), "it is counted");
        let other = [("content-length", "100"), ("last-modified", "Mon, 23 Nov 2026")];
        assert_eq!(whole(200, &other), Err("Changed".to_owned()));
        assert!(whole(206, &[("content-length", "100")]).unwrap_err().contains("206"));
    }

    #[test]
    fn content_ranges_are_read_strictly() {
        let range = |first, last, total| Some(ContentRange { bytes: Some((first, last)), total });
        assert_eq!(parse_content_range("bytes 0-9/100"), range(0, 9, Some(100)));
        assert_eq!(parse_content_range("bytes 0-9/*"), range(0, 9, None));
        assert_eq!(parse_content_range("bytes */0"), Some(ContentRange { bytes: None, total: Some(0) }));
        assert_eq!(parse_content_range("bytes 9-0/100").unwrap().bytes, None);
        for text in [
            "",
            "bytes",
            "bytes 0-9",
            "0-9/100",
            "bytes -9/100",
            "bytes +0-9/100",
            "bytes 0-9/1e3",
            "bytes 0-9/99999999999999999999",
        ] {
            assert_eq!(parse_content_range(text), None, "{text}");
        }
    }
}
