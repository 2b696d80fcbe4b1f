//! The unit of ownership: a codec packet, found without decoding.

/// Holes up to this long are the jitter of recorders: 1/10 s.
const JITTER_PER_SECOND: u64 = 10;
/// Longest pause in seconds that a timestamp is believed.
pub(crate) const LONGEST_PAUSE: u64 = 600;

/// A block of the recording that decodes to a known number of frames: an MP3 or FLAC frame, 20 ms of PCM, or a
/// damaged stretch in the place of such blocks. It belongs to the chunk in which its first byte lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    /// First byte, from the start of the recording.
    pub offset: u64,
    /// Hash of the compressed payload; equal audio gives equal hashes as far as the codec allows.
    pub hash: u64,
    /// Bytes.
    pub len: u32,
    /// Frames (samples per channel) the decoder makes of it.
    pub frames: u32,
    /// Frames to drop at its start: encoder delay.
    pub lead: u16,
    /// Frames to drop at its end: encoder padding.
    pub tail: u16,
    /// Bytes it adds to the decoder's reservoir; counted for the pre-roll (MP3 only).
    pub carry: u16,
    /// Nothing decodable: its duration is silence.
    pub damaged: bool,
}

impl Packet {
    /// Frames of the recording it stands for.
    pub(crate) fn duration(&self) -> u64 {
        u64::from(self.frames).saturating_sub(u64::from(self.lead) + u64::from(self.tail))
    }

    /// First byte after it.
    pub(crate) fn end(&self) -> u64 {
        self.offset + u64::from(self.len)
    }

    /// A damaged stretch of `len` bytes in the place of `frames` frames.
    pub(crate) fn gap(offset: u64, len: u64, frames: u64) -> Self {
        Self {
            offset,
            hash: 0,
            len: u32::try_from(len).unwrap_or(u32::MAX),
            frames: u32::try_from(frames).unwrap_or(u32::MAX),
            lead: 0,
            tail: 0,
            carry: 0,
            damaged: true,
        }
    }

    /// A pause of the recorder before the byte at `offset`: silence, but nothing was lost. `None` where it is no longer than
    /// the jitter of recorders, or longer than a number is believed.
    pub(crate) fn pause(offset: u64, frames: u64, rate: u32) -> Option<Self> {
        let rate = u64::from(rate);
        let believed = rate / JITTER_PER_SECOND + 1..=LONGEST_PAUSE * rate;
        believed.contains(&frames).then(|| Self::gap(offset, 0, frames))
    }

    /// Whether bytes that held sound are damaged; a pause is none of those.
    pub(crate) fn lost(&self) -> bool {
        self.damaged && self.len > 0 && self.frames > 0
    }

    /// The order in which packets compete for being an anchor: the content first; where contents are equal
    /// (silence, a steady tone), a scrambled position decides, so that anchors keep their density there too.
    pub(crate) fn rank(&self) -> (u64, u64) {
        (self.hash, scramble(self.offset))
    }
}

/// Drops `lead` frames from the start of the list.
pub(crate) fn trim_front(packets: &mut [Packet], mut lead: u64) {
    for packet in packets {
        let cut = lead.min(packet.duration()).min(u64::from(u16::MAX));
        packet.lead += u16::try_from(cut).unwrap_or(u16::MAX);
        lead -= cut;
        if lead == 0 {
            return;
        }
    }
}

/// Drops `tail` frames from the end of the list.
pub(crate) fn trim_back(packets: &mut [Packet], mut tail: u64) {
    for packet in packets.iter_mut().rev() {
        let cut = tail.min(packet.duration()).min(u64::from(u16::MAX - packet.lead));
        packet.tail += u16::try_from(cut).unwrap_or(u16::MAX);
        tail -= cut;
        if tail == 0 {
            return;
        }
    }
}

/// A 64-bit hash of a payload. Not cryptographic: it only has to spread well and be the same for ever.
pub(crate) fn content_hash(payload: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = scramble(payload.len() as u64 ^ MULTIPLIER);
    let mut words = payload.chunks_exact(8);
    for word in &mut words {
        let mut bytes = [0u8; 8];
        bytes.copy_from_slice(word);
        state = (state ^ u64::from_le_bytes(bytes)).wrapping_mul(MULTIPLIER).rotate_left(29);
    }
    let mut bytes = [0u8; 8];
    let rest = words.remainder();
    bytes[..rest.len()].copy_from_slice(rest);
    scramble((state ^ u64::from_le_bytes(bytes)).wrapping_mul(MULTIPLIER))
}

/// Spreads the bits of a number over the whole word (finaliser of SplitMix64).
fn scramble(mut x: u64) -> u64 {
    x ^= x >> 30;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_record_stays_small() {
        assert!(size_of::<Packet>() <= 32);
    }

    #[test]
    fn the_hash_sees_every_byte_and_the_length() {
        let base: Vec<u8> = (0..37u8).collect();
        let hash = content_hash(&base);
        for at in 0..base.len() {
            let mut other = base.clone();
            other[at] ^= 1;
            assert_ne!(hash, content_hash(&other), "byte {at}");
        }
        assert_ne!(content_hash(&[0; 8]), content_hash(&[0; 16]));
        assert_ne!(content_hash(&[]), content_hash(&[0]));
    }

    #[test]
    fn trims_run_over_several_packets() {
        let packet =
            Packet { offset: 0, hash: 1, len: 10, frames: 576, lead: 0, tail: 0, carry: 0, damaged: false };
        let mut list = [packet; 4];
        trim_front(&mut list, 1105);
        trim_back(&mut list, 600);
        let durations: Vec<u64> = list.iter().map(Packet::duration).collect();
        assert_eq!(durations, [0, 47, 552, 0]);
    }
}
