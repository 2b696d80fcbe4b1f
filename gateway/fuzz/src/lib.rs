//! The gateway's parsers, from its own files. To run a target, from this folder: `cargo +nightly fuzz run --fuzz-dir . form
//! corpus/form seeds/form`. New inputs go to the first folder, the seeds are only read.

#[allow(dead_code, reason = "the gateway uses all of it")]
#[path = "../../src/request/accept.rs"]
pub mod accept;
#[allow(dead_code, reason = "the gateway uses all of it")]
#[path = "../../src/request/multipart.rs"]
pub mod multipart;
