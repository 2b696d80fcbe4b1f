//! Recordings that the service fetches itself.

use clap::{Args, builder::BoolishValueParser};
use scriptorium_shared::outbound::Reach;
use scriptorium_shared::source::SourceConfig;

#[derive(Args, Clone, Debug)]
pub struct SourceArgs {
    /// Recordings that are fetched at once by this process (`source_url`); each takes up to two chunks of memory. 0: none, and jobs with
    /// an address are refused. Gateways look at addresses, coordinators fetch
    #[arg(long, env = "SCRIPTORIUM_SOURCE_FETCHES", value_name = "N", default_value = "4",
          value_parser = clap::value_parser!(u32).range(0..=64))]
    pub source_fetches: u32,

    /// Recordings may be fetched from private addresses, and by http: for closed networks. Whoever may make jobs can then have this
    /// machine read from its neighbours
    #[arg(long, env = "SCRIPTORIUM_SOURCE_ALLOW_PRIVATE", value_parser = BoolishValueParser::new())]
    pub source_allow_private: bool,
}

impl SourceArgs {
    pub fn settings(&self) -> SourceConfig {
        let reach = if self.source_allow_private { Reach::Anywhere } else { Reach::Public };
        SourceConfig { reach, at_once: self.source_fetches }
    }
}
