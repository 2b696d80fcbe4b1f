//! `GET /openapi.json` and `GET /docs`: what this service can be asked, for programs and for people.

use crate::spec::{Document, Operation, page};
use crate::state::App;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

/// What is answered, written once.
pub struct Docs {
    document: Bytes,
    page: Bytes,
    security_policy: HeaderValue,
}

impl Docs {
    pub fn new(document: Document) -> Self {
        let document = document.finish();
        let policy = HeaderValue::try_from(page::security_policy());
        Self {
            page: page::of(&document).into(),
            document: written(&document).into(),
            security_policy: policy.unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'")),
        }
    }
}

/// As it is committed.
pub fn written(document: &Value) -> String {
    format!("{document:#}\n")
}

pub fn describe_document(operation: &mut Operation<'_>) {
    let document = json!({ "type": "object", "required": ["openapi", "info", "paths", "components"] });
    operation.says("openapi", "service", "This document").reply(
        StatusCode::OK,
        "OpenAPI 3.1.",
        "application/json",
        &document,
    );
}

pub async fn document(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], app.docs.document.clone()).into_response()
}

pub fn describe_page(operation: &mut Operation<'_>) {
    operation.says("docs", "service", "This document, for people").reply(
        StatusCode::OK,
        "A page that needs nothing from elsewhere.",
        "text/html",
        &json!({ "type": "string" }),
    );
}

pub async fn page(State(app): State<App>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, app.docs.security_policy.clone()),
    ];
    (headers, app.docs.page.clone()).into_response()
}
