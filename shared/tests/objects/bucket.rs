//! What `admin bucket` asks of the store, as the store gets it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use scriptorium_shared::objects::{BucketSettings, Objects, PreparedBucket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::config;

/// Requests as they came: the head and the body of each.
type Requests = Arc<Mutex<Vec<String>>>;

/// A store with the bucket that answers everything with `status`, and keeps what it is asked.
async fn keeping(status: &'static str) -> (Objects, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, requests) = (listener.local_addr().unwrap(), Requests::default());
    let kept = Arc::clone(&requests);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            // The library sends head and body apart.
            while !whole(&request) {
                let more = stream.read_buf(&mut request).await.unwrap();
                assert!(more > 0, "a request broke off");
            }
            let request = String::from_utf8(request).unwrap();
            // The bucket is there.
            let status = if request.starts_with("HEAD ") { "200 OK" } else { status };
            let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            kept.lock().unwrap().push(request);
        }
    });
    (Objects::new(config(address)).unwrap(), requests)
}

/// Whether head and body have come.
fn whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).into_owned();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let lengths = head.lines().filter_map(|line| line.split_once(':'));
    let length = lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    body.len() >= length.map(|(_, value)| value.trim().parse::<usize>().unwrap()).sum::<usize>()
}

fn settings(expire_days: Option<u32>) -> BucketSettings {
    BucketSettings {
        region: "us-east-1".to_owned(),
        cors_origins: vec!["https://page.example".to_owned()],
        expire_days,
    }
}

/// The body of the one request whose line has `query`.
fn body_of(requests: &Requests, query: &str) -> String {
    let requests = requests.lock().unwrap();
    let mut found = requests.iter().filter(|request| request.lines().next().unwrap().contains(query));
    let request = found.next().unwrap_or_else(|| panic!("nothing was asked of {query}: {requests:?}"));
    assert!(found.next().is_none(), "asked twice: {requests:?}");
    assert!(request.starts_with("PUT "), "{request}");
    request.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test]
async fn old_objects_and_unfinished_uploads_are_left_to_the_store() {
    let (objects, requests) = keeping("200 OK").await;
    let prepared = objects.prepare_bucket(&settings(Some(42))).await.unwrap();
    assert_eq!(prepared, PreparedBucket { created: false, unsupported: Vec::new() });
    let rule = body_of(&requests, "?lifecycle");
    for wanted in [
        "<Filter><Prefix>jobs/</Prefix></Filter>",
        "<Status>Enabled</Status>",
        "<Expiration><Days>42</Days></Expiration>",
        "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
    ] {
        assert!(rule.contains(wanted), "{wanted} is not in {rule}");
    }
}

#[tokio::test]
async fn objects_stay_where_no_age_is_given() {
    let (objects, requests) = keeping("200 OK").await;
    objects.prepare_bucket(&settings(None)).await.unwrap();
    let rule = body_of(&requests, "?lifecycle");
    assert!(!rule.contains("Expiration"), "{rule}");
    assert!(rule.contains("<AbortIncompleteMultipartUpload>"), "{rule}");
}

#[tokio::test]
async fn pages_of_the_origins_may_upload() {
    let (objects, requests) = keeping("200 OK").await;
    objects.prepare_bucket(&settings(None)).await.unwrap();
    let rule = body_of(&requests, "?cors");
    for wanted in [
        "<AllowedOrigin>https://page.example</AllowedOrigin>",
        "<AllowedMethod>PUT</AllowedMethod>",
        "<AllowedHeader>*</AllowedHeader>",
    ] {
        assert!(rule.contains(wanted), "{wanted} is not in {rule}");
    }
    assert_eq!(rule.matches("<AllowedMethod>").count(), 1, "{rule}");
}

#[tokio::test]
async fn what_a_store_does_not_know_is_told() {
    let (objects, _) = keeping("405 Method Not Allowed").await;
    let settings = settings(None);
    let prepared = tokio::time::timeout(Duration::from_secs(60), objects.prepare_bucket(&settings));
    assert_eq!(prepared.await.unwrap().unwrap().unsupported, ["cors", "lifecycle"]);
}
