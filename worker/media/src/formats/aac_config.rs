//! AAC: the AudioSpecificConfig (ISO/IEC 14496-3, section 1.6.2.1), reduced to what the decoder takes: low complexity,
//! one or two channels, 1024 frames a packet.

use crate::error::MediaError;
use crate::init::{MAX_RATE, MIN_RATE};

/// Frames of every packet.
pub(crate) const FRAMES: u32 = 1024;

/// Object type "low complexity".
pub(crate) const LC: u32 = 2;
/// Object types by which HE-AAC announces spectral band replication (SBR), and with it parametric stereo (PS).
const SBR: u32 = 5;
const PS: u32 = 29;
/// Index that stands for a rate written out.
const EXPLICIT_RATE: u32 = 15;
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// The low-complexity core of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Core {
    /// An AudioSpecificConfig that names the core alone.
    pub config: Vec<u8>,
    /// Hz; of HE-AAC half of what a full decoder would give.
    pub rate: u32,
    /// 1 or 2.
    pub channels: u8,
}

/// The rate of an index; `None` for the reserved ones.
pub(crate) fn rate_of(index: u32) -> Option<u32> {
    RATES.get(usize::try_from(index).ok()?).copied()
}

/// The core of a stream of this object type, rate and channel configuration; refuses what the decoder cannot.
pub(crate) fn core(object_type: u32, rate: u32, channel_config: u32) -> Result<Core, MediaError> {
    if object_type != LC {
        return Err(MediaError::unsupported(profile(object_type)));
    }
    if !(MIN_RATE..=MAX_RATE).contains(&rate) {
        return Err(MediaError::damaged(format!("AAC at {rate} Hz")));
    }
    let channels = match channel_config {
        1 | 2 => u8::try_from(channel_config).unwrap_or(2),
        0 => return Err(MediaError::unsupported("AAC whose channels are described inside its packets")),
        7 => return Err(MediaError::unsupported("AAC of 8 channels")),
        count @ 3..=6 => return Err(MediaError::unsupported(format!("AAC of {count} channels"))),
        _ => return Err(MediaError::unsupported("AAC of more than two channels")),
    };
    // 5 bits of object type, 4 of rate index (or 4 + 24), 4 of channels, 3 flags: all zero.
    let config = match RATES.iter().position(|known| *known == rate) {
        Some(index) => (LC << 11 | u32::try_from(index).unwrap_or(0) << 7 | channel_config << 3)
            .to_be_bytes()[2..]
            .to_vec(),
        None => {
            let bits = u64::from(LC) << 35
                | u64::from(EXPLICIT_RATE) << 31
                | u64::from(rate) << 7
                | u64::from(channel_config) << 3;
            bits.to_be_bytes()[3..].to_vec()
        }
    };
    Ok(Core { config, rate, channels })
}

/// The core of the stream that an AudioSpecificConfig describes. Whatever follows the core's own description (SBR
/// announced the backward-compatible way) is dropped.
pub(crate) fn core_of(config: &[u8]) -> Result<Core, MediaError> {
    let short = || MediaError::damaged("an AAC description that is too short");
    let mut bits = Bits { bytes: config, at: 0 };
    let mut object_type = bits.object_type().ok_or_else(short)?;
    let rate = bits.rate().ok_or_else(short)?;
    let channels = bits.take(4).ok_or_else(short)?;
    if object_type == SBR || object_type == PS {
        bits.rate().ok_or_else(short)?;
        object_type = bits.object_type().ok_or_else(short)?;
    }
    let core = core(object_type, rate, channels)?;
    if bits.take(1).ok_or_else(short)? == 1 {
        return Err(MediaError::unsupported("AAC with 960 frames a packet"));
    }
    Ok(core)
}

fn profile(object_type: u32) -> String {
    let name = match object_type {
        1 => "AAC of the Main profile",
        3 => "AAC of the SSR profile",
        4 => "AAC of the LTP profile",
        6 | 20 => "AAC of the Scalable profile",
        17 | 19 => "error-resilient AAC",
        22 => "BSAC",
        23 => "AAC-LD",
        36 => "MPEG-4 ALS",
        39 => "AAC-ELD",
        42 => "xHE-AAC",
        other => return format!("MPEG-4 audio of object type {other}"),
    };
    name.to_owned()
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for at in self.at..self.at + count {
            let bit = self.bytes.get(at / 8)? >> (7 - at % 8) & 1;
            value = value << 1 | u32::from(bit);
        }
        self.at += count;
        Some(value)
    }

    fn object_type(&mut self) -> Option<u32> {
        match self.take(5)? {
            31 => Some(32 + self.take(6)?),
            short => Some(short),
        }
    }

    fn rate(&mut self) -> Option<u32> {
        match self.take(4)? {
            EXPLICIT_RATE => self.take(24),
            index => rate_of(index),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refusal(config: &[u8]) -> String {
        core_of(config).unwrap_err().to_string()
    }

    #[test]
    fn the_core_is_what_remains() {
        let lc = Core { config: vec![0x12, 0x10], rate: 44_100, channels: 2 };
        assert_eq!(core_of(&[0x12, 0x10]).unwrap(), lc);
        // SBR announced behind the core, and before it (HE-AAC), and with parametric stereo (HE-AAC v2).
        assert_eq!(core_of(&[0x12, 0x10, 0x56, 0xe5, 0x80]).unwrap(), lc);
        let he = core_of(&[0x2b, 0x11, 0x88, 0x00]).unwrap();
        assert_eq!(he, Core { config: vec![0x13, 0x10], rate: 24_000, channels: 2 });
        let he2 = core_of(&[0xeb, 0x09, 0x88, 0x00]).unwrap();
        assert_eq!(he2, Core { config: vec![0x13, 0x08], rate: 24_000, channels: 1 });
        // A rate written out, of a known and of an odd value.
        assert_eq!(core_of(&[0x17, 0x80, 0x56, 0x22, 0x10]).unwrap().rate, 44_100);
        let odd = core_of(&[0x17, 0x80, 0x4e, 0x20, 0x08]).unwrap();
        assert_eq!((odd.rate, odd.channels, odd.config), (40_000, 1, vec![0x17, 0x80, 0x4e, 0x20, 0x08]));
    }

    #[test]
    fn what_the_decoder_cannot_is_named() {
        assert!(refusal(&[0x0a, 0x10]).contains("Main profile"));
        assert!(refusal(&[0x12, 0x30]).contains("6 channels"));
        assert!(refusal(&[0x12, 0x00]).contains("described inside"));
        assert!(refusal(&[0x12, 0x14]).contains("960"));
        assert!(refusal(&[0xf9, 0x46, 0x40]).contains("xHE-AAC"));
        assert!(refusal(&[0x12]).contains("too short"));
        assert!(refusal(&[]).contains("too short"));
    }
}
