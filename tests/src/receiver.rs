//! A receiver of webhooks that answers by a script, and the judgement of the official library on what it got.

use crate::python;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::any;
use axum::{Router, serve};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What came.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    pub at: Instant,
}

impl Delivery {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }
}

#[derive(Default)]
struct Script {
    /// Statuses of the next answers, 204 when there are none left; `None` never answers.
    answers: VecDeque<Option<u16>>,
    seen: Vec<Delivery>,
}

/// Listens on the loopback as long as it lives.
pub struct Receiver {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    _server: JoinSet<()>,
}

impl Receiver {
    pub async fn start(answers: &[Option<u16>]) -> Self {
        let script = Script { answers: answers.iter().copied().collect(), seen: Vec::new() };
        let script = Arc::new(Mutex::new(script));
        let router = Router::new().fallback(any(receive)).with_state(script.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move { serve(listener, router).await.unwrap() });
        Self { address, script, _server: server }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn seen(&self) -> Vec<Delivery> {
        self.script.lock().unwrap().seen.clone()
    }

    /// Waits until so many have come.
    pub async fn got(&self, count: usize) -> Vec<Delivery> {
        let begun = Instant::now();
        while self.seen().len() < count {
            assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", self.seen());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.seen()
    }
}

async fn receive(
    State(script): State<Arc<Mutex<Script>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let text = |value: &axum::http::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let answer = {
        let mut script = script.lock().unwrap();
        let path = uri.to_string();
        script.seen.push(Delivery { path, headers, body: body.to_vec(), at: Instant::now() });
        script.answers.pop_front().unwrap_or(Some(204))
    };
    match answer {
        Some(status) => StatusCode::from_u16(status).unwrap(),
        None => std::future::pending().await,
    }
}

/// Whether the official library takes the delivery for one that was signed with this secret.
pub fn verifies(secret: &str, delivery: &Delivery) -> bool {
    const SCRIPT: &str = "\
import json, sys
from standardwebhooks import Webhook, WebhookVerificationError
given = json.load(sys.stdin)
try:
    Webhook(given['secret']).verify(given['body'], given['headers'])
    print('yes')
except WebhookVerificationError as error:
    print('no:', error)
";
    let body = String::from_utf8(delivery.body.clone()).unwrap();
    let given = json!({ "secret": secret, "body": body, "headers": delivery.headers });
    let mut judge = Command::new("python3")
        .args(["-c", SCRIPT])
        .env("PYTHONPATH", python::packages("webhooks"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed: scripts/setup.sh installs it");
    judge.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = judge.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !said.is_empty(), "{}", output.status);
    said.trim() == "yes"
}
