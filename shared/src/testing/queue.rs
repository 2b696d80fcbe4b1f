//! The promises of [`crate::queue`].

use crate::queue::{Consumer, Delivery, MAX_MESSAGE_BYTES, Queue, QueueError, RetryDelays, Topic};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Long enough for any adapter on a busy machine; nobody waits for it unless a promise is broken.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time in which something that must not come would come.
const SILENCE: Duration = Duration::from_millis(150);

/// The pauses with which [`queue_contract`] wants its queues: longer than [`SILENCE`], shorter than anyone's patience.
pub fn short_delays() -> RetryDelays {
    RetryDelays::new([500, 900].map(Duration::from_millis))
}

/// `make` makes a fresh queue with [`short_delays`].
pub async fn queue_contract(make: impl AsyncFn() -> Queue) {
    delivers_each_message_until_acknowledged(&make().await).await;
    dropped_and_requeued_messages_come_again(&make().await).await;
    puts_off(&make().await).await;
    puts_aside(&make().await).await;
    holds_to_the_prefetch(&make().await).await;
    waiting_can_be_given_up(&make().await).await;
    topics_are_independent(&make().await).await;
    many_consumers_share_the_messages(&make().await).await;
    refuses_what_is_too_long(&make().await).await;
    closes(&make().await).await;
}

async fn next(consumer: &mut Consumer) -> Delivery {
    let next = tokio::time::timeout(PATIENCE, consumer.next()).await.expect("a message comes");
    next.expect("the queue is open")
}

async fn nothing_comes(consumer: &mut Consumer) {
    if let Ok(Some(delivery)) = tokio::time::timeout(SILENCE, consumer.next()).await {
        panic!("nothing should come, but there is {:?}", delivery.payload);
    }
}

async fn publish(queue: &Queue, topic: Topic, numbers: std::ops::Range<u32>) {
    for number in numbers {
        queue.publish(topic, number.to_string().into_bytes()).await.unwrap();
    }
}

fn number(delivery: &Delivery) -> u32 {
    std::str::from_utf8(&delivery.payload).unwrap().parse().unwrap()
}

async fn delivers_each_message_until_acknowledged(queue: &Queue) {
    queue.ping().await.unwrap();
    publish(queue, Topic::Tasks, 0..50).await;
    let mut consumer = queue.consume(Topic::Tasks, 4).await.unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..50 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.redelivered, 0);
        assert!(seen.insert(number(&delivery)), "a message that is acknowledged does not come again");
        delivery.ack().await.unwrap();
    }
    assert_eq!(seen, (0..50).collect());
    nothing_comes(&mut consumer).await;
    // Also for one who waited before the message came.
    let (delivery, ()) = tokio::join!(next(&mut consumer), publish(queue, Topic::Tasks, 50..51));
    assert_eq!(number(&delivery), 50);
    delivery.ack().await.unwrap();
}

async fn dropped_and_requeued_messages_come_again(queue: &Queue) {
    publish(queue, Topic::Tasks, 7..8).await;
    let mut consumer = queue.consume(Topic::Tasks, 1).await.unwrap();
    drop(next(&mut consumer).await);
    let again = next(&mut consumer).await;
    assert_eq!((number(&again), again.redelivered, again.unanswered), (7, 1, 1));
    again.requeue().await.unwrap();
    let again = next(&mut consumer).await;
    assert_eq!((number(&again), again.redelivered, again.unanswered), (7, 2, 0), "handing back is an answer");
    // To another consumer as well.
    let mut other = queue.consume(Topic::Tasks, 1).await.unwrap();
    nothing_comes(&mut other).await;
    drop(consumer);
    drop(again);
    let again = next(&mut other).await;
    assert_eq!(number(&again), 7);
    assert!(again.redelivered > 2);
    again.ack().await.unwrap();
    nothing_comes(&mut other).await;
}

async fn puts_off(queue: &Queue) {
    publish(queue, Topic::Tasks, 0..2).await;
    let mut consumer = queue.consume(Topic::Tasks, 1).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!((number(&delivery), delivery.retries), (0, 0));
    let begun = Instant::now();
    delivery.retry_later().await.unwrap();
    // It holds up nobody meanwhile, and takes no consumer's place.
    let other = next(&mut consumer).await;
    assert_eq!(number(&other), 1);
    other.ack().await.unwrap();
    for retries in 1..3 {
        let again = next(&mut consumer).await;
        assert_eq!((number(&again), again.retries, again.redelivered), (0, retries, retries));
        assert_eq!(again.unanswered, 0, "putting off is an answer");
        let shortest = short_delays().steps()[0] * retries;
        assert!(begun.elapsed() >= shortest, "{retries} pauses of {shortest:?} together at least");
        again.retry_later().await.unwrap();
    }
    // The count of pauses outlives the other ways back.
    let again = next(&mut consumer).await;
    drop(again);
    let again = next(&mut consumer).await;
    assert_eq!((again.retries, again.redelivered, again.unanswered), (3, 4, 1));
    again.requeue().await.unwrap();
    let again = next(&mut consumer).await;
    assert_eq!((again.retries, again.redelivered), (3, 5));
    again.ack().await.unwrap();
    nothing_comes(&mut consumer).await;
}

async fn puts_aside(queue: &Queue) {
    assert_eq!(queue.dead_letters().await.unwrap(), 0);
    publish(queue, Topic::Tasks, 0..2).await;
    publish(queue, Topic::Coordinator, 2..3).await;
    let mut consumer = queue.consume(Topic::Tasks, 1).await.unwrap();
    next(&mut consumer).await.dead_letter("nobody can read it").await.unwrap();
    let other = next(&mut consumer).await;
    assert_eq!(number(&other), 1);
    let mut coordinator = queue.consume(Topic::Coordinator, 1).await.unwrap();
    next(&mut coordinator).await.dead_letter(&"long ".repeat(100_000)).await.unwrap();
    other.ack().await.unwrap();
    nothing_comes(&mut consumer).await;
    nothing_comes(&mut coordinator).await;
    // A broker may count late.
    let counted = async {
        while queue.dead_letters().await.unwrap() != 2 {
            tokio::time::sleep(SILENCE).await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.expect("both are counted");
}

async fn holds_to_the_prefetch(queue: &Queue) {
    publish(queue, Topic::Tasks, 0..5).await;
    let mut consumer = queue.consume(Topic::Tasks, 2).await.unwrap();
    let (one, two) = (next(&mut consumer).await, next(&mut consumer).await);
    nothing_comes(&mut consumer).await;
    one.ack().await.unwrap();
    let three = next(&mut consumer).await;
    nothing_comes(&mut consumer).await;
    // A bound of one consumer, not of all.
    let mut other = queue.consume(Topic::Tasks, 1).await.unwrap();
    let four = next(&mut other).await;
    // A place that is free may be filled before anyone asks: with two consumers, either might have the fifth message.
    drop(other);
    for delivery in [two, three, four] {
        delivery.ack().await.unwrap();
    }
    next(&mut consumer).await.ack().await.unwrap();
    // 0 would never get anything.
    let mut least = queue.consume(Topic::Tasks, 0).await.unwrap();
    drop(consumer);
    publish(queue, Topic::Tasks, 9..10).await;
    assert_eq!(number(&next(&mut least).await), 9);
}

/// `next` is cancel-safe: giving up loses no message.
async fn waiting_can_be_given_up(queue: &Queue) {
    let mut consumer = queue.consume(Topic::Coordinator, 3).await.unwrap();
    let mut seen = BTreeSet::new();
    let publishing = publish(queue, Topic::Coordinator, 0..200);
    let consuming = async {
        while seen.len() < 200 {
            if let Ok(Some(delivery)) = tokio::time::timeout(Duration::from_micros(50), consumer.next()).await
            {
                seen.insert(number(&delivery));
                delivery.ack().await.unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    let both = async { tokio::join!(publishing, consuming) };
    tokio::time::timeout(PATIENCE, both).await.expect("every message comes");
}

async fn topics_are_independent(queue: &Queue) {
    publish(queue, Topic::Tasks, 0..100).await;
    publish(queue, Topic::Coordinator, 1_000..1_001).await;
    let mut consumer = queue.consume(Topic::Coordinator, 10).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!(number(&delivery), 1_000);
    delivery.ack().await.unwrap();
    nothing_comes(&mut consumer).await;
}

/// Half of the deliveries are dropped by consumers that give up; still each message is acknowledged exactly once.
async fn many_consumers_share_the_messages(queue: &Queue) {
    const MESSAGES: u32 = 300;
    let done = Arc::new(AtomicU32::new(0));
    let begun = Instant::now();
    let mut consumers = JoinSet::new();
    for at in 0..6 {
        let mut consumer = queue.consume(Topic::Tasks, 3).await.unwrap();
        let done = Arc::clone(&done);
        consumers.spawn(async move {
            let mut acknowledged = Vec::new();
            loop {
                let Ok(delivery) = tokio::time::timeout(SILENCE, consumer.next()).await else {
                    // All have come, and none comes twice; or one does not come at all.
                    if done.load(Ordering::Relaxed) >= MESSAGES || begun.elapsed() > PATIENCE {
                        break;
                    }
                    continue;
                };
                let delivery = delivery.expect("the queue is open");
                tokio::task::yield_now().await;
                if (number(&delivery) + at).is_multiple_of(2) && delivery.redelivered == 0 {
                    drop(delivery);
                    continue;
                }
                acknowledged.push(number(&delivery));
                delivery.ack().await.unwrap();
                done.fetch_add(1, Ordering::Relaxed);
            }
            acknowledged
        });
    }
    publish(queue, Topic::Tasks, 0..MESSAGES).await;
    let mut acknowledged: Vec<u32> = consumers.join_all().await.concat();
    acknowledged.sort_unstable();
    assert_eq!(acknowledged, (0..MESSAGES).collect::<Vec<_>>());
}

async fn refuses_what_is_too_long(queue: &Queue) {
    let error = queue.publish(Topic::Tasks, vec![0; MAX_MESSAGE_BYTES + 1]).await.unwrap_err();
    assert_eq!(error, QueueError::TooLong(MAX_MESSAGE_BYTES + 1));
    assert!(!error.retryable());
    queue.publish(Topic::Tasks, vec![0; MAX_MESSAGE_BYTES]).await.unwrap();
    let mut consumer = queue.consume(Topic::Tasks, 1).await.unwrap();
    assert_eq!(next(&mut consumer).await.payload.len(), MAX_MESSAGE_BYTES);
}

async fn closes(queue: &Queue) {
    publish(queue, Topic::Tasks, 0..2).await;
    let mut consumer = queue.consume(Topic::Tasks, 1).await.unwrap();
    let mut waiting = queue.consume(Topic::Coordinator, 1).await.unwrap();
    let held = next(&mut consumer).await;
    let (end, ()) = tokio::join!(waiting.next(), queue.close());
    assert!(end.is_none());
    held.ack().await.unwrap();
    assert!(consumer.next().await.is_none());
    assert_eq!(queue.publish(Topic::Tasks, b"late".to_vec()).await, Err(QueueError::Closed));
    assert_eq!(queue.ping().await, Err(QueueError::Closed));
    queue.close().await;
}
