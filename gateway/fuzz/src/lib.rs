//! The gateway's parsers, from its own files. `make fuzz` builds and runs the targets.

#[allow(dead_code, reason = "the gateway uses all of it")]
#[path = "../../src/request/accept.rs"]
pub mod accept;
#[allow(dead_code, reason = "the gateway uses all of it")]
#[path = "../../src/request/multipart.rs"]
pub mod multipart;
