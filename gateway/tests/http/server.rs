//! Connections: time-outs, limits, origins, shutdown.

use crate::bad_input::raw;
use crate::house::{House, Reply};
use crate::sse::Stream;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn slow_clients_are_not_waited_for() {
    let house = House::with(|config| {
        config.header_timeout = Duration::from_millis(300);
        config.body_timeout = Duration::from_millis(300);
    })
    .await;
    // `raw` waits for the end of the connection.
    raw(&house, b"GET /healthz HTTP/1.1\r\nHost: h\r\nX-Slow: ").await;
    raw(&house, b"").await;
    let half = "POST /chunked-upload-stream HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
                Content-Length: 100\r\n\r\n{\"filename\":";
    let reply = raw(&house, half.as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 408") && reply.contains("request_timeout"), "{reply}");
    house.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let house = House::with(|config| {
        config.stall_timeout = Duration::from_millis(500);
        config.max_streams = 1;
    })
    .await;
    let job = house.uploaded(30).await;
    let mut deaf = TcpStream::connect(house.address).await.unwrap();
    let request = format!("GET /chunked-stream/{job} HTTP/1.1\r\nHost: h\r\n\r\n");
    deaf.write_all(request.as_bytes()).await.unwrap();
    let text = "word ".repeat(80_000);
    for chunk in 0..30 {
        house.complete(job, chunk, &text).await;
    }
    // Its place comes free although it never closes the connection.
    let began = Instant::now();
    while house.http.get(house.url(&format!("/chunked-stream/{job}"))).send().await.unwrap().status() != 200 {
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(deaf);
    house.stop().await;
}

#[tokio::test]
async fn shutting_down_ends_streams_cleanly_and_at_once() {
    let house = House::with(|config| config.shutdown_grace = Duration::from_secs(60)).await;
    let (job, _) = house.init(5).await;
    let url = house.url(&format!("/chunked-stream/{job}"));
    let mut streams = Vec::new();
    for _ in 0..10 {
        let mut stream = Stream::open(&house.http, &url, None).await;
        stream.next().await.unwrap();
        streams.push(stream);
    }
    let mut idle = TcpStream::connect(house.address).await.unwrap();
    let began = Instant::now();
    house.stop().await;
    assert!(began.elapsed() < Duration::from_secs(10));
    for stream in streams {
        assert!(stream.rest().await.is_empty());
    }
    // Closed, or refused if it had not been accepted yet.
    assert_eq!(idle.read(&mut [0; 10]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let house = House::with(|config| config.max_connections = 2).await;
    let first = TcpStream::connect(house.address).await.unwrap();
    let second = TcpStream::connect(house.address).await.unwrap();
    let waiting = raw(&house, b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let freeing = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        drop(first);
    };
    let (reply, ()) = tokio::join!(waiting, freeing);
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    drop(second);
    house.stop().await;
}

#[tokio::test]
async fn pages_of_other_origins_may_use_the_api_unless_that_is_off() {
    for cors in [true, false] {
        let house = House::with(|config| config.cors = cors).await;
        let preflight = house.http.request(reqwest::Method::OPTIONS, house.url("/chunked-upload-stream"));
        let preflight = preflight
            .header("origin", "https://example.org")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,idempotency-key");
        let reply = Reply::of(preflight).await;
        assert_eq!(reply.headers.contains_key("access-control-allow-origin"), cors);
        if cors {
            assert_eq!(reply.headers["access-control-allow-headers"], "content-type,idempotency-key");
        }
        // Refusals can be read by pages, too.
        let refused =
            Reply::of(house.http.get(house.url("/nothing")).header("origin", "https://example.org")).await;
        refused.is_problem(404, "route_not_found");
        assert_eq!(refused.headers.contains_key("access-control-allow-origin"), cors);
        // Ids are not handed to pages of other origins, and nothing is deleted for them.
        let list =
            Reply::of(house.http.get(house.url("/jobs")).header("origin", "https://example.org")).await;
        assert_eq!((list.status, list.headers.contains_key("access-control-allow-origin")), (200, false));
        let methods = reply.headers.get("access-control-allow-methods");
        assert!(methods.is_none_or(|methods| !methods.to_str().unwrap().contains("DELETE")));
        house.stop().await;
    }
}

#[tokio::test]
async fn many_uploads_begin_at_once() {
    let house = House::new().await;
    let mut requests = tokio::task::JoinSet::new();
    for at in 0..50 {
        let body = json!({"filename": format!("{at}.mp3"), "total_size": 50_000_000});
        let request = house.http.post(house.url("/chunked-upload-stream")).json(&body);
        requests.spawn(async move { Reply::of(request).await });
    }
    let replies = requests.join_all().await;
    assert!(replies.iter().all(|reply| reply.status == 200));
    let ids: std::collections::BTreeSet<String> =
        replies.iter().map(|reply| reply.json()["parent_job_id"].to_string()).collect();
    assert_eq!(ids.len(), 50);
    house.stop().await;
}

#[tokio::test]
async fn every_reply_says_what_browsers_may_not_make_of_it() {
    let house = House::new().await;
    let (job, _) = house.init(5).await;
    let missing = format!("/jobs/{}", uuid::Uuid::new_v4());
    for path in ["/healthz", "/jobs", "/docs/errors/internal", "/nothing", &format!("/jobs/{job}"), &missing]
    {
        let reply = house.get(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ] {
            assert_eq!(reply.headers[name], value, "{path}");
        }
    }
    house.stop().await;
}

/// A page whose own name leads to 127.0.0.1.
#[tokio::test]
async fn pages_of_other_origins_may_not_use_a_server_without_keys() {
    let house = House::with(|config| config.allowed_hosts = Some(vec!["speech.example".to_owned()])).await;
    let body = json!({"filename": "talk.mp3", "total_size": 20_000_000});
    for (origin, status) in [
        ("http://localhost:3000", 200),
        ("http://[::1]:8080", 200),
        ("https://speech.example", 200),
        ("https://evil.example", 403),
        ("https://localhost.evil.example", 403),
        ("null", 403),
        ("localhost", 403),
        ("http://localhost@evil.example", 403),
    ] {
        let request = house.http.post(house.url("/chunked-upload-stream")).json(&body);
        let reply = Reply::of(request.header("origin", origin)).await;
        assert_eq!(reply.status, status, "{origin}: {}", reply.body);
        if status == 403 {
            reply.is_problem(403, "foreign_origin");
            assert!(!reply.headers.contains_key("access-control-allow-origin"));
        }
        // Nor are they told that they may.
        let ask = house.http.request(reqwest::Method::OPTIONS, house.url("/chunked-upload-stream"));
        let ask = ask.header("origin", origin).header("access-control-request-method", "POST");
        assert_eq!(Reply::of(ask).await.status, status, "{origin}");
    }
    house.stop().await;
}

#[tokio::test]
async fn names_that_only_lead_here_are_sent_away() {
    let house = House::with(|config| config.allowed_hosts = Some(vec!["speech.example".to_owned()])).await;
    assert_eq!(house.get("/jobs").await.status, 200);
    for (host, status) in
        [("localhost:1", 200), ("speech.example", 200), ("evil.example", 421), ("x@localhost", 421)]
    {
        let reply = Reply::of(house.http.get(house.url("/jobs")).header("host", host)).await;
        assert_eq!(reply.status, status, "{host}: {}", reply.body);
        if status == 421 {
            reply.is_problem(421, "foreign_host");
        }
    }
    // In the form that the route's clients read.
    let request = house.http.post(house.url("/v1/audio/transcriptions")).header("host", "evil.example");
    let refused = Reply::of(request).await;
    assert_eq!((refused.status, refused.content_type.as_str()), (421, "application/json"));
    assert_eq!(refused.json()["error"]["code"], "foreign_host");
    house.stop().await;
}
