//! The settings of a file: defaults of options, which a variable and the command line override.

use super::ConfigError;
use clap::{Arg, ArgMatches, Command};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Far more than all options fill.
const MAX_BYTES: u64 = 1 << 20;
/// A file cannot name another one, and only the command line asks for help.
const NEVER_IN_A_FILE: [&str; 3] = ["config", "help", "version"];

/// Adds the settings of the file that `--config` or `SCRIPTORIUM_CONFIG` names, if one is named, to the defaults of the
/// program's options. A file may serve several commands: each takes what it knows.
///
/// # Errors
/// The file cannot be read, or says something that is no setting of any command.
pub fn with_settings(program: Command, arguments: &[OsString]) -> Result<Command, ConfigError> {
    let Some(path) = named(&program, arguments) else { return Ok(program) };
    let problem = |reason: String| ConfigError::File { path: path.clone(), reason };
    let settings = parse(&read(&path).map_err(|error| problem(error.to_string()))?).map_err(problem)?;
    let known = options(&program);
    if let Some(stranger) = settings.keys().find(|key| !known.contains(key)) {
        return Err(problem(format!("no option is called `{stranger}`")));
    }
    Ok(apply(program, &settings))
}

/// The file's path. What is wrong with the rest of the command line is told later.
fn named(program: &Command, arguments: &[OsString]) -> Option<PathBuf> {
    let matches = program.clone().ignore_errors(true).try_get_matches_from(arguments).ok()?;
    deepest(&matches).get_one::<PathBuf>("config").cloned()
}

fn deepest(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, inner)| deepest(inner))
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read <= MAX_BYTES) {
        Ok(text)
    } else {
        Err(std::io::Error::other("it is larger than 1 MB"))
    }
}

/// Names of options and their values as the command line would have them.
fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    // The line that is wrong is not shown: it may hold a password.
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let line =
            error.span().map_or(0, |span| text.get(..span.start).unwrap_or_default().matches('\n').count());
        format!("line {}: {}", line + 1, error.message())
    })?;
    table.into_iter().map(|(key, value)| Ok((key.clone(), plain(&key, value)?))).collect()
}

fn plain(key: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(yes) => Ok(yes.to_string()),
        Value::Array(items) => {
            let items: Result<Vec<String>, String> = items.into_iter().map(|item| plain(key, item)).collect();
            Ok(items?.join(","))
        }
        Value::Datetime(_) | Value::Table(_) => {
            Err(format!("`{key}` must be a text, a number, true or false, or a list of these"))
        }
    }
}

/// The long names of all options of all commands.
fn options(command: &Command) -> Vec<String> {
    let own = command.get_arguments().filter_map(Arg::get_long);
    let mut names: Vec<String> =
        own.filter(|name| !NEVER_IN_A_FILE.contains(name)).map(str::to_owned).collect();
    names.extend(command.get_subcommands().flat_map(options));
    names
}

fn apply(command: Command, settings: &BTreeMap<String, String>) -> Command {
    let set = |arg: Arg| match arg.get_long().and_then(|name| settings.get(name)) {
        // Not shown by --help: it may be a secret.
        Some(value) => arg.default_value(value.clone()).hide_default_value(true).required(false),
        None => arg,
    };
    command.mut_args(set).mut_subcommands(|inner| apply(inner, settings))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command as Chosen, GatewayArgs};
    use clap::{CommandFactory, FromArgMatches};

    /// The gateway's options as read from a file and the command line.
    fn gateway(file: &str, more: &[&str]) -> Result<GatewayArgs, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = dir.path().join("settings.toml");
        std::fs::write(&path, file).map_err(|error| error.to_string())?;
        let mut arguments: Vec<OsString> =
            vec!["scriptorium".into(), "gateway".into(), "--config".into(), path.into()];
        arguments.extend(more.iter().map(OsString::from));
        let command = with_settings(Cli::command(), &arguments).map_err(|error| error.to_string())?;
        let matches = command.try_get_matches_from(&arguments).map_err(|error| error.to_string())?;
        let chosen = Cli::from_arg_matches(&matches).map_err(|error| error.to_string())?.command;
        if let Chosen::Gateway(args) = chosen { Ok(*args) } else { Err(format!("{chosen:?}")) }
    }

    const ENOUGH: &str = "amqp-url = 'amqp://a'\nredis-url = 'redis://b'\ns3-bucket = 'c'\n";

    #[test]
    fn a_file_gives_what_the_command_line_does_not() -> Result<(), String> {
        let file = format!(
            "{ENOUGH}allow-unauthenticated = true\nretention-seconds = 0.5\nmax-chunk-retries = 7\nmodel = 'base'\n"
        );
        let args = gateway(&file, &["--max-chunk-retries", "9", "--redis-url=redis://given"])?;
        assert_eq!(args.broker.amqp_url, "amqp://a");
        assert_eq!(args.store.redis_url, "redis://given");
        assert!(args.network.allow_unauthenticated);
        assert_eq!(args.limits.max_chunk_retries, 9);
        assert_eq!(args.limits.retention_seconds, std::time::Duration::from_millis(500));
        Ok(())
    }

    #[test]
    fn what_is_missing_or_wrong_is_told() {
        let refused = |file: &str, word: &str| match gateway(file, &[]) {
            Ok(args) => panic!("{file}: {args:?}"),
            Err(problem) => assert!(problem.contains(word), "{file}: {problem}"),
        };
        refused("amqp-url = 'amqp://a'", "--redis-url");
        refused(&format!("{ENOUGH}max-chunk-retries = -1"), "--max-chunk-retries");
        refused("ampq-url = 'a'", "`ampq-url`");
        refused("config = 'other.toml'", "`config`");
        refused("[gateway]\nlisten = '127.0.0.1:1'", "`gateway`");
        refused("\n\nlisten = 127.0.0.1", "line 3");
    }

    #[test]
    fn a_secret_is_never_repeated() {
        for file in
            ["redis-url = 'redis://:hidden@b'", "redis-url = 'redis://:hidden@b", "redis-url = hidden"]
        {
            for more in [&["--help"][..], &[]] {
                let told = gateway(file, more).err().unwrap_or_default();
                assert!(!told.is_empty() && !told.contains("hidden"), "{told}");
            }
        }
    }

    #[test]
    fn lists_are_what_commas_make_of_them() -> Result<(), String> {
        let settings = parse("cors-origins = ['https://a', 'https://b']")?;
        let matches = apply(Cli::command(), &settings)
            .try_get_matches_from(["scriptorium", "admin", "bucket", "--s3-bucket", "x"])
            .map_err(|error| error.to_string())?;
        let origins: Vec<&String> =
            deepest(&matches).get_many("cors_origins").map(Iterator::collect).unwrap_or_default();
        assert_eq!(origins, ["https://a", "https://b"]);
        Ok(())
    }
}
