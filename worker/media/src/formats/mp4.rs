//! ISO base media files (M4A, MP4) and QuickTime: the index, wherever it lies, and what it makes of the recording.

use scriptorium_contracts::media::MediaInfo;

use super::mp3_frame;
use super::mp4_boxes::{TopBox, half, long, walk_to, word};
use super::mp4_fragment::{Fragment, fragment_at};
use super::mp4_index::Index;
use super::mp4_layout::FragmentTrack;
use super::mp4_movie::Movie;
use super::mp4_plan::{Plan, plan, scaled};
use super::mp4_search::Finder;
use crate::error::MediaError;
use crate::init::{Codec, InitSection, Layout, Trim};
use crate::source::Span;

/// Largest `moov` that is read.
const MAX_MOOV: u64 = 128 * 1024 * 1024;
/// Largest `sidx` that is read.
const MAX_SIDX: u64 = 1024 * 1024;
/// Fragments that are looked at until one holds sound, and how far away each may be.
const MAX_SILENT: usize = 1_000;
const MAX_DISTANCE: u64 = 64 * 1024 * 1024;
/// Fragments over which a length is estimated where nothing tells it.
const SAMPLE_FRAGMENTS: usize = 16;
/// Most that is cut off at the start of a fragmented file, in packets: more is a shifted clock and no encoder delay.
const MAX_DELAY: u64 = 8;

/// Whether a file begins as these do.
pub(crate) fn begins(head: &[u8]) -> bool {
    const FIRST: [&[u8]; 9] =
        [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof"];
    head.get(4..8).is_some_and(|kind| FIRST.contains(&kind))
}

/// Reads the index of the file, waiting for the chunk in which it lies.
pub(crate) fn probe(bytes: &mut Span<'_>) -> Result<InitSection, MediaError> {
    let container = container(bytes.slice(0, 12)?);
    let moov = index_box(bytes)?;
    let file_len = bytes.source_len();
    if moov.end > file_len {
        return Err(MediaError::damaged("an MP4 file that ends within its index"));
    }
    if moov.end - moov.start > MAX_MOOV {
        return Err(MediaError::Limit { what: format!("an MP4 index of {} bytes", moov.end - moov.start) });
    }
    let movie = Movie::read(bytes.slice_ahead(moov.body, moov.end, 0)?)
        .ok_or_else(|| MediaError::damaged("an MP4 file whose index is incomplete"))?;
    let mut plan = plan(&movie, file_len)?;
    if let Some(track) = first_fragments(&plan)
        && let Some(init) = fragmented(bytes, moov.end, &mut plan, track, container)?
    {
        return Ok(init);
    }
    listed(bytes, &mut plan, container)
}

/// An MP3's sample description claims two channels, whatever it holds: its first packet knows.
fn correct(bytes: &mut Span<'_>, first: u64, plan: &mut Plan) -> Result<(), MediaError> {
    if let Codec::Mp3 { mpeg1 } = plan.description.codec {
        let header = mp3_frame::parse_header(bytes.slice(first, first.saturating_add(mp3_frame::HEADER))?);
        let header = header.filter(|header| header.mpeg1 == mpeg1 && header.rate == plan.description.rate);
        let header =
            header.ok_or_else(|| MediaError::damaged("an MP4 file whose first MP3 packet is none"))?;
        plan.description.channels = u32::from(header.channels);
    }
    Ok(())
}

/// The name of the family, by the brand that the file claims first.
fn container(head: &[u8]) -> &'static str {
    match (head.get(4..8), head.get(8..12)) {
        (Some(b"ftyp"), Some(b"M4A " | b"M4B " | b"F4A " | b"F4B ")) => "m4a",
        (Some(b"ftyp"), Some(b"qt  ")) => "mov",
        (Some(b"ftyp"), _) => "mp4",
        _ => "mov",
    }
}

fn index_box(bytes: &mut Span<'_>) -> Result<TopBox, MediaError> {
    match walk_to(bytes, 0, |found| matches!(&found.kind, b"moov" | b"moof"))? {
        Some(found) if &found.kind == b"moov" => Ok(found),
        Some(_) => Err(MediaError::damaged("a part of an MP4 file without the beginning that explains it")),
        None => Err(match bytes.slice(0, 12)?.get(8..12) {
            Some(b"heic" | b"heix" | b"mif1" | b"msf1" | b"avif" | b"avis") => {
                MediaError::not_audio("a HEIF or AVIF picture")
            }
            _ => MediaError::damaged("an MP4 file without its index (moov): cut off, or never finished"),
        }),
    }
}

/// The section of a file whose samples all stand in its index.
fn listed(bytes: &mut Span<'_>, plan: &mut Plan, container: &str) -> Result<InitSection, MediaError> {
    let file_len = bytes.source_len();
    let index = Index::new(&plan.table);
    let Some(extent) = index.extent() else {
        return Err(MediaError::not_audio("an MP4 file whose sound track is empty"));
    };
    correct(bytes, extent.start, plan)?;
    let skipped = f64::from(plan.table.skip) / f64::from(plan.description.rate);
    let seconds = (plan.seconds_of(index.samples()) - skipped).max(0.0);
    let data = extent.start..extent.end.min(file_len);
    Ok(InitSection {
        version: InitSection::VERSION,
        media: media(plan, container, Some(seconds), data.end - data.start),
        file_len,
        data_start: data.start,
        data_end: data.end,
        layout: Layout::Mp4Table(plan.table.clone()),
        codec: plan.description.codec.clone(),
        // The scanner knows which packets the table's `skip` falls into.
        trim: Trim::default(),
    })
}

fn media(plan: &Plan, container: &str, seconds: Option<f64>, bytes: u64) -> MediaInfo {
    MediaInfo {
        container: container.to_owned(),
        codec: plan.description.name.clone(),
        sample_rate: plan.description.rate,
        channels: plan.description.channels,
        // Of all that lies between the first packet and the last: pictures count, because bytes are what time is
        // estimated from.
        bitrate: seconds.filter(|s| *s > 0.0).map(|s| (bytes as f64 * 8.0 / s) as u64),
        duration_seconds: seconds,
        title: plan.title.clone(),
    }
}

/// What is known of the fragments before the first one is seen; `None` if the file cannot have any.
fn first_fragments(plan: &Plan) -> Option<FragmentTrack> {
    let before = Index::new(&plan.table).samples().saturating_mul(u64::from(plan.framing.usual()));
    Some(FragmentTrack {
        id: plan.track,
        timescale: plan.timescale,
        frames: plan.framing.usual(),
        first: 0,
        before,
        origin: None,
        tracks: plan.fragments.clone()?,
    })
}

/// The section of a fragmented file; `None` if there are no fragments with sound.
fn fragmented(
    bytes: &mut Span<'_>,
    from: u64,
    plan: &mut Plan,
    mut track: FragmentTrack,
    container: &str,
) -> Result<Option<InitSection>, MediaError> {
    let mut segments = None;
    let moof = walk_to(bytes, from, |found| {
        segments = if &found.kind == b"sidx" { segments.or(Some(*found)) } else { segments };
        &found.kind == b"moof"
    })?;
    let Some(moof) = moof else { return Ok(None) };
    let Some(first) = first_with_sound(bytes, moof.start, &track)? else { return Ok(None) };
    if plan.table.group > 1 {
        return Err(MediaError::unsupported("PCM in a fragmented MP4 file"));
    }
    track.first = first.start;
    track.origin = origin(&first, &track, plan.description.rate);
    let head = Index::new(&plan.table).extent();
    let file_len = bytes.source_len();
    let start = head.as_ref().map(|head| head.start).or(first.samples.first().map(|sample| sample.offset));
    let start = start.unwrap_or(first.start);
    correct(bytes, start, plan)?;
    let seconds = match plan.seconds {
        Some(seconds) => Some(seconds),
        None => match indexed(bytes, segments)? {
            Some(seconds) => Some(seconds),
            None => estimated(bytes, &first, plan, &track),
        },
    };
    let delay = match (&head, first.time) {
        (None, Some(time)) => {
            scaled(plan.edit_start.saturating_sub(time), plan.description.rate, plan.timescale)
        }
        _ => 0,
    };
    let delay = if delay <= MAX_DELAY * u64::from(track.frames) { delay } else { 0 };
    Ok(Some(InitSection {
        version: InitSection::VERSION,
        media: media(plan, container, seconds, file_len.saturating_sub(start)),
        file_len,
        data_start: start,
        data_end: file_len,
        layout: Layout::Mp4Fragments { head: plan.table.clone(), track },
        codec: plan.description.codec.clone(),
        trim: Trim { start: u32::try_from(delay).unwrap_or(0), ..Trim::default() },
    }))
}

fn first_with_sound(
    bytes: &mut Span<'_>,
    from: u64,
    track: &FragmentTrack,
) -> Result<Option<Fragment>, MediaError> {
    let mut finder = Finder::new(track);
    let mut at = from;
    for _ in 0..MAX_SILENT {
        if !finder.next(bytes, at..at.saturating_add(MAX_DISTANCE).min(bytes.source_len()))? {
            return Ok(None);
        }
        let Some(found) = finder.latest() else { return Ok(None) };
        if !found.fragment.samples.is_empty() {
            return Ok(Some(Fragment::clone(&found.fragment)));
        }
        at = found.fragment.end.max(at.saturating_add(1));
    }
    Ok(None)
}

/// See [`FragmentTrack::origin`].
fn origin(first: &Fragment, track: &FragmentTrack, rate: u32) -> Option<i64> {
    let after = first.time?.checked_add(first.ticks())?;
    let frames = (first.samples.len() as u64).checked_mul(u64::from(track.frames))?;
    let ticks = scaled(track.before.checked_add(frames)?, track.timescale, rate);
    i64::try_from(i128::from(after) - i128::from(ticks)).ok()
}

/// Seconds by a segment index (`sidx`, ISO/IEC 14496-12, 8.16.3) that reaches to about the end of the file.
fn indexed(bytes: &mut Span<'_>, sidx: Option<TopBox>) -> Result<Option<f64>, MediaError> {
    let Some(sidx) = sidx.filter(|sidx| sidx.end - sidx.start <= MAX_SIDX) else { return Ok(None) };
    let file_len = bytes.source_len();
    let body = bytes.slice(sidx.body, sidx.end)?;
    Ok(segments(body)
        .filter(|(reach, _)| sidx.end.saturating_add(*reach).saturating_add(file_len / 20) >= file_len)
        .map(|(_, seconds)| seconds))
}

/// Bytes from the index to the end of its last segment, and seconds of all.
fn segments(body: &[u8]) -> Option<(u64, f64)> {
    let timescale = word(body, 8).filter(|timescale| *timescale > 0)?;
    let (mut reach, entries) = match body.first()? {
        0 => (u64::from(word(body, 16)?), 20),
        _ => (long(body, 20)?, 28),
    };
    let count = usize::from(half(body, entries + 2)?);
    let (entries, _) = body.get(entries + 4..)?.as_chunks::<12>();
    let mut ticks = 0u64;
    for entry in entries.iter().take(count) {
        // The highest bit tells an index of an index.
        let size = word(entry, 0).filter(|size| size >> 31 == 0)?;
        reach = reach.saturating_add(u64::from(size));
        ticks = ticks.saturating_add(u64::from(word(entry, 4)?));
    }
    Some((reach, ticks as f64 / f64::from(timescale)))
}

/// Seconds by the first fragments, as far as they are there: an estimate is not worth waiting for another chunk.
fn estimated(bytes: &mut Span<'_>, first: &Fragment, plan: &Plan, track: &FragmentTrack) -> Option<f64> {
    let rate = f64::from(plan.description.rate);
    let length = |fragment: &Fragment| match plan.framing.steady() {
        true => fragment.samples.len() as f64 * f64::from(track.frames) / rate,
        false => fragment.ticks() as f64 / f64::from(plan.timescale),
    };
    let (mut seconds, mut end) = (length(first), first.end);
    for _ in 1..SAMPLE_FRAGMENTS {
        let Ok(Some(next)) = fragment_at(bytes, end, track) else { break };
        (seconds, end) = (seconds + length(&next), next.end);
    }
    let (seen, all) = (end.saturating_sub(first.start), bytes.source_len().saturating_sub(first.start));
    (seen > 0 && seconds > 0.0)
        .then(|| seconds * (all as f64 / seen as f64).max(1.0) + track.before as f64 / rate)
}
