//! The promises of the ports as suites that every adapter passes. They expect no more than the ports promise.
//!
//! A suite gets a function that makes a fresh, empty adapter and panics where a promise is not kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bus;
mod cache;
mod jobs;
mod limiter;
mod queue;
mod redis;
mod store;
mod tenants;

pub use bus::bus_contract;
pub use cache::cache_contract;
pub use jobs::{embedded_store, half_minute_of, jobs_on, media, new_id, new_job, no_objects, result_of};
pub use limiter::limiter_contract;
pub use queue::{queue_contract, short_delays};
pub use redis::{RedisCorner, RedisTraffic, skipped};
pub use store::store_contract;
pub use tenants::directory_contract;
