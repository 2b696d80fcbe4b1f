//! Matroska and WebM (RFC 9559): the description of the recording, and packets found by chains of blocks.

use std::borrow::Cow;
use std::ops::Range;

use scriptorium_contracts::media::MediaInfo;

use super::Scanner;
use super::ebml::{children, float, text, unsigned};
use super::mkv_elements::{CLUSTER, INFO, Known, SEGMENT, TRACKS, header_at};
use super::mkv_frames::Counter;
use super::mkv_tracks::{Sound, sound};
use super::mkv_walk::{Stream, Walk};
use super::mp3_frame;
use crate::error::MediaError;
use crate::init::{Codec, InitSection, Layout, MatroskaTrack, Trim};
use crate::packet::Packet;
use crate::source::Span;

/// Most elements that are walked over before the first cluster.
const MAX_ELEMENTS: usize = 10_000;
/// Largest description of tracks, with covers among the codecs' comments.
const MAX_DESCRIPTION: u64 = 4 * 1024 * 1024;
/// Bytes after the first cluster's beginning in which the first sound has to lie.
const MAX_SILENT: u64 = 256 * 1024 * 1024;
/// Longest recording that a file is believed to be, in seconds: some years.
const MAX_SECONDS: f64 = 1e8;
/// Longest title, in characters.
const MAX_TITLE: usize = 300;

/// Bytes before a cell from which it is synchronised: the next one where the one before shows too few blocks of the
/// track, because large pictures or a damaged stretch stand between.
const LOOK_BACK: [u64; 3] = [64 * 1024, 512 * 1024, 4 * 1024 * 1024];
/// Blocks before a cell that tell all its first packet depends on: its own overlap, and that of the one before.
const CONTEXT: u64 = 2;

/// What stands before the clusters.
#[derive(Default)]
struct Description {
    /// Nanoseconds of a tick.
    tick: Option<u64>,
    /// Ticks.
    duration: Option<f64>,
    title: Option<String>,
    sound: Option<Sound>,
}

/// Reads the beginning of a Matroska file whose EBML header stands at `base`.
pub(crate) fn probe(
    bytes: &mut Span<'_>,
    base: u64,
    title: Option<String>,
) -> Result<InitSection, MediaError> {
    let damaged = || MediaError::damaged("a Matroska or WebM file that ends in its description");
    let head = header_at(bytes, base)?.ok_or_else(damaged)?;
    let body = base + head.len;
    let mut at = body.saturating_add(head.size.unwrap_or(0));
    let fields = bytes.slice(body, body + (at - body).min(1024))?;
    let webm = children(fields).any(|(id, body)| id == 0x4282 && body == b"webm");
    let mut found = Description::default();
    for _ in 0..MAX_ELEMENTS {
        let header = header_at(bytes, at)?.ok_or_else(damaged)?;
        let body = at + header.len;
        let size = match (header.id, header.size) {
            (CLUSTER, _) => return section(bytes, at, found, webm, title),
            (SEGMENT, _) => 0,
            (_, Some(size)) => size,
            (_, None) => return Err(damaged()),
        };
        if matches!(header.id, INFO | TRACKS) {
            if size > MAX_DESCRIPTION {
                return Err(MediaError::Limit { what: format!("a description of {size} bytes") });
            }
            let content = bytes.slice(body, body + size)?;
            match header.id {
                TRACKS => found.sound = Some(sound(content)?),
                _ => info(content, &mut found),
            }
        }
        at = body.checked_add(size).filter(|next| *next < bytes.source_len()).ok_or_else(damaged)?;
    }
    Err(MediaError::Limit { what: format!("more than {MAX_ELEMENTS} elements before the sound") })
}

fn info(content: &[u8], found: &mut Description) {
    for (id, body) in children(content) {
        match id {
            0x2a_d7b1 => found.tick = unsigned(body),
            0x4489 => found.duration = float(body),
            0x7ba9 => found.title = Some(text(body).chars().take(MAX_TITLE).collect()),
            _ => {}
        }
    }
}

fn section(
    bytes: &mut Span<'_>,
    first_cluster: u64,
    found: Description,
    webm: bool,
    title: Option<String>,
) -> Result<InitSection, MediaError> {
    let sound = found
        .sound
        .ok_or_else(|| MediaError::damaged("a Matroska or WebM file that does not describe its tracks"))?;
    // A tick is a millisecond where nothing else is said.
    let tick = found.tick.filter(|tick| (1..=1_000_000_000).contains(tick)).unwrap_or(1_000_000);
    let file_len = bytes.source_len();
    let seconds = found.duration.map(|ticks| ticks * tick as f64 / 1e9);
    let track = MatroskaTrack {
        first_cluster,
        number: sound.track,
        all_numbers: sound.tracks,
        tick,
        prefix: sound.prefix,
    };
    let mut init = InitSection {
        version: InitSection::VERSION,
        media: MediaInfo {
            container: if webm { "webm" } else { "matroska" }.to_owned(),
            codec: sound.name.to_owned(),
            sample_rate: sound.rate,
            channels: u32::from(sound.channels),
            bitrate: None,
            duration_seconds: seconds.filter(|seconds| *seconds > 0.0 && *seconds < MAX_SECONDS),
            title: found.title.or(title).filter(|title| !title.is_empty()),
        },
        file_len,
        data_start: first_cluster,
        data_end: file_len,
        layout: Layout::Matroska(track.clone()),
        codec: sound.codec,
        trim: Trim { start: sound.delay, end: 0, end_if_data_ends_at: None },
    };
    first_packet(bytes, &mut init, &track)?;
    estimate(bytes, &mut init, &track);
    Ok(init)
}

/// Finds the first packet, and what an MP3 frame says of itself.
fn first_packet(
    bytes: &mut Span<'_>,
    init: &mut InitSection,
    track: &MatroskaTrack,
) -> Result<(), MediaError> {
    let scanner = MkvScanner::new(init, track);
    let start = scanner.first_cluster;
    let mut walk = Walk::new(&scanner.stream, &scanner.counter, start, start..init.data_end);
    let first = loop {
        if let Some(first) = walk.packets.first() {
            break *first;
        }
        if !walk.step(bytes)? {
            return Err(MediaError::not_audio("a Matroska or WebM file whose sound track is empty"));
        }
        if walk.at > start.saturating_add(MAX_SILENT) {
            return Err(MediaError::Limit { what: format!("no sound within {MAX_SILENT} bytes") });
        }
    };
    init.data_start = first.offset;
    if matches!(init.codec, Codec::Mp3 { .. }) {
        let beginning = bytes.slice(first.offset, first.offset + mp3_frame::HEADER)?;
        let header = mp3_frame::parse_header(&[&scanner.stream.prefix, beginning].concat())
            .ok_or_else(|| MediaError::damaged("an MP3 track that does not begin with a frame"))?;
        init.media.sample_rate = header.rate;
        init.media.channels = u32::from(header.channels);
        init.codec = Codec::Mp3 { mpeg1: header.mpeg1 };
    }
    Ok(())
}

/// Bits a second of the whole file (pictures too), and where the file does not tell its duration, that as well: from
/// the first packets, as far as they are there.
fn estimate(bytes: &mut Span<'_>, init: &mut InitSection, track: &MatroskaTrack) {
    let data = init.data_end.saturating_sub(init.data_start) as f64 * 8.0;
    if let Some(seconds) = init.media.duration_seconds {
        init.media.bitrate = Some((data / seconds) as u64);
        return;
    }
    let mut scanner = MkvScanner::new(init, track);
    let cell = init.data_start..(init.data_start + scanner.cell_len()).min(init.data_end);
    let packets = scanner.scan(bytes, cell).unwrap_or_default();
    let frames: u64 = packets.iter().map(Packet::duration).sum();
    if let Some(last) = packets.last().filter(|_| frames > 0) {
        let bits = (last.end() - init.data_start) as f64 * 8.0;
        let bitrate = bits * f64::from(init.rate()) / frames as f64;
        init.media.bitrate = Some(bitrate as u64);
        init.media.duration_seconds = Some(data / bitrate);
    }
}

/// Finds packets by walking from block to block.
pub(crate) struct MkvScanner {
    stream: Stream,
    counter: Counter,
    first_cluster: u64,
}

impl MkvScanner {
    pub(crate) fn new(init: &InitSection, track: &MatroskaTrack) -> Self {
        let known = Known { end: init.data_end, track: track.number, tracks: track.all_numbers.clone() };
        Self {
            stream: Stream {
                known,
                tick: track.tick,
                rate: init.rate(),
                prefix: track.prefix.clone(),
                data_start: init.data_start,
            },
            counter: Counter::new(init),
            first_cluster: track.first_cluster,
        }
    }

    /// A walk from `back` bytes before the cell to its beginning; `None` if nothing begins there or in the cell.
    fn approach(
        &self,
        bytes: &mut Span<'_>,
        cell: &Range<u64>,
        back: u64,
    ) -> Result<Option<Walk<'_>>, MediaError> {
        let from = cell.start.saturating_sub(back);
        let walk = if from <= self.stream.data_start {
            Some(Walk::new(&self.stream, &self.counter, self.first_cluster, cell.clone()))
        } else {
            Walk::synchronised(&self.stream, &self.counter, bytes, from..cell.end, cell.clone())?
        };
        let Some(mut walk) = walk else { return Ok(None) };
        walk.run(bytes, cell.start)?;
        Ok(Some(walk))
    }
}

impl Scanner for MkvScanner {
    fn cell_len(&self) -> u64 {
        256 * 1024
    }

    fn scan(&mut self, bytes: &mut Span<'_>, cell: Range<u64>) -> Result<Vec<Packet>, MediaError> {
        for back in LOOK_BACK {
            let Some(mut walk) = self.approach(bytes, &cell, back)? else { continue };
            let from_start = cell.start.saturating_sub(back) <= self.stream.data_start;
            let last = from_start || back == LOOK_BACK[LOOK_BACK.len() - 1];
            if walk.blocks >= CONTEXT || last {
                walk.run(bytes, cell.end)?;
                // From further back a cluster's own time may be met, which tells how long a hole was.
                if last || !walk.estimated {
                    return Ok(walk.packets);
                }
            }
        }
        Ok(Vec::new())
    }

    fn absolute_start(&mut self, _: &mut Span<'_>, _: &Packet) -> Result<Option<u64>, MediaError> {
        Ok(None)
    }

    /// The packet with what all packets had in common before it.
    fn payload<'b>(&mut self, bytes: &'b mut Span<'_>, packet: &Packet) -> Result<Cow<'b, [u8]>, MediaError> {
        let own = bytes.slice(packet.offset, packet.end())?;
        if self.stream.prefix.is_empty() {
            return Ok(Cow::Borrowed(own));
        }
        Ok(Cow::Owned([&self.stream.prefix, own].concat()))
    }
}
