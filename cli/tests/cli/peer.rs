//! A server that answers as it is told: replies, faults and a live stream from a script.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

pub const JOB: &str = "0b9b6a2e-3c39-4a0e-9b1c-1b2f5a1f7c11";

/// What happens to one upload.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Status(u16),
    /// The connection breaks in the middle.
    Break,
    /// Success is said, but nothing is kept.
    Lose,
}

#[derive(Default)]
pub struct Script {
    pub chunk_size: u64,
    pub total_size: u64,
    /// Chunks whose URLs come with the first reply; the others must be asked for.
    pub first_page: Option<u32>,
    /// Faults of a chunk's uploads, in order; then they work.
    pub faults: HashMap<u32, VecDeque<Fault>>,
    /// What a notice is answered with in place of success, while there is something.
    pub notices: HashMap<u32, VecDeque<u16>>,
    /// Connections to the live stream, one after the other.
    pub streams: VecDeque<String>,
    pub transcript: String,
    /// How long each upload is held before it is answered.
    pub hold: Duration,
    /// A refusal of the first request.
    pub refuse: Option<(u16, Value)>,

    // What was seen.
    pub received: BTreeMap<u32, Vec<u8>>,
    pub noticed: Vec<u32>,
    pub puts: HashMap<u32, u32>,
    pub under_way: usize,
    pub most_under_way: usize,
    pub generation: u32,
    pub last_event_ids: Vec<Option<String>>,
    pub cancelled: Option<String>,
    pub new_upload: Option<Value>,
}

#[derive(Clone)]
pub struct Peer(Arc<Mutex<Script>>, String);

impl Peer {
    pub async fn start(script: Script) -> (Self, AbortOnDropHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let peer = Self(Arc::new(Mutex::new(script)), url);
        let router = Router::new()
            .route("/chunked-upload-stream", post(begin))
            .route("/chunked-upload-urls", post(fresh))
            .route("/chunk-upload-complete", post(notice))
            .route("/chunked-upload-cancel", post(cancel))
            .route("/chunked-stream/{job}", get(stream))
            .route("/jobs/{job}/transcript", get(transcript))
            .route("/objects/{generation}/{chunk}", put(upload))
            .with_state(peer.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (peer, AbortOnDropHandle::new(task))
    }

    pub fn url(&self) -> &str {
        &self.1
    }

    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }

    fn urls(&self, chunks: impl Iterator<Item = u32>) -> Vec<Value> {
        let script = self.script();
        let url = |chunk: u32| {
            let first = u64::from(chunk) * script.chunk_size;
            let last = (first + script.chunk_size).min(script.total_size) - 1;
            json!({
                "chunk_index": chunk,
                "upload_url": format!("{}/objects/{}/{chunk}?signature=secret", self.1, script.generation),
                "expected_size": last - first + 1,
                "byte_range": [first, last],
            })
        };
        chunks.map(url).collect()
    }
}

impl Script {
    pub fn chunks(&self) -> u32 {
        self.total_size.div_ceil(self.chunk_size) as u32
    }
}

async fn begin(
    State(peer): State<Peer>,
    headers: HeaderMap,
    axum::Json(body): axum::Json<Value>,
) -> Response {
    assert!(headers.contains_key("idempotency-key"));
    let (total, first_page, chunk_size) = {
        let mut script = peer.script();
        if let Some((status, problem)) = script.refuse.clone() {
            return (StatusCode::from_u16(status).unwrap(), problem.to_string()).into_response();
        }
        assert_eq!(body["total_size"], script.total_size);
        script.new_upload = Some(body);
        let total = script.chunks();
        (total, script.first_page.unwrap_or(total).min(total), script.chunk_size)
    };
    // Backwards: the server's order is to be kept, not assumed.
    let upload_urls = peer.urls((0..first_page).rev());
    axum::Json(json!({
        "message": "Chunked upload streaming initialized successfully",
        "parent_job_id": JOB,
        "stream_url": format!("/chunked-stream/{JOB}"),
        "upload_urls": upload_urls,
        "chunk_info": { "total_chunks": total, "chunk_size_bytes": chunk_size, "estimated_processing_time": "1 s" },
    }))
    .into_response()
}

async fn fresh(State(peer): State<Peer>, axum::Json(body): axum::Json<Value>) -> axum::Json<Value> {
    peer.script().generation += 1;
    let asked = body["chunk_indexes"].as_array().unwrap().iter().map(|chunk| chunk.as_u64().unwrap() as u32);
    let noticed = peer.script().noticed.clone();
    let urls = peer.urls(asked.filter(|chunk| !noticed.contains(chunk)));
    axum::Json(json!({ "upload_urls": urls, "uploaded_chunks": noticed }))
}

/// An upload from its first byte to its answer, or until its client goes away.
struct UnderWay(Peer);

impl UnderWay {
    fn begin(peer: &Peer) -> Self {
        let mut script = peer.script();
        script.under_way += 1;
        script.most_under_way = script.most_under_way.max(script.under_way);
        Self(peer.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.script().under_way -= 1;
    }
}

async fn upload(
    State(peer): State<Peer>,
    Path((_, chunk)): Path<(u32, u32)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let _under_way = UnderWay::begin(&peer);
    let (fault, hold) = {
        let mut script = peer.script();
        *script.puts.entry(chunk).or_default() += 1;
        (script.faults.get_mut(&chunk).and_then(VecDeque::pop_front), script.hold)
    };
    tokio::time::sleep(hold).await;
    if let Some(Fault::Status(status)) = fault {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    if let Some(Fault::Break) = fault {
        // The reply's length is a lie, and the body breaks off: the client sees a broken connection.
        let broken =
            futures::stream::iter([Ok(Bytes::from_static(b"x")), Err(std::io::Error::other("broken"))]);
        return (StatusCode::BAD_GATEWAY, [(header::CONTENT_LENGTH, "10")], Body::from_stream(broken))
            .into_response();
    }
    let Ok(bytes) = axum::body::to_bytes(body, 200 << 20).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    assert_eq!(headers[header::CONTENT_LENGTH], bytes.len().to_string());
    if fault.is_none() {
        peer.script().received.insert(chunk, bytes.to_vec());
    }
    StatusCode::OK.into_response()
}

async fn notice(State(peer): State<Peer>, axum::Json(body): axum::Json<Value>) -> Response {
    let mut script = peer.script();
    let chunk = body["chunk_index"].as_u64().unwrap() as u32;
    if let Some(status) = script.notices.get_mut(&chunk).and_then(VecDeque::pop_front) {
        let problem = json!({ "code": "chunk_not_uploaded", "detail": "It is not there." });
        return (StatusCode::from_u16(status).unwrap(), problem.to_string()).into_response();
    }
    if !script.received.contains_key(&chunk) {
        let problem = json!({ "code": "chunk_not_uploaded", "detail": "It is not there." });
        return (StatusCode::CONFLICT, problem.to_string()).into_response();
    }
    assert_eq!(script.received[&chunk].len() as u64, body["actual_size"].as_u64().unwrap());
    script.noticed.push(chunk);
    axum::Json(json!({ "status": "uploading" })).into_response()
}

async fn cancel(State(peer): State<Peer>, axum::Json(body): axum::Json<Value>) -> axum::Json<Value> {
    peer.script().cancelled = Some(body["reason"].as_str().unwrap().to_owned());
    axum::Json(json!({ "status": "cancelled" }))
}

async fn stream(
    State(peer): State<Peer>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    assert_eq!(query.get("partial").map(String::as_str), Some("delta"));
    let last = headers.get("last-event-id").map(|id| id.to_str().unwrap().to_owned());
    let (frames, all_uploaded) = {
        let mut script = peer.script();
        script.last_event_ids.push(last);
        (script.streams.pop_front(), script.noticed.len() as u32 == script.chunks())
    };
    match frames {
        // "wait": keep-alives only, until the connection is cut.
        Some(frames) if frames == "wait" => {
            let heartbeats = futures::stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Some((Ok::<_, std::io::Error>(Bytes::from_static(b": heartbeat\n\n")), ()))
            });
            Body::from_stream(heartbeats).into_response()
        }
        Some(frames) => {
            // The last frame comes only when everything is there, as with a real server.
            let body = async move {
                while frames.contains("final_result") && !all_uploaded {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    let script = peer.script();
                    if script.noticed.len() as u32 >= script.chunks() {
                        break;
                    }
                }
                Ok::<_, std::io::Error>(Bytes::from(frames))
            };
            Body::from_stream(futures::stream::once(body)).into_response()
        }
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn transcript(State(peer): State<Peer>, Query(query): Query<HashMap<String, String>>) -> String {
    format!("{}:{}", query["format"], peer.script().transcript)
}
