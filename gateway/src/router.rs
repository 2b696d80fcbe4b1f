//! Which address leads where, and what surrounds every request.

use crate::access::guard;
use crate::config::{GatewayConfig, Tenancy};
use crate::hosts;
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
use axum::routing::{MethodRouter, delete, get, post};
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

/// Who may come in by an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Anybody: nothing there is of a tenant.
    Open,
    /// Whoever has a key, where keys are required, and to what is his.
    Tenant,
}

/// One of the API's addresses.
#[derive(Clone, Debug)]
pub struct Address {
    pub method: Method,
    pub path: &'static str,
    pub door: Door,
}

/// A method, an address, and what answers there.
type Row = (Method, &'static str, MethodRouter<App>);

/// For everybody.
fn open() -> Vec<Row> {
    vec![
        (Method::GET, "/docs/errors/{code}", get(error_page::error_page)),
        (Method::GET, "/healthz", get(health::healthz)),
        (Method::GET, "/readyz", get(health::readyz)),
    ]
}

/// For tenants.
fn guarded() -> Vec<Row> {
    vec![
        (Method::POST, "/chunked-upload-stream", post(init::init)),
        (Method::GET, "/chunked-upload-urls", get(urls::get)),
        (Method::POST, "/chunked-upload-urls", post(urls::post)),
        (Method::POST, "/chunk-upload-complete", post(notice::notice)),
        (Method::GET, "/chunked-upload-status", get(status::status)),
        (Method::POST, "/chunked-upload-cancel", post(cancel::cancel)),
        (Method::POST, "/chunked-upload-retry", post(retry::retry)),
        (Method::GET, "/chunked-stream/{id}", get(stream::stream)),
        (Method::GET, LIST, get(jobs::list)),
        (Method::GET, "/jobs/{id}", get(status::of_job)),
        (Method::DELETE, "/jobs/{id}", delete(jobs::delete)),
        (Method::GET, "/jobs/{id}/transcript", get(transcript::transcript)),
        (Method::GET, "/api/transcripts/{id}", get(upload::get)),
        (Method::GET, "/jobs/{id}/webhooks", get(webhooks::list)),
        (Method::POST, "/jobs/{id}/webhooks/{webhook}/redeliver", post(webhooks::redeliver)),
    ]
}

/// For tenants too. They take as long as the client's network takes, and have bounds of their own.
fn guarded_and_long() -> Vec<Row> {
    vec![
        (Method::POST, "/api/transcripts/upload", post(upload::upload)),
        (Method::POST, "/v1/audio/transcriptions", post(openai::transcriptions)),
    ]
}

/// All addresses. There are no others: the router is made of the same rows.
pub fn addresses() -> Vec<Address> {
    let of = |door| move |(method, path, _): Row| Address { method, path, door };
    let guarded = guarded().into_iter().chain(guarded_and_long()).map(of(Door::Tenant));
    open().into_iter().map(of(Door::Open)).chain(guarded).collect()
}

fn rows(router: Router<App>, rows: Vec<Row>) -> Router<App> {
    rows.into_iter().fold(router, |router, (_, path, handler)| router.route(path, handler))
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
    let app = App::new(config, jobs, access, shutdown, tasks.clone());
    tasks.spawn(Arc::clone(&app.hub).run(app.jobs.bus.clone(), app.shutdown.clone()));
    let (cors, hosts) = (app.config.cors, app.config.allowed_hosts.clone());
    let timed = || middleware::from_fn_with_state(app.clone(), in_time);
    let guarded = rows(rows(Router::new(), guarded()).route_layer(timed()), guarded_and_long());
    let router = guarded
        .route_layer(middleware::from_fn_with_state(app.clone(), guard))
        .merge(rows(Router::new(), open()).route_layer(timed()))
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

/// Of every reply that does not say otherwise. Nothing here is a page: nothing may be loaded, framed or guessed from it.
const SECURITY_HEADERS: [(&str, &str); 5] = [
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("x-frame-options", "DENY"),
    // Addresses of streams hold a token.
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
];

/// Pages of all origins: the API knows no cookies, so there is nothing that a foreign page could misuse.
/// Pages of any origin may do what needs a job's id, which nobody can guess. They may neither list the jobs nor delete one: a
/// page that a user happens to visit could do so on the server of his own machine.
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
