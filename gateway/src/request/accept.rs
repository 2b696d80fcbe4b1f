//! Content negotiation (RFC 9110, 12.5.1).

use http::{HeaderMap, header};

/// Ranges of one request that are looked at.
const MAX_RANGES: usize = 64;

/// One entry of `Accept`.
#[derive(Debug)]
struct Range {
    /// `text`, or `*`.
    kind: String,
    /// `plain`, or `*`.
    form: String,
    /// Thousandths; 0: not wanted.
    weight: u16,
}

/// The type that the client likes best, the earlier one where it likes several as well: an index into `offered`, media types
/// without parameters. `None`: it takes none of them. Without the header it takes anything; entries that make no sense are
/// passed over.
pub fn choose(headers: &HeaderMap, offered: &[&str]) -> Option<usize> {
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .take(MAX_RANGES)
        .filter(|entry| !entry.trim().is_empty())
        .peekable();
    if ranges.peek().is_none() {
        return (!offered.is_empty()).then_some(0);
    }
    let ranges: Vec<Range> = ranges.filter_map(parse).collect();
    let mut best: Option<(usize, u16)> = None;
    for (index, media_type) in offered.iter().enumerate() {
        let weight = weight_of(media_type, &ranges);
        if weight > best.map_or(0, |(_, weight)| weight) {
            best = Some((index, weight));
        }
    }
    best.map(|(index, _)| index)
}

fn parse(entry: &str) -> Option<Range> {
    let mut parts = entry.split(';').map(str::trim);
    let (kind, form) = parts.next()?.split_once('/')?;
    let is_token =
        |text: &str| !text.is_empty() && !text.contains(|one: char| one.is_whitespace() || one == '/');
    if !is_token(kind) || !is_token(form) || kind == "*" && form != "*" {
        return None;
    }
    let quality = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim().to_owned())
    });
    let weight = match quality {
        None => 1_000,
        Some(text) => {
            let quality: f32 = text.parse().ok().filter(|quality| (0.0..=1.0).contains(quality))?;
            (quality * 1_000.0).round() as u16
        }
    };
    Some(Range { kind: kind.to_ascii_lowercase(), form: form.to_ascii_lowercase(), weight })
}

/// By the range that names it most exactly.
fn weight_of(media_type: &str, ranges: &[Range]) -> u16 {
    let (kind, form) = media_type.split_once('/').unwrap_or((media_type, ""));
    let exactness = |range: &&Range| match (range.kind.as_str(), range.form.as_str()) {
        (one, other) if one == kind && other == form => 3,
        (one, "*") if one == kind => 2,
        ("*", "*") => 1,
        _ => 0,
    };
    let fitting = ranges.iter().filter(|range| exactness(range) > 0);
    fitting.max_by_key(|range| (exactness(range), range.weight)).map_or(0, |range| range.weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const OFFERED: [&str; 4] = ["application/json", "text/plain", "application/x-subrip", "text/vtt"];

    fn chosen(values: &[&str]) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT, HeaderValue::from_str(value).unwrap());
        }
        choose(&headers, &OFFERED).map(|index| OFFERED[index])
    }

    #[test]
    fn the_best_that_there_is() {
        for (accept, expected) in [
            (&[][..], Some("application/json")),
            (&[""][..], Some("application/json")),
            (&["*/*"][..], Some("application/json")),
            (&["text/vtt"][..], Some("text/vtt")),
            (&["TEXT/VTT; charset=utf-8"][..], Some("text/vtt")),
            (&["text/*"][..], Some("text/plain")),
            (&["text/*, text/plain;q=0.5"][..], Some("text/vtt")),
            (&["text/plain;q=0.5, application/x-subrip;q=0.7"][..], Some("application/x-subrip")),
            (&["application/json;q=0, */*"][..], Some("text/plain")),
            (&["image/png", "text/plain"][..], Some("text/plain")),
            (
                &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"][..],
                Some("application/json"),
            ),
            (&["image/png"][..], None),
            (&["*/*;q=0"][..], None),
            (&["text"][..], None),
            (&["*/json"][..], None),
            (&["text/plain;q=7"][..], None),
            (&["text/plain;q=NaN"][..], None),
            (&["text/plain;q=0.001"][..], Some("text/plain")),
        ] {
            assert_eq!(chosen(accept), expected, "{accept:?}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read(value in "[ -~]{0,200}") {
            chosen(&[&value]);
        }
    }
}
