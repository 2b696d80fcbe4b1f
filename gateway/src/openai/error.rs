//! Errors as OpenAI's clients read them: `{"error": {message, type, param, code}}`.

use crate::problem::{Code, Problem};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use scriptorium_contracts::failure::{Failure, FailureCode};
use serde::Serialize;
use serde_json::{Value, json};

/// Routes below it answer in OpenAI's form.
const ROUTES: &str = "/v1/";

/// The problem as an answer of the route at `path`, for those who stand before it.
pub fn reply_at(path: &str, problem: Problem) -> Response {
    if path.starts_with(ROUTES) { reply(&problem) } else { problem.into_response() }
}

/// The problem as an answer.
pub fn reply(problem: &Problem) -> Response {
    let (status, document) = of_problem(problem);
    // Its headers are those of the problem: when to come back, whether the connection is of use any more.
    let mut response = problem.clone().into_response();
    *response.status_mut() = status;
    replace(response, document)
}

/// The same as an object. It has the problem's own code; whatever a client could have done better is a 400 there.
pub fn of_problem(problem: &Problem) -> (StatusCode, Value) {
    let status = match problem.code.status() {
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::CONFLICT => StatusCode::BAD_REQUEST,
        status => status,
    };
    let param = problem.extra.get("field").cloned().unwrap_or(Value::Null);
    (status, document(status, &problem.detail, param, problem.code.name()))
}

/// A job that ended without a transcript.
pub fn failed(failure: &Failure) -> Response {
    let (status, document) = of_failure(failure);
    replace(status.into_response(), document)
}

/// The same as an object.
pub fn of_failure(failure: &Failure) -> (StatusCode, Value) {
    let status = match failure.code {
        FailureCode::NotAudio
        | FailureCode::UnsupportedMedia
        | FailureCode::DamagedHeader
        | FailureCode::DamagedMedia => StatusCode::BAD_REQUEST,
        FailureCode::StorageUnavailable
        | FailureCode::ObjectMissing
        | FailureCode::EngineFailed
        | FailureCode::EngineUnavailable
        | FailureCode::WorkerLost
        | FailureCode::TimedOut
        | FailureCode::AssemblyFailed
        | FailureCode::SourceUnavailable
        | FailureCode::SourceRefused
        | FailureCode::SourceChanged
        | FailureCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let code = serde_json::to_value(failure.code).unwrap_or_default();
    let param = if status == StatusCode::BAD_REQUEST { json!("file") } else { Value::Null };
    (status, document(status, &failure.detail, param, code.as_str().unwrap_or_default()))
}

/// The transcript was not there in time; `record` is where it will be. To send the recording again would be of no use.
pub fn not_in_time(record: &str) -> Response {
    let status = StatusCode::GATEWAY_TIMEOUT;
    let message = format!("The transcript is not ready yet. The work goes on; see {record}.");
    let document = document(status, &message, Value::Null, Code::TranscriptNotReady.name());
    let mut response = replace(status.into_response(), document);
    // Obeyed by OpenAI's own clients.
    response.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
    response
}

/// `{"error": …}`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OpenAiError")]
pub struct ErrorDocument {
    error: ErrorMembers,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OpenAiErrorMembers")]
struct ErrorMembers {
    /// What happened, and what can be done.
    message: String,
    /// `invalid_request_error` or `server_error`.
    r#type: &'static str,
    /// The field that is to blame.
    param: Option<String>,
    /// The `code` of a problem, or of the job's failure.
    code: String,
}

fn document(status: StatusCode, message: &str, param: Value, code: &str) -> Value {
    let r#type = if status.is_server_error() { "server_error" } else { "invalid_request_error" };
    let param = param.as_str().map(str::to_owned);
    let error = ErrorMembers { message: message.to_owned(), r#type, param, code: code.to_owned() };
    json!(ErrorDocument { error })
}

fn replace(mut response: Response, document: Value) -> Response {
    *response.body_mut() = document.to_string().into();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parts(response: Response) -> (u16, Value) {
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn problems_become_errors() {
        let problem = Problem::field(Code::InvalidField, "language", "No.");
        let error = json!({"message": "No.", "type": "invalid_request_error", "param": "language", "code": "invalid_field"});
        assert_eq!(parts(reply(&problem)).await, (400, json!({"error": error})));
        let unavailable = reply(&Problem::new(Code::ServiceUnavailable, "Later."));
        assert_eq!(unavailable.headers()[header::RETRY_AFTER], "2");
        let error = json!({"message": "Later.", "type": "server_error", "param": null, "code": "service_unavailable"});
        assert_eq!(parts(unavailable).await, (503, json!({"error": error})));
        assert_eq!(parts(reply(&Problem::new(Code::FileTooLarge, ""))).await.0, 413);
    }

    #[tokio::test]
    async fn failures_become_errors() {
        let (status, document) = parts(failed(&Failure::new(FailureCode::NotAudio, "A picture."))).await;
        assert_eq!(
            (status, &document["error"]["code"], &document["error"]["param"]),
            (400, &json!("not_audio"), &json!("file"))
        );
        let (status, document) = parts(failed(&Failure::new(FailureCode::EngineFailed, "x"))).await;
        assert_eq!((status, &document["error"]["type"]), (500, &json!("server_error")));
        let late = not_in_time("/api/transcripts/7");
        assert_eq!(
            (late.status().as_u16(), &late.headers()["x-should-retry"]),
            (504, &HeaderValue::from_static("false"))
        );
    }
}
