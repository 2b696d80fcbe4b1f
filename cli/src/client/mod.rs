//! Speaks with a Scriptorium server, as any program could: upload sessions, notices, live stream, transcript.

pub mod api;
mod error;
pub mod events;
pub mod source;
pub mod sse;
pub mod upload;
pub mod wire;

pub use api::Api;
pub use error::ClientError;
