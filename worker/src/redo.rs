//! Passages of a chunk done again, in the recording's language.

use crate::meter::Meter;
use crate::parts::{read, write};
use crate::task::{TaskContext, TaskError, blocking, transcribe, word_timestamps};
use scriptorium_contracts::job::JobOptions;
use scriptorium_contracts::message::{ChunkTask, RedoTask, Report, VERSION};
use scriptorium_contracts::objects;
use scriptorium_contracts::plan::{ChunkPlan, PassagePlan, RedoList};
use scriptorium_contracts::transcript::PartResult;
use scriptorium_media::{self as media, ByteSource, InitSection};
use std::ops::Range;
use std::sync::Arc;

/// Transcribes what the job's redo list names of this chunk, whose bytes are `range`.
pub(crate) async fn perform(
    context: &TaskContext,
    (task, redo): (&ChunkTask, &RedoTask),
    meter: &Meter,
    range: Range<u64>,
    source: Arc<dyn ByteSource>,
    init: Arc<InitSection>,
) -> Result<Report, TaskError> {
    let list: RedoList =
        read(context, &objects::redo_list_key(task.job)).await?.ok_or(TaskError::Gone("the redo list"))?;
    let wanted = list.passages_of(task.chunk);
    let plan = plan(context, task, range, &source, &init).await?;
    let passages: Vec<PassagePlan> =
        plan.passages.into_iter().filter(|passage| wanted.contains(&passage.start)).collect();
    let options = JobOptions { language: Some(redo.language.clone()), ..task.options.clone() };
    let task = &ChunkTask { options, ..task.clone() };
    let transcribed = transcribe(context, task, meter, source, init, &passages).await?;
    let info = context.engine.info();
    let result = PartResult {
        version: VERSION,
        passages: transcribed.passages,
        // Told by the first result.
        damaged: Vec::new(),
        engine: info.engine.to_owned(),
        model: info.model,
        word_timestamps: word_timestamps(context, task),
        llm: transcribed.llm,
    };
    write(context, &objects::redone_key(task.job, task.chunk), &result).await?;
    Ok(Report::Redone {})
}

/// The chunk's plan: the stored one if it was divided, else made again, to the same passages.
async fn plan(
    context: &TaskContext,
    task: &ChunkTask,
    range: Range<u64>,
    source: &Arc<dyn ByteSource>,
    init: &Arc<InitSection>,
) -> Result<ChunkPlan, TaskError> {
    if let Some(plan) = read(context, &objects::plan_key(task.job, task.chunk)).await? {
        return Ok(plan);
    }
    let (source, init) = (Arc::clone(source), Arc::clone(init));
    Ok(blocking(move || media::plan_chunk(&*source, &init, range)).await??)
}
