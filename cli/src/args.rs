//! The command line.

mod admin;
mod webhook_secrets;

pub use admin::{
    AdminBucketArgs, AdminCommand, DeadLettersCommand, DeadLettersListArgs, KeysCommand, KeysCreateArgs,
    KeysListArgs, KeysRevokeArgs, LimitsArgs, SendAgainArgs,
};
pub use webhook_secrets::{SecretsListArgs, SecretsRevokeArgs, SecretsRotateArgs, WebhookSecretsCommand};

use crate::config::{
    AllowLlmArgs, ApiKey, BrokerArgs, BucketArgs, CacheArgs, CacheFileArgs, CacheServiceArgs, ConfigError,
    DrainArgs, EngineArgs, ImportArgs, JobStoreArgs, KeyArgs, LimitArgs, LimiterArgs, LlmArgs, LogArgs,
    NetworkArgs, OpsArgs, PartArgs, SourceArgs, StorageArgs, SweepArgs, TenantArgs, TlsArgs, WebhookArgs,
    with_settings,
};
use clap::builder::BoolishValueParser;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use scriptorium_contracts::JobId;
use std::ffi::OsString;
use std::path::PathBuf;

/// Turns recordings into text while they are still being uploaded.
#[derive(Parser, Debug)]
#[command(
    name = "scriptorium",
    version,
    max_term_width = 100,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    /// File with settings (TOML): names of options without the dashes, as `s3-bucket = "recordings"`. The command line and
    /// variables override it; options of other commands may stand in it too
    #[arg(long, env = "SCRIPTORIUM_CONFIG", value_name = "FILE", global = true, help_heading = "Settings")]
    pub config: Option<PathBuf>,

    #[command(flatten)]
    pub log: LogArgs,
}

impl Cli {
    /// The command line, with the settings of the file that it names. Ends the process where one is wrong, or help is asked for.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn read(arguments: &[OsString]) -> Result<Self, ConfigError> {
        let matches = with_settings(Self::command(), arguments)?.get_matches_from(arguments);
        Ok(Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()))
    }
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Runs the whole service in this process; nothing else need be installed or started
    ///
    /// Jobs, events and recordings lie in the data folder. After a crash the server goes on where it stopped. SIGTERM and
    /// Ctrl-C end it in order.
    Serve(Box<ServeArgs>),
    /// Runs one gateway on RabbitMQ, Redis and S3: the HTTP interface
    ///
    /// Any number of them may run, behind one address. It waits for services that are not up yet.
    Gateway(Box<GatewayArgs>),
    /// Runs one worker on RabbitMQ and S3: decoding and speech to text
    ///
    /// Any number of them may run. SIGTERM hands its work back to the others.
    Worker(Box<WorkerArgs>),
    /// Runs one coordinator on RabbitMQ, Redis and S3: job state, assembly, sweep
    ///
    /// One is enough; a second one keeps things going when the first dies.
    Coordinator(Box<CoordinatorArgs>),
    /// Lists, shows and deletes the jobs of a server
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Sets up what the service needs, and looks after it
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Turns one recording into text
    ///
    /// Starts a server in this process (or uses --server), uploads the recording in parallel, shows the text as it grows, and
    /// writes the finished transcript.
    #[command(after_long_help = EXIT_CODES)]
    Transcribe(Box<TranscribeArgs>),
}

/// What a script can tell from the end of `scriptorium transcribe`; see [`crate::exit::Exit`].
pub const EXIT_CODES: &str = "\
Exit codes:
  0    the transcript is written, complete
  1    the job failed; nothing is written
  2    the command cannot be carried out as given: options, recording, model, folder
  3    the transcript is written, but parts of the recording failed; the gaps are marked
  4    the server cannot be reached
  130  cancelled by Ctrl-C (143: by SIGTERM); the job is cancelled on the server too";

#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    #[command(flatten, next_help_heading = "Network")]
    pub network: NetworkArgs,
    #[command(flatten, next_help_heading = "Keys and tenants")]
    pub keys: KeyArgs,
    #[command(flatten)]
    pub tenants: TenantArgs,
    #[command(flatten, next_help_heading = "Storage")]
    pub storage: StorageArgs,
    #[command(flatten, next_help_heading = "Speech to text")]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub cache: CacheArgs,
    #[command(flatten)]
    pub cache_file: CacheFileArgs,
    #[command(flatten, next_help_heading = "Language model")]
    pub llm: LlmArgs,
    #[command(flatten, next_help_heading = "Limits and times")]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub part: PartArgs,
    #[command(flatten)]
    pub sweep: SweepArgs,
    #[command(flatten)]
    pub drain: DrainArgs,
    #[command(flatten, next_help_heading = "Recordings to fetch")]
    pub sources: SourceArgs,
    #[command(flatten, next_help_heading = "Webhooks")]
    pub webhooks: WebhookArgs,
}

#[derive(Args, Clone, Debug)]
pub struct GatewayArgs {
    #[command(flatten, next_help_heading = "Network")]
    pub network: NetworkArgs,
    #[command(flatten)]
    pub ops: OpsArgs,
    #[command(flatten, next_help_heading = "Keys and tenants")]
    pub tenants: TenantArgs,
    #[command(flatten, next_help_heading = "Services")]
    pub broker: BrokerArgs,
    #[command(flatten)]
    pub tls: TlsArgs,
    #[command(flatten)]
    pub store: JobStoreArgs,
    #[command(flatten)]
    pub bucket: BucketArgs,
    #[command(flatten, next_help_heading = "Language model")]
    pub llm: AllowLlmArgs,
    #[command(flatten, next_help_heading = "Limits and times")]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub drain: DrainArgs,
    #[command(flatten, next_help_heading = "Recordings to fetch")]
    pub sources: SourceArgs,
    #[command(flatten)]
    pub imports: ImportArgs,
    #[command(flatten, next_help_heading = "Webhooks")]
    pub webhooks: WebhookArgs,
}

#[derive(Args, Clone, Debug)]
pub struct WorkerArgs {
    #[command(flatten, next_help_heading = "Network")]
    pub ops: OpsArgs,
    #[command(flatten, next_help_heading = "Services")]
    pub broker: BrokerArgs,
    #[command(flatten)]
    pub tls: TlsArgs,
    #[command(flatten)]
    pub bucket: BucketArgs,
    #[command(flatten)]
    pub limiter: LimiterArgs,
    #[command(flatten, next_help_heading = "Speech to text")]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub cache: CacheArgs,
    #[command(flatten)]
    pub cache_service: CacheServiceArgs,
    #[command(flatten, next_help_heading = "Language model")]
    pub llm: LlmArgs,
    #[command(flatten, next_help_heading = "Limits and times")]
    pub part: PartArgs,
    #[command(flatten)]
    pub drain: DrainArgs,
}

#[derive(Args, Clone, Debug)]
pub struct CoordinatorArgs {
    #[command(flatten, next_help_heading = "Network")]
    pub ops: OpsArgs,
    #[command(flatten, next_help_heading = "Services")]
    pub broker: BrokerArgs,
    #[command(flatten)]
    pub tls: TlsArgs,
    #[command(flatten)]
    pub store: JobStoreArgs,
    #[command(flatten)]
    pub bucket: BucketArgs,
    #[command(flatten, next_help_heading = "Language model")]
    pub llm: LlmArgs,
    #[command(flatten, next_help_heading = "Limits and times")]
    pub sweep: SweepArgs,
    #[command(flatten)]
    pub drain: DrainArgs,
    #[command(flatten, next_help_heading = "Recordings to fetch")]
    pub sources: SourceArgs,
    #[command(flatten)]
    pub imports: ImportArgs,
    #[command(flatten, next_help_heading = "Webhooks")]
    pub webhooks: WebhookArgs,
}

/// What a script can tell from the end of `scriptorium jobs`.
pub const JOBS_EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the server refuses, for it has no such job, say
  2    the command cannot be carried out as given
  4    the server cannot be reached";

#[derive(Subcommand, Clone, Debug)]
pub enum JobsCommand {
    /// Lists jobs, the newest first
    #[command(after_long_help = JOBS_EXIT_CODES)]
    List(JobsListArgs),
    /// Shows one job, and where its time went
    #[command(after_long_help = JOBS_EXIT_CODES)]
    Show(JobArgs),
    /// Deletes a job with all that is stored of it; one that is under way is cancelled first
    #[command(after_long_help = JOBS_EXIT_CODES)]
    Delete(JobArgs),
}

#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// The server's address
    #[arg(long, env = "SCRIPTORIUM_SERVER", value_name = "URL", default_value = "http://127.0.0.1:8787")]
    pub server: String,

    /// The server's API key, if it asks for one. A secret: better given as a variable
    #[arg(long, env = "SCRIPTORIUM_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub api_key: Option<ApiKey>,

    /// JSON for programs, one job a line, in place of a table for people
    #[arg(long, env = "SCRIPTORIUM_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct JobsListArgs {
    #[command(flatten)]
    pub server: ServerArgs,

    /// Only jobs in one of these states, with commas between them: created, uploading, processing, assembling, completed,
    /// completed_with_errors, failed, cancelled, expired
    #[arg(long, env = "SCRIPTORIUM_STATUS", value_name = "STATE,…", value_delimiter = ',')]
    pub status: Vec<String>,

    /// Only jobs whose file's name has this in it
    #[arg(long, env = "SCRIPTORIUM_FILENAME", value_name = "TEXT")]
    pub filename: Option<String>,

    /// Most jobs
    #[arg(long, env = "SCRIPTORIUM_LIMIT", value_name = "N", default_value = "50",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

#[derive(Args, Clone, Debug)]
pub struct JobArgs {
    /// The job
    #[arg(value_name = "ID", value_parser = job_id)]
    pub job: JobId,

    #[command(flatten)]
    pub server: ServerArgs,
}

fn job_id(text: &str) -> Result<JobId, String> {
    text.parse().map_err(|_| "must be the id of a job, like 0b9b6a2e-3c39-4a0e-9b1c-1b2f5a1f7c11".to_owned())
}

#[derive(Args, Clone, Debug)]
pub struct TranscribeArgs {
    /// The recording: a file, or the https address of one, which the server fetches
    #[arg(value_name = "FILE|URL")]
    pub file: PathBuf,

    /// Use this server in place of one in this process
    #[arg(long, env = "SCRIPTORIUM_SERVER", value_name = "URL")]
    pub server: Option<String>,

    /// The key of that server, if it asks for one. A secret: better given as a variable
    #[arg(long, env = "SCRIPTORIUM_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub api_key: Option<ApiKey>,

    /// Form of the transcript
    #[arg(long, short, env = "SCRIPTORIUM_FORMAT", value_name = "FORMAT", value_enum, default_value_t = Format::Txt)]
    pub format: Format,

    /// Write the transcript to this file, in one go, in place of standard output
    #[arg(long, short, env = "SCRIPTORIUM_OUTPUT", value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Language that is spoken, as a code like `en` or `de` [default: found by the model]
    #[arg(long, short, env = "SCRIPTORIUM_LANGUAGE", value_name = "CODE")]
    pub language: Option<String>,

    /// Also tell when each word is said, in the JSON form
    #[arg(long, env = "SCRIPTORIUM_WORD_TIMESTAMPS", value_parser = BoolishValueParser::new())]
    pub word_timestamps: bool,

    /// Take nothing from the server's cache of texts, and leave nothing there
    #[arg(long, env = "SCRIPTORIUM_NO_CACHE", value_parser = BoolishValueParser::new())]
    pub no_cache: bool,

    /// Megabytes of one chunk, 1 to 100, or `auto`. The text does not depend on it
    #[arg(long, env = "SCRIPTORIUM_CHUNK_SIZE_MB", value_name = "N|auto", default_value = "auto", value_parser = chunk_size)]
    pub chunk_size_mb: ChunkSize,

    /// Uploads at once
    #[arg(long, env = "SCRIPTORIUM_PARALLEL_UPLOADS", value_name = "N", default_value = "4",
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub parallel_uploads: u16,

    /// No bars and no growing text; errors are still told
    #[arg(long, short, env = "SCRIPTORIUM_QUIET", value_parser = BoolishValueParser::new())]
    pub quiet: bool,

    #[command(flatten, next_help_heading = "Speech to text (without --server)")]
    pub engine: EngineArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Plain text
    Txt,
    /// Subtitles, SubRip
    Srt,
    /// Subtitles, WebVTT
    Vtt,
    /// Everything: segments with times, language, gaps, media information
    Json,
}

impl Format {
    /// As the server's `format` parameter wants it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Txt => "txt",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Json => "json",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkSize {
    /// Chosen by the size of the recording.
    Auto,
    Megabytes(u32),
}

fn chunk_size(text: &str) -> Result<ChunkSize, String> {
    if text == "auto" {
        return Ok(ChunkSize::Auto);
    }
    match text.parse() {
        Ok(megabytes @ 1..=100) => Ok(ChunkSize::Megabytes(megabytes)),
        Ok(_) | Err(_) => Err("must be a whole number from 1 to 100, or auto".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn chunk_sizes_have_bounds() {
        assert_eq!(chunk_size("auto"), Ok(ChunkSize::Auto));
        assert_eq!(chunk_size("100"), Ok(ChunkSize::Megabytes(100)));
        for bad in ["0", "101", "1.5", "-1", "", "AUTO"] {
            assert!(chunk_size(bad).is_err(), "{bad}");
        }
    }

    /// REQUIREMENTS: every option also as `SCRIPTORIUM_<OPTION>`.
    #[test]
    fn every_option_has_its_variable() {
        let top = Cli::command();
        fn all(command: &clap::Command) -> Vec<&clap::Command> {
            command.get_subcommands().flat_map(|inner| [vec![inner], all(inner)].concat()).collect()
        }
        for command in all(&top) {
            for arg in command.get_arguments().filter(|arg| !arg.is_positional() && arg.get_id() != "help") {
                let Some(long) = arg.get_long() else { continue };
                let expected = format!("SCRIPTORIUM_{}", long.to_uppercase().replace('-', "_"));
                assert_eq!(arg.get_env().and_then(|name| name.to_str()), Some(expected.as_str()), "--{long}");
            }
        }
    }
}
