//! What the end-to-end tests share: the real binary as a server, a client that speaks its API, and recordings.
//!
//! Test support: a failure is a panic with the reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

pub mod client;
pub mod recordings;
pub mod server;

pub use client::{Client, Frame, Session};
pub use server::Server;
