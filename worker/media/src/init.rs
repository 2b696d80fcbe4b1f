//! The init section: everything a worker needs to start in the middle of a recording.

use std::ops::Range;

use scriptorium_contracts::media::MediaInfo;
use serde::{Deserialize, Serialize};

use crate::error::MediaError;
use crate::formats::mp4_layout::{FragmentTrack, SampleTable};

/// What a worker needs to start in the middle; found once by [`probe`](super::probe()), kept with the job.
///
/// Bounded: below 1 KiB, but for the setup header of Vorbis (some 4 KiB as bytes, at most 64 KiB) and the packed sample
/// table of an MP4 file (some 2 bytes a packet).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InitSection {
    /// [`InitSection::VERSION`] of the program that wrote it; packet lists and cuts may differ between versions.
    pub version: u16,
    /// What the recording is, for people and for the job's status.
    pub media: MediaInfo,
    /// Length of the recording in bytes.
    pub file_len: u64,
    /// First byte of the first packet.
    pub data_start: u64,
    /// End of the bytes in which packets may begin.
    pub data_end: u64,
    /// How packets are found.
    pub layout: Layout,
    /// How packets are decoded.
    pub codec: Codec,
    /// What the encoder added and nobody shall hear.
    pub trim: Trim,
}

impl InitSection {
    /// Version of the packet lists, anchors and cuts that this program makes.
    pub const VERSION: u16 = 1;

    pub(crate) fn rate(&self) -> u32 {
        self.media.sample_rate.max(1)
    }

    pub(crate) fn channels(&self) -> usize {
        usize::try_from(self.media.channels).unwrap_or(1).max(1)
    }

    /// Refuses a section that another version wrote, or that belongs to another recording.
    pub(crate) fn check(&self, file_len: u64) -> Result<(), MediaError> {
        let whole = self.data_start <= self.data_end && self.data_end <= self.file_len;
        let audible = (1..=MAX_RATE).contains(&self.media.sample_rate)
            && (1..=u32::from(MAX_CHANNELS)).contains(&self.media.channels);
        if self.version != Self::VERSION {
            return Err(MediaError::Stale { what: format!("written by version {}", self.version) });
        }
        if self.file_len != file_len || !whole || !audible {
            return Err(MediaError::Stale { what: "it describes another file".to_owned() });
        }
        Ok(())
    }

    pub(crate) fn data(&self) -> Range<u64> {
        self.data_start..self.data_end
    }
}

/// Highest rate that is accepted, Hz.
pub(crate) const MAX_RATE: u32 = 768_000;
/// Lowest rate that is accepted, Hz.
pub(crate) const MIN_RATE: u32 = 1_000;
/// Most channels that are accepted.
pub(crate) const MAX_CHANNELS: u16 = 64;

/// How packets are found in the bytes: one case a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Layout {
    /// Blocks of equal length, by arithmetic.
    Pcm {
        /// Bytes of one frame over all channels.
        frame_bytes: u32,
        /// Frames of one block.
        block_frames: u32,
    },
    /// FLAC frames, found by their CRCs.
    Flac {
        /// What all frame headers have to agree with.
        stream: FlacStream,
        /// Sample number of the first frame; not zero where the file was cut out of a longer one.
        first_sample: u64,
    },
    /// MPEG audio frames, found by chains of headers.
    Mp3 {
        /// The bits of the header that never change within a stream, in their places.
        fixed_header_bits: u32,
    },
    /// Packets one after the other whose sizes stand in a table of the file: Core Audio Format.
    Caf {
        /// Where the table is, and marks in it.
        table: PacketTable,
    },
    /// Samples of an MP4 or QuickTime file, as the tables of its index list them.
    Mp4Table(SampleTable),
    /// Samples of a fragmented MP4 file: each fragment lists its own.
    Mp4Fragments {
        /// What the index lists before the first fragment; usually nothing.
        head: SampleTable,
        /// How the fragments are read.
        track: FragmentTrack,
    },
    /// Packets of one logical stream in Ogg pages, found by capture pattern and CRC.
    Ogg {
        /// The first link of the chain; later ones are found where they lie.
        link: OggLink,
    },
    /// Blocks of Matroska or WebM, found by chains.
    Matroska(MatroskaTrack),
    /// AAC frames in ADTS, found by chains of headers.
    Adts {
        /// The bits of the header that never change within a stream, in their places.
        fixed_header_bits: u32,
    },
}

/// The packet table of a CAF file, left where it is: workers read the part they need from the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketTable {
    /// First byte of the entries, from the start of the recording.
    pub start: u64,
    /// Byte after the entries.
    pub end: u64,
    /// Packets that lie wholly in the data.
    pub packets: u64,
    /// Frames of a packet.
    pub frames: u32,
    /// Frames of padding in the last packet.
    pub remainder: u32,
    /// Packets from one mark to the next.
    pub step: u64,
    /// For every `step`-th packet the bytes from the first entry to its entry, and from the first packet to it.
    pub marks: Vec<(u64, u64)>,
    /// Packets behind an entry that is damaged, and the bytes up to the end of the data in which they lie: nothing tells
    /// where each of them begins.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub lost: (u64, u64),
}

fn is_nothing(lost: &(u64, u64)) -> bool {
    *lost == (0, 0)
}

/// A link of a chain of Ogg streams: where its pages lie and how its packets are timed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OggLink {
    /// First byte of its first page.
    pub at: u64,
    /// First byte after its headers.
    pub data: u64,
    /// First byte of the first page on which an audio packet ends.
    pub first_page: u64,
    /// Granule position at which its audio begins; not zero where the recording was cut out of a longer one.
    pub start_granule: u64,
    /// Number of the logical stream with the audio.
    pub serial: u32,
    /// Number of that stream's last header page.
    pub sequence: u32,
    /// Logical streams beside it, at most 16.
    pub others: Vec<u32>,
    /// How long its packets are.
    pub timing: PacketTiming,
}

/// What tells the duration of a packet without decoding it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PacketTiming {
    /// Opus: the packet's first bytes.
    Opus {
        /// Frames at the start of the stream that are dropped.
        pre_skip: u16,
    },
    /// Vorbis: the block sizes of a packet and of the one before.
    Vorbis {
        /// Frames of a short block.
        short: u16,
        /// Frames of a long block.
        long: u16,
        /// Number of modes.
        modes: u8,
        /// A bit for each mode of long blocks.
        long_modes: u64,
    },
    /// FLAC: the frame's header.
    Flac {
        /// What all frame headers have to agree with.
        stream: FlacStream,
    },
}

/// The facts of a FLAC stream that its frames repeat or leave out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlacStream {
    /// Hz.
    pub sample_rate: u32,
    /// 1 to 8.
    pub channels: u8,
    /// 4 to 32.
    pub bits: u8,
    /// Frames of a block, where blocks are of fixed size: of all but the last.
    pub max_block: u16,
    /// Whether frame headers count samples instead of blocks.
    pub variable: bool,
    /// Frames of the whole stream, where known.
    pub total: Option<u64>,
}

/// The facts of a Matroska or WebM file by which the blocks of one track are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatroskaTrack {
    /// Where the first cluster begins.
    pub first_cluster: u64,
    /// Number of the track that is decoded.
    pub number: u64,
    /// Numbers of all tracks.
    pub all_numbers: Vec<u64>,
    /// Nanoseconds of a tick of the timestamps.
    pub tick: u64,
    /// What was taken off the beginning of each packet.
    pub prefix: Vec<u8>,
}

/// How packets are decoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Codec {
    /// Interleaved PCM.
    Pcm(PcmFormat),
    /// FLAC, with its 34 bytes of stream information.
    Flac {
        /// The STREAMINFO block without its header.
        stream_info: Vec<u8>,
    },
    /// MPEG audio layer III.
    Mp3 {
        /// Whether frames are of MPEG-1 (reservoir of 511 bytes) or MPEG-2/2.5 (255 bytes).
        mpeg1: bool,
    },
    /// AAC, low complexity (of HE-AAC its core), packets without ADTS headers.
    Aac {
        /// The AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1) of the core.
        config: Vec<u8>,
    },
    /// Apple Lossless.
    Alac {
        /// The magic cookie: ALACSpecificConfig, 24 bytes.
        cookie: Vec<u8>,
    },
    /// Vorbis.
    Vorbis {
        /// The identification header (30 bytes) and, after it, the setup header.
        headers: Vec<u8>,
    },
    /// Opus of one or two channels, at 48 kHz.
    Opus {
        /// Output gain in 1/256 dB (RFC 7845, section 5.1).
        gain: i16,
    },
}

/// Sample formats of interleaved PCM; little-endian where the name does not say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PcmFormat {
    /// 8 bits, unsigned.
    U8,
    /// 8 bits, signed.
    S8,
    /// 16 bits, signed.
    S16,
    /// 16 bits, signed, big-endian.
    S16Be,
    /// 24 bits, signed.
    S24,
    /// 24 bits, signed, big-endian.
    S24Be,
    /// 32 bits, signed.
    S32,
    /// 32 bits, signed, big-endian.
    S32Be,
    /// 32 bits, floating point.
    F32,
    /// 32 bits, floating point, big-endian.
    F32Be,
    /// 64 bits, floating point.
    F64,
    /// 64 bits, floating point, big-endian.
    F64Be,
    /// 8 bits, A-law of ITU-T G.711.
    ALaw,
    /// 8 bits, µ-law of ITU-T G.711.
    MuLaw,
}

impl PcmFormat {
    /// Bytes of one sample of one channel.
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::S8 | Self::ALaw | Self::MuLaw => 1,
            Self::S16 | Self::S16Be => 2,
            Self::S24 | Self::S24Be => 3,
            Self::S32 | Self::S32Be | Self::F32 | Self::F32Be => 4,
            Self::F64 | Self::F64Be => 8,
        }
    }

    /// The name under which the format is known, as `MediaInfo::codec` gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::U8 => "pcm_u8",
            Self::S8 => "pcm_s8",
            Self::S16 => "pcm_s16le",
            Self::S16Be => "pcm_s16be",
            Self::S24 => "pcm_s24le",
            Self::S24Be => "pcm_s24be",
            Self::S32 => "pcm_s32le",
            Self::S32Be => "pcm_s32be",
            Self::F32 => "pcm_f32le",
            Self::F32Be => "pcm_f32be",
            Self::F64 => "pcm_f64le",
            Self::F64Be => "pcm_f64be",
            Self::ALaw => "pcm_alaw",
            Self::MuLaw => "pcm_mulaw",
        }
    }
}

/// What the encoder added: done once, here, never by the decoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trim {
    /// Frames to drop at the start.
    pub start: u32,
    /// Frames to drop at the end …
    pub end: u32,
    /// … but only if the last packet ends at this byte, that is if the file is as long as its encoder made it.
    pub end_if_data_ends_at: Option<u64>,
}
