//! Where the time of a job went: its critical path, in seconds. Pure.

use schemars::JsonSchema;
use scriptorium_contracts::Timestamp;
use scriptorium_contracts::job::{JobHeader, JobState};
use serde::Serialize;

/// From the creation of the job to its end; of a job under way to the end of the chunk that ended last. `total` is the sum of
/// the seven that follow it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Timings {
    pub total: f64,
    /// Until the chunk that ended last was uploaded, with another one that it needed.
    pub upload: f64,
    /// From there until a worker began with it.
    pub queue: f64,
    /// While calls of a service, the engine's or a language model's, waited for leave: for a limit of calls that the operator has
    /// set, or because the service had asked for a pause.
    pub rate_limit: f64,
    /// While a worker had it: reading and decoding, as far as the engine had nothing to do meanwhile.
    pub decode: f64,
    /// The rest of that time.
    pub engine: f64,
    /// While a language model had the text that it corrects: the chunk's, or the whole one.
    pub llm: f64,
    /// After the last chunk, but for the language model: passages done again, and putting the transcript together.
    pub assembly: f64,
    /// Of all chunks and tries, added up: more than the times above where workers were at it side by side.
    pub work: WorkSeconds,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct WorkSeconds {
    pub rate_limit: f64,
    pub decode: f64,
    pub engine: f64,
    pub llm: f64,
}

impl Timings {
    /// `None` before a chunk has ended.
    pub fn of(header: &JobHeader, now: Timestamp) -> Option<Self> {
        let path = header.path?;
        let assembled_until = match header.state {
            JobState::Assembling => now,
            JobState::Created | JobState::Uploading | JobState::Processing => path.ended_at,
            JobState::Completed
            | JobState::CompletedWithErrors
            | JobState::Failed
            | JobState::Cancelled
            | JobState::Expired => header.finished_at.unwrap_or(path.ended_at),
        };
        let after_ms = assembled_until.since(path.ended_at);
        let correction = header.summary.as_ref().and_then(|summary| summary.correction);
        let corrected_ms = correction.map_or(0, |correction| correction.waited_ms).min(after_ms);
        let limited_ms = correction.map_or(0, |correction| correction.limited_ms).min(corrected_ms);
        let work = path.work;
        // Parts are done side by side: what their workers took is more than what passed meanwhile.
        let all: u128 =
            [work.decode_ms, work.engine_ms, work.llm_ms, work.limit_ms].map(u128::from).iter().sum();
        let share = |of: u64| {
            let share = (u128::from(path.processing_ms) * u128::from(of)).checked_div(all);
            share.and_then(|share| u64::try_from(share).ok()).unwrap_or(0)
        };
        let (decode_ms, chunk_llm_ms) = (share(work.decode_ms), share(work.llm_ms));
        let chunk_limit_ms = share(work.limit_ms);
        let others = decode_ms.saturating_add(chunk_llm_ms).saturating_add(chunk_limit_ms);
        let engine_ms = path.processing_ms.saturating_sub(others);
        let limit_ms = chunk_limit_ms.saturating_add(limited_ms);
        let llm_ms = chunk_llm_ms.saturating_add(corrected_ms - limited_ms);
        let assembly_ms = after_ms - corrected_ms;
        let parts = [path.upload_ms, path.queue_ms, limit_ms, decode_ms, engine_ms, llm_ms, assembly_ms];
        Some(Self {
            total: seconds(parts.into_iter().fold(0, u64::saturating_add)),
            upload: seconds(path.upload_ms),
            queue: seconds(path.queue_ms),
            rate_limit: seconds(limit_ms),
            decode: seconds(decode_ms),
            engine: seconds(engine_ms),
            llm: seconds(llm_ms),
            assembly: seconds(assembly_ms),
            work: WorkSeconds {
                rate_limit: seconds(header.work.limit_ms.saturating_add(limited_ms)),
                decode: seconds(header.work.decode_ms),
                engine: seconds(header.work.engine_ms),
                llm: seconds(header.work.llm_ms.saturating_add(corrected_ms - limited_ms)),
            },
        })
    }
}

fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use scriptorium_contracts::job::CriticalPath;
    use scriptorium_contracts::message::Work;

    #[test]
    fn the_times_of_the_path_add_up() {
        let mut header = testing::header(3);
        assert_eq!(Timings::of(&header, Timestamp(0)), None);
        let ended_at = header.created_at.plus(11_250);
        header.state = JobState::Completed;
        header.finished_at = Some(ended_at.plus(500));
        header.work = Work { decode_ms: 4_000, engine_ms: 90_000, ..Work::default() };
        // Three parts of a chunk, side by side.
        let work = Work { decode_ms: 1_000, engine_ms: 11_000, ..Work::default() };
        header.path = Some(CriticalPath {
            chunk: 2,
            upload_ms: 7_000,
            queue_ms: 250,
            processing_ms: 4_000,
            work,
            ended_at,
        });
        let timings = Timings::of(&header, Timestamp(0)).unwrap();
        assert_eq!((timings.upload, timings.queue, timings.assembly), (7.0, 0.25, 0.5));
        assert_eq!((timings.decode, timings.engine), (0.333, 3.667));
        assert_eq!(timings.total, 11.75);
        assert_eq!(timings.work, WorkSeconds { rate_limit: 0.0, decode: 4.0, engine: 90.0, llm: 0.0 });
        // A language model had the chunk's text for a while, and then the whole one.
        let mut corrected = header.clone();
        if let Some(path) = &mut corrected.path {
            path.work.llm_ms = 4_000;
        }
        corrected.work.llm_ms = 6_000;
        corrected.summary = Some(testing::corrected_summary(300));
        let timings = Timings::of(&corrected, Timestamp(0)).unwrap();
        assert_eq!((timings.decode, timings.engine, timings.llm), (0.25, 2.75, 1.3));
        assert_eq!((timings.assembly, timings.total, timings.work.llm), (0.2, 11.75, 6.3));
        // Some of that time its calls waited for leave, and so did the engine's.
        if let Some(path) = &mut corrected.path {
            path.work.limit_ms = 16_000;
        }
        corrected.work.limit_ms = 20_000;
        if let Some(correction) = corrected.summary.as_mut().and_then(|summary| summary.correction.as_mut()) {
            correction.limited_ms = 100;
        }
        let timings = Timings::of(&corrected, Timestamp(0)).unwrap();
        assert_eq!((timings.decode, timings.engine, timings.llm), (0.125, 1.375, 0.7));
        assert_eq!((timings.rate_limit, timings.total), (2.1, 11.75));
        assert_eq!((timings.work.rate_limit, timings.work.llm), (20.1, 6.2));
        // Workers of an earlier version tell nothing of their work; and under way, nothing is put together yet.
        header.state = JobState::Processing;
        header.finished_at = None;
        header.path = header.path.map(|path| CriticalPath { work: Work::default(), ..path });
        let timings = Timings::of(&header, ended_at.plus(9_000)).unwrap();
        assert_eq!((timings.decode, timings.engine, timings.assembly), (0.0, 4.0, 0.0));
        assert_eq!(timings.total, 11.25);
        header.state = JobState::Assembling;
        assert_eq!(Timings::of(&header, ended_at.plus(9_000)).unwrap().assembly, 9.0);
    }
}
