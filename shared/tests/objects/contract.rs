//! What the object store has to promise, the embedded one and any S3. The bucket is an empty one.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use scriptorium_shared::objects::{Access, BucketSettings, Objects, ObjectsConfig, ObjectsError};

use crate::harness::HOUR;

pub async fn write_size_read_delete(objects: &Objects) {
    objects.ping().await.unwrap();
    assert_eq!(objects.size("jobs/1/a").await.unwrap(), None);
    assert_eq!(objects.read("jobs/1/a", 0, 10).await.unwrap(), None);
    assert_eq!(objects.read("jobs/1/a", 0, 0).await.unwrap(), None);
    objects.write("jobs/1/a", Bytes::from_static(b"0123456789"), "text/plain").await.unwrap();
    assert_eq!(objects.size("jobs/1/a").await.unwrap(), Some(10));
    for (offset, len, expected) in [
        (0, 10, "0123456789"),
        (0, 4, "0123"),
        (3, 4, "3456"),
        (7, 10, "789"),
        (9, 1, "9"),
        (10, 1, ""),
        (11, 5, ""),
        (0, 0, ""),
        (u64::MAX - 1, 2, ""),
        (5, usize::MAX >> 1, "56789"),
    ] {
        let read = objects.read("jobs/1/a", offset, len).await.unwrap().unwrap();
        assert_eq!(read, expected, "{offset} + {len}");
    }
    objects.delete_prefix("jobs/1/").await.unwrap();
    assert_eq!(objects.size("jobs/1/a").await.unwrap(), None);
    objects.delete_prefix("jobs/1/").await.unwrap();
}

pub async fn lists_and_deletes_thousands(objects: &Objects) {
    let names = (0..1205).map(|i| (format!("jobs/1/upload/chunk-{i:05}"), i % 7));
    let others = [("jobs/1/transcript.json".to_owned(), 3), ("jobs/10/upload/chunk-00000".to_owned(), 4)];
    let all: Vec<(String, u64)> = names.chain(others).collect();
    stream::iter(&all)
        .map(Ok::<_, ObjectsError>)
        .try_for_each_concurrent(16, |(key, size)| {
            objects.write(key, Bytes::from(vec![1; *size as usize]), "audio/x")
        })
        .await
        .unwrap();
    assert_eq!(objects.list("jobs/1/upload/").await.unwrap(), all[..1205]);
    assert_eq!(objects.list("jobs/1/upload/chunk-0120").await.unwrap(), all[1200..1205]);
    assert_eq!(objects.list("jobs/1").await.unwrap().len(), 1207);
    assert_eq!(objects.list("").await.unwrap().len(), 1207);
    assert_eq!(objects.list("nothing/").await.unwrap(), []);
    objects.delete_prefix("jobs/1/upload/").await.unwrap();
    assert_eq!(objects.list("").await.unwrap(), all[1205..]);
    for prefix in ["", "/", "jobs"] {
        assert!(matches!(objects.delete_prefix(prefix).await, Err(ObjectsError::Request(_))), "{prefix:?}");
    }
}

pub async fn uploads_of_their_length_alone(objects: &Objects) {
    let url = objects.presign_put("jobs/1/upload/exact", 4, HOUR, None).await.unwrap();
    let client = reqwest::Client::new();
    for wrong in ["thr", "fives"] {
        assert_eq!(client.put(&url).body(wrong).send().await.unwrap().status(), 403, "{wrong}");
        assert_eq!(objects.size("jobs/1/upload/exact").await.unwrap(), None, "{wrong}");
    }
    assert_eq!(client.put(&url).body("four").send().await.unwrap().status(), 200);
    assert_eq!(objects.read("jobs/1/upload/exact", 0, 9).await.unwrap().unwrap(), "four");
    let other = url.replace("/exact?", "/other?");
    assert_eq!(client.put(&other).body("four").send().await.unwrap().status(), 403);
}

/// A variable that `make test` sets.
fn given(name: &str) -> Option<String> {
    let value = std::env::var(format!("SCRIPTORIUM_TEST_S3_{name}")).ok();
    let wanted = std::env::var("SCRIPTORIUM_TEST_SERVICES").is_ok_and(|value| value == "1");
    assert!(value.is_some() || !wanted, "SCRIPTORIUM_TEST_S3_{name} is not set");
    value
}

/// A new bucket of a store of its own, where there is one. `None`: skipped.
async fn new_bucket() -> Option<Objects> {
    let (Some(endpoint), Some(access_key), Some(secret_key)) =
        (given("ENDPOINT"), given("ACCESS_KEY"), given("SECRET_KEY"))
    else {
        eprintln!("skipped: SCRIPTORIUM_TEST_S3_ENDPOINT, …_ACCESS_KEY and …_SECRET_KEY are not set");
        return None;
    };
    let region = "us-east-1".to_owned();
    let objects = Objects::new(ObjectsConfig {
        endpoint,
        public_endpoint: None,
        bucket: format!("contract-{}", uuid::Uuid::new_v4()),
        region: region.clone(),
        access: Access::Keys { access_key, secret_key },
    });
    let (objects, cors_origins) = (objects.unwrap(), vec!["*".to_owned()]);
    let settings = BucketSettings { region, cors_origins, expire_days: Some(365) };
    let made = objects.prepare_bucket(&settings).await.unwrap();
    assert!(made.created && made.unsupported.is_empty(), "{made:?}");
    // Harmless to repeat.
    assert!(!objects.prepare_bucket(&settings).await.unwrap().created);
    Some(objects)
}

#[tokio::test]
async fn a_real_store_writes_reads_and_deletes() {
    let Some(objects) = new_bucket().await else { return };
    write_size_read_delete(&objects).await;
}

#[tokio::test]
async fn a_real_store_lists_and_deletes_thousands() {
    let Some(objects) = new_bucket().await else { return };
    lists_and_deletes_thousands(&objects).await;
    objects.delete_prefix("jobs/").await.unwrap();
    assert_eq!(objects.list("").await.unwrap(), []);
}

#[tokio::test]
async fn a_real_store_takes_uploads_of_their_length_alone() {
    let Some(objects) = new_bucket().await else { return };
    uploads_of_their_length_alone(&objects).await;
}
