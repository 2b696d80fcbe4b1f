//! A set of chunk numbers that is small in a record.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Chunk numbers, one bit each; on the wire a hexadecimal string, lowest chunks first, without trailing zeros.
/// At most 1 280 bytes for the largest job, so that writing it with each event keeps the cost of an event bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkSet {
    /// Never ends with a zero byte, so that equal sets are equal.
    bytes: Vec<u8>,
}

impl ChunkSet {
    pub fn contains(&self, chunk: u32) -> bool {
        self.bytes.get(chunk as usize / 8).is_some_and(|byte| byte & (1 << (chunk % 8)) != 0)
    }

    /// True if it was not there.
    pub fn insert(&mut self, chunk: u32) -> bool {
        let at = chunk as usize / 8;
        if at >= self.bytes.len() {
            self.bytes.resize(at + 1, 0);
        }
        let new = !self.contains(chunk);
        if let Some(byte) = self.bytes.get_mut(at) {
            *byte |= 1 << (chunk % 8);
        }
        new
    }

    /// True if it was there.
    pub fn remove(&mut self, chunk: u32) -> bool {
        let there = self.contains(chunk);
        if let Some(byte) = self.bytes.get_mut(chunk as usize / 8) {
            *byte &= !(1 << (chunk % 8));
        }
        while self.bytes.last() == Some(&0) {
            self.bytes.pop();
        }
        there
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    pub fn len(&self) -> u32 {
        self.bytes.iter().map(|byte| byte.count_ones()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.bytes.iter().zip(0u32..).flat_map(|(byte, at)| {
            (0..8).filter(move |bit| byte & (1 << bit) != 0).map(move |bit| at * 8 + bit)
        })
    }

    pub fn first(&self) -> Option<u32> {
        self.iter().next()
    }

    /// How many chunks from 0 on are in the set without a hole.
    pub fn leading(&self) -> u32 {
        let whole = self.bytes.iter().take_while(|byte| **byte == 0xff).count();
        let rest = self.bytes.get(whole).map_or(0, |byte| byte.trailing_ones());
        whole as u32 * 8 + rest
    }
}

impl FromIterator<u32> for ChunkSet {
    fn from_iter<I: IntoIterator<Item = u32>>(chunks: I) -> Self {
        let mut set = Self::default();
        for chunk in chunks {
            set.insert(chunk);
        }
        set
    }
}

impl Serialize for ChunkSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = self.bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let text: String = digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect();
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for ChunkSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() > 2 * (super::MAX_CHUNKS as usize / 8 + 1) {
            return Err(D::Error::custom("chunk set too long"));
        }
        if !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(D::Error::custom("chunk set is not hexadecimal"));
        }
        let mut bytes = (0..text.len())
            .step_by(2)
            .map(|at| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
            .collect::<Option<Vec<u8>>>()
            .ok_or_else(|| D::Error::custom("chunk set is not hexadecimal"))?;
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        Ok(Self { bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_as_a_set(inputs in proptest::collection::vec((0u32..10_240, any::<bool>()), 0..300)) {
            let (mut ours, mut model) = (ChunkSet::default(), BTreeSet::new());
            for (chunk, add) in inputs {
                if add {
                    prop_assert_eq!(ours.insert(chunk), model.insert(chunk));
                } else {
                    prop_assert_eq!(ours.remove(chunk), model.remove(&chunk));
                }
            }
            prop_assert_eq!(ours.len() as usize, model.len());
            prop_assert_eq!(ours.is_empty(), model.is_empty());
            prop_assert_eq!(ours.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(ours.leading(), (0..).take_while(|chunk| model.contains(chunk)).count() as u32);
            let text = serde_json::to_string(&ours)?;
            prop_assert_eq!(serde_json::from_str::<ChunkSet>(&text)?, ours);
        }
    }

    #[test]
    fn refuses_what_is_no_set() {
        for text in ["\"0\"", "\"zz\"", "\"+f\"", "\"é\"", "7", &format!("{:?}", "ff".repeat(2000))] {
            assert!(serde_json::from_str::<ChunkSet>(text).is_err(), "{text}");
        }
    }
}
