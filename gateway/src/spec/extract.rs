//! What an operation reads, by the parameters of its handler.

use super::Operation;
use crate::access::Caller;
use crate::problem::Code;
use crate::request::address::{EditInPath, ErrorInPath, JobInPath, Parameters, WebhookInPath};
use crate::request::json::{Json, MAX_BODY};
use crate::state::App;
use axum::extract::{Request, State};
use http::HeaderMap;
use schemars::JsonSchema;
use scriptorium_contracts::correction::MAX_EDITS;
use serde_json::json;

/// A parameter of a handler.
pub trait Extracted {
    fn describe(operation: &mut Operation<'_>);
}

/// Nothing of the request.
impl Extracted for State<App> {
    fn describe(_: &mut Operation<'_>) {}
}

/// Of the door before it.
impl Extracted for Caller {
    fn describe(_: &mut Operation<'_>) {}
}

/// Which ones, the operation's own description tells.
impl Extracted for HeaderMap {
    fn describe(_: &mut Operation<'_>) {}
}

/// What of it, the operation's own description tells.
impl Extracted for Request {
    fn describe(_: &mut Operation<'_>) {}
}

impl<T: JsonSchema> Extracted for Json<T> {
    fn describe(operation: &mut Operation<'_>) {
        let schema = operation.schemas().read::<T>();
        let limit = format!("At most {MAX_BODY} bytes.");
        operation.body(&limit, "application/json", &schema).problems(&[
            Code::MalformedJson,
            Code::MalformedBody,
            Code::UnknownField,
            Code::MissingField,
            Code::InvalidField,
            Code::BodyTooLarge,
            Code::UnsupportedContentType,
            Code::RequestTimeout,
        ]);
    }
}

impl<T: JsonSchema> Extracted for Parameters<T> {
    fn describe(operation: &mut Operation<'_>) {
        let schema = operation.schemas().read::<T>();
        operation.query(&schema).problems(&[Code::MalformedQuery]);
    }
}

impl Extracted for JobInPath {
    fn describe(operation: &mut Operation<'_>) {
        let schema = json!({ "type": "string", "format": "uuid" });
        operation
            .path_parameter("id", "The job.", &schema)
            .problems(&[Code::InvalidJobId, Code::JobNotFound]);
    }
}

impl Extracted for WebhookInPath {
    fn describe(operation: &mut Operation<'_>) {
        JobInPath::describe(operation);
        let schema = json!({ "type": "string", "pattern": "^msg_[0-9a-f]{32}_[1-9][0-9]*$" });
        operation
            .path_parameter("webhook", "The `webhook_id` of a message.", &schema)
            .problems(&[Code::WebhookNotFound]);
    }
}

impl Extracted for EditInPath {
    fn describe(operation: &mut Operation<'_>) {
        JobInPath::describe(operation);
        let schema = json!({ "type": "integer", "minimum": 0, "maximum": MAX_EDITS - 1 });
        operation.path_parameter("edit", "The `id` of an edit.", &schema).problems(&[Code::EditNotFound]);
    }
}

impl Extracted for ErrorInPath {
    fn describe(operation: &mut Operation<'_>) {
        let names = Code::ALL.map(Code::name);
        let schema = json!({ "type": "string", "enum": names.as_slice() });
        operation
            .path_parameter("code", "The `code` of a problem.", &schema)
            .problems(&[Code::RouteNotFound]);
    }
}
