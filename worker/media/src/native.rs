//! Samples at the recording's own rate, from a canonical restart on.

use scriptorium_contracts::plan::PassagePlan;
use scriptorium_contracts::transcript::DamagedFrames;

use crate::cells::{Cells, Walk};
use crate::damage::note;
use crate::decode::Decoder;
use crate::error::MediaError;
use crate::formats::{Scanner, scanner};
use crate::init::InitSection;
use crate::packet::Packet;
use crate::source::{ByteSource, Span};

/// Frames of silence that are made at once.
const SILENCE_BLOCK: u64 = 16 * 1024;

/// Where the packets come from.
enum Feed<'a> {
    List(std::vec::IntoIter<Packet>),
    Walk(Box<Walk<'a>>),
}

impl Feed<'_> {
    fn next(&mut self) -> Result<Option<Packet>, MediaError> {
        match self {
            Self::List(list) => Ok(list.next()),
            Self::Walk(walk) => walk.next(),
        }
    }
}

/// Decodes a run of packets with a fresh decoder and yields a given stretch of it, block by block.
///
/// Memory is bounded by one packet, whatever the length of the stretch.
pub struct NativeReader<'a> {
    feed: Feed<'a>,
    bytes: Span<'a>,
    scanner: Box<dyn Scanner>,
    /// As it was stored, but with the codec of the present link of a chain.
    init: InitSection,
    decoder: Decoder,
    channels: usize,
    /// Frames of the pre-roll and of the first packet still to be dropped.
    skip: u64,
    /// Frames still to be given.
    left: u64,
    /// Frames of silence in the place of a damaged stretch still to be given.
    silence: u64,
    /// Where the next block begins, in the frames of the plan.
    at: i64,
    damaged: Vec<DamagedFrames>,
}

impl<'a> NativeReader<'a> {
    fn new(
        source: &'a dyn ByteSource,
        init: &InitSection,
        feed: Feed<'a>,
        skip: u64,
        frames: u64,
    ) -> Result<Self, MediaError> {
        Ok(Self {
            feed,
            bytes: Span::new(source),
            scanner: scanner(init),
            init: init.clone(),
            decoder: Decoder::new(init)?,
            channels: init.channels(),
            skip,
            left: frames,
            silence: 0,
            at: 0,
            damaged: Vec::new(),
        })
    }

    /// The frames of a passage.
    pub(crate) fn of_passage(
        source: &'a dyn ByteSource,
        init: &'a InitSection,
        plan: &PassagePlan,
    ) -> Result<Self, MediaError> {
        let walk = Walk::from_offset(Cells::new(source, init)?, plan.restart)?;
        let reader = Self::new(source, init, Feed::Walk(Box::new(walk)), plan.skip, plan.frames())?;
        Ok(Self { at: plan.start, ..reader })
    }

    /// `frames` frames from `skip` frames after the first of `packets` on.
    pub(crate) fn from_packets(
        source: &'a dyn ByteSource,
        init: &InitSection,
        packets: Vec<Packet>,
        skip: u64,
        frames: u64,
    ) -> Result<Self, MediaError> {
        Self::new(source, init, Feed::List(packets.into_iter()), skip, frames)
    }

    /// Channels of the blocks.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Packets met so far that could not be decoded, in the frames of the passage's plan: silence stands in their place.
    pub fn damaged(&self) -> &[DamagedFrames] {
        &self.damaged
    }

    /// The next interleaved samples in −1…1 (a block is at most one packet); `None` at the end of the stretch.
    ///
    /// # Errors
    /// Only where bytes cannot be read: what cannot be decoded is silence.
    pub fn next_block(&mut self) -> Result<Option<Vec<f32>>, MediaError> {
        while self.left > 0 {
            if self.silence > 0 {
                let frames = self.silence.min(SILENCE_BLOCK);
                self.silence -= frames;
                let mut block = vec![0.0; usize::try_from(frames).unwrap_or(0) * self.channels];
                if self.clip(&mut block, frames) {
                    return Ok(Some(block));
                }
                continue;
            }
            let Some(packet) = self.feed.next()? else {
                // The plan promised more than there is: keep the promise about the count.
                self.silence = self.skip.saturating_add(self.left);
                continue;
            };
            if packet.damaged {
                self.decoder.reset();
                self.silence = packet.duration();
                continue;
            }
            if let Some(codec) = self.scanner.setup(&mut self.bytes, &packet)? {
                self.init.codec = codec;
                self.decoder = Decoder::new(&self.init)?;
            }
            let mut block = Vec::new();
            let payload = self.scanner.payload(&mut self.bytes, &packet)?;
            let whole = self.decoder.decode(&packet, &payload, &mut block);
            block.truncate(block.len().saturating_sub(usize::from(packet.tail) * self.channels));
            block.drain(..(usize::from(packet.lead) * self.channels).min(block.len()));
            let start = self.at;
            if self.clip(&mut block, packet.duration()) {
                if !whole {
                    note(&mut self.damaged, start, self.at);
                }
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    /// Cuts a block of `frames` frames to what is wanted of it; false if that is nothing.
    fn clip(&mut self, block: &mut Vec<f32>, frames: u64) -> bool {
        let drop = self.skip.min(frames);
        self.skip -= drop;
        let keep = (frames - drop).min(self.left);
        self.left -= keep;
        self.at = self.at.saturating_add_unsigned(keep);
        let samples =
            |frames: u64| usize::try_from(frames).unwrap_or(usize::MAX).saturating_mul(self.channels);
        block.drain(..samples(drop).min(block.len()));
        block.truncate(samples(keep));
        !block.is_empty()
    }
}
