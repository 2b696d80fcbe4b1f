//! What must hold of every step, and of the records after it.

use scriptorium_contracts::Timestamp;
use scriptorium_contracts::event::Event;
use scriptorium_contracts::job::{
    ChunkRecord, ChunkSet, ChunkState, Effect, Input, JobHeader, JobState, MAX_PARTS, Part, PartState, Step,
};
use scriptorium_contracts::webhook::{MAX_TRIES_KEPT, MAX_WEBHOOKS, WebhookState};
use std::collections::{BTreeMap, BTreeSet};

/// The chunks of a job that may be with workers.
pub fn slots(header: &JobHeader) -> u32 {
    header.limits.max_parallel_chunks.clamp(1, 64)
}

/// The most records that `input` may change, whatever the size of the job: its own, one other, the slots that it fills;
/// a reopening empties the slots first, a time-out works through the late chunks in batches.
fn record_bound(input: &Input, slots: usize) -> usize {
    match input {
        Input::Uploaded { .. } | Input::Probed { .. } | Input::NeedsChunk { .. } => 2 + slots,
        // The end of the first chunk lets the others go.
        Input::Completed { chunk: 0, .. }
        | Input::Failed { chunk: 0, .. }
        | Input::TaskLost { chunk: 0, .. } => 1 + slots,
        Input::Completed { .. } | Input::Failed { .. } | Input::TaskLost { .. } => 1 + 1,
        Input::Planned { chunk: 0, .. } | Input::PartCompleted { chunk: 0, .. } => 1 + slots,
        Input::Planned { .. } | Input::PartCompleted { .. } => 1 + 1,
        Input::Started { .. } => 1,
        Input::Retry { .. } => 2 + 2 * slots,
        Input::Redo { .. } | Input::RedoStarted { .. } | Input::Redone { .. } | Input::RedoFailed { .. } => 0,
        Input::Measured { of, .. } => record_bound(of, slots),
        Input::Cancel { .. }
        | Input::Delete { .. }
        | Input::Assembled { .. }
        | Input::AssemblyFailed { .. }
        | Input::Correcting { .. }
        | Input::RevertEdit { .. }
        | Input::EventsSeen { .. }
        | Input::WebhookTaken { .. }
        | Input::WebhookTried { .. }
        | Input::RedeliverWebhook { .. }
        | Input::SourceTaken { .. }
        | Input::SourceTried { .. } => 0,
        // The leases of the slots, and a batch that is late.
        Input::Tick => 64 + slots,
    }
}

pub fn check_step(
    before: &JobHeader,
    loaded: &BTreeMap<u32, ChunkRecord>,
    input: &Input,
    step: &Step,
    now: Timestamp,
) {
    let after = &step.header;
    assert_eq!(after.revision, before.revision + 1);
    assert_eq!(after.updated_at, now);
    assert_eq!(after.last_event, before.last_event + step.events.len() as u64);
    for (number, event) in (before.last_event + 1..).zip(&step.events) {
        assert_eq!((event.id, event.at), (number, now));
    }
    assert_eq!(after.last_effect, before.last_effect + step.effects.len() as u64);
    for (number, pending) in (before.last_effect + 1..).zip(&step.effects) {
        assert_eq!(pending.number, number);
        assert!(pending.due >= now);
        let tells = matches!(pending.effect, Effect::DeliverWebhook { .. });
        let deletes =
            matches!(pending.effect, Effect::DeleteTemporaryObjects { .. } | Effect::EraseJob { .. });
        assert!(
            tells || deletes == after.state.is_final(),
            "{:?} in state {:?}",
            pending.effect,
            after.state
        );
    }
    let bound = record_bound(input, slots(before) as usize);
    assert!(step.chunks.len() <= bound, "{input:?} changed {} records", step.chunks.len());
    assert!(step.chunks.iter().all(|record| loaded.get(&record.index).is_some_and(|old| old != record)));
    check_result(input, step);
    check_events(before, step);
    assert_eq!(after.finished_at.is_some(), after.state.is_final());
    check_webhooks(before, after, input);
    check_source(before, after);
    assert!(after.objects_released >= before.objects_released);
    assert!(after.assembly_epoch >= before.assembly_epoch);
    if before.state.is_final() && !after.state.is_final() {
        assert!(matches!(input, Input::Retry { .. }), "{input:?} reopened a job");
    }
}

/// Each end is told in a message of its own, and what was to be sent is never sent otherwise.
fn check_webhooks(before: &JobHeader, after: &JobHeader, input: &Input) {
    assert!(after.webhooks.len() <= MAX_WEBHOOKS);
    let last = |header: &JobHeader| header.webhooks.last().map_or(0, |webhook| webhook.number);
    let ended = after.state.is_final() && !before.state.is_final() && after.webhook_url.is_some();
    assert_eq!(last(after), last(before) + u32::from(ended), "{input:?}");
    for webhook in &after.webhooks {
        assert!(webhook.tries.len() <= MAX_TRIES_KEPT && webhook.attempts <= 8);
        assert_eq!(webhook.due.is_some(), webhook.state == WebhookState::Pending);
        assert!(webhook.holder.is_none() || webhook.state == WebhookState::Pending);
        if let Some(old) = before.webhook(webhook.number) {
            assert!(webhook.token >= old.token);
            assert_eq!(webhook == old, webhook.token == old.token, "a change without a new token");
            assert_eq!(webhook.body(after.id).unwrap(), old.body(before.id).unwrap());
            let settled = old.state != WebhookState::Pending && webhook.state == WebhookState::Pending;
            assert!(!settled || matches!(input, Input::RedeliverWebhook { .. }), "{input:?}");
        }
    }
}

/// What is fetched stays what it was, and each change of who fetches it has a new token.
fn check_source(before: &JobHeader, after: &JobHeader) {
    let whole = after.uploaded.len() == after.total_chunks();
    assert!(after.source.is_none() || !whole && !after.objects_released, "{:?}", after.source);
    let Some(old) = &before.source else {
        assert!(after.source.is_none(), "a source out of nothing");
        return;
    };
    let Some(new) = &after.source else { return };
    assert_eq!((&new.origin, &new.version, new.ranges), (&old.origin, &old.version, old.ranges));
    assert!(new.token >= old.token && new.attempts <= 8);
    let same = (new.due, new.holder) == (old.due, old.holder);
    assert!(same || new.token > old.token, "a change without a new token: {new:?}");
}

/// A result is accepted from the task that owns the chunk, and told in the same step.
fn check_result(input: &Input, step: &Step) {
    let told: Vec<u32> = step.events.iter().filter_map(|record| complete_chunk(&record.event)).collect();
    let kept: Vec<u32> = step.results.iter().map(|(chunk, _)| *chunk).collect();
    assert_eq!(told, kept);
    let report = if let Input::Measured { of, .. } = input { of } else { input };
    for (chunk, result) in &step.results {
        let Input::Completed { chunk: from, epoch, result: sent } = report else {
            panic!("a result out of {input:?}");
        };
        assert_eq!((chunk, result), (from, &**sent));
        let record = step.chunks.iter().find(|record| record.index == *chunk).unwrap();
        assert_eq!((record.state, record.epoch), (ChunkState::Completed, *epoch));
    }
}

fn complete_chunk(event: &Event) -> Option<u32> {
    if let Event::ChunkComplete { chunk_index, .. } = event { Some(*chunk_index) } else { None }
}

fn check_events(before: &JobHeader, step: &Step) {
    let after = &step.header;
    let formula = 100 * (after.uploaded.len() + after.completed.len()) / (2 * after.total_chunks());
    assert!(after.progress >= before.progress && u32::from(after.progress) <= formula);
    let mut grew = before.text_chunks;
    for record in &step.events {
        if let Event::ProgressUpdate { progress, uploaded_chunks, completed_chunks } = record.event {
            assert_eq!(u32::from(progress), formula);
            assert_eq!((uploaded_chunks, completed_chunks), (after.uploaded.len(), after.completed.len()));
        }
        if let Event::TextGrew { chunks } = record.event {
            assert!(chunks > grew);
            grew = chunks;
        }
    }
    assert_eq!(after.text_chunks, grew, "text that is not told");
    let updates = step.events.iter().filter(|record| matches!(record.event, Event::ProgressUpdate { .. }));
    assert!(updates.count() <= 1);
}

/// The header's sets say what the chunk records say, and nobody waits in vain.
pub fn check_records(header: &JobHeader, chunks: &[ChunkRecord]) {
    let set = |wanted: fn(ChunkState) -> bool| -> ChunkSet {
        chunks.iter().filter(|record| wanted(record.state)).map(|record| record.index).collect()
    };
    assert_eq!(header.uploaded, set(|state| state != ChunkState::Pending), "uploaded");
    let wanted: ChunkSet = chunks
        .iter()
        .filter(|record| record.state == ChunkState::Pending && !record.waiters.is_empty())
        .map(|record| record.index)
        .collect();
    assert_eq!(header.wanted, wanted, "wanted");
    assert_eq!(header.completed, set(|state| state == ChunkState::Completed), "completed");
    assert_eq!(header.failed, set(|state| state == ChunkState::Failed), "failed");
    assert_eq!(header.in_flight, set(|state| matches!(state, ChunkState::Queued | ChunkState::Processing)));
    assert_eq!(header.text_chunks, header.completed.leading());
    assert!(header.in_flight.len() <= slots(header), "too many in flight");
    let all_uploaded = header.uploaded.len() == header.total_chunks();
    match header.state {
        JobState::Created => assert!(header.uploaded.is_empty()),
        JobState::Uploading => assert!(!header.uploaded.is_empty() && !all_uploaded),
        JobState::Processing => assert!(all_uploaded && header.ended_chunks() < header.total_chunks()),
        JobState::Assembling | JobState::Completed | JobState::CompletedWithErrors => {
            assert!(!header.completed.is_empty());
            assert_eq!(header.ended_chunks(), header.total_chunks());
        }
        JobState::Failed => assert!(header.failure.is_some()),
        JobState::Cancelled | JobState::Expired => assert!(header.objects_released),
    }
    if let Some(redo) = &header.redo {
        assert!(redo.under_way.len() <= slots(header), "too much is done again at once");
        assert!(redo.waiting.iter().all(|chunk| !redo.under_way.contains(chunk)));
    }
    for record in chunks {
        check_record(header, record, chunks);
    }
}

fn check_record(header: &JobHeader, record: &ChunkRecord, chunks: &[ChunkRecord]) {
    let ready = header.ready.contains(record.index);
    match record.state {
        ChunkState::Pending => assert!(!ready && record.uploaded_at.is_none() && record.epoch == 0),
        ChunkState::Uploaded if ready => {}
        ChunkState::Uploaded => {
            let needed = record.waiting_for.expect("a chunk that is neither ready nor waiting");
            assert_eq!(chunks[needed as usize].state, ChunkState::Pending, "waits for what is there");
            assert!(chunks[needed as usize].waiters.contains(record.index), "nobody will wake {record:?}");
        }
        ChunkState::Queued | ChunkState::Processing => {
            assert!(!ready && record.waiting_for.is_none() && record.ended_at.is_none());
        }
        ChunkState::Completed | ChunkState::Failed => {
            assert!(!ready && record.ended_at.is_some());
            assert_eq!(record.error.is_some(), record.state == ChunkState::Failed);
        }
    }
    check_parts(header, record);
    if record.state != ChunkState::Pending {
        assert!(record.waiters.is_empty(), "waiters of an uploaded chunk");
    }
}

/// The parts of a divided chunk lie side by side, not too many of them are under way, and no token is given twice.
fn check_parts(header: &JobHeader, record: &ChunkRecord) {
    let under_way = |part: &&Part| matches!(part.state, PartState::Queued | PartState::Processing);
    let most = header.limits.max_parallel_parts.clamp(1, 64) as usize;
    assert!(record.parts.iter().filter(under_way).count() <= most, "too many parts under way");
    assert!(record.parts.len() <= MAX_PARTS);
    let mut parts = record.parts.clone();
    parts.sort_by_key(|part| part.first);
    let mut next = 0;
    for part in &parts {
        assert_eq!(part.first, next, "passages in no part, or in two");
        next += part.count;
        assert!(part.count > 0 && part.epoch <= record.epoch);
    }
    let tokens: BTreeSet<u32> = parts.iter().filter(under_way).map(|part| part.epoch).collect();
    assert_eq!(tokens.len(), parts.iter().filter(under_way).count(), "a token given twice");
    if !parts.is_empty() {
        assert!(!matches!(record.state, ChunkState::Pending | ChunkState::Completed));
    }
}
