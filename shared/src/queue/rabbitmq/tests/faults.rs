//! The way to the broker breaks, or the broker dies.

use super::broker::OwnBroker;
use super::*;
use scriptorium_tests::proxy::Proxy;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;

/// The same broker by way of a proxy.
pub(super) async fn proxied(url: &str) -> (Proxy, RabbitMqConfig) {
    let (start, vhost) = url.rsplit_once('/').unwrap();
    let (user, host) = start.rsplit_once('@').unwrap();
    let target: SocketAddr = tokio::net::lookup_host(host).await.unwrap().next().unwrap();
    let proxy = Proxy::start(target).await.unwrap();
    let config = fresh_config(&format!("{user}@{}/{vhost}", proxy.address()));
    (proxy, config)
}

/// Publishes 0, 1, 2, … each until it is confirmed, and stops at `end`. Returns how many that were.
async fn publish_until(queue: Queue, end: Arc<AtomicBool>) -> u32 {
    let mut number = 0_u32;
    while !end.load(Ordering::Relaxed) {
        match queue.publish(Topic::Tasks, number.to_string().into_bytes()).await {
            Ok(()) => number += 1,
            Err(problem) => {
                assert!(problem.retryable(), "{problem}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    number
}

/// Reads until all of `0..wanted` have come, once `wanted` is known.
async fn consume_all(mut consumer: Consumer, mut wanted: watch::Receiver<Option<u32>>) -> BTreeSet<u32> {
    let mut seen = BTreeSet::new();
    loop {
        let all = wanted.borrow_and_update().map(|wanted| wanted as usize);
        if all == Some(seen.len()) {
            return seen;
        }
        tokio::select! {
            delivery = consumer.next() => {
                let delivery = delivery.expect("the queue is open");
                let number = std::str::from_utf8(&delivery.payload).unwrap().parse().unwrap();
                if delivery.ack().await.is_ok() {
                    seen.insert(number);
                }
            }
            changed = wanted.changed() => changed.unwrap(),
        }
    }
}

/// Publishes and consumes while `harm` happens; all that was confirmed arrives.
async fn survives(queue: &Queue, harm: impl AsyncFnOnce()) -> u32 {
    let end = Arc::new(AtomicBool::new(false));
    let (tell, wanted) = watch::channel(None);
    let mut both = JoinSet::new();
    let consumer = queue.consume(Topic::Tasks, 16).await.unwrap();
    both.spawn(consume_all(consumer, wanted));
    let mut publisher = JoinSet::new();
    publisher.spawn(publish_until(queue.clone(), Arc::clone(&end)));
    harm().await;
    end.store(true, Ordering::Relaxed);
    let published = publisher.join_next().await.unwrap().unwrap();
    tell.send(Some(published)).unwrap();
    let seen = tokio::time::timeout(LONG, both.join_next()).await.expect("all that was confirmed arrives");
    assert_eq!(seen.unwrap().unwrap(), (0..published).collect());
    published
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_loses_nothing() {
    let Some(url) = broker_url() else { return };
    let (proxy, config) = proxied(&url).await;
    let queue = Queue::RabbitMq(connect(config.clone()).await.unwrap());
    let published = survives(&queue, async || {
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            proxy.cut();
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    })
    .await;
    println!("{published} messages over a connection that was cut 8 times");
    while let Err(problem) = queue.dead_letters().await.map(|dead| assert_eq!(dead, 0)) {
        // The last cut is not mended yet.
        assert!(problem.retryable(), "{problem}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    queue.close().await;
    clean(&config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_told_at_once_and_its_deliveries_come_again() {
    let Some(url) = broker_url() else { return };
    let (proxy, config) = proxied(&url).await;
    let queue = Queue::RabbitMq(connect(config.clone()).await.unwrap());
    queue.publish(Topic::Tasks, b"mine".to_vec()).await.unwrap();
    let mut consumer = queue.consume(Topic::Tasks, 2).await.unwrap();
    let held = next(&mut consumer).await;

    proxy.refuse(true);
    let begun = Instant::now();
    while queue.ping().await.is_ok() {
        assert!(begun.elapsed() < LONG, "the loss is noticed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let begun = Instant::now();
    for _ in 0..10 {
        let error = queue.publish(Topic::Tasks, b"not now".to_vec()).await.unwrap_err();
        assert!(matches!(error, QueueError::Unavailable { .. }), "{error}");
        assert!(matches!(queue.dead_letters().await, Err(QueueError::Unavailable { .. })));
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "nobody waits for what is known to be away");
    assert!(held.ack().await.unwrap_err().retryable());
    // A role that has just begun must not end because of that.
    let mut early = queue.consume(Topic::Coordinator, 2).await.unwrap();

    proxy.refuse(false);
    let again = next(&mut consumer).await;
    assert_eq!((again.payload.as_ref(), again.redelivered), (b"mine".as_ref(), 1));
    again.ack().await.unwrap();
    queue.ping().await.unwrap();
    queue.publish(Topic::Coordinator, b"for the early one".to_vec()).await.unwrap();
    let first = next(&mut early).await;
    assert_eq!(first.payload.as_ref(), b"for the early one");
    first.ack().await.unwrap();
    queue.close().await;
    clean(&config).await;
}

/// Nothing answers, nothing is closed: the longest that anyone waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_goes_silent_holds_nobody_for_long() {
    let Some(url) = broker_url() else { return };
    let (proxy, config) = proxied(&url).await;
    let queue = Queue::RabbitMq(connect(config.clone()).await.unwrap());
    proxy.blackhole(true);
    let begun = Instant::now();
    let error = queue.publish(Topic::Tasks, b"into the dark".to_vec()).await.unwrap_err();
    assert!(matches!(error, QueueError::Unavailable { .. }), "{error}");
    assert!(begun.elapsed() < 2 * PATIENCE);
    // A caller who does not wait that long is not held either.
    let waiting = queue.publish(Topic::Tasks, b"into the dark".to_vec());
    assert!(tokio::time::timeout(Duration::from_millis(100), waiting).await.is_err());
    proxy.blackhole(false);
    let begun = Instant::now();
    while queue.publish(Topic::Tasks, b"light".to_vec()).await.is_err() {
        assert!(begun.elapsed() < LONG);
    }
    queue.close().await;
    clean(&config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_connection_is_no_broken_one() {
    let Some(url) = broker_url() else { return };
    let (proxy, config) = proxied(&url).await;
    let queue = Queue::RabbitMq(connect(config.clone()).await.unwrap());
    proxy.latency(Duration::from_millis(60));
    let slow = async || tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(survives(&queue, slow).await > 0);
    queue.close().await;
    proxy.latency(Duration::ZERO);
    clean(&config).await;
}

#[tokio::test]
async fn connecting_waits_for_a_broker_that_is_not_up_yet() {
    let Some(url) = broker_url() else { return };
    let (proxy, config) = proxied(&url).await;
    proxy.refuse(true);
    // Not longer than it may …
    let stop = CancellationToken::new();
    let (refused, ()) = tokio::join!(RabbitMqQueue::connect(config.clone(), &stop), async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        stop.cancel();
    });
    assert!(refused.unwrap_err().retryable());
    // … and until it is there.
    let (connected, ()) = tokio::join!(connect(config.clone()), async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        proxy.refuse(false);
    });
    let queue = Queue::RabbitMq(connected.unwrap());
    queue.publish(Topic::Tasks, b"first".to_vec()).await.unwrap();
    queue.close().await;
    clean(&config).await;
}

/// `close` ends what waits even if there is no broker.
#[tokio::test]
async fn closes_without_a_broker() {
    let Some(url) = broker_url() else { return };
    let (proxy, config) = proxied(&url).await;
    let queue = Queue::RabbitMq(connect(config.clone()).await.unwrap());
    let mut consumer = queue.consume(Topic::Tasks, 1).await.unwrap();
    proxy.refuse(true);
    let (end, ()) = tokio::join!(consumer.next(), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        tokio::time::timeout(2 * PATIENCE, queue.close()).await.expect("closing is bounded");
    });
    assert!(end.is_none());
    assert_eq!(queue.publish(Topic::Tasks, b"late".to_vec()).await, Err(QueueError::Closed));
    proxy.refuse(false);
    clean(&config).await;
}

/// On a broker of its own, which others would miss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_loses_nothing_that_it_confirmed() {
    let Some(broker) = OwnBroker::start().await else { return };
    let queue = Queue::RabbitMq(connect(fresh_config(&broker.url)).await.unwrap());
    let published = survives(&queue, async || {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            broker.kill().await;
            broker.start_again().await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    })
    .await;
    println!("{published} messages through a broker that was killed twice");
    queue.close().await;
}
