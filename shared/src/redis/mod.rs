//! What the Redis adapters of [`crate::store`], [`crate::bus`] and [`crate::limiter`] share: where Redis is, one
//! connection that is made anew when it breaks, and what may go wrong.
//!
//! The client speaks to one address: a single primary, or the name of a managed service or proxy that leads to the
//! present primary. The keys are laid out for Redis Cluster (`crate::store`), but this client follows no redirections.

mod config;
mod connect;
mod error;
mod link;
#[cfg(test)]
pub(crate) mod server;
#[cfg(test)]
mod tests;

pub use config::RedisConfig;
pub(crate) use config::wake_channel;
pub(crate) use connect::{Waiting, connect, warn_of_settings};
pub use error::RedisError;
pub(crate) use link::{CONNECT_TIMEOUT, Link, Reply, Request};
