//! The last 128 bytes of an object's file: what S3 tells about the object besides its bytes.
//!
//! Behind the bytes and not in a second file, so that one rename makes both visible; at the end and not at the start,
//! because the MD5 is known only there. It also tells a damaged file: the length in it must match.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `S3OBJv1\n` |
//! | 8 | length of the object, little endian |
//! | 16 | MD5 of the object |
//! | 1 | length of the content type |
//! | 95 | content type, then zeros |

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

pub const FOOTER: usize = 128;
const MAGIC: &[u8; 8] = b"S3OBJv1\n";
const MAX_CONTENT_TYPE: usize = 95;

/// What is kept beside an object's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    pub length: u64,
    pub md5: [u8; 16],
    pub content_type: ContentType,
}

/// A content type that fits the footer: up to 95 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentType(String);

impl ContentType {
    /// `None` if it doesn't fit. No content type is `application/octet-stream`, as in S3.
    pub fn parse(given: Option<&str>) -> Option<Self> {
        let given = given.unwrap_or("application/octet-stream");
        let fits = given.len() <= MAX_CONTENT_TYPE && given.bytes().all(|b| (b' '..=b'~').contains(&b));
        fits.then(|| Self(given.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Footer {
    pub fn encode(&self) -> Vec<u8> {
        let content_type = self.content_type.0.as_bytes();
        let mut bytes = Vec::with_capacity(FOOTER);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.length.to_le_bytes());
        bytes.extend_from_slice(&self.md5);
        // ContentType::parse keeps it within 95 bytes.
        bytes.push(content_type.len() as u8);
        bytes.extend_from_slice(content_type);
        bytes.resize(FOOTER, 0);
        bytes
    }

    fn decode(bytes: &[u8; FOOTER]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let (md5, rest) = rest.split_first_chunk::<16>()?;
        let (&[named], rest) = rest.split_first_chunk::<1>()?;
        let content_type = std::str::from_utf8(rest.get(..usize::from(named))?).ok()?;
        let content_type = ContentType::parse(Some(content_type))?;
        Some(Self { length: u64::from_le_bytes(*length), md5: *md5, content_type })
    }

    /// Reads the footer of an object's file; [`io::ErrorKind::InvalidData`] if the file is damaged.
    pub fn read(file: &mut File) -> io::Result<Self> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the object's file is damaged");
        let size = file.metadata()?.len();
        let length = object_length(size).ok_or_else(damaged)?;
        file.seek(SeekFrom::Start(length))?;
        let mut bytes = [0; FOOTER];
        file.read_exact(&mut bytes)?;
        let footer = Self::decode(&bytes).ok_or_else(damaged)?;
        if footer.length == length { Ok(footer) } else { Err(damaged()) }
    }
}

/// The object's length by its file's; `None` if the file is too short to be one.
pub fn object_length(file: u64) -> Option<u64> {
    file.checked_sub(FOOTER as u64)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn footer(length: u64, content_type: &str) -> Footer {
        Footer { length, md5: [7; 16], content_type: ContentType::parse(Some(content_type)).unwrap() }
    }

    #[test]
    fn what_was_written_is_read() {
        for content_type in ["", "audio/mpeg", &"t".repeat(MAX_CONTENT_TYPE)] {
            let mut file = tempfile::tempfile().unwrap();
            let footer = footer(5, content_type);
            file.write_all(b"bytes").unwrap();
            file.write_all(&footer.encode()).unwrap();
            assert_eq!(Footer::read(&mut file).unwrap(), footer);
        }
    }

    #[test]
    fn a_damaged_file_is_told() {
        for (bytes, length) in [(&b"byte"[..], 5), (b"bytes!", 5), (b"", 1)] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            file.write_all(&footer(length, "a/b").encode()).unwrap();
            assert_eq!(Footer::read(&mut file).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        let mut short = tempfile::tempfile().unwrap();
        short.write_all(b"short").unwrap();
        assert_eq!(Footer::read(&mut short).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_content_type_fits_or_is_refused() {
        assert_eq!(ContentType::parse(None).unwrap().as_str(), "application/octet-stream");
        assert!(ContentType::parse(Some("a/b\r\nx: y")).is_none());
        assert!(ContentType::parse(Some(&"t".repeat(MAX_CONTENT_TYPE + 1))).is_none());
    }
}
