//! Reading and checking what comes in. Everything here is bounded, and everything refused is a [`crate::problem::Problem`].

pub mod accept;
pub mod address;
pub mod cursor;
pub mod idempotency;
pub mod init;
pub mod json;
pub mod language;
pub mod multipart;
pub mod number;
pub mod origin;
pub mod source;
