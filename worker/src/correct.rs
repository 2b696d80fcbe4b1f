//! Corrections of a chunk's text by a language model, before anybody sees it (R25, `per_chunk`).

use crate::meter::Meter;
use crate::task::TaskContext;
use scriptorium_contracts::correction::LlmOutcome;
use scriptorium_contracts::job::LlmMode;
use scriptorium_contracts::message::ChunkTask;
use scriptorium_contracts::transcript::{PassageResult, PassageSegment};
use scriptorium_shared::llm::Said;
use tracing::warn;

/// Puts corrected texts beside those that were heard. `None` if the job does not ask for it.
pub(crate) async fn correct(
    context: &TaskContext,
    task: &ChunkTask,
    passages: &mut [PassageResult],
    meter: &Meter,
) -> Option<LlmOutcome> {
    match task.options.correction() {
        Some(LlmMode::PerChunk) => {}
        Some(LlmMode::PostProcess) | None => return None,
    }
    let said: Vec<Said> = passages
        .iter()
        .flat_map(|passage| passage.segments.iter().map(|segment| said(segment, passage)))
        .collect();
    let Some(llm) = &context.config.llm else {
        warn!("the job asks for corrections, and this worker has no language model");
        let unanswered = u32::try_from(said.len()).unwrap_or(u32::MAX);
        return Some(LlmOutcome { unanswered, ..LlmOutcome::default() });
    };
    let busy = meter.llm();
    let corrected = llm.correct(&said, meter.llm_waits()).await;
    drop(busy);
    let segments = passages.iter_mut().flat_map(|passage| &mut passage.segments);
    for (segment, text) in segments.zip(corrected.texts) {
        segment.corrected = text;
    }
    Some(corrected.outcome)
}

fn said(segment: &PassageSegment, passage: &PassageResult) -> Said {
    Said { text: segment.text.trim().to_owned(), language: passage.language.clone() }
}
