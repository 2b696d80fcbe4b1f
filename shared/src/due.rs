//! What is due outside and not yet done, as far as this process has it in hand: webhooks to be told, recordings to be fetched.
//! All of it is remembered in the job store: what finds no place here is found again by the next sweep.

use crate::store::EffectKey;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What waits in a process.
const MAX_WAITING: usize = 1_024;

/// How much is done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AtOnce {
    pub all: usize,
    /// With one server.
    pub each: usize,
}

/// A remembered effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due<T> {
    pub key: EffectKey,
    /// With whom it is done: host and port.
    pub server: String,
    pub what: T,
}

#[derive(Debug)]
struct Shelf<T> {
    waiting: BTreeMap<EffectKey, Due<T>>,
    /// By server.
    under_way: BTreeMap<EffectKey, String>,
}

impl<T> Shelf<T> {
    /// False if there is no room, or it is here already.
    fn offer(&mut self, due: Due<T>) -> bool {
        if self.waiting.len() >= MAX_WAITING || self.under_way.contains_key(&due.key) {
            return false;
        }
        self.waiting.insert(due.key, due).is_none()
    }

    /// The one that has waited longest, of those whose server is not busy with others.
    fn take(&mut self, at_once: AtOnce) -> Option<Due<T>> {
        if self.under_way.len() >= at_once.all {
            return None;
        }
        let mut busy: BTreeMap<&str, usize> = BTreeMap::new();
        for server in self.under_way.values() {
            *busy.entry(server).or_default() += 1;
        }
        let is_free = |due: &&Due<T>| busy.get(due.server.as_str()).is_none_or(|count| *count < at_once.each);
        let key = self.waiting.values().find(is_free)?.key;
        let due = self.waiting.remove(&key)?;
        self.under_way.insert(key, due.server.clone());
        Some(due)
    }
}

/// Shared by the sweep, which offers, and those who do it. Clones belong together.
#[derive(Debug)]
pub(crate) struct DueList<T> {
    shelf: Arc<Mutex<Shelf<T>>>,
    changed: Arc<Notify>,
}

impl<T> Default for DueList<T> {
    fn default() -> Self {
        let shelf = Shelf { waiting: BTreeMap::new(), under_way: BTreeMap::new() };
        Self { shelf: Arc::new(Mutex::new(shelf)), changed: Arc::default() }
    }
}

impl<T> Clone for DueList<T> {
    fn clone(&self) -> Self {
        Self { shelf: Arc::clone(&self.shelf), changed: Arc::clone(&self.changed) }
    }
}

impl<T> DueList<T> {
    pub fn offer(&self, due: Due<T>) {
        if self.lock().offer(due) {
            self.changed.notify_one();
        }
    }

    /// The next one that may be done now, with its place, which is to be kept until it is done.
    pub fn take(&self, at_once: AtOnce) -> Option<(Due<T>, Place<T>)> {
        let due = self.lock().take(at_once)?;
        let place = Place { due: self.clone(), key: due.key };
        Some((due, place))
    }

    /// Whether something waits for what is under way.
    pub fn is_waited_for(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// Until something was offered or done. For one who waits.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Shelf<T>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Comes free when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<T> {
    due: DueList<T>,
    key: EffectKey,
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        self.due.lock().under_way.remove(&self.key);
        self.due.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scriptorium_contracts::{JobId, Timestamp};

    const AT_ONCE: AtOnce = AtOnce { all: 64, each: 4 };

    fn due(at: u64, server: &str) -> Due<u32> {
        let job = JobId::new(uuid::Uuid::from_u128(u128::from(at)));
        let key = EffectKey { due: Timestamp(at), job, number: 1 };
        Due { key, server: server.to_owned(), what: 7 }
    }

    fn taken(shelf: &DueList<u32>) -> Vec<(u64, Place<u32>)> {
        std::iter::from_fn(|| shelf.take(AT_ONCE)).map(|(due, place)| (due.key.due.0, place)).collect()
    }

    #[test]
    fn one_server_leaves_room_for_the_others() {
        let shelf = DueList::default();
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
        let shelf = DueList::default();
        for at in 0..5_000 {
            shelf.offer(due(at, &format!("server {at}")));
        }
        assert_eq!(shelf.lock().waiting.len(), MAX_WAITING);
        let places = taken(&shelf);
        assert_eq!(places.len(), AT_ONCE.all);
        drop(places);
        assert!(shelf.lock().under_way.is_empty());
    }
}
