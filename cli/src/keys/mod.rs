//! `scriptorium admin keys`, `admin limits` and `admin webhook-secrets`: who may call, how much, and what signs for him.

mod secrets;
mod table;

use crate::args::{KeysCommand, KeysCreateArgs, KeysListArgs, KeysRevokeArgs, LimitsArgs};
use crate::config::{ConfigError, DirectoryArgs, default_data_dir};
use crate::exit::Exit;
use crate::roles::redis;
use crate::serve::TENANTS_FILE;
use scriptorium_contracts::Timestamp;
use scriptorium_contracts::signing::TooManySecrets;
use scriptorium_shared::clock;
use scriptorium_shared::store::StoreError;
use scriptorium_shared::tenants::{
    Added, Directory, EmbeddedDirectory, MAX_KEYS, MAX_TENANTS, NewKey, PREFIX, RedisDirectory, day_of, is_id,
};
pub use secrets::run as webhook_secrets;
use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// For a Redis that does not answer: a person waits.
const PATIENCE: Duration = Duration::from_secs(10);
const DAY_MS: u64 = 86_400_000;

#[derive(Debug, Error)]
pub enum KeysError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the data folder {} cannot be used: {source}", path.display())]
    DataDir { path: PathBuf, source: io::Error },
    #[error("keys: {0}")]
    Store(#[from] StoreError),
    #[error("Redis does not answer")]
    Silent,
    #[error(
        "there are {MAX_KEYS} keys; no more are kept. Those that were revoked or have expired make room after 30 days"
    )]
    Full,
    #[error("there is no key {0}; `scriptorium admin keys list` tells them")]
    NoSuchKey(String),
    #[error("a key's id has 16 hexadecimal digits, as in sk_<id>_<secret>")]
    NoId,
    #[error(transparent)]
    TooManySecrets(#[from] TooManySecrets),
    #[error("{MAX_TENANTS} tenants have secrets of their own; no more are kept")]
    TooManyTenants,
    #[error("the secrets were changed by somebody else at the same time; look at them and try again")]
    Changed,
    #[error("the tenant has no secret {0}; `scriptorium admin webhook-secrets list` tells them")]
    NoSuchSecret(String),
    #[error("the answer could not be written: {0}")]
    Output(#[from] io::Error),
}

impl KeysError {
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::DataDir { .. } | Self::NoId => Exit::Usage,
            Self::Store(_)
            | Self::Full
            | Self::NoSuchKey(_)
            | Self::TooManySecrets(_)
            | Self::TooManyTenants
            | Self::Changed
            | Self::NoSuchSecret(_)
            | Self::Output(_) => Exit::Failed,
            Self::Silent => Exit::Unreachable,
        }
    }
}

/// Carries the command out.
///
/// # Errors
/// See [`KeysError`].
pub async fn run(command: &KeysCommand) -> Result<(), KeysError> {
    match command {
        KeysCommand::Create(args) => create(args).await,
        KeysCommand::List(args) => list(args).await,
        KeysCommand::Revoke(args) => revoke(args).await,
    }
}

async fn open(args: &DirectoryArgs) -> Result<Directory, KeysError> {
    if let Some(url) = &args.redis_url {
        let (config, stop) = (redis(url, &args.tls.read()?, DEFAULT_TTL), CancellationToken::new());
        let connecting = RedisDirectory::connect(&config, &stop);
        let connected = tokio::time::timeout(PATIENCE, connecting).await.map_err(|_| KeysError::Silent)?;
        return Ok(Directory::Redis(connected?));
    }
    let path = match &args.data_dir {
        Some(path) => path.clone(),
        None => default_data_dir().ok_or(ConfigError::NoHome)?,
    };
    // As the server makes it, which may not have run yet.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
    made.map_err(|source| KeysError::DataDir { path: path.clone(), source })?;
    Ok(Directory::Embedded(EmbeddedDirectory::open(&path.join(TENANTS_FILE))?))
}

/// Of jobs, which this command does not touch.
const DEFAULT_TTL: Duration = Duration::from_secs(7 * 86_400);

async fn create(args: &KeysCreateArgs) -> Result<(), KeysError> {
    let directory = open(&args.directory).await?;
    let now = clock::now();
    let end = args.expires_days.map(|days| now.plus(u64::from(days) * DAY_MS));
    let key = NewKey::random(args.tenant.clone(), args.label.clone(), now, end);
    match directory.add_key(&key.record).await? {
        Added::Done => {}
        Added::Full => return Err(KeysError::Full),
    }
    directory.close().await;
    let expires = key.record.expires_at.map(|end| format!(" until {}", end.rfc3339())).unwrap_or_default();
    note(&format!("key {} of tenant {}{expires}; it is shown this once:", key.record.id, key.record.tenant));
    print(&format!("{}\n", key.text))
}

async fn list(args: &KeysListArgs) -> Result<(), KeysError> {
    let directory = open(&args.directory).await?;
    let keys = directory.keys().await?;
    directory.close().await;
    let now = clock::now();
    let wanted = keys.iter().filter(|key| args.tenant.as_ref().is_none_or(|of| key.record.tenant == *of));
    if args.json {
        let lines: String = wanted.map(|key| table::json(key, now)).collect();
        return print(&lines);
    }
    print(&table::rows(wanted, now))
}

async fn revoke(args: &KeysRevokeArgs) -> Result<(), KeysError> {
    // Whoever has only the key at hand may give it: the secret part is left aside.
    let id = args.key.strip_prefix(PREFIX).unwrap_or(&args.key);
    let id = id.split('_').next().unwrap_or_default();
    if !is_id(id) {
        return Err(KeysError::NoId);
    }
    let directory = open(&args.directory).await?;
    let revoked = directory.revoke(id, clock::now()).await?;
    directory.close().await;
    let at: Timestamp = revoked.ok_or_else(|| KeysError::NoSuchKey(id.to_owned()))?;
    note(&format!("key {id} is revoked since {}; gateways refuse it within five seconds", at.rfc3339()));
    Ok(())
}

/// `admin limits`: sets what is asked for, and tells what holds.
///
/// # Errors
/// See [`KeysError`].
pub async fn limits(args: &LimitsArgs) -> Result<(), KeysError> {
    let directory = open(&args.directory).await?;
    let before = directory.limits(&args.tenant).await?;
    let after = args.limits.change(before);
    if after != before {
        match directory.set_limits(&args.tenant, after).await? {
            Added::Done => note("the limits hold within five seconds"),
            Added::Full => return Err(KeysError::Full),
        }
    }
    let ledger = directory.ledger(&args.tenant, day_of(clock::now())).await?;
    directory.close().await;
    print(&table::limits(&args.tenant, &after, &ledger))
}

fn print(text: &str) -> Result<(), KeysError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// For the person, apart from what a script reads.
fn note(line: &str) {
    drop(writeln!(io::stderr(), "scriptorium: {line}"));
}
