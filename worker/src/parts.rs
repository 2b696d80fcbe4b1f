//! A chunk with hours of audio: planned by one worker, transcribed in parts by many.

use crate::meter::Meter;
use crate::task::{TaskContext, TaskError, transcribe, word_timestamps};
use bytes::Bytes;
use scriptorium_contracts::message::{ChunkTask, PartTask, Report, VERSION};
use scriptorium_contracts::objects;
use scriptorium_contracts::plan::ChunkPlan;
use scriptorium_contracts::transcript::PartResult;
use scriptorium_media::{ByteSource, InitSection};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// A plan or a list larger than this is not ours: some 100 bytes a passage, of which 100 MB hold some thousand.
const MAX_OBJECT: usize = 64 << 20;

/// Frames of the longest part.
pub(crate) fn longest(context: &TaskContext, init: &InitSection) -> u64 {
    context.config.part_length.as_secs().max(1).saturating_mul(u64::from(init.media.sample_rate))
}

/// Stores the plan, then tells of it: whoever hears of the parts finds it.
pub(crate) async fn divide(
    context: &TaskContext,
    task: &ChunkTask,
    plan: &ChunkPlan,
    parts: Vec<u32>,
) -> Result<Report, TaskError> {
    write(context, &objects::plan_key(task.job, task.chunk), plan).await?;
    Ok(Report::Planned { parts })
}

/// Transcribes one part and stores its result; the report is small.
pub(crate) async fn perform(
    context: &TaskContext,
    task: &ChunkTask,
    part: &PartTask,
    meter: &Meter,
    source: Arc<dyn ByteSource>,
    init: Arc<InitSection>,
) -> Result<Report, TaskError> {
    let plan: ChunkPlan = read(context, &objects::plan_key(task.job, task.chunk))
        .await?
        .ok_or(TaskError::Gone("the chunk's plan"))?;
    let last = (part.first as usize).saturating_add(part.count as usize);
    let passages = plan
        .passages
        .get(part.first as usize..last)
        .ok_or_else(|| TaskError::Internal("the part lies outside the chunk's plan".to_owned()))?;
    let transcribed = transcribe(context, task, meter, source, init, passages).await?;
    let info = context.engine.info();
    let result = PartResult {
        version: VERSION,
        passages: transcribed.passages,
        damaged: transcribed.damaged,
        engine: info.engine.to_owned(),
        model: info.model,
        word_timestamps: word_timestamps(context, task),
        llm: transcribed.llm,
    };
    write(context, &objects::part_key(task.job, task.chunk, part.first, part.count), &result).await?;
    Ok(Report::PartCompleted {})
}

/// `None` if there is no such object.
pub(crate) async fn read<T: DeserializeOwned>(
    context: &TaskContext,
    key: &str,
) -> Result<Option<T>, TaskError> {
    let Some(bytes) = context.objects.read(key, 0, MAX_OBJECT).await? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|problem| TaskError::Internal(problem.to_string()))
}

pub(crate) async fn write(
    context: &TaskContext,
    key: &str,
    object: &impl Serialize,
) -> Result<(), TaskError> {
    let body = serde_json::to_vec(object).map_err(|problem| TaskError::Internal(problem.to_string()))?;
    Ok(context.objects.write(key, Bytes::from(body), "application/json").await?)
}
