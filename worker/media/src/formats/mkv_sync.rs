//! Matroska and WebM: where blocks begin, from any byte on.

use std::ops::Range;

use super::mkv_elements::{Element, Known, element_at, may_follow};
use crate::error::MediaError;
use crate::source::Span;

/// Blocks in a row that make a chain. Some 20 bits of each must fit.
const CHAIN: usize = 4;
/// Most elements that a chain may have, blocks or not.
const MAX_LINKS: usize = 3 * CHAIN;
/// Candidates that may fail before no more are tried: each may cost reads far away, and crafted bytes may hold one
/// after another. Of random bytes one in half a million is a candidate.
const BUDGET: u32 = 256;

/// Looks for the places where blocks begin.
pub(crate) struct Sync<'k> {
    known: &'k Known,
    budget: u32,
}

impl<'k> Sync<'k> {
    pub(crate) fn new(known: &'k Known) -> Self {
        Self { known, budget: BUDGET }
    }

    /// The first cluster or chain of blocks that begins in `range`.
    pub(crate) fn search(
        &mut self,
        bytes: &mut Span<'_>,
        range: Range<u64>,
    ) -> Result<Option<u64>, MediaError> {
        const STEP: u64 = 16 * 1024;
        let mut at = range.start;
        while at < range.end {
            let end = (at + STEP).min(range.end);
            let candidates: Vec<(u8, u64)> = bytes
                .slice(at, end)?
                .iter()
                .copied()
                .zip(at..)
                // The first bytes of SimpleBlock, BlockGroup and Cluster.
                .filter(|(byte, _)| matches!(byte, 0xa3 | 0xa0 | 0x1f))
                .collect();
            for (first, offset) in candidates {
                // Clusters are recognised where they stand, at no cost.
                let affordable = self.budget > 0 || first == 0x1f;
                if affordable && self.begins(bytes, offset)? {
                    return Ok(Some(offset));
                }
            }
            at = end;
        }
        Ok(None)
    }

    fn begins(&mut self, bytes: &mut Span<'_>, at: u64) -> Result<bool, MediaError> {
        match element_at(bytes, at, self.known)? {
            Some(Element::Cluster { body, .. }) => may_follow(bytes, body, self.known.end),
            Some(Element::Block(_)) => {
                let found = self.chain_begins(bytes, at)?;
                self.budget = self.budget.saturating_sub(u32::from(!found));
                Ok(found)
            }
            Some(Element::Enter { .. } | Element::Timestamp { .. } | Element::Skip { .. }) | None => {
                Ok(false)
            }
        }
    }

    /// Whether blocks stand at `at` and behind it: [`CHAIN`] of them, or fewer and then a cluster or the end.
    fn chain_begins(&self, bytes: &mut Span<'_>, at: u64) -> Result<bool, MediaError> {
        let (mut next, mut blocks) = (at, 0);
        for _ in 0..MAX_LINKS {
            match element_at(bytes, next, self.known)? {
                Some(Element::Block(block)) => {
                    blocks += 1;
                    next = block.range.end;
                }
                Some(Element::Skip { end } | Element::Timestamp { end, .. }) => next = end,
                Some(Element::Cluster { body, .. }) => return may_follow(bytes, body, self.known.end),
                Some(Element::Enter { .. }) => return Ok(blocks >= 2),
                None => return Ok(blocks >= 2 && next == self.known.end),
            }
            if blocks >= CHAIN {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
