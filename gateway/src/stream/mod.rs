//! Live streams: readers of a job's event log.
//!
//! The log is the truth. [`hub`] wakes readers and lets those of one job share what they read, [`frames`] makes frames
//! of events, [`text`] keeps the text that grows, [`reader`] is the loop around them.

pub mod frames;
pub mod hub;
pub mod reader;
mod text;
