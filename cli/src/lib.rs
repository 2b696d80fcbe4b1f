//! What the binary `scriptorium` is made of. It wires the roles and decides nothing of their work.
//!
//! [`serve`] runs all roles in one process, [`transcribe`] is the client of the command line (on a server in the same
//! process or elsewhere), [`client`] speaks with any server.

mod allocator;
pub mod args;
pub mod client;
pub mod config;
pub mod dead_letters;
pub mod engine;
pub mod exit;
pub mod jobs;
pub mod keys;
pub mod program;
pub mod reference;
pub mod roles;
pub mod serve;
pub mod transcribe;
