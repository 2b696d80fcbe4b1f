//! Whatever is sent: a clear problem, never plain text, never a 500.

use crate::house::{House, Reply};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const POSTS: [&str; 5] = [
    "/chunked-upload-stream",
    "/chunked-upload-urls",
    "/chunk-upload-complete",
    "/chunked-upload-cancel",
    "/chunked-upload-retry",
];

async fn send(
    house: &House,
    path: &str,
    content_type: Option<&str>,
    body: impl Into<reqwest::Body>,
) -> Reply {
    let mut request = house.http.post(house.url(path)).body(body);
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    Reply::of(request).await
}

/// Speaks HTTP by hand and returns everything that comes back.
pub async fn raw(house: &House, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut reply = Vec::new();
    let reading = stream.read_to_end(&mut reply);
    let ended = tokio::time::timeout(std::time::Duration::from_secs(10), reading).await.expect("no hang");
    // Whoever is refused in the middle of a head may be cut off.
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
    String::from_utf8_lossy(&reply).into_owned()
}

#[tokio::test]
async fn bodies_that_are_not_what_is_asked_for() {
    let house = House::new().await;
    let json = Some("application/json");
    for path in POSTS {
        send(&house, path, json, "").await.is_problem(400, "malformed_json");
        send(&house, path, json, "{\"").await.is_problem(400, "malformed_json");
        send(&house, path, json, vec![0xff; 100]).await.is_problem(400, "malformed_json");
        send(&house, path, json, "[".repeat(60_000)).await.is_problem(422, "invalid_field");
        send(&house, path, json, "[\"a.mp3\", 20000000]").await.is_problem(422, "invalid_field");
        send(&house, path, json, "\"text\"").await.is_problem(422, "invalid_field");
        send(&house, path, json, "{}").await.is_problem(422, "missing_field");
        send(&house, path, None, "{}").await.is_problem(415, "unsupported_content_type");
        send(&house, path, Some("text/plain"), "{}").await.is_problem(415, "unsupported_content_type");
        send(&house, path, json, " ".repeat(65_537)).await.is_problem(413, "body_too_large");
        // Without an announced length.
        let parts = (0..70).map(|_| Ok::<_, std::io::Error>(" ".repeat(1_024)));
        let body = reqwest::Body::wrap_stream(futures::stream::iter(parts));
        send(&house, path, json, body).await.is_problem(413, "body_too_large");
        let problem = house.post(path, json!({"colour": "red"})).await.is_problem(422, "unknown_field");
        assert_eq!(problem["field"], "colour");
        assert!(problem["detail"].as_str().unwrap().contains("colour"));
    }
    house.stop().await;
}

#[tokio::test]
async fn fields_of_an_upload_that_can_not_be_used() {
    let house = House::new().await;
    let init = async |fields: Value| {
        let mut body = json!({"filename": "talk.mp3", "total_size": 20_000_000});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        house.post("/chunked-upload-stream", body).await
    };
    for (fields, status, code) in [
        (json!({"total_size": "20000000"}), 422, "invalid_field"),
        (json!({"total_size": -1}), 422, "invalid_field"),
        (json!({"total_size": 0}), 422, "invalid_field"),
        (json!({"total_size": 5_242_879}), 422, "file_too_small"),
        (json!({"total_size": 10_737_418_241u64}), 413, "file_too_large"),
        (json!({"chunk_size_mb": 0}), 422, "invalid_field"),
        (json!({"chunk_size_mb": 101}), 422, "invalid_field"),
        (json!({"chunk_size_mb": "5"}), 422, "invalid_field"),
        (json!({"filename": 7}), 422, "invalid_field"),
        (json!({"filename": ""}), 422, "invalid_field"),
        (json!({"language": "klingon"}), 422, "invalid_field"),
        (json!({"webhook_url": "not a url"}), 422, "invalid_field"),
        (json!({"webhook_url": "https://example.org/"}), 422, "webhooks_not_configured"),
        (json!({"use_llm": true}), 422, "llm_not_configured"),
        (json!({"word_timestamps": "yes"}), 422, "invalid_field"),
        (json!({"use_cache": "no"}), 422, "invalid_field"),
        (json!({"checksum": "sha256"}), 422, "not_supported_yet"),
        (json!({"max_parallel_chunks": 0}), 422, "invalid_field"),
        (json!({"metadata": {"a": {}}}), 422, "invalid_field"),
    ] {
        let problem = init(fields.clone()).await.is_problem(status, code);
        let field = fields.as_object().unwrap().keys().next().unwrap();
        assert!(problem["field"].as_str().unwrap().starts_with(field.as_str()), "{problem}");
    }
    let small = init(json!({"total_size": 1_000})).await.json();
    assert!(small["detail"].as_str().unwrap().contains("POST /api/transcripts/upload"));
    house.stop().await;
}

#[tokio::test]
async fn jobs_and_chunks_that_do_not_exist() {
    let house = House::new().await;
    let (job, _) = house.init(5).await;
    let unknown = scriptorium_shared::testing::new_id();
    let with = |job: Value| {
        [
            ("/chunked-upload-urls", json!({"parent_job_id": job})),
            (
                "/chunk-upload-complete",
                json!({"parent_job_id": job, "chunk_index": 0, "actual_size": 1 << 20}),
            ),
            ("/chunked-upload-cancel", json!({"parent_job_id": job})),
            ("/chunked-upload-retry", json!({"parent_job_id": job, "chunk_index": 0})),
        ]
    };
    for (path, body) in with(json!(unknown)) {
        house.post(path, body).await.is_problem(404, "job_not_found");
    }
    for (path, body) in with(json!("../../etc/passwd")) {
        let problem = house.post(path, body).await.is_problem(422, "invalid_field");
        assert_eq!(problem["field"], "parent_job_id");
    }
    for path in ["/chunked-upload-urls?parent_job_id=", "/chunked-upload-status?parent_job_id="] {
        house.get(&format!("{path}{unknown}")).await.is_problem(404, "job_not_found");
        house.get(&format!("{path}7")).await.is_problem(400, "invalid_job_id");
        house.get(&format!("{path}{job}&page=0")).await.is_problem(400, "malformed_query");
        house.get(&format!("{path}{job}&page=x")).await.is_problem(400, "malformed_query");
        house.get(&format!("{path}{job}&page=4294967295")).await.json();
    }
    house.get("/chunked-upload-status").await.is_problem(400, "malformed_query");
    for (before, after) in [("/chunked-stream/", ""), ("/jobs/", "/transcript")] {
        house.get(&format!("{before}{unknown}{after}")).await.is_problem(404, "job_not_found");
        house.get(&format!("{before}7{after}")).await.is_problem(400, "invalid_job_id");
        house.get(&format!("{before}%ff{after}")).await.is_problem(400, "invalid_job_id");
    }
    house.get(&format!("/chunked-stream/{job}?partial=some")).await.is_problem(400, "malformed_query");
    for index in [json!(5), json!(4_294_967_295u64)] {
        let body = json!({"parent_job_id": job, "chunk_index": index, "actual_size": 1});
        house.post("/chunk-upload-complete", body).await.is_problem(422, "chunk_out_of_range");
    }
    for index in [json!(-1), json!(4_294_967_296u64), json!("0"), json!(0.5), json!(null)] {
        let body = json!({"parent_job_id": job, "chunk_index": index, "actual_size": 1});
        house.post("/chunk-upload-complete", body).await.is_problem(422, "invalid_field");
    }
    let body = json!({"parent_job_id": job, "reason": "x".repeat(501)});
    house.post("/chunked-upload-cancel", body).await.is_problem(422, "invalid_field");
    house.stop().await;
}

#[tokio::test]
async fn addresses_and_methods_that_do_not_exist() {
    let house = House::new().await;
    for path in ["/", "/nothing", "/chunked-upload-stream/", "/chunked-stream", "/job", "/docs/errors/none"] {
        house.get(path).await.is_problem(404, "route_not_found");
    }
    for path in POSTS {
        let reply = Reply::of(house.http.delete(house.url(path))).await;
        reply.is_problem(405, "method_not_allowed");
        assert!(reply.headers["allow"].to_str().unwrap().contains("POST"));
    }
    Reply::of(house.http.put(house.url("/healthz"))).await.is_problem(405, "method_not_allowed");
    let page = house.get("/docs/errors/size_mismatch").await;
    assert!(page.status == 200 && page.body.starts_with("# `size_mismatch`"));
    house.stop().await;
}

#[tokio::test]
async fn hosts_that_no_address_can_be_made_of() {
    let house = House::new().await;
    let body = r#"{"filename":"a.mp3","total_size":6000000}"#;
    for host in ["Host: a b\r\n", "Host: evil/path\r\n", "Host: user@host\r\n", "Host: \r\n", ""] {
        let request = format!(
            "POST /chunked-upload-stream HTTP/1.1\r\n{host}Content-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let reply = raw(&house, request.as_bytes()).await;
        assert!(reply.starts_with("HTTP/1.1 400"), "{host}: {reply}");
        assert!(reply.contains("invalid_host"), "{host}: {reply}");
    }
    let forwarded = house.http.post(house.url("/chunked-upload-stream")).header("x-forwarded-proto", "https");
    let forwarded = forwarded.header("host", "Text.example.org").header("content-type", "application/json");
    let reply = Reply::of(forwarded.body(body)).await.json();
    let url = reply["upload_urls"][0]["upload_url"].as_str().unwrap().to_owned();
    assert!(url.starts_with("https://text.example.org/scriptorium/"), "{url}");
    house.stop().await;
}

#[tokio::test]
async fn noise_and_cut_off_bodies_harm_nobody() {
    let house = House::new().await;
    let init = "POST /chunked-upload-stream HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n";
    for noise in
        [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", &[0; 2_000]]
    {
        let reply = raw(&house, noise).await;
        assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 400"), "{reply}");
    }
    let with_head = async |length| {
        let long = "x".repeat(length);
        let head = format!("GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Long: {long}\r\n\r\n");
        raw(&house, head.as_bytes()).await
    };
    assert!(with_head(40_000).await.starts_with("HTTP/1.1 200"));
    let refused = with_head(140_000).await;
    assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 431"), "{refused}");
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(format!("{init}Content-Length: 500\r\n\r\n{{\"filename\"").as_bytes()).await.unwrap();
    drop(stream);
    assert_eq!(house.get("/healthz").await.status, 200);
    house.stop().await;
}
