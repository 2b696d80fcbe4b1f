//! Passages of a chunk done again, in the recording's language.

use crate::meter::Meter;
use crate::parts::{self, read, write};
use crate::task::{TaskContext, TaskError, blocking, transcribe, word_timestamps};
use scriptorium_contracts::job::JobOptions;
use scriptorium_contracts::message::{ChunkTask, RedoTask, Report, VERSION};
use scriptorium_contracts::objects;
use scriptorium_contracts::plan::{ChunkPlan, PassagePlan, RedoList};
use scriptorium_contracts::transcript::PartResult;
use scriptorium_media::{self as media, ByteSource, InitSection};
use std::ops::Range;
use std::sync::Arc;

/// Transcribes what the job's redo list names of this chunk, whose bytes are `range`: as much of it as a part may have, from
/// where the task says.
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
    let plan = plan(context, task, range, &source, &init).await?;
    let longest = parts::longest(context, &init);
    let (passages, next) = turn(plan, list.passages_of(task.chunk), redo.from, longest);
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
    write(context, &objects::redone_key(task.job, task.chunk, redo.from), &result).await?;
    Ok(Report::Redone { from: redo.from, next })
}

/// What one task does of the wanted passages that begin at `from` or behind it: at most `longest` frames, or one passage. And
/// where the next task begins.
fn turn(
    mut plan: ChunkPlan,
    wanted: &[i64],
    from: Option<i64>,
    longest: u64,
) -> (Vec<PassagePlan>, Option<i64>) {
    plan.passages
        .retain(|passage| wanted.contains(&passage.start) && from.is_none_or(|from| passage.start >= from));
    let count = plan.parts(longest).first().map_or(0, |count| *count as usize);
    let later = plan.passages.split_off(count.min(plan.passages.len()));
    (plan.passages, later.first().map(|passage| passage.start))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(lengths: &[i64]) -> ChunkPlan {
        let mut start = -50;
        let mut passage = |length: &i64| {
            let end = start + length;
            let one = PassagePlan { start, end, restart: 0, skip: 0 };
            start = end;
            one
        };
        ChunkPlan { passages: lengths.iter().map(&mut passage).collect(), ..ChunkPlan::default() }
    }

    /// The first frames of what each task does, until nothing is left.
    fn turns(wanted: &[i64]) -> Vec<Vec<i64>> {
        let mut turns = Vec::new();
        let mut from = None;
        loop {
            let (passages, next) = turn(plan(&[100, 100, 100, 400, 100]), wanted, from, 250);
            turns.push(passages.iter().map(|passage| passage.start).collect());
            match next {
                Some(_) => from = next,
                None => return turns,
            }
        }
    }

    #[test]
    fn each_task_does_as_much_as_a_part_has_and_all_is_done_once() {
        assert_eq!(turns(&[-50, 50, 150, 250, 650]), [vec![-50, 50], vec![150], vec![250], vec![650]]);
        assert_eq!(turns(&[-50, 150, 650]), [vec![-50, 150], vec![650]]);
        assert_eq!(turns(&[250]), [vec![250]]);
        // A list of another plan than this one: nothing is found, and nothing is waited for.
        assert_eq!(turns(&[7]), [Vec::<i64>::new()]);
    }
}
