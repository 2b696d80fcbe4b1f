//! `GET /docs/errors/{code}`: what a problem's `type` points to.

use crate::problem::Problem;
use crate::request::address::ErrorInPath;
use crate::spec::Operation;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::json;

pub fn describe(operation: &mut Operation<'_>) {
    operation
        .says("error_page", "service", "What a problem means, and what to do about it")
        .more("The address in the `type` of a problem.")
        .reply(StatusCode::OK, "The page.", "text/markdown", &json!({ "type": "string" }));
}

pub async fn error_page(ErrorInPath(code): ErrorInPath) -> Result<Response, Problem> {
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], code.page()).into_response())
}
