//! The store, the bus and the limiter on a real Redis Cluster: three primaries, one of them with a replica.

use super::RedisConfig;
use super::server::RedisServer;
use crate::bus::{Bus, RedisBus};
use crate::limiter::{Limiter, RedisLimiter};
use crate::store::{RedisStore, Store};
use crate::tenants::{Directory, RedisDirectory};
use crate::testing::{bus_contract, directory_contract, limiter_contract, new_id, new_job, store_contract};
use redis::aio::MultiplexedConnection;
use scriptorium_contracts::job;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const SLOTS: u32 = 16_384;
const PRIMARIES: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(60);

struct Cluster {
    nodes: Vec<RedisServer>,
    made: AtomicU32,
}

impl Cluster {
    /// Ready for every slot. `None`: there is no such program here.
    async fn start() -> Option<Self> {
        let mut nodes = Vec::new();
        for _ in 0..=PRIMARIES {
            // Its second port, for the other nodes, would be another 10 000 above, which may be none.
            let port =
                std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
            let options =
                ["--cluster-enabled", "yes", "--cluster-port", &port, "--cluster-node-timeout", "1000"];
            // A replica is not to wait for others that might begin with it.
            let options = [&options[..], &["--repl-diskless-sync-delay", "0"]].concat();
            nodes.push(RedisServer::start(&options).await?);
        }
        let (first, others) = nodes.split_first()?;
        let (port, own) = (first.port().to_string(), first.option(3));
        for node in others {
            let meet = ["CLUSTER", "MEET", "127.0.0.1", &port, own];
            ask::<()>(&mut connection(node).await, &meet).await;
        }
        let cluster = Self { nodes, made: AtomicU32::new(0) };
        for (index, node) in (0..PRIMARIES).zip(&cluster.nodes) {
            let (from, to) = (index * SLOTS / PRIMARIES, (index + 1) * SLOTS / PRIMARIES - 1);
            let range = ["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()];
            ask::<()>(&mut connection(node).await, &range).await;
        }
        cluster.until_all_know("cluster_state:ok").await;
        cluster.until_all_know(&format!("cluster_known_nodes:{}", PRIMARIES + 1)).await;
        let first: String = ask(&mut connection(&cluster.nodes[0]).await, &["CLUSTER", "MYID"]).await;
        let mut replica = connection(cluster.nodes.last().unwrap()).await;
        ask::<()>(&mut replica, &["CLUSTER", "REPLICATE", &first]).await;
        until("the replica follows", async || {
            let told: String = ask(&mut replica, &["INFO", "replication"]).await;
            told.contains("role:slave") && told.contains("master_link_status:up")
        })
        .await;
        Some(cluster)
    }

    async fn until_all_know(&self, line: &str) {
        for node in &self.nodes {
            let mut node = connection(node).await;
            until(line, async || ask::<String>(&mut node, &["CLUSTER", "INFO"]).await.contains(line)).await;
        }
    }

    /// By these of its nodes.
    fn config(&self, nodes: &[usize]) -> RedisConfig {
        let urls: Vec<String> = nodes.iter().map(|node| self.nodes[*node].url()).collect();
        RedisConfig { url: urls.join(","), ..self.nodes[0].config() }
    }

    /// With a prefix that nobody else uses.
    fn part(&self) -> RedisConfig {
        let prefix = format!("part.{}", self.made.fetch_add(1, Ordering::Relaxed));
        RedisConfig { prefix, ..self.config(&[1]) }
    }

    /// How often nodes have refused a command or a script because its keys are in several slots.
    async fn crossed(&self) -> usize {
        let mut crossed = 0;
        for node in self.nodes.iter().filter(|node| node.runs()) {
            let told: String = ask(&mut connection(node).await, &["INFO", "errorstats"]).await;
            crossed += usize::from(told.contains("errorstat_CROSSSLOT"));
        }
        crossed
    }

    /// How many keys each node has.
    async fn sizes(&self) -> Vec<u64> {
        let mut sizes = Vec::new();
        for node in &self.nodes {
            sizes.push(ask(&mut connection(node).await, &["DBSIZE"]).await);
        }
        sizes
    }
}

async fn connection(node: &RedisServer) -> MultiplexedConnection {
    redis::Client::open(node.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

async fn ask<T: redis::FromRedisValue>(node: &mut MultiplexedConnection, words: &[&str]) -> T {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]).query_async(node).await.unwrap()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn never() -> CancellationToken {
    CancellationToken::new()
}

async fn store(config: &RedisConfig) -> Store {
    Store::Redis(RedisStore::connect(config, &never()).await.unwrap())
}

/// One test, because a cluster takes a while to form.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_the_promises_of_a_single_redis() {
    let Some(mut cluster) = Cluster::start().await else { return };
    store_contract(async || store(&cluster.part()).await).await;
    bus_contract(async || Bus::Redis(RedisBus::connect(&cluster.part(), &never()).await.unwrap())).await;
    limiter_contract(async || {
        Limiter::Redis(RedisLimiter::connect(&cluster.part(), &never()).await.unwrap())
    })
    .await;
    directory_contract(async || {
        Directory::Redis(RedisDirectory::connect(&cluster.part(), &never()).await.unwrap())
    })
    .await;
    assert!(
        cluster.sizes().await[..3].iter().all(|size| *size > 10),
        "the jobs are spread over all primaries"
    );
    assert_eq!(cluster.crossed().await, 0, "the keys of some call are in several slots");
    a_failover_is_survived(&mut cluster).await;
    assert_eq!(cluster.crossed().await, 0, "the keys of some call are in several slots");
    // That this would be seen:
    let mut node = connection(&cluster.nodes[1]).await;
    let crossing = redis::cmd("MGET").arg("{00}").arg("{01}").query_async::<redis::Value>(&mut node).await;
    assert_eq!(crossing.unwrap_err().code(), Some("CROSSSLOT"));
    assert_eq!(cluster.crossed().await, 1);
}

/// The primary with the replica is killed: its jobs are there again as soon as the replica stands in, and the change is seen,
/// because a failover may lose what had not got there.
async fn a_failover_is_survived(cluster: &mut Cluster) {
    let config = RedisConfig { prefix: "failover".to_owned(), ..cluster.config(&[0, 1, 2]) };
    let open = store(&config).await;
    assert_eq!(open.restarted().await.unwrap(), None);
    let mut jobs = Vec::new();
    for _ in 0..100 {
        let step = job::create(new_job(new_id(), 2), crate::clock::now());
        open.create(&step, None).await.unwrap();
        jobs.push(step.header.id);
    }
    let mut replica = connection(cluster.nodes.last().unwrap()).await;
    let size: u64 = ask(&mut connection(&cluster.nodes[0]).await, &["DBSIZE"]).await;
    until("the replica has everything", async || ask::<u64>(&mut replica, &["DBSIZE"]).await == size).await;
    cluster.nodes[0].kill();
    // Who is there already, and who comes now and hears of the nodes that are left.
    let late = async { store(&config).await };
    until("the others serve", async || open.load(jobs[0], &[]).await.is_ok()).await;
    for store in [&open, &late.await] {
        for job in &jobs {
            until("its shard is served", async || matches!(store.load(*job, &[]).await, Ok(Some(_)))).await;
        }
        let noticed = async || matches!(store.restarted().await, Ok(Some(_)));
        until("it is noticed that the failover may have lost something", noticed).await;
    }
}

#[tokio::test]
async fn several_addresses_of_a_single_redis_are_a_mistake() {
    let Some(server) = RedisServer::start(&[]).await else { return };
    let config = RedisConfig { url: format!("{0},{0}", server.url()), ..server.config() };
    let error = RedisStore::connect(&config, &never()).await.unwrap_err();
    assert!(!error.retryable() && error.to_string().contains("cluster"), "{error}");
}
