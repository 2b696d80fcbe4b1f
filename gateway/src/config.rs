//! What can be set in the gateway.

use crate::sizer::SizerLimits;
use scriptorium_contracts::job::{Limits, MIN_FILE_SIZE};
use scriptorium_contracts::tenant::TenantLimits;
use scriptorium_shared::limiter::Limiter;
use scriptorium_shared::outbound::Reach;
use scriptorium_shared::source::Fetcher;
use scriptorium_shared::tenants::Directory;
use std::time::Duration;

/// Where clients put their chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadBase {
    /// At the host by which the client reached this gateway: the object store answers on the same port.
    FromRequestHost,
    /// At the object store's own public endpoint.
    PublicEndpoint,
}

/// Where keys and tenants are known, and what counts their requests. For all gateways the same.
#[derive(Clone, Debug)]
pub struct Tenancy {
    pub directory: Directory,
    pub limiter: Limiter,
}

/// Everything has a default that fits a single machine.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    pub upload_base: UploadBase,
    /// Whoever has no API key is sent away. Otherwise keys are obeyed where they come.
    pub require_keys: bool,
    /// Limits of tenants that have none of their own.
    pub tenant_limits: TenantLimits,
    /// `Some`: requests to hosts that are neither this machine nor among these are sent away.
    pub allowed_hosts: Option<Vec<String>>,
    /// Bytes; smaller recordings are refused with 422 `file_too_small` (R1). `scriptorium transcribe` lowers it in its own server.
    pub min_file_size: u64,
    /// Uploads at once that clients are advised to make.
    pub max_parallel_uploads: u32,
    /// How long a presigned URL can be used.
    pub url_expiry: Duration,
    /// Limits of each new job.
    pub limits: Limits,
    /// Where jobs may have their webhooks.
    pub webhook_reach: Reach,
    /// Whether the deployment has a secret to sign them with. Otherwise only tenants that have one of their own may have webhooks.
    pub webhooks_signed: bool,
    /// Looks at recordings that are to be fetched; `None`: jobs with an address are refused.
    pub sources: Option<Fetcher>,
    /// Whether there is a language model, and jobs may ask for corrections by it.
    pub llm: bool,
    /// Bounds of the sizer, for `chunk_size_mb: "auto"` and for recordings that come in one piece.
    pub sizer: SizerLimits,
    /// Megabytes of recordings sent in one piece that lie in memory at once; further ones wait, then are refused with 503. An
    /// upload takes at most 26, however large its file is.
    pub upload_memory_mb: usize,
    /// Bytes a second; a recording in one piece that comes slower than this for [`Self::upload_window`] is refused, for what of
    /// it lies in memory keeps others out.
    pub min_upload_rate: u64,
    /// What is counted for it is only the time in which the client was waited for.
    pub upload_window: Duration,
    /// Seconds of speech that this installation transcribes in a second; only for the estimate in the first reply.
    pub estimated_speed: f64,
    /// A live stream is closed after this time, and who waits for the end of a job is answered.
    pub stream_timeout: Duration,
    /// A comment is sent on a stream on which nothing else was sent for this long.
    pub heartbeat: Duration,
    /// At most one `partial_transcript` frame in this time.
    pub partial_interval: Duration,
    /// Live streams at once; further ones are refused with 503.
    pub max_streams: usize,
    /// Connections at once; further ones wait to be accepted.
    pub max_connections: usize,
    /// Time in which a request's head must have come.
    pub header_timeout: Duration,
    /// Time in which a request's JSON body must have come, and the longest silence in a recording that comes in one piece.
    pub body_timeout: Duration,
    /// Time in which a request must have its reply's head; what takes longer is given up with 503. Not for those that
    /// bring a recording.
    pub request_timeout: Duration,
    /// A connection on which the client takes nothing of what waits for it for this long is closed.
    pub stall_timeout: Duration,
    /// Time for one question to the store, the queue or the object store in `/readyz`.
    pub ready_timeout: Duration,
    /// Time after the shutdown signal in which requests under way may finish.
    pub shutdown_grace: Duration,
    /// Let pages of other origins use the API.
    pub cors: bool,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            upload_base: UploadBase::PublicEndpoint,
            require_keys: false,
            tenant_limits: TenantLimits::default(),
            allowed_hosts: None,
            min_file_size: MIN_FILE_SIZE,
            max_parallel_uploads: 5,
            url_expiry: Duration::from_secs(3_600),
            limits: Limits::default(),
            webhook_reach: Reach::Public,
            webhooks_signed: false,
            sources: None,
            llm: false,
            sizer: SizerLimits::default(),
            upload_memory_mb: 256,
            min_upload_rate: 32 << 10,
            upload_window: Duration::from_secs(30),
            estimated_speed: 15.0,
            stream_timeout: Duration::from_secs(1_800),
            heartbeat: Duration::from_secs(15),
            partial_interval: Duration::from_secs(1),
            max_streams: 10_000,
            max_connections: 20_000,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(120),
            ready_timeout: Duration::from_secs(2),
            shutdown_grace: Duration::from_secs(10),
            cors: true,
        }
    }
}
