//! What stands above a part, and the boundary between parts.

use http::{HeaderMap, header};

/// Lines of a part's head.
const MAX_LINES: usize = 16;
/// Characters of a boundary (RFC 2046).
const MAX_BOUNDARY: usize = 70;
/// Bytes of a field's name.
const MAX_NAME: usize = 128;

/// What a part says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Of the form's field.
    pub name: String,
    /// Without the folders that some clients send along.
    pub filename: Option<String>,
    /// Bytes, where the part tells them.
    pub length: Option<u64>,
}

impl Head {
    /// `lines` are separated by `\r\n`.
    pub(super) fn read(lines: &[u8]) -> Result<Self, &'static str> {
        let lines = std::str::from_utf8(lines).map_err(|_| "it is not UTF-8")?;
        let (mut disposition, mut length) = (None, None);
        for (count, line) in lines.split("\r\n").filter(|line| !line.is_empty()).enumerate() {
            if count >= MAX_LINES {
                return Err("it has too many lines");
            }
            let (name, value) = line.split_once(':').ok_or("a line has no colon")?;
            if name.eq_ignore_ascii_case("content-disposition") {
                disposition = Some(value);
            } else if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            } else if name.eq_ignore_ascii_case("content-transfer-encoding")
                && !["binary", "8bit", "7bit"].iter().any(|known| value.trim().eq_ignore_ascii_case(known))
            {
                return Err("only parts that are sent as they are can be read");
            }
        }
        let parameters = parameters(disposition.ok_or("it has no Content-Disposition")?, "form-data")
            .ok_or("its Content-Disposition is not that of a form")?;
        let value = |wanted: &str| {
            let found = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.as_str())
        };
        let name = value("name").filter(|name| !name.is_empty()).ok_or("it names no field")?;
        if name.len() > MAX_NAME {
            return Err("the name of its field is too long");
        }
        Ok(Self { name: name.to_owned(), filename: value("filename").map(base_name), length })
    }
}

/// Browsers write quotes and line breaks as `%22`, `%0D` and `%0A` (HTML, "multipart/form-data encoding algorithm").
fn base_name(name: &str) -> String {
    let name = name.replace("%22", "\"").replace("%0D", " ").replace("%0A", " ");
    name.rsplit(['/', '\\']).next().unwrap_or_default().trim().to_owned()
}

/// The boundary that the request's Content-Type names; `None` if it is not a form's.
pub fn boundary(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let parameters = parameters(value, "multipart/form-data")?;
    let (_, boundary) = parameters.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("boundary"))?;
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    let fits = (1..=MAX_BOUNDARY).contains(&boundary.len()) && !boundary.ends_with(' ');
    (fits && boundary.bytes().all(valid)).then_some(boundary)
}

/// The parameters of a header `essence; name=value; name="value"`; `None` if it has another essence or cannot be read.
fn parameters(value: &str, essence: &str) -> Option<Vec<(String, String)>> {
    let (found, mut rest) = value.split_once(';').unwrap_or((value, ""));
    if !found.trim().eq_ignore_ascii_case(essence) {
        return None;
    }
    let mut parameters = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        if rest.is_empty() {
            return Some(parameters);
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted)?,
            None => {
                let (value, after) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        parameters.push((name.trim().to_owned(), value));
        rest = after;
    }
}

/// Up to the closing quote, and what is behind it. A backslash stands for itself unless a quote or another one follows:
/// some clients escape, others send the folders of Windows.
fn quoted_string(text: &str) -> Option<(String, &str)> {
    let (mut value, mut characters) = (String::new(), text.char_indices().peekable());
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at + 1..).unwrap_or_default())),
            '\\' => match characters.next_if(|(_, next)| matches!(next, '"' | '\\')) {
                Some((_, escaped)) => value.push(escaped),
                None => value.push('\\'),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &str) -> Result<Head, &'static str> {
        Head::read(lines.as_bytes())
    }

    fn filename(value: &str) -> Option<String> {
        let lines = format!("Content-Disposition: form-data; name=\"file\"; filename={value}");
        head(&lines).unwrap().filename
    }

    #[test]
    fn heads_as_clients_write_them() {
        let plain = head("Content-Disposition: form-data; name=\"language\"").unwrap();
        assert_eq!(plain, Head { name: "language".into(), filename: None, length: None });
        let file = head(
            "content-type: audio/wav\r\nCONTENT-DISPOSITION: form-data; name=file; filename=a.wav\r\nContent-Length: 17",
        );
        let expected = Head { name: "file".into(), filename: Some("a.wav".into()), length: Some(17) };
        assert_eq!(file, Ok(expected));
        assert_eq!(head("content-disposition:form-data;name=\"a;b=\\\"c\\\"\"").unwrap().name, "a;b=\"c\"");
    }

    #[test]
    fn a_file_s_name_has_no_folders() {
        for (written, name) in [
            ("\"talk.wav\"", "talk.wav"),
            ("\"../../etc/passwd\"", "passwd"),
            ("\"C:\\Users\\me\\talk.wav\"", "talk.wav"),
            ("\"C:\\\\Users\\\\me\\\\talk.wav\"", "talk.wav"),
            ("\"say %22hi%22.wav\"", "say \"hi\".wav"),
            ("\"say \\\"hi\\\".wav\"", "say \"hi\".wav"),
            ("\"Gespräch; Teil 2.wav\"", "Gespräch; Teil 2.wav"),
            ("\"\"", ""),
            ("\"folder/\"", ""),
        ] {
            assert_eq!(filename(written).as_deref(), Some(name), "{written}");
        }
    }

    #[test]
    fn heads_that_can_not_be_read() {
        for lines in [
            "",
            "no colon",
            "Content-Type: text/plain",
            "Content-Disposition: attachment; name=\"file\"",
            "Content-Disposition: form-data",
            "Content-Disposition: form-data; name=\"\"",
            "Content-Disposition: form-data; name=\"file",
            "Content-Disposition: form-data; name",
            "Content-Disposition: form-data; name=\"file\"\r\nContent-Transfer-Encoding: base64",
        ] {
            assert!(head(lines).is_err(), "{lines}");
        }
        assert!(Head::read(b"Content-Disposition: form-data; name=\"\xff\"").is_err());
        let many = format!("Content-Disposition: form-data; name=\"a\"{}", "\r\nX: y".repeat(16));
        assert!(head(&many).is_err());
        assert!(head(&format!("Content-Disposition: form-data; name=\"{}\"", "x".repeat(129))).is_err());
    }

    #[test]
    fn boundaries() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            boundary(&headers)
        };
        for (value, expected) in [
            ("multipart/form-data; boundary=----abc", Some("----abc")),
            ("Multipart/Form-Data; charset=utf-8; Boundary=\"a b:c\"", Some("a b:c")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=\"a \"", None),
            ("multipart/form-data; boundary=a{b", None),
            ("multipart/mixed; boundary=abc", None),
            ("application/json", None),
        ] {
            assert_eq!(of(value).as_deref(), expected, "{value}");
        }
        assert_eq!(of(&format!("multipart/form-data; boundary={}", "x".repeat(71))), None);
        assert_eq!(boundary(&HeaderMap::new()), None);
    }
}
