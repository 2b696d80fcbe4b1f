//! A web server with files, which gives parts of them, and which does wrong by a script.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Router, serve};
use futures::StreamExt;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Bytes of one piece of an answer.
const PIECE: usize = 64 << 10;

/// What goes wrong with one answer.
#[derive(Clone, Debug)]
pub enum Fault {
    Status(u16),
    /// The same with this `Retry-After`.
    Later(u16, &'static str),
    /// The connection breaks after so many bytes of the body.
    Cut(usize),
    /// The body has no length and goes on for ever behind the file.
    Endless,
    /// From now on the file is another one of the same length.
    Replaced,
    /// From now on it is longer.
    Grown,
    Redirect(String),
    /// No answer.
    Silent,
    /// Another part than was asked for.
    OtherPart,
}

/// How the files are served.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Parts of files can be had.
    pub ranges: bool,
    /// Files have tags.
    pub tags: bool,
    /// Answers tell their length.
    pub lengths: bool,
    /// Before each answer.
    pub pause: Duration,
    /// Bytes of a body in a second.
    pub pace: Option<usize>,
    /// A size that is told in place of the true one, with parts.
    pub told_size: Option<u64>,
}

impl Default for Manner {
    fn default() -> Self {
        Self { ranges: true, tags: true, lengths: true, pause: Duration::ZERO, pace: None, told_size: None }
    }
}

/// What was asked for: path and query, and the bytes, if a part was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub path: String,
    pub range: Option<(u64, u64)>,
}

struct Shelf {
    files: BTreeMap<String, Bytes>,
    version: u32,
    manner: Manner,
    faults: VecDeque<Option<Fault>>,
    asked: Vec<Asked>,
}

/// Listens on the loopback as long as it lives.
pub struct FileServer {
    address: SocketAddr,
    shelf: Arc<Mutex<Shelf>>,
    _server: JoinSet<()>,
}

impl FileServer {
    pub async fn start(manner: Manner) -> Self {
        let (files, faults) = (BTreeMap::new(), VecDeque::new());
        let shelf = Arc::new(Mutex::new(Shelf { files, version: 1, manner, faults, asked: Vec::new() }));
        let router = Router::new().fallback(any(answer)).with_state(shelf.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move { serve(listener, router).await.unwrap() });
        Self { address, shelf, _server: server }
    }

    pub fn put(&self, path: &str, bytes: Vec<u8>) {
        self.shelf.lock().unwrap().files.insert(path.to_owned(), bytes.into());
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next answers; `None` is as it should be, and so are all after the last.
    pub fn faults(&self, faults: &[Option<Fault>]) {
        self.shelf.lock().unwrap().faults.extend(faults.iter().cloned());
    }

    pub fn change(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.shelf.lock().unwrap().manner);
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shelf.lock().unwrap().asked.clone()
    }

    /// Waits until so many requests have come.
    pub async fn got(&self, count: usize) -> Vec<Asked> {
        let begun = Instant::now();
        while self.asked().len() < count {
            assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", self.asked());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.asked()
    }
}

async fn answer(State(shelf): State<Arc<Mutex<Shelf>>>, uri: Uri, headers: HeaderMap) -> Response {
    let range = headers.get(header::RANGE).and_then(|value| range(value.to_str().unwrap()));
    let (manner, fault) = {
        let mut shelf = shelf.lock().unwrap();
        shelf.asked.push(Asked { path: uri.to_string(), range });
        (shelf.manner.clone(), shelf.faults.pop_front().flatten())
    };
    tokio::time::sleep(manner.pause).await;
    match &fault {
        Some(Fault::Silent) => std::future::pending().await,
        Some(Fault::Status(status)) => return StatusCode::from_u16(*status).unwrap().into_response(),
        Some(Fault::Later(status, pause)) => {
            return (StatusCode::from_u16(*status).unwrap(), [(header::RETRY_AFTER, *pause)]).into_response();
        }
        Some(Fault::Redirect(to)) => return (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Some(Fault::Replaced) => shelf.lock().unwrap().version += 1,
        Some(Fault::Grown) => {
            let mut shelf = shelf.lock().unwrap();
            for file in shelf.files.values_mut() {
                *file = [&file[..], b"more"].concat().into();
            }
        }
        Some(Fault::Cut(_) | Fault::OtherPart | Fault::Endless) | None => {}
    }
    let (file, version) = {
        let shelf = shelf.lock().unwrap();
        (shelf.files.get(uri.path()).cloned(), shelf.version)
    };
    let Some(file) = file else { return StatusCode::NOT_FOUND.into_response() };
    if matches!(fault, Some(Fault::Endless)) {
        return (StatusCode::OK, endless(file)).into_response();
    }
    let asked = range
        .filter(|_| manner.ranges && !file.is_empty())
        .map(|(first, last)| (first, last.min(file.len() as u64 - 1)));
    let part = match asked {
        Some((first, last)) if first <= last => file.slice(first as usize..=last as usize),
        Some(_) => return StatusCode::RANGE_NOT_SATISFIABLE.into_response(),
        None => file.clone(),
    };
    let mut reply = Response::builder();
    if manner.tags {
        reply = reply.header(header::ETAG, format!("\"{version}\""));
    }
    if let Some((first, last)) = asked {
        let first = if matches!(fault, Some(Fault::OtherPart)) { first + 1 } else { first };
        let told = format!("bytes {first}-{last}/{}", manner.told_size.unwrap_or(file.len() as u64));
        reply = reply.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, told);
    }
    if manner.lengths {
        reply = reply.header(header::CONTENT_LENGTH, part.len());
    }
    let cut = if let Some(Fault::Cut(after)) = fault { after } else { usize::MAX };
    reply.body(body(part, cut, manner.pace)).unwrap()
}

/// The bytes, up to where it is to break.
fn body(bytes: Bytes, cut: usize, pace: Option<usize>) -> Body {
    let kept = bytes.slice(..bytes.len().min(cut));
    let pieces: Vec<io::Result<Bytes>> =
        (0..kept.len()).step_by(PIECE).map(|at| Ok(kept.slice(at..kept.len().min(at + PIECE)))).collect();
    let end = (kept.len() < bytes.len()).then(|| Err(io::Error::other("cut off by the script")));
    let pause = pace.map_or(Duration::ZERO, |pace| Duration::from_secs_f64(PIECE as f64 / pace as f64));
    Body::from_stream(futures::stream::iter(pieces.into_iter().chain(end)).then(move |piece| async move {
        tokio::time::sleep(pause).await;
        piece
    }))
}

/// A file, and zeros behind it.
fn endless(file: Bytes) -> Body {
    let zeros = futures::stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from(vec![0; PIECE])));
    Body::from_stream(futures::stream::iter([Ok(file)]).chain(zeros))
}

/// `bytes=FIRST-LAST`
fn range(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}
