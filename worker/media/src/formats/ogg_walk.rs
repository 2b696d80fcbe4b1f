//! A run over the pages of an Ogg stream: from pages to packets with their durations, trims and gaps.

use std::ops::Range;
use std::sync::Arc;

use super::ogg_link::{Link, MOST_PACKET};
use super::ogg_page::{Joined, Joiner, Page};
use crate::error::MediaError;
use crate::init::PacketTiming;
use crate::packet::{Packet, content_hash, trim_back, trim_front};
use crate::source::Span;

/// A packet with what decoding it takes.
pub(crate) struct Found {
    pub packet: Packet,
    pub link: Arc<Link>,
    /// Where its bytes lie, if not on one page.
    pub parts: Vec<Range<u64>>,
}

/// Audio that is known to be lost.
struct Lost {
    /// First byte of the packet that was broken off, of the damage, or of the page after missing ones.
    offset: u64,
    /// Bytes in which it can have lain.
    room: u64,
}

/// What a run was asked for.
pub(crate) struct Wanted {
    /// Packets that begin in these bytes.
    pub cell: Range<u64>,
    /// Whether their hashes are wanted too.
    pub hashes: bool,
    /// Frames a second of the recording, in which packets of links with another rate are measured.
    pub rate: u32,
}

/// The state between two pages.
pub(crate) struct PageWalk {
    wanted: Wanted,
    link: Option<Arc<Link>>,
    joiner: Joiner,
    /// End of the latest page of any stream.
    covered: u64,
    /// First byte, after the latest page with audio, that belongs to no page.
    junk: Option<u64>,
    /// First byte, after the latest page with audio, of a link that can't be read.
    stray: Option<u64>,
    /// Number of the latest page with audio.
    sequence: Option<u32>,
    /// Granule position after the latest page with audio.
    base: Option<u64>,
    /// Whether the latest page with audio is the last of its stream.
    ended: bool,
    /// Block size of the packet before (Vorbis).
    previous: Option<u32>,
    lost: Option<Lost>,
    found: Vec<Found>,
}

impl PageWalk {
    /// Begins somewhere, or, if a link is given, right after its headers.
    pub(crate) fn new(wanted: Wanted, link: Option<Arc<Link>>) -> Self {
        let covered = link.as_ref().map_or(0, |link| link.place.data);
        let mut walk = Self {
            wanted,
            link: None,
            joiner: Joiner::new(MOST_PACKET),
            covered,
            junk: None,
            stray: None,
            sequence: None,
            base: None,
            ended: false,
            previous: None,
            lost: None,
            found: Vec::new(),
        };
        if let Some(link) = link {
            walk.begin(link, covered);
        }
        walk
    }

    pub(crate) fn link(&self) -> Option<&Arc<Link>> {
        self.link.as_ref()
    }

    /// End of the latest page.
    pub(crate) fn covered(&self) -> u64 {
        self.covered
    }

    pub(crate) fn into_found(self) -> Vec<Found> {
        self.found
    }

    /// Whether all packets and gaps that begin in the cell are known, now that all pages before `at` were taken.
    pub(crate) fn is_done(&self, at: u64) -> bool {
        let cell = &self.wanted.cell;
        let ours = |offset: Option<u64>| offset.is_some_and(|offset| cell.contains(&offset));
        let junk = self.junk.or((self.covered < at).then_some(self.covered));
        let lost = self.lost.as_ref().map(|lost| lost.offset);
        at >= cell.end
            && (self.link.is_none()
                || !(ours(junk) || ours(lost) || ours(self.stray) || ours(self.joiner.open())))
    }

    /// Notes where the next page of any stream lies.
    pub(crate) fn cover(&mut self, page: &Page) {
        if self.link.is_some() && page.start > self.covered && self.junk.is_none() {
            self.junk = Some(self.covered);
        }
        self.covered = page.end();
    }

    /// Notes a page of a link whose headers are lost, or tell of nothing that can be decoded.
    pub(crate) fn stray(&mut self, page: &Page) {
        if self.link.is_some() {
            self.stray.get_or_insert(page.start);
        }
    }

    /// The link whose first page was just met, at `at`.
    pub(crate) fn begin(&mut self, link: Arc<Link>, at: u64) {
        self.leave(at);
        self.sequence = Some(link.place.sequence);
        self.base = Some(link.place.start_granule);
        self.link = Some(link);
    }

    /// The link of a page that lies somewhere in it.
    pub(crate) fn enter(&mut self, link: &Arc<Link>, page: &Page) {
        if self.link.as_ref().is_none_or(|present| present.place.at != link.place.at) {
            self.leave(page.start);
            self.base = (page.start <= link.place.first_page).then_some(link.place.start_granule);
            self.link = Some(link.clone());
        }
    }

    /// Forgets the link before, which another one follows at `at`. What is damaged after the one's end is lost if it was not
    /// marked as such, what can't be read in any case.
    fn leave(&mut self, at: u64) {
        let junk = self.junk.filter(|_| !self.ended);
        if let Some(start) = junk.into_iter().chain(self.stray.take()).min() {
            self.lose(start, at.saturating_sub(start));
        }
        self.joiner = Joiner::new(MOST_PACKET);
        (self.junk, self.sequence, self.base, self.previous, self.lost) = (None, None, None, None, None);
        self.ended = false;
    }

    /// Takes the next page of the present link's stream.
    pub(crate) fn page(&mut self, bytes: &mut Span<'_>, page: &Page) -> Result<(), MediaError> {
        let Some(link) = self.link.clone() else { return Ok(()) };
        let junk = self.junk.take();
        // Where this stream goes on, the pages between were foreign ones.
        self.stray = None;
        self.ended = page.is_last();
        let missing = self
            .sequence
            .replace(page.sequence)
            .map_or(0, |last| page.sequence.wrapping_sub(last).wrapping_sub(1));
        if page.start < link.place.data {
            return Ok(());
        }
        let broken = self.joiner.drop_broken(page, missing == 0);
        if missing > 0 || broken.is_some() {
            let offset = broken.or(junk).unwrap_or(page.start);
            let room = page.start - offset.min(page.start) + missing_room(missing);
            let lost = self.lost.get_or_insert(Lost { offset, room: 0 });
            lost.room = lost.room.saturating_add(room);
        }
        let joined = self.joiner.push(bytes, page)?;
        if page.completes() {
            self.take(&link, page, joined);
        }
        Ok(())
    }

    /// Takes the packets that end on a page.
    fn take(&mut self, link: &Arc<Link>, page: &Page, joined: Vec<Joined>) {
        let timing = &link.place.timing;
        let first = joined.first().map_or(page.end(), Joined::offset);
        let (mut frames, mut previous) = measure(timing, &joined, self.previous);
        let mut lost = self.lost.take();
        // Where the positions go on without a hole, only the numbers of the pages are wrong.
        if self
            .base
            .zip(page.granule)
            .is_some_and(|(base, granule)| base.checked_add(sum(&frames)) == Some(granule))
        {
            lost = None;
        }
        let base = self.base;
        if let Some(lost) = &lost {
            (frames, previous) = measure(timing, &joined, None);
            let missing = base.zip(page.granule).and_then(|(base, granule)| {
                let most = lost.room.saturating_mul(timing.most_frames());
                granule.checked_sub(base)?.checked_sub(sum(&frames)).filter(|missing| *missing <= most)
            });
            let gap = Packet::gap(lost.offset, first.saturating_sub(lost.offset), missing.unwrap_or(0));
            self.emit(link, gap, Vec::new());
        }
        let all = sum(&frames);
        let left_out = self.left_out(link, page, all).filter(|_| lost.is_none());
        if let Some(pause) = left_out.and_then(|frames| Packet::pause(first, frames, link.rate)) {
            self.emit(link, pause, Vec::new());
        }
        let cell = &self.wanted.cell;
        let hashed = |joined: &Joined| self.wanted.hashes && cell.contains(&joined.offset());
        let (mut packets, mut parts) = (Vec::new(), Vec::new());
        for (joined, frames) in joined.into_iter().zip(frames) {
            let Some(frames) = frames else { continue };
            let hash = if hashed(&joined) { content_hash(timing.content(&joined.data)) } else { 0 };
            packets.push(whole(&joined, hash, frames));
            parts.push(joined.parts);
        }
        if let Some(granule) = page.granule {
            let kept = base.filter(|base| lost.is_none() && page.is_last() && *base <= granule);
            trim(link, page, kept.unwrap_or(granule.saturating_sub(all)), granule, &mut packets);
        }
        for (packet, parts) in packets.into_iter().zip(parts) {
            self.emit(link, packet, parts);
        }
        self.base = page.granule.or(base.and_then(|base| base.checked_add(all)));
        self.previous = previous;
    }

    /// Frames that a recorder left out before the packets that end on a page, which have `all` of them.
    fn left_out(&self, link: &Link, page: &Page, all: u64) -> Option<u64> {
        // The first packet of Vorbis is as long as the one before it tells.
        let measured = !matches!(link.place.timing, PacketTiming::Vorbis { .. }) || self.previous.is_some();
        let missing = page.granule?.checked_sub(self.base?)?.checked_sub(all)?;
        (measured && page.start > link.place.first_page).then_some(missing)
    }

    /// Where the stream breaks off although its last page was not met, or what can't be read begins, if that is in the cell.
    pub(crate) fn breaks_off(&self) -> Option<u64> {
        let open = self.link.is_some() && !self.ended;
        let at = self.stray.or(Some(self.covered).filter(|_| open));
        at.filter(|at| self.wanted.cell.contains(at))
    }

    /// From `start` on `lost` bytes have held audio: as much as in as many bytes of the link before.
    pub(crate) fn lose(&mut self, start: u64, lost: u64) {
        let Some(link) = self.link.clone().filter(|_| lost > 0) else { return };
        let place = &link.place;
        let held = self.base.unwrap_or(0).saturating_sub(place.start_granule);
        let bytes = start.saturating_sub(place.data).max(1);
        let frames = u128::from(held) * u128::from(lost) / u128::from(bytes);
        let gap = Packet::gap(start, lost, u64::try_from(frames).unwrap_or(u64::MAX));
        self.emit(&link, gap, Vec::new());
    }

    fn emit(&mut self, link: &Arc<Link>, packet: Packet, parts: Vec<Range<u64>>) {
        if !self.wanted.cell.contains(&packet.offset) {
            return;
        }
        let scaled = || packet.duration() * u64::from(self.wanted.rate) / u64::from(link.rate.max(1));
        let packet = match link.joins {
            true => packet,
            // What cannot follow on the first link is silence.
            false => Packet::gap(packet.offset, u64::from(packet.len), scaled()),
        };
        let parts = if parts.len() > 1 { parts } else { Vec::new() };
        self.found.push(Found { packet, link: link.clone(), parts });
    }
}

/// Bytes for which missing pages count: a page is some 4 KiB, and no more are believed than are easily lost.
fn missing_room(pages: u32) -> u64 {
    // Numbers that run backwards tell nothing.
    if pages > u32::MAX / 2 { 0 } else { 4_096 * u64::from(pages.min(64)) }
}

/// Frames of each packet, and the block size of the last one.
fn measure(
    timing: &PacketTiming,
    joined: &[Joined],
    mut previous: Option<u32>,
) -> (Vec<Option<u32>>, Option<u32>) {
    let frames = joined
        .iter()
        .map(|packet| {
            let complete = packet.len == packet.data.len() as u64;
            complete.then(|| timing.frames(&packet.data, &mut previous)).flatten()
        })
        .collect();
    (frames, previous)
}

fn sum(frames: &[Option<u32>]) -> u64 {
    frames.iter().flatten().map(|frames| u64::from(*frames)).sum()
}

fn whole(joined: &Joined, hash: u64, frames: u32) -> Packet {
    Packet {
        offset: joined.offset(),
        hash,
        len: u32::try_from(joined.len).unwrap_or(u32::MAX),
        frames,
        lead: 0,
        tail: 0,
        carry: 0,
        damaged: false,
    }
}

/// Trims the packets that end on a page, the first of which begins at position `begin`.
fn trim(link: &Link, page: &Page, begin: u64, granule: u64, packets: &mut [Packet]) {
    let all: u64 = packets.iter().map(Packet::duration).sum();
    let place = &link.place;
    match place.timing {
        PacketTiming::Opus { pre_skip } => {
            let audible = place.start_granule.saturating_add(u64::from(pre_skip));
            trim_front(packets, audible.saturating_sub(begin));
        }
        // Vorbis I, section A.2: positions that would begin below zero are cut off.
        PacketTiming::Vorbis { .. } if page.start == place.first_page && !page.is_last() => {
            trim_front(packets, all.saturating_sub(granule));
        }
        PacketTiming::Vorbis { .. } => {}
        // A frame is as long as it says.
        PacketTiming::Flac { .. } => return,
    }
    if page.is_last() {
        trim_back(packets, begin.saturating_add(all).saturating_sub(granule));
    }
}
