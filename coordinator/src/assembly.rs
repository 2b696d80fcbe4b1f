//! Reads a job's results, assembles them, and stores the transcript.

use crate::assemble::{Assembled, Assembler, Corrections};
use crate::correct::{self, Desk};
use crate::redo::{self, Redone};
use bytes::Bytes;
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::{Input, JobHeader, JobState, LlmMode};
use scriptorium_contracts::transcript::Transcript;
use scriptorium_contracts::{JobId, objects};
use scriptorium_shared::jobs::{Jobs, JobsError};
use scriptorium_shared::waits::Waits;
use std::time::{Duration, Instant};
use tracing::{error, info};

/// An assembly that is asked for so often, although nobody has told what the recording is, fails.
const MOST_WITHOUT_MEDIA: u32 = 3;

/// What has become of a message that asks for an assembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handled {
    Done,
    /// There is no room for it now: it is to come again.
    PutOff,
}

/// Assembles the job, unless it has gone on since (`epoch` is old). Harmless twice: the same results give the same
/// bytes under the same key, and corrected texts have a key of their own for each `epoch`.
pub(crate) async fn assemble(jobs: &Jobs, desk: &Desk, job: JobId, epoch: u32) -> Result<Handled, JobsError> {
    let Some(header) = jobs.header(job).await? else {
        return Ok(Handled::Done);
    };
    if header.state != JobState::Assembling || header.assembly_epoch != epoch {
        return Ok(Handled::Done);
    }
    if header.media.is_none() && epoch < MOST_WITHOUT_MEDIA {
        // The report that tells is still on its way; with it the job asks for its assembly anew. If it should never come, the
        // job's deadlines ask.
        return Ok(Handled::Done);
    }
    if let Some(input) = redo::needed(jobs, &header).await? {
        jobs.advance(job, input).await?;
        return Ok(Handled::Done);
    }
    let Some(_place) = desk.place(&header) else { return Ok(Handled::PutOff) };
    let input = match transcript(jobs, &header).await? {
        Ok(assembled) => match written(jobs, desk, &header, assembled).await? {
            Some(input) => input,
            None => return Ok(Handled::PutOff),
        },
        Err(failure) => Input::AssemblyFailed { epoch, failure },
    };
    jobs.advance(job, input).await?;
    Ok(Handled::Done)
}

/// The outer error may be tried again; the inner one ends the job.
async fn transcript(jobs: &Jobs, header: &JobHeader) -> Result<Result<Assembled, Failure>, JobsError> {
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
    let assembled = assembler.finish();
    if assembled.seams_mended > 0 {
        let seams = assembled.seams_mended;
        error!(job = %header.id, seams, "passages of two workers did not meet; the overlap was cut");
    }
    Ok(Ok(assembled))
}

/// Stores the transcript, as it was heard and, where that was asked for, corrected. `None`: not now.
async fn written(
    jobs: &Jobs,
    desk: &Desk,
    header: &JobHeader,
    assembled: Assembled,
) -> Result<Option<Input>, JobsError> {
    let Assembled { mut transcript, corrections, mut summary, .. } = assembled;
    let epoch = header.assembly_epoch;
    // First what was heard: whatever becomes of its correction, it is there.
    write(jobs, &objects::transcript_key(header.id), &transcript).await?;
    if let Some(mode) = header.options.correction() {
        let (begun, waits) = (Instant::now(), Waits::default());
        let corrections = match mode {
            LlmMode::PerChunk => Some(of_chunks(corrections, &transcript)),
            LlmMode::PostProcess => desk.corrections(jobs, header, &transcript, &waits).await?,
        };
        let Some(Corrections { texts, outcome }) = corrections else { return Ok(None) };
        transcript = transcript.corrected(mode, &texts, outcome);
        write(jobs, &objects::corrected_key(header.id, epoch), &transcript).await?;
        let waited_ms = match mode {
            LlmMode::PerChunk => 0,
            LlmMode::PostProcess => milliseconds(begun.elapsed()),
        };
        let limited_ms = milliseconds(waits.total());
        summary.correction = transcript.correction.as_ref().map(|made| made.summary(waited_ms, limited_ms));
    }
    info!(job = %header.id, segments = summary.segments, seconds = summary.duration, "transcript assembled");
    Ok(Some(Input::Assembled { epoch, text: transcript.text, summary }))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Workers without a language model have told nothing.
fn of_chunks(corrections: Corrections, transcript: &Transcript) -> Corrections {
    if corrections.outcome.model.is_empty() { correct::nothing(transcript) } else { corrections }
}

async fn write(jobs: &Jobs, key: &str, transcript: &Transcript) -> Result<(), JobsError> {
    let body = serde_json::to_vec_pretty(transcript)?;
    Ok(jobs.objects.write(key, Bytes::from(body), "application/json").await?)
}
