//! On a real broker, the one of SCRIPTORIUM_TEST_AMQP_URL.
//!
//! Without it these tests do nothing and say so, unless SCRIPTORIUM_TEST_SERVICES=1 asks for them: then they fail.
#![allow(clippy::disallowed_methods, reason = "tests are told by the environment which services there are")]

mod broker;
mod dead;
mod faults;
mod refusals;

use super::*;
use crate::queue::{Consumer, Delivery, Queue};
use crate::testing::{queue_contract, short_delays};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// Longer than anything takes unless something is wrong.
const LONG: Duration = Duration::from_secs(60);

/// The broker's address; `None` when these tests are not wanted.
fn broker_url() -> Option<String> {
    if let Ok(url) = std::env::var("SCRIPTORIUM_TEST_AMQP_URL") {
        return Some(url);
    }
    skipped("SCRIPTORIUM_TEST_AMQP_URL is not set");
    None
}

fn skipped(why: &str) {
    let wanted = std::env::var("SCRIPTORIUM_TEST_SERVICES").is_ok_and(|wanted| wanted == "1");
    assert!(!wanted, "SCRIPTORIUM_TEST_SERVICES=1 wants the tests with RabbitMQ, but {why}");
    println!("skipped: a test with RabbitMQ, because {why}");
}

/// A prefix that no other test has.
fn fresh_config(url: &str) -> RabbitMqConfig {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let prefix = format!("test-{}-{number}", uuid::Uuid::new_v4().simple());
    RabbitMqConfig { prefix, delays: short_delays(), ..RabbitMqConfig::new(url) }
}

async fn connect(config: RabbitMqConfig) -> Result<RabbitMqQueue, QueueError> {
    let stop = CancellationToken::new();
    let connecting = RabbitMqQueue::connect(config, &stop);
    tokio::time::timeout(LONG, connecting).await.expect("the broker answers")
}

async fn next(consumer: &mut Consumer) -> Delivery {
    let next = tokio::time::timeout(LONG, consumer.next()).await.expect("a message comes");
    next.expect("the queue is open")
}

/// Deletes what a test has made, also from a queue that it has closed.
async fn clean(config: &RabbitMqConfig) {
    connect(config.clone()).await.unwrap().delete_and_close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_promises_of_a_queue() {
    let Some(url) = broker_url() else { return };
    let made = Mutex::new(Vec::new());
    queue_contract(async || {
        let config = fresh_config(&url);
        made.lock().unwrap().push(config.clone());
        Queue::RabbitMq(connect(config).await.unwrap())
    })
    .await;
    let made = made.into_inner().unwrap();
    for config in &made {
        clean(config).await;
    }
}

/// Several share one connection and don't wait for one another's confirms.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_publish_and_consume_at_once() {
    const PUBLISHERS: usize = 50;
    const EACH: usize = 40;
    let Some(url) = broker_url() else { return };
    let config = fresh_config(&url);
    let queue = Queue::RabbitMq(connect(config.clone()).await.unwrap());
    let begun = Instant::now();
    let mut publishers = JoinSet::new();
    for _ in 0..PUBLISHERS {
        let queue = queue.clone();
        publishers.spawn(async move {
            for _ in 0..EACH {
                queue.publish(Topic::Coordinator, vec![b'x'; 1_024]).await.unwrap();
            }
        });
    }
    publishers.join_all().await;
    let messages = (PUBLISHERS * EACH) as f64;
    println!(
        "{:.0} messages of 1 KiB published and confirmed a second",
        messages / begun.elapsed().as_secs_f64()
    );
    let begun = Instant::now();
    let mut consumer = queue.consume(Topic::Coordinator, 64).await.unwrap();
    let mut acks = JoinSet::new();
    for _ in 0..PUBLISHERS * EACH {
        let delivery = next(&mut consumer).await;
        acks.spawn(async move { delivery.ack().await.unwrap() });
        while acks.try_join_next().is_some() {}
    }
    acks.join_all().await;
    println!("{:.0} of them consumed and acknowledged a second", messages / begun.elapsed().as_secs_f64());
    queue.close().await;
    clean(&config).await;
}

/// The last net: a message whose receivers die is put aside by the broker.
#[tokio::test]
async fn poison_ends_in_the_dead_letter_queue() {
    let Some(url) = broker_url() else { return };
    let mut config = fresh_config(&url);
    config.bounds.deliveries = 3;
    let queue = Queue::RabbitMq(connect(config.clone()).await.unwrap());
    queue.publish(Topic::Tasks, b"poison".to_vec()).await.unwrap();
    queue.publish(Topic::Tasks, b"bread".to_vec()).await.unwrap();
    let mut consumer = queue.consume(Topic::Tasks, 1).await.unwrap();
    let (mut deaths, mut bread) = (0, 0);
    while let Ok(Some(delivery)) = tokio::time::timeout(Duration::from_secs(2), consumer.next()).await {
        if delivery.payload == "bread" {
            bread += 1;
            delivery.ack().await.unwrap();
        } else {
            assert_eq!(delivery.redelivered, deaths);
            deaths += 1;
        }
    }
    assert_eq!((deaths, bread), (4, 1));
    assert_eq!(queue.dead_letters().await.unwrap(), 1);
    queue.close().await;
    clean(&config).await;
}

/// What is given back in an orderly way is not poison, however often.
#[tokio::test]
async fn requeued_messages_are_not_taken_for_poison() {
    let Some(url) = broker_url() else { return };
    let mut config = fresh_config(&url);
    config.bounds.deliveries = 2;
    let queue = Queue::RabbitMq(connect(config.clone()).await.unwrap());
    queue.publish(Topic::Tasks, b"again".to_vec()).await.unwrap();
    let mut consumer = queue.consume(Topic::Tasks, 1).await.unwrap();
    for times in 0..10 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.redelivered, times);
        delivery.requeue().await.unwrap();
    }
    next(&mut consumer).await.ack().await.unwrap();
    assert_eq!(queue.dead_letters().await.unwrap(), 0);
    queue.close().await;
    clean(&config).await;
}
