//! Matroska and WebM: from element to element, and what becomes packets on the way.
//!
//! Timestamps count milliseconds, so they do not place packets; the sum of frames does. They tell only how much is
//! missing: where bytes are damaged, and where the recorder itself left a hole.

use std::ops::Range;

use super::mkv_elements::{Block, Element, Known, element_at, is_cut_off, laced, may_follow, whole};
use super::mkv_frames::Counter;
use super::mkv_sync::Sync;
use super::tail::trailing_bytes;
use crate::error::MediaError;
use crate::packet::{LONGEST_PAUSE, Packet, content_hash};
use crate::source::Span;

/// How far behind a hole a cluster is waited for that tells how long the hole was.
const MAX_UNSETTLED: u64 = 8 * 1024 * 1024;

/// What is the same for all packets of a recording.
pub(crate) struct Stream {
    pub known: Known,
    /// Nanoseconds of a tick.
    pub tick: u64,
    /// Hz.
    pub rate: u32,
    /// What was taken off the beginning of each packet.
    pub prefix: Vec<u8>,
    /// First byte of the first packet.
    pub data_start: u64,
}

impl Stream {
    fn frames(&self, nanoseconds: i128) -> u64 {
        let frames = (nanoseconds.max(0) * i128::from(self.rate) + 500_000_000) / 1_000_000_000;
        u64::try_from(frames).unwrap_or(u64::MAX)
    }
}

/// A point in time. Only points of the same era can be compared: era 0 counts from the start of the recording, every
/// other one from a cluster whose own time is not known.
#[derive(Clone, Copy)]
struct Stamp {
    era: u64,
    ticks: i64,
}

/// The latest block of the track.
#[derive(Clone, Copy)]
struct Last {
    stamp: Stamp,
    /// Frames of the block.
    frames: u64,
    /// Frames of its last packet.
    packet: u32,
}

/// A damaged stretch behind which blocks came whose times can't be compared with those before it.
struct Unsettled {
    hole: Range<u64>,
    /// The block before it.
    before: Last,
    /// Frames of the blocks since.
    since: u64,
    /// Frames that it has held by its bytes.
    estimate: u64,
}

/// A walk over the elements of a recording.
pub(crate) struct Walk<'s> {
    stream: &'s Stream,
    sync: Sync<'s>,
    counter: Counter,
    /// The next element.
    pub at: u64,
    /// Time of the cluster, and where it ends.
    cluster: Stamp,
    cluster_end: Option<u64>,
    /// Whether blocks after damage may be those of another cluster.
    doubted: bool,
    last: Option<Last>,
    /// A damaged stretch whose length in time is not known yet.
    hole: Option<Range<u64>>,
    unsettled: Option<Unsettled>,
    /// Whether a hole in `wanted` is as long as its bytes tell, for want of a time before it.
    pub estimated: bool,
    /// Blocks of the track met so far, their frames, and the bytes from the first to the last of them.
    pub blocks: u64,
    frames: u64,
    bytes: Option<Range<u64>>,
    /// The packets in `wanted`.
    pub packets: Vec<Packet>,
    wanted: Range<u64>,
}

impl<'s> Walk<'s> {
    /// Starts at an element.
    pub(crate) fn new(stream: &'s Stream, counter: &Counter, at: u64, wanted: Range<u64>) -> Self {
        Self {
            stream,
            sync: Sync::new(&stream.known),
            counter: counter.afresh(),
            at,
            cluster: Stamp { era: at.max(1), ticks: 0 },
            cluster_end: None,
            doubted: false,
            last: None,
            hole: None,
            unsettled: None,
            estimated: false,
            blocks: 0,
            frames: 0,
            bytes: None,
            packets: Vec::new(),
            wanted,
        }
    }

    /// Starts at the first place in `range` where elements begin.
    pub(crate) fn synchronised(
        stream: &'s Stream,
        counter: &Counter,
        bytes: &mut Span<'_>,
        range: Range<u64>,
        wanted: Range<u64>,
    ) -> Result<Option<Self>, MediaError> {
        let found = Sync::new(&stream.known).search(bytes, range)?;
        Ok(found.map(|at| Self::new(stream, counter, at, wanted)))
    }

    /// Takes all elements that begin before `to`, and as many more as it takes to tell how long a hole is that began
    /// there.
    pub(crate) fn run(&mut self, bytes: &mut Span<'_>, to: u64) -> Result<(), MediaError> {
        let unsettled = |walk: &Self| walk.unsettled.as_ref().is_some_and(|open| open.hole.start < to);
        while self.at < to || self.hole.as_ref().is_some_and(|hole| hole.start < to) || unsettled(self) {
            if !self.step(bytes)? {
                self.settle(None);
                break;
            }
        }
        Ok(())
    }

    /// Takes one element; false at the end of the recording.
    pub(crate) fn step(&mut self, bytes: &mut Span<'_>) -> Result<bool, MediaError> {
        let end = self.stream.known.end;
        if self.at >= end {
            return Ok(false);
        }
        let next = match element_at(bytes, self.at, &self.stream.known)? {
            Some(Element::Cluster { body, end }) => {
                self.cluster = Stamp { era: self.at.max(1), ticks: 0 };
                self.cluster_end = end;
                self.doubted = false;
                body
            }
            Some(Element::Enter { next }) => next,
            Some(Element::Timestamp { ticks, end }) => {
                self.cluster = Stamp { era: 0, ticks };
                end
            }
            Some(Element::Skip { end: next }) if may_follow(bytes, next, end)? => next,
            Some(Element::Block(block)) => return self.block(bytes, &block),
            Some(Element::Skip { .. }) | None => {
                return if self.damaged(bytes, end)? { Ok(true) } else { self.spoiled_end(bytes) };
            }
        };
        self.at = next;
        Ok(true)
    }

    /// A block, whose length is doubted if nothing known follows it.
    fn block(&mut self, bytes: &mut Span<'_>, block: &Block) -> Result<bool, MediaError> {
        let end = block.range.end;
        if !may_follow(bytes, end, self.stream.known.end)? {
            // A damaged header can still look like one; a chain that begins inside the block gives it away.
            if self.damaged(bytes, end)? {
                return Ok(true);
            }
        }
        if block.track == self.stream.known.track {
            self.sound(bytes, block)?;
        }
        self.at = end;
        Ok(true)
    }

    /// Steps over damage to where elements begin again before `limit`; false if nowhere.
    fn damaged(&mut self, bytes: &mut Span<'_>, limit: u64) -> Result<bool, MediaError> {
        let Some(next) = self.sync.search(bytes, self.at + 1..limit)? else {
            return Ok(false);
        };
        self.hole = Some(self.hole.take().map_or(self.at, |hole| hole.start)..next);
        match self.cluster_end {
            Some(end) if next < end => {}
            Some(_) => {
                self.cluster = Stamp { era: next, ticks: 0 };
                self.cluster_end = None;
            }
            None => self.doubted = true,
        }
        self.at = next;
        Ok(true)
    }

    /// No element follows: a recording that was cut off is as long as it is, one whose end is spoiled was longer.
    fn spoiled_end(&mut self, bytes: &mut Span<'_>) -> Result<bool, MediaError> {
        let end = self.stream.known.end;
        if is_cut_off(bytes, self.at, &self.stream.known)? {
            return Ok(false);
        }
        let lost = trailing_bytes(bytes, self.at..end)?;
        let start = self.hole.take().map_or(self.at, |hole| hole.start);
        if lost > 0 && self.wanted.contains(&start) {
            let len = end - start;
            self.packets.push(Packet::gap(start, len, self.by_bytes(len)));
        }
        self.at = end;
        Ok(false)
    }

    /// A block of the track.
    fn sound(&mut self, bytes: &mut Span<'_>, block: &Block) -> Result<(), MediaError> {
        let mut stamp = self.stamp(block);
        if std::mem::take(&mut self.doubted) && !self.goes_on(stamp) {
            self.cluster = Stamp { era: block.range.start, ticks: 0 };
            stamp = self.stamp(block);
        }
        self.missing(block.range.start, stamp);
        let data = bytes.slice(block.data.start, block.data.end)?;
        let ranges = laced(data, block.lacing).unwrap_or_else(|| whole(data));
        let mut packets: Vec<Packet> = ranges
            .into_iter()
            .filter(|range| !range.is_empty())
            .map(|range| self.packet(block.data.start + range.start as u64, &data[range]))
            .collect();
        let frames = packets.iter().map(|packet| u64::from(packet.frames)).sum();
        if let Some(open) = &mut self.unsettled {
            open.since = open.since.saturating_add(frames);
        }
        self.last = Some(Last { stamp, frames, packet: packets.last().map_or(0, |packet| packet.frames) });
        self.blocks += 1;
        self.frames += frames;
        self.bytes = Some(self.bytes.take().map_or(block.range.start, |bytes| bytes.start)..block.range.end);
        self.discard(&mut packets, block.discard);
        // The first packet is kept even where it has no frames of its own: the recording begins with it.
        packets.retain(|packet| packet.frames > 0 || packet.offset == self.stream.data_start);
        packets.retain(|packet| self.wanted.contains(&packet.offset));
        self.packets.append(&mut packets);
        Ok(())
    }

    fn stamp(&self, block: &Block) -> Stamp {
        Stamp { ticks: self.cluster.ticks.saturating_add(i64::from(block.ticks)), ..self.cluster }
    }

    /// Whether the time of the first block after damage goes on from the blocks before as its bytes make expect: in
    /// another cluster it would begin anew.
    fn goes_on(&self, stamp: Stamp) -> bool {
        let expected = self.hole.as_ref().map_or(0, |hole| self.by_bytes(hole.end - hole.start));
        let slack = expected / 2 + u64::from(self.stream.rate);
        self.last
            .and_then(|last| self.jump(last, stamp))
            .is_some_and(|frames| frames.abs_diff(expected) <= slack)
    }

    /// One packet; without its frames it is a damaged one, as long as the one before it.
    fn packet(&mut self, offset: u64, bytes: &[u8]) -> Packet {
        let primes = self.counter.primes() && offset == self.stream.data_start;
        let prefix = self.stream.prefix.len();
        let told = if prefix == 0 {
            self.counter.next(bytes)
        } else {
            self.counter.next(&[&self.stream.prefix, bytes].concat())
        };
        let Some(told) = told else {
            self.counter = self.counter.afresh();
            let frames = self.last.map_or(0, |last| last.packet);
            return Packet::gap(offset, bytes.len() as u64, u64::from(frames));
        };
        let content = told.content.start.saturating_sub(prefix)..told.content.end.saturating_sub(prefix);
        Packet {
            offset,
            hash: content_hash(bytes.get(content).unwrap_or(bytes)),
            len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            frames: if primes { 0 } else { told.frames },
            lead: 0,
            tail: 0,
            carry: told.carry,
            damaged: false,
        }
    }

    /// Puts silence where something is missing before the block at `at`.
    fn missing(&mut self, at: u64, stamp: Stamp) {
        let settles = self.unsettled.as_ref().map(|open| {
            let late = self.hole.is_some() || at.saturating_sub(open.hole.end) > MAX_UNSETTLED;
            (open.before.stamp.era == stamp.era, late)
        });
        if let Some((true, _) | (_, true)) = settles {
            self.settle(Some(stamp));
        }
        let jump = self.last.and_then(|last| self.jump(last, stamp));
        let silence = match (self.hole.take(), self.last) {
            (Some(hole), Some(before)) if jump.is_none() => {
                let estimate = self.by_bytes(hole.end - hole.start);
                self.counter = self.counter.afresh();
                self.unsettled = Some(Unsettled { hole, before, since: 0, estimate });
                return;
            }
            (Some(hole), _) => Some(Packet::gap(hole.start, hole.end - hole.start, jump.unwrap_or(0))),
            (None, _) => jump.and_then(|frames| Packet::pause(at, frames, self.stream.rate)),
        };
        let Some(silence) = silence else { return };
        self.counter = self.counter.afresh();
        if let Some(open) = &mut self.unsettled {
            open.since = open.since.saturating_add(u64::from(silence.frames));
        }
        self.insert(silence);
    }

    /// Decides how long the hole was behind which no time could be compared: as the block at `stamp` tells if it belongs to
    /// the era of the block before the hole, else as its bytes tell.
    fn settle(&mut self, stamp: Option<Stamp>) {
        let Some(open) = self.unsettled.take() else { return };
        let passed = stamp.and_then(|stamp| self.jump(open.before, stamp));
        let told = passed.and_then(|frames| frames.checked_sub(open.since));
        let len = open.hole.end - open.hole.start;
        self.estimated |= told.is_none() && self.wanted.contains(&open.hole.start);
        self.insert(Packet::gap(open.hole.start, len, told.unwrap_or(open.estimate)));
    }

    /// Puts a packet in its place, if it is wanted.
    fn insert(&mut self, packet: Packet) {
        if self.wanted.contains(&packet.offset) {
            let place = self.packets.partition_point(|other| other.offset < packet.offset);
            self.packets.insert(place, packet);
        }
    }

    /// Frames between the end of a block and `stamp`, where the times tell.
    fn jump(&self, last: Last, stamp: Stamp) -> Option<u64> {
        if last.stamp.era != stamp.era {
            return None;
        }
        let ticks = i128::from(stamp.ticks) - i128::from(last.stamp.ticks);
        let frames = self.stream.frames(ticks * i128::from(self.stream.tick)).saturating_sub(last.frames);
        (frames <= LONGEST_PAUSE * u64::from(self.stream.rate)).then_some(frames)
    }

    /// Frames that so many bytes have held, by the blocks before.
    fn by_bytes(&self, len: u64) -> u64 {
        let bytes = self.bytes.as_ref().map_or(0, |bytes| bytes.end - bytes.start);
        len.saturating_mul(self.frames).checked_div(bytes).unwrap_or(0)
    }

    /// DiscardPadding: what the encoder added to the packets of a block.
    fn discard(&self, packets: &mut [Packet], nanoseconds: i64) {
        let frames = self.stream.frames(i128::from(nanoseconds).abs());
        let cut = |packet: &Packet| u16::try_from(frames.min(packet.duration())).unwrap_or(u16::MAX);
        match packets {
            [first, ..] if nanoseconds < 0 && !first.damaged => first.lead += cut(first),
            [.., last] if nanoseconds > 0 && !last.damaged => last.tail += cut(last),
            _ => {}
        }
    }
}
