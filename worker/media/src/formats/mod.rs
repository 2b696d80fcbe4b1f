//! One file a container: what a probe reads from its beginning, and how its packets are found from any byte on.
//!
//! A scanner works cell by cell. Cells are fixed stretches of the file (a grid that begins at the first packet), and
//! the list of a cell depends on the bytes alone, never on where a worker began to read: so all workers agree on
//! every packet, whatever the chunk size, even where the bytes are damaged.

pub(crate) mod aac_config;
pub(crate) mod adts;
pub(crate) mod aiff;
pub(crate) mod au;
pub(crate) mod caf;
mod caf_codec;
pub(crate) mod caf_table;
pub(crate) mod ebml;
pub(crate) mod flac;
pub(crate) mod flac_frame;
mod frame_chain;
pub(crate) mod id3;
pub(crate) mod mkv;
pub(crate) mod mkv_elements;
pub(crate) mod mkv_frames;
pub(crate) mod mkv_sync;
pub(crate) mod mkv_tracks;
pub(crate) mod mkv_walk;
pub(crate) mod mp3;
pub(crate) mod mp3_frame;
pub(crate) mod mp4;
pub(crate) mod mp4_boxes;
pub(crate) mod mp4_codec;
pub(crate) mod mp4_fragment;
pub(crate) mod mp4_frames;
pub(crate) mod mp4_index;
pub(crate) mod mp4_layout;
pub(crate) mod mp4_missing;
pub(crate) mod mp4_movie;
pub(crate) mod mp4_plan;
pub(crate) mod mp4_scan;
pub(crate) mod mp4_search;
pub(crate) mod mp4_table;
pub(crate) mod ogg;
pub(crate) mod ogg_chain;
pub(crate) mod ogg_ident;
pub(crate) mod ogg_link;
pub(crate) mod ogg_page;
pub(crate) mod ogg_timing;
pub(crate) mod ogg_walk;
pub(crate) mod opus_packet;
pub(crate) mod pcm;
mod tail;
pub(crate) mod vorbis_modes;
pub(crate) mod w64;
pub(crate) mod wav;

use std::borrow::Cow;
use std::ops::Range;

use crate::error::MediaError;
use crate::init::{Codec, InitSection, Layout};
use crate::packet::Packet;
use crate::source::Span;

/// Finds the packets of one kind of container.
pub(crate) trait Scanner: Send {
    /// Bytes of a cell of the grid.
    fn cell_len(&self) -> u64;

    /// The packets whose first byte lies in `cell` (a cell of the grid), in order.
    ///
    /// A damaged stretch is one packet; it belongs to the cell in which it begins. Reads before the cell only as
    /// far as finding the first packet takes, and after it only as far as the last packet of the cell takes.
    fn scan(&mut self, bytes: &mut Span<'_>, cell: Range<u64>) -> Result<Vec<Packet>, MediaError>;

    /// Frames before `packet` in the whole recording, where the container itself says so exactly.
    fn absolute_start(&mut self, bytes: &mut Span<'_>, packet: &Packet) -> Result<Option<u64>, MediaError>;

    /// What the decoder shall get of `packet`: its bytes, but where the container divides or shortens them.
    fn payload<'b>(&mut self, bytes: &'b mut Span<'_>, packet: &Packet) -> Result<Cow<'b, [u8]>, MediaError> {
        Ok(Cow::Borrowed(bytes.slice(packet.offset, packet.end())?))
    }

    /// How `packet` is decoded, where that differs from the packet asked for before (at first: from the recording's
    /// beginning): what follows on a border in the recording wants a new decoder.
    fn setup(&mut self, _bytes: &mut Span<'_>, _packet: &Packet) -> Result<Option<Codec>, MediaError> {
        Ok(None)
    }
}

/// The scanner for a recording.
pub(crate) fn scanner(init: &InitSection) -> Box<dyn Scanner> {
    match &init.layout {
        Layout::Pcm { frame_bytes, block_frames } => {
            Box::new(pcm::PcmScanner::new(init.data(), *frame_bytes, *block_frames))
        }
        Layout::Flac { stream, first_sample } => {
            Box::new(flac::FlacScanner::new(init.data(), stream.clone(), *first_sample))
        }
        Layout::Ogg { link } => Box::new(ogg::OggScanner::new(init, link)),
        Layout::Mp3 { fixed_header_bits } => Box::new(mp3::Mp3Scanner::new(init.data(), *fixed_header_bits)),
        Layout::Caf { table } => {
            let alac = matches!(init.codec, Codec::Alac { .. });
            Box::new(caf_table::CafScanner::new(init.data(), table.clone(), init.trim.start, alac))
        }
        Layout::Mp4Table(table) => Box::new(mp4_scan::Mp4Scanner::new(init, table, None)),
        Layout::Mp4Fragments { head, track } => Box::new(mp4_scan::Mp4Scanner::new(init, head, Some(track))),
        Layout::Adts { fixed_header_bits } => {
            Box::new(adts::AdtsScanner::new(init.data(), *fixed_header_bits))
        }
        Layout::Matroska(track) => Box::new(mkv::MkvScanner::new(init, track)),
    }
}

/// Big- and little-endian numbers from untrusted bytes; `None` where there are too few.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    let mut out = [0u8; N];
    out.copy_from_slice(bytes.get(at..at.checked_add(N)?)?);
    Some(out)
}
