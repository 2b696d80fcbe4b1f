//! The program as users and scripts call it: exit codes, messages, what goes to standard output.

use crate::peer::{Peer, Script};
use serde_json::json;
use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The program in a bare environment, with a home of its own.
fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scriptorium"));
    command.env_clear().env("HOME", home).current_dir(home).stdin(Stdio::null());
    command
}

fn run(home: &Path, args: &[&str]) -> Output {
    program(home).args(args).output().unwrap()
}

/// Its exit code, and what it said, which must not be on standard output.
fn refused(home: &Path, args: &[&str]) -> (i32, String) {
    let output = run(home, args);
    assert!(output.stdout.is_empty(), "{args:?} wrote to standard output");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn recording(dir: &TempDir) -> String {
    let path = dir.path().join("talk.wav");
    std::fs::write(&path, vec![7; 300_000]).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn wrong_options_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let file = &recording(&home);
    let folder = home.path().to_str().unwrap();
    std::fs::write(home.path().join("empty"), "").unwrap();
    let cases: &[(&[&str], &str)] = &[
        (&["serve", "--listen", "0.0.0.0:0"], "--require-keys"),
        (&["serve", "--listen", "0.0.0.0:0"], "--allow-unauthenticated"),
        // It asks for keys, and there is none.
        (&["serve", "--listen", "0.0.0.0:0", "--require-keys"], "admin keys create"),
        (&["admin", "keys", "create", "--tenant", "A Team"], "small letters"),
        (&["admin", "keys", "create"], "--tenant"),
        (&["admin", "keys", "revoke", "sk_1"], "16 hexadecimal digits"),
        (&["admin", "limits", "--tenant", "acme", "--storage-gb", "much"], "--storage-gb"),
        (&["admin", "dead-letters", "list"], "--amqp-url"),
        (&["admin", "dead-letters", "list", "--amqp-url", "http://x"], "amqp://"),
        (&["admin", "dead-letters", "list", "--amqp-url", "amqp://x", "--limit", "0"], "--limit"),
        // Which, has to be said, and in one way.
        (&["admin", "dead-letters", "send-again", "--amqp-url", "amqp://x"], "--all"),
        (
            &[
                "admin",
                "dead-letters",
                "send-again",
                "--amqp-url",
                "amqp://x",
                "--all",
                "--id",
                "0123456789abcdef",
            ],
            "cannot be used with",
        ),
        (
            &["admin", "dead-letters", "send-again", "--amqp-url", "amqp://x", "--id", "7"],
            "16 hexadecimal digits",
        ),
        (&["serve", "--listen", "nonsense"], "--listen nonsense"),
        (&["serve", "--workers", "0"], "--workers"),
        (&["serve", "--max-chunk-retries=-1"], "--max-chunk-retries"),
        (&["serve", "--heartbeat-seconds", "0"], "--heartbeat-seconds"),
        (&["serve", "--log", "scriptorium=loud"], "scriptorium=loud"),
        (&["serve", "--unknown"], "--unknown"),
        (&["transcribe"], "FILE"),
        (&["transcribe", "missing.wav"], "missing.wav"),
        (&["transcribe", "empty"], "is empty"),
        (&["transcribe", folder], "is a folder"),
        (&["transcribe", "/dev/null"], "not a regular file"),
        (&["transcribe", file, "--format", "doc"], "--format"),
        (&["transcribe", file, "--chunk-size-mb", "101"], "--chunk-size-mb"),
        (&["transcribe", file, "--server", "localhost"], "is not the address of a server"),
        (&["transcribe", file, "-o", "no/such/folder/x.txt"], "no/such/folder"),
        (&["transcribe", file, "-o", file], "it is the recording"),
        (&["transcribe", file, "--model", "no-such-model"], "make model"),
        (&["jobs", "show", "7"], "the id of a job"),
        (&["jobs", "list", "--limit", "0"], "--limit"),
        (&["jobs", "list", "--server", "localhost"], "is not the address of a server"),
    ];
    for (args, expected) in cases {
        let (code, text) = refused(home.path(), args);
        assert_eq!(code, 2, "{args:?}: {text}");
        assert!(text.contains(expected), "{args:?}: {text}");
    }
}

#[test]
fn variables_stand_for_options() {
    let home = tempfile::tempdir().unwrap();
    let output =
        program(home.path()).arg("serve").env("SCRIPTORIUM_LISTEN", "192.0.2.1:80").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("192.0.2.1:80"));
}

#[test]
fn help_tells_the_exit_codes() {
    let home = tempfile::tempdir().unwrap();
    let output = run(home.path(), &["transcribe", "--help"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && text.contains("Exit codes:") && text.contains("SCRIPTORIUM_SERVER"),
        "{text}"
    );
}

#[test]
fn a_folder_in_use_and_a_missing_model_are_told() {
    let home = tempfile::tempdir().unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", "data", "--model", "none"];
    let (code, text) = refused(home.path(), &serve);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("models/none") && text.contains("make model"), "{text}");

    let lock = File::options().read(true).write(true).open(home.path().join("data/lock")).unwrap();
    lock.try_lock().unwrap();
    let (code, text) = refused(home.path(), &serve);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("in use by another scriptorium (process "), "{text}");
}

#[test]
fn a_port_in_use_is_told() {
    let home = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, text) = refused(home.path(), &["serve", "--listen", &address]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains(&format!("cannot listen on {address}")), "{text}");
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let home = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    let (code, text) = refused(home.path(), &["jobs", "list", "--server", &url]);
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("cannot be reached"), "{text}");
    let (code, text) = refused(home.path(), &["transcribe", &recording(&home), "--server", &url]);
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("cannot be reached"), "{text}");
}

fn script(streams: &[&str]) -> Script {
    Script {
        chunk_size: 100_000,
        total_size: 300_000,
        streams: streams.iter().map(|frames| (*frames).to_owned()).collect::<VecDeque<_>>(),
        transcript: "hello world".to_owned(),
        ..Script::default()
    }
}

const FIRST: &str = "retry: 50\n\nid: 1\ndata: {\"type\":\"initialized\",\"total_chunks\":3}\n\n\
    id: 2\ndata: {\"type\":\"chunk_complete\",\"chunk_index\":0,\"text\":\"hello\"}\n\ndata: {\"type\":";
const UNKNOWN: &str = ": nothing\n\nid: 3\ndata: {\"type\":\"of_later_times\"}\n\ndata: no json\n\n";

fn last(status: &str) -> String {
    format!(
        "id: 9\ndata: {{\"type\":\"final_result\",\"final_transcript\":\"x\",\"status\":\"{status}\"}}\n\n"
    )
}

async fn transcribe(script: Script, options: &[&str]) -> (Output, Peer, TempDir) {
    let home = tempfile::tempdir().unwrap();
    let file = recording(&home);
    let (peer, _task) = Peer::start(script).await;
    let mut command = program(home.path());
    command.args(["transcribe", &file, "--server", peer.url()]).args(options);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (output, peer, home)
}

#[tokio::test]
async fn the_transcript_is_on_standard_output_and_nothing_else() {
    for format in ["json", "txt", "srt", "vtt"] {
        let script = script(&[FIRST, UNKNOWN, &last("completed")]);
        let (output, peer, _home) =
            transcribe(script, &["--format", format, "--language", "en", "--chunk-size-mb", "7"]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{format}:hello world"));
        assert!(said.contains("hello"), "{said}");
        let script = peer.script();
        // Each connection goes on where the last one stopped.
        let ids: Vec<Option<&str>> = script.last_event_ids.iter().map(Option::as_deref).collect();
        assert_eq!(ids, [None, Some("2"), Some("3")]);
        let expected =
            json!({ "filename": "talk.wav", "total_size": 300_000, "chunk_size_mb": 7, "language": "en" });
        assert_eq!(script.new_upload, Some(expected));
        assert!(script.cancelled.is_none());
    }
}

/// On a terminal, which `script` provides: bars that move and the text as it grows, and in the end the transcript alone.
#[tokio::test]
async fn a_terminal_shows_bars_and_the_growing_text() {
    const GROWING: &str = "retry: 50\n\nid: 1\ndata: {\"type\":\"chunk_complete\",\"chunk_index\":0,\"text\":\"said so far\"}\n\n\
        id: 2\ndata: {\"type\":\"progress_update\",\"progress\":50,\"uploaded_chunks\":2,\"completed_chunks\":1}\n\n";
    let home = tempfile::tempdir().unwrap();
    let file = recording(&home);
    // Held long enough for a few looks at how far the uploads are.
    let held = Script { hold: Duration::from_millis(500), ..script(&[GROWING, &last("completed")]) };
    let (peer, _task) = Peer::start(held).await;
    let (bin, url) = (env!("CARGO_BIN_EXE_scriptorium"), peer.url());
    let line = format!("stty rows 40 cols 100 && exec '{bin}' transcribe '{file}' --server {url}");
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null());
    command.env_clear().env("PATH", "/usr/bin:/bin").env("TERM", "xterm").env("HOME", home.path());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let (during, after) = shown.split_once("txt:hello world").expect("the transcript is there");
    for part in [
        "  upload ────────────────────────────── 0 B of 292.97 KiB",
        "  upload ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 292.97 KiB of 292.97 KiB",
        "━━━━━━━━━━╸─────────────────── 1 of 3 parts",
        "said so far",
    ] {
        assert!(during.contains(part), "{part}: {shown:?}");
    }
    assert!(after.contains("done in") && !after.contains(" parts"), "{shown:?}");
}

#[tokio::test]
async fn gaps_have_an_exit_code_and_files_are_written() {
    let script = script(&[&last("completed_with_errors")]);
    let (output, _peer, home) = transcribe(script, &["-q", "-o", "out.txt"]).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().contains("gaps are marked"));
    assert_eq!(std::fs::read(home.path().join("out.txt")).unwrap(), b"txt:hello world");
}

#[tokio::test]
async fn a_failed_job_says_why() {
    let failed = "id: 2\ndata: {\"type\":\"job_failed\",\"error\":{\"code\":\"not_audio\",\"detail\":\"This is a poem.\"}}\n\n";
    let (output, peer, home) = transcribe(script(&[failed]), &["-o", "out.txt"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("This is a poem."));
    assert!(!home.path().join("out.txt").exists());
    assert!(peer.script().cancelled.is_none());
}

#[tokio::test]
async fn the_reason_of_a_refused_upload_is_the_jobs_end() {
    let mut refusing = script(&["id: 2\ndata: {\"type\":\"cancelled\",\"reason\":\"by somebody\"}\n\n"]);
    refusing.faults.insert(0, [crate::peer::Fault::Status(404)].into());
    let (output, _peer, _home) = transcribe(refusing, &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("by somebody"));
}

#[tokio::test]
async fn a_small_recording_is_advised() {
    let problem =
        json!({ "code": "file_too_small", "detail": "Send it whole to POST /api/transcripts/upload." });
    let refusing = Script { refuse: Some((422, problem)), ..script(&[]) };
    let (output, _peer, _home) = transcribe(refusing, &[]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("Without --server"));
}

#[tokio::test]
async fn ctrl_c_cancels_the_job() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let home = tempfile::tempdir().unwrap();
        let file = recording(&home);
        let (peer, _task) = Peer::start(script(&["wait"])).await;
        let mut child = program(home.path())
            .args(["transcribe", &file, "--server", peer.url()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while peer.script().last_event_ids.is_empty() {
            assert!(child.try_wait().unwrap().is_none(), "it ended before its time");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
        assert_eq!(status.code(), Some(code));
        assert_eq!(peer.script().cancelled.as_deref(), Some("cancelled by the user"));
    }
}
