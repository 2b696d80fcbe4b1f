//! AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1): what an AAC stream is, reduced to what is decoded of it.

use crate::error::MediaError;

/// The AAC-LC core of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AacCore {
    /// Hz; of HE-AAC the rate of the core, half of what a full decoder gives.
    pub rate: u32,
    /// 1 or 2.
    pub channels: u32,
    /// An AudioSpecificConfig that describes the core alone.
    pub config: Vec<u8>,
}

/// Sample rates by index (table 1.18).
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// Reads a configuration and reduces it to its core. Explicitly signalled SBR and PS (HE-AAC) are left out.
pub(crate) fn core(config: &[u8]) -> Result<AacCore, MediaError> {
    let short = || MediaError::damaged("an AAC configuration that is too short");
    let mut bits = Bits { bytes: config, at: 0 };
    let mut object = bits.object_type().ok_or_else(short)?;
    let rate = bits.rate().ok_or_else(short)?;
    let channels = bits.take(4).ok_or_else(short)?;
    if matches!(object, 5 | 29) {
        // SBR, or SBR with PS: the extension's rate, then the core's own type.
        bits.rate().ok_or_else(short)?;
        object = bits.object_type().ok_or_else(short)?;
    }
    if object != 2 {
        return Err(MediaError::unsupported(object_name(object)));
    }
    if bits.take(1).ok_or_else(short)? == 1 {
        return Err(MediaError::unsupported("AAC in frames of 960 samples"));
    }
    if !(1..=2).contains(&channels) {
        return Err(MediaError::unsupported(match channels {
            0 => "AAC whose channels are listed in the stream".to_owned(),
            7 => "AAC of 8 channels".to_owned(),
            channels => format!("AAC of {channels} channels"),
        }));
    }
    if rate == 0 {
        return Err(MediaError::damaged("an AAC configuration with a sample rate of 0"));
    }
    Ok(AacCore { rate, channels, config: config_of(rate, channels) })
}

/// The configuration of AAC-LC in frames of 1024 samples, without extensions.
pub(crate) fn config_of(rate: u32, channels: u32) -> Vec<u8> {
    // 5 bits of object type, 4 of rate index (and 24 of rate where no index has it), 4 of channels, 3 flags.
    const LOW_COMPLEXITY: u64 = 2;
    let channels = u64::from(channels & 15);
    match RATES.iter().zip(0u64..).find(|(known, _)| **known == rate) {
        Some((_, index)) => {
            let word = LOW_COMPLEXITY << 11 | index << 7 | channels << 3;
            word.to_be_bytes()[6..].to_vec()
        }
        None => {
            let word = LOW_COMPLEXITY << 35 | 15 << 31 | u64::from(rate & 0xff_ffff) << 7 | channels << 3;
            word.to_be_bytes()[3..].to_vec()
        }
    }
}

fn object_name(object: u32) -> String {
    let name = match object {
        1 => "AAC Main",
        3 => "AAC SSR",
        4 => "AAC LTP",
        6 | 20 => "AAC Scalable",
        17 | 19 => "error-resilient AAC",
        22 => "BSAC",
        23 => "AAC-LD",
        32..=34 => "MPEG audio in MPEG-4",
        36 => "MPEG-4 ALS",
        39 => "AAC-ELD",
        42 => "xHE-AAC",
        _ => return format!("MPEG-4 audio of type {object}"),
    };
    name.to_owned()
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// At most 24 bits.
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for at in self.at..self.at + count {
            let byte = *self.bytes.get(at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - at % 8) & 1);
        }
        self.at += count;
        Some(value)
    }

    fn object_type(&mut self) -> Option<u32> {
        match self.take(5)? {
            31 => self.take(6).map(|more| 32 + more),
            object => Some(object),
        }
    }

    fn rate(&mut self) -> Option<u32> {
        match self.take(4)? {
            15 => self.take(24),
            index => RATES.get(usize::try_from(index).ok()?).copied(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_core_of_high_efficiency_streams_is_found() {
        // LC, 44.1 kHz stereo; HE-AAC, 24 kHz core of 48 kHz, stereo; HE-AAC v2, 22.05 kHz core, mono.
        for (config, rate, channels, reduced) in [
            (&[0x12, 0x10][..], 44_100, 2, &[0x12, 0x10][..]),
            (&[0x2b, 0x11, 0x88, 0x00], 24_000, 2, &[0x13, 0x10]),
            (&[0xeb, 0x8a, 0x08, 0x00], 22_050, 1, &[0x13, 0x88]),
            (&[0x13, 0x88, 0x56, 0xe5, 0xa0], 22_050, 1, &[0x13, 0x88]),
        ] {
            let core = core(config).unwrap();
            assert_eq!((core.rate, core.channels, core.config.as_slice()), (rate, channels, reduced));
        }
    }

    #[test]
    fn rates_without_an_index_are_written_out() {
        let config = config_of(32_123, 1);
        assert_eq!(config.len(), 5);
        assert_eq!(core(&config).unwrap(), AacCore { rate: 32_123, channels: 1, config });
    }

    #[test]
    fn what_no_decoder_is_for_is_named() {
        let told = |config: &[u8]| core(config).unwrap_err().to_string();
        assert_eq!(told(&[0x12, 0x30]), "found AAC of 6 channels; not supported yet");
        assert_eq!(told(&[0x12, 0x14]), "found AAC in frames of 960 samples; not supported yet");
        assert_eq!(told(&[0x0a, 0x10]), "found AAC Main; not supported yet");
        assert_eq!(told(&[0xf9, 0x48, 0x80]), "found xHE-AAC; not supported yet");
        assert_eq!(told(&[0x12]), "the file is damaged: an AAC configuration that is too short");
        assert!(core(&[]).is_err());
    }
}
