//! Webhooks: a job's end is told to the address that its maker named, by the rules of Standard Webhooks.
//!
//! What is to be told, and when it is tried again, is decided with the job's state (`contracts::job::webhook`) and remembered as
//! an effect. The sweep finds what is due and puts it into a list of [`DueWebhook`]s; [`run`] takes it from there, a bounded number at
//! once and of each receiver a few, so that one that is slow keeps neither the others nor the sweep waiting.

mod deliver;
mod secret;
mod send;

use crate::due::DueList;
use crate::outbound::Reach;
pub use deliver::run;
pub use secret::{SecretError, Secrets, new_secret};
pub use send::Sender;

/// A remembered [`scriptorium_contracts::job::Effect::DeliverWebhook`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DueWebhook {
    pub webhook: u32,
    pub token: u32,
}

pub(crate) type DueWebhooks = DueList<DueWebhook>;

/// How webhooks are told.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// Of the deployment: they sign for tenants that have none of their own, and where nobody has a key.
    pub secrets: Secrets,
    pub reach: Reach,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self { secrets: Secrets::default(), reach: Reach::Public }
    }
}
