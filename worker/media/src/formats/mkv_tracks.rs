//! Matroska and WebM: the description of the tracks (RFC 9559, section 5.1.4), and which one is heard.

use super::aac_config;
use super::array;
use super::ebml::{children, float, text, unsigned};
use super::flac_frame::parse_stream;
use super::vorbis_modes::Modes;
use crate::error::MediaError;
use crate::init::{Codec, MAX_CHANNELS, MAX_RATE, MIN_RATE, PcmFormat};

/// Most tracks; more are as good as damage.
const MAX_TRACKS: usize = 128;
/// Longest codec set-up that is kept.
const MAX_SETUP: usize = 128 * 1024;
/// Longest prefix that packets may have in common.
const MAX_PREFIX: usize = 64;

/// What is needed to find and decode the packets of the chosen track.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sound {
    pub track: u64,
    /// Numbers of all tracks.
    pub tracks: Vec<u64>,
    /// Bytes that were taken off the beginning of each packet.
    pub prefix: Vec<u8>,
    pub codec: Codec,
    /// Its name for people.
    pub name: &'static str,
    /// Hz. For MP3 its packets know better.
    pub rate: u32,
    pub channels: u16,
    /// Frames of encoder delay.
    pub delay: u32,
}

/// One track as the file describes it.
#[derive(Default)]
struct Track<'a> {
    number: u64,
    kind: u64,
    default: bool,
    enabled: bool,
    codec: String,
    setup: &'a [u8],
    /// Nanoseconds.
    delay: u64,
    rate: f64,
    channels: u64,
    bits: u64,
    /// What was done to the packets: the prefix taken off, or why they cannot be read.
    encoding: Encoding,
}

#[derive(Default)]
enum Encoding {
    #[default]
    None,
    Prefix(Vec<u8>),
    Refused(&'static str),
}

/// Chooses the sound out of the body of a Tracks element.
pub(crate) fn sound(body: &[u8]) -> Result<Sound, MediaError> {
    let tracks: Vec<Track<'_>> = children(body)
        .filter(|(id, _)| *id == 0xae)
        .take(MAX_TRACKS)
        .map(|(_, entry)| track(entry))
        .collect();
    let heard = |track: &&Track<'_>| track.kind == 2;
    let default = tracks.iter().filter(heard).find(|track| track.default && track.enabled);
    let Some(chosen) = default.or_else(|| tracks.iter().find(heard)) else {
        let seen = tracks.iter().any(|track| track.kind == 1);
        return Err(MediaError::not_audio(match seen {
            true => "a video without sound",
            false => "a Matroska or WebM file without sound",
        }));
    };
    let prefix = match &chosen.encoding {
        Encoding::None => Vec::new(),
        Encoding::Prefix(prefix) => prefix.clone(),
        Encoding::Refused(why) => return Err(MediaError::unsupported(*why)),
    };
    let sound = Sound {
        track: chosen.number,
        tracks: tracks.iter().map(|track| track.number).collect(),
        prefix,
        ..decoding(chosen)?
    };
    if !(MIN_RATE..=MAX_RATE).contains(&sound.rate) || !(1..=MAX_CHANNELS).contains(&sound.channels) {
        return Err(MediaError::damaged(format!(
            "a sound track of {} channels at {} Hz",
            sound.channels, sound.rate
        )));
    }
    Ok(sound)
}

fn track(entry: &[u8]) -> Track<'_> {
    let mut track = Track { default: true, enabled: true, rate: 8_000.0, channels: 1, ..Track::default() };
    for (id, body) in children(entry) {
        let number = || unsigned(body).unwrap_or(0);
        match id {
            0xd7 => track.number = number(),
            0x83 => track.kind = number(),
            0x88 => track.default = number() != 0,
            0xb9 => track.enabled = number() != 0,
            0x86 => track.codec = text(&body[..body.len().min(64)]),
            0x63a2 => track.setup = body,
            0x56aa => track.delay = number(),
            0xe1 => audio(body, &mut track),
            0x6d80 => track.encoding = encodings(body),
            _ => {}
        }
    }
    track
}

fn audio(body: &[u8], track: &mut Track<'_>) {
    for (id, body) in children(body) {
        match id {
            0xb5 => track.rate = float(body).unwrap_or(0.0),
            0x9f => track.channels = unsigned(body).unwrap_or(0),
            0x6264 => track.bits = unsigned(body).unwrap_or(0),
            _ => {}
        }
    }
}

/// ContentEncodings (section 5.1.4.1.31): only bytes taken off the beginning of packets are given back.
fn encodings(body: &[u8]) -> Encoding {
    let mut found = Encoding::None;
    for (_, encoding) in children(body).filter(|(id, _)| *id == 0x6240) {
        let value = |wanted: u32| children(encoding).find(|(id, _)| *id == wanted).map(|(_, body)| body);
        let number = |wanted: u32, default| value(wanted).map_or(default, |body| unsigned(body).unwrap_or(0));
        if number(0x5033, 0) == 1 || value(0x5035).is_some() {
            return Encoding::Refused("an encrypted Matroska or WebM file");
        }
        // Bit 1: all packets. What is done to the set-up alone (bit 2), or twice, nobody writes.
        let scope = number(0x5032, 1);
        let compression = value(0x5034).unwrap_or_default();
        let setting = |wanted: u32| children(compression).find(|(id, _)| *id == wanted).map(|(_, body)| body);
        let stripped = setting(0x4254).and_then(unsigned) == Some(3);
        let prefix = setting(0x4255).unwrap_or_default();
        if !stripped || scope != 1 || prefix.len() > MAX_PREFIX || !matches!(found, Encoding::None) {
            return Encoding::Refused("a Matroska file whose packets are compressed once more");
        }
        found = Encoding::Prefix(prefix.to_vec());
    }
    found
}

/// The decoder of a track, with the facts that its set-up tells better than the track.
fn decoding(track: &Track<'_>) -> Result<Sound, MediaError> {
    if track.setup.len() > MAX_SETUP {
        return Err(MediaError::Limit { what: format!("a codec set-up of {} bytes", track.setup.len()) });
    }
    // The cast saturates, and takes NaN for 0.
    let rate = track.rate.round() as u32;
    let channels = u16::try_from(track.channels).unwrap_or(u16::MAX);
    let plain = |codec, name| Sound {
        track: 0,
        tracks: Vec::new(),
        prefix: Vec::new(),
        codec,
        name,
        rate,
        channels,
        delay: 0,
    };
    let id = track.codec.as_str();
    match id {
        "A_OPUS" => opus(track, plain(Codec::Opus { gain: opus_gain(track.setup) }, "opus")),
        "A_VORBIS" => vorbis(track.setup, plain),
        "A_FLAC" => flac(track.setup, plain),
        "A_MPEG/L3" => Ok(plain(Codec::Mp3 { mpeg1: rate >= 32_000 }, "mp3")),
        "A_PCM/INT/LIT" | "A_PCM/FLOAT/IEEE" => {
            let format = match (id, track.bits) {
                ("A_PCM/INT/LIT", 8) => PcmFormat::U8,
                ("A_PCM/INT/LIT", 16) => PcmFormat::S16,
                ("A_PCM/INT/LIT", 24) => PcmFormat::S24,
                ("A_PCM/INT/LIT", 32) => PcmFormat::S32,
                ("A_PCM/FLOAT/IEEE", 32) => PcmFormat::F32,
                ("A_PCM/FLOAT/IEEE", 64) => PcmFormat::F64,
                (_, bits) => {
                    return Err(MediaError::unsupported(format!(
                        "a Matroska file with PCM samples of {bits} bits"
                    )));
                }
            };
            Ok(plain(Codec::Pcm(format), format.name()))
        }
        _ if id.starts_with("A_AAC") => aac(track, rate, plain),
        _ => Err(MediaError::unsupported(format!("a Matroska or WebM file with {}", codec_name(id)))),
    }
}

/// OpusHead (RFC 7845, section 5.1). Where it is missing, the track's own figures have to do.
fn opus(track: &Track<'_>, plain: Sound) -> Result<Sound, MediaError> {
    let head = Some(track.setup).filter(|setup| setup.starts_with(b"OpusHead"));
    let channels = head.and_then(|head| head.get(9)).map_or(plain.channels, |count| u16::from(*count));
    let mapping = head.and_then(|head| head.get(18)).copied().unwrap_or(0);
    if channels > 2 || mapping > 1 {
        return Err(MediaError::unsupported(format!("Opus of {channels} channels")));
    }
    let delay = match head.and_then(|head| array(head, 10)) {
        Some(pre_skip) => u32::from(u16::from_le_bytes(pre_skip)),
        None => u32::try_from(track.delay.saturating_mul(48) / 1_000_000).unwrap_or(0),
    };
    Ok(Sound { rate: 48_000, channels, delay: delay.min(48_000), ..plain })
}

/// The gain in an identification header (RFC 7845, section 5.1); 0 where there is none.
fn opus_gain(setup: &[u8]) -> i16 {
    let head = Some(setup).filter(|setup| setup.starts_with(b"OpusHead"));
    head.and_then(|head| array(head, 16)).map_or(0, i16::from_le_bytes)
}

/// Three headers in Xiph lacing: identification, comments, set-up.
fn vorbis(setup: &[u8], plain: impl Fn(Codec, &'static str) -> Sound) -> Result<Sound, MediaError> {
    let damaged = || MediaError::damaged("a Vorbis track without its headers");
    let headers = xiph_headers(setup).ok_or_else(damaged)?;
    Modes::parse(&headers).ok_or_else(damaged)?;
    let rate = array(&headers, 12).map(u32::from_le_bytes).ok_or_else(damaged)?;
    let channels = headers.get(11).copied().ok_or_else(damaged)?;
    let sound = plain(Codec::Vorbis { headers }, "vorbis");
    Ok(Sound { rate, channels: u16::from(channels), ..sound })
}

/// The first and the third header, one behind the other.
fn xiph_headers(setup: &[u8]) -> Option<Vec<u8>> {
    let (count, mut rest) = setup.split_first()?;
    let mut size = || {
        let mut size = 0;
        loop {
            let (byte, after) = rest.split_first()?;
            rest = after;
            size += usize::from(*byte);
            if *byte < 255 {
                return Some(size);
            }
        }
    };
    let (identification, comments) = (size().filter(|_| *count == 2)?, size()?);
    let headers = [rest.get(..identification)?, rest.get(identification.checked_add(comments)?..)?].concat();
    (identification == 30).then_some(headers)
}

/// The marker `fLaC` and metadata blocks, of which STREAMINFO is the first.
fn flac(setup: &[u8], plain: impl Fn(Codec, &'static str) -> Sound) -> Result<Sound, MediaError> {
    let damaged = || MediaError::damaged("a FLAC track without stream information");
    let marked = setup.strip_prefix(b"fLaC").ok_or_else(damaged)?;
    let mut stream_info = marked.get(4..38).ok_or_else(damaged)?.to_vec();
    let stream = parse_stream(&stream_info).ok_or_else(damaged)?;
    if stream.bits == 32 && stream.channels == 2 {
        // Its side channel has 33 bits, more than the decoder can hold.
        return Err(MediaError::unsupported("a FLAC track in 32-bit stereo"));
    }
    // Sizes of the smallest and largest frame: nobody needs them, and a decoder refuses them where they lie.
    stream_info.iter_mut().skip(4).take(6).for_each(|byte| *byte = 0);
    let sound = plain(Codec::Flac { stream_info }, "flac");
    Ok(Sound { rate: stream.sample_rate, channels: u16::from(stream.channels), ..sound })
}

/// An AudioSpecificConfig; old files have none and name the profile in the codec's ID.
fn aac(
    track: &Track<'_>,
    rate: u32,
    plain: impl Fn(Codec, &'static str) -> Sound,
) -> Result<Sound, MediaError> {
    let core = if track.setup.is_empty() {
        let object_type = match track.codec.as_str() {
            id if id.contains("MAIN") => 1,
            id if id.contains("SSR") => 3,
            id if id.contains("LTP") => 4,
            _ => 2,
        };
        aac_config::core(object_type, rate, u32::try_from(track.channels).unwrap_or(u32::MAX))?
    } else {
        aac_config::core_of(track.setup)?
    };
    let sound = plain(Codec::Aac { config: core.config }, "aac");
    Ok(Sound { rate: core.rate, channels: u16::from(core.channels), ..sound })
}

fn codec_name(id: &str) -> String {
    let name = match id {
        "A_AC3" => "AC-3 inside",
        "A_EAC3" => "E-AC-3 inside",
        "A_TRUEHD" | "A_MLP" => "Dolby TrueHD inside",
        "A_ALAC" => "Apple Lossless inside",
        "A_TTA1" => "True Audio inside",
        "A_WAVPACK4" => "WavPack inside",
        "A_MPEG/L1" | "A_MPEG/L2" => "MPEG audio layer I or II",
        "A_PCM/INT/BIG" => "big-endian PCM",
        "A_MS/ACM" => "a Windows codec inside",
        _ if id.starts_with("A_DTS") => "DTS inside",
        _ if id.starts_with("A_REAL") => "RealAudio inside",
        _ => {
            let readable: String = id.chars().filter(|c| c.is_ascii_graphic()).take(32).collect();
            return format!("the unknown codec {readable}");
        }
    };
    name.to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
        let size = u16::try_from(body.len()).unwrap() | 0x4000;
        [id, &size.to_be_bytes(), body].concat()
    }

    fn entry(number: u8, kind: u8, codec: &str, more: &[u8]) -> Vec<u8> {
        let fields =
            [element(&[0xd7], &[number]), element(&[0x83], &[kind]), element(&[0x86], codec.as_bytes())];
        element(&[0xae], &[&fields.concat(), more].concat())
    }

    fn stereo(rate: f64, bits: u8) -> Vec<u8> {
        let rate = element(&[0xb5], &rate.to_be_bytes());
        element(&[0xe1], &[rate, element(&[0x9f], &[2]), element(&[0x62, 0x64], &[bits])].concat())
    }

    fn refusal(body: &[u8]) -> String {
        sound(body).unwrap_err().to_string()
    }

    #[test]
    fn the_default_track_is_heard() {
        let pcm = stereo(44_100.0, 16);
        let no_default = [pcm.clone(), element(&[0x88], &[0])].concat();
        let tracks = [
            entry(1, 1, "V_VP8", &[]),
            entry(2, 2, "A_PCM/INT/LIT", &no_default),
            entry(3, 2, "A_PCM/INT/LIT", &pcm),
        ];
        let found = sound(&tracks.concat()).unwrap();
        assert_eq!((found.track, found.tracks, found.rate, found.channels), (3, vec![1, 2, 3], 44_100, 2));
        assert_eq!(found.codec, Codec::Pcm(PcmFormat::S16));
        assert_eq!(sound(&tracks[..2].concat()).unwrap().track, 2);
        assert!(refusal(&tracks[0]).contains("a video without sound"));
        assert!(refusal(&[]).contains("without sound"));
    }

    #[test]
    fn codecs_that_are_not_decoded_are_named() {
        assert!(refusal(&entry(1, 2, "A_AC3", &[])).contains("AC-3"));
        assert!(refusal(&entry(1, 2, "A_PCM/INT/BIG", &stereo(8_000.0, 16))).contains("big-endian"));
        assert!(refusal(&entry(1, 2, "A_PCM/INT/LIT", &stereo(8_000.0, 20))).contains("20 bits"));
        assert!(refusal(&entry(1, 2, "A_PCM/INT/LIT", &stereo(f64::NAN, 16))).contains("at 0 Hz"));
        assert!(refusal(&entry(1, 2, "A_AAC/MPEG4/MAIN", &stereo(44_100.0, 16))).contains("Main"));
        let surround = element(&[0x63, 0xa2], b"OpusHead\x01\x06\x38\x01\x80\xbb\0\0\0\0\x01");
        assert!(refusal(&entry(1, 2, "A_OPUS", &surround)).contains("Opus of 6 channels"));
        assert!(refusal(&entry(1, 2, "A_VORBIS", &[])).contains("damaged"));
    }

    #[test]
    fn packets_may_lack_their_beginning_and_nothing_else() {
        let encoded = |fields: &[u8]| {
            let encodings = element(&[0x6d, 0x80], &element(&[0x62, 0x40], fields));
            entry(1, 2, "A_MPEG/L3", &[stereo(44_100.0, 16), encodings].concat())
        };
        let compression = |algorithm: u8| {
            let fields = [element(&[0x42, 0x54], &[algorithm]), element(&[0x42, 0x55], &[0xff, 0xfb])];
            element(&[0x50, 0x34], &fields.concat())
        };
        assert_eq!(sound(&encoded(&compression(3))).unwrap().prefix, [0xff, 0xfb]);
        assert!(refusal(&encoded(&compression(0))).contains("compressed once more"));
        let encryption = [element(&[0x50, 0x33], &[1]), element(&[0x50, 0x35], &[])].concat();
        assert!(refusal(&encoded(&encryption)).contains("encrypted"));
    }
}
