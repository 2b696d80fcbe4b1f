//! Dead letters: seen, sent again, and not lost on the way.

use super::faults::proxied;
use super::*;
use crate::queue::rabbitmq::dead::Desk;
use std::collections::BTreeSet;

const JOB: &str = "018c2f5e-7d3a-7b1c-9f00-0123456789ab";

fn task(chunk: u32) -> Vec<u8> {
    format!(r#"{{"version":1,"job":"{JOB}","chunk":{chunk}}}"#).into_bytes()
}

async fn wait_for_dead(queue: &RabbitMqQueue, wanted: u64) {
    let begun = Instant::now();
    while queue.dead_letters().await.unwrap() != wanted {
        assert!(begun.elapsed() < LONG, "{:?} dead letters, not {wanted}", queue.dead_letters().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One that the broker has put aside and one that we have.
async fn two_letters(rabbit: &RabbitMqQueue) {
    let queue = Queue::RabbitMq(rabbit.clone());
    queue.publish(Topic::Tasks, task(7)).await.unwrap();
    let mut tasks = queue.consume(Topic::Tasks, 1).await.unwrap();
    // Put off once: it has been in a delay queue, too.
    next(&mut tasks).await.retry_later().await.unwrap();
    for _ in 0..2 {
        drop(next(&mut tasks).await);
    }
    wait_for_dead(rabbit, 1).await;
    queue.publish(Topic::Coordinator, b"no message".to_vec()).await.unwrap();
    let mut messages = queue.consume(Topic::Coordinator, 1).await.unwrap();
    next(&mut messages).await.dead_letter("nobody can read it").await.unwrap();
    wait_for_dead(rabbit, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_listed_and_sent_again() {
    let Some(url) = broker_url() else { return };
    let mut config = fresh_config(&url);
    config.bounds.deliveries = 1;
    let rabbit = connect(config.clone()).await.unwrap();
    assert!(rabbit.list_dead_letters(100).await.unwrap().is_empty());
    let begun = crate::clock::now();
    two_letters(&rabbit).await;

    let letters = rabbit.list_dead_letters(100).await.unwrap();
    let told: Vec<_> = letters.iter().map(|one| (one.topic, one.chunk, one.bytes)).collect();
    assert_eq!(told, [(Some(Topic::Tasks), Some(7), task(7).len()), (Some(Topic::Coordinator), None, 10)]);
    assert_eq!(letters[0].job, Some(JOB.parse().unwrap()));
    assert!(letters[0].reason.contains("too many deliveries"), "{letters:?}");
    assert_eq!(letters[1].reason, "nobody can read it");
    for letter in &letters {
        let at = letter.died_at.unwrap();
        assert!(at.plus(2_000) > begun && at.since(begun) < 60_000, "{letter:?}");
    }
    // However often they are looked at, they stay what they are, and none is lost to a bound on deliveries.
    for _ in 0..25 {
        assert_eq!(rabbit.list_dead_letters(100).await.unwrap(), letters);
    }
    assert_eq!(rabbit.list_dead_letters(1).await.unwrap(), letters[..1]);
    assert_eq!(rabbit.list_dead_letters(1).await.unwrap(), letters[1..]);

    let one = BTreeSet::from([letters[0].id.clone(), "0".repeat(16)]);
    let done = rabbit.send_dead_letters_again(&Which::Ids(one)).await.unwrap();
    assert_eq!((done.sent, done.missing), (1, BTreeSet::from(["0".repeat(16)])));
    let queue = Queue::RabbitMq(rabbit.clone());
    let mut tasks = queue.consume(Topic::Tasks, 1).await.unwrap();
    let delivery = next(&mut tasks).await;
    assert_eq!((delivery.payload.to_vec(), delivery.redelivered, delivery.retries), (task(7), 0, 0));
    delivery.ack().await.unwrap();
    assert_eq!(rabbit.list_dead_letters(100).await.unwrap(), letters[1..]);

    let done = rabbit.send_dead_letters_again(&Which::All).await.unwrap();
    assert_eq!(done, crate::queue::SentAgain { sent: 1, ..Default::default() });
    let mut messages = queue.consume(Topic::Coordinator, 1).await.unwrap();
    let delivery = next(&mut messages).await;
    assert_eq!((delivery.payload.as_ref(), delivery.redelivered), (b"no message".as_slice(), 0));
    delivery.ack().await.unwrap();
    wait_for_dead(&rabbit, 0).await;
    queue.close().await;
    clean(&config).await;
}

/// What is sent by one who dies before the acknowledgement is there twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_between_sending_and_acknowledging_doubles_a_letter() {
    let Some(url) = broker_url() else { return };
    let mut config = fresh_config(&url);
    config.bounds.deliveries = 1;
    let rabbit = connect(config.clone()).await.unwrap();
    two_letters(&rabbit).await;
    let (proxy, way) = proxied(&url).await;
    let dying = connect(RabbitMqConfig { url: way.url, ..config.clone() }).await.unwrap();
    let desk = Desk::open(&dying).await.unwrap();
    let held = desk.take().await.unwrap().unwrap();
    desk.resend(&held, Topic::Tasks).await.unwrap();
    // What the broker sees of a process that is killed.
    proxy.refuse(true);
    proxy.cut();
    drop((held, desk));
    wait_for_dead(&rabbit, 2).await;
    assert_eq!(rabbit.send_dead_letters_again(&Which::All).await.unwrap().sent, 2);
    let queue = Queue::RabbitMq(rabbit.clone());
    let mut tasks = queue.consume(Topic::Tasks, 1).await.unwrap();
    for _ in 0..2 {
        let delivery = next(&mut tasks).await;
        assert_eq!(delivery.payload.to_vec(), task(7));
        delivery.ack().await.unwrap();
    }
    wait_for_dead(&rabbit, 0).await;
    queue.close().await;
    clean(&config).await;
}

/// Listing and sending are broken off again and again, at any moment: every letter arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_whenever_a_command_is_cut_off() {
    const LETTERS: u32 = 150;
    let Some(url) = broker_url() else { return };
    let config = fresh_config(&url);
    let rabbit = connect(config.clone()).await.unwrap();
    let queue = Queue::RabbitMq(rabbit.clone());
    let mut tasks = queue.consume(Topic::Tasks, 16).await.unwrap();
    for chunk in 0..LETTERS {
        queue.publish(Topic::Tasks, task(chunk)).await.unwrap();
        next(&mut tasks).await.dead_letter("a test").await.unwrap();
    }
    drop(tasks);
    let (proxy, way) = proxied(&url).await;
    let mut broken_off = 0;
    for round in 0..40_u64 {
        let dying = connect(RabbitMqConfig { url: way.url.clone(), ..config.clone() }).await.unwrap();
        let life = async {
            tokio::time::sleep(Duration::from_millis(3 + round * 7 % 40)).await;
            proxy.cut();
        };
        let command = async {
            if round % 2 == 0 {
                return dying.list_dead_letters(100).await.map(drop);
            }
            dying.send_dead_letters_again(&Which::All).await.map(drop)
        };
        let (ended, ()) = tokio::join!(command, life);
        if let Err(problem) = ended {
            assert!(problem.retryable(), "{problem}");
            broken_off += 1;
        }
    }
    assert!(broken_off > 5, "only {broken_off} were broken off");
    // What the last of them had in hand comes back.
    tokio::time::sleep(Duration::from_secs(1)).await;
    rabbit.send_dead_letters_again(&Which::All).await.unwrap();
    wait_for_dead(&rabbit, 0).await;
    let mut tasks = queue.consume(Topic::Tasks, 16).await.unwrap();
    let (mut arrived, mut all) = (BTreeSet::new(), 0);
    while let Ok(Some(delivery)) = tokio::time::timeout(Duration::from_secs(2), tasks.next()).await {
        arrived.insert(delivery.payload.to_vec());
        all += 1;
        delivery.ack().await.unwrap();
    }
    println!("{broken_off} of 40 commands were cut off; {LETTERS} letters arrived {all} times");
    assert_eq!(arrived, (0..LETTERS).map(task).collect());
    queue.close().await;
    clean(&config).await;
}
