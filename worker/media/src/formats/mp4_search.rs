//! Finds movie fragments from any byte on: a chunk may begin, and end, inside of a fragment larger than itself.
//!
//! The fragment of a place is the nearest plausible `moof` before it. What was found is remembered only to spare
//! reading; the answer is the same without it, as long as no sound fragment carries another one inside of its data.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::mp4_boxes::box_at;
use super::mp4_fragment::{Fragment, fragment_at, may_begin};
use super::mp4_layout::FragmentTrack;
use crate::error::{MediaError, ReadError};
use crate::source::Span;

/// How far back the beginning of a fragment is looked for: 20 seconds of 25 Mbit/s.
const MAX_BACK: u64 = 64 * 1024 * 1024;
/// Bytes that are looked through at once.
const BLOCK: u64 = 64 * 1024;
/// Fragments whose predecessors are remembered.
const KEPT: usize = 8;
/// Bytes of a `moof` that [`may_begin`] wants to see.
const HEAD: u64 = 16;

/// A fragment, and whether what follows it confirms its length.
pub(crate) struct Found {
    pub fragment: Arc<Fragment>,
    pub sound: bool,
}

/// Finds fragments, and remembers the latest.
pub(crate) struct Finder {
    pub(crate) track: FragmentTrack,
    latest: Option<Found>,
    /// No fragment begins in this stretch.
    barren: Range<u64>,
    /// Places, and the fragments that begin nearest before them.
    before: VecDeque<(u64, Arc<Fragment>)>,
}

impl Finder {
    pub(crate) fn new(track: &FragmentTrack) -> Self {
        Self { track: track.clone(), latest: None, barren: 0..0, before: VecDeque::new() }
    }

    pub(crate) fn latest(&self) -> Option<&Found> {
        self.latest.as_ref()
    }

    /// Makes the fragment that begins nearest before `at` the latest one; false if there is none.
    pub(crate) fn cover(&mut self, bytes: &mut Span<'_>, at: u64) -> Result<bool, MediaError> {
        let known = self.latest.as_ref().filter(|found| found.sound).map(|found| &found.fragment);
        if known.is_some_and(|fragment| fragment.start < at && at <= fragment.end) {
            return Ok(true);
        }
        let lowest = at.saturating_sub(MAX_BACK).max(self.track.first);
        if let Some(fragment) = self.last_before(bytes, lowest, at)? {
            self.remember(bytes, fragment)?;
            return Ok(true);
        }
        // A file of a single, huge fragment.
        let first = fragment_at(bytes, self.track.first, &self.track)?;
        if let Some(fragment) = first.filter(|fragment| fragment.start < at && at < fragment.end) {
            self.remember(bytes, fragment)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// The fragment that begins nearest before `at`; the latest one stays what it is.
    pub(crate) fn before(
        &mut self,
        bytes: &mut Span<'_>,
        at: u64,
    ) -> Result<Option<Arc<Fragment>>, MediaError> {
        if let Some((_, known)) = self.before.iter().find(|(place, _)| *place == at) {
            return Ok(Some(known.clone()));
        }
        let lowest = at.saturating_sub(MAX_BACK).max(self.track.first);
        let found = self.last_before(bytes, lowest, at)?.map(Arc::new);
        if let Some(found) = &found {
            self.know_before(at, found.clone());
        }
        Ok(found)
    }

    /// Notes which fragment begins nearest before `at`.
    pub(crate) fn know_before(&mut self, at: u64, fragment: Arc<Fragment>) {
        if self.before.len() >= KEPT {
            self.before.pop_front();
        }
        self.before.push_back((at, fragment));
    }

    /// Makes the first fragment that begins in `range` the latest one; false if there is none.
    pub(crate) fn next(&mut self, bytes: &mut Span<'_>, range: Range<u64>) -> Result<bool, MediaError> {
        let mut budget = Budget::default();
        let mut at = range.start;
        while at < range.end {
            if self.barren.contains(&at) {
                at = self.barren.end;
                continue;
            }
            let end = at.saturating_add(BLOCK).min(range.end);
            for candidate in candidates(bytes, at, end)? {
                if let Some(fragment) = budget.checked(bytes, candidate, &self.track)? {
                    self.remember(bytes, fragment)?;
                    return Ok(true);
                }
            }
            self.forget_stretch(at, end);
            at = end;
        }
        Ok(false)
    }

    fn last_before(
        &mut self,
        bytes: &mut Span<'_>,
        lowest: u64,
        at: u64,
    ) -> Result<Option<Fragment>, MediaError> {
        let mut budget = Budget::default();
        let mut end = at;
        while end > lowest {
            if self.barren.contains(&(end - 1)) {
                end = self.barren.start;
                continue;
            }
            let start = end.saturating_sub(BLOCK).max(lowest);
            for candidate in candidates(bytes, start, end)?.into_iter().rev() {
                if let Some(fragment) = budget.checked(bytes, candidate, &self.track)? {
                    return Ok(Some(fragment));
                }
            }
            self.forget_stretch(start, end);
            end = start;
        }
        Ok(None)
    }

    fn remember(&mut self, bytes: &mut Span<'_>, fragment: Fragment) -> Result<(), MediaError> {
        // What is not uploaded yet is not waited for: without this knowledge the bytes before are looked through, which
        // leads to the same answer.
        let followed = match is_followed(bytes, fragment.end) {
            Err(MediaError::Read(ReadError::Missing { .. })) => false,
            other => other?,
        };
        self.latest = Some(Found { sound: fragment.filled && followed, fragment: Arc::new(fragment) });
        Ok(())
    }

    /// Adds a stretch without fragments to the one that is known, if they touch; else begins anew.
    fn forget_stretch(&mut self, start: u64, end: u64) {
        if start <= self.barren.end && end >= self.barren.start && !self.barren.is_empty() {
            self.barren = self.barren.start.min(start)..self.barren.end.max(end);
        } else {
            self.barren = start..end;
        }
    }
}

/// Places in `start..end` at which a `moof` may begin.
fn candidates(bytes: &mut Span<'_>, start: u64, end: u64) -> Result<Vec<u64>, MediaError> {
    let block = bytes.slice_ahead(start, end.saturating_add(HEAD - 1), 0)?;
    // Windows as long as a head: there is no room for a `moof` in what is shorter.
    Ok(block.windows(16).zip(start..end).filter(|(head, _)| may_begin(head)).map(|(_, at)| at).collect())
}

/// Whether a box of the top level, or the end of the file, is at `at`.
pub(crate) fn is_followed(bytes: &mut Span<'_>, at: u64) -> Result<bool, MediaError> {
    const KNOWN: [&[u8; 4]; 13] = [
        b"moof", b"mdat", b"sidx", b"ssix", b"styp", b"emsg", b"prft", b"free", b"skip", b"uuid", b"mfra",
        b"moov", b"meta",
    ];
    if at == bytes.source_len() {
        return Ok(true);
    }
    Ok(box_at(bytes, at)?.is_some_and(|found| KNOWN.contains(&&found.kind)))
}

/// Bounds the work that crafted bytes can cause: what was parsed in vain.
#[derive(Default)]
struct Budget {
    spent: u64,
}

impl Budget {
    /// Twice the largest `moof`.
    const MOST: u64 = 64 * 1024 * 1024;

    fn checked(
        &mut self,
        bytes: &mut Span<'_>,
        at: u64,
        track: &FragmentTrack,
    ) -> Result<Option<Fragment>, MediaError> {
        if self.spent > Self::MOST {
            return Ok(None);
        }
        let size = box_at(bytes, at)?.map_or(0, |found| found.end.saturating_sub(at));
        let found = fragment_at(bytes, at, track)?;
        self.spent = self.spent.saturating_add(if found.is_none() { size } else { 0 });
        Ok(found)
    }
}
