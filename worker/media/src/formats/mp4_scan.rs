//! The packets of an MP4 file: from the tables of its index, and from its fragments.

use std::borrow::Cow;
use std::ops::Range;

use super::Scanner;
use super::mp4_fragment::Fragment;
use super::mp4_frames::Framing;
use super::mp4_index::{Entry, Index};
use super::mp4_layout::{FragmentTrack, SampleTable};
use super::mp4_search::Finder;
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
        let mut at = cell.start.max(finder.track.first);
        if finder.cover(bytes, at)? {
            at = take(finder, &self.framing, bytes, cell, &mut packets)?.max(at);
        }
        while at < cell.end {
            // Where a damaged stretch begins, if the fragment before is not followed by another box.
            let before = finder.latest().filter(|found| !found.sound && found.fragment.filled);
            let hole = before.map(|found| found.fragment.clone()).filter(|old| cell.contains(&old.end));
            if !finder.next(bytes, at..cell.end)? {
                if let Some(old) = hole
                    && finder.next(bytes, cell.end..cell.end.saturating_add(MAX_DAMAGE).min(self.data.end))?
                {
                    packets.extend(gap(finder, &old, self.framing.usual(), self.rate));
                }
                break;
            }
            let start = finder.latest().map_or(cell.end, |found| found.fragment.start);
            packets.truncate(packets.partition_point(|packet| packet.offset < start));
            if let Some(old) = hole {
                packets.extend(gap(finder, &old, self.framing.usual(), self.rate));
            }
            at = take(finder, &self.framing, bytes, cell, &mut packets)?.max(start.saturating_add(8));
        }
        Ok(packets)
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
        let track = &finder.track;
        let Ok(index) = found.fragment.samples.binary_search_by_key(&packet.offset, |sample| sample.offset)
        else {
            return Ok(None);
        };
        let before = if found.fragment.start == track.first {
            Some(track.before)
        } else {
            frames_at(&found.fragment, track, self.rate)
        };
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

/// The damaged stretch between a fragment and the latest one, by the times of both.
fn gap(finder: &Finder, old: &Fragment, usual: u32, rate: u32) -> Option<Packet> {
    let new = &finder.latest()?.fragment;
    let bytes = new.start.checked_sub(old.end).filter(|bytes| *bytes > 0)?;
    let ticks = new.time?.checked_sub(old.time?.checked_add(old.ticks())?)?;
    let frames = u128::from(ticks) * u128::from(rate) / u128::from(finder.track.timescale.max(1));
    let frames = u64::try_from(frames).ok()?;
    // No packet is shorter than two bytes, so no more can be lost than this.
    let most = (bytes / 2).saturating_mul(u64::from(usual));
    (frames > 0 && frames <= most).then(|| Packet::gap(old.end, bytes, frames))
}

/// Frames before a fragment by its decode time; `None` where times are no exact counts of frames.
fn frames_at(fragment: &Fragment, track: &FragmentTrack, rate: u32) -> Option<u64> {
    let (ticks, frames) = (u64::from(track.timescale), u64::from(track.frames.max(1)));
    let scaled = frames * ticks;
    if !scaled.is_multiple_of(u64::from(rate)) || !fragment.is_even(scaled / u64::from(rate)) {
        return None;
    }
    let time = i128::from(fragment.time?) - i128::from(track.origin?);
    let packet = i128::from(scaled / u64::from(rate)).max(1);
    // To the nearest packet: what is off by less was moved by the muxer, not lost.
    let packets = u64::try_from((time + packet / 2).div_euclid(packet)).ok()?;
    packets.checked_mul(frames)
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
