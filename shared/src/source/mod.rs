//! Recordings that the service fetches itself, from an address or out of a bucket for imports.
//!
//! Where a recording is stands in its job's header, and that it is to be fetched is an effect (`contracts::job::source`). The
//! sweep finds what is due and puts it into a list of [`DueSource`]s; [`run`] takes it from there, a bounded number at once, and
//! fetches what is missing chunk by chunk. Each chunk becomes the object that a client would have uploaded, and is told by the same
//! input. So a process may die at any point: what is stored stays, and the next one goes on at the first byte that is missing.
//!
//! Before there is a job, a gateway has a [`Fetcher`] look at the recording: its size is needed to divide it into chunks.

mod answer;
mod bucket;
mod error;
mod fetch;
mod run;
#[cfg(test)]
mod tests;
mod web;

use crate::clock;
use crate::due::DueList;
use crate::objects::Imports;
use crate::outbound::Reach;
pub use answer::Found;
pub use error::SourceError;
use futures::future::BoxFuture;
pub use run::run;
use scriptorium_contracts::source::Origin;
use web::Web;

/// A remembered [`scriptorium_contracts::job::Effect::FetchSource`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DueSource {
    pub token: u32,
}

pub(crate) type DueSources = DueList<DueSource>;

/// How recordings are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    pub reach: Reach,
    /// Fetches of a process at once; 0: nothing is fetched.
    pub at_once: u32,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self { reach: Reach::Public, at_once: 4 }
    }
}

/// Reads recordings where they are. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fetcher {
    web: Web,
    /// The bucket for imports, if there is one.
    imports: Option<Imports>,
    at_once: u32,
}

impl Fetcher {
    /// `None` if nothing is to be fetched.
    ///
    /// # Errors
    /// The system has no certificates to check others by.
    pub fn new(config: SourceConfig, imports: Option<Imports>) -> Result<Option<Self>, reqwest::Error> {
        if config.at_once == 0 {
            return Ok(None);
        }
        Ok(Some(Self { web: Web::new(config.reach)?, imports, at_once: config.at_once }))
    }

    /// Where recordings may be.
    pub fn reach(&self) -> Reach {
        self.web.reach()
    }

    /// Where recordings may be by key.
    pub fn imports(&self) -> Option<&Imports> {
        self.imports.as_ref()
    }

    /// What a recording is, before any of it is fetched. Takes half a minute at most.
    pub fn look<'a>(&'a self, origin: &'a Origin) -> BoxFuture<'a, Result<Found, SourceError>> {
        Box::pin(async move {
            match origin {
                Origin::Url(url) => self.web.look(url, clock::now()).await,
                Origin::Key(key) => bucket::look(self.imports.as_ref(), key).await,
            }
        })
    }
}
