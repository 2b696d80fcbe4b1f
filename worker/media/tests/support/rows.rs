//! The rows of docs/formats.md: a recording each, how it is cut, and what its samples are held to.

/// What a row promises of its samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Promise {
    /// Bit for bit what ffmpeg decodes.
    Exact,
    /// Nowhere farther from ffmpeg's samples than so many steps of 16 bits, whose decoder sums in another order.
    Within(u32),
    /// The codec makes noise of its own or never forgets: the same samples for every worker, the loudness of the
    /// difference to ffmpeg at most so many percent.
    Alike(u32),
}

pub struct Row {
    /// Ending of the file.
    pub ending: &'static str,
    pub container: &'static str,
    pub codec: &'static str,
    /// How its packets are found.
    pub cut: &'static str,
    /// What ffmpeg is told.
    pub arguments: &'static [&'static str],
    /// The decoder by which ffmpeg judges, where its own is not the reference.
    pub judge: Option<&'static str>,
    pub promise: Promise,
}

const fn row(
    ending: &'static str,
    container: &'static str,
    codec: &'static str,
    cut: &'static str,
    arguments: &'static [&'static str],
    promise: Promise,
) -> Row {
    Row { ending, container, codec, cut, arguments, judge: None, promise }
}

/// As `row`, judged by libopus: ffmpeg's own decoder of Opus is another one.
const fn opus(
    ending: &'static str,
    container: &'static str,
    codec: &'static str,
    cut: &'static str,
    arguments: &'static [&'static str],
) -> Row {
    Row { judge: Some("libopus"), ..row(ending, container, codec, cut, arguments, Promise::Alike(3)) }
}

const ARITHMETIC: &str = "arithmetic";
const HEADERS: &str = "chains of frame headers";
const CRC: &str = "frame headers and checksums";
const TABLES: &str = "sample tables of the index";
const FRAGMENTS: &str = "fragments";
const PAGES: &str = "pages and their checksums";
const BLOCKS: &str = "chains of blocks";

/// With pictures beside the sound, as the second input.
const MP4_VIDEO: &[&str] = &[
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=320x240:rate=10",
    "-map",
    "0:a",
    "-map",
    "1:v",
    "-shortest",
    "-c:v",
    "mpeg4",
    "-c:a",
    "aac",
    "-aac_pns",
    "0",
];
const WEBM_VIDEO: &[&str] = &[
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=320x240:rate=10",
    "-map",
    "0:a",
    "-map",
    "1:v",
    "-shortest",
    "-c:v",
    "libvpx",
    "-c:a",
    "libopus",
    "-b:a",
    "32k",
];

pub const ROWS: &[Row] = &[
    row("wav", "WAV", "PCM 16 bit", ARITHMETIC, &["-c:a", "pcm_s16le"], Promise::Exact),
    row(
        "wav",
        "WAV",
        "PCM 24 bit, 2 channels",
        ARITHMETIC,
        &["-c:a", "pcm_s24le", "-ac", "2"],
        Promise::Exact,
    ),
    row("wav", "WAV", "PCM float", ARITHMETIC, &["-c:a", "pcm_f32le", "-ar", "48000"], Promise::Exact),
    row("wav", "WAV", "µ-law", ARITHMETIC, &["-c:a", "pcm_mulaw", "-ar", "8000"], Promise::Exact),
    row("wav", "RF64", "PCM 16 bit", ARITHMETIC, &["-c:a", "pcm_s16le", "-rf64", "always"], Promise::Exact),
    row("w64", "Wave64", "PCM 16 bit", ARITHMETIC, &["-c:a", "pcm_s16le"], Promise::Exact),
    row("aiff", "AIFF", "PCM 16 bit", ARITHMETIC, &["-c:a", "pcm_s16be"], Promise::Exact),
    row("au", "AU", "A-law", ARITHMETIC, &["-c:a", "pcm_alaw", "-ar", "8000"], Promise::Exact),
    row("caf", "CAF", "PCM 24 bit", ARITHMETIC, &["-c:a", "pcm_s24be"], Promise::Exact),
    row("caf", "CAF", "ALAC", "packet table", &["-c:a", "alac", "-ar", "44100"], Promise::Exact),
    row("flac", "FLAC", "FLAC 16 bit", CRC, &["-c:a", "flac"], Promise::Exact),
    row(
        "flac",
        "FLAC",
        "FLAC 24 bit, 2 channels",
        CRC,
        &["-c:a", "flac", "-sample_fmt", "s32", "-ac", "2"],
        Promise::Exact,
    ),
    row("mp3", "MP3", "constant bit rate", HEADERS, &["-b:a", "64k", "-ar", "44100"], Promise::Within(4)),
    row(
        "mp3",
        "MP3",
        "variable bit rate, 2 channels",
        HEADERS,
        &["-q:a", "4", "-ac", "2"],
        Promise::Within(4),
    ),
    row("mp3", "MP3", "MPEG-2.5, 8 kHz", HEADERS, &["-b:a", "16k", "-ar", "8000"], Promise::Within(4)),
    row(
        "aac",
        "ADTS",
        "AAC-LC",
        HEADERS,
        &["-c:a", "aac", "-aac_pns", "0", "-ar", "44100"],
        Promise::Within(7),
    ),
    row(
        "aac",
        "ADTS",
        "AAC-LC with noise substitution",
        HEADERS,
        &["-c:a", "aac", "-b:a", "32k"],
        Promise::Alike(25),
    ),
    row("m4a", "M4A, index last", "AAC-LC", TABLES, &["-c:a", "aac", "-aac_pns", "0"], Promise::Within(7)),
    row(
        "m4a",
        "M4A, index first",
        "AAC-LC, 2 channels",
        TABLES,
        &["-c:a", "aac", "-aac_pns", "0", "-ac", "2", "-movflags", "faststart"],
        Promise::Within(7),
    ),
    row("m4a", "M4A", "ALAC", TABLES, &["-c:a", "alac"], Promise::Exact),
    row(
        "mp4",
        "MP4, fragmented",
        "AAC-LC",
        FRAGMENTS,
        &[
            "-c:a",
            "aac",
            "-aac_pns",
            "0",
            "-movflags",
            "frag_keyframe+empty_moov",
            "-frag_duration",
            "2000000",
        ],
        Promise::Within(7),
    ),
    row("mp4", "MP4 with video", "AAC-LC", TABLES, MP4_VIDEO, Promise::Within(7)),
    row("mov", "QuickTime", "PCM 16 bit", TABLES, &["-c:a", "pcm_s16le"], Promise::Exact),
    row("ogg", "Ogg", "Vorbis", PAGES, &["-c:a", "libvorbis", "-q:a", "3"], Promise::Within(4)),
    opus("opus", "Ogg", "Opus, speech", PAGES, &["-c:a", "libopus", "-b:a", "24k", "-application", "voip"]),
    opus("opus", "Ogg", "Opus, 2 channels", PAGES, &["-c:a", "libopus", "-b:a", "96k", "-ac", "2"]),
    row("ogg", "Ogg", "FLAC", PAGES, &["-c:a", "flac"], Promise::Exact),
    opus("webm", "WebM", "Opus", BLOCKS, &["-c:a", "libopus", "-b:a", "32k"]),
    opus(
        "webm",
        "WebM, live from a browser",
        "Opus",
        BLOCKS,
        &["-c:a", "libopus", "-b:a", "32k", "-live", "1"],
    ),
    opus("webm", "WebM with video", "Opus", BLOCKS, WEBM_VIDEO),
    row("webm", "WebM", "Vorbis", BLOCKS, &["-c:a", "libvorbis", "-q:a", "3"], Promise::Within(4)),
    row("mka", "Matroska", "AAC-LC", BLOCKS, &["-c:a", "aac", "-aac_pns", "0"], Promise::Within(7)),
    row("mka", "Matroska", "MP3", BLOCKS, &["-c:a", "libmp3lame", "-b:a", "64k"], Promise::Within(4)),
    row("mka", "Matroska", "FLAC", BLOCKS, &["-c:a", "flac"], Promise::Exact),
    row("mka", "Matroska", "PCM 16 bit", BLOCKS, &["-c:a", "pcm_s16le"], Promise::Exact),
];
