//! Uploads against a server that fails in every way.

use crate::peer::{Fault, JOB, Peer, Script};
use scriptorium_cli::client::api::Patience;
use scriptorium_cli::client::source::Source;
use scriptorium_cli::client::upload::{Meter, Uploader};
use scriptorium_cli::client::wire::NewUpload;
use scriptorium_cli::client::{Api, ClientError};
use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tempfile::NamedTempFile;

const CHUNK: u64 = 100_000;

fn recording(size: usize) -> (NamedTempFile, Vec<u8>) {
    let content: Vec<u8> = (0..size).map(|n| (n * 7 % 253) as u8).collect();
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(&content).unwrap();
    (file, content)
}

fn script(size: usize) -> Script {
    Script { chunk_size: CHUNK, total_size: size as u64, ..Script::default() }
}

fn faults(list: &[(u32, &[Fault])]) -> HashMap<u32, VecDeque<Fault>> {
    list.iter().map(|(chunk, faults)| (*chunk, faults.iter().copied().collect())).collect()
}

const PATIENCE: Patience = Patience {
    retries: 4,
    first_delay: Duration::from_millis(5),
    longest_delay: Duration::from_millis(20),
    stall: Duration::from_secs(20),
};

async fn upload(
    peer: &Peer,
    file: &NamedTempFile,
    patience: Patience,
) -> (Result<(), ClientError>, Arc<Meter>) {
    let api = Api::new(peer.url(), true, patience).unwrap();
    let source = Source::open(file.path()).await.unwrap();
    let new = NewUpload {
        filename: "a.wav".to_owned(),
        total_size: source.size(),
        chunk_size_mb: 1.into(),
        language: None,
        word_timestamps: false,
        use_cache: None,
    };
    let begun = api.begin(&new).await.unwrap();
    let meter = Arc::new(Meter::default());
    let uploader =
        Uploader { api: &api, source: &source, job: JOB.parse().unwrap(), meter: Arc::clone(&meter) };
    (uploader.all(&begun, 3).await, meter)
}

fn whole(peer: &Peer) -> Vec<u8> {
    peer.script().received.values().flatten().copied().collect()
}

#[tokio::test]
async fn every_passing_fault_is_overcome() {
    let (file, content) = recording(1_050_000);
    let mut script = script(content.len());
    script.faults = faults(&[
        (0, &[Fault::Status(500), Fault::Status(503), Fault::Status(429)]),
        (1, &[Fault::Break, Fault::Break]),
        (2, &[Fault::Lose]),
        (3, &[Fault::Status(403)]),
        (4, &[Fault::Status(403), Fault::Status(500), Fault::Status(403)]),
    ]);
    script.notices = HashMap::from([(5, VecDeque::from([500, 503])), (6, VecDeque::from([409]))]);
    let (peer, _task) = Peer::start(script).await;
    let (outcome, meter) = upload(&peer, &file, PATIENCE).await;
    outcome.unwrap();
    assert!(whole(&peer) == content);
    assert_eq!(meter.bytes(), content.len() as u64);
    assert!(meter.take_notes().iter().all(|note| note.contains("is sent again") && !note.contains("secret")));
    let script = peer.script();
    let puts: Vec<u32> = (0..11).map(|chunk| script.puts[&chunk]).collect();
    // A notice that fails for a moment means no second upload; one that says "not there" does.
    assert_eq!(puts, [4, 3, 2, 2, 4, 1, 2, 1, 1, 1, 1]);
}

/// As many uploads at once as were asked for, and never more.
#[tokio::test]
async fn uploads_go_side_by_side() {
    let (file, content) = recording(1_150_000);
    let held = Script { hold: Duration::from_millis(50), ..script(content.len()) };
    let (peer, _task) = Peer::start(held).await;
    upload(&peer, &file, PATIENCE).await.0.unwrap();
    assert!(whole(&peer) == content);
    let script = peer.script();
    assert_eq!((script.most_under_way, script.under_way), (3, 0));
}

#[tokio::test]
async fn later_pages_are_fetched() {
    let (file, content) = recording(1_234_567);
    let (peer, _task) = Peer::start(Script { first_page: Some(2), ..script(content.len()) }).await;
    upload(&peer, &file, PATIENCE).await.0.unwrap();
    assert!(whole(&peer) == content);
    assert_eq!(peer.script().noticed.len(), 13);
}

#[tokio::test]
async fn a_lasting_fault_is_told() {
    let (file, content) = recording(250_000);
    for (fault, status) in [(Fault::Status(500), 500), (Fault::Status(403), 403), (Fault::Status(404), 404)] {
        let mut script = script(content.len());
        script.faults = faults(&[(1, &[fault; 50])]);
        let (peer, _task) = Peer::start(script).await;
        let (outcome, meter) = upload(&peer, &file, PATIENCE).await;
        assert!(
            matches!(outcome, Err(ClientError::Refused { status: found, .. }) if found == status),
            "{outcome:?}"
        );
        assert!(meter.bytes() < content.len() as u64);
        // 403: once more with a fresh URL. 404: not at all. 500: as often as the patience lasts.
        let expected = HashMap::from([(500, 5), (403, 2), (404, 1)]);
        assert_eq!(peer.script().puts[&1], expected[&status]);
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() {
    let (file, content) = recording(250_000);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    // Accepts and never reads: the kernel takes some of the bytes, then nothing moves.
    let silent = tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            open.push(listener.accept().await.unwrap());
        }
    });
    let patience = Patience { retries: 1, stall: Duration::from_millis(200), ..PATIENCE };
    let api = Api::new(&url, true, patience).unwrap();
    let source = Source::open(file.path()).await.unwrap();
    let begun = serde_json::from_value(serde_json::json!({
        "parent_job_id": JOB,
        "stream_url": "/",
        "upload_urls": [{
            "chunk_index": 0, "upload_url": format!("{url}x?signature=secret"), "expected_size": content.len(),
            "byte_range": [0, content.len() - 1],
        }],
        "chunk_info": { "total_chunks": 1, "chunk_size_bytes": content.len() },
    }));
    let uploader =
        Uploader { api: &api, source: &source, job: JOB.parse().unwrap(), meter: Arc::new(Meter::default()) };
    let error = uploader.all(&begun.unwrap(), 1).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ClientError::Unreachable { .. }) && text.contains("nothing moved"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    silent.abort();
}

#[tokio::test]
async fn a_recording_that_changes_is_not_uploaded() {
    let (mut file, content) = recording(350_000);
    let mut script = script(content.len());
    script.faults = faults(&[(3, &[Fault::Status(503); 3])]);
    let (peer, _task) = Peer::start(script).await;
    let patience = Patience {
        first_delay: Duration::from_millis(300),
        longest_delay: Duration::from_secs(1),
        ..PATIENCE
    };
    let (outcome, ()) = tokio::join!(upload(&peer, &file, patience), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        file.as_file().set_len(150_000).unwrap();
    });
    assert!(matches!(outcome.0, Err(ClientError::Source(_))), "{:?}", outcome.0);
    file.flush().unwrap();
}
