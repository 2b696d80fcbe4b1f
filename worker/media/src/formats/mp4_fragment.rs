//! One movie fragment: `moof` and the `mdat` behind it (ISO/IEC 14496-12, section 8.8).

use super::mp4_boxes::{Boxes, TopBox, box_at, find, long, word};
use super::mp4_layout::{FragmentTrack, TrackDefaults};
use crate::error::MediaError;
use crate::source::Span;

/// Largest `moof` that is read.
const MAX_MOOF: u64 = 32 * 1024 * 1024;
/// Most samples of one fragment.
const MAX_SAMPLES: usize = 1 << 21;

/// A sample of the audio track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub offset: u64,
    pub len: u32,
    /// Ticks.
    pub duration: u32,
}

/// What a fragment holds of the audio track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    /// First byte of its `moof`.
    pub start: u64,
    /// First byte of its data.
    pub data: u64,
    /// Byte after its data, as its `mdat` says.
    pub end: u64,
    /// Whether its samples, of all tracks, fill the `mdat` to its last byte.
    pub filled: bool,
    /// In order, all inside of the `mdat` and of the file.
    pub samples: Vec<Sample>,
    /// Decode time of the first of them, in ticks.
    pub time: Option<u64>,
}

impl Fragment {
    /// Ticks of all its samples.
    pub(crate) fn ticks(&self) -> u64 {
        self.samples.iter().map(|sample| u64::from(sample.duration)).sum()
    }

    /// Whether all samples last `ticks`, the last one perhaps less: whether its times count frames.
    pub(crate) fn is_even(&self, ticks: u64) -> bool {
        let Some((last, others)) = self.samples.split_last() else { return true };
        let others_even = others.iter().all(|sample| u64::from(sample.duration) == ticks);
        let last = u64::from(last.duration);
        others_even && (last == ticks || last < ticks && !others.is_empty())
    }
}

/// The fragment whose `moof` stands at `at`, if it is plausible: its boxes fill it, it names known tracks, and an `mdat`
/// follows.
pub(crate) fn fragment_at(
    bytes: &mut Span<'_>,
    at: u64,
    track: &FragmentTrack,
) -> Result<Option<Fragment>, MediaError> {
    // Its own header and that of the box it has to begin with.
    let head = bytes.slice(at, at.saturating_add(16))?;
    if !may_begin(head) {
        return Ok(None);
    }
    let Some(moof) = box_at(bytes, at)?.filter(|moof| moof.end - moof.start <= MAX_MOOF) else {
        return Ok(None);
    };
    let file_len = bytes.source_len();
    let body = bytes.slice(moof.body, moof.end)?;
    let parsed =
        if tiles(body) && body.len() as u64 == moof.end - moof.body { tracks(body, at, track) } else { None };
    let Some(mut parsed) = parsed else { return Ok(None) };
    let Some(mdat) = box_at(bytes, moof.end)?.filter(|mdat| &mdat.kind == b"mdat") else {
        return Ok(None);
    };
    parsed.keep_inside(&mdat, file_len);
    Ok(Some(Fragment {
        start: at,
        data: mdat.body,
        end: mdat.end,
        filled: parsed.end == mdat.end,
        samples: parsed.samples,
        time: parsed.time,
    }))
}

/// Whether `moof` may begin with these 16 bytes: a 32-bit size, and `mfhd` as its first box.
pub(crate) fn may_begin(head: &[u8]) -> bool {
    head.get(4..8) == Some(b"moof")
        && head.get(8..16) == Some(b"\0\0\0\x10mfhd")
        && word(head, 0).is_some_and(|size| (24..=MAX_MOOF).contains(&u64::from(size)))
}

/// Whether boxes fill a body exactly.
fn tiles(mut body: &[u8]) -> bool {
    while !body.is_empty() {
        let size = word(body, 0).map_or(0, |size| usize::try_from(size).unwrap_or(usize::MAX));
        match body.get(size..) {
            Some(rest) if size >= 8 => body = rest,
            _ => return false,
        }
    }
    true
}

/// What the track fragments of a `moof` sum up to.
struct Tracks {
    samples: Vec<Sample>,
    time: Option<u64>,
    /// Byte after the last sample of any track.
    end: u64,
}

impl Tracks {
    /// Drops what cannot be: samples out of order, of no length, or outside of the fragment's data.
    fn keep_inside(&mut self, mdat: &TopBox, file_len: u64) {
        let mut at = mdat.body;
        let limit = mdat.end.min(file_len);
        self.samples.retain(|sample| {
            let end = sample.offset.saturating_add(u64::from(sample.len));
            let inside = sample.offset >= at && sample.len > 0 && end <= limit;
            at = if inside { end } else { at };
            inside
        });
    }
}

fn tracks(moof: &[u8], start: u64, track: &FragmentTrack) -> Option<Tracks> {
    let mut found = Tracks { samples: Vec::new(), time: None, end: 0 };
    let mut before = start;
    let mut any = false;
    for (_, traf) in Boxes(moof).filter(|(kind, _)| kind == b"traf") {
        let header = Header::read(traf, &track.tracks)?;
        let own = header.id == track.id;
        if own && found.time.is_none() {
            found.time = decode_time(traf);
        }
        // Where no offset is given: from the fragment's first byte, or where the track before ended.
        let base = header.base.unwrap_or(if header.from_moof || !any { start } else { before });
        let mut at = base;
        for (_, trun) in Boxes(traf).filter(|(kind, _)| kind == b"trun") {
            at = run(trun, &header, base, at, own.then_some(&mut found.samples))?;
            found.end = found.end.max(at);
        }
        before = at;
        any = true;
    }
    any.then_some(found)
}

/// `tfhd`.
struct Header {
    id: u32,
    base: Option<u64>,
    from_moof: bool,
    duration: u32,
    size: u32,
}

impl Header {
    fn read(traf: &[u8], tracks: &[TrackDefaults]) -> Option<Self> {
        let body = find(traf, b"tfhd")?;
        let (flags, id) = (word(body, 0)?, word(body, 4)?);
        let defaults = tracks.iter().find(|track| track.id == id)?;
        let mut at = 8;
        let base = if flags & 1 != 0 { Some(long(body, 8)?) } else { None };
        at += if base.is_some() { 8 } else { 0 };
        at += if flags & 2 != 0 { 4 } else { 0 };
        let mut field = |present: bool, default: u32| {
            let value = if present { word(body, at)? } else { default };
            at += if present { 4 } else { 0 };
            Some(value)
        };
        let duration = field(flags & 8 != 0, defaults.duration)?;
        let size = field(flags & 0x10 != 0, defaults.size)?;
        Some(Self { id, base, from_moof: flags & 0x2_0000 != 0, duration, size })
    }
}

fn decode_time(traf: &[u8]) -> Option<u64> {
    let body = find(traf, b"tfdt")?;
    if body.first() == Some(&1) { long(body, 4) } else { word(body, 4).map(u64::from) }
}

/// Reads a `trun`; returns the byte after its last sample.
fn run(
    body: &[u8],
    header: &Header,
    base: u64,
    at: u64,
    mut samples: Option<&mut Vec<Sample>>,
) -> Option<u64> {
    let (flags, count) = (word(body, 0)?, word(body, 4)?);
    let mut field = 8;
    let mut offset = at;
    if flags & 1 != 0 {
        offset = base.checked_add_signed(i64::from(word(body, field)?.cast_signed()))?;
        field += 4;
    }
    field += if flags & 4 != 0 { 4 } else { 0 };
    let width = 4 * (flags >> 8 & 15).count_ones();
    let whole = usize::try_from(width).ok()?.checked_mul(usize::try_from(count).ok()?)?;
    let entries = body.get(field..)?.get(..whole)?;
    let size_at = if flags & 0x100 != 0 { 4 } else { 0 };
    if width == 0 && samples.is_none() {
        return offset.checked_add(u64::from(header.size).checked_mul(u64::from(count))?);
    }
    for number in 0..usize::try_from(count).ok()? {
        let entry = number.checked_mul(usize::try_from(width).ok()?)?;
        let duration = if flags & 0x100 != 0 { word(entries, entry)? } else { header.duration };
        let len = if flags & 0x200 != 0 { word(entries, entry + size_at)? } else { header.size };
        if let Some(samples) = samples.as_mut() {
            if samples.len() >= MAX_SAMPLES {
                return None;
            }
            samples.push(Sample { offset, len, duration });
        }
        offset = offset.checked_add(u64::from(len))?;
    }
    Some(offset)
}
