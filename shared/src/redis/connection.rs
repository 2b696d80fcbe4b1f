//! A connection to a single Redis, or to all nodes of a Redis Cluster: whichever it is that answers.

use super::RedisError;
use super::config::Nodes;
use super::link::{CALL_TIMEOUT, CONNECT_TIMEOUT};
use futures::FutureExt;
use futures::future::try_join_all;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisFuture, RedisResult, Value};
use tokio::time::timeout;

/// Calls that are sent and not answered; the others wait for their turn.
const MAX_IN_FLIGHT: usize = 1_024;

/// Clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    Single(MultiplexedConnection),
    /// Knows which node has which slot, and learns it anew when it is told otherwise.
    Cluster(ClusterConnection),
}

impl Connection {
    /// By the first of the nodes that answers.
    pub async fn make(nodes: &Nodes) -> Result<Self, RedisError> {
        let mut problem = RedisError::refused("no address of Redis is given");
        for node in &nodes.clients {
            // No node may keep the next one from being asked.
            problem = match timeout(CONNECT_TIMEOUT, Self::by(node, nodes)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => error,
                Err(_) => RedisError::unavailable("no connection in time"),
            };
        }
        Err(problem)
    }

    async fn by(node: &Client, nodes: &Nodes) -> Result<Self, RedisError> {
        // The time of each call is bounded by the link, not by the library, which would keep a dead connection.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_concurrency_limit(MAX_IN_FLIGHT);
        let connection = node.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = connection.map_err(|error| RedisError::of(&error))?;
        if is_of_cluster(&mut connection).await.map_err(|error| RedisError::of(&error))? {
            return cluster(nodes).await.map_err(|error| RedisError::of(&error));
        }
        if nodes.clients.len() > 1 {
            let detail =
                "several addresses are those of a Redis Cluster's nodes, and this Redis is none of a cluster";
            return Err(RedisError::refused(detail));
        }
        Ok(Self::Single(connection))
    }
}

/// Asks the node itself. One that doesn't tell (a proxy, a user without that permission) is taken for a single one.
async fn is_of_cluster(node: &mut MultiplexedConnection) -> RedisResult<bool> {
    match redis::cmd("INFO").arg("cluster").query_async::<String>(node).await {
        Ok(told) => Ok(told.lines().any(|line| line == "cluster_enabled:1")),
        Err(error) if RedisError::ends_connection(&error) => Err(error),
        Err(_) => Ok(false),
    }
}

async fn cluster(nodes: &Nodes) -> RedisResult<Connection> {
    let infos = nodes.clients.iter().map(|node| node.get_connection_info().clone());
    let builder = ClusterClient::builder(infos)
        .tcp_settings(TcpSettings::default().set_nodelay(true))
        .connection_concurrency_limit(MAX_IN_FLIGHT)
        .connection_timeout(CONNECT_TIMEOUT)
        .response_timeout(CALL_TIMEOUT)
        // Not even after a redirection: who repeats a call has to know of it, so the link does it.
        .retries(0);
    let client = match &nodes.certificates {
        Some(certificates) => builder.certs(certificates.clone()).build()?,
        None => builder.build()?,
    };
    Ok(Connection::Cluster(client.get_async_connection().await?))
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(command),
            Self::Cluster(cluster) => cluster.req_packed_command(command),
        }
    }

    /// A transaction is of one slot. Other commands go each its own way in a cluster, all at once.
    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(commands, offset, count),
            Self::Cluster(cluster) => {
                if offset > 0 {
                    return cluster.req_packed_commands(commands, offset, count);
                }
                let each = commands.cmd_iter().map(|command| {
                    let mut cluster = cluster.clone();
                    async move { cluster.req_packed_command(command).await }
                });
                try_join_all(each).boxed()
            }
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}
