//! The request for a recording that the service is to fetch: where it is, and the options of an upload. Pure.

use super::init::{InitRequest, shape};
use crate::problem::{Code, Problem};
use crate::whole;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use scriptorium_contracts::source::Origin;
use scriptorium_contracts::tenant::TenantName;
use scriptorium_shared::objects::Imports;
use scriptorium_shared::outbound::{MAX_SIGNED_URL, Reach, check_signed_url};
use scriptorium_shared::source::SourceError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

const URL: &str = "source_url";
/// As far as a pattern can tell: whether it is one that may be asked is found out when it is.
const ADDRESS: &str = "^https?://[!-~]+$";
const KEY: &str = "source_key";
/// Name of a recording that comes without one.
const UNNAMED: &str = "recording";
/// Bytes of a key of S3, the folder included.
const MAX_KEY: usize = 1_024;
/// Characters.
const MAX_FILENAME: usize = 255;
/// What the source itself tells, and what is chosen for it.
const NOT_ASKED: [&str; 3] = ["total_size", "chunk_size_mb", "checksum"];

/// Body of `POST /api/transcripts`. Its canonical JSON stands for the request in idempotency.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SourceRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filename: Option<String>,
    /// The options of an upload, as they came.
    #[serde(flatten)]
    options: Map<String, Value>,
}

/// Where this caller's recordings may be.
pub struct From<'a> {
    pub reach: Reach,
    pub imports: Option<&'a Imports>,
    pub tenant: Option<&'a TenantName>,
}

impl From<'_> {
    fn key(&self, asked: &str) -> Result<String, Problem> {
        let imports = self.imports.ok_or_else(|| Problem::of_source(&SourceError::NoBucket, KEY))?;
        imports.key(self.tenant, asked).ok_or_else(|| {
            let detail = "\"source_key\" cannot be used: it has to be a key below your folder of the bucket, without empty parts, \
                          `.` and `..`.";
            Problem::field(Code::InvalidField, KEY, detail)
        })
    }
}

/// A source that may be asked, and what it is called.
#[derive(Debug)]
pub struct Asked {
    pub origin: Origin,
    pub filename: String,
    /// The field that names it.
    pub field: &'static str,
}

impl SourceRequest {
    /// Everything that can be checked before the source is asked.
    pub fn source(&self, from: &From<'_>) -> Result<Asked, Problem> {
        if let Some(name) = NOT_ASKED.into_iter().find(|name| self.options.contains_key(*name)) {
            let detail =
                format!("There is no field \"{name}\" here: the recording is looked at where it is.");
            return Err(Problem::field(Code::UnknownField, name, detail));
        }
        let (origin, field, last) = match (&self.source_url, &self.source_key) {
            (Some(url), None) => {
                let checked = check_signed_url(url, from.reach)
                    .map_err(|error| Problem::of_source(&SourceError::from(error), URL))?;
                let segment = checked.path_segments().and_then(|mut segments| segments.next_back());
                (Origin::Url(url.clone()), URL, percent_decoded(segment.unwrap_or_default()))
            }
            (None, Some(key)) => {
                let origin = Origin::Key(from.key(key)?);
                (origin, KEY, key.rsplit('/').next().unwrap_or_default().as_bytes().to_vec())
            }
            (Some(_), Some(_)) => {
                let detail =
                    "\"source_key\" cannot be used: there is a \"source_url\" too. Send one of them.";
                return Err(Problem::field(Code::InvalidField, KEY, detail));
            }
            (None, None) => {
                let detail =
                    "The field \"source_url\" is missing, or \"source_key\": where the recording is.";
                return Err(Problem::field(Code::MissingField, URL, detail));
            }
        };
        let filename = self.filename.clone().unwrap_or_else(|| file_name(&last));
        Ok(Asked { origin, filename, field })
    }

    /// The upload that it stands for.
    pub fn upload(&self, filename: &str, size: u64) -> Result<InitRequest, Problem> {
        whole::init_request(self.options.clone(), filename, size)
    }
}

/// The name that an address or a key ends in, as far as it is one.
fn file_name(segment: &[u8]) -> String {
    let name: String = String::from_utf8_lossy(segment)
        .chars()
        .map(|char| if char.is_control() || matches!(char, '/' | '\\') { '_' } else { char })
        .take(MAX_FILENAME)
        .collect();
    if name.trim().is_empty() { UNNAMED.to_owned() } else { name }
}

/// `%41` is `A`; what is no such code stands for itself.
fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, _, _) => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    decoded
}

/// The fields of a session, but for what the source tells.
impl JsonSchema for SourceRequest {
    fn schema_name() -> Cow<'static, str> {
        "SourceRequest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut session = InitRequest::json_schema(generator).to_value();
        let mut fields = session.get_mut("properties").and_then(Value::as_object_mut).map(std::mem::take);
        let fields = fields.get_or_insert_default();
        for name in NOT_ASKED {
            fields.remove(name);
        }
        let url = json!({
            "type": "string", "maxLength": MAX_SIGNED_URL, "pattern": ADDRESS,
            "description": "Where the recording is: an https address of the public network, which answers to `GET`. (A server may be set to take addresses of its own network too, and http.)",
        });
        let key = json!({
            "type": "string", "minLength": 1, "maxLength": MAX_KEY,
            "description": "In place of `source_url`: the recording's key in the server's bucket for imports, below the tenant's folder.",
        });
        let filename = json!({
            "type": ["string", "null"], "minLength": 1, "maxLength": MAX_FILENAME, "pattern": shape::FILENAME,
            "description": "Its ending tells of the container. If it is not given, the end of the address is taken.",
        });
        fields.insert(URL.to_owned(), url);
        fields.insert(KEY.to_owned(), key);
        fields.insert("filename".to_owned(), filename);
        json_schema!({
            "type": "object", "additionalProperties": false, "properties": fields,
            "oneOf": [{ "required": [URL] }, { "required": [KEY] }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::json;

    const FROM: From<'_> = From { reach: Reach::Public, imports: None, tenant: None };

    fn parsed(body: Value) -> Result<SourceRequest, Problem> {
        json::parse(body.to_string().as_bytes())
    }

    fn asked(body: Value) -> Result<Asked, (Code, Value)> {
        let asked = parsed(body).and_then(|request| request.source(&FROM));
        asked.map_err(|problem| (problem.code, problem.extra.get("field").cloned().unwrap_or_default()))
    }

    #[test]
    fn the_source_and_its_name() {
        for (url, name) in [
            ("https://example.org/a/my%20talk.mp3?sig=%2F", "my talk.mp3"),
            ("https://example.org/", "recording"),
            ("https://example.org", "recording"),
            ("https://example.org/a%2fx%00y%", "a_x_y%"),
            ("https://example.org/%ff.wav", "\u{fffd}.wav"),
        ] {
            let found = asked(json!({ "source_url": url })).unwrap();
            assert_eq!((found.origin, found.filename.as_str()), (Origin::Url(url.to_owned()), name), "{url}");
        }
        let named = json!({ "source_url": "https://example.org/x", "filename": "talk.wav" });
        assert_eq!(asked(named).unwrap().filename, "talk.wav");
    }

    #[test]
    fn options_are_those_of_an_upload() {
        let body = json!({
            "source_url": "https://example.org/x", "language": "de", "word_timestamps": true,
            "metadata": { "case": "7" }, "max_parallel_chunks": 2,
        });
        let request = parsed(body).unwrap().upload("talk.wav", 77).unwrap();
        assert_eq!((request.filename.as_str(), request.total_size), ("talk.wav", 77));
        assert_eq!((request.language.as_deref(), request.word_timestamps), (Some("de"), true));
        assert_eq!((request.max_parallel_chunks, request.metadata["case"].as_str()), (Some(2), "7"));
        let strange = parsed(json!({ "source_url": "https://example.org/x", "colour": "red" })).unwrap();
        assert_eq!(strange.upload("x", 1).unwrap_err().code, Code::UnknownField);
    }

    #[test]
    fn what_is_refused_before_anybody_is_asked() {
        let with = |name: &str, value: Value| {
            let mut body = json!({ "source_url": "https://example.org/x" });
            body[name] = value;
            body
        };
        for (body, code, field) in [
            (json!({}), Code::MissingField, "source_url"),
            (json!({ "source_url": null }), Code::MissingField, "source_url"),
            (json!({ "source_key": "talk.mp3" }), Code::SourcesNotConfigured, "source_key"),
            (with("source_key", "talk.mp3".into()), Code::InvalidField, "source_key"),
            (with("source_url", 7.into()), Code::InvalidField, "source_url"),
            (with("source_url", "http://example.org/".into()), Code::InvalidField, "source_url"),
            (with("source_url", "https://user:x@example.org/".into()), Code::InvalidField, "source_url"),
            (with("source_url", "https://127.0.0.1/".into()), Code::InvalidField, "source_url"),
            (with("source_url", "https://[fe80::1]/".into()), Code::InvalidField, "source_url"),
            (with("total_size", 7.into()), Code::UnknownField, "total_size"),
            (with("chunk_size_mb", 7.into()), Code::UnknownField, "chunk_size_mb"),
            (with("checksum", Value::Null), Code::UnknownField, "checksum"),
        ] {
            assert_eq!(asked(body.clone()).unwrap_err(), (code, field.into()), "{body}");
        }
    }
}
