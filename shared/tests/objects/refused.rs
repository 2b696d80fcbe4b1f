//! What is refused, and that nothing is written then: not in the folder, not outside of it.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, StatusCode};
use scriptorium_shared::objects::embedded::{OpenError, S3Service};
use scriptorium_shared::objects::{Access, Objects};

use crate::harness::{HOUR, Served, config, raw, service, target};

/// Sends `body` with a `Content-Length` and demands a refusal that leaves nothing.
async fn refused(served: &Served, method: &str, target: &str, headers: &str, body: &[u8], expected: &[u16]) {
    let headers = format!("Content-Length: {}\r\n{headers}", body.len());
    let (status, answer) = raw(served.address, &format!("{method} {target}"), &headers, body).await;
    assert!(expected.contains(&status), "{method} {target}: {answer}");
    assert!(served.files().is_empty(), "{method} {target}: {:?}", served.files());
}

#[tokio::test]
async fn any_other_length() {
    let served = Served::start().await;
    let url = served.presign("exact", 4).await;
    let target = target(&url);
    refused(&served, "PUT", target, "", b"thr", &[403]).await;
    refused(&served, "PUT", target, "", b"fives", &[403]).await;
    refused(&served, "PUT", target, "", b"", &[403]).await;
    // No length: chunked transfer.
    let chunked = "Transfer-Encoding: chunked\r\n";
    let (status, _) = raw(served.address, &format!("PUT {target}"), chunked, b"4\r\nfour\r\n0\r\n\r\n").await;
    assert_eq!(status, 411);
    // Both: the length that is signed, and a body that is not bound by it.
    let both = "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n";
    let (status, _) = raw(served.address, &format!("PUT {target}"), both, b"5\r\nfives\r\n0\r\n\r\n").await;
    assert!((400..500).contains(&status), "{status}");
    let none = raw(served.address, &format!("PUT {target}"), "", b"").await.0;
    assert_eq!(none, 411);
    assert!(served.files().is_empty(), "{:?}", served.files());
}

#[tokio::test]
async fn another_length_in_another_guise() {
    let served = Served::start().await;
    let url = served.presign("exact", 4).await;
    // The signed length with a body that says it is longer once decoded.
    let decoded = "X-Amz-Decoded-Content-Length: 400\r\nContent-Encoding: aws-chunked\r\n";
    let streaming = "X-Amz-Content-Sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\nX-Amz-Trailer: x\r\n";
    let headers = format!("{decoded}{streaming}");
    refused(&served, "PUT", target(&url), &headers, b"four", &[400, 403, 501]).await;
}

#[tokio::test]
async fn a_changed_url() {
    let served = Served::start().await;
    let url = served.presign("jobs/1/mine", 4).await;
    let target = target(&url);
    let longer = target.replace("X-Amz-Expires=3600", "X-Amz-Expires=604800");
    assert_ne!(longer, target);
    for changed in [
        target.replace("mine", "yours"),
        target.replace("jobs/1/", "jobs/2/"),
        longer,
        format!("{target}&uploads="),
        format!("{target}&partNumber=1&uploadId=x"),
        target.replace("X-Amz-Signature=", "X-Amz-Signature=0"),
        target.split("&X-Amz-Signature").next().unwrap().to_owned(),
        target.replace("x-id=PutObject", "x-id=GetObject"),
        target.replace("content-length%3Bhost", "host"),
    ] {
        assert_ne!(changed, target);
        refused(&served, "PUT", &changed, "", b"four", &[400, 403]).await;
    }
    for method in ["GET", "HEAD", "DELETE", "POST", "PATCH", "TRACE"] {
        refused(&served, method, target, "", b"", &[403, 405]).await;
    }
    refused(
        &served,
        "PUT",
        target,
        "X-Amz-Copy-Source: /scriptorium/../../etc/passwd\r\n",
        b"four",
        &[400, 403, 501],
    )
    .await;
}

#[tokio::test]
async fn an_expired_url() {
    let served = Served::start().await;
    let url = served.objects().presign_put("late", 4, Duration::from_secs(1), None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2200)).await;
    refused(&served, "PUT", target(&url), "", b"four", &[403]).await;
}

#[tokio::test]
async fn no_signature_and_old_ones() {
    let served = Served::start().await;
    served.objects().ping().await.unwrap();
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        for path in ["/scriptorium/a", "/scriptorium", "/scriptorium/", "/scriptorium/?list-type=2"] {
            refused(&served, method, path, "", b"", &[403]).await;
        }
    }
    let old = "/scriptorium/a?AWSAccessKeyId=test-key&Expires=9999999999&Signature=x";
    refused(&served, "PUT", old, "", b"four", &[403]).await;
    refused(&served, "PUT", "/scriptorium/a", "Authorization: AWS test-key:x\r\n", b"four", &[403]).await;
    // A form, as browsers post it: would be held in memory before anybody looks at its signature.
    let form = "Content-Type: multipart/form-data; boundary=x\r\n";
    refused(&served, "POST", "/scriptorium", form, b"--x\r\n", &[403, 405]).await;
    refused(&served, "POST", "/scriptorium?delete", form, b"--x\r\n", &[403, 405]).await;
}

#[tokio::test]
async fn wrong_keys() {
    let served = Served::start().await;
    for (access, secret) in [("test-key", "other-secret"), ("other-key", "test-secret")] {
        let (access_key, secret_key) = (access.to_owned(), secret.to_owned());
        let other = Objects::new(scriptorium_shared::objects::ObjectsConfig {
            access: Access::Keys { access_key, secret_key },
            ..config(served.address)
        });
        let other = other.unwrap();
        let url = other.presign_put("a", 4, HOUR, None).await.unwrap();
        refused(&served, "PUT", target(&url), "", b"four", &[403]).await;
        let error = other.write("a", Bytes::from_static(b"four"), "text/plain").await.unwrap_err();
        assert!(!error.retryable(), "{error:?}");
        assert!(other.read("a", 0, 1).await.is_err() && other.list("").await.is_err());
        assert!(other.delete_prefix("a/").await.is_err() && other.ping().await.is_err());
    }
    assert!(served.files().is_empty());
}

/// Signed by the owner of the keys, so that only the check of the key stands between it and the disk.
#[tokio::test]
async fn a_key_that_would_leave_the_folder() {
    let served = Served::start().await;
    let objects = served.objects();
    let long = "k".repeat(1001);
    let longer = "k/".repeat(600) + "k";
    let deep = "k/".repeat(100) + "k";
    for key in [
        "../out",
        "../../out",
        "a/../../../out",
        "a/..",
        ".",
        "..",
        "/tmp/out",
        "//out",
        "a//b",
        "a/",
        "nul\0byte",
        "new\nline",
        "back\\slash",
        "..\\out",
        "%2e%2e/out",
        "..%2fout",
        "ümlaut",
        "spa ce",
        "a+b",
        "lock/../x",
        &long,
        &longer,
        &deep,
    ] {
        let url = objects.presign_put(key, 4, HOUR, None).await.unwrap();
        refused(&served, "PUT", target(&url), "", b"four", &[400, 403, 404]).await;
        // The same bytes of the key, escaped more than needed: the signature is the same.
        let escaped = target(&url).replacen("..", "%2e%2E", 3);
        refused(&served, "PUT", &escaped, "", b"four", &[400, 403, 404]).await;
        let escaped = target(&url).replacen("../", "..%2f", 3);
        refused(&served, "PUT", &escaped, "", b"four", &[400, 403, 404]).await;
    }
    // To show that the escapes above reach the check of the key: an honest key, escaped, is taken.
    let url = objects.presign_put("a.b", 4, HOUR, None).await.unwrap();
    let escaped = target(&url).replacen("a.b", "a%2eb", 1);
    let (status, answer) =
        raw(served.address, &format!("PUT {escaped}"), "Content-Length: 4\r\n", b"four").await;
    assert_eq!(status, 200, "{answer}");
    assert!(objects.size("a.b").await.unwrap().is_some());
}

#[tokio::test]
async fn reading_and_listing_outside_the_folder() {
    let served = Served::start().await;
    let objects = served.objects();
    std::fs::write(served.outer.path().join("secret+object"), [0; 500]).unwrap();
    for key in ["../../secret", "../secret", "a/../../../secret"] {
        assert!(!matches!(objects.read(key, 0, 9).await, Ok(Some(_))), "{key}");
    }
    for prefix in ["../", "../../", "/", "a/../../"] {
        assert_eq!(objects.list(prefix).await.unwrap_or_default(), [], "{prefix}");
        let _ = objects.delete_prefix(prefix).await;
    }
    assert!(served.outer.path().join("secret+object").exists());
}

#[tokio::test]
async fn another_bucket() {
    let served = Served::start().await;
    let mut other = config(served.address);
    other.bucket = "incoming".to_owned();
    let other = Objects::new(other).unwrap();
    let url = other.presign_put("a", 4, HOUR, None).await.unwrap();
    refused(&served, "PUT", target(&url), "", b"four", &[403, 404]).await;
    assert!(other.ping().await.is_err());
    let outer = tempfile::tempdir().unwrap();
    for bucket in ["", "a", "incoming", "lock", "../bucket", "Bucket", "b/c", "a.b", ".."] {
        let opened = S3Service::open(outer.path(), bucket, "key", "secret");
        assert!(matches!(opened, Err(OpenError::BucketName)), "{bucket:?}");
    }
    assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn more_than_a_chunk() {
    let served = Served::start().await;
    let largest = 100 * 1024 * 1024;
    let url = served.presign("large", largest + 1).await;
    let headers = format!("Content-Length: {}\r\n", largest + 1);
    let (status, _) = raw(served.address, &format!("PUT {}", target(&url)), &headers, b"").await;
    assert_eq!(status, 413);
    let answer = Client::new().put(&url).header("content-length", "104857601").body("short").send().await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == StatusCode::PAYLOAD_TOO_LARGE));
    assert!(served.files().is_empty());
}

#[tokio::test]
async fn a_second_process_on_the_folder() {
    let outer = tempfile::tempdir().unwrap();
    let first = service(outer.path());
    let second = S3Service::open(outer.path(), "scriptorium", "key", "secret");
    assert!(matches!(second, Err(OpenError::InUse)));
    drop(first);
    assert!(S3Service::open(outer.path(), "scriptorium", "key", "secret").is_ok());
}
