//! The forms that bring a recording, for the API's document. What is checked stands in [`super::form`] and in the session's
//! request.

use crate::problem::Code;
use crate::request::init::{MAX_PARALLEL, MAX_PROMPT, MAX_WEBHOOK_URL, shape};
use schemars::SchemaGenerator;
use scriptorium_contracts::job::MAX_FILE_SIZE;
use scriptorium_contracts::language;
use serde_json::{Map, Value, json};

/// What receiving a form may end in.
pub const PROBLEMS: [Code; 16] = [
    Code::UnsupportedContentType,
    Code::LengthRequired,
    Code::MalformedBody,
    Code::BodyTooLarge,
    Code::FileTooLarge,
    Code::RequestTimeout,
    Code::FieldAfterFile,
    Code::LengthMismatch,
    Code::MissingField,
    Code::UnknownField,
    Code::InvalidField,
    Code::NotSupportedYet,
    Code::WebhooksNotConfigured,
    Code::LlmNotConfigured,
    Code::TooManyUploads,
    // Deleted while it was waited for.
    Code::JobNotFound,
];

/// Fields that all forms have.
pub fn common() -> Map<String, Value> {
    // Fields of a page's form that were not filled in come empty.
    let languages: Vec<&str> = language::codes().chain(["auto", ""]).collect();
    let fields = [
        (
            "file",
            json!({
                "type": "string", "format": "binary", "minLength": 1,
                "description": "The recording. Its name is kept, and tells of the container.",
            }),
        ),
        (
            "total_size",
            json!({
                "type": "integer", "minimum": 1, "maximum": MAX_FILE_SIZE,
                "description": "The file's number of bytes, for clients that send something behind the file. Has to be true.",
            }),
        ),
        (
            "language",
            json!({
                "type": "string", "enum": languages, "description": "Two- or three-letter code, or `auto`: it is detected.",
            }),
        ),
        (
            "prompt",
            json!({
                "type": "string", "maxLength": MAX_PROMPT, "pattern": shape::NO_NUL,
                "description": "What the engine is to take as said before: names and terms that it may not know.",
            }),
        ),
    ];
    fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// Forms are text: truth values, too.
fn truth_value(description: &str) -> Value {
    json!({ "type": "string", "enum": ["true", "false"], "description": description })
}

/// The form of `POST /api/transcripts/upload`.
pub fn session() -> Value {
    let mut fields = common();
    let metadata = shape::metadata(&mut SchemaGenerator::default()).to_value();
    let own = [
        ("word_timestamps", truth_value("Times of single words.")),
        (
            "use_cache",
            truth_value("Whether text that is known of the same sound may be taken, and kept for later."),
        ),
        (
            "max_parallel_chunks",
            json!({
                "type": "integer", "minimum": 1, "maximum": MAX_PARALLEL,
                "description": "Chunks of the job that are processed at once; the server's own limit holds all the same.",
            }),
        ),
        ("metadata", metadata),
        (
            "webhook_url",
            json!({
                "type": "string", "maxLength": MAX_WEBHOOK_URL, "pattern": format!("^$|{}", shape::HTTPS),
                "description": "Is told when the job ends. An https address of a name in ASCII; the server has to have a secret \
                                for webhooks.",
            }),
        ),
        (
            "use_llm",
            json!({
                "type": "string", "enum": ["true", "false"],
                "description": "Corrections by a language model; the server has to have one.",
            }),
        ),
        (
            "llm_mode",
            json!({
                "type": "string", "enum": ["per_chunk", "post_process", ""],
                "description": "When the text is corrected; post_process if it is not given.",
            }),
        ),
    ];
    fields.extend(own.into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    json!({ "type": "object", "required": ["file"], "additionalProperties": false, "properties": fields })
}
