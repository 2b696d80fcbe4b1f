//! The link, against a Redis that is late, refuses, is full, hangs and dies.

use super::server::RedisServer;
use super::*;
use crate::tls::Tls;
use redis::Value;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

fn config(url: &str) -> RedisConfig {
    RedisConfig {
        url: url.to_owned(),
        prefix: "test".to_owned(),
        job_ttl: Duration::from_secs(60),
        tls: Tls::default(),
    }
}

async fn ping(link: &Link) -> Result<Value, RedisError> {
    link.call(Request::Command(&redis::cmd("PING"))).await
}

#[test]
fn settings_that_can_not_be_right() {
    for url in ["", "127.0.0.1:6379", "http://127.0.0.1", "redis://127.0.0.1:seven"] {
        let Err(error) = config(url).nodes() else { panic!("{url}") };
        assert!(matches!(error, RedisError::Refused { .. }) && !error.retryable(), "{error}");
    }
    for prefix in ["", "a{b}", "a b", &"a".repeat(65)] {
        let prefix = prefix.to_owned();
        let error = RedisConfig { prefix, ..config("redis://127.0.0.1") }.nodes().err().unwrap();
        assert!(matches!(error, RedisError::Refused { .. }), "{error}");
    }
    for job_ttl in [Duration::ZERO, Duration::from_millis(500), Duration::MAX] {
        assert!(RedisConfig { job_ttl, ..config("redis://127.0.0.1") }.nodes().is_err());
    }
    assert!(config("rediss://user:word@127.0.0.1:6379/3").nodes().is_ok(), "TLS is built in");
    let nodes = config("redis://:word@10.0.0.1:7000, redis://:word@10.0.0.2").nodes().unwrap();
    assert_eq!((nodes.clients.len(), nodes.address.as_str()), (2, "10.0.0.1:7000,10.0.0.2:6379"));
    for url in ["redis://127.0.0.1,", "redis://127.0.0.1,seven", &vec!["redis://127.0.0.1"; 33].join(",")] {
        assert!(matches!(config(url).nodes().err(), Some(RedisError::Refused { .. })), "{url}");
    }
}

#[tokio::test]
async fn the_password_is_never_told() {
    let url = "redis://user:hush-hush@127.0.0.1:1/0";
    let mut told = format!("{:?}", config(url));
    let link = Link::new(config(url).nodes().unwrap());
    told += &format!("{link:?} {}", link.address());
    let error = ping(&link).await.unwrap_err();
    told += &format!("{error} {error:?}");
    for url in ["redis://user:hush-hush@127.0.0.1:x", "redis//user:hush-hush@h", "rediss://u:hush-hush@h/x"] {
        told += &format!("{:?}", config(url).nodes().err());
    }
    assert!(!told.contains("hush"), "{told}");
    assert!(matches!(error, RedisError::Unavailable { .. }) && error.retryable(), "{error}");
}

#[tokio::test]
async fn a_redis_that_is_not_up_yet_is_waited_for() {
    let Some(mut server) = RedisServer::start(&[]).await else { return };
    server.kill();
    let config = server.config();
    let stop = CancellationToken::new();
    let connecting = connect(&config, &stop);
    let starting = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.begin();
    };
    let (link, ()) = tokio::join!(connecting, starting);
    ping(&link.unwrap()).await.unwrap();

    server.kill();
    let giving_up = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        stop.cancel();
    };
    let (link, ()) = tokio::join!(connect(&config, &stop), giving_up);
    assert_eq!(link.unwrap_err(), RedisError::Closed);
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once() {
    let Some(server) = RedisServer::start(&["--requirepass", "right"]).await else { return };
    let stop = CancellationToken::new();
    let address = server.url().replace("redis://", "");
    let begun = Instant::now();
    for url in [server.url(), format!("redis://:wrong@{address}"), format!("redis://who:right@{address}")] {
        let error = connect(&config(&url), &stop).await.unwrap_err();
        assert!(matches!(error, RedisError::Refused { .. }) && !error.retryable(), "{error}");
        assert!(!error.to_string().contains("right") && !error.to_string().contains("wrong"), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "nobody tried again and again");
    let link = connect(&config(&format!("redis://:right@{address}")), &stop).await.unwrap();
    // A password that is changed while the program runs is waited for.
    let set = |word: &str| redis::cmd("CONFIG").arg("SET").arg("requirepass").arg(word).take();
    link.call::<Value>(Request::Command(&set("other"))).await.unwrap();
    let kill = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("no").take();
    link.call::<Value>(Request::Command(&kill)).await.unwrap();
    let error = ping(&link).await.unwrap_err();
    assert!(error.retryable(), "{error}");
    let other = connect(&config(&format!("redis://:other@{address}")), &stop).await.unwrap();
    other.call::<Value>(Request::Command(&set("right"))).await.unwrap();
    ping(&link).await.unwrap();
}

#[tokio::test]
async fn a_short_absence_is_not_noticed() {
    let Some(mut server) = RedisServer::start(&["--appendfsync", "always"]).await else { return };
    let link = connect(&server.config(), &CancellationToken::new()).await.unwrap();
    let set = redis::cmd("SET").arg("key").arg("value").take();
    link.call::<()>(Request::Command(&set)).await.unwrap();
    server.kill();
    let get = redis::cmd("GET").arg("key").take();
    let starting = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        server.begin();
    };
    let (value, ()) = tokio::join!(link.call::<String>(Request::Command(&get)), starting);
    assert_eq!(value.unwrap(), "value");
    server.kill();
    let error = ping(&link).await.unwrap_err();
    assert!(matches!(error, RedisError::Unavailable { .. }) && error.retryable(), "{error}");
    // Scripts are gone after a start, and loaded again.
    server.begin();
    server.ready().await;
    let script = redis::Script::new("return ARGV[1]");
    let call = redis::cmd("EVALSHA").arg(script.get_hash()).arg(0).arg("said").take();
    let said: String = link.call(Request::Script(&script, &call)).await.unwrap();
    assert_eq!(said, "said");
}

#[tokio::test]
async fn a_redis_that_hangs_is_given_up_and_taken_up_again() {
    let Some(server) = RedisServer::start(&[]).await else { return };
    let link = connect(&server.config(), &CancellationToken::new()).await.unwrap();
    server.signal("-STOP");
    let begun = Instant::now();
    let (one, other) = tokio::join!(ping(&link), ping(&link));
    for error in [one.unwrap_err(), other.unwrap_err()] {
        assert!(matches!(error, RedisError::Unavailable { .. }), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "every call has its end");
    server.signal("-CONT");
    ping(&link).await.unwrap();
}

#[tokio::test]
async fn replies_that_mean_later() {
    let Some(server) = RedisServer::start(&[]).await else { return };
    let link = connect(&server.config(), &CancellationToken::new()).await.unwrap();
    let config_set = |name: &str, value: &str| redis::cmd("CONFIG").arg("SET").arg(name).arg(value).take();
    let set = redis::cmd("SET").arg("key").arg("value").take();
    link.call::<()>(Request::Command(&config_set("maxmemory", "1"))).await.unwrap();
    let error = link.call::<()>(Request::Command(&set)).await.unwrap_err();
    assert!(matches!(&error, RedisError::NoWrites { detail } if detail.contains("maxmemory")), "{error}");
    assert!(error.retryable());
    link.call::<()>(Request::Command(&config_set("maxmemory", "0"))).await.unwrap();
    // A primary that becomes a replica, and a primary again.
    let replica = redis::cmd("REPLICAOF").arg("127.0.0.1").arg("1").take();
    link.call::<()>(Request::Command(&replica)).await.unwrap();
    let primary = redis::cmd("REPLICAOF").arg("NO").arg("ONE").take();
    let promoting = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        link.call::<()>(Request::Command(&primary)).await.unwrap();
    };
    let (written, ()) = tokio::join!(link.call::<()>(Request::Command(&set)), promoting);
    written.unwrap();
    // What is never tried again.
    let push = redis::cmd("LPUSH").arg("key").arg(1).take();
    let error = link.call::<u32>(Request::Command(&push)).await.unwrap_err();
    assert!(matches!(error, RedisError::WrongType { .. }) && !error.retryable(), "{error}");
    let error = link.call::<u32>(Request::Command(&redis::cmd("NONSENSE"))).await.unwrap_err();
    assert!(matches!(error, RedisError::Internal { .. }), "{error}");
    link.close().await;
    assert_eq!(ping(&link).await.unwrap_err(), RedisError::Closed);
}
