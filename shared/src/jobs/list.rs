//! Pages of jobs, in the order of their creation.

use super::{Jobs, JobsError};
use crate::store::{JobKey, JobRange, ListedJob};
use futures::future::BoxFuture;
use scriptorium_contracts::job::{JobHeader, JobState};
use scriptorium_contracts::tenant::TenantName;

/// Jobs of one page at most.
pub const MAX_LISTED_JOBS: u32 = 200;
/// Jobs that are looked at for one page. Where few of them are wanted, the page is shorter, and the next one goes on.
const MAX_LOOKED_AT: usize = 1_000;
/// Headers that are in memory at once: with all its gaps one may have 100 kB.
const READ_AT_ONCE: u32 = 100;

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobQuery {
    /// Whose jobs; `None`: those that were made without a key.
    pub tenant: Option<TenantName>,
    pub range: JobRange,
    /// Of any of these; none for all.
    pub states: Vec<JobState>,
    /// Part of the file's name, in letters of any case.
    pub filename: Option<String>,
}

/// Some of the jobs that are wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct JobPage {
    pub jobs: Vec<JobHeader>,
    /// Where the next page begins; `None` at the end. It may be there although nothing more is wanted, and the page may be
    /// empty although it is not the last one.
    pub next: Option<JobKey>,
}

impl Jobs {
    /// At most `limit` jobs (and [`MAX_LISTED_JOBS`]). Each that is there all the time comes exactly once over all pages,
    /// whatever comes and goes meanwhile.
    pub fn list(&self, query: JobQuery, limit: u32) -> BoxFuture<'_, Result<JobPage, JobsError>> {
        Box::pin(async move {
            let limit = limit.clamp(1, MAX_LISTED_JOBS) as usize;
            let wanted = Wanted::new(&query);
            let (mut range, mut looked_at) = (query.range, 0);
            let mut found: Vec<(JobKey, JobHeader)> = Vec::new();
            while looked_at < MAX_LOOKED_AT {
                let page = self.store.jobs(query.tenant.as_ref(), range, READ_AT_ONCE).await?;
                let Some(last) = page.last() else { return Ok(end(found)) };
                range.after = Some(last.key);
                looked_at += page.len();
                for ListedJob { key, header } in page {
                    match header {
                        // One more than asked for tells that there are more.
                        Ok(header) if wanted.is(&header) && found.len() == limit => return Ok(more(found)),
                        Ok(header) if wanted.is(&header) => found.push((key, header)),
                        Ok(_) => {}
                        Err(error) => tracing::error!(job = %key.job, %error, "a job can't be listed"),
                    }
                }
            }
            let jobs = found.into_iter().map(|(_, header)| header).collect();
            Ok(JobPage { jobs, next: range.after })
        })
    }
}

fn end(found: Vec<(JobKey, JobHeader)>) -> JobPage {
    JobPage { jobs: found.into_iter().map(|(_, header)| header).collect(), next: None }
}

fn more(found: Vec<(JobKey, JobHeader)>) -> JobPage {
    let next = found.last().map(|(key, _)| *key);
    JobPage { next, ..end(found) }
}

struct Wanted<'a> {
    tenant: Option<&'a TenantName>,
    states: &'a [JobState],
    /// In small letters.
    filename: Option<String>,
}

impl<'a> Wanted<'a> {
    fn new(query: &'a JobQuery) -> Self {
        let filename = query.filename.as_deref().map(str::to_lowercase);
        Self { tenant: query.tenant.as_ref(), states: &query.states, filename }
    }

    fn is(&self, header: &JobHeader) -> bool {
        header.deleted_at.is_none()
            && header.tenant.as_ref() == self.tenant
            && (self.states.is_empty() || self.states.contains(&header.state))
            && self.filename.as_ref().is_none_or(|part| header.filename.to_lowercase().contains(part))
    }
}
