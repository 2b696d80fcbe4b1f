//! HTTP in: upload sessions with presigned addresses, notices, status, live streams, transcripts.
//!
//! Handlers are thin: [`request`] checks what comes in, `Jobs::advance` is the only way to change a job, [`problem`] is
//! the only table from errors to statuses, [`stream`] reads the event log, [`render`] writes subtitles.

mod access;
pub mod config;
mod estimate;
mod hosts;
mod looks;
mod openai;
mod panics;
pub mod problem;
pub mod render;
mod request;
mod router;
mod routes;
mod server;
pub mod sizer;
mod spec;
mod stall;
mod state;
mod stream;
#[cfg(test)]
mod testing;
mod timings;
mod uploads;
mod view;
mod whole;

pub use config::{GatewayConfig, Tenancy, UploadBase};
pub use router::{addresses, document, router};
pub use server::{GatewayError, run};
pub use spec::{Address, Door};
