//! What is logged, and in which form.

use clap::{Args, ValueEnum};

#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// What to log: off, error, warn, info, debug, trace, or directives as `info,scriptorium_worker=debug` [default: info for
    /// serve, error for transcribe]
    #[arg(long, env = "SCRIPTORIUM_LOG", value_name = "FILTER", global = true, help_heading = "Logging")]
    pub log: Option<String>,

    /// Form of the log, which goes to standard error
    #[arg(long, env = "SCRIPTORIUM_LOG_FORMAT", value_name = "FORMAT", global = true, help_heading = "Logging",
          value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line an event, for people
    Text,
    /// One JSON object an event, for machines
    Json,
}
