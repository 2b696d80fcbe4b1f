//! The result of a divided chunk, out of the results of its parts.

use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::{ChunkRecord, Input, Part, PartState};
use scriptorium_contracts::plan::ChunkPlan;
use scriptorium_contracts::transcript::{ChunkResult, PartResult, PassageResult};
use scriptorium_contracts::{JobId, objects};
use scriptorium_shared::jobs::{Jobs, JobsError};
use serde::de::DeserializeOwned;
use tracing::error;

/// A plan or a part's result larger than this is not ours.
const MAX_OBJECT: usize = 64 << 20;

/// Merges the parts of a chunk, unless it has gone on since (`epoch` is old). Harmless twice.
pub(crate) async fn merge(jobs: &Jobs, job: JobId, chunk: u32, epoch: u32) -> Result<(), JobsError> {
    let Some((header, records)) = jobs.store.load(job, &[chunk]).await? else {
        return Ok(());
    };
    let wanted = |record: &&ChunkRecord| record.epoch == epoch && !record.parts.is_empty();
    let Some(record) = records.get(&chunk).filter(wanted) else {
        return Ok(());
    };
    if header.state.is_final() {
        return Ok(());
    }
    let input = match result(jobs, job, record).await? {
        Some(result) => Input::Completed { chunk, epoch, result: Box::new(result) },
        None => {
            let detail = "The result of a part is not in the object store.";
            let failure = Failure::new(FailureCode::ObjectMissing, detail);
            Input::Failed { chunk, part: None, epoch, failure }
        }
    };
    jobs.advance(job, input).await?;
    Ok(())
}

/// `None` if an object is missing or can't be read.
async fn result(jobs: &Jobs, job: JobId, record: &ChunkRecord) -> Result<Option<ChunkResult>, JobsError> {
    let chunk = record.index;
    let Some(plan) = object::<ChunkPlan>(jobs, &objects::plan_key(job, chunk)).await? else {
        return Ok(None);
    };
    let mut parts = record.parts.clone();
    parts.sort_by_key(|part| part.first);
    let mut merged = Merged::new(&plan);
    for part in parts {
        let result = match part.state {
            PartState::Completed => {
                let key = objects::part_key(job, chunk, part.first, part.count);
                let Some(result) = object::<PartResult>(jobs, &key).await? else { return Ok(None) };
                Some(result)
            }
            PartState::Failed => None,
            PartState::Waiting | PartState::Queued | PartState::Processing => return Ok(None),
        };
        merged.push(&part, result);
    }
    Ok(Some(merged.finish()))
}

/// `None` if the object is missing or can't be read.
pub(crate) async fn object<T: DeserializeOwned>(jobs: &Jobs, key: &str) -> Result<Option<T>, JobsError> {
    let Some(bytes) = jobs.objects.read(key, 0, MAX_OBJECT).await? else {
        return Ok(None);
    };
    match serde_json::from_slice(&bytes) {
        Ok(object) => Ok(Some(object)),
        Err(problem) => {
            error!(%problem, key, "an object of a divided chunk can't be read");
            Ok(None)
        }
    }
}

/// Collects the parts of one chunk, in the order of their passages.
struct Merged<'a> {
    plan: &'a ChunkPlan,
    result: ChunkResult,
}

impl<'a> Merged<'a> {
    fn new(plan: &'a ChunkPlan) -> Self {
        let result = ChunkResult {
            frames: plan.frames,
            absolute_start: plan.absolute_start,
            passages: Vec::with_capacity(plan.passages.len()),
            damaged: plan.damaged.clone(),
            engine: String::new(),
            model: String::new(),
            word_timestamps: None,
            llm: None,
        };
        Self { plan, result }
    }

    /// The next part; `None` if it failed: its passages are gaps.
    fn push(&mut self, part: &Part, result: Option<PartResult>) {
        match result {
            Some(result) => {
                self.result.passages.extend(result.passages);
                self.result.damaged.extend(result.damaged);
                self.result.engine = result.engine;
                self.result.model = result.model;
                self.result.word_timestamps = result.word_timestamps;
                self.result.llm = match (self.result.llm.take(), result.llm) {
                    (Some(before), Some(llm)) => Some(before.plus(llm)),
                    (one, other) => one.or(other),
                };
            }
            None => {
                let passages = self.plan.passages.iter().skip(part.first as usize).take(part.count as usize);
                self.result.passages.extend(passages.map(|passage| PassageResult {
                    start: passage.start,
                    end: passage.end,
                    language: None,
                    language_probability: None,
                    segments: Vec::new(),
                    failed: true,
                }));
            }
        }
    }

    fn finish(mut self) -> ChunkResult {
        self.result.damaged.sort_by_key(|gap| gap.start);
        self.result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scriptorium_contracts::correction::LlmOutcome;
    use scriptorium_contracts::plan::PassagePlan;
    use scriptorium_contracts::transcript::DamagedFrames;

    fn part(first: u32, count: u32) -> Part {
        Part {
            state: PartState::Completed,
            first,
            count,
            epoch: 1,
            attempts: 0,
            losses: 0,
            lease_until: None,
        }
    }

    #[test]
    fn a_failed_part_leaves_its_passages_as_gaps() {
        let passage = |start: i64| PassagePlan { start, end: start + 10, restart: 0, skip: 0 };
        let plan = ChunkPlan {
            frames: 30,
            absolute_start: Some(7),
            passages: vec![passage(0), passage(10), passage(20)],
            damaged: vec![DamagedFrames { start: 12, end: 13 }],
        };
        let done = |start: i64| PartResult {
            version: 1,
            passages: vec![PassageResult {
                start,
                end: start + 10,
                language: Some("en".to_owned()),
                language_probability: None,
                segments: Vec::new(),
                failed: false,
            }],
            damaged: vec![DamagedFrames { start: start + 1, end: start + 2 }],
            engine: "whisper".to_owned(),
            model: "tiny".to_owned(),
            word_timestamps: None,
            llm: Some(LlmOutcome { unanswered: 2, ..LlmOutcome::default() }),
        };
        let mut merged = Merged::new(&plan);
        merged.push(&part(0, 1), Some(done(0)));
        merged.push(&part(1, 1), None);
        merged.push(&part(2, 1), Some(done(20)));
        let result = merged.finish();
        assert_eq!((result.frames, result.absolute_start), (30, Some(7)));
        assert_eq!(result.llm.unwrap().unanswered, 4);
        let spans: Vec<_> =
            result.passages.iter().map(|passage| (passage.start, passage.end, passage.failed)).collect();
        assert_eq!(spans, [(0, 10, false), (10, 20, true), (20, 30, false)]);
        assert_eq!(result.damaged.iter().map(|gap| gap.start).collect::<Vec<_>>(), [1, 12, 21]);
    }
}
