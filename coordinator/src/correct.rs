//! Has the text of an assembled transcript corrected by a language model (R25, `post_process`).

use crate::assemble::Corrections;
use scriptorium_contracts::JobId;
use scriptorium_contracts::correction::LlmOutcome;
use scriptorium_contracts::job::{Input, JobHeader, JobState, LlmMode};
use scriptorium_contracts::transcript::Transcript;
use scriptorium_shared::jobs::{Jobs, JobsError};
use scriptorium_shared::llm::{Llm, Said};
use scriptorium_shared::waits::Waits;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Signs of life in the time after which a silent one loses the assembly.
const SIGNS_A_LEASE: u64 = 3;

/// Where transcripts are corrected, a bounded number of them at once: a language model may take minutes, and reports of workers
/// must not wait for it.
#[derive(Clone)]
pub(crate) struct Desk {
    llm: Option<Arc<Llm>>,
    room: Arc<Semaphore>,
    shutdown: CancellationToken,
}

/// Free again when it is dropped.
pub(crate) struct Place(#[expect(dead_code, reason = "it is held")] Option<OwnedSemaphorePermit>);

impl Desk {
    pub fn new(llm: Option<Arc<Llm>>, room: usize, shutdown: CancellationToken) -> Self {
        Self { llm, room: Arc::new(Semaphore::new(room)), shutdown }
    }

    /// What an assembly of this job needs before it begins, for as long as it lasts; `None`: there is no room for its correction now,
    /// and it would only read and write in vain.
    pub fn place(&self, header: &JobHeader) -> Option<Place> {
        match (&self.llm, header.options.correction()) {
            (Some(_), Some(LlmMode::PostProcess)) => {
                Arc::clone(&self.room).try_acquire_owned().ok().map(|permit| Place(Some(permit)))
            }
            (Some(_), Some(LlmMode::PerChunk) | None) | (None, _) => Some(Place(None)),
        }
    }

    /// For whoever has a [`Place`]. `waits` counts the time in which questions waited for leave. `None`: not now, because the process
    /// ends, or the assembly is somebody else's by now.
    pub async fn corrections(
        &self,
        jobs: &Jobs,
        header: &JobHeader,
        transcript: &Transcript,
        waits: &Waits,
    ) -> Result<Option<Corrections>, JobsError> {
        let Some(llm) = &self.llm else {
            warn!(job = %header.id, "the job asks for corrections, and this coordinator has no language model");
            return Ok(Some(nothing(transcript)));
        };
        let segments = &transcript.segments;
        let said: Vec<Said> = segments
            .iter()
            .map(|segment| Said { text: segment.text.clone(), language: segment.language.clone() })
            .collect();
        let corrected = tokio::select! {
            corrected = llm.correct(&said, waits) => corrected,
            lost = give_signs_of_life(jobs, header) => return lost.map(|()| None),
            () = self.shutdown.cancelled() => return Ok(None),
        };
        let ids = segments.iter().map(|segment| segment.id);
        let texts = ids.zip(corrected.texts).filter_map(|(id, text)| Some((id, text?))).collect();
        Ok(Some(Corrections { texts, outcome: corrected.outcome }))
    }
}

/// Nobody was asked.
pub(crate) fn nothing(transcript: &Transcript) -> Corrections {
    let unanswered = u32::try_from(transcript.segments.len()).unwrap_or(u32::MAX);
    Corrections { outcome: LlmOutcome { unanswered, ..LlmOutcome::default() }, ..Corrections::default() }
}

/// Says again and again that the assembly is in work. Ends when it is not ours any more.
async fn give_signs_of_life(jobs: &Jobs, header: &JobHeader) -> Result<(), JobsError> {
    let (job, epoch): (JobId, u32) = (header.id, header.assembly_epoch);
    let every = Duration::from_millis((header.limits.lease_ms / SIGNS_A_LEASE).clamp(100, 60_000));
    loop {
        match jobs.advance(job, Input::Correcting { epoch }).await {
            Ok(now) if now.state != JobState::Assembling || now.assembly_epoch != epoch => return Ok(()),
            Ok(_) => {}
            Err(problem @ JobsError::NoSuchJob(_)) => return Err(problem),
            Err(problem) => debug!(%problem, "a sign of life could not be given; the next one may be"),
        }
        tokio::time::sleep(every).await;
    }
}
