//! The object store over TCP: the client against the embedded service, and plain HTTP against its presigned URLs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]
// The servers that tests talk to run beside them, and a child process learns its folder from a variable.
#![allow(clippy::disallowed_methods)]

mod bucket;
mod client;
mod contract;
mod crash;
mod harness;
mod memory;
mod refused;
mod upload;
