//! The worker: decodes byte-range chunks and turns them into text.
//!
//! `scriptorium-media` finds packets, cuts and passages in bytes; `engine` turns windows of samples into text, and
//! `cache` knows what it has answered before; `task` joins them for one chunk; `consume` takes chunks from the queue.

mod answers;
mod cache;
mod chunk_source;
mod consume;
mod correct;
pub mod engine;
mod meter;
mod parts;
mod passage;
mod redo;
mod slots;
mod task;

pub use cache::{CacheSettings, WindowCache};
pub use consume::{WorkerConfig, WorkerError, run};
