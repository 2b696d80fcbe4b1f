//! `scriptorium admin`: what whoever runs the service sets up and looks after.

use super::webhook_secrets::WebhookSecretsCommand;
use crate::config::{BrokerArgs, BucketArgs, DirectoryArgs, OwnLimitArgs, TlsArgs};
use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand};
use scriptorium_contracts::tenant::TenantName;

#[derive(Subcommand, Clone, Debug)]
pub enum AdminCommand {
    /// Makes the bucket and sets who may upload from a browser and what is deleted by age
    Bucket(AdminBucketArgs),
    /// Makes, lists and revokes API keys
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Makes, lists and revokes the secrets that sign a tenant's webhooks
    #[command(subcommand)]
    WebhookSecrets(WebhookSecretsCommand),
    /// Shows and sets what one tenant may do, in place of the server's limits
    Limits(LimitsArgs),
    /// Lists messages that the roles have put aside, and sends them again
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
}

#[derive(Subcommand, Clone, Debug)]
pub enum DeadLettersCommand {
    /// Lists the dead letters of the roles, in RabbitMQ; a further call goes on with those that come next
    List(DeadLettersListArgs),
    /// Sends dead letters to the roles again; one that cannot be handled this time either comes back
    SendAgain(SendAgainArgs),
}

#[derive(Args, Clone, Debug)]
pub struct DeadLettersListArgs {
    /// Most letters
    #[arg(long, env = "SCRIPTORIUM_LIMIT", value_name = "N", default_value = "100",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,

    /// JSON for programs, one letter a line, in place of a table for people
    #[arg(long, env = "SCRIPTORIUM_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,

    #[command(flatten, next_help_heading = "Services")]
    pub broker: BrokerArgs,
    #[command(flatten)]
    pub tls: TlsArgs,
}

#[derive(Args, Clone, Debug)]
pub struct SendAgainArgs {
    #[command(flatten)]
    pub which: WhichArgs,

    #[command(flatten, next_help_heading = "Services")]
    pub broker: BrokerArgs,
    #[command(flatten)]
    pub tls: TlsArgs,
}

/// One of them, and not both. On its own, because clap makes no such group of a struct that holds others.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct WhichArgs {
    /// All that there are
    #[arg(long, env = "SCRIPTORIUM_ALL", value_parser = BoolishValueParser::new())]
    pub all: bool,

    /// Those with these ids, with commas between them
    #[arg(long, env = "SCRIPTORIUM_ID", value_name = "ID,…", value_delimiter = ',', value_parser = letter_id)]
    pub id: Vec<String>,
}

fn letter_id(text: &str) -> Result<String, String> {
    let fits = text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    if fits { Ok(text.to_ascii_lowercase()) } else { Err("must be 16 hexadecimal digits".to_owned()) }
}

#[derive(Subcommand, Clone, Debug)]
pub enum KeysCommand {
    /// Makes a key and shows it, this once: standard output has the key and nothing else
    Create(KeysCreateArgs),
    /// Lists the keys, without their secrets
    List(KeysListArgs),
    /// Revokes a key; gateways refuse it within five seconds
    Revoke(KeysRevokeArgs),
}

#[derive(Args, Clone, Debug)]
pub struct KeysCreateArgs {
    /// Who may call with it: a name of small letters, digits, `.`, `_` and `-`. Keys of one tenant see the same jobs
    #[arg(long, env = "SCRIPTORIUM_TENANT", value_name = "NAME")]
    pub tenant: TenantName,

    /// What it is for, as the list shall tell it
    #[arg(long, env = "SCRIPTORIUM_LABEL", value_name = "TEXT", value_parser = label)]
    pub label: Option<String>,

    /// Days after which it is refused [default: never]
    #[arg(long, env = "SCRIPTORIUM_EXPIRES_DAYS", value_name = "DAYS",
          value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub expires_days: Option<u32>,

    #[command(flatten)]
    pub directory: DirectoryArgs,
}

/// It is kept, and shown in lists.
fn label(text: &str) -> Result<String, String> {
    let fits = text.chars().count() <= 200 && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err("must have at most 200 characters, on one line".to_owned()) }
}

#[derive(Args, Clone, Debug)]
pub struct KeysListArgs {
    /// Only those of this tenant
    #[arg(long, env = "SCRIPTORIUM_TENANT", value_name = "NAME")]
    pub tenant: Option<TenantName>,

    /// JSON for programs, one key a line, in place of a table for people
    #[arg(long, env = "SCRIPTORIUM_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,

    #[command(flatten)]
    pub directory: DirectoryArgs,
}

#[derive(Args, Clone, Debug)]
pub struct KeysRevokeArgs {
    /// The key's id: the 16 digits behind `sk_`
    #[arg(value_name = "ID")]
    pub key: String,

    #[command(flatten)]
    pub directory: DirectoryArgs,
}

#[derive(Args, Clone, Debug)]
pub struct LimitsArgs {
    /// Whose limits
    #[arg(long, env = "SCRIPTORIUM_TENANT", value_name = "NAME")]
    pub tenant: TenantName,

    #[command(flatten)]
    pub limits: OwnLimitArgs,

    #[command(flatten)]
    pub directory: DirectoryArgs,
}

#[derive(Args, Clone, Debug)]
pub struct AdminBucketArgs {
    #[command(flatten, next_help_heading = "Services")]
    pub bucket: BucketArgs,
    #[command(flatten)]
    pub tls: TlsArgs,

    /// Origins whose pages may upload, with commas between them
    #[arg(
        long,
        env = "SCRIPTORIUM_CORS_ORIGINS",
        value_name = "ORIGIN,…",
        value_delimiter = ',',
        default_value = "*"
    )]
    pub cors_origins: Vec<String>,

    /// Days after which the store deletes objects by itself, transcripts too; 0 for never
    #[arg(long, env = "SCRIPTORIUM_EXPIRE_DAYS", value_name = "DAYS", default_value = "30")]
    pub expire_days: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        which: WhichArgs,
    }

    fn which(arguments: &[&str]) -> Option<(bool, usize)> {
        let all = ["which"].iter().chain(arguments);
        let which = Alone::try_parse_from(all).ok()?.which;
        Some((which.all, which.id.len()))
    }

    #[test]
    fn which_letters_are_meant_is_said_in_one_way() {
        let (one, two) = ("0123456789abcdef", "0123456789abcdef,00000000000000FF");
        assert_eq!(which(&["--all"]), Some((true, 0)));
        assert_eq!(which(&["--id", one]), Some((false, 1)));
        assert_eq!(which(&["--id", two]), Some((false, 2)));
        for wrong in [vec![], vec!["--all", "--id", one], vec!["--id", "7"], vec!["--id", ""]] {
            assert_eq!(which(&wrong), None, "{wrong:?}");
        }
    }
}
