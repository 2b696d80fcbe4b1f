//! The rarer kinds of WAVE, Wave64 and AU.

use scriptorium_media::{MemorySource, probe};

use crate::support::{Studio, check_recording, ffmpeg, in_one_go};
use crate::{MP3, STEREO, check};

#[test]
fn wav_companded() {
    for codec in ["pcm_alaw", "pcm_mulaw"] {
        let args = [&STEREO[..], &["-ar", "8000"]].concat();
        assert_eq!(check(codec, &args, "a.wav", "wav").as_deref(), Some("A reading"));
    }
}

#[test]
fn wav_big_endian() {
    let studio = Studio::new();
    let path =
        studio.convert(&studio.speech(70), &["-c:a", "pcm_s24le", "-metadata", "title=A reading"], "a.wav");
    let expected = ffmpeg(&path);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[3] = b'X';
    let mut at = 12;
    while at < bytes.len() {
        let size = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        bytes[at + 4..at + 8].reverse();
        let id = bytes[at..at + 4].to_vec();
        let body = &mut bytes[at + 8..at + 8 + size];
        match &id[..] {
            b"fmt " => {
                // WAVEFORMATEX fields: two words, two long words, words again; the sub-format's tag stands at 24.
                for word in [0, 2, 12, 14, 24].into_iter().filter(|word| word + 2 <= size) {
                    body[word..word + 2].reverse();
                }
                body[4..8].reverse();
            }
            b"LIST" => {
                let mut at = 4;
                while at + 8 <= size {
                    let entry = u32::from_le_bytes(body[at + 4..at + 8].try_into().unwrap()) as usize;
                    body[at + 4..at + 8].reverse();
                    at += 8 + entry + entry % 2;
                }
            }
            b"data" => body.chunks_exact_mut(3).for_each(<[u8]>::reverse),
            _ => {}
        }
        at += 8 + size + size % 2;
    }
    let source = MemorySource::new(bytes);
    let init = probe(&source).unwrap();
    assert_eq!((init.media.codec.as_str(), init.media.title.as_deref()), ("pcm_s24be", Some("A reading")));
    assert_eq!(in_one_go(&source, &init, expected.len() as u64), expected);
}

#[test]
fn wav_with_mp3_inside() {
    let studio = Studio::new();
    let args = ["-c:a", "libmp3lame", "-b:a", "64k", "-ar", "44100"];
    let (init, _) = check_recording(&studio.convert(&studio.speech(120), &args, "a.wav"), MP3);
    assert_eq!((init.media.container.as_str(), init.media.codec.as_str()), ("wav", "mp3"));
}

#[test]
fn wave64_and_au() {
    for codec in ["pcm_s16le", "pcm_f32le", "pcm_mulaw"] {
        check(codec, &STEREO, "a.w64", "w64");
    }
    for codec in
        ["pcm_s8", "pcm_s16be", "pcm_s24be", "pcm_s32be", "pcm_f32be", "pcm_f64be", "pcm_alaw", "pcm_mulaw"]
    {
        check(codec, &["-ar", "11025"], "a.au", "au");
    }
}
