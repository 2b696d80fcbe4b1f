//! What this worker has found out before: a task that comes again is answered at once.
//!
//! Tasks do come again: the broker doubles a message, the job store forgets its last second and has tasks made anew, a lease
//! ends too early. Whoever has to compute each of them falls behind, leases end the more, and more tasks are made. The answer
//! is a function of the recording's bytes and of the task but for its fencing token, so an earlier one is as good.

use scriptorium_contracts::message::{ChunkTask, Report};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

const KEPT: usize = 64;
/// Larger ones are rare, and computed again.
const MAX_BYTES: usize = 256 << 10;
/// About what a segment, or a word of one, takes besides its text.
const BESIDES_TEXT: usize = 64;

#[derive(Default)]
pub(crate) struct Answers(Mutex<VecDeque<(ChunkTask, Report)>>);

impl Answers {
    pub fn find(&self, task: &ChunkTask) -> Option<Report> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let question = question(task);
        kept.iter().find(|(other, _)| *other == question).map(|(_, report)| report.clone())
    }

    pub fn keep(&self, task: &ChunkTask, report: &Report) {
        if !lasts(task, report) || self.find(task).is_some() {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((question(task), report.clone()));
    }
}

/// The same for all tasks with the same answer.
fn question(task: &ChunkTask) -> ChunkTask {
    ChunkTask { epoch: 0, alone: false, ..task.clone() }
}

/// Whether the answer holds for ever, and is small.
fn lasts(task: &ChunkTask, report: &Report) -> bool {
    // What is done again depends on the job's list, which may become another one.
    if task.redo.is_some() {
        return false;
    }
    match report {
        Report::Completed { result } => {
            let segments = result.passages.iter().flat_map(|passage| &passage.segments);
            let size = |words: usize, text: usize| text + (1 + words) * BESIDES_TEXT;
            let bytes: usize = segments.map(|said| size(said.words.len(), 2 * said.text.len())).sum();
            bytes + result.passages.len() * BESIDES_TEXT <= MAX_BYTES
        }
        // Their objects are there as long as the job needs them.
        Report::Planned { .. } | Report::PartCompleted {} => true,
        Report::Started {}
        | Report::Probed { .. }
        | Report::NeedsChunk { .. }
        | Report::Redone { .. }
        | Report::Lost { .. }
        | Report::Failed { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scriptorium_contracts::job::JobOptions;
    use scriptorium_contracts::message::{PartTask, RedoTask, VERSION};

    fn task(chunk: u32, epoch: u32) -> ChunkTask {
        ChunkTask {
            version: VERSION,
            job: "0190b6a4-7b1c-7000-8000-000000000001".parse().unwrap(),
            chunk,
            epoch,
            total_size: 1_000,
            chunk_size: 10,
            options: JobOptions::default(),
            lease_ms: 15_000,
            part: None,
            divide: false,
            redo: None,
            tenant: None,
            alone: false,
        }
    }

    fn planned(parts: u32) -> Report {
        Report::Planned { parts: vec![parts] }
    }

    #[test]
    fn a_task_with_another_token_has_the_same_answer_and_no_other_task_has() {
        let answers = Answers::default();
        answers.keep(&task(1, 1), &planned(3));
        assert_eq!(answers.find(&task(1, 7)), Some(planned(3)));
        assert_eq!(answers.find(&ChunkTask { alone: true, ..task(1, 8) }), Some(planned(3)));
        let part = PartTask { index: 0, first: 0, count: 1 };
        let english = JobOptions { language: Some("en".to_owned()), ..JobOptions::default() };
        for other in [
            task(2, 1),
            ChunkTask { part: Some(part), ..task(1, 1) },
            ChunkTask { divide: true, ..task(1, 1) },
            ChunkTask { options: english, ..task(1, 1) },
        ] {
            assert_eq!(answers.find(&other), None, "{other:?}");
        }
    }

    #[test]
    fn only_what_lasts_is_kept_and_not_for_ever() {
        let answers = Answers::default();
        answers.keep(&task(1, 1), &Report::NeedsChunk { needed: 2 });
        assert_eq!(answers.find(&task(1, 1)), None);
        let redo = ChunkTask { redo: Some(RedoTask { language: "en".to_owned(), from: None }), ..task(1, 1) };
        answers.keep(&redo, &planned(1));
        assert_eq!(answers.find(&redo), None);
        for chunk in 0..KEPT as u32 + 1 {
            answers.keep(&task(chunk, 1), &planned(chunk));
        }
        assert_eq!(answers.find(&task(0, 1)), None);
        assert_eq!(answers.find(&task(1, 2)), Some(planned(1)));
        assert_eq!(answers.find(&task(KEPT as u32, 2)), Some(planned(KEPT as u32)));
    }
}
