//! Vorbis: how many frames a packet yields, from the setup header and the first bits of packets (Vorbis I
//! specification, sections 4.2 and 4.3.1).

/// Most modes there can be.
const MAX_MODES: usize = 64;

/// What tells the length of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Modes {
    /// Frames of a short and of a long block.
    sizes: [u32; 2],
    /// Whether a packet of each mode is a long block.
    long: Vec<bool>,
}

impl Modes {
    /// Reads an identification header (30 bytes) and the setup header after it.
    pub(crate) fn parse(headers: &[u8]) -> Option<Self> {
        let sizes = *headers.get(28)?;
        let (short, long) = (sizes & 15, sizes >> 4);
        let sound = headers.starts_with(b"\x01vorbis") && (6..=13).contains(&short) && long >= short;
        let setup = headers.get(30..).filter(|setup| setup.starts_with(b"\x05vorbis"))?;
        let sizes = [1 << short, 1 << long];
        (sound && long <= 13).then(|| Some(Self { sizes, long: long_flags(setup)? }))?
    }

    /// Frames of the block in a packet; `None` if it is no audio.
    pub(crate) fn block(&self, packet: &[u8]) -> Option<u32> {
        let first = *packet.first()?;
        // The lowest bit says that it is audio; then the mode, in as many bits as the highest number takes.
        let bits = usize::BITS - (self.long.len() - 1).leading_zeros();
        let mode = usize::from(first >> 1) & ((1 << bits) - 1);
        let long = *self.long.get(mode).filter(|_| first & 1 == 0)?;
        Some(self.sizes[usize::from(long)])
    }
}

/// The block flags of all modes.
///
/// Modes stand at the end of the setup header: their number less one (6 bits), then each mode (1 bit: long; 16 and 16
/// zeros; 8: mapping), then one bit that is set. Reading backwards saves decoding the code books before them; the
/// longest run of modes whose number agrees is the list.
pub(crate) fn long_flags(setup: &[u8]) -> Option<Vec<bool>> {
    const MODE_BITS: usize = 41;
    let bit = |at: usize| u32::from(setup[at / 8] >> (at % 8) & 1);
    let number = |at: usize, count: usize| (0..count).fold(0, |value, i| value | bit(at + i) << i);
    let framing = (0..setup.len() * 8).rev().find(|at| bit(*at) == 1)?;
    let (mut flags, mut found) = (Vec::new(), None);
    let mut at = framing;
    while flags.len() < MAX_MODES && at >= MODE_BITS + 6 {
        at -= MODE_BITS;
        if number(at + 1, 32) != 0 || number(at + 33, 8) > 63 {
            break;
        }
        flags.push(bit(at) == 1);
        if usize::try_from(number(at - 6, 6)).is_ok_and(|less_one| less_one + 1 == flags.len()) {
            found = Some(flags.len());
        }
    }
    flags.truncate(found?);
    flags.reverse();
    Some(flags)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Headers with these modes; before them stands what looks like the end of something else.
    fn headers(long: &[bool]) -> Vec<u8> {
        let mut bits: Vec<bool> = vec![true, false, true, true];
        bits.extend((0..6).map(|i| (long.len() - 1) >> i & 1 == 1));
        for flag in long {
            bits.push(*flag);
            bits.extend([false; 32]);
            bits.extend((0..8).map(|i| u8::from(*flag) >> i & 1 == 1));
        }
        bits.push(true);
        let packed = bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |v, bit| v << 1 | u8::from(*bit)));
        let mut headers = b"\x01vorbis".to_vec();
        headers.resize(30, 0);
        headers[28] = 0xb8;
        headers.extend(b"\x05vorbis");
        headers.extend([0x5a; 20]);
        headers.extend(packed);
        headers
    }

    #[test]
    fn modes_are_read_from_the_end() {
        let modes = Modes::parse(&headers(&[false, true])).unwrap();
        assert_eq!(modes, Modes { sizes: [256, 2048], long: vec![false, true] });
        assert_eq!((modes.block(&[0b00]), modes.block(&[0b10])), (Some(256), Some(2048)));
        assert_eq!((modes.block(&[0b01]), modes.block(&[])), (None, None));
        let three = Modes::parse(&headers(&[false, true, true])).unwrap();
        assert_eq!((three.block(&[0b100]), three.block(&[0b110])), (Some(2048), None));
        let one = Modes::parse(&headers(&[true])).unwrap();
        assert_eq!(one.block(&[0b110]), Some(2048));
    }

    #[test]
    fn nonsense_is_refused() {
        let sound = headers(&[false, true]);
        for len in 0..sound.len() - 1 {
            assert_eq!(Modes::parse(&sound[..len]), None, "{len}");
        }
        let mut wrong = sound;
        wrong[28] = 0x8b;
        assert_eq!(Modes::parse(&wrong), None);
    }
}
