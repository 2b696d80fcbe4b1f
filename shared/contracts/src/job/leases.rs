//! Who works on something says so again and again; who falls silent loses it.
//!
//! A lease is a time in the record of a chunk, or of a part of it: until then it belongs to the worker with the current
//! fencing token. Each sign of life ([`super::Input::Started`], which workers repeat) moves it on. A tick after its end gives
//! the work a new token and a new task, and whatever the silent worker says later is refused (Gray and Cheriton, "Leases", 1989).
//!
//! What is only queued has no lease: a queue may be long.

use super::change::Change;
use super::{PartState, StepError, parts, processing};
use crate::ids::Timestamp;

/// The end of a lease that is taken or renewed now.
pub(super) fn until(change: &Change<'_>) -> Option<Timestamp> {
    Some(change.now.plus(change.header.limits.lease_ms))
}

/// What was under way and has ended its lease, as chunk, part and token.
struct Expired {
    chunk: u32,
    part: Option<u32>,
    epoch: u32,
}

/// Takes from silent workers the chunks and parts that they hold.
pub(super) fn expire(change: &mut Change<'_>) -> Result<(), StepError> {
    let in_flight: Vec<u32> = change.header.in_flight.iter().collect();
    change.require(&in_flight)?;
    let mut expired = Vec::new();
    for chunk in in_flight {
        find_expired(change, chunk, &mut expired)?;
    }
    for Expired { chunk, part, epoch } in expired {
        match part {
            None => processing::task_lost(change, chunk, epoch, 1)?,
            Some(part) => parts::task_lost(change, chunk, part, epoch, 1)?,
        }
    }
    Ok(())
}

fn find_expired(change: &Change<'_>, chunk: u32, expired: &mut Vec<Expired>) -> Result<(), StepError> {
    let over = |lease: Option<Timestamp>| lease.is_some_and(|until| until <= change.now);
    let record = change.chunk(chunk)?;
    if over(record.lease_until) {
        expired.push(Expired { chunk, part: None, epoch: record.epoch });
    }
    for (index, part) in (0..).zip(&record.parts) {
        if part.state == PartState::Processing && over(part.lease_until) {
            expired.push(Expired { chunk, part: Some(index), epoch: part.epoch });
        }
    }
    Ok(())
}
