//! A small honest world around `job::step`: a store, a scheduler, workers, a client. Each test file uses a part.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod golden_records;
pub mod golden_values;
pub mod invariants;
pub mod ledger;
pub mod samples;
pub mod script;
pub mod world;
