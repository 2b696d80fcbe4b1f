//! `GET /healthz` and `GET /readyz` (R65).

use crate::state::App;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use scriptorium_shared::ops::check;
use serde::Serialize;

/// The process runs.
pub async fn healthz() -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], axum::Json(serde_json::json!({"status": "ok"})))
}

#[derive(Debug, Serialize)]
struct Ready {
    status: &'static str,
    checks: Checks,
}

#[derive(Debug, Serialize)]
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
