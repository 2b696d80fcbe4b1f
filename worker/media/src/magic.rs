//! Recognises what is *not* decoded, so that the error can name it.

/// What the first bytes of a file were recognised as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// A container that may hold audio, but is not decoded here.
    Audio(&'static str),
    /// Something else altogether.
    Other(&'static str),
}

/// A marker: offset, bytes, what it means, whether it may hold audio.
type Marker = (usize, &'static [u8], &'static str, bool);

const MARKERS: &[Marker] = &[
    (4, b"ftyp", "an MP4 container (M4A, MP4 or MOV)", true),
    (4, b"moov", "a QuickTime container", true),
    (4, b"mdat", "a QuickTime container", true),
    (4, b"wide", "a QuickTime container", true),
    (8, b"AIFF", "an AIFF file", true),
    (8, b"AIFC", "an AIFF-C file", true),
    (0, b"caff", "a Core Audio Format file", true),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "an ASF container (WMA or WMV)", true),
    (0, b"ADIF", "an AAC stream with an ADIF header", true),
    (0, b"RIFX", "a big-endian WAVE file", true),
    (0, b"riff\x2e\x91\xcf\x11", "a Sony Wave64 file", true),
    (8, b"AVI ", "an AVI container", true),
    (0, b"FLV\x01", "a Flash video", true),
    (0, b"wvpk", "a WavPack file", true),
    (0, b"MAC ", "a Monkey's Audio file", true),
    (0, b"TTA1", "a True Audio file", true),
    (0, b"MPCK", "a Musepack file", true),
    (0, b"MP+", "a Musepack file", true),
    (0, b"#!AMR", "an AMR recording", true),
    (0, b"#!SILK", "a SILK recording", true),
    (0, b".snd", "a Sun AU file", true),
    (0, b".RMF", "a RealMedia file", true),
    (0, b"Creative Voice File", "a Creative Voice file", true),
    (0, b"MThd", "a MIDI file, which holds notes and no sound", false),
    (0, b"\x00\x00\x01\xba", "an MPEG program stream", true),
    (0, b"\x00\x00\x01\xb3", "an MPEG video stream", false),
    (0, b"\x0b\x77", "an AC-3 stream", true),
    (0, b"%PDF", "a PDF document", false),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG picture", false),
    (0, b"\xff\xd8\xff", "a JPEG picture", false),
    (0, b"GIF8", "a GIF picture", false),
    (8, b"WEBP", "a WebP picture", false),
    (0, b"II*\0", "a TIFF picture", false),
    (0, b"MM\0*", "a TIFF picture", false),
    (0, b"PK\x03\x04", "a ZIP archive or office document", false),
    (0, b"PK\x05\x06", "an empty ZIP archive", false),
    (0, b"Rar!\x1a\x07", "a RAR archive", false),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", false),
    (0, b"\x1f\x8b", "gzip-compressed data", false),
    (0, b"BZh", "bzip2-compressed data", false),
    (0, b"\xfd7zXZ\0", "xz-compressed data", false),
    (0, b"\x28\xb5\x2f\xfd", "Zstandard-compressed data", false),
    (257, b"ustar", "a tar archive", false),
    (0, b"\x7fELF", "a program", false),
    (0, b"MZ", "a Windows program", false),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old office document", false),
    (0, b"SQLite format 3\0", "an SQLite database", false),
    (0, b"{\\rtf", "a rich-text document", false),
    (0, b"#EXTM3U", "a playlist, which holds addresses and no sound", false),
];

/// What `head` (some hundred bytes from the start of a file) is known to be.
pub(crate) fn recognise(head: &[u8]) -> Option<Known> {
    let marked =
        MARKERS.iter().find(|(at, bytes, _, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(bytes)));
    if let Some((_, _, name, audio)) = marked {
        return Some(if *audio { Known::Audio(name) } else { Known::Other(name) });
    }
    if head.first() == Some(&0x47) && head.get(188) == Some(&0x47) && head.get(376) == Some(&0x47) {
        return Some(Known::Audio("an MPEG transport stream"));
    }
    mpeg_relative(head).map(Known::Audio)
}

/// Relatives of MP3 that begin with the same sync word.
fn mpeg_relative(head: &[u8]) -> Option<&'static str> {
    let (first, second) = (*head.first()?, *head.get(1)?);
    let utf16_text = second == 0xfe && head.get(3) == Some(&0);
    if first != 0xff || second & 0xe0 != 0xe0 || utf16_text {
        return None;
    }
    let third = *head.get(2)?;
    let sound = third >> 4 != 15 && third >> 2 & 3 != 3 && second >> 3 & 3 != 1;
    match second >> 1 & 3 {
        3 if sound => Some("MPEG audio layer I"),
        2 if sound => Some("MPEG audio layer II"),
        1 if sound && third >> 4 == 0 => Some("an MP3 file in free format"),
        _ => None,
    }
}

/// What unknown bytes look like.
pub(crate) fn describe(head: &[u8]) -> &'static str {
    if head.is_empty() {
        return "an empty file";
    }
    // The last character may be cut.
    let text = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.valid_up_to() + 4 > head.len() && error.valid_up_to() > 0,
    };
    let control =
        head.iter().any(|byte| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b));
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        "text in UTF-16"
    } else if head.iter().all(|byte| *byte == 0) {
        "nothing but zero bytes"
    } else if text && !control {
        let start = String::from_utf8_lossy(&head[..head.len().min(200)]).trim_start().to_ascii_lowercase();
        if start.starts_with("<!doctype html") || start.starts_with("<html") {
            "a web page"
        } else if start.starts_with("<?xml") {
            "an XML document"
        } else {
            "plain text"
        }
    } else {
        "data of an unknown kind"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_and_documents_are_named() {
        let named = |bytes: &[u8]| recognise(bytes);
        assert_eq!(named(b"\0\0\0\x20ftypM4A "), Some(Known::Audio("an MP4 container (M4A, MP4 or MOV)")));
        assert_eq!(named(b"FORM\0\0\0\0AIFFCOMM"), Some(Known::Audio("an AIFF file")));
        assert_eq!(named(b"%PDF-1.7"), Some(Known::Other("a PDF document")));
        assert_eq!(named(&[0xff, 0xfd, 0x84, 0x04]), Some(Known::Audio("MPEG audio layer II")));
        assert_eq!(named(b"hello"), None);
    }

    #[test]
    fn unknown_bytes_are_described() {
        assert_eq!(describe(b""), "an empty file");
        assert_eq!(describe(b"just some words\n"), "plain text");
        assert_eq!(describe("caf\u{e9}".as_bytes()), "plain text");
        assert_eq!(describe(b" <!DOCTYPE html><p>"), "a web page");
        assert_eq!(describe(&[0; 100]), "nothing but zero bytes");
        assert_eq!(describe(&[7, 1, 200, 3]), "data of an unknown kind");
    }
}
