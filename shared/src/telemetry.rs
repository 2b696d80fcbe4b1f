//! Structured logs on standard error. ERROR means that a person must act.

use std::io::IsTerminal;
use thiserror::Error;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, fmt};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

#[derive(Debug, Error)]
pub enum TelemetryError {
    #[error(
        "the log filter {filter:?} can't be read: {reason}; write it like `info` or `info,scriptorium_shared=debug`"
    )]
    Filter { filter: String, reason: String },
    #[error("logging has been set up already")]
    Twice(#[source] TryInitError),
}

/// Sends the process's logs to standard error. `filter` is a list of `target=level` directives or a level alone. To
/// be called once, by the binary.
pub fn init(filter: &str, format: Format) -> Result<(), TelemetryError> {
    let registry = tracing_subscriber::registry().with(parse(filter)?);
    // Colours are for people; in a file they are noise.
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let discreet = filter_fn(is_discreet);
    match format {
        Format::Text => registry.with(lines.with_filter(discreet)).try_init(),
        Format::Json => registry.with(lines.json().flatten_event(true).with_filter(discreet)).try_init(),
    }
    .map_err(TelemetryError::Twice)
}

/// What the RabbitMQ client says itself is said again by `queue::rabbitmq`, once and in our levels; it would call each lost
/// connection an ERROR, and print messages that come back. Its address, with the password, it writes at TRACE.
const SILENT: [&str; 2] = ["lapin", "amq_protocol_tcp"];

/// Libraries that write whole requests, with the signatures and keys in them, at DEBUG or TRACE.
const TALKATIVE: [&str; 4] = ["s3s", "aws_", "h2", "redis"];

/// Whether a line may be written, whatever the filter says: at no level does the log hold what opens a door.
fn is_discreet(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO
        || !TALKATIVE.iter().any(|library| metadata.target().starts_with(library))
}

fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    let unfit = |error: &dyn std::error::Error| TelemetryError::Filter {
        filter: filter.to_owned(),
        reason: error.to_string(),
    };
    let mut parsed = EnvFilter::builder().parse(filter).map_err(|error| unfit(&error))?;
    for target in SILENT {
        let silent = format!("{target}=off").parse().map_err(|error| unfit(&error))?;
        parsed = parsed.add_directive(silent);
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked() {
        for filter in ["info", "warn,scriptorium_shared=debug", "off"] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
        let error = parse("scriptorium=loud").unwrap_err();
        assert!(error.to_string().contains("scriptorium=loud"), "{error}");
    }

    #[test]
    fn a_second_set_up_is_refused() {
        init("off", Format::Json).unwrap();
        assert!(matches!(init("off", Format::Text), Err(TelemetryError::Twice(_))));
    }
}
