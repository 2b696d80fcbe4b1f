//! The packets of a recording, cell by cell: the same list for every worker.

use crate::error::MediaError;
use crate::formats::{Scanner, scanner};
use crate::init::InitSection;
use crate::packet::{Packet, trim_back, trim_front};
use crate::source::{ByteSource, Span};

/// Encoder padding lies within this many bytes of the end.
const TRIM_REACH: u64 = 64 * 1024;

/// Access to the packets of a recording by the cell they begin in.
pub(crate) struct Cells<'a> {
    bytes: Span<'a>,
    init: &'a InitSection,
    scanner: Box<dyn Scanner>,
}

impl<'a> Cells<'a> {
    pub(crate) fn new(source: &'a dyn ByteSource, init: &'a InitSection) -> Result<Self, MediaError> {
        init.check(source.len())?;
        Ok(Self { bytes: Span::new(source), init, scanner: scanner(init) })
    }

    /// Number of cells of the recording.
    pub(crate) fn count(&self) -> u64 {
        (self.init.data_end - self.init.data_start).div_ceil(self.scanner.cell_len())
    }

    /// The cell in which the byte at `offset` lies; the first one for bytes before the audio.
    pub(crate) fn of(&self, offset: u64) -> u64 {
        offset.saturating_sub(self.init.data_start) / self.scanner.cell_len()
    }

    /// The packets that begin in a cell, with encoder delay and padding taken off.
    pub(crate) fn packets(&mut self, cell: u64) -> Result<Vec<Packet>, MediaError> {
        let mut packets = self.scan(cell)?;
        if cell == 0 {
            trim_front(&mut packets, u64::from(self.init.trim.start));
        } else if u64::from(self.init.trim.start) > 0 && self.start(cell) < self.init.data_start + TRIM_REACH
        {
            let before: u64 = self.scan_range(0, cell)?.iter().map(Packet::duration).sum();
            trim_front(&mut packets, u64::from(self.init.trim.start).saturating_sub(before));
        }
        if self.init.trim.end > 0 && self.start(cell + 1) + TRIM_REACH >= self.init.data_end {
            let after = self.scan_range(cell + 1, self.count())?;
            if self.ends_as_encoded(after.last().or(packets.last())) {
                let covered: u64 = after.iter().map(Packet::duration).sum();
                trim_back(&mut packets, u64::from(self.init.trim.end).saturating_sub(covered));
            }
        }
        Ok(packets)
    }

    /// Frames before a packet, where the container knows.
    pub(crate) fn absolute_start(&mut self, packet: &Packet) -> Result<Option<u64>, MediaError> {
        self.scanner.absolute_start(&mut self.bytes, packet)
    }

    fn start(&self, cell: u64) -> u64 {
        (self.init.data_start + cell * self.scanner.cell_len()).min(self.init.data_end)
    }

    fn scan(&mut self, cell: u64) -> Result<Vec<Packet>, MediaError> {
        let range = self.start(cell)..self.start(cell + 1);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        self.scanner.scan(&mut self.bytes, range)
    }

    fn scan_range(&mut self, from: u64, to: u64) -> Result<Vec<Packet>, MediaError> {
        let mut packets = Vec::new();
        for cell in from..to {
            packets.extend(self.scan(cell)?);
        }
        Ok(packets)
    }

    fn ends_as_encoded(&self, last: Option<&Packet>) -> bool {
        let expected = self.init.trim.end_if_data_ends_at;
        last.is_some_and(|last| expected.is_none_or(|end| last.end() == end))
    }
}

/// All packets from a cell on, in order.
pub(crate) struct Walk<'a> {
    cells: Cells<'a>,
    next_cell: u64,
    current: std::vec::IntoIter<Packet>,
}

impl<'a> Walk<'a> {
    /// Starts at the first packet of `cell`.
    pub(crate) fn from_cell(cells: Cells<'a>, cell: u64) -> Self {
        Self { cells, next_cell: cell, current: Vec::new().into_iter() }
    }

    /// Starts at the packet that begins at `offset`, or at the next one after it.
    pub(crate) fn from_offset(cells: Cells<'a>, offset: u64) -> Result<Self, MediaError> {
        let cell = cells.of(offset);
        let mut walk = Self::from_cell(cells, cell);
        let packets = walk.cells.packets(cell)?;
        let first = packets.partition_point(|packet| packet.offset < offset);
        walk.current = packets.into_iter();
        if first > 0 {
            walk.current.nth(first - 1);
        }
        walk.next_cell = cell + 1;
        Ok(walk)
    }

    /// The next packet; `None` at the end of the recording.
    pub(crate) fn next(&mut self) -> Result<Option<Packet>, MediaError> {
        loop {
            if let Some(packet) = self.current.next() {
                return Ok(Some(packet));
            }
            if self.next_cell >= self.cells.count() {
                return Ok(None);
            }
            self.current = self.cells.packets(self.next_cell)?.into_iter();
            self.next_cell += 1;
        }
    }
}
