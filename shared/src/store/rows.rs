//! A step as text, and back: what every adapter stores.

use super::StoreError;
use scriptorium_contracts::job::Step;
use scriptorium_contracts::tenant::TenantName;
use scriptorium_contracts::{JobId, Timestamp};
use serde::{Serialize, de::DeserializeOwned};

/// A step, ready to be written.
#[derive(Debug)]
pub(super) struct Rows {
    pub job: JobId,
    /// The new revision.
    pub revision: u64,
    /// Belongs to `Store::jobs_to_sweep`.
    pub open: bool,
    /// Place in `Store::jobs`.
    pub created: Timestamp,
    /// In whose list it is.
    pub tenant: Option<TenantName>,
    pub header: String,
    pub chunks: Vec<(u32, String)>,
    pub results: Vec<(u32, String)>,
    pub events: Vec<(u64, String)>,
    pub effects: Vec<EffectRow>,
}

#[derive(Debug)]
pub(super) struct EffectRow {
    pub number: u64,
    /// Milliseconds since 1970.
    pub due: u64,
    pub effect: String,
}

impl Rows {
    pub fn of(step: &Step) -> Result<Self, StoreError> {
        let header = &step.header;
        let effects = step.effects.iter().map(|pending| {
            let effect = encode(&pending.effect)?;
            Ok(EffectRow { number: pending.number, due: pending.due.0, effect })
        });
        Ok(Self {
            job: header.id,
            revision: header.revision,
            open: !header.state.is_final() || !header.objects_released,
            created: header.created_at,
            tenant: header.tenant.clone(),
            header: encode(header)?,
            chunks: numbered(step.chunks.iter().map(|record| (record.index, record)))?,
            results: numbered(step.results.iter().map(|(chunk, result)| (*chunk, result)))?,
            events: numbered(step.events.iter().map(|event| (event.id, event)))?,
            effects: effects.collect::<Result<_, StoreError>>()?,
        })
    }
}

fn numbered<'a, N, T: Serialize + 'a>(
    items: impl Iterator<Item = (N, &'a T)>,
) -> Result<Vec<(N, String)>, StoreError> {
    items.map(|(number, item)| Ok((number, encode(item)?))).collect()
}

fn encode(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Internal { detail: error.to_string() })
}

/// `what` names the kind of record for the error.
pub(super) fn decode<T: DeserializeOwned>(
    what: &'static str,
    job: JobId,
    text: impl AsRef<[u8]>,
) -> Result<T, StoreError> {
    serde_json::from_slice(text.as_ref()).map_err(|error| StoreError::Damaged {
        what,
        job: Some(job),
        detail: error.to_string(),
    })
}
