//! OpenAI's request, for the API's document. What is checked stands in [`super::request`].

use super::error::ErrorDocument;
use super::reply::Usage;
use super::request::MAX_MODEL;
use crate::spec::Schemas;
use crate::whole::shape::common;
use serde_json::{Value, json};

/// The data of a streamed answer's events.
pub fn events(schemas: &mut Schemas) -> Value {
    let usage = schemas.written::<Usage>();
    let error = schemas.written::<ErrorDocument>();
    let event = |name: &str, field: &str, usage: Value| {
        json!({
            "type": "object",
            "required": ["type", field],
            "properties": { "type": { "const": name }, field: { "type": "string" }, "usage": usage },
        })
    };
    let (delta, done) =
        (event("transcript.text.delta", "delta", json!(false)), event("transcript.text.done", "text", usage));
    json!({ "anyOf": [delta, done, error] })
}

/// The form of `POST /v1/audio/transcriptions`.
pub fn form() -> Value {
    let mut fields = common();
    let own = [
        (
            "model",
            json!({
                "type": "string", "minLength": 1, "maxLength": MAX_MODEL, "pattern": "^[ -~]*[!-~][ -~]*$",
                "description": "Any name: the service's own model is used.",
            }),
        ),
        (
            "response_format",
            json!({
                "type": "string", "enum": ["json", "text", "srt", "verbose_json", "vtt", ""], "default": "json",
                "description": "With `stream` only json and text.",
            }),
        ),
        (
            "timestamp_granularities[]",
            json!({
                "type": "array", "items": { "type": "string", "enum": ["word", "segment"] },
                "description": "For `verbose_json`, and only there.",
            }),
        ),
        ("temperature", json!({ "enum": [0, ""], "description": "Nothing is drawn by lot here." })),
        (
            "chunking_strategy",
            json!({ "enum": ["auto", ""], "description": "The service cuts by the sound." }),
        ),
        (
            "stream",
            json!({
                "type": "string", "enum": ["true", "false", ""], "description": "The text as it grows, as OpenAI's events.",
            }),
        ),
    ];
    fields.extend(own.into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    json!({ "type": "object", "required": ["file", "model"], "additionalProperties": false, "properties": fields })
}
