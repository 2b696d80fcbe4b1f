//! What the roles of Scriptorium say to one another, and the one place where a job's state changes.
//!
//! Pure: no clock, no randomness, no input or output. Everything here that is written to a store or a queue carries
//! a version; readers tolerate unknown fields.

pub mod correction;
pub mod event;
pub mod failure;
pub mod ids;
pub mod job;
pub mod language;
pub mod media;
pub mod message;
pub mod objects;
pub mod plan;
pub mod signing;
pub mod source;
pub mod tenant;
pub mod transcript;
pub mod webhook;

pub use ids::{JobId, Timestamp};
