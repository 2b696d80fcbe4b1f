//! The coordinator: takes the workers' reports, moves jobs on, and puts transcripts together.

mod assemble;
mod assembly;
mod consume;
mod correct;
mod coverage;
mod language;
mod merge;
mod redo;

pub use assemble::{AssembleError, Assembled, Assembler, Corrections};
pub use consume::{CoordinatorConfig, CoordinatorError, run};
