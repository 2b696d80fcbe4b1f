//! Recordings that cost next to nothing to decode, and give the engine one window a chunk.

use scriptorium_tests::recordings;

/// Bytes, and samples, a second.
const RATE: u32 = 8_000;
/// Bytes of a chunk.
pub const MIB: usize = 1 << 20;
/// Of a WAV file with one stretch of sound.
const HEADER: usize = 44;
/// 0 in unsigned samples of 8 bits.
const SILENCE: u8 = 128;
const BURST_SECONDS: &str = "2.5";
/// Where in a chunk its burst begins: so late that the passage with it begins in the same chunk, and so early that it is
/// whole.
const BURST_AT: usize = MIB / 8 * 7;

/// 8 kHz, 8 bits: `chunks` chunks of 1 MiB (131 s) of digital silence with some seconds of speech in each.
pub fn bursts(chunks: usize) -> Vec<u8> {
    let [first, later] = first_and_later(chunks);
    let mut bytes = first;
    for _ in 1..chunks {
        bytes.extend_from_slice(&later);
    }
    bytes
}

/// The first chunk of that recording, and what each later one is, for recordings that need not lie in memory.
pub fn first_and_later(chunks: usize) -> [Vec<u8>; 2] {
    let speech =
        recordings::converted(&["-c:a", "pcm_u8", "-ar", "8000", "-ac", "1", "-t", BURST_SECONDS], "wav");
    let speech = samples(&speech);
    [wav_header(chunks * MIB - HEADER), Vec::new()].map(|mut bytes| {
        bytes.resize(MIB, SILENCE);
        bytes[BURST_AT..][..speech.len()].copy_from_slice(speech);
        bytes
    })
}

/// The sample three times, softly: 8 kHz, 8 bits, 5.6 MB. But between these two seconds it is loud.
pub fn soft_but(loud: std::ops::Range<usize>) -> Vec<u8> {
    let arguments = ["-af", "aloop=loop=2:size=6000000", "-c:a", "pcm_u8", "-ar", "8000", "-ac", "1"];
    let mut bytes = recordings::converted(&arguments, "wav");
    let from = bytes.len() - samples(&bytes).len();
    let loud = from + loud.start * RATE as usize..from + loud.end * RATE as usize;
    for (at, sample) in bytes.iter_mut().enumerate().skip(from) {
        let level = i32::from(*sample) - i32::from(SILENCE);
        let level = if loud.contains(&at) { level * 8 } else { level / 4 };
        *sample = u8::try_from((level + i32::from(SILENCE)).clamp(0, 255)).unwrap();
    }
    bytes
}

fn samples(wav: &[u8]) -> &[u8] {
    let data = wav.windows(4).position(|four| four == b"data").expect("a WAV file has data");
    &wav[data + 8..]
}

/// What precedes `bytes` bytes of samples.
fn wav_header(bytes: usize) -> Vec<u8> {
    let bytes = u32::try_from(bytes).unwrap();
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(b"RIFF");
    header.extend_from_slice(&(bytes + HEADER as u32 - 8).to_le_bytes());
    header.extend_from_slice(b"WAVEfmt ");
    header.extend_from_slice(&16u32.to_le_bytes());
    // PCM, one channel.
    header.extend_from_slice(&[1, 0, 1, 0]);
    header.extend_from_slice(&RATE.to_le_bytes());
    header.extend_from_slice(&RATE.to_le_bytes());
    // One byte a frame, eight bits a sample.
    header.extend_from_slice(&[1, 0, 8, 0]);
    header.extend_from_slice(b"data");
    header.extend_from_slice(&bytes.to_le_bytes());
    header
}
