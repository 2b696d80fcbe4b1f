//! Errors as clients see them: RFC 9457 problem details.

mod code;
mod from_jobs;
mod from_source;

use crate::access::rate_headers;
use axum::response::{IntoResponse, Response};
pub use code::Code;
use http::{HeaderName, HeaderValue, StatusCode, header};
use scriptorium_shared::limiter::{Rate, Spent};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Seconds after which a client should try again when a part of the service does not answer.
const RETRY_AFTER: u32 = 2;

/// A problem: `{type, title, status, code, detail, …}` as `application/problem+json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub code: Code,
    /// What happened this time and what the client can do. No internal text.
    pub detail: String,
    /// Further members, such as `field` or `expected_size`. Boxed: problems are rare, results that may hold one are not.
    pub extra: Box<Map<String, Value>>,
    /// Further headers of the reply.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), extra: Box::default(), headers: Vec::new() }
    }

    /// With one more member.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// With the time after which it may be tried again, in whole seconds.
    pub fn after(mut self, pause: Duration) -> Self {
        let seconds = pause.as_secs_f64().ceil().clamp(1.0, 1e6) as u64;
        self.headers.push((header::RETRY_AFTER, HeaderValue::from(seconds)));
        self
    }

    /// With what is left of the caller's rate.
    pub fn rated(mut self, rate: Rate, spent: Spent) -> Self {
        self.headers.extend(rate_headers(rate, spent));
        self
    }

    /// A field of the body is to blame.
    pub fn field(code: Code, field: &str, detail: impl Into<String>) -> Self {
        Self::new(code, detail).with("field", field)
    }

    /// The body of the reply.
    pub fn document(&self) -> Value {
        let mut document = (*self.extra).clone();
        let fixed = [
            ("type", json!(format!("/docs/errors/{}", self.code.name()))),
            ("title", json!(self.code.title())),
            ("status", json!(self.code.status().as_u16())),
            ("code", json!(self.code.name())),
            ("detail", json!(self.detail)),
        ];
        for (name, value) in fixed {
            document.insert(name.to_owned(), value);
        }
        Value::Object(document)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let mut response = (status, self.document().to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"scriptorium\""));
        }
        headers.extend(self.headers);
        if status == StatusCode::REQUEST_TIMEOUT {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_members_of_rfc_9457_and_its_own() {
        let problem =
            Problem::field(Code::UnknownField, "colour", "There is no field `colour`.").with("status", 1);
        let document = problem.document();
        assert_eq!(
            document,
            json!({
                "type": "/docs/errors/unknown_field",
                "title": "The body has an unknown field",
                "status": 422,
                "code": "unknown_field",
                "detail": "There is no field `colour`.",
                "field": "colour",
            })
        );
        let response = problem.into_response();
        assert_eq!(response.status(), 422);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }

    #[test]
    fn what_may_pass_says_when_to_come_back() {
        let response = Problem::new(Code::ServiceUnavailable, "").into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }
}
