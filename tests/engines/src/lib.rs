//! Workers whose engine only sleeps, or ends its process: for tests and benchmarks that are about the chain and not about
//! speech. Nothing of the product depends on this crate, so the product cannot be told to use such an engine.
//!
//! Test support: a failure is a panic with the reason.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods
)]

pub mod bursts;
pub mod engine;
pub mod processes;
pub mod role;
