//! A recording that the service fetches itself: where it is, and how far the fetching has come.

use crate::Timestamp;
use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where the recording is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "at", rename_all = "snake_case")]
pub enum Origin {
    /// An address. Those that are signed are secrets: it stands in the job's record and nowhere else.
    Url(String),
    /// A whole key of the bucket for imports.
    Key(String),
}

impl Origin {
    /// Whom it is fetched from, in words that may be logged: host and port, or the bucket.
    pub fn server(&self) -> &str {
        match self {
            Self::Url(url) => crate::webhook::receiver(url),
            Self::Key(_) => "bucket",
        }
    }
}

/// Without path and query.
impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({})", self.server())
    }
}

/// Who fetches now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceHolder {
    /// A number of its own choice.
    pub by: u64,
    /// Then the fetch is taken to be lost with its process, unless it gives a sign of life.
    pub until: Timestamp,
}

/// It stands in the job's header until the recording is whole, or the job has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub origin: Origin,
    /// The tag or the date of the file when the job was made: what has another one is another file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Parts of it can be had. If not, each try begins at the first byte.
    pub ranges: bool,
    /// Fencing token: what carries an older one is ignored.
    pub token: u32,
    /// Tries that were begun since the last chunk came; without ranges: all of them.
    pub attempts: u32,
    /// When the next one may begin.
    pub due: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<SourceHolder>,
    /// What the last try ended in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl Source {
    /// Not begun.
    pub fn new(origin: Origin, version: Option<String>, ranges: bool) -> Self {
        let due = Timestamp(0);
        Self { origin, version, ranges, token: 1, attempts: 0, due, holder: None, failure: None }
    }

    /// With whom a fetch shares its places: the server's host and port; or, of servers that give no ranges, one name for all of
    /// them. A fetch from one of those would begin anew, so it makes way for nobody and may take hours.
    pub fn lane(&self) -> &str {
        if self.ranges { self.origin.server() } else { "no ranges" }
    }
}

/// What came of a try that did not get all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchEnd {
    /// Others wait: it goes on when it is its turn again.
    Yielded,
    /// It may go on later; the server asks us to wait for so many milliseconds.
    Later { failure: Failure, retry_after_ms: Option<u64> },
    /// It can't be had.
    Over(Failure),
}
