//! Matroska and WebM: how many frames a packet yields, by its first bytes.

use std::ops::Range;

use super::aac_config;
use super::flac_frame;
use super::mp3_frame;
use super::opus_packet;
use super::vorbis_modes::Modes;
use crate::init::{Codec, FlacStream, InitSection};

/// What a packet's beginning tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Frames that the decoder makes of it.
    pub frames: u32,
    /// Bytes it adds to the decoder's reservoir (MP3).
    pub carry: u16,
    /// The bytes that tell how it sounds, not where it stands.
    pub content: Range<usize>,
}

/// Counts the frames of packets, one after another.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    rule: Rule,
    /// Size of the block before, where packets overlap (Vorbis).
    before: Option<u32>,
}

#[derive(Clone, Debug)]
enum Rule {
    Pcm {
        frame_bytes: usize,
    },
    Fixed(u32),
    Mp3 {
        rate: u32,
    },
    Flac(FlacStream),
    Opus,
    Vorbis(Modes),
    /// A section that no probe made.
    Nothing,
}

impl Counter {
    pub(crate) fn new(init: &InitSection) -> Self {
        let rule = match &init.codec {
            Codec::Pcm(format) => Rule::Pcm { frame_bytes: format.bytes() * init.channels() },
            Codec::Aac { .. } => Rule::Fixed(aac_config::FRAMES),
            Codec::Mp3 { .. } => Rule::Mp3 { rate: init.rate() },
            Codec::Opus { .. } => Rule::Opus,
            Codec::Flac { stream_info } => {
                flac_frame::parse_stream(stream_info).map_or(Rule::Nothing, Rule::Flac)
            }
            Codec::Vorbis { headers } => Modes::parse(headers).map_or(Rule::Nothing, Rule::Vorbis),
            Codec::Alac { .. } => Rule::Nothing,
        };
        Self { rule, before: None }
    }

    /// A counter for the same stream, at a place where the decoder starts afresh.
    pub(crate) fn afresh(&self) -> Self {
        Self { rule: self.rule.clone(), before: None }
    }

    /// The first packet of a recording only fills the decoder's overlap (Vorbis).
    pub(crate) fn primes(&self) -> bool {
        matches!(self.rule, Rule::Vorbis(_)) && self.before.is_none()
    }

    /// Takes the next packet; `None` if it is none of this codec.
    pub(crate) fn next(&mut self, packet: &[u8]) -> Option<Told> {
        let all = 0..packet.len();
        let told = |frames| Some(Told { frames, carry: 0, content: 0..packet.len() });
        match &self.rule {
            Rule::Pcm { frame_bytes } => told(u32::try_from(packet.len() / frame_bytes).ok()?),
            Rule::Fixed(frames) => told(*frames).filter(|_| !packet.is_empty()),
            Rule::Opus => told(opus_packet::frames(packet)?),
            Rule::Mp3 { rate } => {
                let header = mp3_frame::parse_header(packet).filter(|header| header.rate == *rate)?;
                let carry = u16::try_from(header.main_data()).unwrap_or(u16::MAX);
                Some(Told { frames: header.samples, carry, content: all })
            }
            Rule::Flac(stream) => {
                // Some writers mark variable block sizes in the frames alone.
                let variable = packet.get(1).is_some_and(|byte| byte & 1 == 1);
                let header = flac_frame::parse_header(packet, &FlacStream { variable, ..stream.clone() })?;
                let start = usize::try_from(header.len).ok()?;
                let content = start..packet.len().saturating_sub(2).max(start);
                Some(Told { frames: u32::try_from(header.block).ok()?, carry: 0, content })
            }
            Rule::Vorbis(modes) => {
                let block = modes.block(packet)?;
                // A decoder that starts afresh gives the first half of its block.
                let before = self.before.replace(block).unwrap_or(block);
                told((before + block) / 4)
            }
            Rule::Nothing => None,
        }
    }
}
