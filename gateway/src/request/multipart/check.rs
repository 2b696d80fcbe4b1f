//! What holds for every body: for the tests, and for the fuzz target in gateway/fuzz.
#![allow(clippy::unwrap_used)]

use super::{Event, Malformed, Reader};

/// A part as it was read: field, file name, position, bytes.
pub type Part = (String, Option<String>, u64, Vec<u8>);

/// Reads a whole body that comes in pieces of these lengths, in turn.
pub fn read(boundary: &str, body: &[u8], cuts: &[usize]) -> Result<Vec<Part>, Malformed> {
    let (mut reader, mut parts, mut open, mut ended) =
        (Reader::new(boundary), Vec::<Part>::new(), false, false);
    let mut rest = body;
    let mut cuts = cuts.iter().cycle();
    loop {
        while let Some(event) = reader.event()? {
            assert!(!ended, "{event:?} after the end");
            match event {
                Event::Part { head, first } => {
                    assert!(!std::mem::replace(&mut open, true));
                    parts.push((head.name, head.filename, first, Vec::new()));
                }
                Event::Data(bytes) => {
                    assert!(open && !bytes.is_empty());
                    parts.last_mut().unwrap().3.extend_from_slice(&bytes);
                }
                Event::PartEnd => assert!(std::mem::replace(&mut open, false)),
                Event::End => ended = true,
            }
        }
        if rest.is_empty() {
            reader.finish()?;
            assert!(ended && !open);
            return Ok(parts);
        }
        let cut = cuts.next().map_or(rest.len(), |cut| (*cut).clamp(1, rest.len()));
        reader.push(&rest[..cut]);
        rest = &rest[cut..];
    }
}

/// The first two bytes choose the pieces, the others are the body; its boundary is `b`. In whatever pieces it comes, the same is
/// read; and what is read stands where it is said to.
pub fn check(input: &[u8]) {
    let (cuts, body) = input.split_at(input.len().min(2));
    let cuts: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut) + 1).collect();
    let whole = read("b", body, &[usize::MAX]);
    assert_eq!(read("b", body, &cuts), whole);
    assert_eq!(read("b", body, &[1]), whole);
    for (_, _, first, bytes) in whole.into_iter().flatten() {
        let first = usize::try_from(first).unwrap();
        assert_eq!(&body[first..][..bytes.len()], &bytes[..]);
        assert!(body[first + bytes.len()..].starts_with(b"\r\n--b"));
    }
}
