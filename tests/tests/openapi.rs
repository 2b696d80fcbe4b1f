//! The running server against its own document: schemathesis asks for everything that the document allows, and for what it
//! does not, and compares the answers with what is promised.
//!
//! `SCRIPTORIUM_OPENAPI_EXAMPLES` and `SCRIPTORIUM_OPENAPI_SEED` make it a longer run, or another one; see CONTRIBUTING.md.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

use scriptorium_tests::{Server, python};
use std::path::Path;
use std::process::Command;

/// Requests of each kind for each operation, in `make test`.
const EXAMPLES: &str = "12";

#[tokio::test]
async fn the_server_keeps_what_its_document_promises() {
    let modules = python::packages("openapi");
    let server = Server::start(&[
        // So that `webhook_url` is taken. Nobody is told: the hooks name a receiver that does not exist.
        ("SCRIPTORIUM_WEBHOOK_SECRET", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"),
        // So that a `source_url` is one that can be fetched: the hooks name the server's own document.
        ("SCRIPTORIUM_SOURCE_ALLOW_PRIVATE", "true"),
        // So that `use_llm` is taken. Nobody is asked: no recording has speech.
        ("SCRIPTORIUM_LLM_BASE_URL", "http://127.0.0.1:9/v1"),
        ("SCRIPTORIUM_LLM_MODEL", "none"),
        // Streams of jobs that nobody uploads would be waited for.
        ("SCRIPTORIUM_STREAM_TIMEOUT_SECONDS", "1"),
    ])
    .await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let own = root.join("tests/openapi");
    // It leaves what it found in the folder in which it runs.
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("python3");
    command
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(own.join("schemathesis.toml"))
        .arg("run")
        .arg(root.join("docs/openapi.json"))
        .args(["--url", &server.url(), "--checks", "all", "--no-color", "--request-timeout", "30"])
        .args(["--exclude-checks", "ensure_resource_availability"])
        .args(["--max-examples", &setting("EXAMPLES").unwrap_or_else(|| EXAMPLES.to_owned())])
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

fn setting(name: &str) -> Option<String> {
    std::env::var(format!("SCRIPTORIUM_OPENAPI_{name}")).ok().filter(|value| !value.is_empty())
}
