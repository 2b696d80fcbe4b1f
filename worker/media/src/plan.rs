//! The plan of a chunk: its duration and its passages, found by scanning (DESIGN section 2).

use std::ops::Range;

use scriptorium_contracts::plan::{ChunkPlan, PassagePlan};

use crate::anchor::{ANCHOR_SECONDS, AnchorFinder, Placed};
use crate::cells::{Cells, Walk};
use crate::cut::{Cut, cut_at};
use crate::damage::note;
use crate::error::MediaError;
use crate::init::InitSection;
use crate::packet::Packet;
use crate::source::ByteSource;

/// Plans one chunk, given the range of its bytes: scans it, and of its surroundings what its anchors take.
///
/// Reads W (20 s) before the chunk, and after it until its last anchor's successor is certain or none of its packets
/// can be an anchor any more. Memory is bounded by 2 W of packet records.
///
/// # Errors
/// [`MediaError::Read`] with [`ReadError::Missing`](super::ReadError::Missing) names the chunk that is needed next;
/// calling again when it is there begins anew.
pub fn plan_chunk(
    source: &dyn ByteSource,
    init: &InitSection,
    chunk: Range<u64>,
) -> Result<ChunkPlan, MediaError> {
    let mut planner = Planner::new(source, init, chunk)?;
    let Some((first_cell, before)) = planner.context()? else {
        return Ok(planner.plan);
    };
    let mut walk = Walk::from_cell(Cells::new(source, init)?, first_cell);
    // The packets before the chunk have negative times.
    let mut at = i64::try_from(before).map_or(i64::MIN, |frames| -frames);
    while let Some(packet) = walk.next()? {
        let placed = Placed { packet, start: at };
        at = placed.end();
        if planner.take(placed)? {
            return Ok(planner.plan);
        }
    }
    planner.finish(at);
    Ok(planner.plan)
}

struct Planner<'a> {
    source: &'a dyn ByteSource,
    init: &'a InitSection,
    chunk: Range<u64>,
    finder: AnchorFinder,
    plan: ChunkPlan,
    /// The cut of the latest own anchor, whose passage is not closed yet.
    open: Option<Cut>,
}

impl<'a> Planner<'a> {
    fn new(source: &'a dyn ByteSource, init: &'a InitSection, chunk: Range<u64>) -> Result<Self, MediaError> {
        init.check(source.len())?;
        let finder = AnchorFinder::new(init.rate(), init.data_start);
        Ok(Self { source, init, chunk, finder, plan: ChunkPlan::default(), open: None })
    }

    /// The cell from which scanning has to begin, and the frames from its first packet to the chunk's first packet;
    /// `None` if the chunk owns no packet.
    fn context(&mut self) -> Result<Option<(u64, u64)>, MediaError> {
        let data = self.init.data();
        let own = self.chunk.start.max(data.start)..self.chunk.end.min(data.end);
        if own.is_empty() {
            return Ok(None);
        }
        let mut cells = Cells::new(self.source, self.init)?;
        let mut cell = cells.of(own.start);
        let last = cells.of(own.end - 1);
        let (mut before, mut own_from) = (0u64, None);
        // Chunks may begin with cells full of a packet, or a damaged stretch, that began long before.
        for candidate in cell..=last {
            let packets = cells.packets(candidate)?;
            let first_own = packets.iter().position(|packet| own.contains(&packet.offset));
            if candidate == cell {
                before = duration(&packets[..first_own.unwrap_or(packets.len())]);
            }
            if let Some(first_own) = first_own {
                self.plan.absolute_start = absolute(&mut cells, &packets[first_own..])?;
                own_from = Some(candidate);
                break;
            }
        }
        if own_from.is_none() {
            return Ok(None);
        }
        let window = u64::from(ANCHOR_SECONDS) * u64::from(self.init.rate());
        while cell > 0 && before <= window {
            cell -= 1;
            before += duration(&cells.packets(cell)?);
        }
        Ok(Some((cell, before)))
    }

    fn owns(&self, packet: &Packet) -> bool {
        self.chunk.contains(&packet.offset)
    }

    /// Takes the next packet; true when the plan is complete.
    fn take(&mut self, placed: Placed) -> Result<bool, MediaError> {
        let own = self.owns(&placed.packet);
        if own {
            self.plan.frames += placed.packet.duration();
            if placed.packet.lost() {
                note(&mut self.plan.damaged, placed.start, placed.end());
            }
        }
        if let Some(anchor) = self.finder.push(placed)? {
            self.anchor(&anchor)?;
        }
        let beyond = placed.packet.offset >= self.chunk.end;
        let undecided = self.finder.candidate().is_some_and(|found| self.owns(&found.packet));
        Ok(beyond && self.open.is_none() && !undecided)
    }

    /// A confirmed anchor closes the open passage, and opens one if it is the chunk's own.
    fn anchor(&mut self, anchor: &Placed) -> Result<(), MediaError> {
        let own = self.owns(&anchor.packet);
        if !own && self.open.is_none() {
            return Ok(());
        }
        let cut = cut_at(self.source, self.init, anchor, self.finder.recent())?;
        self.close(cut.frame);
        if own {
            self.open = Some(cut);
        }
        Ok(())
    }

    fn close(&mut self, end: i64) {
        if let Some(cut) = self.open.take().filter(|cut| end > cut.frame) {
            self.plan.passages.push(PassagePlan {
                start: cut.frame,
                end,
                restart: cut.restart,
                skip: cut.skip,
            });
        }
    }

    /// The end of the recording closes the open passage. An unconfirmed candidate lies too close to the end to be an
    /// anchor, unless it is the first packet, which always is one.
    fn finish(&mut self, end: i64) {
        let first = self.finder.candidate().filter(|found| found.packet.offset == self.init.data_start);
        if let Some(first) = first.filter(|first| self.chunk.contains(&first.packet.offset)) {
            self.open = Some(Cut { frame: first.start, restart: first.packet.offset, skip: 0 });
        }
        self.close(end);
    }
}

fn duration(packets: &[Packet]) -> u64 {
    packets.iter().map(Packet::duration).sum()
}

/// Frames before the first of `packets`, by the first of them that knows.
fn absolute(cells: &mut Cells<'_>, packets: &[Packet]) -> Result<Option<u64>, MediaError> {
    let mut before = 0;
    for packet in packets {
        if let Some(start) = cells.absolute_start(packet)? {
            return Ok(start.checked_sub(before));
        }
        before += packet.duration();
    }
    Ok(None)
}
