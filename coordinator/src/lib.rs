//! The coordinator: takes the workers' reports, moves jobs on, and puts transcripts together.

mod assemble;
mod assembly;
mod consume;
mod coverage;
mod language;
mod merge;
mod redo;

pub use assemble::{AssembleError, Assembler};
pub use consume::{CoordinatorConfig, CoordinatorError, run};
