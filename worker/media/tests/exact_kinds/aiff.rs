//! AIFF and AIFF-C.

use scriptorium_media::{ByteSource, MemorySource, plan_chunk, probe};

use crate::support::{Studio, Uploaded, ffmpeg, in_one_go};
use crate::{STEREO, check};

#[test]
fn aiff_of_all_widths() {
    for (codec, rate) in
        [("pcm_s8", "8000"), ("pcm_s16be", "44100"), ("pcm_s24be", "48000"), ("pcm_s32be", "22050")]
    {
        let args = [&STEREO[..], &["-ar", rate]].concat();
        assert_eq!(check(codec, &args, "a.aiff", "aiff").as_deref(), Some("A reading"), "{codec}");
    }
}

#[test]
fn aiff_c_of_all_codecs() {
    for codec in ["pcm_s16le", "pcm_f32be", "pcm_f64be", "pcm_alaw", "pcm_mulaw"] {
        check(codec, &["-ar", "16000"], "a.aiff", "aiff");
    }
}

/// Cuts a file of the AIFF kind into its chunks.
fn aiff_chunks(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (mut at, mut chunks) = (12, Vec::new());
    while at + 8 <= bytes.len() {
        let size = u32::from_be_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        chunks.push((bytes[at..at + 4].to_vec(), bytes[at + 8..at + 8 + size].to_vec()));
        at += 8 + size + size % 2;
    }
    chunks
}

fn aiff_file(kind: &[u8], chunks: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut body = kind.to_vec();
    for (id, chunk) in chunks {
        body.extend(id);
        body.extend((chunk.len() as u32).to_be_bytes());
        body.extend(chunk);
        body.resize(body.len().next_multiple_of(2), 0);
    }
    [b"FORM", &(body.len() as u32).to_be_bytes()[..], &body].concat()
}

#[test]
fn aiff_with_an_offset_and_the_description_last() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(70), &[], "a.aiff");
    let expected = ffmpeg(&path);
    let mut chunks = aiff_chunks(&std::fs::read(&path).unwrap());
    chunks.sort_by_key(|(id, _)| id == b"COMM");
    let sound = chunks.iter_mut().find(|(id, _)| id == b"SSND").unwrap();
    sound.1[..4].copy_from_slice(&6u32.to_be_bytes());
    sound.1.splice(8..8, *b"offset");
    // More bytes than frames are counted.
    sound.1.extend([7; 31]);
    let source = MemorySource::new(aiff_file(b"AIFF", &chunks));
    let init = probe(&source).unwrap();
    let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
    assert_eq!(in_one_go(&source, &init, plan.frames), expected);
    // The probe waits for the chunk with the description, and for no other.
    let mut partly = Uploaded::new(source, 100_000);
    partly.missing = (1..1000).collect();
    let last = (partly.len() / 100_000) as u32;
    assert_eq!(probe(&partly).unwrap_err().missing_chunk(), Some(last));
}

#[test]
fn aiff_whose_sizes_were_never_filled_in() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(60), &["-map_metadata", "-1"], "a.aiff");
    let expected = ffmpeg(&path);
    let mut bytes = std::fs::read(&path).unwrap();
    let find = |id: &[u8]| bytes.windows(4).position(|window| window == id).unwrap();
    let (common, sound) = (find(b"COMM"), find(b"SSND"));
    for size in [[0; 4], [0xff; 4]] {
        bytes[common + 10..common + 14].fill(0);
        bytes[sound + 4..sound + 8].copy_from_slice(&size);
        let source = MemorySource::new(bytes.clone());
        let init = probe(&source).unwrap();
        assert_eq!(in_one_go(&source, &init, expected.len() as u64), expected);
    }
}
