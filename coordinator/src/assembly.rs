//! Reads a job's results, assembles them, and stores the transcript.

use crate::assemble::Assembler;
use crate::redo::{self, Redone};
use bytes::Bytes;
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::{Input, JobHeader, JobState};
use scriptorium_contracts::{JobId, objects};
use scriptorium_shared::jobs::{Jobs, JobsError};
use tracing::{error, info};

/// An assembly that is asked for so often, although nobody has told what the recording is, fails.
const MOST_WITHOUT_MEDIA: u32 = 3;

/// Assembles the job, unless it has gone on since (`epoch` is old). Harmless twice: the same results give the same
/// bytes under the same key.
pub(crate) async fn assemble(jobs: &Jobs, job: JobId, epoch: u32) -> Result<(), JobsError> {
    let Some(header) = jobs.header(job).await? else {
        return Ok(());
    };
    if header.state != JobState::Assembling || header.assembly_epoch != epoch {
        return Ok(());
    }
    if header.media.is_none() && epoch < MOST_WITHOUT_MEDIA {
        // The report that tells is still on its way; with it the job asks for its assembly anew. If it should never come, the
        // job's deadlines ask.
        return Ok(());
    }
    if let Some(input) = redo::needed(jobs, &header).await? {
        jobs.advance(job, input).await?;
        return Ok(());
    }
    let input = match transcript(jobs, &header, epoch).await? {
        Ok(input) => input,
        Err(failure) => Input::AssemblyFailed { epoch, failure },
    };
    jobs.advance(job, input).await?;
    Ok(())
}

/// The outer error may be tried again; the inner one ends the job.
async fn transcript(
    jobs: &Jobs,
    header: &JobHeader,
    epoch: u32,
) -> Result<Result<Input, Failure>, JobsError> {
    let damaged =
        || Failure::new(FailureCode::AssemblyFailed, "The parts of the transcript do not fit together.");
    let (Some(layout), Some(media)) = (header.layout(), header.media.clone()) else {
        error!(job = %header.id, "a job in assembly has no media information or no layout");
        return Ok(Err(damaged()));
    };
    let mut assembler = match Assembler::new(media) {
        Ok(assembler) => assembler,
        Err(problem) => {
            error!(job = %header.id, %problem, "assembly failed");
            return Ok(Err(damaged()));
        }
    };
    let redone = Redone::read(jobs, header).await?;
    for chunk in 0..layout.chunks() {
        let Some(range) = layout.range(chunk) else { break };
        let mut result =
            if header.completed.contains(chunk) { jobs.store.result(header.id, chunk).await? } else { None };
        if let Some(result) = &mut result {
            redone.apply(jobs, chunk, result).await?;
        }
        if let Err(problem) = assembler.push(chunk, range, result.as_ref()) {
            error!(job = %header.id, chunk, %problem, "assembly failed");
            return Ok(Err(damaged()));
        }
    }
    let (transcript, summary, mended) = assembler.finish();
    if mended > 0 {
        error!(job = %header.id, seams = mended, "passages of two workers did not meet; the overlap was cut");
    }
    let body = match serde_json::to_vec_pretty(&transcript) {
        Ok(body) => body,
        Err(problem) => {
            error!(job = %header.id, %problem, "the transcript can't be written as JSON");
            return Ok(Err(damaged()));
        }
    };
    jobs.objects.write(&objects::transcript_key(header.id), Bytes::from(body), "application/json").await?;
    info!(job = %header.id, segments = summary.segments, seconds = summary.duration, "transcript assembled");
    Ok(Ok(Input::Assembled { epoch, text: transcript.text, summary }))
}
