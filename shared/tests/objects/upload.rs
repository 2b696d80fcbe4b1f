//! What an uploader sees who has nothing but a presigned URL, and what is on the disk afterwards.

use std::fs;

use bytes::Bytes;
use futures::stream;
use md5::{Digest, Md5};
use reqwest::{Client, Method, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use scriptorium_shared::objects::{Objects, ObjectsConfig};

use crate::harness::{HOUR, Served, config, raw, target};

fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

#[tokio::test]
async fn a_presigned_url_takes_its_bytes_from_anybody() {
    let served = Served::start().await;
    let body = noise(1, 3_000_000);
    let url = served.presign("jobs/1/upload/chunk-00000", body.len() as u64).await;
    let put = Client::new().put(&url).header("content-type", "audio/mpeg").body(body.clone());
    let answer = put.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["etag"], format!("\"{}\"", hex::encode(Md5::digest(&body))).as_str());
    let objects = served.objects();
    assert_eq!(objects.size("jobs/1/upload/chunk-00000").await.unwrap(), Some(3_000_000));
    assert_eq!(objects.read("jobs/1/upload/chunk-00000", 0, 4_000_000).await.unwrap().unwrap(), body);
    let file = served.data().join("scriptorium/jobs/1/upload/chunk-00000+object");
    assert_eq!(served.files(), [file]);
}

#[tokio::test]
async fn the_url_works_under_the_name_that_the_client_uses() {
    let served = Served::start().await;
    let base = format!("http://LOCALHOST:{}", served.address.port());
    let url = served.objects().presign_put("a", 4, HOUR, Some(&base)).await.unwrap();
    assert!(url.starts_with(&format!("http://localhost:{}/scriptorium/a?", served.address.port())), "{url}");
    assert_eq!(Client::new().put(&url).body("four").send().await.unwrap().status(), StatusCode::OK);
    // Signed for one name, refused under another.
    let other = url.replace("localhost", "127.0.0.1");
    assert_eq!(Client::new().put(&other).body("four").send().await.unwrap().status(), StatusCode::FORBIDDEN);
}

/// The store has another name for those who upload than for the roles.
#[tokio::test]
async fn urls_are_for_the_public_endpoint_and_the_roles_use_the_inner_one() {
    let served = Served::start().await;
    let public = format!("http://localhost:{}", served.address.port());
    let settings = ObjectsConfig { public_endpoint: Some(public.clone()), ..config(served.address) };
    assert!(settings.endpoint.starts_with("http://127.0.0.1:"), "{}", settings.endpoint);
    let objects = Objects::new(settings).unwrap();
    let url = objects.presign_put("a", 4, HOUR, None).await.unwrap();
    assert!(url.starts_with(&format!("{public}/scriptorium/a?")), "{url}");
    assert_eq!(Client::new().put(&url).body("four").send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(objects.read("a", 0, 9).await.unwrap().unwrap(), "four");
    // An address that nobody answers at is the uploaders' matter; the roles never go there.
    let nowhere = Some("http://files.invalid".to_owned());
    let objects = Objects::new(ObjectsConfig { public_endpoint: nowhere, ..config(served.address) }).unwrap();
    assert_eq!(objects.read("a", 0, 9).await.unwrap().unwrap(), "four");
    let url = objects.presign_put("a", 4, HOUR, None).await.unwrap();
    assert!(url.starts_with("http://files.invalid/"), "{url}");
}

#[tokio::test]
async fn an_empty_object_is_an_object() {
    let served = Served::start().await;
    let url = served.presign("empty", 0).await;
    let put = Client::new().put(&url).header("content-length", "0").body("");
    assert_eq!(put.send().await.unwrap().status(), StatusCode::OK);
    let objects = served.objects();
    assert_eq!(objects.size("empty").await.unwrap(), Some(0));
    assert_eq!(objects.read("empty", 0, 9).await.unwrap(), Some(Bytes::new()));
}

#[tokio::test]
async fn a_declared_sum_is_checked() {
    let served = Served::start().await;
    let url = served.presign("sum", 5).await;
    let sha = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="; // of "hello"
    let md5 = "XUFAKrxLKna5cZ2REBfFkg=="; // of "hello"
    let crc32 = "NhCmhg=="; // of "hello"
    let sums = [("content-md5", md5), ("x-amz-checksum-sha256", sha), ("x-amz-checksum-crc32", crc32)];
    for (name, sum) in sums {
        let wrong = Client::new().put(&url).header(name, sum).body("hallo").send().await.unwrap();
        assert_eq!(wrong.status(), StatusCode::BAD_REQUEST, "{name}");
        assert!(wrong.text().await.unwrap().contains("BadDigest"), "{name}");
        assert!(served.files().is_empty(), "{name}: {:?}", served.files());
    }
    for (name, sum) in sums {
        let right = Client::new().put(&url).header(name, sum).body("hello").send().await.unwrap();
        assert_eq!(right.status(), StatusCode::OK, "{name}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let served = Served::start().await;
    let url = served.presign("jobs/1/half", 2_000_000).await;
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: {}\r\nContent-Length: 2000000\r\n\r\n",
        target(&url),
        served.address
    );
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(&[head.as_bytes(), &noise(2, 1_500_000)].concat()).await.unwrap();
    served.until("the upload is being written", |served| served.files().len() == 1).await;
    drop(stream);
    served.until("the half upload is removed", |served| served.files().is_empty()).await;
    assert_eq!(served.objects().size("jobs/1/half").await.unwrap(), None);
    assert_eq!(fs::read_dir(served.data().join("scriptorium")).unwrap().count(), 0, "no folder either");
}

#[tokio::test]
async fn readers_see_the_old_object_or_the_new_one() {
    let served = Served::start().await;
    let (objects, key) = (served.objects(), "jobs/1/swap");
    let versions = [Bytes::from(vec![b'a'; 3_000_000]), Bytes::from(vec![b'b'; 2_000_000])];
    objects.write(key, versions[0].clone(), "text/plain").await.unwrap();
    let writer = async {
        for round in 1..=20 {
            objects.write(key, versions[round % 2].clone(), "text/plain").await.unwrap();
        }
    };
    let reader = async {
        let mut seen = [0, 0];
        for _ in 0..60 {
            let read = objects.read(key, 0, 4_000_000).await.unwrap().unwrap();
            let version = versions.iter().position(|version| *version == read).expect("a mixture");
            seen[version] += 1;
        }
        seen
    };
    let ((), seen) = tokio::join!(writer, reader);
    assert!(seen[0] > 0 && seen[1] > 0, "both were read: {seen:?}");
}

#[tokio::test]
async fn a_restart_keeps_objects_and_sweeps_the_rest() {
    let served = Served::start().await;
    served.objects().write("jobs/1/kept", Bytes::from_static(b"kept"), "text/plain").await.unwrap();
    fs::write(served.data().join("incoming/left"), "half an upload").unwrap();
    let served = served.restart().await;
    assert_eq!(served.files(), [served.data().join("scriptorium/jobs/1/kept+object")]);
    assert_eq!(served.objects().read("jobs/1/kept", 0, 9).await.unwrap().unwrap(), "kept");
}

#[tokio::test]
async fn a_browser_of_any_origin_may_upload() {
    let served = Served::start().await;
    let url = served.presign("browser", 4).await;
    let client = Client::new();
    let preflight = client
        .request(Method::OPTIONS, &url)
        .header("origin", "https://page.example")
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "content-type");
    let preflight = preflight.send().await.unwrap();
    assert_eq!(preflight.status(), StatusCode::OK);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    assert_eq!(preflight.headers()["access-control-allow-headers"], "*");
    assert!(preflight.headers()["access-control-allow-methods"].to_str().unwrap().contains("PUT"));
    let put = client.put(&url).header("origin", "https://page.example").body("four").send().await.unwrap();
    assert_eq!(put.status(), StatusCode::OK);
    assert_eq!(put.headers()["access-control-allow-origin"], "*");
    let exposed = put.headers()["access-control-expose-headers"].to_str().unwrap().to_ascii_lowercase();
    assert!(exposed.contains("etag"), "{exposed}");
    // A script must be able to read why it was refused.
    let refused = client.put(url.replace("browser", "other")).header("origin", "https://page.example");
    let refused = refused.body("four").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert_eq!(refused.headers()["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn a_body_in_pieces_is_a_body() {
    let served = Served::start().await;
    let body = noise(3, 1_000_003);
    let url = served.presign("pieces", body.len() as u64).await;
    let pieces: Vec<_> = body.chunks(7_001).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    let put = Client::new().put(&url).header("content-length", body.len());
    let put = put.body(reqwest::Body::wrap_stream(stream::iter(pieces)));
    assert_eq!(put.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(served.objects().read("pieces", 0, 2_000_000).await.unwrap().unwrap(), body);
}

/// Needs the right to mount, so it is run by hand (`--run-ignored only`).
#[tokio::test]
#[ignore = "mounts a small file system"]
async fn a_full_disk_is_told_and_leaves_nothing() {
    let served = Served::start().await;
    let incoming = served.data().join("incoming");
    let mounted =
        |args: &[&str]| std::process::Command::new(args[0]).args(&args[1..]).arg(&incoming).status();
    assert!(mounted(&["mount", "-t", "tmpfs", "-o", "size=1m", "none"]).unwrap().success());
    let url = served.presign("large", 3_000_000).await;
    let headers = "Content-Length: 3000000\r\n";
    let (status, answer) =
        raw(served.address, &format!("PUT {}", target(&url)), headers, &noise(4, 3_000_000)).await;
    let left = served.files();
    let through_client =
        served.objects().write("large", noise(4, 3_000_000).into(), "a/b").await.unwrap_err();
    assert!(mounted(&["umount"]).unwrap().success());
    assert_eq!(status, 507, "{answer}");
    assert!(left.is_empty(), "{left:?}");
    assert!(through_client.retryable(), "{through_client:?}");
}
