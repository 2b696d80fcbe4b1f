//! What all roles of Scriptorium share: the ports to the outside (job store, queue, bus, object store, cache), each with its
//! adapters, and [`jobs`], the loop that advances a job through them.
//!
//! A port is an enum with one variant an adapter, its promises in prose, and a suite in [`testing`] that every
//! adapter passes.
//!
//! What the other rooms call gives a boxed future: the body of an `async fn` is compiled in each crate that awaits it, and
//! with it the clients of the services, again and again.

pub mod bus;
pub mod cache;
pub mod clock;
mod due;
pub mod jobs;
pub mod limiter;
pub mod llm;
pub mod objects;
pub mod ops;
pub mod outbound;
pub mod queue;
pub mod redis;
pub mod service;
pub mod shutdown;
pub mod source;
pub mod store;
pub mod telemetry;
pub mod tenants;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tls;
pub mod waits;
pub mod webhook;
