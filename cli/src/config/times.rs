//! Lengths of work, one struct a role that needs them.

use super::values::{interval, seconds};
use clap::Args;
use std::time::Duration;

#[derive(Args, Clone, Debug)]
pub struct PartArgs {
    /// A chunk with more audio than this is divided into parts of at most this length, which many workers take
    #[arg(long, env = "SCRIPTORIUM_PART_SECONDS", value_name = "SECONDS", default_value = "300", value_parser = interval)]
    pub part_seconds: Duration,
}

#[derive(Args, Clone, Debug)]
pub struct SweepArgs {
    /// Time between two looks for what is late, lost or over
    #[arg(long, env = "SCRIPTORIUM_SWEEP_INTERVAL_SECONDS", value_name = "SECONDS", default_value = "10", value_parser = interval)]
    pub sweep_interval_seconds: Duration,
}

#[derive(Args, Clone, Debug)]
pub struct DrainArgs {
    /// When told to stop, work in hand may take at most so long to end or to be handed back
    #[arg(long, env = "SCRIPTORIUM_DRAIN_SECONDS", value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    pub drain_seconds: Duration,
}
