//! `scriptorium admin webhook-secrets`: what signs the webhooks of one tenant.

use crate::config::DirectoryArgs;
use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand};
use scriptorium_contracts::tenant::TenantName;

#[derive(Subcommand, Clone, Debug)]
pub enum WebhookSecretsCommand {
    /// Makes a secret and shows it, this once: standard output has the secret and nothing else. The tenant's older ones sign
    /// beside it for some time
    Rotate(SecretsRotateArgs),
    /// Lists a tenant's secrets, without showing them
    List(SecretsListArgs),
    /// Revokes a secret at once: it signs no more
    Revoke(SecretsRevokeArgs),
}

#[derive(Args, Clone, Debug)]
pub struct SecretsRotateArgs {
    /// Whose webhooks it signs, in place of the deployment's secret
    #[arg(long, env = "SCRIPTORIUM_TENANT", value_name = "NAME")]
    pub tenant: TenantName,

    /// Hours for which the older ones sign too, so that receivers can learn the new one; 0 for not at all
    #[arg(long, env = "SCRIPTORIUM_KEEP_OLD_HOURS", value_name = "HOURS", default_value = "24",
          value_parser = clap::value_parser!(u32).range(..=8_760))]
    pub keep_old_hours: u32,

    #[command(flatten)]
    pub directory: DirectoryArgs,
}

#[derive(Args, Clone, Debug)]
pub struct SecretsListArgs {
    /// Whose
    #[arg(long, env = "SCRIPTORIUM_TENANT", value_name = "NAME")]
    pub tenant: TenantName,

    /// JSON for programs, one secret a line, in place of a table for people
    #[arg(long, env = "SCRIPTORIUM_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,

    #[command(flatten)]
    pub directory: DirectoryArgs,
}

#[derive(Args, Clone, Debug)]
pub struct SecretsRevokeArgs {
    /// Whose
    #[arg(long, env = "SCRIPTORIUM_TENANT", value_name = "NAME")]
    pub tenant: TenantName,

    /// The secret's id, as the list tells it
    #[arg(value_name = "ID")]
    pub secret: String,

    #[command(flatten)]
    pub directory: DirectoryArgs,
}
