//! Ogg with Opus, Vorbis or FLAC: one cell a block of pages, links of a chain one after the other.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::Scanner;
use super::ogg_chain::{BLOCK, Chain, REACH};
use super::ogg_link::{Link, open};
use super::ogg_page::{Page, is_cut_off};
use super::ogg_walk::{Found, PageWalk, Wanted};
use super::tail::trailing_bytes;
use crate::error::MediaError;
use crate::init::{Codec, InitSection, Layout, OggLink, PacketTiming};
use crate::packet::Packet;
use crate::source::Span;

/// Cells in which the first packet is looked for.
const FIRST_CELLS: u64 = 1_024;
/// Blocks by which the length is estimated: 512 KiB, which nearly always lie in the first chunk.
const ESTIMATE_BLOCKS: u64 = 8;

/// Reads the headers of the first link, whose first page stands at `base`, and finds its first packet.
pub(crate) fn probe(bytes: &mut Span<'_>, base: u64) -> Result<InitSection, MediaError> {
    let mut init = open(bytes, base)?.into_init(bytes.source_len());
    let Layout::Ogg { link } = init.layout.clone() else { return Ok(init) };
    // The grid of cells begins at the first packet; a second look confirms that it is the first on that grid too.
    for _ in 0..4 {
        let first = first_packet(bytes, &init, &link)?
            .ok_or_else(|| MediaError::not_audio("an Ogg container without any audio"))?;
        if first == init.data_start {
            estimate(bytes, &mut init, &link)?;
            return Ok(init);
        }
        init.data_start = first;
    }
    Err(MediaError::damaged("an Ogg container in which pages contain each other"))
}

/// Ogg tells its length at its very end alone, if the codec's header does not (FLAC): by the first packets, what the
/// recording lasts, and the bits a second where no header tells them.
fn estimate(bytes: &mut Span<'_>, init: &mut InitSection, link: &OggLink) -> Result<(), MediaError> {
    let whole = (init.data_end - init.data_start) as f64;
    let told = if let PacketTiming::Flac { stream } = &link.timing { stream.total } else { None };
    let (frames, read) = match told {
        Some(total) => (total, whole),
        None => beginning(bytes, init, link)?,
    };
    if frames > 0 && read > 0.0 {
        let seconds = frames as f64 / f64::from(init.rate());
        init.media.duration_seconds = Some(seconds * whole / read);
        init.media.bitrate = init.media.bitrate.or(Some((read * 8.0 / seconds) as u64));
    }
    Ok(())
}

/// Frames in the first blocks, and the bytes of these.
fn beginning(bytes: &mut Span<'_>, init: &InitSection, link: &OggLink) -> Result<(u64, f64), MediaError> {
    let mut scanner = OggScanner::new(init, link);
    let blocks = scanner.chain.count().min(ESTIMATE_BLOCKS);
    let mut frames = 0;
    for block in 0..blocks {
        frames += scanner.walk(bytes, block, false)?.iter().map(|found| found.packet.duration()).sum::<u64>();
    }
    Ok((frames, (scanner.chain.cell(blocks).start - init.data_start) as f64))
}

fn first_packet(bytes: &mut Span<'_>, init: &InitSection, link: &OggLink) -> Result<Option<u64>, MediaError> {
    let mut scanner = OggScanner::new(init, link);
    for block in 0..scanner.chain.count().min(FIRST_CELLS) {
        if let Some(first) = scanner.walk(bytes, block, false)?.first() {
            return Ok(Some(first.packet.offset));
        }
    }
    Ok(None)
}

/// Finds packets by the pages they lie on.
pub(crate) struct OggScanner {
    chain: Chain,
    /// The block whose packets were looked up last, for decoding.
    current: Option<(u64, Vec<Found>)>,
    /// The link of the packet that was decoded last.
    decoding: Arc<Link>,
}

impl OggScanner {
    pub(crate) fn new(init: &InitSection, link: &OggLink) -> Self {
        let chain = Chain::new(init, link);
        let decoding = chain.first().clone();
        Self { chain, current: None, decoding }
    }

    /// The packets that begin in a block: a run over pages, from one before the block that tells all that matters.
    fn walk(&mut self, bytes: &mut Span<'_>, block: u64, hashes: bool) -> Result<Vec<Found>, MediaError> {
        self.chain.restart();
        let cell = self.chain.cell(block);
        let from = self.known_before(bytes, block, cell.start)?;
        let wanted = Wanted { cell, hashes, rate: self.chain.rate() };
        let mut walk = PageWalk::new(wanted, (from == 0).then(|| self.chain.first().clone()));
        for block in from..self.chain.count() {
            if walk.is_done(self.chain.cell(block).start) {
                break;
            }
            for page in self.chain.pages(bytes, block)?.iter() {
                if page.start < walk.covered() {
                    continue;
                }
                if walk.is_done(page.start) {
                    return Ok(walk.into_found());
                }
                self.step(bytes, &mut walk, page)?;
            }
        }
        if let Some(at) = walk.breaks_off() {
            let end = self.chain.cell(self.chain.count()).end;
            // A recording that was cut off is as long as it is; one whose end is spoiled was longer.
            if at < end && !is_cut_off(bytes, at, end)? {
                walk.lose(at, trailing_bytes(bytes, at..end)?);
            }
        }
        Ok(walk.into_found())
    }

    /// The block from which pages have to be taken so that, at `at`, the position and the packet before are known.
    fn known_before(&mut self, bytes: &mut Span<'_>, block: u64, at: u64) -> Result<u64, MediaError> {
        let earliest = block.saturating_sub(REACH);
        for block in (earliest..block).rev() {
            if block == 0 {
                return Ok(0);
            }
            for page in self.chain.pages(bytes, block)?.iter().rev() {
                if page.end() <= at && page.granule.is_some() && page.completes() {
                    let link = self.chain.link_of(bytes, page)?;
                    if link.is_some_and(|link| tells_all(&link, page)) {
                        return Ok(block);
                    }
                }
            }
        }
        Ok(earliest)
    }

    fn step(&mut self, bytes: &mut Span<'_>, walk: &mut PageWalk, page: &Page) -> Result<(), MediaError> {
        walk.cover(page);
        let present = walk.link().cloned();
        if page.is_first() {
            // The other streams of a link that has just begun.
            let begun = |link: &Arc<Link>| (link.place.at..link.place.data).contains(&page.start);
            if !present.as_ref().is_some_and(begun) {
                match self.chain.beginning(bytes, page)? {
                    Some(link) => walk.begin(link, page.start),
                    None => walk.stray(page),
                }
            }
            return Ok(());
        }
        let link = match present {
            Some(link) if link.place.serial == page.serial => Some(link),
            Some(link) if link.place.others.contains(&page.serial) => return Ok(()),
            Some(_) | None => self.chain.link_of(bytes, page)?,
        };
        match link {
            Some(link) if link.place.serial == page.serial => {
                walk.enter(&link, page);
                walk.page(bytes, page)?;
            }
            Some(_) => {}
            None => walk.stray(page),
        }
        Ok(())
    }

    fn find(&mut self, bytes: &mut Span<'_>, packet: &Packet) -> Result<Option<&Found>, MediaError> {
        let block = self.chain.block_of(packet.offset);
        if self.current.as_ref().is_none_or(|(current, _)| *current != block) {
            self.current = Some((block, self.walk(bytes, block, false)?));
        }
        Ok(self.current.as_ref().and_then(|(_, list)| {
            let index = list.binary_search_by_key(&packet.offset, |found| found.packet.offset).ok()?;
            list.get(index)
        }))
    }
}

/// Whether a page on which a packet ends tells the position, and the block size of the packet if that matters.
fn tells_all(link: &Link, page: &Page) -> bool {
    let vorbis = matches!(link.place.timing, PacketTiming::Vorbis { .. });
    link.place.serial == page.serial
        && link.place.data <= page.start
        && (!vorbis || page.holds_whole_packet())
}

impl Scanner for OggScanner {
    fn cell_len(&self) -> u64 {
        BLOCK
    }

    fn scan(&mut self, bytes: &mut Span<'_>, cell: Range<u64>) -> Result<Vec<Packet>, MediaError> {
        let block = self.chain.block_of(cell.start);
        Ok(self.walk(bytes, block, true)?.into_iter().map(|found| found.packet).collect())
    }

    /// Granule positions need not be exact: those of live recordings begin anywhere, and links begin anew.
    fn absolute_start(&mut self, _: &mut Span<'_>, _: &Packet) -> Result<Option<u64>, MediaError> {
        Ok(None)
    }

    fn payload<'b>(&mut self, bytes: &'b mut Span<'_>, packet: &Packet) -> Result<Cow<'b, [u8]>, MediaError> {
        let parts = self.find(bytes, packet)?.map_or(Vec::new(), |found| found.parts.clone());
        if parts.is_empty() {
            return Ok(Cow::Borrowed(bytes.slice(packet.offset, packet.end())?));
        }
        let mut joined = Vec::new();
        for part in parts {
            joined.extend_from_slice(bytes.slice(part.start, part.end)?);
        }
        Ok(Cow::Owned(joined))
    }

    fn setup(&mut self, bytes: &mut Span<'_>, packet: &Packet) -> Result<Option<Codec>, MediaError> {
        let Some(link) = self.find(bytes, packet)?.map(|found| found.link.clone()) else { return Ok(None) };
        let before = std::mem::replace(&mut self.decoding, link.clone());
        // Back to an earlier link leads only the number that a later one has in common with it: nothing begins there.
        let begins = before.place.at < link.place.at;
        Ok((begins || before.codec != link.codec).then(|| link.codec.clone()))
    }
}
