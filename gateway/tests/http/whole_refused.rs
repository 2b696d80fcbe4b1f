//! Recordings in one piece that are refused: a clear problem, and no job that goes on.

use crate::house::{House, MB, Reply};
use crate::whole::{BOUNDARY, UPLOAD, before, form, noise, open, open_jobs, reply, request, send};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn forms_that_can_not_be_used() {
    let house = House::new().await;
    let small = noise(1_000);
    for (fields, status, code, field) in [
        (("colour", "red"), 422, "unknown_field", "colour"),
        (("chunk_size_mb", "5"), 422, "unknown_field", "chunk_size_mb"),
        (("language", "klingon"), 422, "invalid_field", "language"),
        (("word_timestamps", "perhaps"), 422, "invalid_field", "word_timestamps"),
        (("metadata", "[]"), 422, "invalid_field", "metadata"),
        (("max_parallel_chunks", "0"), 422, "invalid_field", "max_parallel_chunks"),
        (("use_llm", "true"), 422, "llm_not_configured", "use_llm"),
        (("total_size", "many"), 422, "invalid_field", "total_size"),
    ] {
        let problem = send(&house, UPLOAD, form(&[fields], &small, &[])).await.is_problem(status, code);
        assert_eq!(problem["field"], field);
    }
    // With a large file, it is told before the file has come.
    let large = before(&[("colour", "red")]);
    let mut stream = open(&house, UPLOAD, large.len() + (1 << 30), "").await;
    stream.write_all(&large).await.unwrap();
    let reply = reply(stream).await;
    assert!(reply.starts_with("HTTP/1.1 422") && reply.contains("unknown_field"), "{reply}");
    let empty = send(&house, UPLOAD, form(&[], b"", &[])).await.is_problem(422, "invalid_field");
    assert!(empty["detail"].as_str().unwrap().contains("empty"));
    let none = format!("--{BOUNDARY}--\r\n").into_bytes();
    assert_eq!(send(&house, UPLOAD, none).await.is_problem(422, "missing_field")["field"], "file");
    let twice = [before(&[]), b"x\r\n".to_vec(), form(&[], b"y", &[])].concat();
    assert_eq!(send(&house, UPLOAD, twice).await.is_problem(422, "invalid_field")["field"], "file");
    let long = "x".repeat(70_000);
    send(&house, UPLOAD, form(&[("prompt", &long)], &small, &[])).await.is_problem(413, "body_too_large");
    let many = vec![("prompt", "x"); 65];
    send(&house, UPLOAD, form(&many, &small, &[])).await.is_problem(413, "body_too_large");
    assert_eq!(open_jobs(&house).await, []);
    house.stop().await;
}

#[tokio::test]
async fn bodies_that_are_no_forms() {
    let house = House::new().await;
    for path in [UPLOAD, "/api/transcripts/upload?wait=true"] {
        let json = house.http.post(house.url(path)).header("content-type", "application/json").body("{}");
        Reply::of(json).await.is_problem(415, "unsupported_content_type");
        let without = house.http.post(house.url(path)).header("content-type", "multipart/form-data");
        Reply::of(without.body("x")).await.is_problem(415, "unsupported_content_type");
        send(&house, path, b"no form".to_vec()).await.is_problem(400, "malformed_body");
        let mut cut = form(&[], b"some bytes", &[]);
        cut.truncate(cut.len() - 10);
        send(&house, path, cut).await.is_problem(400, "malformed_body");
        let unnamed = format!("--{BOUNDARY}\r\nContent-Type: audio/wav\r\n\r\nx\r\n--{BOUNDARY}--\r\n");
        send(&house, path, unnamed.into_bytes()).await.is_problem(400, "malformed_body");
        send(&house, path, vec![0xff; 100_000]).await.is_problem(400, "malformed_body");
    }
    house.get(UPLOAD).await.is_problem(405, "method_not_allowed");
    house.get("/api/transcripts/7").await.is_problem(400, "invalid_job_id");
    let unknown = scriptorium_shared::testing::new_id();
    house.get(&format!("/api/transcripts/{unknown}")).await.is_problem(404, "job_not_found");
    send(&house, "/api/transcripts/upload?wait=perhaps", Vec::new()).await.is_problem(400, "malformed_query");
    assert_eq!(open_jobs(&house).await, []);
    house.stop().await;
}

#[tokio::test]
async fn sizes_that_are_not_told_or_wrong() {
    let house = House::new().await;
    let file = noise(30 * MB);
    let body = form(&[], &file, &[]);
    // In pieces of unknown number.
    let pieces =
        body.chunks(1 << 20).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect::<Vec<_>>();
    let streamed = request(&house, UPLOAD, Vec::new());
    let streamed = streamed.body(reqwest::Body::wrap_stream(futures::stream::iter(pieces)));
    Reply::of(streamed).await.is_problem(411, "length_required");
    // Far too large: told at once.
    let stream = open(&house, UPLOAD, 11 << 30, "").await;
    let told = reply(stream).await;
    assert!(told.starts_with("HTTP/1.1 413") && told.contains("file_too_large"), "{told}");
    // A form that ends without the usual line break.
    let bare = body[..body.len() - 2].to_vec();
    let problem = send(&house, UPLOAD, bare.clone()).await.is_problem(422, "length_mismatch");
    assert_eq!(
        (&problem["expected_size"], &problem["found_size"]),
        (&(30 * MB - 2).into(), &(30 * MB).into())
    );
    let size = (30 * MB).to_string();
    let mut told = form(&[("total_size", &size)], &file, &[]);
    told.truncate(told.len() - 2);
    assert_eq!(send(&house, UPLOAD, told).await.status, 202);
    // What is told has to be true.
    for (told, file) in
        [("10", &file[..]), ("11", b"ten bytes!"), ("9", b"ten bytes!"), ("31457281", &file[..])]
    {
        let body = form(&[("total_size", told)], file, &[]);
        send(&house, UPLOAD, body).await.is_problem(422, "length_mismatch");
    }
    // Small ones need no telling.
    let mut small = form(&[], b"ten bytes!", &[]);
    small.truncate(small.len() - 2);
    assert_eq!(send(&house, UPLOAD, small).await.status, 202);
    // Nor need it be told before the file; but it has to be true there, too.
    for (told, code) in [("9", "length_mismatch"), ("11", "length_mismatch"), ("{}", "invalid_field")] {
        let body = form(&[], b"ten bytes!", &[("total_size", told)]);
        send(&house, UPLOAD, body).await.is_problem(422, code);
    }
    let body = form(&[], b"ten bytes!", &[("total_size", "10")]);
    assert_eq!(send(&house, UPLOAD, body).await.status, 202);
    assert_eq!(open_jobs(&house).await.len(), 3);
    house.stop().await;
}

#[tokio::test]
async fn fields_behind_a_large_file() {
    let house = House::new().await;
    let body = form(&[], &noise(30 * MB), &[("language", "de")]);
    let problem = send(&house, UPLOAD, body).await.is_problem(422, "field_after_file");
    assert_eq!(problem["field"], "language");
    let began = std::time::Instant::now();
    while !open_jobs(&house).await.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "the job is not cancelled");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    house.stop().await;
}

#[tokio::test]
async fn slow_clients_are_not_waited_for() {
    let house = House::with(|config| config.body_timeout = Duration::from_millis(300)).await;
    let body = form(&[], &noise(MB), &[]);
    let mut stream = open(&house, UPLOAD, body.len(), "").await;
    stream.write_all(&body[..1_000]).await.unwrap();
    let told = reply(stream).await;
    assert!(told.starts_with("HTTP/1.1 408") && told.contains("request_timeout"), "{told}");
    assert_eq!(open_jobs(&house).await, []);
    house.stop().await;
}

#[tokio::test]
async fn memory_is_shared_out() {
    let house = House::with(|config| {
        config.upload_memory_mb = 26;
        config.body_timeout = Duration::from_secs(1);
    })
    .await;
    let body = form(&[], &noise(30 * MB), &[]);
    let mut stream = open(&house, UPLOAD, body.len(), "").await;
    let (first, rest) = body.split_at(1_000);
    stream.write_all(first).await.unwrap();
    // It stays alive, and holds what it has.
    let slow = async {
        for byte in &rest[..20] {
            tokio::time::sleep(Duration::from_millis(150)).await;
            stream.write_all(&[*byte]).await.unwrap();
        }
        stream.write_all(&rest[20..]).await.unwrap();
        reply(stream).await
    };
    let other = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        send(&house, UPLOAD, form(&[], &noise(MB), &[])).await
    };
    let (told, refused) = tokio::join!(slow, other);
    refused.is_problem(503, "too_many_uploads");
    assert_eq!(refused.headers["retry-after"], "2");
    assert!(told.starts_with("HTTP/1.1 202"), "{told}");
    assert_eq!(send(&house, UPLOAD, form(&[], &noise(MB), &[])).await.status, 202);
    house.stop().await;
}

/// A client that sends a byte now and then is never silent, and would hold its memory for an hour.
#[tokio::test]
async fn who_comes_too_slowly_makes_room() {
    let house = House::with(|config| {
        config.upload_memory_mb = 26;
        config.upload_window = Duration::from_secs(1);
        config.min_upload_rate = 1_000;
    })
    .await;
    let body = form(&[], &noise(25 * MB), &[]);
    let mut stream = open(&house, UPLOAD, body.len(), "").await;
    let (first, rest) = body.split_at(1_000);
    stream.write_all(first).await.unwrap();
    let slow = async {
        for byte in rest.iter().take(200) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        reply(stream).await
    };
    let other = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        send(&house, UPLOAD, form(&[], &noise(MB), &[])).await
    };
    let began = std::time::Instant::now();
    let (told, waited) = tokio::join!(slow, other);
    assert!(told.starts_with("HTTP/1.1 408") && told.contains("too slowly"), "{told}");
    // The other has waited for the memory, and got it long before all of the slow one's bytes could have come.
    assert_eq!(waited.status, 202, "{}", waited.body);
    assert!(began.elapsed() < Duration::from_secs(60));
    house.stop().await;
}
