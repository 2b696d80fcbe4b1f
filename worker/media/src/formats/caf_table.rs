//! The packet table of a CAF file (`pakt` chunk), and packets by it.
//!
//! The table of a long recording has megabytes: it stays in the file. The init section keeps marks in it; a scanner
//! reads the stretch between two of them when it needs it.

use std::ops::Range;

use super::{Scanner, array};
use crate::error::MediaError;
use crate::init::PacketTable;
use crate::packet::{Packet, content_hash};
use crate::source::Span;

/// Bytes of a cell.
pub(crate) const CELL: u64 = 256 * 1024;
/// Most packets of a recording: 100 hours of AAC.
const MAX_PACKETS: u64 = 1 << 24;
/// Most marks, which bounds the init section.
const MAX_MARKS: u64 = 512;
/// Fewest packets from one mark to the next.
const MIN_STEP: u64 = 4096;
/// Largest packet, bytes: eight channels of ALAC that could not be compressed take half of it.
const MAX_PACKET: u32 = 1024 * 1024;
/// Longest entry, bytes.
const MAX_ENTRY: u64 = 4;

/// The head of a `pakt` chunk, and where its entries are.
pub(crate) struct TableHead {
    entries: Range<u64>,
    count: u64,
    /// Frames of encoder delay.
    pub priming: u32,
    /// Frames of padding in the last packet.
    remainder: u32,
}

impl TableHead {
    /// Reads the head; `None` where the chunk is cut off in it.
    pub(crate) fn read(bytes: &mut Span<'_>, body: Range<u64>) -> Result<Option<Self>, MediaError> {
        const HEAD: u64 = 24;
        let head = bytes.slice(body.start, body.end.min(body.start + HEAD))?;
        // After the count stands that of the audible frames, which follows from the others.
        let (Some(count), Some(priming), Some(remainder)) =
            (array::<8>(head, 0), array::<4>(head, 16), array::<4>(head, 20))
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            entries: body.start + HEAD..body.end,
            count: u64::try_from(i64::from_be_bytes(count)).unwrap_or(0),
            // Both are signed.
            priming: u32::try_from(i32::from_be_bytes(priming)).unwrap_or(0),
            remainder: u32::try_from(i32::from_be_bytes(remainder)).unwrap_or(0),
        }))
    }
}

/// What the packets of a table come to.
pub(crate) struct Coded {
    /// Bytes of all packets.
    pub bytes: u64,
    /// Packets that begin in the first cell.
    pub first_cell: u32,
}

/// Walks over the whole table: marks, and how many packets lie wholly in `data`.
///
/// `frames` are those of a packet; the head's numbers are to be multiplied by `scale`.
pub(crate) fn read(
    bytes: &mut Span<'_>,
    head: &TableHead,
    frames: u32,
    scale: u32,
    data: &Range<u64>,
) -> Result<(PacketTable, Coded), MediaError> {
    // An entry has a byte at least.
    let count = head.count.min(head.entries.end - head.entries.start);
    if count > MAX_PACKETS {
        return Err(MediaError::Limit { what: format!("more than {MAX_PACKETS} packets") });
    }
    let step = count.div_ceil(MAX_MARKS).max(MIN_STEP);
    let mut entries = Entries { at: head.entries.start, end: head.entries.end };
    let (mut packets, mut marks, mut coded) = (0, Vec::new(), Coded { bytes: 0, first_cell: 0 });
    let mut damaged = false;
    while packets < count {
        let entry = entries.at - head.entries.start;
        let size = match entries.next(bytes)? {
            // Cut off.
            None if entries.at == entries.end => break,
            size => size.filter(|size| (1..=MAX_PACKET).contains(size)),
        };
        let Some(size) = size else {
            damaged = true;
            break;
        };
        if coded.bytes + u64::from(size) > data.end - data.start {
            break;
        }
        if packets % step == 0 {
            marks.push((entry, coded.bytes));
        }
        coded.first_cell += u32::from(coded.bytes < CELL);
        coded.bytes += u64::from(size);
        packets += 1;
    }
    // Where packets are missing at the end, so is the padding.
    let whole = packets == head.count;
    let remainder = if whole { head.remainder.saturating_mul(scale).min(frames) } else { 0 };
    let left = (count - packets, data.end - data.start - coded.bytes);
    let table = PacketTable {
        lost: if damaged { left } else { (0, 0) },
        start: head.entries.start,
        end: head.entries.end,
        packets,
        frames,
        remainder,
        step,
        marks,
    };
    Ok((table, coded))
}

/// Sizes one after the other: big-endian, 7 bits a byte, the top bit set in all bytes but the last.
struct Entries {
    at: u64,
    end: u64,
}

impl Entries {
    /// The next size; `None` at the end of the table or at an entry longer than [`MAX_ENTRY`].
    fn next(&mut self, bytes: &mut Span<'_>) -> Result<Option<u32>, MediaError> {
        let mut size = 0u32;
        for byte in bytes.slice(self.at, self.end.min(self.at + MAX_ENTRY))? {
            self.at += 1;
            size = size << 7 | u32::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(Some(size));
            }
        }
        Ok(None)
    }
}

/// Finds packets by the table.
pub(crate) struct CafScanner {
    data: Range<u64>,
    table: PacketTable,
    /// Frames of encoder delay.
    priming: u64,
    /// Whether the last packet says itself how long it is.
    alac: bool,
    /// The mark whose sizes were read last, and these.
    known: Option<(usize, Vec<u32>)>,
}

impl CafScanner {
    pub(crate) fn new(data: Range<u64>, table: PacketTable, priming: u32, alac: bool) -> Self {
        Self { data, table, priming: u64::from(priming), alac, known: None }
    }

    /// The last mark at or before a byte.
    fn mark_before(&self, offset: u64) -> usize {
        let relative = offset.saturating_sub(self.data.start);
        self.table.marks.partition_point(|(_, packet)| *packet <= relative).saturating_sub(1)
    }

    /// The first packet after a mark, and the sizes from it to the next mark.
    fn stretch(&mut self, bytes: &mut Span<'_>, mark: usize) -> Result<(u64, &[u32]), MediaError> {
        let Some((entry, packet)) = self.table.marks.get(mark) else {
            return Ok((self.data.end, &[]));
        };
        if self.known.as_ref().is_none_or(|(known, _)| *known != mark) {
            let mut entries = Entries { at: self.table.start + entry, end: self.table.end };
            let before = self.table.step * mark as u64;
            let mut sizes = Vec::new();
            for _ in before..self.table.packets.min(before + self.table.step) {
                let Some(size) = entries.next(bytes)? else { break };
                sizes.push(size);
            }
            self.known = Some((mark, sizes));
        }
        let sizes = self.known.as_ref().map_or([].as_slice(), |(_, sizes)| sizes);
        Ok((self.data.start + packet, sizes))
    }

    fn packet(&self, bytes: &mut Span<'_>, offset: u64, len: u32) -> Result<Packet, MediaError> {
        let end = offset + u64::from(len);
        let payload = bytes.slice(offset, end)?;
        let own = if self.alac { alac_frames(payload) } else { None };
        let own = own.filter(|frames| end == self.data.end && *frames < self.table.frames);
        let padding = if end == self.data.end && own.is_none() { self.table.remainder } else { 0 };
        Ok(Packet {
            offset,
            hash: content_hash(payload),
            len,
            frames: own.unwrap_or(self.table.frames),
            lead: 0,
            tail: u16::try_from(padding).unwrap_or(u16::MAX),
            carry: 0,
            damaged: false,
        })
    }
}

impl Scanner for CafScanner {
    fn cell_len(&self) -> u64 {
        CELL
    }

    fn scan(&mut self, bytes: &mut Span<'_>, cell: Range<u64>) -> Result<Vec<Packet>, MediaError> {
        let mut own = Vec::new();
        for mark in self.mark_before(cell.start)..self.table.marks.len() {
            let (mut offset, sizes) = self.stretch(bytes, mark)?;
            if offset >= cell.end {
                break;
            }
            for size in sizes {
                if cell.contains(&offset) {
                    own.push((offset, *size));
                }
                offset += u64::from(*size);
            }
        }
        let packets = own.into_iter().map(|(offset, size)| self.packet(bytes, offset, size));
        let (lost, len) = self.table.lost;
        let from = self.data.end.saturating_sub(len);
        let gap = Packet::gap(from, len, lost.saturating_mul(u64::from(self.table.frames)));
        packets.chain((lost > 0 && cell.contains(&from)).then_some(Ok(gap))).collect()
    }

    fn absolute_start(&mut self, bytes: &mut Span<'_>, packet: &Packet) -> Result<Option<u64>, MediaError> {
        let mark = self.mark_before(packet.offset);
        let before = self.table.step * mark as u64;
        let frames = u64::from(self.table.frames);
        let (mut offset, sizes) = self.stretch(bytes, mark)?;
        for (index, size) in (before..).zip(sizes) {
            if offset == packet.offset {
                return Ok(Some((index * frames).saturating_sub(self.priming)));
            }
            offset += u64::from(*size);
        }
        Ok(None)
    }
}

/// The frames of an ALAC packet that is shorter than the others: its first element has 3 bits of kind, 4 of number and 12
/// unused, then a bit that announces the count, 3 bits more, and the count in 32 bits.
fn alac_frames(packet: &[u8]) -> Option<u32> {
    let bits = u64::from_be_bytes(array(packet, 0)?);
    let announced = bits >> (63 - 19) & 1 == 1;
    announced.then(|| u32::try_from(bits >> (64 - 23 - 32) & 0xffff_ffff).unwrap_or(u32::MAX))
}
