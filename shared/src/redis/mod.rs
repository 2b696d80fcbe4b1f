//! What the Redis adapters of [`crate::store`], [`crate::bus`], [`crate::limiter`] and [`crate::cache`] share: where Redis is, one
//! connection that is made anew when it breaks, and what may go wrong.
//!
//! The client speaks to a single primary (or the name of a managed service or proxy that leads to the present one), or to
//! a Redis Cluster: a node says itself which of them it is. The keys are laid out for a cluster (`crate::store`).

#[cfg(test)]
mod cluster;
mod config;
mod connect;
mod connection;
mod error;
mod link;
#[cfg(test)]
pub(crate) mod server;
#[cfg(test)]
mod tests;

pub use config::RedisConfig;
pub(crate) use config::{Nodes, wake_channel};
pub(crate) use connect::{Waiting, connect, warn_of_settings};
pub use error::RedisError;
pub(crate) use link::{CONNECT_TIMEOUT, Link, Reply, Request};
