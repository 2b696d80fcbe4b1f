//! A gateway with everything around it, for one test.

use scriptorium_contracts::JobId;
use scriptorium_contracts::job::{Input, JobHeader};
use scriptorium_contracts::transcript::ChunkResult;
use scriptorium_gateway::{GatewayConfig, GatewayError, Tenancy, UploadBase};
use scriptorium_shared::bus::{Bus, EmbeddedBus};
use scriptorium_shared::jobs::Jobs;
use scriptorium_shared::limiter::{EmbeddedLimiter, Limiter};
use scriptorium_shared::objects::embedded::S3Service;
use scriptorium_shared::objects::{Access, Objects, ObjectsConfig};
use scriptorium_shared::queue::{EmbeddedQueue, Queue};
use scriptorium_shared::store::{EmbeddedStore, Store};
use scriptorium_shared::tenants::{Directory, EmbeddedDirectory, NewKey};
use scriptorium_shared::testing;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub const MB: u64 = 1 << 20;

pub struct House {
    pub address: SocketAddr,
    pub http: reqwest::Client,
    pub jobs: Jobs,
    pub directory: Directory,
    pub shutdown: CancellationToken,
    pub server: JoinSet<Result<(), GatewayError>>,
    _folder: tempfile::TempDir,
}

/// A reply: status, content type and body.
pub struct Reply {
    pub status: u16,
    pub content_type: String,
    pub headers: reqwest::header::HeaderMap,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let headers = response.headers().clone();
        let content_type = headers.get("content-type").map_or("", |value| value.to_str().unwrap()).to_owned();
        Self {
            status: response.status().as_u16(),
            content_type,
            headers,
            body: response.text().await.unwrap(),
        }
    }

    /// Checks that it is the problem with this status and code, in full.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.content_type, "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["code"], code);
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("/docs/errors/{code}"));
        for member in ["title", "detail"] {
            assert!(!problem[member].as_str().unwrap().is_empty());
        }
        problem
    }
}

impl House {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service =
            S3Service::open(&folder.path().join("objects"), "scriptorium", "access", "secret").unwrap();
        let objects = Objects::new(ObjectsConfig {
            endpoint: format!("http://{address}"),
            public_endpoint: None,
            bucket: "scriptorium".to_owned(),
            region: "local".to_owned(),
            access: Access::Keys { access_key: "access".to_owned(), secret_key: "secret".to_owned() },
        })
        .unwrap();
        let store = Store::Embedded(EmbeddedStore::open(&folder.path().join("state.db")).unwrap());
        let (queue, bus) = (Queue::Embedded(EmbeddedQueue::new()), Bus::Embedded(EmbeddedBus::new()));
        let jobs = Jobs::new(store, queue, bus, objects);
        let tenants = EmbeddedDirectory::open(&folder.path().join("tenants.db")).unwrap();
        let directory = Directory::Embedded(tenants);
        let access =
            Tenancy { directory: directory.clone(), limiter: Limiter::Embedded(EmbeddedLimiter::new()) };
        let mut config = GatewayConfig {
            upload_base: UploadBase::FromRequestHost,
            shutdown_grace: Duration::from_secs(5),
            // So that no test passes by it: what is not woken is not told.
            heartbeat: Duration::from_secs(600),
            ..GatewayConfig::default()
        };
        config.limits.max_parallel_chunks = 64;
        config.limits.progress_interval_ms = 0;
        change(&mut config);
        let shutdown = CancellationToken::new();
        let running = scriptorium_gateway::run(
            config,
            jobs.clone(),
            access,
            Some(service.router()),
            listener,
            shutdown.clone(),
        );
        let mut server = JoinSet::new();
        server.spawn(running);
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        Self { address, http, jobs, directory, shutdown, server, _folder: folder }
    }

    /// A new key of this tenant.
    pub async fn key(&self, tenant: &str) -> NewKey {
        let key = NewKey::random(tenant.parse().unwrap(), None, scriptorium_shared::clock::now(), None);
        self.directory.add_key(&key.record).await.unwrap();
        key
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> Reply {
        Reply::of(self.http.get(self.url(path))).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        Reply::of(self.http.post(self.url(path)).json(&body)).await
    }

    /// Starts an upload of so many chunks of one megabyte.
    pub async fn init(&self, chunks: u64) -> (JobId, Value) {
        let body = json!({"filename": "talk.mp3", "total_size": chunks * MB, "chunk_size_mb": 1});
        let reply = self.post("/chunked-upload-stream", body).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let reply = reply.json();
        (reply["parent_job_id"].as_str().unwrap().parse().unwrap(), reply)
    }

    /// A job whose chunks are all uploaded and recognised, so that each can be finished.
    pub async fn uploaded(&self, chunks: u64) -> JobId {
        let (job, _) = self.init(chunks).await;
        for chunk in 0..chunks as u32 {
            self.advance(job, Input::Uploaded { chunk }).await;
        }
        self.advance(job, Input::Probed { media: testing::media() }).await;
        job
    }

    pub async fn advance(&self, job: JobId, input: Input) -> JobHeader {
        self.jobs.advance(job, input).await.unwrap()
    }

    pub async fn epoch(&self, job: JobId, chunk: u32) -> u32 {
        let (_, records) = self.jobs.store.load(job, &[chunk]).await.unwrap().unwrap();
        records[&chunk].epoch
    }

    /// As a worker would.
    pub async fn complete(&self, job: JobId, chunk: u32, text: &str) -> JobHeader {
        let epoch = self.epoch(job, chunk).await;
        self.advance(job, Input::Completed { chunk, epoch, result: Box::new(result(text)) }).await
    }

    /// As a coordinator would.
    pub async fn assemble(&self, job: JobId, text: &str) -> JobHeader {
        let header = self.jobs.header(job).await.unwrap().unwrap();
        let summary = scriptorium_contracts::job::TranscriptSummary {
            language: "en".into(),
            duration: 12.5,
            segments: 1,
            gaps: Vec::new(),
            coverage: None,
            correction: None,
        };
        let input = Input::Assembled { epoch: header.assembly_epoch, text: text.to_owned(), summary };
        self.advance(job, input).await
    }

    /// Ends the server and waits for it.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        let ending = tokio::time::timeout(Duration::from_secs(10), self.server.join_next()).await;
        ending.expect("the server ends").unwrap().unwrap().unwrap();
    }
}

/// A chunk's result with this text.
pub fn result(text: &str) -> ChunkResult {
    let mut result = testing::result_of(0);
    result.passages[0].segments[0].text = text.to_owned();
    result
}
