//! Webhooks.

use super::ConfigError;
use clap::{Args, builder::BoolishValueParser};
use scriptorium_shared::outbound::Reach;
use scriptorium_shared::webhook::{Secrets, WebhookConfig};
use std::fmt;

#[derive(Args, Clone)]
pub struct WebhookArgs {
    /// Signs what is sent to webhooks: `whsec_` and the base64 of 24 to 64 bytes. Several, with spaces or commas between them,
    /// sign all: add the new one before the old one goes. It signs for tenants that have no secret of their own (`scriptorium admin
    /// webhook-secrets`); where there is neither, jobs with a webhook are refused. Gateways and coordinators need it. It is a
    /// secret: better given as a variable
    #[arg(long, env = "SCRIPTORIUM_WEBHOOK_SECRET", value_name = "SECRET,…", hide_env_values = true)]
    pub webhook_secret: Option<String>,

    /// Webhooks may lead to private addresses, and by http: for closed networks. Whoever may make jobs can then have this
    /// machine send requests to its neighbours
    #[arg(long, env = "SCRIPTORIUM_WEBHOOK_ALLOW_PRIVATE", value_parser = BoolishValueParser::new())]
    pub webhook_allow_private: bool,
}

impl WebhookArgs {
    /// # Errors
    /// A secret is none.
    pub fn settings(&self) -> Result<WebhookConfig, ConfigError> {
        let secrets = Secrets::parse(self.webhook_secret.as_deref().unwrap_or_default())?;
        let reach = if self.webhook_allow_private { Reach::Anywhere } else { Reach::Public };
        Ok(WebhookConfig { secrets, reach })
    }
}

/// Without the secret.
impl fmt::Debug for WebhookArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secret, allow_private) = (self.webhook_secret.is_some(), self.webhook_allow_private);
        write!(f, "WebhookArgs {{ secret: {secret}, allow_private: {allow_private} }}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_secret_is_told_without_it() {
        let with = |secret: Option<&str>, webhook_allow_private| WebhookArgs {
            webhook_secret: secret.map(str::to_owned),
            webhook_allow_private,
        };
        assert!(with(None, true).settings().is_ok_and(|config| config.secrets.is_empty()));
        let secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
        for (allow, reach) in [(true, Reach::Anywhere), (false, Reach::Public)] {
            let config = with(Some(secret), allow).settings().ok();
            assert!(config.is_some_and(|config| !config.secrets.is_empty() && config.reach == reach));
        }
        let wrong = with(Some("hidden"), false);
        let problem = wrong.settings().map(|_| ()).unwrap_err().to_string();
        assert!(problem.contains("--webhook-secret") && !problem.contains("hidden"), "{problem}");
        assert!(!format!("{wrong:?}").contains("hidden"));
    }
}
