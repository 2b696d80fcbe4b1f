//! From packed runs of samples to packets by their place in the file.

use std::ops::Range;

use super::array;
use super::mp4_boxes::{half, long, word};
use super::mp4_layout::SampleTable;

/// Samples from one mark to the next.
const MARK_STEP: u32 = 256;
/// Bytes of a run in packed form.
const RUN: usize = 12;

/// A packet as the table knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub offset: u64,
    pub len: u32,
    /// Samples in it.
    pub samples: u32,
    /// Samples before it.
    pub index: u64,
    /// End of the run it lies in, as far as it is known: bytes worth reading ahead.
    pub run_end: u64,
}

/// A run with what the runs before it sum up to.
#[derive(Clone, Copy, Debug)]
struct Run {
    offset: u64,
    end: u64,
    count: u32,
    index: u64,
    /// Its first mark.
    mark: usize,
}

/// A table made ready for searching: runs, and within long ones a mark every [`MARK_STEP`] samples.
pub(crate) struct Index {
    table: SampleTable,
    runs: Vec<Run>,
    marks: Vec<u64>,
}

impl Index {
    pub(crate) fn new(table: &SampleTable) -> Self {
        let mut index = Self { table: table.clone(), runs: Vec::new(), marks: Vec::new() };
        let mut samples = 0u64;
        let (runs, _) = table.runs.as_chunks::<RUN>();
        for run in runs {
            let (Some(offset), Some(count)) = (long(run, 0), word(run, 8)) else { continue };
            let mark = index.marks.len();
            let end = index.measure(offset, samples, count);
            index.runs.push(Run { offset, end, count, index: samples, mark });
            samples = samples.saturating_add(u64::from(count));
        }
        index
    }

    /// Sets the marks of a run and returns its end.
    fn measure(&mut self, offset: u64, first: u64, count: u32) -> u64 {
        if self.table.equal_size > 0 {
            return offset.saturating_add(u64::from(self.table.equal_size).saturating_mul(u64::from(count)));
        }
        let mut at = offset;
        for step in 0..count {
            let Some(size) = self.size(first.saturating_add(u64::from(step))) else { break };
            if step.is_multiple_of(MARK_STEP) {
                self.marks.push(at);
            }
            at = at.saturating_add(u64::from(size));
        }
        at
    }

    fn size(&self, sample: u64) -> Option<u32> {
        let at = usize::try_from(sample).ok()?.checked_mul(usize::from(self.table.width))?;
        match self.table.width {
            2 => half(&self.table.sizes, at).map(u32::from),
            _ => array(&self.table.sizes, at).map(u32::from_be_bytes),
        }
    }

    /// All packets that begin in a range of bytes, in order.
    pub(crate) fn within(&self, range: &Range<u64>) -> Vec<Entry> {
        let mut found = Vec::new();
        let first = self.runs.partition_point(|run| run.end <= range.start);
        for (number, run) in self.runs.iter().enumerate().skip(first) {
            if run.offset >= range.end {
                break;
            }
            if self.table.equal_size > 0 {
                self.equal(run, range, &mut found);
            } else {
                let marks = self.runs.get(number + 1).map_or(self.marks.len(), |next| next.mark);
                self.listed(run, marks, range, &mut found);
            }
        }
        found
    }

    fn equal(&self, run: &Run, range: &Range<u64>, found: &mut Vec<Entry>) {
        let (size, group) = (u64::from(self.table.equal_size), u64::from(self.table.group.max(1)));
        let block = size.saturating_mul(group);
        let mut before = range.start.saturating_sub(run.offset).div_ceil(block).saturating_mul(group);
        while before < u64::from(run.count) {
            let samples = group.min(u64::from(run.count) - before);
            let offset = run.offset.saturating_add(before.saturating_mul(size));
            if offset >= range.end {
                return;
            }
            found.push(Entry {
                offset,
                len: u32::try_from(samples.saturating_mul(size)).unwrap_or(u32::MAX),
                samples: u32::try_from(samples).unwrap_or(u32::MAX),
                index: run.index.saturating_add(before),
                run_end: run.end,
            });
            before += samples;
        }
    }

    fn listed(&self, run: &Run, marks_end: usize, range: &Range<u64>, found: &mut Vec<Entry>) {
        let marks = self.marks.get(run.mark..marks_end).unwrap_or_default();
        let mark = marks.partition_point(|at| *at <= range.start).saturating_sub(1);
        let Some(mut offset) = marks.get(mark).copied() else { return };
        let skipped = (mark as u64).saturating_mul(u64::from(MARK_STEP));
        for step in skipped..u64::from(run.count) {
            let index = run.index.saturating_add(step);
            let Some(len) = self.size(index).filter(|_| offset < range.end) else { return };
            if offset >= range.start {
                found.push(Entry { offset, len, samples: 1, index, run_end: run.end });
            }
            offset = offset.saturating_add(u64::from(len));
        }
    }

    /// The packet that begins at `offset`.
    pub(crate) fn at(&self, offset: u64) -> Option<Entry> {
        self.within(&(offset..offset.saturating_add(1))).into_iter().next()
    }

    /// Number of samples.
    pub(crate) fn samples(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.index.saturating_add(u64::from(run.count)))
    }

    /// First byte of the first packet, and the byte after the last one.
    pub(crate) fn extent(&self) -> Option<Range<u64>> {
        Some(self.runs.first()?.offset..self.runs.last()?.end)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::MediaError;
    use crate::formats::mp4_table::{Wanted, pack};

    fn boxed(kind: &[u8; 4], fields: &[u32]) -> Vec<u8> {
        let body: Vec<u8> = fields.iter().flat_map(|field| field.to_be_bytes()).collect();
        [&(body.len() as u32 + 8).to_be_bytes()[..], kind, &body].concat()
    }

    /// Sizes of samples, and a table in which every chunk holds 700 of them, each third one behind a hole.
    fn table(count: u32) -> (Vec<u32>, Vec<u8>, Vec<u64>) {
        let sizes: Vec<u32> = (0..count).map(|index| 100 + index * 7919 % 400).collect();
        let (mut chunks, mut places, mut at) = (Vec::new(), Vec::new(), 5_000u64);
        for (number, chunk) in sizes.chunks(700).enumerate() {
            at += if number % 3 == 2 { 100_000 } else { 0 };
            chunks.push(at as u32);
            for size in chunk {
                places.push(at);
                at += u64::from(*size);
            }
        }
        let stsz = boxed(b"stsz", &[&[0, 0, count][..], &sizes].concat());
        let stco = boxed(b"stco", &[&[0, chunks.len() as u32][..], &chunks].concat());
        let stsc = boxed(b"stsc", &[0, 1, 1, 700, 1]);
        (sizes, [stsz, stco, stsc].concat(), places)
    }

    fn wanted(samples: Range<u64>, file_len: u64) -> Wanted {
        Wanted { samples, equal_size: None, group: 1, frames: 1024, skip: 0, file_len }
    }

    #[test]
    fn every_sample_is_found_where_it_lies() {
        let (sizes, stbl, places) = table(20_000);
        let packed = pack(&stbl, &wanted(100..19_990, u64::MAX)).unwrap();
        // Two bytes a sample, and no more runs than there are holes.
        assert_eq!((packed.sizes.len(), packed.runs.len()), (2 * 19_890, 10 * RUN));
        let index = Index::new(&packed);
        assert_eq!(index.samples(), 19_890);
        let found = index.within(&(0..u64::MAX));
        assert!(found.iter().zip(&places[100..]).all(|(entry, place)| entry.offset == *place));
        assert!(found.iter().zip(&sizes[100..]).all(|(entry, size)| entry.len == *size));
        let mut at = 0;
        let mut again = Vec::new();
        while at < index.extent().unwrap().end {
            again.extend(index.within(&(at..at + 77_777)));
            at += 77_777;
        }
        assert_eq!(again, found);
        assert_eq!(index.at(found[5000].offset), Some(found[5000]));
        assert_eq!(index.at(found[5000].offset + 1), None);
    }

    #[test]
    fn a_table_is_cut_where_the_file_ends() {
        let (_, stbl, places) = table(3_000);
        let packed = pack(&stbl, &wanted(0..u64::MAX, places[2_000] + 10)).unwrap();
        assert_eq!(Index::new(&packed).samples(), 2_000);
    }

    #[test]
    fn samples_out_of_order_are_refused() {
        let (_, mut stbl, _) = table(3_000);
        let stco = stbl.windows(4).position(|kind| kind == b"stco").unwrap() + 12;
        stbl[stco + 8..stco + 12].fill(0);
        assert!(matches!(pack(&stbl, &wanted(0..3_000, u64::MAX)), Err(MediaError::Unsupported { .. })));
    }

    #[test]
    fn frames_of_pcm_are_gathered_into_blocks_within_their_runs() {
        let stsz = boxed(b"stsz", &[0, 1, 5_000]);
        let stco = boxed(b"stco", &[0, 2, 1_000, 50_000]);
        let stbl = [stsz, stco, boxed(b"stsc", &[0, 1, 1, 2_500, 1])].concat();
        let wanted = Wanted { equal_size: Some(4), group: 1_000, ..wanted(0..u64::MAX, u64::MAX) };
        let found = Index::new(&pack(&stbl, &wanted).unwrap()).within(&(4_000..60_000));
        let list: Vec<_> = found.iter().map(|entry| (entry.offset, entry.samples, entry.index)).collect();
        assert_eq!(list[..3], [(5_000, 1_000, 1_000), (9_000, 500, 2_000), (50_000, 1_000, 2_500)]);
        assert_eq!(list.len(), 5);
    }
}
