//! `GET /healthz` and `GET /readyz` (R65).

use crate::spec::Operation;
use crate::state::App;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use scriptorium_shared::ops::check;
use serde::Serialize;
use serde_json::json;

/// The process runs.
pub async fn healthz() -> Response {
    ([(header::CACHE_CONTROL, "no-store")], axum::Json(json!({"status": "ok"}))).into_response()
}

pub fn describe_healthz(operation: &mut Operation<'_>) {
    let status =
        json!({ "type": "object", "required": ["status"], "properties": { "status": { "const": "ok" } } });
    operation.says("healthz", "service", "Whether the process runs").reply(
        StatusCode::OK,
        "It does.",
        "application/json",
        &status,
    );
}

pub fn describe_readyz(operation: &mut Operation<'_>) {
    operation
        .says("readyz", "service", "Whether the process can do its work")
        .reply_of::<Ready>(StatusCode::OK, "It can.")
        .reply_of::<Ready>(
            StatusCode::SERVICE_UNAVAILABLE,
            "It cannot: something that it needs does not answer.",
        );
}

#[derive(Debug, Serialize, JsonSchema)]
struct Ready {
    /// `ok`, `unavailable` or `shutting_down`.
    status: &'static str,
    checks: Checks,
}

/// `ok`, or what is wrong.
#[derive(Debug, Serialize, JsonSchema)]
struct Checks {
    store: &'static str,
    queue: &'static str,
    objects: &'static str,
}

/// The process can do its work: everything that it needs answers.
pub async fn readyz(State(app): State<App>) -> Response {
    let patience = app.config.ready_timeout;
    let (store, queue, objects) = tokio::join!(
        check("store", patience, app.jobs.store.ping()),
        check("queue", patience, app.jobs.queue.ping()),
        check("objects", patience, app.jobs.objects.ping()),
    );
    let fine = [store, queue, objects].iter().all(|result| *result == "ok");
    let status = match (app.shutdown.is_cancelled(), fine) {
        (true, _) => "shutting_down",
        (false, true) => "ok",
        (false, false) => "unavailable",
    };
    let code = if status == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = Ready { status, checks: Checks { store, queue, objects } };
    let mut response = (code, axum::Json(body)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
