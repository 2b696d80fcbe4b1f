use super::check::{check, read};
use super::*;
use proptest::prelude::*;

/// As clients write it: fields, then the file, then the boundary with dashes and `tail`.
fn written(boundary: &str, fields: &[(String, String)], file: &[u8], tail: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part =
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\
         Content-Type: audio/wav\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(file);
    body.extend_from_slice(format!("\r\n--{boundary}--").as_bytes());
    body.extend_from_slice(tail);
    body
}

/// Bytes with much in them that looks like the beginning of a boundary.
fn content(boundary: &str, pieces: &[u8], noise: &[u8]) -> Vec<u8> {
    let delimiter = format!("\r\n--{boundary}");
    let mut content = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        match piece % 4 {
            0 => content.push(noise.get(at).copied().unwrap_or(*piece)),
            1 => content.extend_from_slice(b"\r\n"),
            2 => content.extend_from_slice(&delimiter.as_bytes()[..usize::from(*piece) % delimiter.len()]),
            _ => content.extend_from_slice(b"--"),
        }
    }
    while let Some(found) = memmem::find(&content, delimiter.as_bytes()) {
        content.remove(found);
    }
    content
}

/// What a form is made of; the first one stands for any byte.
const FRAGMENTS: [&[u8]; 12] = [
    b"",
    b"--b",
    b"\r\n--b",
    b"--",
    b"\r\n",
    b"\r",
    b"\n",
    b" \t",
    b"Content-Disposition: form-data; name=\"a\"",
    b"content-disposition:form-data;name=file;filename=\"x\\\"y\"",
    b"Content-Length: 3",
    b": ;=\"",
];

const BOUNDARY: &str = "[a-zA-Z0-9'()+_,./:=?-]{1,70}";

proptest! {
    /// Whatever the boundary, the fields before, the bytes and the pieces in which they come: what was written is read,
    /// and the file's size can be told at its first byte.
    #[test]
    fn what_was_written_is_read(
        boundary in BOUNDARY,
        fields in proptest::collection::vec(("[a-z_]{1,12}", "[ -~é漢\r\n-]{0,40}"), 0..4),
        pieces in proptest::collection::vec(any::<u8>(), 0..200),
        noise in proptest::collection::vec(any::<u8>(), 0..200),
        cuts in proptest::collection::vec(1usize..50, 1..8),
        tail in prop_oneof![Just(&b""[..]), Just(&b"\r\n"[..]), Just(&b"\r\n\r\n"[..]), Just(&b" \r\n"[..])],
    ) {
        let delimiter = format!("\r\n--{boundary}");
        let fields: Vec<(String, String)> =
            fields.into_iter().map(|(name, value)| (name, value.replace(&delimiter, ""))).collect();
        prop_assume!(fields.iter().all(|(_, value)| !value.contains(&delimiter)));
        let file = content(&boundary, &pieces, &noise);
        let body = written(&boundary, &fields, &file, tail);
        let parts = read(&boundary, &body, &cuts).unwrap();
        prop_assert_eq!(parts.len(), fields.len() + 1);
        for ((name, value), part) in fields.iter().zip(&parts) {
            prop_assert_eq!((name, value.as_bytes()), (&part.0, &part.3[..]));
        }
        let (name, filename, first, bytes) = parts.last().unwrap();
        prop_assert_eq!((name.as_str(), filename.as_deref()), ("file", Some("a.wav")));
        prop_assert_eq!(bytes, &file);
        prop_assert_eq!(&body[*first as usize..][..file.len()], &file[..]);
        let told = size_of_last_part(body.len() as u64, *first, &boundary, tail.len() as u64);
        prop_assert_eq!(told, Some(file.len() as u64));
    }

    /// A body that is cut off anywhere is told to be cut off; one that is spoilt anywhere is read or refused, and no more.
    #[test]
    fn cut_off_and_spoilt_bodies(
        boundary in BOUNDARY,
        pieces in proptest::collection::vec(any::<u8>(), 0..100),
        cuts in proptest::collection::vec(1usize..50, 1..8),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let fields = [("language".to_owned(), "en".to_owned())];
        let body = written(&boundary, &fields, &content(&boundary, &pieces, &[]), b"\r\n");
        let end = body.len() - 2;
        let cut = at.index(end);
        prop_assert_eq!(read(&boundary, &body[..cut], &cuts), Err(Malformed::CutOff));
        let mut spoilt = body;
        spoilt[cut] = byte;
        let _ = read(&boundary, &spoilt, &cuts);
    }

    /// As the fuzz target does, on what is nearly a form.
    #[test]
    fn pieces_mean_nothing(cuts: [u8; 2], parts in proptest::collection::vec(0usize..FRAGMENTS.len(), 0..40), noise: [u8; 8]) {
        let mut input = cuts.to_vec();
        for (at, part) in parts.iter().enumerate() {
            input.extend_from_slice(FRAGMENTS[*part]);
            if *part == 0 {
                input.push(noise[at % noise.len()]);
            }
        }
        check(&input);
    }

    #[test]
    fn noise_is_refused(noise in proptest::collection::vec(any::<u8>(), 0..3_000), cut in 1usize..100) {
        prop_assert!(read("boundary", &noise, &[cut]).is_err());
    }
}

#[test]
fn forms_as_other_clients_write_them() {
    // Text before the first boundary, blanks behind one, an empty field, a part that tells its length.
    let body = b"This is a form.\r\n--b  \r\ncontent-disposition: form-data; name=a\r\n\r\n\r\n--b\t\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"x\"\r\nContent-Length: 3\r\n\r\nxyz\r\n--b--";
    let parts = read("b", body, &[1]).unwrap();
    assert_eq!(parts[0], ("a".to_owned(), None, 66, Vec::new()));
    assert_eq!(parts[1].3, b"xyz");
    // No parts at all.
    assert_eq!(read("b", b"--b--\r\n", &[3]), Ok(Vec::new()));
}

#[test]
fn what_is_no_form_is_told() {
    let head = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n";
    let refused = |body: &str| read("b", body.as_bytes(), &[7]).unwrap_err();
    assert_eq!(refused(&"x".repeat(5_000)), Malformed::Start);
    assert_eq!(refused("{\"file\": 1}"), Malformed::CutOff);
    assert_eq!(refused("--bc\r\n"), Malformed::Boundary);
    assert_eq!(refused(&format!("--b{}", " ".repeat(5_000))), Malformed::Boundary);
    assert_eq!(refused(&format!("{head}X: {}", "x".repeat(10_000))), Malformed::LongHead);
    assert!(matches!(refused("--b\r\nContent-Type: text/plain\r\n\r\nx"), Malformed::Head(_)));
    assert!(matches!(refused("--b\r\n\r\nx"), Malformed::Head(_)));
    assert_eq!(refused(&format!("{head}\r\nx\r\n--b--{}", "y".repeat(2_000))), Malformed::Rest);
    assert_eq!(refused(""), Malformed::CutOff);
}

/// The longest head is taken in whatever pieces it comes.
#[test]
fn a_head_of_the_greatest_length() {
    let first = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\nX: ";
    // Without the boundary before it, and its own end.
    let filled = first.len() - "--b".len();
    let body = |length: usize| format!("{first}{}\r\n\r\nz\r\n--b--", "x".repeat(length - filled));
    for cuts in [&[1][..], &[3], &[usize::MAX]] {
        assert!(read("b", body(MAX_HEAD).as_bytes(), cuts).is_ok(), "{cuts:?}");
        assert_eq!(read("b", body(MAX_HEAD + 1).as_bytes(), cuts), Err(Malformed::LongHead), "{cuts:?}");
    }
}

#[test]
fn sizes_that_do_not_fit() {
    assert_eq!(size_of_last_part(100, 50, "b", 2), Some(41));
    assert_eq!(size_of_last_part(59, 50, "b", 2), Some(0));
    assert_eq!(size_of_last_part(58, 50, "b", 2), None);
    assert_eq!(size_of_last_part(10, 50, "b", 0), None);
    assert_eq!(size_of_last_part(u64::MAX, 0, "b", 0), Some(u64::MAX - 7));
}
