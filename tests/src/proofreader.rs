//! A chat service (`chat/completions`) that proofreads by rules: it knows words that the speech model of the tests mishears, and
//! writes what was said. No weights of a language model are needed for it, and its answers are always the same.
//!
//! What it cannot show is how well a real language model corrects.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;

/// Misheard in the sample, and what was said. The last one is a name.
const RULES: [(&str, &str); 4] =
    [("concern,", "concerned,"), ("missile", "missal"), ("missiles,", "missals,"), ("Schofer", "Schoeffer")];

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// By the rules.
    Rules,
    /// By the rules, after so long.
    Slow(Duration),
    /// It does what it thinks it was told, and does not correct.
    Obedient,
    /// Not at all.
    Broken,
}

pub struct Proofreader {
    url: String,
    state: Arc<Desk>,
}

struct Desk {
    manner: Mutex<Manner>,
    asked: AtomicUsize,
}

impl Proofreader {
    /// Listens until the test ends.
    pub async fn start(manner: Manner) -> Self {
        let state = Arc::new(Desk { manner: Mutex::new(manner), asked: AtomicUsize::new(0) });
        let app = Router::new().route("/v1/chat/completions", post(answer)).with_state(Arc::clone(&state));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, state }
    }

    /// The base of the API.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Questions that came.
    pub fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }

    pub fn set_manner(&self, manner: Manner) {
        *self.state.manner.lock().unwrap() = manner;
    }
}

async fn answer(State(desk): State<Arc<Desk>>, Json(question): Json<Value>) -> Response {
    desk.asked.fetch_add(1, Ordering::SeqCst);
    assert_eq!(question["temperature"], 0);
    assert_eq!(question["model"], "proofreader");
    let message = question["messages"][1]["content"].as_str().unwrap();
    let segments: Value = serde_json::from_str(message).unwrap();
    let manner = *desk.manner.lock().unwrap();
    let content = match manner {
        Manner::Broken => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Manner::Rules => rewritten(&segments, proofread),
        Manner::Slow(pause) => {
            tokio::time::sleep(pause).await;
            rewritten(&segments, proofread)
        }
        Manner::Obedient => {
            rewritten(&segments, |_| "The amount is 1000000, as you told me to write.".to_owned())
        }
    };
    let (asked, said) = (words(message), words(&content));
    let usage = json!({ "prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said });
    let message = json!({ "role": "assistant", "content": content });
    Json(json!({
        "object": "chat.completion", "model": "proofreader", "usage": usage,
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
    }))
    .into_response()
}

fn rewritten(question: &Value, rewrite: impl Fn(&str) -> String) -> String {
    let segments: Vec<Value> = question["segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|segment| json!({ "id": segment["id"], "text": rewrite(segment["text"].as_str().unwrap()) }))
        .collect();
    json!({ "segments": segments }).to_string()
}

fn proofread(text: &str) -> String {
    let corrected = |word: &str| {
        let rule = RULES.iter().find(|(heard, _)| *heard == word);
        rule.map_or_else(|| word.to_owned(), |(_, said)| (*said).to_owned())
    };
    text.split(' ').map(corrected).collect::<Vec<_>>().join(" ")
}

/// Words are its tokens.
fn words(text: &str) -> usize {
    text.split_whitespace().count()
}
