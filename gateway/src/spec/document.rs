//! The document as a whole.

use super::Operation;
use super::schemas::Schemas;
use crate::problem::Code;
use http::Method;
use serde_json::{Map, Value, json};

/// The parts of the API, in the order in which they are read.
const TAGS: [(&str, &str); 6] = [
    (
        "uploads",
        "Recordings in chunks: each chunk is put to an address of its own and transcribed while others are on their way.",
    ),
    ("recordings", "Recordings in one piece."),
    ("jobs", "What became of a recording: how far it is, its live stream, its transcript."),
    ("webhooks", "Messages that are sent when a job ends."),
    ("openai", "OpenAI's API for transcriptions, for their clients."),
    ("service", "The service itself."),
];

const ABOUT: &str = "Turns recordings into text while they are still being uploaded.\n\n\
    Whatever goes wrong is told as `application/problem+json`; its `code` never changes its meaning, and its `type` is the \
    address of a page about it. An address that is not here is answered with `404` and \
    [`route_not_found`](/docs/errors/route_not_found), a method that an address does not take with `405`, `Allow` and \
    [`method_not_allowed`](/docs/errors/method_not_allowed). Objects with fields that are not here are refused; fields may be \
    added to replies.";

/// Who may come in by an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Anybody: nothing there is of a tenant.
    Open,
    /// Whoever has a key, where keys are required, and to what is his.
    Tenant,
}

/// One of the API's addresses.
#[derive(Clone, Debug)]
pub struct Address {
    pub method: Method,
    pub path: &'static str,
    pub door: Door,
}

/// The name, in the document, of an API key sent as `Authorization: Bearer`.
const KEY: &str = "key";
/// That of the token in the address of a live stream.
pub const STREAM_TOKEN: &str = "stream_token";

/// Headers that come with replies of many operations: name, type, what they say.
pub const HEADERS: [(&str, &str, &str); 4] = [
    ("Retry-After", "integer", "Seconds after which to try again."),
    (
        "RateLimit",
        "string",
        "What is left of the tenant's requests: `\"requests\";r=…;t=…`, so many for so many seconds. Where his requests are limited.",
    ),
    (
        "RateLimit-Policy",
        "string",
        "How many requests the tenant may make: `\"requests\";q=…;w=…`, so many in so many seconds. Where they are limited.",
    ),
    ("WWW-Authenticate", "string", "`Bearer`: send an API key."),
];

/// What has been added to the document.
#[derive(Default)]
pub struct Document {
    addresses: Vec<Address>,
    schemas: Schemas,
    /// By path, then by method.
    paths: Map<String, Value>,
}

impl Document {
    /// Adds an operation, as `describe` tells it.
    pub fn add(&mut self, address: Address, describe: impl FnOnce(&mut Operation<'_>)) {
        let mut operation = Operation::new(&mut self.schemas);
        match address.door {
            Door::Open => {}
            // Without one where none is required.
            Door::Tenant => {
                operation.secured(KEY).optionally().problems(&[Code::Unauthorized, Code::RateLimited]);
            }
        }
        describe(&mut operation);
        let operation = operation.finish();
        let methods = self.paths.entry(address.path).or_insert_with(|| json!({}));
        if let Some(methods) = methods.as_object_mut() {
            methods.insert(address.method.as_str().to_ascii_lowercase(), operation);
        }
        self.addresses.push(address);
    }

    /// All that have been added.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    pub fn finish(self) -> Value {
        let tags = TAGS.map(|(name, description)| json!({ "name": name, "description": description }));
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Scriptorium",
                "version": env!("CARGO_PKG_VERSION"),
                "description": ABOUT,
                "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
            },
            "servers": [{ "url": "/" }],
            "tags": tags,
            "paths": self.paths,
            "components": {
                "schemas": self.schemas.finish(),
                "headers": headers(),
                "securitySchemes": security_schemes(),
            },
        })
    }
}

fn headers() -> Map<String, Value> {
    let header = |(name, kind, description): (&str, &str, &str)| {
        (name.to_owned(), json!({ "description": description, "schema": { "type": kind } }))
    };
    HEADERS.into_iter().map(header).collect()
}

fn security_schemes() -> Value {
    json!({
        KEY: {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key (`sk_…`). Needed where the server asks for one.",
        },
        STREAM_TOKEN: {
            "type": "apiKey",
            "in": "query",
            "name": "token",
            "description": "Part of a `stream_url`: opens this one stream, for browsers, which can send no header with it.",
        },
    })
}
