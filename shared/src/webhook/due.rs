//! What is due and not yet delivered, as far as this process has it in hand. All of it is remembered in the job store: what
//! finds no place here is found again by the next sweep.

use crate::store::EffectKey;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Deliveries that wait in a process.
const MAX_WAITING: usize = 1_024;
/// Deliveries at once.
const AT_ONCE: usize = 64;
/// To one receiver.
const AT_ONCE_EACH: usize = 4;

/// A remembered [`scriptorium_contracts::job::Effect::DeliverWebhook`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DueWebhook {
    pub key: EffectKey,
    pub webhook: u32,
    pub token: u32,
    /// Host and port.
    pub receiver: String,
}

#[derive(Debug, Default)]
struct Shelf {
    waiting: BTreeMap<EffectKey, DueWebhook>,
    /// By receiver.
    under_way: BTreeMap<EffectKey, String>,
}

impl Shelf {
    /// False if there is no room, or it is here already.
    fn offer(&mut self, due: DueWebhook) -> bool {
        if self.waiting.len() >= MAX_WAITING || self.under_way.contains_key(&due.key) {
            return false;
        }
        self.waiting.insert(due.key, due).is_none()
    }

    /// The one that has waited longest, of those whose receiver is not busy with others.
    fn take(&mut self) -> Option<DueWebhook> {
        if self.under_way.len() >= AT_ONCE {
            return None;
        }
        let mut busy: BTreeMap<&str, usize> = BTreeMap::new();
        for receiver in self.under_way.values() {
            *busy.entry(receiver).or_default() += 1;
        }
        let is_free =
            |due: &&DueWebhook| busy.get(due.receiver.as_str()).is_none_or(|count| *count < AT_ONCE_EACH);
        let key = self.waiting.values().find(is_free)?.key;
        let due = self.waiting.remove(&key)?;
        self.under_way.insert(key, due.receiver.clone());
        Some(due)
    }
}

/// Shared by the sweep, which offers, and those who deliver. Clones belong together.
#[derive(Clone, Debug, Default)]
pub(crate) struct DueWebhooks {
    shelf: Arc<Mutex<Shelf>>,
    changed: Arc<Notify>,
}

impl DueWebhooks {
    pub fn offer(&self, due: DueWebhook) {
        if self.lock().offer(due) {
            self.changed.notify_one();
        }
    }

    /// The next one that may be delivered now, with its place, which is to be kept until it is done.
    pub fn take(&self) -> Option<(DueWebhook, Place)> {
        let due = self.lock().take()?;
        let place = Place { due: self.clone(), key: due.key };
        Some((due, place))
    }

    /// Until something was offered or done. For one who waits.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Comes free when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    due: DueWebhooks,
    key: EffectKey,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.due.lock().under_way.remove(&self.key);
        self.due.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scriptorium_contracts::{JobId, Timestamp};

    fn due(at: u64, receiver: &str) -> DueWebhook {
        let job = JobId::new(uuid::Uuid::from_u128(u128::from(at)));
        let key = EffectKey { due: Timestamp(at), job, number: 1 };
        DueWebhook { key, webhook: 1, token: 1, receiver: receiver.to_owned() }
    }

    fn taken(shelf: &DueWebhooks) -> Vec<(u64, Place)> {
        std::iter::from_fn(|| shelf.take()).map(|(due, place)| (due.key.due.0, place)).collect()
    }

    #[test]
    fn one_receiver_leaves_room_for_the_others() {
        let shelf = DueWebhooks::default();
        for at in 0..100 {
            shelf.offer(due(at, "slow"));
        }
        shelf.offer(due(200, "other"));
        let mut first = taken(&shelf);
        assert_eq!(first.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 1, 2, 3, 200]);
        // What the sweep finds again is not begun again.
        shelf.offer(due(2, "slow"));
        shelf.offer(due(7, "slow"));
        drop(first.remove(1));
        assert_eq!(taken(&shelf).iter().map(|(at, _)| *at).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn so_many_at_once_and_so_many_in_hand() {
        let shelf = DueWebhooks::default();
        for at in 0..5_000 {
            shelf.offer(due(at, &format!("receiver {at}")));
        }
        assert_eq!(shelf.lock().waiting.len(), MAX_WAITING);
        let places = taken(&shelf);
        assert_eq!(places.len(), AT_ONCE);
        drop(places);
        assert!(shelf.lock().under_way.is_empty());
    }
}
