//! From the command line to the exit code.

use crate::allocator;
use crate::args::{AdminBucketArgs, AdminCommand, Cli, Command, ServeArgs};
use crate::config::LogFormat;
use crate::dead_letters;
use crate::exit::Exit;
use crate::jobs;
use crate::keys::{self, KeysError};
use crate::roles::{self, RoleError};
use crate::serve::{self, ServeConfig, ServeError, Server};
use crate::transcribe;
use scriptorium_shared::{shutdown, telemetry};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// What still runs when all is said and done gets so long to end.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// Runs the program. It is here and not in the binary, because what is asynchronous is compiled where it is run: there a
/// second time.
pub fn main() -> ExitCode {
    allocator::keep_little();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::read(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            tell(&error.to_string());
            return Exit::Usage.into();
        }
    };
    let default_log = match &cli.command {
        Command::Serve(_) | Command::Gateway(_) | Command::Worker(_) | Command::Coordinator(_) => "info",
        Command::Admin(_) => "warn",
        Command::Jobs(_) | Command::Transcribe(_) => "error",
    };
    let format = match cli.log.log_format {
        LogFormat::Text => telemetry::Format::Text,
        LogFormat::Json => telemetry::Format::Json,
    };
    if let Err(error) = telemetry::init(cli.log.log.as_deref().unwrap_or(default_log), format) {
        tell(&format!("--log: {error}"));
        return Exit::Usage.into();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell(&format!("cannot start: {error}"));
            return Exit::Failed.into();
        }
    };
    let exit = runtime.block_on(run(&cli.command));
    runtime.shutdown_timeout(LAST_MOMENT);
    leave(exit)
}

/// Ends the process without tearing the libraries down. A batch that the engine has begun cannot be called off and may take
/// minutes; nobody would miss it, but the C++ library must not run its exit handlers under the threads that compute it.
fn leave(exit: Exit) -> ! {
    // There is nobody left to tell of a failure.
    drop(std::io::stdout().flush());
    drop(std::io::stderr().flush());
    signal_hook::low_level::exit(i32::from(exit.code()))
}

async fn run(command: &Command) -> Exit {
    let outcome = match command {
        Command::Serve(args) => {
            serve(args).await.map(|()| Exit::Done).map_err(|error| (error.to_string(), error.exit()))
        }
        Command::Gateway(args) => ended(roles::gateway(args).await),
        Command::Worker(args) => ended(roles::worker(args).await),
        Command::Coordinator(args) => ended(roles::coordinator(args).await),
        Command::Jobs(command) => {
            jobs::run(command).await.map(|()| Exit::Done).map_err(|error| (error.to_string(), error.exit()))
        }
        Command::Admin(AdminCommand::Bucket(args)) => ended(admin_bucket(args).await),
        Command::Admin(AdminCommand::Keys(command)) => managed(keys::run(command).await),
        Command::Admin(AdminCommand::WebhookSecrets(command)) => {
            managed(keys::webhook_secrets(command).await)
        }
        Command::Admin(AdminCommand::Limits(args)) => managed(keys::limits(args).await),
        Command::Admin(AdminCommand::DeadLetters(command)) => dead_letters::run(command)
            .await
            .map(|()| Exit::Done)
            .map_err(|error| (error.to_string(), error.exit())),
        Command::Transcribe(args) => {
            transcribe::run(args).await.map_err(|error| (error.to_string(), error.exit()))
        }
    };
    outcome.unwrap_or_else(|(error, exit)| {
        tell(&error);
        exit
    })
}

fn ended(outcome: Result<(), RoleError>) -> Result<Exit, (String, Exit)> {
    outcome.map(|()| Exit::Done).map_err(|error| (error.to_string(), error.exit()))
}

fn managed(outcome: Result<(), KeysError>) -> Result<Exit, (String, Exit)> {
    outcome.map(|()| Exit::Done).map_err(|error| (error.to_string(), error.exit()))
}

async fn admin_bucket(args: &AdminBucketArgs) -> Result<(), RoleError> {
    let prepared = roles::admin_bucket(args).await?;
    let bucket = &args.bucket.s3_bucket;
    let made = if prepared.created { "made" } else { "found" };
    tell(&format!("bucket {bucket} {made} and set up"));
    for setting in prepared.unsupported {
        tell(&format!("this object store knows no {setting} settings; they were left out"));
    }
    Ok(())
}

async fn serve(args: &ServeArgs) -> Result<(), ServeError> {
    let config = ServeConfig::try_from(args)?;
    let listener =
        serve::listen(&args.network.addresses(args.keys.require_keys).await?, &args.network.listen).await?;
    let address = serve::local_address(&listener)?;
    let tasks = TaskTracker::new();
    let shutdown = shutdown::signals(&tasks).map_err(ServeError::Signals)?;
    let server = tokio::select! {
        server = Server::prepare(config, address) => server?,
        () = shutdown.cancelled() => return Ok(()),
    };
    tell(&format!("ready on {} ({})", serve::url(address), server.describe()));
    let outcome = server.run(listener, shutdown.clone()).await;
    shutdown.cancel();
    tasks.close();
    tasks.wait().await;
    outcome
}

/// One line for the user, apart from the log.
fn tell(line: &str) {
    drop(writeln!(std::io::stderr(), "scriptorium: {line}"));
}
