//! A job is deleted: ended, if it is under way, and then everything of it goes.

use super::Effect;
use super::change::Change;
use super::finish;

/// The reason that readers of a job are told.
pub const DELETED: &str = "The job was deleted.";
/// Who has the job deleted does so at once. Should that process die, others do it after so many milliseconds; and what was
/// just being stored goes with it.
const ERASE_MS: u64 = 5_000;

/// A store keeps the effects until they are done, also when the rest of the job is gone. The last one is for what comes with
/// signed URLs that were given out before.
pub(super) fn delete(change: &mut Change<'_>, late_ms: u64) {
    // Nothing is left to the sweep but the effects below. Its webhook is told nothing more: who deletes a job wants nothing of
    // it to go anywhere, and the log of the tries goes too.
    change.header.objects_released = true;
    change.header.webhook_url = None;
    change.header.source = None;
    finish::cancel(change, DELETED.to_owned());
    let job = change.header.id;
    change.header.deleted_at = Some(change.now);
    change.effect(Effect::EraseJob { job }, ERASE_MS);
    change.effect(Effect::EraseJob { job }, late_ms.max(2 * ERASE_MS));
}
