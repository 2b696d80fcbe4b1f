//! What a recording is, from its first bytes (DESIGN: "The first chunk tells what the file is").

use crate::decode::Decoder;
use crate::error::MediaError;
use crate::formats::{adts, aiff, au, caf, flac, id3, mkv, mp3, mp4, ogg, w64, wav};
use crate::init::InitSection;
use crate::magic::{Known, describe, recognise};
use crate::source::{ByteSource, Span};

/// Bytes by which a file is recognised.
const HEAD: u64 = 512;

/// Finds out what the recording is and everything a worker needs to start in its middle.
///
/// Reads the beginning only: headers, and for an MP3 the first few frames after its tags, whose bodies (covers) are
/// skipped, not read. The index of an MP4 file is read wherever it lies.
///
/// # Errors
/// [`MediaError::NotAudio`] and [`MediaError::Unsupported`] say what was found; [`MediaError::Read`] with
/// [`ReadError::Missing`](super::ReadError::Missing) which chunk the answer lies in.
pub fn probe(source: &dyn ByteSource) -> Result<InitSection, MediaError> {
    let init = recognised(source)?;
    // What the decoder refuses is told now, not when the first passage is decoded.
    Decoder::new(&init)?;
    Ok(init)
}

fn recognised(source: &dyn ByteSource) -> Result<InitSection, MediaError> {
    let mut bytes = Span::new(source);
    let (base, title) = id3::skip(&mut bytes, 0)?;
    let head = bytes.slice(base, base + HEAD)?.to_vec();
    if head.starts_with(b"fLaC") {
        let mut init = flac::probe(&mut bytes, base)?;
        init.media.title = init.media.title.or(title);
        return Ok(init);
    }
    if head.starts_with(b"OggS") {
        let mut init = ogg::probe(&mut bytes, base)?;
        init.media.title = init.media.title.or(title);
        return Ok(init);
    }
    if head.starts_with(b"\x1a\x45\xdf\xa3") {
        return mkv::probe(&mut bytes, base, title);
    }
    if is_wave(&head) && base == 0 {
        return wav::probe(&mut bytes);
    }
    if let Some(probe) = untagged(&head).filter(|_| base == 0) {
        return probe(&mut bytes);
    }
    let known = recognise(&head);
    match known {
        Some(Known::Other(found)) => return Err(MediaError::not_audio(found)),
        Some(Known::Audio(found)) => return Err(MediaError::unsupported(found)),
        None => {}
    }
    if let Some(init) = mpeg_stream(&mut bytes, base, title)? {
        return Ok(init);
    }
    if base > 0 {
        return Err(MediaError::not_audio("an ID3 tag without any audio after it"));
    }
    Err(MediaError::not_audio(describe(&head)))
}

type Probe = fn(&mut Span<'_>) -> Result<InitSection, MediaError>;

/// The probe of a container that no tag stands in front of.
fn untagged(head: &[u8]) -> Option<Probe> {
    let form = head.starts_with(b"FORM");
    match head.get(8..12) {
        Some(b"AIFF" | b"AIFC") if form => Some(aiff::probe),
        _ if head.starts_with(b"caff") => Some(caf::probe),
        _ if head.starts_with(b".snd") => Some(au::probe),
        _ if w64::is_wave64(head) => Some(w64::probe),
        _ if mp4::begins(head) => Some(mp4::probe),
        _ => None,
    }
}

/// MP3 and AAC in ADTS share a sync word, and both may follow junk: the chain that begins first is the stream.
fn mpeg_stream(
    bytes: &mut Span<'_>,
    base: u64,
    title: Option<String>,
) -> Result<Option<InitSection>, MediaError> {
    let mp3 = mp3::probe(bytes, base, title.clone())?;
    let adts = adts::probe(bytes, base, title);
    match (mp3, adts) {
        (Some(mp3), Ok(Some(adts))) if adts.data_start < mp3.data_start => Ok(Some(adts)),
        (Some(mp3), _) => Ok(Some(mp3)),
        (None, adts) => adts,
    }
}

fn is_wave(head: &[u8]) -> bool {
    [b"RIFF", b"RIFX", b"RF64"].iter().any(|id| head.starts_with(*id)) && head.get(8..12) == Some(b"WAVE")
}
