//! A server that gives the answers that a test wants, in that order.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    body: String,
    retry_after: Option<&'static str>,
    /// Before it answers.
    delay: Duration,
}

impl Answer {
    pub fn new(status: u16, body: &str) -> Self {
        Self { status, body: body.to_owned(), retry_after: None, delay: Duration::ZERO }
    }

    pub fn busy(retry_after: &'static str) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(429, "{}") }
    }

    /// The same, after a while.
    pub fn late(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Not in time.
    pub fn silent() -> Self {
        Self { delay: Duration::from_secs(60), ..Self::new(200, "{}") }
    }
}

/// What somebody asked.
#[derive(Clone, Debug)]
pub struct Call {
    pub path: String,
    pub authorization: String,
    pub fields: Vec<(String, String)>,
    pub sound: Vec<u8>,
}

#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    calls: Mutex<Vec<Call>>,
}

pub struct Service {
    pub address: SocketAddr,
    script: Arc<Script>,
    server: tokio::task::JoinHandle<()>,
}

impl Service {
    pub async fn start(answers: Vec<Answer>) -> Self {
        let script = Arc::new(Script { answers: Mutex::new(answers.into()), ..Script::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, script, server }
    }

    pub fn calls(&self) -> Vec<Call> {
        self.script.calls.lock().unwrap().clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(script): State<Arc<Script>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let (authorization, content_type) =
        (header(request.headers(), "authorization"), header(request.headers(), "content-type"));
    let boundary = content_type.split_once("boundary=").unwrap().1.to_owned();
    let body = axum::body::to_bytes(request.into_body(), 25 << 20).await.unwrap();
    let (fields, sound) = parts(&body, &boundary);
    script.calls.lock().unwrap().push(Call { path, authorization, fields, sound });
    let answer = script.answers.lock().unwrap().pop_front().expect("a call that the test did not expect");
    tokio::time::sleep(answer.delay).await;
    let after = answer.retry_after.map(|after| (RETRY_AFTER, HeaderValue::from_static(after)));
    let headers: HeaderMap = after.into_iter().collect();
    (StatusCode::from_u16(answer.status).unwrap(), headers, answer.body).into_response()
}

fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// Fields and the file of a multipart body.
fn parts(body: &Bytes, boundary: &str) -> (Vec<(String, String)>, Vec<u8>) {
    let (mut fields, mut sound, mark) = (Vec::new(), Vec::new(), format!("--{boundary}"));
    let marks: Vec<usize> = body
        .windows(mark.len())
        .enumerate()
        .filter(|(_, at)| *at == mark.as_bytes())
        .map(|(at, _)| at)
        .collect();
    for pair in marks.windows(2) {
        let part = &body[pair[0] + mark.len() + 2..pair[1] - 2];
        let end = part.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let (head, content) = (std::str::from_utf8(&part[..end]).unwrap(), &part[end + 4..]);
        let name = head.split_once("name=\"").unwrap().1.split_once('"').unwrap().0;
        if name == "file" {
            sound = content.to_vec();
        } else {
            fields.push((name.to_owned(), String::from_utf8(content.to_vec()).unwrap()));
        }
    }
    (fields, sound)
}
