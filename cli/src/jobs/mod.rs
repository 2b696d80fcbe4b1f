//! `scriptorium jobs`: what a server has, for people and for programs.

pub(crate) mod table;

use crate::args::{JobArgs, JobsCommand, JobsListArgs, ServerArgs};
use crate::client::api::Patience;
use crate::client::wire::{DeletedJob, JobDetails, JobRow};
use crate::client::{Api, ClientError};
use crate::exit::Exit;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{self, Write};
use thiserror::Error;

/// Jobs of one page, which is the most that a server gives.
const PAGE: u32 = 200;

#[derive(Debug, Error)]
pub enum JobsError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the answer could not be written: {0}")]
    Output(#[from] io::Error),
}

impl JobsError {
    pub fn exit(&self) -> Exit {
        match self {
            Self::Client(error) => error.exit(),
            Self::Output(_) => Exit::Failed,
        }
    }
}

/// Carries the command out.
///
/// # Errors
/// See [`JobsError`].
pub async fn run(command: &JobsCommand) -> Result<(), JobsError> {
    let done = match command {
        JobsCommand::List(args) => list(args).await,
        JobsCommand::Show(args) => show(args).await,
        JobsCommand::Delete(args) => delete(args).await,
    };
    match done {
        // Whoever read us has enough, as `head` has.
        Err(JobsError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// A person waits: a few seconds of trying are enough.
fn api(server: &ServerArgs) -> Result<Api, ClientError> {
    let patience = Patience { retries: 3, ..Patience::default() };
    Ok(Api::new(&server.server, false, patience)?.with_key(server.api_key.as_ref()))
}

async fn list(args: &JobsListArgs) -> Result<(), JobsError> {
    let api = api(&args.server)?;
    let mut query: Vec<(&str, String)> = Vec::new();
    if !args.status.is_empty() {
        query.push(("status", args.status.join(",")));
    }
    query.extend(args.filename.iter().map(|part| ("filename", part.clone())));
    let (mut left, mut cursor, mut first) = (args.limit, None, true);
    while left > 0 {
        let mut asked = query.clone();
        asked.push(("limit", left.min(PAGE).to_string()));
        asked.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page = api.jobs(&asked).await?;
        left = left.saturating_sub(u32::try_from(page.jobs.len()).unwrap_or(u32::MAX));
        if args.server.json {
            page.jobs.iter().try_for_each(json_line)?;
        } else {
            let rows = page.jobs.into_iter().map(understood).collect::<Result<Vec<JobRow>, _>>()?;
            write(&table::rows(&rows, std::mem::take(&mut first)))?;
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(())
}

async fn show(args: &JobArgs) -> Result<(), JobsError> {
    let job = api(&args.server)?.job(args.job).await?;
    if args.server.json {
        return Ok(json_line(&job)?);
    }
    let details: JobDetails = understood(job)?;
    Ok(write(&table::details(&details))?)
}

async fn delete(args: &JobArgs) -> Result<(), JobsError> {
    let reply = api(&args.server)?.delete(args.job).await?;
    if args.server.json {
        return Ok(json_line(&reply)?);
    }
    let deleted: DeletedJob = understood(reply)?;
    Ok(write(&table::deleted(args.job, &deleted))?)
}

fn understood<T: DeserializeOwned>(value: Value) -> Result<T, ClientError> {
    serde_json::from_value(value).map_err(|error| ClientError::Unexpected(error.to_string()))
}

fn json_line(value: &Value) -> io::Result<()> {
    write(&format!("{value}\n"))
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
