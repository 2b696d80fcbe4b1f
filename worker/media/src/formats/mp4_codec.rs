//! The sample description (`stsd`): which codec a track is of (ISO/IEC 14496-12, 12.2; QuickTime File Format, "Sound
//! Sample Descriptions").

use super::mp4_boxes::{Boxes, descend, find, half, long, word};
use super::{aac_config, array, flac_frame};
use crate::error::MediaError;
use crate::init::{Codec, MAX_CHANNELS, MAX_RATE, MIN_RATE, PcmFormat};

/// What a track's sound is.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    pub codec: Codec,
    /// As `MediaInfo::codec` gives it.
    pub name: String,
    pub rate: u32,
    pub channels: u32,
}

/// A sample entry taken apart.
struct Entry<'a> {
    kind: [u8; 4],
    rate: u32,
    channels: u32,
    bits: u32,
    /// Of version 2: float 1, big-endian 2, signed 4.
    flags: Option<u32>,
    /// The boxes in it.
    inside: &'a [u8],
}

/// Reads the first sample description.
pub(crate) fn describe(stsd: &[u8]) -> Result<Description, MediaError> {
    let broken = || MediaError::damaged("an MP4 file whose sample description is incomplete");
    let (kind, body) = Boxes(stsd.get(8..).unwrap_or_default()).next().ok_or_else(broken)?;
    let entry = entry(kind, body, stsd.first().is_some_and(|version| *version == 1)).ok_or_else(broken)?;
    let found = codec(&entry)?;
    let sane = (1..=u32::from(MAX_CHANNELS)).contains(&found.channels)
        && (MIN_RATE..=MAX_RATE).contains(&found.rate);
    if !sane {
        return Err(MediaError::damaged(format!(
            "an MP4 file of {} channels at {} Hz",
            found.channels, found.rate
        )));
    }
    Ok(found)
}

fn entry(kind: [u8; 4], body: &[u8], iso_version_1: bool) -> Option<Entry<'_>> {
    let version = half(body, 8)?;
    let fixed = match version {
        1 if !iso_version_1 => 44,
        2 => 64,
        _ => 28,
    };
    let inside = body.get(fixed..)?;
    if version == 2 {
        let rate = f64::from_bits(long(body, 32)?);
        return Some(Entry {
            kind,
            // Casts from float saturate, and take NaN for 0.
            rate: rate.round() as u32,
            channels: word(body, 40)?,
            bits: word(body, 48)?,
            flags: word(body, 52),
            inside,
        });
    }
    Some(Entry {
        kind,
        rate: word(body, 24)? >> 16,
        channels: u32::from(half(body, 16)?),
        bits: u32::from(half(body, 18)?),
        flags: None,
        inside,
    })
}

fn codec(entry: &Entry<'_>) -> Result<Description, MediaError> {
    match &entry.kind {
        b"mp4a" => mpeg4(entry),
        b"alac" => alac(entry),
        b"Opus" => opus(entry),
        b"fLaC" => flac(entry),
        b".mp3" | b"ms\0U" => Ok(mp3(entry)),
        b"enca" | b"drms" | b"aavd" => Err(MediaError::unsupported("an MP4 file with encrypted sound")),
        kind => match pcm(entry) {
            Some(format) => Ok(Description {
                codec: Codec::Pcm(format),
                name: format.name().to_owned(),
                rate: entry.rate,
                channels: entry.channels,
            }),
            None => Err(MediaError::unsupported(format!("an MP4 file with {}", codec_name(kind)))),
        },
    }
}

/// `esds`: an ES_Descriptor (ISO/IEC 14496-1, 7.2.6.5), whose object type tells what `mp4a` really is.
fn mpeg4(entry: &Entry<'_>) -> Result<Description, MediaError> {
    let esds = find(entry.inside, b"esds").or_else(|| descend(entry.inside, &[b"wave", b"esds"]));
    let Some((object, config)) = esds.and_then(elementary_stream) else {
        return Err(MediaError::damaged("an MP4 file whose AAC configuration is missing"));
    };
    match object {
        // MPEG-4 audio, and AAC-LC of MPEG-2, whose configuration may be left out.
        0x40 | 0x67 => {
            let core = if config.is_empty() && object == 0x67 {
                aac_config::core(aac_config::LC, entry.rate, entry.channels)?
            } else {
                aac_config::core_of(config)?
            };
            Ok(Description {
                codec: Codec::Aac { config: core.config },
                name: "aac".to_owned(),
                rate: core.rate,
                channels: u32::from(core.channels),
            })
        }
        0x69 | 0x6b => Ok(mp3(entry)),
        object => {
            let name = match object {
                0x66 => "AAC Main".to_owned(),
                0x68 => "AAC SSR".to_owned(),
                0xa5 => "AC-3".to_owned(),
                0xa6 => "E-AC-3".to_owned(),
                0xa9..=0xac => "DTS".to_owned(),
                0xdd => "Vorbis".to_owned(),
                0xe1 => "QCELP".to_owned(),
                _ => format!("a sound of type {object:#04x}"),
            };
            Err(MediaError::unsupported(format!("an MP4 file with {name}")))
        }
    }
}

/// Object type and configuration in an `esds` box.
fn elementary_stream(esds: &[u8]) -> Option<(u8, &[u8])> {
    let (tag, stream) = descriptor(esds.get(4..)?)?;
    if tag != 3 {
        return None;
    }
    let flags = *stream.get(2)?;
    let mut at = 3;
    at += if flags & 0x80 != 0 { 2 } else { 0 };
    at += if flags & 0x40 != 0 { 1 + usize::from(*stream.get(at)?) } else { 0 };
    at += if flags & 0x20 != 0 { 2 } else { 0 };
    let (tag, decoder) = descriptor(stream.get(at..)?)?;
    if tag != 4 {
        return None;
    }
    let object = *decoder.first()?;
    let config = match decoder.get(13..).and_then(descriptor) {
        Some((5, config)) => config,
        _ => &[],
    };
    Some((object, config))
}

/// Tag and body of a descriptor, whose size is coded in 7 bits a byte.
fn descriptor(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let tag = *bytes.first()?;
    let mut size = 0usize;
    for at in 1..5 {
        let byte = *bytes.get(at)?;
        size = size << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            let body = bytes.get(at + 1..)?;
            return Some((tag, &body[..size.min(body.len())]));
        }
    }
    None
}

fn mp3(entry: &Entry<'_>) -> Description {
    Description {
        // The sample rates of MPEG-1 are these; lower ones are of MPEG-2 and 2.5.
        codec: Codec::Mp3 { mpeg1: entry.rate >= 32_000 },
        name: "mp3".to_owned(),
        rate: entry.rate,
        channels: entry.channels,
    }
}

/// The magic cookie: in ISO files in a box of the entry's own name, in QuickTime inside of `wave`.
fn alac(entry: &Entry<'_>) -> Result<Description, MediaError> {
    let cookie = find(entry.inside, b"alac")
        .or_else(|| descend(entry.inside, &[b"wave", b"alac"]))
        .and_then(|body| body.get(4..28))
        .ok_or_else(|| MediaError::damaged("an MP4 file whose ALAC configuration is missing"))?;
    if word(cookie, 0).is_none_or(|frames| frames == 0) {
        return Err(MediaError::damaged("an ALAC configuration with packets of no length"));
    }
    Ok(Description {
        codec: Codec::Alac { cookie: cookie.to_vec() },
        name: "alac".to_owned(),
        rate: word(cookie, 20).unwrap_or(entry.rate),
        channels: u32::from(cookie[9]),
    })
}

/// `dOps` (Encapsulation of Opus in ISO Base Media File Format, 4.3.2).
fn opus(entry: &Entry<'_>) -> Result<Description, MediaError> {
    let config = find(entry.inside, b"dOps").filter(|config| config.len() >= 11);
    let Some(config) = config else {
        return Err(MediaError::damaged("an MP4 file whose Opus configuration is missing"));
    };
    let (channels, family) = (u32::from(config[1]), config[10]);
    if family != 0 || channels > 2 {
        return Err(MediaError::unsupported(format!("an MP4 file with Opus of {channels} channels")));
    }
    let gain = i16::from_be_bytes([config[8], config[9]]);
    Ok(Description { codec: Codec::Opus { gain }, name: "opus".to_owned(), rate: 48_000, channels })
}

/// `dfLa` (Encapsulation of FLAC in ISO Base Media File Format, 3.3.2): metadata blocks, STREAMINFO first.
fn flac(entry: &Entry<'_>) -> Result<Description, MediaError> {
    let info = find(entry.inside, b"dfLa").and_then(|body| body.get(8..42)).map(<[u8]>::to_vec);
    let parsed = info.and_then(|info| flac_frame::parse_stream(&info).map(|stream| (info, stream)));
    let Some((mut info, stream)) = parsed else {
        return Err(MediaError::damaged("an MP4 file whose FLAC configuration is missing"));
    };
    if stream.bits == 32 && stream.channels == 2 {
        return Err(MediaError::unsupported("an MP4 file with FLAC in 32-bit stereo"));
    }
    // Sizes of the smallest and largest frame: nobody needs them, and a decoder refuses them where they lie.
    info.iter_mut().skip(4).take(6).for_each(|byte| *byte = 0);
    Ok(Description {
        codec: Codec::Flac { stream_info: info },
        name: "flac".to_owned(),
        rate: stream.sample_rate,
        channels: u32::from(stream.channels),
    })
}

/// The PCM formats of QuickTime, and of ISO/IEC 23003-5.
fn pcm(entry: &Entry<'_>) -> Option<PcmFormat> {
    // `enda` in `wave`: 1 for little-endian.
    let enda = find(entry.inside, b"enda").or_else(|| descend(entry.inside, &[b"wave", b"enda"]));
    let turned = enda.and_then(|body| half(body, 0)) == Some(1);
    let iso = find(entry.inside, b"pcmC").and_then(|body| array::<2>(body, 4));
    match (&entry.kind, entry.bits) {
        (b"twos" | b"sowt", 8) => Some(PcmFormat::S8),
        (b"raw " | b"NONE", 8) => Some(PcmFormat::U8),
        (b"sowt", 16) => Some(PcmFormat::S16),
        (b"twos", 16) => Some(PcmFormat::S16Be),
        (b"alaw", _) => Some(PcmFormat::ALaw),
        (b"ulaw", _) => Some(PcmFormat::MuLaw),
        (b"in24", _) => integer(24, !turned),
        (b"in32", _) => integer(32, !turned),
        (b"fl32", _) => float(32, !turned),
        (b"fl64", _) => float(64, !turned),
        (b"ipcm", _) => iso.and_then(|[flags, bits]| integer(u32::from(bits), flags & 1 == 0)),
        (b"fpcm", _) => iso.and_then(|[flags, bits]| float(u32::from(bits), flags & 1 == 0)),
        (b"lpcm", bits) => {
            let flags = entry.flags?;
            match (flags & 1 != 0, flags & 4 != 0) {
                (true, _) => float(bits, flags & 2 != 0),
                (false, true) => integer(bits, flags & 2 != 0),
                (false, false) => (bits == 8).then_some(PcmFormat::U8),
            }
        }
        _ => None,
    }
}

fn integer(bits: u32, big_endian: bool) -> Option<PcmFormat> {
    match (bits, big_endian) {
        (8, _) => Some(PcmFormat::S8),
        (16, false) => Some(PcmFormat::S16),
        (16, true) => Some(PcmFormat::S16Be),
        (24, false) => Some(PcmFormat::S24),
        (24, true) => Some(PcmFormat::S24Be),
        (32, false) => Some(PcmFormat::S32),
        (32, true) => Some(PcmFormat::S32Be),
        _ => None,
    }
}

fn float(bits: u32, big_endian: bool) -> Option<PcmFormat> {
    match (bits, big_endian) {
        (32, false) => Some(PcmFormat::F32),
        (32, true) => Some(PcmFormat::F32Be),
        (64, false) => Some(PcmFormat::F64),
        (64, true) => Some(PcmFormat::F64Be),
        _ => None,
    }
}

fn codec_name(kind: &[u8; 4]) -> String {
    let name = match kind {
        b"ac-3" => "AC-3",
        b"ec-3" => "E-AC-3",
        b"ac-4" => "AC-4",
        b"dtsc" | b"dtsh" | b"dtsl" | b"dtse" | b"dtsx" => "DTS",
        b"samr" | b"sawb" => "AMR",
        b"ima4" => "IMA ADPCM",
        b"agsm" => "GSM",
        b"QDM2" | b"QDMC" => "QDesign Music",
        b"MAC3" | b"MAC6" => "MACE",
        b"mha1" | b"mha2" | b"mhm1" | b"mhm2" => "MPEG-H 3D Audio",
        b"apac" => "Apple Positional Audio",
        b"lpcm" | b"twos" | b"sowt" | b"raw " | b"NONE" | b"ipcm" | b"fpcm" => "PCM of an unusual kind",
        _ => return format!("the unknown codec \"{}\"", kind.escape_ascii()),
    };
    name.to_owned()
}
