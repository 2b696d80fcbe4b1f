//! What stands before every route but the open ones.

use crate::openai;
use crate::problem::Problem;
use crate::state::App;
use crate::whole;
use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue};
use scriptorium_shared::limiter::{Rate, Spent};

/// Finds out who calls; sends away whoever may not.
pub async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    match app.access.admit(request.method(), request.uri(), request.headers()).await {
        Ok((caller, rated)) => {
            request.extensions_mut().insert(caller);
            let mut response = next.run(request).await;
            if let Some((rate, spent)) = rated {
                response.headers_mut().extend(rate_headers(rate, spent));
            }
            response
        }
        Err(problem) => refuse(&app, request, problem).await,
    }
}

async fn refuse(app: &App, request: Request, problem: Problem) -> Response {
    let path = request.uri().path().to_owned();
    tracing::debug!(path, code = problem.code.name(), "a caller was sent away");
    if !request.body().is_end_stream() {
        whole::linger(request.into_body(), app.config.body_timeout).await;
    }
    openai::error::reply_at(&path, problem)
}

/// As in the IETF's draft "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers).
pub fn rate_headers(rate: Rate, spent: Spent) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let policy = format!("\"requests\";q={};w={}", rate.quota, rate.window.as_secs());
    let state = format!("\"requests\";r={};t={}", spent.remaining, spent.reset.as_secs_f64().ceil());
    [("ratelimit-policy", policy), ("ratelimit", state)]
        .into_iter()
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?)))
}
