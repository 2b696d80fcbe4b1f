//! Presigned addresses for chunks, in pages.

use crate::config::UploadBase;
use crate::problem::{Code, Problem};
use crate::request::origin;
use crate::state::App;
use http::HeaderMap;
use schemars::JsonSchema;
use scriptorium_contracts::job::{JobHeader, JobState};
use scriptorium_contracts::{JobId, objects};
use serde::Serialize;

/// Chunks of one page (R3).
pub const PAGE: u32 = 1_000;
/// Signing is arithmetic without a pause; after so many addresses others get their turn.
const BATCH: usize = 32;

/// Where and how to put one chunk.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UploadUrl {
    pub chunk_index: u32,
    pub upload_url: String,
    /// Bytes, exact.
    pub expected_size: u64,
    /// First and last byte in the recording, both inclusive.
    pub byte_range: [u64; 2],
}

/// The address that uploads start with; `None`: the object store's own.
pub fn base(app: &App, headers: &HeaderMap) -> Result<Option<String>, Problem> {
    match app.config.upload_base {
        UploadBase::FromRequestHost => origin::of(headers).map(Some),
        UploadBase::PublicEndpoint => Ok(None),
    }
}

/// Signs addresses for chunks of the job.
pub async fn sign(
    app: &App,
    header: &JobHeader,
    base: Option<&str>,
    chunks: impl Iterator<Item = u32>,
) -> Result<Vec<UploadUrl>, Problem> {
    let mut urls = Vec::with_capacity(chunks.size_hint().0);
    for chunk in chunks {
        let (expected_size, byte_range) = place(header, chunk)?;
        let key = objects::chunk_key(header.id, chunk);
        let expiry = app.config.url_expiry;
        let upload_url = app.jobs.objects.presign_put(&key, expected_size, expiry, base).await?;
        urls.push(UploadUrl { chunk_index: chunk, upload_url, expected_size, byte_range });
        if urls.len() % BATCH == 0 {
            tokio::task::yield_now().await;
        }
    }
    Ok(urls)
}

/// Size and range of a chunk, or the problem `chunk_out_of_range`.
pub fn place(header: &JobHeader, chunk: u32) -> Result<(u64, [u64; 2]), Problem> {
    let range = header.layout().and_then(|layout| layout.range(chunk)).ok_or_else(|| {
        let total = header.total_chunks();
        let detail = format!("The job has {total} chunks, counted from 0; there is no chunk {chunk}.");
        Problem::field(Code::ChunkOutOfRange, "chunk_index", detail).with("total_chunks", total)
    })?;
    Ok((range.size(), [range.first, range.last]))
}

/// Containers whose index mostly stands at their end.
const INDEX_LAST: [&str; 8] = ["mp4", "m4a", "m4b", "m4v", "mov", "qt", "3gp", "3g2"];

/// The chunk at a position of the advised upload order (R3): where the name tells of a container with its index at the
/// end, the last chunk comes second, because nothing can be decoded before it.
fn advised(header: &JobHeader, position: u32) -> u32 {
    let extension = header.filename.rsplit_once('.').map_or("", |(_, extension)| extension);
    let last = header.total_chunks().saturating_sub(1);
    if last < 2 || !INDEX_LAST.iter().any(|known| known.eq_ignore_ascii_case(extension)) {
        return position;
    }
    match position {
        0 => 0,
        1 => last,
        later => later - 1,
    }
}

/// The chunks of a page in the advised order; pages count from 1.
pub fn page_of(header: &JobHeader, page: u32) -> impl ExactSizeIterator<Item = u32> {
    positions(header, page).map(|position| advised(header, position))
}

fn positions(header: &JobHeader, page: u32) -> std::ops::Range<u32> {
    let total = header.total_chunks();
    let first = page.saturating_sub(1).saturating_mul(PAGE).min(total);
    first..first.saturating_add(PAGE).min(total)
}

/// The first page from `page` on that has a chunk to be uploaded.
pub fn pending_page(header: &JobHeader, page: u32) -> Option<u32> {
    let first = positions(header, page).start;
    let is_pending = |position: &u32| !header.uploaded.contains(advised(header, *position));
    let pending = (first..header.total_chunks()).find(is_pending)?;
    Some(pending / PAGE + 1)
}

/// The link to a page of addresses.
pub fn link(job: JobId, page: u32) -> String {
    format!("/chunked-upload-urls?parent_job_id={job}&page={page}")
}

/// `created`, `uploading`, …
pub fn state_name(state: JobState) -> &'static str {
    match state {
        JobState::Created => "created",
        JobState::Uploading => "uploading",
        JobState::Processing => "processing",
        JobState::Assembling => "assembling",
        JobState::Completed => "completed",
        JobState::CompletedWithErrors => "completed_with_errors",
        JobState::Failed => "failed",
        JobState::Cancelled => "cancelled",
        JobState::Expired => "expired",
    }
}

/// The problem `job_over`.
pub fn job_over(header: &JobHeader) -> Problem {
    let state = state_name(header.state);
    Problem::new(Code::JobOver, format!("The job is over ({state}).")).with("job_status", state)
}

/// Refuses jobs that take no chunks any more.
pub fn takes_chunks(header: &JobHeader) -> Result<(), Problem> {
    match header.state {
        JobState::Failed | JobState::Cancelled | JobState::Expired => Err(job_over(header)),
        JobState::Created
        | JobState::Uploading
        | JobState::Processing
        | JobState::Assembling
        | JobState::Completed
        | JobState::CompletedWithErrors => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::header;

    #[test]
    fn pages_lie_side_by_side() {
        let header = header(2_500);
        let page = |number| page_of(&header, number).collect::<Vec<u32>>();
        assert_eq!((page(1), page(2)), ((0..1_000).collect(), (1_000..2_000).collect()));
        assert_eq!((page(3), page(4)), ((2_000..2_500).collect(), Vec::new()));
        assert_eq!((page(0), page(u32::MAX)), ((0..1_000).collect(), Vec::new()));
    }

    #[test]
    fn an_index_at_the_end_comes_second() {
        let mut header = header(2_500);
        header.filename = "talk.final.M4A".into();
        assert_eq!(page_of(&header, 1).take(4).collect::<Vec<_>>(), [0, 2_499, 1, 2]);
        let mut all: Vec<u32> = (1..=3).flat_map(|page| page_of(&header, page).collect::<Vec<_>>()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..2_500).collect::<Vec<_>>());
        header.uploaded = (0..999).chain([2_499]).collect();
        assert_eq!(pending_page(&header, 1), Some(2));
    }

    #[test]
    fn pages_with_nothing_to_upload_are_passed_over() {
        let mut header = header(2_500);
        assert_eq!(pending_page(&header, 1), Some(1));
        header.uploaded = (0..2_100).collect();
        assert_eq!(pending_page(&header, 1), Some(3));
        assert_eq!(pending_page(&header, 4), None);
        header.uploaded = (0..2_500).collect();
        assert_eq!(pending_page(&header, 1), None);
    }

    #[test]
    fn names_of_states_are_those_of_the_records() {
        for state in [
            JobState::Created,
            JobState::Uploading,
            JobState::Processing,
            JobState::Assembling,
            JobState::Completed,
            JobState::CompletedWithErrors,
            JobState::Failed,
            JobState::Cancelled,
            JobState::Expired,
        ] {
            assert_eq!(serde_json::to_value(state).unwrap(), state_name(state));
        }
    }
}
