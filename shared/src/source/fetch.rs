//! Fetches the chunks of one job that are missing.

use super::answer::Found;
use super::web::FileBody;
use super::{Fetcher, SourceError, bucket};
use crate::clock;
use crate::jobs::{Jobs, JobsError};
use bytes::Bytes;
use futures::future::join_all;
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::{Input, JobHeader, Layout};
use scriptorium_contracts::objects;
use scriptorium_contracts::source::{FetchEnd, Origin, Source};
use std::time::{Duration, Instant};

/// Chunks of one recording that are fetched at once, where parts of it can be had.
const CHUNKS_AT_ONCE: usize = 2;
/// After so long a fetch makes way for others that wait.
const TURN: Duration = Duration::from_secs(60);

/// Why a fetch ended that has not failed.
pub(super) enum Ended {
    /// All of the recording is there, or nobody wants it any more.
    Done,
    /// Others wait.
    Yielded,
}

/// Why it failed.
pub(super) enum Failed {
    Source(SourceError),
    Jobs(JobsError),
}

impl From<SourceError> for Failed {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl Failed {
    /// What the job is told of it; `None`: the job itself can't be reached.
    pub fn end(&self) -> Option<FetchEnd> {
        match self {
            Self::Source(error) => Some(error.end()),
            Self::Jobs(JobsError::Objects(error)) if error.retryable() => {
                let detail = "The recording cannot be kept: the object store does not answer.";
                let failure = Failure::new(FailureCode::StorageUnavailable, detail);
                Some(FetchEnd::Later { failure, retry_after_ms: None })
            }
            Self::Jobs(_) => None,
        }
    }
}

/// One fetch, by one who has taken it.
pub(super) struct Fetch<'a> {
    pub jobs: &'a Jobs,
    pub fetcher: &'a Fetcher,
    pub header: JobHeader,
    pub source: Source,
}

impl Fetch<'_> {
    /// `others_wait` is asked between two chunks.
    pub async fn run(&mut self, others_wait: impl Fn() -> bool) -> Result<Ended, Failed> {
        let layout = self.header.layout().ok_or_else(|| Failed::Jobs(JobsError::Damaged(self.header.id)))?;
        let (version, ranges) = (self.source.version.clone(), self.source.ranges);
        let found = Found { size: layout.total_size(), version, ranges };
        match self.source.origin.clone() {
            Origin::Url(url) if !ranges => self.whole(&url, layout, &found).await,
            Origin::Url(_) | Origin::Key(_) => self.parts(layout, &found, others_wait).await,
        }
    }

    async fn parts(
        &mut self,
        layout: Layout,
        found: &Found,
        others_wait: impl Fn() -> bool,
    ) -> Result<Ended, Failed> {
        let began = Instant::now();
        loop {
            let chunks = missing(&self.header, CHUNKS_AT_ONCE);
            if chunks.is_empty() {
                return Ok(Ended::Done);
            }
            if began.elapsed() > TURN && others_wait() {
                return Ok(Ended::Yielded);
            }
            let this = &*self;
            let fetched = chunks.into_iter().map(|chunk| this.part(layout, chunk, found));
            let fetched = join_all(fetched).await;
            for outcome in fetched {
                let header = outcome?;
                // Of several the latest.
                if header.revision > self.header.revision {
                    self.header = header;
                }
            }
        }
    }

    async fn part(&self, layout: Layout, chunk: u32, found: &Found) -> Result<JobHeader, Failed> {
        let range = layout.range(chunk).ok_or_else(|| Failed::Jobs(JobsError::Damaged(self.header.id)))?;
        let bytes = match &self.source.origin {
            Origin::Url(url) => self.fetcher.web.part(url, range, found, clock::now()).await?,
            Origin::Key(key) => bucket::part(self.fetcher.imports(), key, range, found).await?,
        };
        self.keep(chunk, bytes).await
    }

    /// Without parts: from the first byte on, over what is there already.
    async fn whole(&mut self, url: &str, layout: Layout, found: &Found) -> Result<Ended, Failed> {
        if missing(&self.header, 1).is_empty() {
            return Ok(Ended::Done);
        }
        let mut body: FileBody = self.fetcher.web.whole(url, found, clock::now()).await?;
        for chunk in 0..layout.chunks() {
            let size = layout.range(chunk).map_or(0, |range| range.size());
            if self.header.uploaded.contains(chunk) {
                body.skip(size).await?;
                continue;
            }
            let bytes = body.take(size).await?;
            if chunk + 1 == layout.chunks() {
                // A file that goes on is another one than it was said to be.
                return match body.end().await {
                    Ok(()) => self.keep(chunk, bytes).await.map(|_| Ended::Done),
                    Err(SourceError::OtherPart) => Err(SourceError::Changed.into()),
                    Err(error) => Err(error.into()),
                };
            }
            self.header = self.keep(chunk, bytes).await?;
            if self.header.state.is_final() {
                return Ok(Ended::Done);
            }
        }
        Ok(Ended::Done)
    }

    /// As if a client had uploaded the chunk and told of it.
    async fn keep(&self, chunk: u32, bytes: Bytes) -> Result<JobHeader, Failed> {
        let job = self.header.id;
        let written =
            self.jobs.objects.write(&objects::chunk_key(job, chunk), bytes, "application/octet-stream").await;
        written.map_err(|error| Failed::Jobs(error.into()))?;
        let header = self.jobs.advance(job, Input::Uploaded { chunk }).await.map_err(Failed::Jobs)?;
        if header.state.is_final() {
            // The job has ended meanwhile, and its objects are gone or about to go: this one, too.
            self.jobs.delete_late_objects(&header).await.map_err(Failed::Jobs)?;
        }
        Ok(header)
    }
}

/// The next chunks: first those that others wait for, then in order. None of a job that has ended.
fn missing(header: &JobHeader, most: usize) -> Vec<u32> {
    if header.state.is_final() {
        return Vec::new();
    }
    let wanted = header.wanted.iter();
    let rest = (0..header.total_chunks()).filter(|chunk| !header.wanted.contains(*chunk));
    wanted.chain(rest).filter(|chunk| !header.uploaded.contains(*chunk)).take(most).collect()
}

#[cfg(test)]
mod unit {
    use super::*;
    use crate::testing::{new_id, new_job};
    use scriptorium_contracts::Timestamp;
    use scriptorium_contracts::job::{JobState, create};

    #[test]
    fn what_others_wait_for_comes_first() {
        let mut header = create(new_job(new_id(), 6), Timestamp(0)).header;
        assert_eq!(missing(&header, 2), [0, 1]);
        header.uploaded = [0, 2].into_iter().collect();
        header.wanted = [5].into_iter().collect();
        assert_eq!(missing(&header, 2), [5, 1]);
        assert_eq!(missing(&header, 9), [5, 1, 3, 4]);
        header.uploaded = (0..6).collect();
        assert!(missing(&header, 2).is_empty());
        header.uploaded = Default::default();
        header.state = JobState::Cancelled;
        assert!(missing(&header, 2).is_empty());
    }
}
