//! `GET /docs/errors/{code}`: what a problem's `type` points to.

use crate::problem::{Code, Problem};
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header;

pub async fn error_page(Path(name): Path<String>) -> Result<Response, Problem> {
    let code = Code::ALL
        .into_iter()
        .find(|code| code.name() == name)
        .ok_or_else(|| Problem::new(Code::RouteNotFound, "There is no problem with this name."))?;
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], code.page()).into_response())
}
