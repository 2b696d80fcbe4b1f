//! The client's own promises, against the embedded service and against servers that behave badly.

use std::net::SocketAddr;
use std::time::Duration;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use bytes::Bytes;
use futures::{StreamExt, stream};
use scriptorium_shared::objects::{Access, Objects, ObjectsConfig, ObjectsError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::contract;
use crate::harness::{BUCKET, HOUR, Served, config};

/// The plain library, for what [`Objects`] does not offer.
fn library(served: &Served) -> aws_sdk_s3::Client {
    let settings = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new("test-key", "test-secret", None, None, "test"))
        .region(Region::new("eu-central-1"))
        .endpoint_url(format!("http://{}", served.address))
        .force_path_style(true)
        .build();
    aws_sdk_s3::Client::from_conf(settings)
}

#[tokio::test]
async fn write_size_read_delete() {
    contract::write_size_read_delete(&Served::start().await.objects()).await;
}

#[tokio::test]
async fn listing_pages_through_thousands_and_deletion_too() {
    let served = Served::start().await;
    contract::lists_and_deletes_thousands(&served.objects()).await;
    assert!(!served.data().join("scriptorium/jobs/1/upload").exists());
}

#[tokio::test]
async fn uploads_of_their_length_alone() {
    contract::uploads_of_their_length_alone(&Served::start().await.objects()).await;
}

#[tokio::test]
async fn ranges_conditions_and_single_deletes_of_the_service() {
    let served = Served::start().await;
    served.objects().write("a", Bytes::from_static(b"0123456789"), "audio/wav").await.unwrap();
    let library = library(&served);
    let get = || library.get_object().bucket(BUCKET).key("a");
    for (range, expected, content_range) in [
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=-99", "0123456789", "bytes 0-9/10"),
        ("bytes=8-", "89", "bytes 8-9/10"),
        ("bytes=2-3", "23", "bytes 2-3/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
    ] {
        let got = get().range(range).send().await.unwrap();
        assert_eq!(got.content_range(), Some(content_range), "{range}");
        assert_eq!(got.content_type(), Some("audio/wav"));
        assert_eq!(got.body.collect().await.unwrap().into_bytes(), expected, "{range}");
    }
    for range in ["bytes=10-", "bytes=-0"] {
        let refused = get().range(range).send().await.unwrap_err();
        assert_eq!(refused.raw_response().unwrap().status().as_u16(), 416, "{range}");
    }
    let head = library.head_object().bucket(BUCKET).key("a").send().await.unwrap();
    let etag = head.e_tag().unwrap();
    assert_eq!(etag, "\"781e5e245d69b566979b86e28d23f2c7\"");
    let status = |error: aws_sdk_s3::error::SdkError<_>| error.raw_response().unwrap().status().as_u16();
    assert_eq!(status(get().if_none_match(etag).send().await.unwrap_err()), 304);
    assert_eq!(status(get().if_match("\"other\"").send().await.unwrap_err()), 412);
    assert!(get().if_match(etag).send().await.is_ok());
    for _ in 0..2 {
        library.delete_object().bucket(BUCKET).key("a").send().await.unwrap();
    }
    assert!(served.files().is_empty());
}

/// The library's default for uploads: the body in pieces, its sum behind it.
#[tokio::test]
async fn sums_in_trailers_are_understood() {
    let served = Served::start().await;
    let body = aws_sdk_s3::primitives::ByteStream::from(vec![7; 300_000]);
    let put = library(&served).put_object().bucket(BUCKET).key("a").body(body);
    let put = put.checksum_algorithm(aws_sdk_s3::types::ChecksumAlgorithm::Crc64Nvme);
    put.send().await.unwrap();
    assert_eq!(served.objects().read("a", 0, 400_000).await.unwrap().unwrap(), vec![7; 300_000]);
}

#[tokio::test]
async fn what_the_service_does_not_do_it_says() {
    let served = Served::start().await;
    let library = library(&served);
    let multipart = library.create_multipart_upload().bucket(BUCKET).key("a").send().await.unwrap_err();
    assert!(matches!(multipart.raw_response().unwrap().status().as_u16(), 405 | 501));
    let copy = library.copy_object().bucket(BUCKET).key("a").copy_source("scriptorium/b").send().await;
    assert_eq!(copy.unwrap_err().raw_response().unwrap().status().as_u16(), 501);
    let conditional = library.put_object().bucket(BUCKET).key("a").if_none_match("*").send().await;
    assert_eq!(conditional.unwrap_err().raw_response().unwrap().status().as_u16(), 501);
    assert!(served.files().is_empty());
}

#[tokio::test]
async fn a_store_that_is_not_there() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let objects = Objects::new(config(port)).unwrap();
    let error = objects.read("a", 0, 1).await.unwrap_err();
    assert!(matches!(error, ObjectsError::Unavailable(_)) && error.retryable(), "{error:?}");
    assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    // Signing needs no store.
    assert!(objects.presign_put("a", 1, HOUR, None).await.is_ok());
}

#[test]
fn settings_are_checked() {
    let right = || config(SocketAddr::from(([127, 0, 0, 1], 1)));
    assert!(Objects::new(right()).is_ok());
    for wrong in [
        ObjectsConfig { endpoint: "localhost:9000".to_owned(), ..right() },
        ObjectsConfig { public_endpoint: Some("http://host/path".to_owned()), ..right() },
        ObjectsConfig { bucket: String::new(), ..right() },
        ObjectsConfig {
            access: Access::Keys { access_key: "access".to_owned(), secret_key: String::new() },
            ..right()
        },
    ] {
        assert!(matches!(Objects::new(wrong), Err(ObjectsError::Config(_))));
    }
}

#[tokio::test]
async fn requests_to_sign_are_checked() {
    let objects = Objects::new(config(SocketAddr::from(([127, 0, 0, 1], 1)))).unwrap();
    let week = 7 * 24 * HOUR;
    for (expires, base) in [
        (Duration::ZERO, None),
        (week + Duration::from_secs(1), None),
        (HOUR, Some("http://evil.example/path")),
        (HOUR, Some("http://host\r\nX-Injected: 1")),
    ] {
        let signed = objects.presign_put("a", 1, expires, base).await;
        assert!(matches!(signed, Err(ObjectsError::Request(_))), "{expires:?} {base:?}");
    }
    assert!(objects.presign_put("a", 1, week, None).await.is_ok());
}

/// Answers one connection after the other with the given bytes, then closes it.
async fn answering(answers: Vec<Vec<u8>>) -> Objects {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    });
    Objects::new(config(address)).unwrap()
}

fn partial(length: usize, body: &str) -> Vec<u8> {
    let head = "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nContent-Range: bytes 0-9/10\r\n";
    format!("{head}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    let objects = answering(vec![partial(10, "01234"), partial(10, "0"), partial(10, "0123456789")]).await;
    assert_eq!(objects.read("a", 0, 10).await.unwrap().unwrap(), "0123456789");
    let objects = answering(vec![partial(10, "01234"); 3]).await;
    assert!(matches!(objects.read("a", 0, 10).await, Err(ObjectsError::Unavailable(_))));
}

#[tokio::test]
async fn an_overloaded_store_is_asked_again() {
    let busy = b"HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec();
    let objects = answering(vec![busy.clone(), busy, partial(10, "0123456789")]).await;
    assert_eq!(objects.read("a", 0, 10).await.unwrap().unwrap(), "0123456789");
}

#[tokio::test]
async fn a_server_that_ignores_ranges_does_not_fill_the_memory() {
    let whole = |body: &str| {
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            .into_bytes()
    };
    let objects = answering(vec![whole("0123456789")]).await;
    assert_eq!(objects.read("a", 0, 4).await.unwrap().unwrap(), "0123");
    let objects = answering(vec![whole("0123456789")]).await;
    assert!(matches!(objects.read("a", 2, 4).await, Err(ObjectsError::Answer(_))));
    let objects = answering(vec![partial(20, &"x".repeat(20))]).await;
    assert!(matches!(objects.read("a", 0, 10).await, Err(ObjectsError::Answer(_))));
}

#[tokio::test]
async fn many_urls_in_parallel() {
    let served = Served::start().await;
    let objects = served.objects();
    let base = format!("http://localhost:{}", served.address.port());
    let urls = stream::iter(0..50).map(|i| {
        let (objects, base) = (&objects, &base);
        async move { objects.presign_put(&format!("jobs/1/{i}"), 4, HOUR, Some(base)).await.unwrap() }
    });
    let urls: Vec<String> = urls.buffered(8).collect().await;
    let client = reqwest::Client::new();
    stream::iter(urls)
        .for_each_concurrent(8, |url| {
            let client = &client;
            async move { assert_eq!(client.put(url).body("four").send().await.unwrap().status(), 200) }
        })
        .await;
    assert_eq!(objects.list("jobs/1/").await.unwrap().len(), 50);
}
