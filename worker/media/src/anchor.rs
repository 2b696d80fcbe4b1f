//! Anchors: packets chosen by their content alone, so that workers that never speak choose the same ones.

use std::collections::VecDeque;

use crate::error::MediaError;
use crate::packet::Packet;

/// ±W: a packet is an anchor if its rank is the highest within this many seconds before and after it.
///
/// Anchors so lie between W and, on average, 2 W seconds apart.
pub const ANCHOR_SECONDS: u32 = 20;

/// Most packets that are looked at at once: 2 W of blocks of some 40 frames at 44.1 kHz.
const MOST_PACKETS: usize = 100_000;

/// A packet with the frame at which it starts, relative to the chunk's first owned packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub packet: Packet,
    pub start: i64,
}

impl Placed {
    pub(crate) fn end(&self) -> i64 {
        self.start.saturating_add_unsigned(self.packet.duration())
    }
}

/// Finds anchors in a stream of packets, keeping only the packets within ±W.
///
/// The first packet of the recording is always an anchor, and none lies within W of either end, so that no passage
/// is shorter than W less the two windows in which its cuts are sought.
pub(crate) struct AnchorFinder {
    window: i64,
    file_start: u64,
    /// The latest packets, at least 2 W of them, and beyond that none.
    recent: VecDeque<Placed>,
    /// Packets that no later one within W exceeds, in falling order of rank.
    falling: VecDeque<(i64, (u64, u64))>,
    /// The highest of its W before, not yet exceeded.
    candidate: Option<Placed>,
}

impl AnchorFinder {
    pub(crate) fn new(rate: u32, file_start: u64) -> Self {
        Self {
            window: i64::from(ANCHOR_SECONDS) * i64::from(rate),
            file_start,
            recent: VecDeque::new(),
            falling: VecDeque::new(),
            candidate: None,
        }
    }

    /// Takes the next packet; returns the anchor that it confirms by lying more than W after it.
    pub(crate) fn push(&mut self, next: Placed) -> Result<Option<Placed>, MediaError> {
        let confirmed = self.candidate.take_if(|found| next.start - found.start > self.window);
        let rank = self.rank(&next.packet);
        while self.falling.front().is_some_and(|(start, _)| next.start - start > self.window) {
            self.falling.pop_front();
        }
        // Ranks rarely tie (they hold the position); if they do, the earlier packet wins.
        if self.falling.front().is_none_or(|(_, highest)| rank > *highest) {
            self.candidate = Some(next);
        }
        while self.falling.back().is_some_and(|(_, lower)| *lower <= rank) {
            self.falling.pop_back();
        }
        self.falling.push_back((next.start, rank));
        self.remember(next)?;
        Ok(confirmed)
    }

    /// The packet that will be an anchor unless a higher one follows within W.
    pub(crate) fn candidate(&self) -> Option<&Placed> {
        self.candidate.as_ref()
    }

    /// The latest packets in order: those within W before an anchor that `push` just returned, and all after it.
    pub(crate) fn recent(&mut self) -> &[Placed] {
        self.recent.make_contiguous()
    }

    fn rank(&self, packet: &Packet) -> (u64, u64) {
        if packet.offset == self.file_start { (u64::MAX, u64::MAX) } else { packet.rank() }
    }

    fn remember(&mut self, next: Placed) -> Result<(), MediaError> {
        // Counted from the packet before: `next` may lie far away, behind a damaged stretch, and yet confirm an anchor
        // whose surroundings are still needed.
        let latest = self.recent.back().map_or(next.start, |before| before.start);
        let oldest = latest.saturating_sub(2 * self.window);
        self.recent.push_back(next);
        // The one packet that reaches over the edge stays.
        while self.recent.get(1).is_some_and(|second| second.start < oldest) {
            self.recent.pop_front();
        }
        if self.recent.len() > MOST_PACKETS {
            return Err(MediaError::Limit {
                what: format!("more than {MOST_PACKETS} packets in {} seconds", 2 * ANCHOR_SECONDS),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn packets(hashes: &[u64]) -> Vec<Placed> {
        hashes
            .iter()
            .enumerate()
            .map(|(i, hash)| Placed {
                packet: Packet {
                    offset: i as u64 * 100,
                    hash: *hash,
                    len: 100,
                    frames: 1000,
                    lead: 0,
                    tail: 0,
                    carry: 0,
                    damaged: false,
                },
                start: i as i64 * 1000,
            })
            .collect()
    }

    /// By the definition, without any cleverness.
    fn by_definition(list: &[Placed], window: i64, file_start: u64) -> Vec<i64> {
        let rank =
            |p: &Placed| if p.packet.offset == file_start { (u64::MAX, u64::MAX) } else { p.packet.rank() };
        let last = list.last().unwrap().start;
        list.iter()
            .filter(|p| last - p.start > window)
            .filter(|p| {
                list.iter()
                    .all(|q| (q.start - p.start).abs() > window || q.start == p.start || rank(q) < rank(p))
            })
            .map(|p| p.start)
            .collect()
    }

    fn found(list: &[Placed], rate: u32) -> Vec<i64> {
        let mut finder = AnchorFinder::new(rate, 0);
        list.iter().filter_map(|p| finder.push(*p).unwrap()).map(|p| p.start).collect()
    }

    #[test]
    fn anchors_are_the_highest_of_their_surroundings() {
        let mut x = 1u64;
        let hashes: Vec<u64> = (0..3000)
            .map(|_| {
                x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                x >> 33
            })
            .collect();
        let list = packets(&hashes);
        let anchors = found(&list, 1000);
        assert_eq!(anchors, by_definition(&list, 20_000, 0));
        assert!(anchors.len() > 50 && anchors.windows(2).all(|pair| pair[1] - pair[0] > 20_000));
    }

    #[test]
    fn equal_packets_have_anchors_too() {
        let list = packets(&[7; 3000]);
        let anchors = found(&list, 1000);
        assert_eq!(anchors, by_definition(&list, 20_000, 0));
        assert!(anchors.len() > 50 && anchors.windows(2).all(|pair| pair[1] - pair[0] < 200_000));
    }

    #[test]
    fn a_long_gap_leaves_the_surroundings_of_the_anchor_it_confirms() {
        let mut list = packets(&[5, 4, 3, 2, 1].repeat(20));
        list[50].packet.hash = u64::MAX - 1;
        for placed in &mut list[61..] {
            placed.start += 500_000;
        }
        let mut finder = AnchorFinder::new(1000, 0);
        for placed in &list {
            if finder.push(*placed).unwrap().is_some_and(|anchor| anchor.start == 50_000) {
                assert!(finder.recent()[0].start <= 30_000);
                return;
            }
        }
        unreachable!("the anchor was not found");
    }

    #[test]
    fn only_two_windows_of_packets_are_kept() {
        let mut finder = AnchorFinder::new(1000, 0);
        for placed in packets(&[1; 5000]) {
            finder.push(placed).unwrap();
            assert!(finder.recent().len() <= 44);
        }
    }
}
