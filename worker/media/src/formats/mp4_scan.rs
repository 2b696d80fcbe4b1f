//! The packets of an MP4 file: from the tables of its index, and from its fragments.

use std::borrow::Cow;
use std::ops::Range;

use super::Scanner;
use super::mp4_frames::Framing;
use super::mp4_index::{Entry, Index};
use super::mp4_layout::{FragmentTrack, SampleTable};
use super::mp4_missing::{Times, at_end, before_fragment};
use super::mp4_search::{Finder, is_followed};
use crate::error::MediaError;
use crate::init::InitSection;
use crate::packet::Packet;
use crate::source::Span;

/// How far a fragment is looked for after a damaged stretch.
const MAX_DAMAGE: u64 = 64 * 1024 * 1024;

/// How far to read ahead where a packet's neighbours are not known: the next one may lie behind megabytes of pictures.
///
/// As many bytes as lay one behind the other so far; so at most half of what is read is read in vain.
#[derive(Default)]
struct Ahead {
    run: Range<u64>,
}

impl Ahead {
    fn of(&mut self, offset: u64, end: u64) -> u64 {
        let start = if offset == self.run.end { self.run.start } else { offset };
        self.run = start..end;
        offset - start
    }
}

/// Finds packets by the table, and by fragments after what the table lists.
pub(crate) struct Mp4Scanner {
    framing: Framing,
    table: SampleTable,
    /// Made when it is first needed: who only decodes doesn't need it.
    index: Option<Index>,
    fragments: Option<Finder>,
    /// Hz.
    rate: u32,
    /// Frames that are cut off at the start.
    trim: u64,
    data: Range<u64>,
    ahead: Ahead,
}

impl Mp4Scanner {
    pub(crate) fn new(init: &InitSection, table: &SampleTable, track: Option<&FragmentTrack>) -> Self {
        Self {
            // No probe makes a section with a codec that has no framing.
            framing: Framing::of(&init.codec).unwrap_or(Framing::Pcm),
            table: table.clone(),
            index: None,
            fragments: track.map(Finder::new),
            rate: init.rate(),
            trim: u64::from(init.trim.start) + u64::from(table.skip),
            data: init.data(),
            ahead: Ahead::default(),
        }
    }

    fn index(&mut self) -> &Index {
        self.index.get_or_insert_with(|| Index::new(&self.table))
    }

    fn table_packets(&mut self, bytes: &mut Span<'_>, cell: &Range<u64>) -> Result<Vec<Packet>, MediaError> {
        let mut packets = Vec::new();
        for entry in self.index().within(cell) {
            let end = entry.offset.saturating_add(u64::from(entry.len));
            let payload = bytes.slice_ahead(entry.offset, end, entry.run_end.saturating_sub(entry.offset))?;
            let mut packet = self.framing.packet(entry.offset, entry.samples, payload);
            packet.len = entry.len;
            let lead = u64::from(self.table.skip).saturating_sub(self.frames_before(&entry));
            packet.lead = u16::try_from(lead.min(u64::from(packet.frames))).unwrap_or(u16::MAX);
            packets.push(packet);
        }
        Ok(packets)
    }

    fn frames_before(&self, entry: &Entry) -> u64 {
        entry.index.saturating_mul(u64::from(self.table.frames))
    }

    fn fragment_packets(
        &mut self,
        bytes: &mut Span<'_>,
        cell: &Range<u64>,
    ) -> Result<Vec<Packet>, MediaError> {
        let mut packets = Vec::new();
        let Some(finder) = self.fragments.as_mut() else { return Ok(packets) };
        let (framing, rate) = (&self.framing, self.rate);
        let mut missing = Vec::new();
        let mut at = cell.start.max(finder.track.first);
        let mut before = None;
        if finder.cover(bytes, at)? {
            at = take(finder, framing, bytes, cell, &mut packets)?.max(at);
            before = finder.latest().map(|found| found.fragment.clone());
        }
        // Where the first damage since the last audio begins.
        let mut hole = None;
        loop {
            if let Some(old) = before.as_ref().filter(|old| hole.is_none() && cell.contains(&old.end))
                && !is_followed(bytes, old.end)?
            {
                hole = Some(old.end);
            }
            if at >= cell.end || !finder.next(bytes, at..cell.end)? {
                break;
            }
            let Some(next) = finder.latest().map(|found| found.fragment.clone()) else { break };
            packets.truncate(packets.partition_point(|packet| packet.offset < next.start));
            at = take(finder, framing, bytes, cell, &mut packets)?.max(next.start.saturating_add(8));
            if let Some(old) = before.replace(next.clone()) {
                finder.know_before(next.start, old);
            }
            if !next.samples.is_empty() {
                missing.extend(before_fragment(bytes, finder, framing, rate, &next)?);
                hole = None;
            }
        }
        if let Some(hole) = hole {
            missing.extend(self.behind(bytes, hole, cell.end)?);
        }
        packets.extend(missing.into_iter().filter(|missing: &Packet| cell.contains(&missing.offset)));
        packets.sort_by_key(|packet| packet.offset);
        Ok(packets)
    }

    /// What is missing from a hole on, after which no audio is found before the end of the cell at `from`.
    fn behind(&mut self, bytes: &mut Span<'_>, hole: u64, from: u64) -> Result<Option<Packet>, MediaError> {
        let Some(finder) = self.fragments.as_mut() else { return Ok(None) };
        let end = from.saturating_add(MAX_DAMAGE).min(self.data.end);
        let mut at = from;
        while at < end && finder.next(bytes, at..end)? {
            let Some(next) = finder.latest().map(|found| found.fragment.clone()) else { break };
            if !next.samples.is_empty() {
                return before_fragment(bytes, finder, &self.framing, self.rate, &next);
            }
            at = next.start.saturating_add(8);
        }
        at_end(bytes, finder, &self.framing, self.rate, hole, end)
    }

    /// Frames before a packet of a fragment, where its times count frames.
    fn fragment_start(&mut self, bytes: &mut Span<'_>, packet: &Packet) -> Result<Option<u64>, MediaError> {
        let usual = u64::from(self.framing.usual());
        let Some(finder) = self.fragments.as_mut().filter(|_| self.framing.steady()) else {
            return Ok(None);
        };
        if packet.damaged || !finder.cover(bytes, packet.offset)? {
            return Ok(None);
        }
        let Some(found) = finder.latest() else { return Ok(None) };
        let Ok(index) = found.fragment.samples.binary_search_by_key(&packet.offset, |sample| sample.offset)
        else {
            return Ok(None);
        };
        let before = Times::new(&finder.track, &self.framing, self.rate).position(&found.fragment);
        let inside = (index as u64).saturating_mul(usual);
        Ok(before.map(|before| before.saturating_add(inside).saturating_sub(self.trim)))
    }
}

/// Makes packets of the latest fragment's samples in `cell`; returns from where the next fragment is to be looked for.
fn take(
    finder: &Finder,
    framing: &Framing,
    bytes: &mut Span<'_>,
    cell: &Range<u64>,
    packets: &mut Vec<Packet>,
) -> Result<u64, MediaError> {
    let Some(found) = finder.latest() else { return Ok(cell.end) };
    let samples = &found.fragment.samples;
    let first = samples.partition_point(|sample| sample.offset < cell.start);
    let last = samples.partition_point(|sample| sample.offset < cell.end);
    let mut ahead = Ahead::default();
    for sample in samples.get(first..last).unwrap_or_default() {
        let end = sample.offset.saturating_add(u64::from(sample.len));
        let ahead = ahead.of(sample.offset, end);
        let payload = bytes.slice_ahead(sample.offset, end, ahead)?;
        packets.push(framing.packet(sample.offset, 1, payload));
    }
    Ok(if found.sound { found.fragment.end } else { found.fragment.data })
}

impl Scanner for Mp4Scanner {
    fn cell_len(&self) -> u64 {
        128 * 1024
    }

    fn scan(&mut self, bytes: &mut Span<'_>, cell: Range<u64>) -> Result<Vec<Packet>, MediaError> {
        let mut packets = self.table_packets(bytes, &cell)?;
        if self.fragments.as_ref().is_some_and(|finder| finder.track.first < cell.end) {
            packets.extend(self.fragment_packets(bytes, &cell)?);
        }
        Ok(packets)
    }

    fn absolute_start(&mut self, bytes: &mut Span<'_>, packet: &Packet) -> Result<Option<u64>, MediaError> {
        let Some(entry) = self.index().at(packet.offset) else {
            return self.fragment_start(bytes, packet);
        };
        Ok(self.framing.steady().then(|| self.frames_before(&entry).saturating_sub(self.trim)))
    }

    fn payload<'b>(&mut self, bytes: &'b mut Span<'_>, packet: &Packet) -> Result<Cow<'b, [u8]>, MediaError> {
        let ahead = self.ahead.of(packet.offset, packet.end());
        Ok(Cow::Borrowed(bytes.slice_ahead(packet.offset, packet.end(), ahead)?))
    }
}
