//! The running server against its own document: schemathesis asks for everything that the document allows, and for what it
//! does not, and compares the answers with what is promised.
//!
//! `SCRIPTORIUM_OPENAPI_EXAMPLES` and `SCRIPTORIUM_OPENAPI_SEED` make it a longer run, or another one; see CONTRIBUTING.md.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

use scriptorium_tests::{Deployment, python};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Requests of each kind for each operation, in `make test`.
const EXAMPLES: &str = "12";
/// Of a server that asks for keys: what that changes is little.
const EXAMPLES_WITH_KEYS: &str = "4";

#[tokio::test]
async fn the_server_keeps_what_its_document_promises() {
    let server = Deployment::start(&SETTINGS).await;
    let examples = setting("EXAMPLES").unwrap_or_else(|| EXAMPLES.to_owned());
    ask(&server, &root().join("docs/openapi.json"), &["--max-examples", &examples]).await;
}

/// All that needs a key, and with another one or none is refused: schemathesis asks once more without it, and with a wrong one.
#[tokio::test]
async fn a_server_that_asks_for_keys_keeps_it_too() {
    let settings = [&SETTINGS[..], &[("SCRIPTORIUM_REQUIRE_KEYS", "true")]].concat();
    let server = Deployment::start(&settings).await;
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("openapi.json");
    fs::write(&document, with_keys().to_string()).unwrap();
    let key = format!("Authorization: Bearer {}", server.key("acme"));
    let arguments = ["--phases", "fuzzing,stateful", "--max-examples", EXAMPLES_WITH_KEYS, "--header", &key];
    ask(&server, &document, &arguments).await;
}

const SETTINGS: [(&str, &str); 5] = [
    // So that `webhook_url` is taken. Nobody is told: the hooks name a receiver that does not exist.
    ("SCRIPTORIUM_WEBHOOK_SECRET", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"),
    // So that a `source_url` is one that can be fetched: the hooks name the server's own document.
    ("SCRIPTORIUM_SOURCE_ALLOW_PRIVATE", "true"),
    // So that `use_llm` is taken. Nobody is asked: no recording has speech.
    ("SCRIPTORIUM_LLM_BASE_URL", "http://127.0.0.1:9/v1"),
    ("SCRIPTORIUM_LLM_MODEL", "none"),
    // Streams of jobs that nobody uploads would be waited for.
    ("SCRIPTORIUM_STREAM_TIMEOUT_SECONDS", "1"),
];

/// The document as it is true of a server that asks for keys: nothing that takes one does without.
fn with_keys() -> Value {
    let text = fs::read_to_string(root().join("docs/openapi.json")).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    let operations = document["paths"].as_object_mut().unwrap().values_mut();
    let mut guarded = 0;
    for operation in operations.flat_map(|path| path.as_object_mut().unwrap().values_mut()) {
        if let Some(ways) = operation.get_mut("security").and_then(Value::as_array_mut) {
            ways.retain(|way| way.as_object().is_some_and(|way| !way.is_empty()));
            guarded += 1;
        }
    }
    assert!(guarded > 10, "{guarded} operations take a key");
    document
}

/// Runs schemathesis, and wants it to find nothing.
async fn ask(server: &Deployment, document: &Path, arguments: &[&str]) {
    let modules = python::packages("openapi");
    let own = root().join("tests/openapi");
    // It leaves what it found in the folder in which it runs.
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("python3");
    command
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(own.join("schemathesis.toml"))
        .arg("run")
        .arg(document)
        .args(["--url", &server.url(), "--checks", "all", "--no-color", "--request-timeout", "30"])
        .args(["--exclude-checks", "ensure_resource_availability"])
        .args(arguments)
        .args(setting("SEED").iter().flat_map(|seed| ["--seed", seed.as_str()]))
        .env("SCRIPTORIUM_TEST_SOURCE", format!("{}/openapi.json", server.url()))
        .env("SCHEMATHESIS_HOOKS", own.join("hooks.py"))
        .env("PYTHONPATH", modules)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(folder.path());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    // What it did: not nothing.
    println!("{told}");
    assert!(told.contains("Stateful"), "{told}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn setting(name: &str) -> Option<String> {
    std::env::var(format!("SCRIPTORIUM_OPENAPI_{name}")).ok().filter(|value| !value.is_empty())
}
