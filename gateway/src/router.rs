//! Which address leads where, and what surrounds every request.

use crate::config::GatewayConfig;
use crate::panics;
use crate::problem::{Code, Problem};
use crate::routes::{
    cancel, error_page, health, init, jobs, notice, openai, retry, status, stream, transcript, upload, urls,
    webhooks,
};
use crate::state::App;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use http::{Method, header};
use scriptorium_shared::jobs::Jobs;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// The list of jobs.
const LIST: &str = "/jobs";

/// The API. The task that passes wake-ups on to live streams belongs to `tasks` and ends with `shutdown`, as the
/// streams do.
pub fn router(config: GatewayConfig, jobs: Jobs, shutdown: CancellationToken, tasks: &TaskTracker) -> Router {
    let app = App::new(config, jobs, shutdown, tasks.clone());
    tasks.spawn(Arc::clone(&app.hub).run(app.jobs.bus.clone(), app.shutdown.clone()));
    let cors = app.config.cors;
    let router = Router::new()
        .route("/chunked-upload-stream", post(init::init))
        .route("/chunked-upload-urls", get(urls::get).post(urls::post))
        .route("/chunk-upload-complete", post(notice::notice))
        .route("/chunked-upload-status", get(status::status))
        .route("/chunked-upload-cancel", post(cancel::cancel))
        .route("/chunked-upload-retry", post(retry::retry))
        .route("/chunked-stream/{id}", get(stream::stream))
        .route(LIST, get(jobs::list))
        .route("/jobs/{id}", get(status::of_job).delete(jobs::delete))
        .route("/jobs/{id}/transcript", get(transcript::transcript))
        .route("/api/transcripts/{id}", get(upload::get))
        .route("/jobs/{id}/webhooks", get(webhooks::list))
        .route("/jobs/{id}/webhooks/{webhook}/redeliver", post(webhooks::redeliver))
        .route("/docs/errors/{code}", get(error_page::error_page))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route_layer(middleware::from_fn_with_state(app.clone(), in_time))
        // As long as the client's network takes: they have bounds of their own.
        .route("/api/transcripts/upload", post(upload::upload))
        .route("/v1/audio/transcriptions", post(openai::transcriptions))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(route_not_found)
        .layer(middleware::from_fn(watch))
        .layer(CatchPanicLayer::custom(panics::reply))
        .with_state(app);
    if cors { router.layer(cors_layer()) } else { router }
}

/// Pages of all origins: the API knows no cookies, so there is nothing that a foreign page could misuse.
/// Pages of any origin may do what needs a job's id, which nobody can guess. They may neither list the jobs nor delete one: a
/// page that a user happens to visit could do so on the server of his own machine.
fn cors_layer() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(|_, request| request.uri.path() != LIST))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::RETRY_AFTER, header::LOCATION])
        .max_age(Duration::from_secs(3_600))
}

async fn route_not_found(request: Request) -> Problem {
    let path = crate::request::json::shorten(request.uri().path());
    Problem::new(Code::RouteNotFound, format!("There is nothing at {path}."))
}

async fn method_not_allowed(request: Request) -> Problem {
    let path = crate::request::json::shorten(request.uri().path());
    Problem::new(Code::MethodNotAllowed, format!("{path} does not take {}.", request.method()))
}

/// Bounds the time of a request up to its reply's head: the bodies of streams are outside of it.
async fn in_time(State(app): State<App>, request: Request, next: Next) -> Result<Response, Problem> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    tokio::time::timeout(app.config.request_timeout, next.run(request)).await.map_err(|_| {
        tracing::warn!(%method, path, "a request was given up: it took too long");
        Problem::new(Code::ServiceUnavailable, "The request took too long. Try again.")
    })
}

/// Logs every request.
async fn watch(request: Request, next: Next) -> Response {
    let began = Instant::now();
    // Without the query: it may hold what is nobody's business.
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let reply = next.run(request).await;
    let milliseconds = began.elapsed().as_millis();
    tracing::debug!(%method, path, status = reply.status().as_u16(), milliseconds, "a request");
    reply
}
