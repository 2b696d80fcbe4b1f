//! The pages of an Ogg stream block by block, and which link of the chain each of them belongs to.
//!
//! What is remembered here are facts about the bytes alone, so that it never matters what was read before.

use std::collections::{HashMap, VecDeque};
use std::mem::discriminant;
use std::ops::Range;
use std::sync::Arc;

use super::ogg_link::{Link, open};
use super::ogg_page::{Page, pages_in};
use crate::decode::Decoder;
use crate::error::MediaError;
use crate::init::{Codec, InitSection, OggLink};
use crate::source::Span;

/// Bytes of a block: no page is longer, so that the page over a block's edge begins in the block before.
pub(crate) const BLOCK: u64 = 64 * 1024;
/// Blocks in which pages of a stream are looked for: between them may lie 2 MiB of video.
pub(crate) const REACH: u64 = 32;
/// Blocks whose pages are remembered.
const BLOCKS_KEPT: usize = REACH as usize + 8;
/// Facts of other kinds that are remembered.
const FACTS_KEPT: usize = 8_192;
/// Links that a run may try in vain, and streams it may look up: bounds the work that crafted bytes can cause.
const MOST_TRIES: usize = 4;
const MOST_STREAMS: usize = 16;

/// Access to pages and links.
pub(crate) struct Chain {
    init: InitSection,
    first: Arc<Link>,
    blocks: VecDeque<(u64, Arc<[Page]>)>,
    /// The streams of which pages begin in a block.
    serials: HashMap<u64, Vec<u32>>,
    links: HashMap<u64, Option<Arc<Link>>>,
    /// Of the present run: links tried in vain, and the links of streams it met.
    tries: usize,
    streams: Vec<(u32, Option<Arc<Link>>)>,
}

impl Chain {
    pub(crate) fn new(init: &InitSection, place: &OggLink) -> Self {
        let first = Link {
            place: place.clone(),
            codec: init.codec.clone(),
            rate: init.rate(),
            channels: init.media.channels,
            joins: true,
        };
        Self {
            init: init.clone(),
            first: Arc::new(first),
            blocks: VecDeque::new(),
            serials: HashMap::new(),
            links: HashMap::new(),
            tries: 0,
            streams: Vec::new(),
        }
    }

    /// Begins a run: from here on, what is found depends on the bytes and the calls alone.
    pub(crate) fn restart(&mut self) {
        self.tries = 0;
        self.streams.clear();
    }

    pub(crate) fn first(&self) -> &Arc<Link> {
        &self.first
    }

    /// Frames a second of the recording.
    pub(crate) fn rate(&self) -> u32 {
        self.init.rate()
    }

    /// Number of blocks.
    pub(crate) fn count(&self) -> u64 {
        (self.init.data_end - self.init.data_start).div_ceil(BLOCK)
    }

    /// The block in which a byte lies.
    pub(crate) fn block_of(&self, offset: u64) -> u64 {
        offset.saturating_sub(self.init.data_start) / BLOCK
    }

    /// The bytes of a block, as a cell of packets.
    pub(crate) fn cell(&self, block: u64) -> Range<u64> {
        let data = self.init.data();
        let start = block.saturating_mul(BLOCK).saturating_add(data.start).min(data.end);
        start..start.saturating_add(BLOCK).min(data.end)
    }

    /// The bytes in which a block's pages begin: the first packet lies on a page that begins before it.
    fn page_range(&self, block: u64) -> Range<u64> {
        let cell = self.cell(block);
        if block == 0 { self.first.place.data.min(cell.start)..cell.end } else { cell }
    }

    /// The pages that begin in a block, in order.
    pub(crate) fn pages(&mut self, bytes: &mut Span<'_>, block: u64) -> Result<Arc<[Page]>, MediaError> {
        if let Some((_, pages)) = self.blocks.iter().find(|(kept, _)| *kept == block) {
            return Ok(pages.clone());
        }
        let pages: Arc<[Page]> = pages_in(bytes, self.page_range(block))?.into();
        if self.blocks.len() >= BLOCKS_KEPT {
            self.blocks.pop_front();
        }
        self.blocks.push_back((block, pages.clone()));
        Ok(pages)
    }

    /// The link that begins with the group of first pages to which `page` belongs; `None` if it has no audio that can
    /// be told in frames.
    pub(crate) fn beginning(
        &mut self,
        bytes: &mut Span<'_>,
        page: &Page,
    ) -> Result<Option<Arc<Link>>, MediaError> {
        let block = self.block_of(page.start);
        let before = self.pages(bytes, block.saturating_sub(1))?;
        let own = self.pages(bytes, block)?;
        let mut at = page.start;
        for other in own.iter().rev().chain(before.iter().rev()) {
            if other.is_first() && other.end() == at {
                at = other.start;
            }
        }
        self.load(bytes, at)
    }

    fn load(&mut self, bytes: &mut Span<'_>, at: u64) -> Result<Option<Arc<Link>>, MediaError> {
        let known = self.links.get(&at).cloned();
        let link = match known {
            Some(link) => link,
            None if self.tries >= MOST_TRIES => return Ok(None),
            None => match open(bytes, at) {
                Ok(opened) => Some(Arc::new(self.joined(opened.link))),
                Err(MediaError::Read(error)) => return Err(error.into()),
                Err(_) => None,
            },
        };
        // Counted whether it was known or not: what is found must not depend on that.
        if link.is_none() {
            self.tries += 1;
        }
        if self.tries > MOST_TRIES {
            return Ok(None);
        }
        if self.links.len() >= FACTS_KEPT {
            self.links.clear();
        }
        self.links.insert(at, link.clone());
        Ok(link)
    }

    /// Decides whether a link can follow on the first one. The number of channels may change: it is mapped.
    fn joined(&self, link: Link) -> Link {
        let opus = |codec: &Codec| matches!(codec, Codec::Opus { .. });
        let own = &self.init.codec;
        let alike = discriminant(own) == discriminant(&link.codec) || opus(own) && opus(&link.codec);
        let joins = alike && link.rate == self.init.rate() && {
            Decoder::new(&InitSection { codec: link.codec.clone(), ..self.init.clone() }).is_ok()
        };
        Link { joins, ..link }
    }

    /// The link of a page in the middle of it; `None` if its headers are lost or useless.
    ///
    /// Serial numbers are taken to be unique, as RFC 3533 demands: a link that has the number of the first one is
    /// known by its first page only, and its later pages are timed and decoded as the first link's.
    pub(crate) fn link_of(
        &mut self,
        bytes: &mut Span<'_>,
        page: &Page,
    ) -> Result<Option<Arc<Link>>, MediaError> {
        if self.is_first_links(page.serial) {
            return Ok(Some(self.first.clone()));
        }
        if let Some((_, link)) = self.streams.iter().find(|(serial, _)| *serial == page.serial) {
            return Ok(link.clone());
        }
        if self.streams.len() >= MOST_STREAMS {
            return Ok(None);
        }
        let link = match self.first_page_of(bytes, page.serial, self.block_of(page.start))? {
            Some(first) => self.beginning(bytes, &first)?,
            None => None,
        };
        self.streams.push((page.serial, link.clone()));
        Ok(link)
    }

    fn is_first_links(&self, serial: u32) -> bool {
        self.first.place.serial == serial || self.first.place.others.contains(&serial)
    }

    /// The first page of a stream of which pages begin in `block`, by bisection: the pages of a link lie together.
    fn first_page_of(
        &mut self,
        bytes: &mut Span<'_>,
        serial: u32,
        block: u64,
    ) -> Result<Option<Page>, MediaError> {
        let (mut below, mut at) = (0, block);
        if at > 0 && self.lies_in(bytes, serial, 0, at)? {
            at = 0;
        }
        while at > below + 1 {
            let middle = roundest(below, at);
            if self.lies_in(bytes, serial, middle, at)? {
                at = middle;
            } else {
                below = middle;
            }
        }
        for block in at..=block.min(at + REACH) {
            let pages = self.pages(bytes, block)?;
            if let Some(first) = pages.iter().find(|page| page.serial == serial) {
                return Ok(Some(first.clone()).filter(Page::is_first));
            }
        }
        Ok(None)
    }

    /// Whether pages of a stream begin in one of the blocks from `from` on, before `to`.
    fn lies_in(&mut self, bytes: &mut Span<'_>, serial: u32, from: u64, to: u64) -> Result<bool, MediaError> {
        for block in from..to.min(from + REACH) {
            if !self.serials.contains_key(&block) {
                let mut serials: Vec<u32> =
                    self.pages(bytes, block)?.iter().map(|page| page.serial).collect();
                serials.sort_unstable();
                serials.dedup();
                if self.serials.len() >= FACTS_KEPT {
                    self.serials.clear();
                }
                self.serials.insert(block, serials);
            }
            let serials = self.serials.get(&block).map_or([].as_slice(), Vec::as_slice);
            if serials.contains(&serial) {
                return Ok(true);
            }
            if serials.iter().any(|other| self.is_first_links(*other)) {
                return Ok(false);
            }
        }
        Ok(false)
    }
}

/// The number between two others (exclusive) with the most trailing zeros: neighbouring searches so ask the same.
fn roundest(below: u64, above: u64) -> u64 {
    let last = above.saturating_sub(1);
    let shift = (below ^ last).checked_ilog2().unwrap_or(0);
    last >> shift << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bisection_asks_for_round_numbers() {
        assert_eq!(roundest(0, 2), 1);
        assert_eq!(roundest(0, 100), 64);
        assert_eq!(roundest(64, 100), 96);
        assert_eq!(roundest(96, 100), 98);
        assert_eq!(roundest(7, 9), 8);
        for (below, above) in [(0, 3), (5, 9), (63, 65), (100, 1000)] {
            let middle = roundest(below, above);
            assert!(below < middle && middle < above, "{below} {middle} {above}");
        }
    }
}
