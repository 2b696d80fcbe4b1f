//! What the end-to-end tests share: the real binary as a server or as a stack of roles on real services, clients that speak
//! its API, recordings, and what disturbs them.
//!
//! Test support: a failure is a panic with the reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

pub mod broker;
pub mod certificates;
pub mod chaos;
pub mod client;
pub mod deployment;
pub mod dice;
pub mod files;
pub mod patient;
pub mod proofreader;
pub mod proxy;
pub mod python;
pub mod receiver;
pub mod recordings;
pub mod server;
pub mod services;
pub mod stack;

pub use client::{Client, Frame, Session};
pub use deployment::Deployment;
pub use server::Server;
pub use stack::{Plan, Stack};
