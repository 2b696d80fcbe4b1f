//! The command line and its client, without a speech engine.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod command_line;
mod peer;
mod reference;
mod upload;
