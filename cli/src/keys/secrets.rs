//! `scriptorium admin webhook-secrets`.

use super::{KeysError, note, open, print, table};
use crate::args::{SecretsListArgs, SecretsRevokeArgs, SecretsRotateArgs, WebhookSecretsCommand};
use scriptorium_contracts::signing::SigningSecrets;
use scriptorium_contracts::tenant::TenantName;
use scriptorium_shared::clock;
use scriptorium_shared::tenants::{Directory, Swapped};
use scriptorium_shared::webhook::new_secret;

const HOUR_MS: u64 = 3_600_000;

/// Carries the command out.
///
/// # Errors
/// See [`KeysError`].
pub async fn run(command: &WebhookSecretsCommand) -> Result<(), KeysError> {
    match command {
        WebhookSecretsCommand::Rotate(args) => rotate(args).await,
        WebhookSecretsCommand::List(args) => list(args).await,
        WebhookSecretsCommand::Revoke(args) => revoke(args).await,
    }
}

async fn rotate(args: &SecretsRotateArgs) -> Result<(), KeysError> {
    let directory = open(&args.directory).await?;
    let (now, before) = (clock::now(), directory.signing(&args.tenant).await?);
    let new = new_secret(now);
    let after = before.rotated(new.clone(), now, u64::from(args.keep_old_hours) * HOUR_MS)?;
    swap(&directory, &args.tenant, &before, &after).await?;
    directory.close().await;
    let older = match after.secrets.len() - 1 {
        0 => "it signs alone".to_owned(),
        count => format!("{count} older sign beside it for up to {} hours", args.keep_old_hours),
    };
    note(&format!("secret {} of tenant {}; {older}; it is shown this once:", new.id, args.tenant));
    print(&format!("{}\n", new.secret.reveal()))
}

async fn list(args: &SecretsListArgs) -> Result<(), KeysError> {
    let directory = open(&args.directory).await?;
    let found = directory.signing(&args.tenant).await?;
    directory.close().await;
    let now = clock::now();
    if args.json {
        let lines: String = found.secrets.iter().map(|secret| table::secret_json(secret, now)).collect();
        return print(&lines);
    }
    print(&table::secrets(&found.secrets, now))
}

async fn revoke(args: &SecretsRevokeArgs) -> Result<(), KeysError> {
    let directory = open(&args.directory).await?;
    let before = directory.signing(&args.tenant).await?;
    let no_such = || KeysError::NoSuchSecret(args.secret.clone());
    let after = before.without(&args.secret).ok_or_else(no_such)?;
    swap(&directory, &args.tenant, &before, &after).await?;
    directory.close().await;
    let left = match after.signing(clock::now()).count() {
        0 => "; the deployment's secret signs, if it has one",
        _ => "",
    };
    note(&format!("secret {} signs no more{left}", args.secret));
    Ok(())
}

async fn swap(
    directory: &Directory,
    tenant: &TenantName,
    before: &SigningSecrets,
    after: &SigningSecrets,
) -> Result<(), KeysError> {
    match directory.swap_signing(tenant, before, after).await? {
        Swapped::Done => Ok(()),
        Swapped::Changed => Err(KeysError::Changed),
        Swapped::Full => Err(KeysError::TooManyTenants),
    }
}
