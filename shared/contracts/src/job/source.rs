//! Fetching a recording that the service was told the address of: what is decided here with the state, and done outside.
//!
//! A fetch is taken before it is begun, by a commit, and held by signs of life: of several processes one fetches. Who has taken
//! it and is not heard of for [`SOURCE_LEASE_MS`] is taken to be dead; whoever takes it next goes on at the chunks that are missing.

use super::change::Change;
use super::{Effect, finish, retry};
use crate::failure::{Failure, FailureCode};
use crate::source::{FetchEnd, Source, SourceHolder};

/// Milliseconds from a sign of life until a fetch is taken to be lost.
pub const SOURCE_LEASE_MS: u64 = 15_000;
/// Milliseconds from a failed try to the next one: 5 s, 15 s, 1 min, 5 min, 15 min, 30 min, 1 h. Each chunk that comes starts the
/// count anew. After the last one it is given up.
const PAUSES_MS: [u64; 7] = [5_000, 15_000, 60_000, 300_000, 900_000, 1_800_000, 3_600_000];
/// The longest that a server may ask us to wait.
const MAX_RETRY_AFTER_MS: u64 = 3_600_000;

/// Milliseconds from the end of try number `attempt` (0 and 1: the first since the last chunk) to the next; `None` if there is
/// none. With up to 20 % of jitter, made of `seed`; not before the time that the server asks for, within bounds.
pub fn source_pause_ms(attempt: u32, retry_after_ms: Option<u64>, seed: u64) -> Option<u64> {
    let pause = *PAUSES_MS.get(attempt.saturating_sub(1) as usize)?;
    let asked = retry_after_ms.unwrap_or(0).min(MAX_RETRY_AFTER_MS);
    Some(retry::jitter(pause.max(asked), seed))
}

/// The effect that has the recording fetched.
pub(super) fn effect(job: crate::JobId, source: &Source) -> Effect {
    Effect::FetchSource { job, token: source.token, server: source.lane().to_owned() }
}

fn remember(change: &mut Change<'_>, delay_ms: u64) {
    if let Some(source) = &change.header.source {
        let effect = effect(change.header.id, source);
        change.effect(effect, delay_ms);
    }
}

/// The source, if it carries this token and the job still wants it.
fn current<'a>(change: &'a mut Change<'_>, token: u32) -> Option<&'a mut Source> {
    let wanted = !change.header.state.is_final();
    change.header.source.as_mut().filter(|source| wanted && source.token == token)
}

/// Someone is about to fetch, or goes on with it.
pub(super) fn taken(change: &mut Change<'_>, token: u32, by: u64) {
    let (now, until) = (change.now, change.now.plus(SOURCE_LEASE_MS));
    let Some(source) = current(change, token) else { return };
    let goes_on = source.holder.is_some_and(|holder| holder.by == by);
    if !goes_on && source.due > now {
        return;
    }
    if !goes_on && source.attempts as usize > PAUSES_MS.len() {
        // All tries were interrupted.
        let failure = Failure::new(
            FailureCode::SourceUnavailable,
            "The recording could not be fetched: each try was interrupted. Start the job again.",
        );
        give_up(change, failure);
        return;
    }
    source.attempts += u32::from(!goes_on);
    source.token = token.saturating_add(1);
    source.holder = Some(SourceHolder { by, until });
    source.due = until;
    remember(change, SOURCE_LEASE_MS);
}

/// A try has ended before the recording was whole.
pub(super) fn tried(change: &mut Change<'_>, token: u32, end: FetchEnd) {
    let (now, job) = (change.now, change.header.id);
    let Some(source) = current(change, token).filter(|source| source.holder.is_some()) else { return };
    source.holder = None;
    source.token = token.saturating_add(1);
    let pause = match end {
        FetchEnd::Over(failure) => return give_up(change, failure),
        FetchEnd::Yielded => {
            source.attempts = source.attempts.saturating_sub(1);
            0
        }
        FetchEnd::Later { failure, retry_after_ms } => {
            let seed = (job.as_uuid().as_u64_pair().1).wrapping_add(u64::from(source.token));
            match source_pause_ms(source.attempts, retry_after_ms, seed) {
                None => return give_up(change, failure),
                Some(pause) => {
                    source.failure = Some(failure);
                    pause
                }
            }
        }
    };
    source.due = now.plus(pause);
    remember(change, pause);
}

/// A chunk has come.
pub(super) fn progressed(change: &mut Change<'_>) {
    if let Some(source) = change.header.source.as_mut().filter(|source| source.ranges) {
        source.attempts = 0;
        source.failure = None;
    }
    if change.header.uploaded.len() == change.header.total_chunks() {
        // What nobody needs any more is not kept.
        change.header.source = None;
    }
}

/// A job that had ended goes on: so does the fetch.
pub(super) fn resume(change: &mut Change<'_>) {
    let now = change.now;
    let Some(source) = change.header.source.as_mut() else { return };
    source.token = source.token.saturating_add(1);
    (source.attempts, source.holder, source.due) = (0, None, now);
    remember(change, 0);
}

fn give_up(change: &mut Change<'_>, failure: Failure) {
    finish::fail_job(change, failure);
    finish::release_objects(change);
}
