//! The one client of the object store, the same over any S3 and over the embedded one.

use futures::future::BoxFuture;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::ProvideCredentials;
use aws_sdk_s3::config::SharedHttpClient;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedCredentialsProvider,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::operation::head_object::HeadObjectError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use bytes::{Bytes, BytesMut};

use super::ObjectsError;
use super::error::Cause;
use super::presign::{normal_base, presign_put};
use super::{Head, Part};
use crate::tls::Tls;

/// Most objects that [`Objects::list`] gives: twice what the largest job can have.
pub const MAX_LISTED: usize = 20_000;

/// Calls of one request, the first included; between them the client library waits, longer each time.
const ATTEMPTS: u32 = 4;
/// Reads of one range whose answer broke off in the middle (the client library tries again only up to the headers).
const READS: u32 = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the request sent to the answer's first byte.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// One attempt and all attempts, bodies included: enough for 100 MiB over 1 MiB/s, and never without end.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(150);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(400);
/// Objects in one deletion request (S3's limit).
const DELETE_BATCH: usize = 1000;
/// Rounds of [`Objects::delete_prefix`]: 100 × 1000 objects, then something else keeps writing there.
const DELETE_ROUNDS: usize = 100;

/// Where the object store is, and who we are to it. Addresses are always path-style (`endpoint/bucket/key`).
#[derive(Clone)]
pub struct ObjectsConfig {
    /// Where this process reaches the store: `http(s)://host[:port]`.
    pub endpoint: String,
    /// Where uploaders reach it, when that is another address.
    pub public_endpoint: Option<String>,
    pub bucket: String,
    /// Part of every signature; stores other than Amazon's take any.
    pub region: String,
    pub access: Access,
}

/// Who we are to the object store.
#[derive(Clone)]
pub enum Access {
    Keys {
        access_key: String,
        secret_key: String,
    },
    /// Asked anew when what it gave expires.
    Provider(SharedCredentialsProvider),
}

impl Access {
    /// As Amazon's tools find them: `AWS_…` variables, the profile's file, a web identity (Kubernetes service accounts),
    /// the container's or the machine's role.
    ///
    /// # Errors
    /// There are none, or their source does not answer.
    pub fn from_surroundings(region: &str) -> BoxFuture<'_, Result<Self, ObjectsError>> {
        Box::pin(async move {
            let region = Region::new(region.to_owned());
            let chain = DefaultCredentialsChain::builder().region(region).build().await;
            let provider = SharedCredentialsProvider::new(chain);
            provider
                .provide_credentials()
                .await
                .map_err(|error| ObjectsError::NoCredentials(error.into()))?;
            Ok(Self::Provider(provider))
        })
    }

    fn provider(self) -> Result<SharedCredentialsProvider, ObjectsError> {
        match self {
            Self::Keys { access_key, secret_key } if access_key.is_empty() || secret_key.is_empty() => {
                Err(ObjectsError::Config("the access key and the secret key must be given"))
            }
            Self::Keys { access_key, secret_key } => {
                let keys = Credentials::new(access_key, secret_key, None, None, "settings");
                Ok(SharedCredentialsProvider::new(keys))
            }
            Self::Provider(provider) => Ok(provider),
        }
    }
}

/// A handle on the bucket; cheap to clone.
#[derive(Clone)]
pub struct Objects {
    pub(super) client: Client,
    pub(super) bucket: String,
    public_endpoint: Option<String>,
}

/// The client library's own, but for what it trusts.
fn client_that_trusts(authorities: &str) -> Result<SharedHttpClient, ObjectsError> {
    let trusted = TrustStore::default().with_pem_certificate(authorities);
    let context = TlsContext::builder().with_trust_store(trusted).build();
    let context =
        context.map_err(|_| ObjectsError::Config("the certificates of authorities can't be used"))?;
    let tls = tls::Provider::Rustls(CryptoMode::AwsLc);
    Ok(aws_smithy_http_client::Builder::new().tls_provider(tls).tls_context(context).build_https())
}

impl Objects {
    /// Checks the settings; nothing is sent (see [`Objects::ping`]).
    pub fn new(config: ObjectsConfig) -> Result<Self, ObjectsError> {
        Self::with_tls(config, &Tls::default())
    }

    /// As [`Objects::new`]; the authorities of `tls`, too, may have signed the store's certificate.
    pub fn with_tls(config: ObjectsConfig, tls: &Tls) -> Result<Self, ObjectsError> {
        const ENDPOINT: ObjectsError = ObjectsError::Config("the endpoint is not http(s)://host[:port]");
        const PUBLIC: ObjectsError = ObjectsError::Config("the public endpoint is not http(s)://host[:port]");
        if config.bucket.is_empty() || config.region.is_empty() {
            return Err(ObjectsError::Config("the bucket and the region must be named"));
        }
        let endpoint = normal_base(&config.endpoint).map_err(|_| ENDPOINT)?;
        let public_endpoint =
            config.public_endpoint.as_deref().map(normal_base).transpose().map_err(|_| PUBLIC)?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let settings = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(config.access.provider()?)
            .region(Region::new(config.region))
            .endpoint_url(endpoint)
            .force_path_style(true)
            // Checksums in trailers, the library's default, are not understood by every S3.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts);
        let settings = match &tls.authorities {
            Some(authorities) => settings.http_client(client_that_trusts(authorities)?),
            None => settings,
        };
        Ok(Self { client: Client::from_conf(settings.build()), bucket: config.bucket, public_endpoint })
    }

    /// A URL to which anybody may `PUT` exactly `size` bytes as `key` until it expires.
    ///
    /// `Content-Length` is signed: any other length is refused by the store. The signature covers the host as well, so
    /// the URL begins with `public_base` (`http(s)://host[:port]`), else with the public endpoint, else with the
    /// endpoint. Fails with [`ObjectsError::Request`] when `public_base` is no such address or the expiry is out of
    /// range (up to seven days).
    pub fn presign_put<'a>(
        &'a self,
        key: &'a str,
        size: u64,
        expires: Duration,
        public_base: Option<&'a str>,
    ) -> BoxFuture<'a, Result<String, ObjectsError>> {
        Box::pin(async move {
            let base = public_base.or(self.public_endpoint.as_deref());
            presign_put(&self.client, &self.bucket, key, size, expires, base).await
        })
    }

    /// Another bucket of the same store.
    pub fn in_bucket(&self, bucket: &str) -> Self {
        Self { bucket: bucket.to_owned(), ..self.clone() }
    }

    /// The object's size in bytes; `None` when there is no such object.
    pub fn size<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<u64>, ObjectsError>> {
        Box::pin(async move { Ok(self.head(key).await?.map(|head| head.size)) })
    }

    /// The object without its bytes; `None` when there is no such object.
    pub(super) fn head<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Head>, ObjectsError>> {
        Box::pin(async move {
            match self.client.head_object().bucket(&self.bucket).key(key).send().await {
                Ok(head) => {
                    let size = head.content_length().and_then(|size| u64::try_from(size).ok());
                    let size = size.ok_or(ObjectsError::Answer("an object without a size"))?;
                    Ok(Some(Head { size, tag: head.e_tag().map(str::to_owned) }))
                }
                Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => Ok(None),
                Err(error) => Err(ObjectsError::from_sdk(error)),
            }
        })
    }

    /// Up to `len` bytes from `offset` on: fewer at the object's end, none beyond it; `None` when there is no such
    /// object. An answer that breaks off is asked for again.
    pub fn read<'a>(
        &'a self,
        key: &'a str,
        offset: u64,
        len: usize,
    ) -> BoxFuture<'a, Result<Option<Bytes>, ObjectsError>> {
        Box::pin(async move { Ok(self.read_part(key, offset, len).await?.map(|part| part.bytes)) })
    }

    /// The same, with the tag of the object.
    pub(super) fn read_part<'a>(
        &'a self,
        key: &'a str,
        offset: u64,
        len: usize,
    ) -> BoxFuture<'a, Result<Option<Part>, ObjectsError>> {
        Box::pin(async move {
            // Beyond what S3 can count: the object ends before that.
            if len == 0 || i64::try_from(offset).is_err() {
                return Ok(self.head(key).await?.map(|head| Part { bytes: Bytes::new(), tag: head.tag }));
            }
            let last = offset.saturating_add(len as u64 - 1).min(i64::MAX as u64);
            let range = format!("bytes={offset}-{last}");
            let mut attempt = 1;
            loop {
                let get = self.client.get_object().bucket(&self.bucket).key(key).range(&range);
                let object = match get.send().await {
                    Ok(object) => object,
                    Err(error) => return nothing_read(error),
                };
                let tag = object.e_tag().map(str::to_owned);
                match collect(object, offset, len).await {
                    Err(ObjectsError::Unavailable(_)) if attempt < READS => attempt += 1,
                    read => return read.map(|bytes| Some(Part { bytes, tag })),
                }
            }
        })
    }

    /// Writes the object whole, in place of an older one. Once it returns, the bytes are safe.
    pub fn write<'a>(
        &'a self,
        key: &'a str,
        body: Bytes,
        content_type: &'a str,
    ) -> BoxFuture<'a, Result<(), ObjectsError>> {
        Box::pin(async move {
            let put = self.client.put_object().bucket(&self.bucket).key(key).content_type(content_type);
            put.body(ByteStream::from(body)).send().await.map_err(ObjectsError::from_sdk)?;
            Ok(())
        })
    }

    /// Keys and sizes of all objects under the prefix, in the order of their keys; more than [`MAX_LISTED`] are
    /// [`ObjectsError::TooMany`].
    pub async fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, ObjectsError> {
        let mut listed = Vec::new();
        let mut token = None;
        loop {
            let page = self.page(prefix, token.take()).await?;
            listed.extend(page.objects);
            if listed.len() > MAX_LISTED {
                return Err(ObjectsError::TooMany);
            }
            match page.next {
                Some(next) => token = Some(next),
                None => return Ok(listed),
            }
        }
    }

    /// Deletes every object under the prefix, which must end with `/`, and returns how many that were. Harmless to repeat, also
    /// after a failure halfway.
    pub async fn delete_prefix(&self, prefix: &str) -> Result<u64, ObjectsError> {
        if prefix.len() < 2 || !prefix.ends_with('/') {
            return Err(ObjectsError::Request("only a prefix that ends with '/' is deleted"));
        }
        let mut deleted = 0;
        for _ in 0..DELETE_ROUNDS {
            // Always the first page: what it named is gone in the next round.
            let page = self.page(prefix, None).await?;
            if page.objects.is_empty() {
                return Ok(deleted);
            }
            deleted += page.objects.len() as u64;
            for batch in page.objects.chunks(DELETE_BATCH) {
                self.delete_batch(batch).await?;
            }
        }
        Err(ObjectsError::TooMany)
    }

    fn delete_batch<'a>(&'a self, batch: &'a [(String, u64)]) -> BoxFuture<'a, Result<(), ObjectsError>> {
        Box::pin(async move {
            let keys = batch.iter().map(|(key, _)| ObjectIdentifier::builder().key(key).build());
            let keys: Vec<_> =
                keys.collect::<Result<_, _>>().map_err(|_| ObjectsError::Answer("a key is missing"))?;
            let delete = Delete::builder().set_objects(Some(keys)).quiet(true).build();
            let delete = delete.map_err(|_| ObjectsError::Request("nothing to delete"))?;
            let request = self.client.delete_objects().bucket(&self.bucket).delete(delete);
            let answer = request.send().await.map_err(ObjectsError::from_sdk)?;
            let Some(error) = answer.errors().first() else { return Ok(()) };
            let cause = Cause::from(format!("{error:?}"));
            match error.code() {
                Some("AccessDenied") => Err(ObjectsError::Denied(cause)),
                _ => Err(ObjectsError::Unavailable(cause)),
            }
        })
    }

    fn page<'a>(
        &'a self,
        prefix: &'a str,
        token: Option<String>,
    ) -> BoxFuture<'a, Result<Page, ObjectsError>> {
        Box::pin(async move {
            let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
            let answer =
                request.set_continuation_token(token).send().await.map_err(ObjectsError::from_sdk)?;
            let objects = answer.contents().iter().map(|object| {
                let size = object.size().and_then(|size| u64::try_from(size).ok());
                let named = object.key().map(str::to_owned).zip(size);
                named.ok_or(ObjectsError::Answer("a listed object without a key or a size"))
            });
            let objects = objects.collect::<Result<Vec<_>, _>>()?;
            if answer.is_truncated() != Some(true) {
                return Ok(Page { objects, next: None });
            }
            let next = answer.next_continuation_token().map(str::to_owned);
            let next = next.ok_or(ObjectsError::Answer("a listing goes on and does not say where"))?;
            Ok(Page { objects, next: Some(next) })
        })
    }

    /// Whether the store answers, knows us and has the bucket.
    pub fn ping(&self) -> BoxFuture<'_, Result<(), ObjectsError>> {
        Box::pin(async move {
            match self.client.head_bucket().bucket(&self.bucket).send().await {
                Ok(_) => Ok(()),
                Err(error) if error.as_service_error().is_some_and(|e| e.is_not_found()) => {
                    Err(ObjectsError::NoSuchBucket(Cause::from("HEAD of the bucket: not found")))
                }
                Err(error) => Err(ObjectsError::from_sdk(error)),
            }
        })
    }
}

struct Page {
    objects: Vec<(String, u64)>,
    next: Option<String>,
}

/// No such object, no such bytes in it, or a failure.
fn nothing_read(error: SdkError<GetObjectError>) -> Result<Option<Part>, ObjectsError> {
    match error.code() {
        Some("NoSuchKey") => Ok(None),
        Some("InvalidRange") => Ok(Some(Part { bytes: Bytes::new(), tag: None })),
        _ => Err(ObjectsError::from_sdk(error)),
    }
}

/// The answer's bytes, at most `len`: a server that ignores ranges must not fill our memory.
async fn collect(object: GetObjectOutput, offset: u64, len: usize) -> Result<Bytes, ObjectsError> {
    let ranged = object.content_range().is_some();
    if !ranged && offset > 0 {
        return Err(ObjectsError::Answer("a range was asked for and the whole object sent"));
    }
    let told = object.content_length().and_then(|told| usize::try_from(told).ok()).unwrap_or(0);
    let mut body = object.body;
    let mut bytes = BytesMut::with_capacity(told.min(len));
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| ObjectsError::Unavailable(Cause::from(error)))?;
        let room = len - bytes.len();
        if piece.len() > room && ranged {
            return Err(ObjectsError::Answer("more bytes than asked for"));
        }
        bytes.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        // A ranged answer is read to its end, so that the connection can be used again.
        if bytes.len() == len && !ranged {
            break;
        }
    }
    Ok(bytes.freeze())
}
