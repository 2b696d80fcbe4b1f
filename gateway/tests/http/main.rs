//! The gateway over real TCP, on the embedded store, queue and object store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod document;
mod house;
mod jobs;
mod listing;
mod live;
mod openai;
mod replay;
mod server;
mod sources;
mod sse;
mod tenants;
mod uploads;
mod webhooks;
mod whole;
mod whole_refused;
