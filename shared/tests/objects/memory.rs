//! The largest chunk passes through without being held.

use bytes::Bytes;
use futures::{StreamExt, stream};

use crate::harness::{ChildServer, HOUR};

const LARGEST: u64 = 100 * 1024 * 1024;
const ALLOWED_KIB: u64 = 32 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn the_largest_chunk_is_streamed_both_ways() {
    let outer = tempfile::tempdir().unwrap();
    let server = ChildServer::start(&outer.path().join("data"));
    let objects = server.objects();
    objects.write("warm", Bytes::from(vec![0; 1 << 20]), "audio/x").await.unwrap();
    objects.read("warm", 0, 1 << 20).await.unwrap();
    server.reset_peak();
    let before = server.memory("VmRSS");
    let url = objects.presign_put("large", LARGEST, HOUR, None).await.unwrap();
    let piece = Bytes::from((0..1 << 20).map(|i: u32| (i % 251) as u8).collect::<Vec<_>>());
    let pieces = stream::iter(vec![piece.clone(); 100]).map(Ok::<_, std::io::Error>);
    let put = reqwest::Client::new().put(url).header("content-length", LARGEST);
    let answer = put.body(reqwest::Body::wrap_stream(pieces)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let put_peak = server.memory("VmHWM");
    server.reset_peak();
    for part in 0..100 {
        let read = objects.read("large", part << 20, 1 << 20).await.unwrap();
        assert_eq!(read.as_ref(), Some(&piece), "part {part}");
    }
    let whole = objects.read("large", 0, LARGEST as usize).await.unwrap().unwrap();
    assert_eq!(whole.len() as u64, LARGEST);
    let get_peak = server.memory("VmHWM");
    eprintln!("KiB: {before} before, {put_peak} at most while put, {get_peak} while read");
    assert!(put_peak < before + ALLOWED_KIB, "{before} KiB, then {put_peak}");
    assert!(get_peak < before + ALLOWED_KIB, "{before} KiB, then {get_peak}");
}
