//! The worker: decodes byte-range chunks and turns them into text.
//!
//! `scriptorium-media` finds packets, cuts and passages in bytes; `engine` turns windows of samples into text; `task`
//! joins the two for one chunk; `consume` takes chunks from the queue.

mod answers;
mod chunk_source;
mod consume;
pub mod engine;
mod meter;
mod parts;
mod passage;
mod redo;
mod slots;
mod task;

pub use consume::{WorkerConfig, WorkerError, run};
