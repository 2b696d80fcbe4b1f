//! An S3 service in this process, on a folder: what `serve` uses in place of a store of its own.
//!
//! s3s speaks S3 (routes, signatures, XML); the files are ours ([`files`]). It does what the house needs and says so
//! otherwise (`NotImplemented`): `PUT`, `GET` with ranges, `HEAD`, `DELETE` of one or many, listing by prefix, one
//! bucket. No multipart uploads, copies, versions or access lists; user metadata is not kept.
//!
//! Every request must be signed (version 4), by header or in a presigned URL. A `PUT` is answered with 200 only when
//! the object is on the disk.

mod backend;
mod digest;
mod files;
mod footer;
mod guard;
mod incoming;
mod keys;
mod listing;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::{HeaderName, Method, StatusCode, header};
use s3s::auth::SimpleAuth;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::S3ServiceBuilder;
use s3s::{S3Error, s3_error};
use tower_http::cors::{Any, CorsLayer};
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

use self::backend::Backend;
use self::files::Files;
use self::guard::MAX_XML;

/// A client that sends nothing for so long is given up.
const IDLE: Duration = Duration::from_secs(60);
/// Longest upload, however slowly it drips (a stalled one ends much earlier).
const UPLOAD_TIME: Duration = Duration::from_secs(6 * 3600);
/// Longest time until any other answer begins.
const ANSWER_TIME: Duration = Duration::from_secs(120);
/// How long a browser need not ask again whether it may upload.
const PREFLIGHT_AGE: Duration = Duration::from_secs(3600);

/// Why a folder can't be served.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the object store's folder is in use by another process")]
    InUse,
    #[error("the bucket's name must be 3 to 63 lower-case letters, digits or hyphens")]
    BucketName,
    #[error("the object store's folder can't be used: {0}")]
    Io(#[from] io::Error),
}

/// The service; cheap to clone. The folder is released when the last clone and the last router of it are gone.
#[derive(Clone)]
pub struct S3Service {
    service: s3s::service::S3Service,
    bucket: Arc<str>,
}

impl S3Service {
    /// Opens the folder (made if missing) for one bucket and one pair of keys. Blocks for a moment: left-overs of an
    /// interrupted process are removed here.
    pub fn open(dir: &Path, bucket: &str, access_key: &str, secret_key: &str) -> Result<Self, OpenError> {
        // "incoming" and "lock" lie beside the bucket.
        let plain = !bucket.contains('.') && !matches!(bucket, "incoming" | "lock");
        if !plain || !s3s::path::check_bucket_name(bucket) {
            return Err(OpenError::BucketName);
        }
        let files = Arc::new(Files::open(dir, bucket)?);
        let mut builder = S3ServiceBuilder::new(Backend { files, bucket: bucket.to_owned(), idle: IDLE });
        builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(limits()))));
        Ok(Self { service: builder.build(), bucket: bucket.into() })
    }

    /// Serves `/{bucket}` and everything below it, with any host name, for browsers of any origin.
    ///
    /// To be merged into the process's own router. No limit on body size or request time may lie around it: it has
    /// its own, and an upload takes as long as the client's network does.
    pub fn router(&self) -> Router {
        let bucket = &self.bucket;
        Router::new()
            .route(&format!("/{bucket}"), any(answer))
            .route(&format!("/{bucket}/"), any(answer))
            .route(&format!("/{bucket}/{{*key}}"), any(answer))
            .with_state(self.service.clone())
            .route_layer(cors())
    }
}

/// What s3s holds in memory for one request.
fn limits() -> S3Config {
    let mut limits = S3Config::default();
    limits.xml_max_body_size = MAX_XML;
    // Posted forms never get past the guard.
    limits.post_object_max_file_size = 0;
    limits.form_max_field_size = 0;
    limits.form_max_fields_size = 0;
    limits.form_max_parts = 0;
    limits
}

/// Outermost, so that refusals are readable for scripts too, and a preflight needs no signature.
fn cors() -> CorsLayer {
    let request_id = HeaderName::from_static("x-amz-request-id");
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD, Method::PUT, Method::OPTIONS])
        .allow_headers(Any)
        .expose_headers([header::ETAG, header::CONTENT_RANGE, header::ACCEPT_RANGES, request_id])
        .max_age(PREFLIGHT_AGE)
}

async fn answer(State(service): State<s3s::service::S3Service>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Err(refusal) = guard::check(&parts) {
        return refuse(refusal);
    }
    let time = if parts.method == Method::PUT { UPLOAD_TIME } else { ANSWER_TIME };
    let request = Request::from_parts(parts, s3s::Body::http_body_unsync(body));
    // s3s logs every refusal as an ERROR and, below that, signatures. A stranger's bad request is neither news nor ours
    // to store; what a person must know is logged by the backend.
    let answer = service.call(request).with_subscriber(Dispatch::none());
    match tokio::time::timeout(time, answer).await {
        Ok(Ok(response)) => response.map(Body::new),
        Ok(Err(error)) => {
            tracing::error!(?error, "an answer of the object store could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Err(_) => refuse(s3_error!(RequestTimeout)),
    }
}

fn refuse(error: S3Error) -> Response {
    let status = error.status_code().unwrap_or(StatusCode::BAD_REQUEST);
    error.to_http_response().map_or_else(|_| status.into_response(), |response| response.map(Body::new))
}
