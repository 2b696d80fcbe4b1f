//! The nearest level: what this process has met last, in a bounded number of bytes.

use bytes::Bytes;
use scriptorium_shared::cache::CacheKey;
use std::collections::{BTreeMap, HashMap};

/// Bytes that an entry is taken to need besides its value.
const BESIDES: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Memory {
    max_bytes: usize,
    bytes: usize,
    entries: HashMap<CacheKey, Entry>,
    /// By the time of their last use.
    by_use: BTreeMap<u64, CacheKey>,
    /// Counts uses.
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    value: Bytes,
    used: u64,
}

impl Memory {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, ..Self::default() }
    }

    pub(super) fn get(&mut self, key: &CacheKey) -> Option<Bytes> {
        self.clock += 1;
        let entry = self.entries.get_mut(key)?;
        self.by_use.remove(&entry.used);
        entry.used = self.clock;
        self.by_use.insert(entry.used, *key);
        Some(entry.value.clone())
    }

    /// What was not used for longest makes room.
    pub(super) fn put(&mut self, key: CacheKey, value: Bytes) {
        self.remove(&key);
        let needed = value.len().saturating_add(BESIDES);
        if needed > self.max_bytes {
            return;
        }
        while self.bytes > self.max_bytes - needed {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            self.remove(&oldest);
        }
        self.clock += 1;
        self.bytes += needed;
        self.by_use.insert(self.clock, key);
        // A copy: the value may be a piece of something larger.
        self.entries.insert(key, Entry { value: Bytes::copy_from_slice(&value), used: self.clock });
    }

    pub(super) fn remove(&mut self, key: &CacheKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_use.remove(&entry.used);
            self.bytes -= entry.value.len() + BESIDES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(number: u8) -> CacheKey {
        [number; 32]
    }

    fn value(bytes: usize) -> Bytes {
        vec![7; bytes].into()
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut memory = Memory::new(3 * (1_000 + BESIDES));
        for number in 1..=3 {
            memory.put(key(number), value(1_000));
        }
        assert!(memory.get(&key(1)).is_some());
        memory.put(key(4), value(1_000));
        assert_eq!([1, 2, 3, 4].map(|number| memory.get(&key(number)).is_some()), [true, false, true, true]);
        // A longer one takes the place of two, and one that is too long of none.
        memory.put(key(5), value(2_000));
        memory.put(key(6), value(10_000));
        assert_eq!(
            [1, 3, 4, 5, 6].map(|number| memory.get(&key(number)).is_some()),
            [false, false, true, true, false]
        );
        memory.put(key(5), value(10_000));
        assert!(memory.get(&key(5)).is_none(), "the old one is not left in the place of the new");
        let mut none = Memory::new(0);
        none.put(key(1), value(1));
        assert!(none.get(&key(1)).is_none());
    }

    proptest! {
        #[test]
        fn it_never_holds_more_than_it_may(steps in prop::collection::vec((any::<bool>(), 0u8..20, 0usize..3_000), 0..200)) {
            let mut memory = Memory::new(10_000);
            for (put, number, size) in steps {
                if put {
                    memory.put(key(number), value(size));
                } else if let Some(found) = memory.get(&key(number)) {
                    prop_assert!(found.iter().all(|byte| *byte == 7));
                }
                let held: usize = memory.entries.values().map(|entry| entry.value.len() + BESIDES).sum();
                prop_assert_eq!(held, memory.bytes);
                prop_assert!(held <= 10_000);
                prop_assert_eq!(memory.by_use.len(), memory.entries.len());
            }
        }
    }
}
