//! Which address leads where, and what surrounds every request.

use crate::access::guard;
use crate::config::{GatewayConfig, Tenancy};
use crate::hosts;
use crate::openai::error::reply_at;
use crate::panics;
use crate::problem::{Code, Problem};
use crate::routes::{
    cancel, docs, edits, error_page, health, init, jobs, notice, openai, retry, source, status, stream,
    transcript, upload, urls, webhooks,
};
use crate::spec::{Address, Document, Door, Routes};
use crate::state::App;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, header};
use scriptorium_shared::jobs::Jobs;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;

/// The list of jobs.
const LIST: &str = "/jobs";

/// Which method of which address leads where, by what surrounds it.
struct Routers {
    /// For everybody.
    open: Router<App>,
    /// For tenants.
    guarded: Router<App>,
    /// For tenants too. They take as long as the network takes, and have bounds of their own.
    long: Router<App>,
}

fn routes() -> (Routers, Document) {
    let (guarded, document) = Routes::new(Door::Tenant, Document::default())
        .post("/chunked-upload-stream", init::init, init::describe)
        .get("/chunked-upload-urls", urls::get, urls::describe_get)
        .post("/chunked-upload-urls", urls::post, urls::describe_post)
        .post("/chunk-upload-complete", notice::notice, notice::describe)
        .get("/chunked-upload-status", status::status, status::describe)
        .post("/chunked-upload-cancel", cancel::cancel, cancel::describe)
        .post("/chunked-upload-retry", retry::retry, retry::describe)
        .get("/chunked-stream/{id}", stream::stream, stream::describe)
        .get(LIST, jobs::list, jobs::describe_list)
        .get("/jobs/{id}", status::of_job, status::describe_of_job)
        .delete("/jobs/{id}", jobs::delete, jobs::describe_delete)
        .get("/jobs/{id}/transcript", transcript::transcript, transcript::describe)
        .post("/jobs/{id}/edits/{edit}/revert", edits::revert, edits::describe)
        .get("/api/transcripts/{id}", upload::get, upload::describe_get)
        .get("/jobs/{id}/webhooks", webhooks::list, webhooks::describe_list)
        .post("/jobs/{id}/webhooks/{webhook}/redeliver", webhooks::redeliver, webhooks::describe_redeliver)
        .finish();
    let (long, document) = Routes::new(Door::Tenant, document)
        .post("/api/transcripts", source::fetch, source::describe)
        .post("/api/transcripts/upload", upload::upload, upload::describe)
        .post("/v1/audio/transcriptions", openai::transcriptions, openai::describe)
        .finish();
    let (open, document) = Routes::new(Door::Open, document)
        .get("/openapi.json", docs::document, docs::describe_document)
        .get("/docs", docs::page, docs::describe_page)
        .get("/docs/errors/{code}", error_page::error_page, error_page::describe)
        .get("/healthz", health::healthz, health::describe_healthz)
        .get("/readyz", health::readyz, health::describe_readyz)
        .finish();
    (Routers { open, guarded, long }, document)
}

/// All addresses. There are no others: the router is made of the same calls.
pub fn addresses() -> Vec<Address> {
    routes().1.addresses().to_vec()
}

/// The API's document (OpenAPI 3.1), as it is committed and served.
pub fn document() -> String {
    docs::written(&routes().1.finish())
}

/// The API. The task that passes wake-ups on to live streams belongs to `tasks` and ends with `shutdown`, as the
/// streams do.
pub fn router(
    config: GatewayConfig,
    jobs: Jobs,
    access: Tenancy,
    shutdown: CancellationToken,
    tasks: &TaskTracker,
) -> Router {
    let (Routers { open, guarded, long }, document) = routes();
    let app = App::new(config, jobs, access, shutdown, tasks.clone(), docs::Docs::new(document));
    tasks.spawn(Arc::clone(&app.hub).run(app.jobs.bus.clone(), app.shutdown.clone()));
    let (cors, hosts) = (app.config.cors, app.config.allowed_hosts.clone());
    let timed = || middleware::from_fn_with_state(app.clone(), in_time);
    let router = guarded
        .route_layer(timed())
        .merge(long)
        .route_layer(middleware::from_fn_with_state(app.clone(), guard))
        .merge(open.route_layer(timed()))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(route_not_found)
        .layer(middleware::from_fn(watch))
        .layer(CatchPanicLayer::custom(panics::reply))
        .with_state(app);
    let router = if cors { router.layer(cors_layer()) } else { router };
    let router = SECURITY_HEADERS.into_iter().fold(router, |router, (name, value)| {
        router.layer(SetResponseHeaderLayer::if_not_present(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        ))
    });
    match hosts {
        Some(hosts) => {
            router.layer(middleware::from_fn_with_state(Arc::<[String]>::from(hosts), hosts::check))
        }
        None => router,
    }
}

/// Of every reply that does not say otherwise, as the page of the API does. What is no page needs nothing loaded, framed or guessed.
const SECURITY_HEADERS: [(&str, &str); 5] = [
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("x-frame-options", "DENY"),
    // Addresses of streams hold a token.
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
];

/// Pages of any origin, where [`hosts`] lets them through, may do what needs a key or a job's id, which nobody can guess: the API knows
/// no cookies. They may neither list the jobs nor delete one.
fn cors_layer() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(|_, request| request.uri.path() != LIST))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            header::RETRY_AFTER,
            header::LOCATION,
            HeaderName::from_static("ratelimit"),
            HeaderName::from_static("ratelimit-policy"),
        ])
        .max_age(Duration::from_secs(3_600))
}

async fn route_not_found(request: Request) -> Response {
    let path = request.uri().path();
    let detail = format!("There is nothing at {}.", crate::request::json::shorten(path));
    reply_at(path, Problem::new(Code::RouteNotFound, detail))
}

async fn method_not_allowed(request: Request) -> Response {
    let path = request.uri().path();
    let detail = format!("{} does not take {}.", crate::request::json::shorten(path), request.method());
    reply_at(path, Problem::new(Code::MethodNotAllowed, detail))
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
