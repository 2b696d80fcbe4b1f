//! What the broker does not do for us, and how we say so.

use super::*;

#[tokio::test]
async fn a_full_queue_refuses() {
    let Some(url) = broker_url() else { return };
    let mut config = fresh_config(&url);
    config.bounds.messages = 10;
    let queue = Queue::RabbitMq(connect(config.clone()).await.unwrap());
    let mut accepted = 0;
    let refused = loop {
        match queue.publish(Topic::Tasks, b"more".to_vec()).await {
            Ok(()) => accepted += 1,
            Err(refused) => break refused,
        }
        assert!(accepted < 100, "there is a bound");
    };
    assert_eq!(refused, QueueError::Full(Topic::Tasks));
    assert!(accepted >= 10);
    // Others are not concerned, and what is there can be handed back and put off.
    queue.publish(Topic::Coordinator, b"other".to_vec()).await.unwrap();
    let mut consumer = queue.consume(Topic::Tasks, 1).await.unwrap();
    next(&mut consumer).await.requeue().await.unwrap();
    next(&mut consumer).await.retry_later().await.unwrap();
    for _ in 0..accepted {
        next(&mut consumer).await.ack().await.unwrap();
    }
    // It notices a little late that it has room.
    let published = async {
        while queue.publish(Topic::Tasks, b"more".to_vec()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, published).await.expect("there is room again");
    queue.close().await;
    clean(&config).await;
}

#[tokio::test]
async fn queues_with_other_settings_are_refused() {
    let Some(url) = broker_url() else { return };
    let config = fresh_config(&url);
    let first = connect(config.clone()).await.unwrap();
    // The same again is harmless.
    connect(config.clone()).await.unwrap().close().await;
    let mut other = config.clone();
    other.bounds.messages = 7;
    let error = connect(other).await.unwrap_err();
    assert!(!error.retryable());
    let text = error.to_string();
    assert!(text.contains(&config.prefix) && text.contains("settings"), "{text}");
    first.close().await;
    clean(&config).await;
}

#[tokio::test]
async fn a_wrong_password_or_vhost_is_told_at_once_and_without_the_secret() {
    let Some(url) = broker_url() else { return };
    let (start, vhost) = url.rsplit_once('/').unwrap();
    let (user, host) = start.rsplit_once('@').unwrap();
    let (user, _) = user.rsplit_once(':').unwrap();
    for wrong in [format!("{user}:not-the-password@{host}/{vhost}"), format!("{start}/nowhere")] {
        let config = fresh_config(&wrong);
        let debug = format!("{config:?}");
        let begun = Instant::now();
        let error = connect(config).await.unwrap_err();
        assert!(matches!(error, QueueError::Refused { .. }), "{error:?}");
        let text = format!("{error} {error:?} {debug}");
        assert!(text.contains("check user"), "{text}");
        assert!(!text.contains("not-the-password") && !text.contains("@"), "{text}");
        assert!(begun.elapsed() < LONG / 2);
    }
}

#[tokio::test]
async fn what_is_no_address_is_told_without_the_secret() {
    for wrong in ["amqp://user:geheim@host:port/%2f", "http://user:geheim@host", "geheim", "foo:geheim"] {
        let error = connect(fresh_config(wrong)).await.unwrap_err();
        assert!(matches!(error, QueueError::Refused { .. }));
        assert!(!format!("{error} {error:?}").contains("geheim"), "{error}");
    }
    for wrong in ["", "with space", "a/b", "ü", &"x".repeat(101)] {
        let config =
            RabbitMqConfig { prefix: wrong.to_owned(), ..RabbitMqConfig::new("amqp://127.0.0.1:1/%2f") };
        assert!(matches!(connect(config).await.unwrap_err(), QueueError::Refused { .. }));
    }
}

/// A queue that someone has deleted is missed by its publishers and consumers, and made again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_is_made_again() {
    let Some(url) = broker_url() else { return };
    let config = fresh_config(&url);
    let rabbit = connect(config.clone()).await.unwrap();
    let queue = Queue::RabbitMq(rabbit.clone());
    let mut consumer = queue.consume(Topic::Tasks, 1).await.unwrap();
    let name = rabbit.inner.settings.topology.of_topic(Topic::Tasks);
    for name in [name, rabbit.inner.settings.topology.of_topic(Topic::Coordinator)] {
        rabbit.link().unwrap().delete(&name).await.unwrap();
    }
    let publishing = async {
        for topic in [Topic::Tasks, Topic::Coordinator] {
            let begun = Instant::now();
            while let Err(problem) = queue.publish(topic, b"new".to_vec()).await {
                assert!(problem.retryable(), "{problem}");
                assert!(begun.elapsed() < LONG);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    publishing.await;
    assert_eq!(next(&mut consumer).await.payload, "new");
    queue.close().await;
    clean(&config).await;
}
