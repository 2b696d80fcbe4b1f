//! A link of an Ogg stream: its headers, and where its audio begins.
//!
//! Sources: RFC 3533 (grouping, chaining), RFC 7845 (Opus), Vorbis I appendix A, and the mapping of FLAC to Ogg
//! (RFC 9639, section 10.1).

use scriptorium_contracts::media::MediaInfo;

use super::flac::comment_title;
use super::ogg_ident::{Ident, identify, name_of};
use super::ogg_page::{Joined, Joiner, Page, Pages};
use super::vorbis_modes::long_flags;
use crate::error::MediaError;
use crate::init::{Codec, InitSection, Layout, OggLink, PacketTiming, Trim};
use crate::source::Span;

/// Most bytes of one audio packet: more than 8 channels of the largest FLAC block take.
pub(crate) const MOST_PACKET: u64 = 4 * 1024 * 1024;
/// Most bytes of one header packet that are kept: comments with pictures are longer, but only their title is wanted.
const MOST_HEADER: u64 = 256 * 1024;
/// Most bytes of a Vorbis setup header; encoders write some 4 KiB.
const MOST_SETUP: u64 = 64 * 1024;
/// Most bytes of all headers of a link, pictures included.
const MOST_HEADERS: u64 = 64 * 1024 * 1024;
/// Most bytes of other streams and of damage between the headers and the first audio.
const MOST_BETWEEN: u64 = 2 * 1024 * 1024;
/// Most logical streams side by side.
const MOST_STREAMS: usize = 16;

/// A link whose headers were read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Link {
    pub place: OggLink,
    pub codec: Codec,
    pub rate: u32,
    pub channels: u32,
    /// Whether it can follow on the first link: decoded to frames of the same rate.
    pub joins: bool,
}

/// A link as its headers tell it.
pub(crate) struct Opened {
    pub link: Link,
    title: Option<String>,
    bitrate: Option<u64>,
}

impl Opened {
    /// What is kept with the job, but for the first packet, which is still to be found.
    pub(crate) fn into_init(self, file_len: u64) -> InitSection {
        let codec = match self.link.place.timing {
            PacketTiming::Opus { .. } => "opus",
            PacketTiming::Vorbis { .. } => "vorbis",
            PacketTiming::Flac { .. } => "flac",
        };
        InitSection {
            version: InitSection::VERSION,
            media: MediaInfo {
                container: "ogg".to_owned(),
                codec: codec.to_owned(),
                sample_rate: self.link.rate,
                channels: self.link.channels,
                bitrate: self.bitrate,
                duration_seconds: None,
                title: self.title,
            },
            file_len,
            data_start: self.link.place.data,
            data_end: file_len,
            layout: Layout::Ogg { link: self.link.place },
            codec: self.link.codec,
            trim: Trim::default(),
        }
    }
}

/// Reads the headers of the link whose first page is the first one from `at` on.
///
/// # Errors
/// [`MediaError::Unsupported`] and others say what stands in the place of a link that can be decoded.
pub(crate) fn open(bytes: &mut Span<'_>, at: u64) -> Result<Opened, MediaError> {
    let mut reader = Reader { pages: Pages::new(at..bytes.source_len()), covered: at, between: 0 };
    let (mut group, mut names, mut next) = (Vec::new(), Vec::new(), None);
    while let Some(page) = reader.next(bytes)? {
        if !page.is_first() || group.len() == MOST_STREAMS {
            next = Some(page);
            break;
        }
        let first = Joiner::new(MOST_HEADER).push(bytes, &page)?.into_iter().next().unwrap_or_default();
        names.push(name_of(&first.data));
        group.push((page, first.data));
    }
    let mut refused = None;
    for (page, data) in &group {
        match identify(data) {
            Ok(Some(ident)) => {
                let others = group.iter().map(|(p, _)| p.serial).filter(|s| *s != page.serial).collect();
                return reader.open(bytes, page, others, ident, next);
            }
            Ok(None) => {}
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.unwrap_or_else(|| MediaError::unsupported(format!("an Ogg container with {}", list(&names)))))
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "no beginning of a stream".to_owned() } else { names.join(" and ") }
}

/// Reads pages in order and counts the bytes that do not belong to the stream.
struct Reader {
    pages: Pages,
    covered: u64,
    between: u64,
}

/// Headers read so far, and the audio packets that end on the first page with any.
struct Headers {
    place: OggLink,
    packets: Vec<Joined>,
    audio: Vec<Joined>,
    /// Bytes between the last header and the first audio that belong to no page.
    junk: u64,
    granule: Option<u64>,
}

impl Reader {
    fn next(&mut self, bytes: &mut Span<'_>) -> Result<Option<Page>, MediaError> {
        let page = self.pages.next(bytes)?;
        if let Some(page) = &page {
            self.between += page.start.saturating_sub(self.covered);
            self.covered = page.end();
        }
        Ok(page)
    }

    fn open(
        mut self,
        bytes: &mut Span<'_>,
        first: &Page,
        others: Vec<u32>,
        ident: Ident,
        next: Option<Page>,
    ) -> Result<Opened, MediaError> {
        let place = OggLink {
            at: first.start,
            data: first.end(),
            first_page: 0,
            start_granule: 0,
            serial: first.serial,
            sequence: first.sequence,
            others,
            timing: ident.timing.clone(),
        };
        let headers = self.headers(bytes, place, &ident, next)?;
        finish(ident, headers)
    }

    /// Reads on to the first page on which audio packets end.
    fn headers(
        &mut self,
        bytes: &mut Span<'_>,
        place: OggLink,
        ident: &Ident,
        mut next: Option<Page>,
    ) -> Result<Headers, MediaError> {
        let none = || MediaError::not_audio("an Ogg container without any audio");
        let mut joiner = Joiner::new(MOST_PACKET);
        let mut found = Headers { place, packets: Vec::new(), audio: Vec::new(), junk: 0, granule: None };
        let (mut sequence, mut junk_from) = (found.place.sequence, self.between);
        loop {
            let page = match next.take() {
                Some(page) => page,
                None => self.next(bytes)?.ok_or_else(none)?,
            };
            if page.end() - found.place.at > MOST_HEADERS || self.between > MOST_BETWEEN {
                return Err(MediaError::Limit { what: "too many bytes before the audio of Ogg".to_owned() });
            }
            if page.is_first() {
                return Err(none());
            }
            if page.serial != found.place.serial {
                self.between += page.end() - page.start;
                junk_from += page.end() - page.start;
                continue;
            }
            joiner.drop_broken(&page, sequence.wrapping_add(1) == page.sequence);
            sequence = page.sequence;
            for packet in joiner.push(bytes, &page)? {
                if found.audio.is_empty() && ident.is_header(&packet.data) {
                    (found.place.data, found.place.sequence) = (page.end(), page.sequence);
                    junk_from = self.between;
                    found.packets.push(Joined { parts: Vec::new(), ..packet });
                } else if page.start >= found.place.data {
                    found.audio.push(packet);
                }
            }
            if !found.audio.is_empty() {
                found.place.first_page = page.start;
                (found.granule, found.junk) = (page.granule, self.between.saturating_sub(junk_from));
                return Ok(found);
            }
        }
    }
}

fn finish(ident: Ident, mut headers: Headers) -> Result<Opened, MediaError> {
    let mut codec = ident.codec;
    let mut timing = ident.timing;
    match (&mut codec, &mut timing) {
        (Codec::Vorbis { headers: own }, PacketTiming::Vorbis { modes, long_modes, .. }) => {
            let setup = headers.packets.iter().find(|packet| packet.data.starts_with(b"\x05vorbis"));
            let setup = setup.ok_or_else(|| MediaError::damaged("Vorbis without its setup header"))?;
            if setup.len > MOST_SETUP {
                return Err(MediaError::Limit { what: "more than 64 KiB of Vorbis setup".to_owned() });
            }
            let flags = long_flags(&setup.data)
                .ok_or_else(|| MediaError::damaged("Vorbis with an impossible setup header"))?;
            // At most 64 of them.
            *modes = u8::try_from(flags.len()).unwrap_or(u8::MAX);
            *long_modes = flags.iter().rev().fold(0, |bits, long| bits << 1 | u64::from(*long));
            own.extend_from_slice(&setup.data);
        }
        // As in plain FLAC, older encoders mark variable block sizes in the frames alone.
        (_, PacketTiming::Flac { stream }) => {
            let second = headers.audio.first().and_then(|packet| packet.data.get(1));
            stream.variable = second.map_or(stream.variable, |second| second & 1 == 1);
        }
        _ => {}
    }
    let mut previous = None;
    let frames: u64 = headers
        .audio
        .iter()
        .filter_map(|packet| timing.frames(&packet.data, &mut previous))
        .map(u64::from)
        .sum();
    let start = headers.granule.map_or(0, |granule| granule.saturating_sub(frames));
    // Bytes are lost before the first audio: what is missing is a gap. Else the recording was cut out of a longer one.
    let lost = headers.junk > 0 && start <= headers.junk.saturating_mul(timing.most_frames());
    let title = headers.packets.drain(..).find_map(|packet| title_of(&packet.data));
    let place = OggLink { start_granule: if lost { 0 } else { start }, timing, ..headers.place };
    let link = Link { place, codec, rate: ident.rate, channels: ident.channels, joins: true };
    Ok(Opened { link, title, bitrate: ident.bitrate })
}

/// The title in a comment header of any of the three codecs.
fn title_of(packet: &[u8]) -> Option<String> {
    let block = packet
        .strip_prefix(b"OpusTags")
        .or_else(|| packet.strip_prefix(b"\x03vorbis"))
        .or_else(|| packet.get(4..).filter(|_| packet[0] & 0x7f == 4))?;
    comment_title(block)
}
