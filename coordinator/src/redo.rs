//! Passages in a doubtful language: has them done again, and takes what came of it.

use crate::language::{Languages, replace};
use crate::merge::object;
use bytes::Bytes;
use scriptorium_contracts::job::{Input, JobHeader, Redo};
use scriptorium_contracts::plan::RedoList;
use scriptorium_contracts::transcript::{ChunkResult, PartResult};
use scriptorium_contracts::{JobId, objects};
use scriptorium_shared::jobs::{Jobs, JobsError};
use tracing::info;

/// What has to happen before the transcript can be put together; `None`: nothing.
pub(crate) async fn needed(jobs: &Jobs, header: &JobHeader) -> Result<Option<Input>, JobsError> {
    let epoch = header.assembly_epoch;
    match &header.redo {
        Some(redo) if redo.is_done() => Ok(None),
        // Tasks of a process that is gone, or of an assembly that was given up.
        Some(Redo { language, waiting, .. }) => {
            Ok(Some(Input::Redo { epoch, language: language.clone(), chunks: waiting.clone() }))
        }
        None if header.options.language.is_some() => Ok(None),
        None => {
            let Some(list) = doubtful(jobs, header).await? else { return Ok(None) };
            let passages: usize = list.chunks.iter().map(|one| one.passages.len()).sum();
            info!(job = %header.id, language = list.language, passages, "passages are done again");
            // The list first: a worker that hears of it finds it.
            let body = serde_json::to_vec(&list)?;
            let key = objects::redo_list_key(header.id);
            jobs.objects.write(&key, Bytes::from(body), "application/json").await?;
            let chunks = list.chunks.iter().map(|one| one.chunk).collect();
            Ok(Some(Input::Redo { epoch, language: list.language, chunks }))
        }
    }
}

async fn doubtful(jobs: &Jobs, header: &JobHeader) -> Result<Option<RedoList>, JobsError> {
    let mut languages = Languages::default();
    for chunk in header.completed.iter() {
        if let Some(result) = jobs.store.result(header.id, chunk).await? {
            languages.push(chunk, &result);
        }
    }
    Ok(languages.doubtful())
}

/// The passages that were done again, by chunk; read when their chunk's turn comes.
pub(crate) struct Redone {
    job: JobId,
    list: RedoList,
    redo: Option<Redo>,
}

impl Redone {
    pub async fn read(jobs: &Jobs, header: &JobHeader) -> Result<Self, JobsError> {
        let list = match &header.redo {
            Some(_) => object(jobs, &objects::redo_list_key(header.id)).await?.unwrap_or_default(),
            None => RedoList::default(),
        };
        Ok(Self { job: header.id, list, redo: header.redo.clone() })
    }

    /// Puts them into the chunk's result.
    pub async fn apply(&self, jobs: &Jobs, chunk: u32, result: &mut ChunkResult) -> Result<(), JobsError> {
        let given_up = self.redo.as_ref().is_some_and(|redo| redo.failed.contains(chunk));
        let wanted = self.list.passages_of(chunk);
        if given_up || wanted.is_empty() {
            return Ok(());
        }
        // One object of each task, which went on where the one before had ended.
        let mut from = None;
        while let Some(redone) =
            object::<PartResult>(jobs, &objects::redone_key(self.job, chunk, from)).await?
        {
            let last = redone.passages.iter().map(|passage| passage.start).max();
            replace(result, redone.passages);
            if let Some(llm) = redone.llm {
                result.llm = Some(result.llm.take().unwrap_or_default().plus(llm));
            }
            let next = last.and_then(|last| wanted.iter().copied().filter(|start| *start > last).min());
            let Some(next) = next else { break };
            from = Some(next);
        }
        Ok(())
    }
}
