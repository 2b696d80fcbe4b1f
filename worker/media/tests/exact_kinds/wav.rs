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

/// Programs that die leave a size that was right some time before; what stands behind true sizes is a chunk.
#[test]
fn wav_whose_size_is_too_small() {
    let studio = Studio::new();
    let whole = std::fs::read(studio.convert(&studio.speech(60), &["-ar", "16000"], "a.wav")).unwrap();
    let data = whole.windows(4).position(|id| id == b"data").unwrap() + 8;
    let size = (whole.len() - data) as u32;
    let seconds =
        |bytes: &[u8]| probe(&MemorySource::new(bytes.to_vec())).unwrap().media.duration_seconds.unwrap();
    let expected = seconds(&whole);
    for told in [size / 2, size / 2 + 1, size / 3] {
        let mut early = whole.clone();
        early[data - 4..data].copy_from_slice(&told.to_le_bytes());
        assert_eq!(seconds(&early), expected, "{told} of {size} bytes");
    }
    let mut tagged = whole.clone();
    for (id, len) in [(b"bext", 602u32), (b"id3 ", 300_001)] {
        tagged.extend(id);
        tagged.extend(len.to_le_bytes());
        tagged.resize(tagged.len() + len.next_multiple_of(2) as usize, 7);
    }
    assert_eq!(seconds(&tagged), expected, "chunks behind the audio");
    // The padding of the last chunk is often left out.
    assert_eq!(seconds(&tagged[..tagged.len() - 1]), expected);
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
