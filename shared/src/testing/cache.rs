//! The promises of [`crate::cache`].

use crate::cache::{Cache, CacheKey, MAX_VALUE};
use bytes::Bytes;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

pub async fn cache_contract(make: impl AsyncFn() -> Cache) {
    what_is_put_is_found_under_its_key_alone(&make().await).await;
    nothing_outlives_its_time(&make().await).await;
    values_are_bounded(&make().await).await;
    many_at_once(&make().await).await;
}

fn key(number: u8) -> CacheKey {
    let mut key = [0xff; 32];
    key[31] = number;
    key
}

async fn what_is_put_is_found_under_its_key_alone(cache: &Cache) {
    let value: Bytes = (0..=255).collect::<Vec<u8>>().into();
    assert_eq!(cache.get(&key(1)).await.unwrap(), None);
    cache.put(&key(1), value.clone(), HOUR).await.unwrap();
    assert_eq!(cache.get(&key(1)).await.unwrap(), Some(value));
    assert_eq!(cache.get(&key(2)).await.unwrap(), None);
    cache.put(&key(1), Bytes::from_static(b"another"), HOUR).await.unwrap();
    assert_eq!(cache.get(&key(1)).await.unwrap().unwrap(), "another");
}

async fn nothing_outlives_its_time(cache: &Cache) {
    cache.put(&key(1), Bytes::from_static(b"short"), Duration::from_millis(300)).await.unwrap();
    cache.put(&key(2), Bytes::from_static(b"long"), HOUR).await.unwrap();
    cache.put(&key(3), Bytes::from_static(b"none"), Duration::ZERO).await.unwrap();
    assert_eq!(cache.get(&key(3)).await.unwrap(), None);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(cache.get(&key(1)).await.unwrap(), None);
    assert_eq!(cache.get(&key(2)).await.unwrap().unwrap(), "long");
    // Put anew, it has a new time.
    cache.put(&key(1), Bytes::from_static(b"again"), HOUR).await.unwrap();
    assert_eq!(cache.get(&key(1)).await.unwrap().unwrap(), "again");
}

async fn values_are_bounded(cache: &Cache) {
    let longest = Bytes::from(vec![1; MAX_VALUE]);
    cache.put(&key(1), longest.clone(), HOUR).await.unwrap();
    assert_eq!(cache.get(&key(1)).await.unwrap(), Some(longest));
    cache.put(&key(2), Bytes::from(vec![1; MAX_VALUE + 1]), HOUR).await.unwrap();
    assert_eq!(cache.get(&key(2)).await.unwrap(), None);
    cache.put(&key(3), Bytes::new(), HOUR).await.unwrap();
    assert_eq!(cache.get(&key(3)).await.unwrap(), None);
}

async fn many_at_once(cache: &Cache) {
    let value = |number: u8| Bytes::from(vec![number; 10_000]);
    let putting = (0..100).map(|number| async move { cache.put(&key(number), value(number), HOUR).await });
    for put in futures::future::join_all(putting).await {
        put.unwrap();
    }
    let getting = (0..100).map(|number| async move { cache.get(&key(number)).await.unwrap() });
    for (number, found) in (0..).zip(futures::future::join_all(getting).await) {
        assert_eq!(found, Some(value(number)), "{number}");
    }
}
