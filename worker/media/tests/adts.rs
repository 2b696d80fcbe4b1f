//! AAC in ADTS: against ffmpeg, damaged, and mixed up with MP3.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use scriptorium_media::{ByteSource, MemorySource, plan_chunk, probe};
use support::lossy::check_lossy;
use support::muxer::adts_frames;
use support::{Noise, SIZES, Studio, check_recording, in_one_go, native, plans, tiled};

/// Decoders differ in the order of their sums.
const AAC: f32 = 1e-4;

#[test]
fn mono_at_16_khz() {
    let studio = Studio::new();
    let args = ["-b:a", "24k", "-ar", "16000", "-aac_pns", "0"];
    let (init, passages) = check_recording(&studio.convert(&studio.speech(240), &args, "a.aac"), AAC);
    assert_eq!((init.media.container.as_str(), init.media.codec.as_str()), ("adts", "aac"));
    assert!(passages.len() >= 4);
}

#[test]
fn stereo_at_44_khz() {
    let studio = Studio::new();
    let args = ["-ac", "2", "-b:a", "128k", "-ar", "44100", "-aac_pns", "0"];
    let (init, _) = check_recording(&studio.convert(&studio.speech(240), &args, "a.aac"), AAC);
    assert_eq!((init.media.channels, init.media.sample_rate), (2, 44_100));
}

#[test]
fn with_noise_substitution() {
    let studio = Studio::new();
    let args = ["-b:a", "48k", "-ar", "44100"];
    check_lossy(&studio.convert(&studio.speech(240), &args, "a.aac"), "aac", (0.15, 0.15));
}

#[test]
fn behind_a_tag_and_before_one() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(100), &["-b:a", "32k", "-aac_pns", "0"], "a.aac");
    let mut bytes = b"ID3\x03\0\0\0\0\x07\x68".to_vec();
    bytes.extend([0; 1000]);
    bytes.extend(std::fs::read(&path).unwrap());
    bytes.extend(b"TAG");
    bytes.extend([b' '; 125]);
    std::fs::write(&path, bytes).unwrap();
    let (init, _) = check_recording(&path, AAC);
    assert_eq!(init.data_start, 1010);
}

/// The header of a frame, for another length of what follows it.
fn header(frame: &[u8], body: usize, crc: bool) -> Vec<u8> {
    let len = body + if crc { 9 } else { 7 };
    let mut header = frame[..7].to_vec();
    header[1] = header[1] & 0xfe | u8::from(!crc);
    header[3] = header[3] & 0xfc | (len >> 11) as u8;
    header[4] = (len >> 3) as u8;
    header[5] = header[5] & 0x1f | (len << 5) as u8;
    if crc {
        header.extend([0x12, 0x34]);
    }
    header
}

#[test]
fn with_checksums() {
    let studio = Studio::new();
    let plain = std::fs::read(studio.convert(&studio.speech(60), &["-aac_pns", "0"], "a.aac")).unwrap();
    let with_crc: Vec<u8> = adts_frames(&plain)
        .iter()
        .flat_map(|frame| [&header(frame, frame.len() - 7, true)[..], &frame[7..]].concat())
        .collect();
    let decoded = |bytes: &[u8]| {
        let source = MemorySource::new(bytes.to_vec());
        let init = probe(&source).unwrap();
        let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
        (plan.frames, in_one_go(&source, &init, plan.frames))
    };
    assert!(decoded(&plain) == decoded(&with_crc));
}

/// HE-AAC hides its upper band in a fill element at the end of each packet, where the core's decoder ignores it.
#[test]
fn of_he_aac_the_core_is_decoded() {
    let studio = Studio::new();
    let args = ["-ar", "22050", "-aac_pns", "0"];
    let plain = std::fs::read(studio.convert(&studio.speech(60), &args, "a.aac")).unwrap();
    let mut extended = Vec::new();
    for frame in adts_frames(&plain) {
        let mut bits: Vec<bool> =
            frame[7..].iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect();
        // The end element is three ones, the last ones before the zeros that fill the byte.
        bits.truncate(bits.iter().rposition(|bit| *bit).unwrap() - 2);
        // A fill element of three bytes, of type "SBR data".
        bits.extend([true, true, false, false, false, true, true, true, true, false, true]);
        bits.extend([true, false, true, true, false, false, true, false, true, false].repeat(2));
        bits.extend([true; 3]);
        bits.resize(bits.len().next_multiple_of(8), false);
        let body: Vec<u8> = bits
            .chunks(8)
            .map(|byte| byte.iter().fold(0, |value, bit| value << 1 | u8::from(*bit)))
            .collect();
        extended.extend(header(frame, body.len(), false));
        extended.extend(body);
    }
    let (plain, extended) = (MemorySource::new(plain), MemorySource::new(extended));
    let (init, init_extended) = (probe(&plain).unwrap(), probe(&extended).unwrap());
    assert_eq!((init_extended.media.sample_rate, init_extended.media.codec.as_str()), (22_050, "aac"));
    let plan = plan_chunk(&plain, &init, 0..plain.len()).unwrap();
    let whole = in_one_go(&plain, &init, plan.frames);
    assert!(whole == in_one_go(&extended, &init_extended, plan.frames));
}

#[test]
fn what_the_decoder_cannot_is_refused_by_name() {
    let studio = Studio::new();
    let refused = |bytes: Vec<u8>| probe(&MemorySource::new(bytes)).unwrap_err().to_string();
    let surround = studio.convert(&studio.speech(10), &["-ac", "6"], "a.aac");
    assert_eq!(refused(std::fs::read(surround).unwrap()), "found AAC of 6 channels; not supported yet");
    let mut main = std::fs::read(studio.convert(&studio.speech(10), &[], "b.aac")).unwrap();
    let lengths: Vec<usize> = adts_frames(&main).iter().map(|frame| frame.len()).collect();
    let mut at = 0;
    for len in lengths {
        main[at + 2] &= 0x3f;
        at += len;
    }
    assert_eq!(refused(main), "found AAC of the Main profile; not supported yet");
}

#[test]
fn the_stream_that_begins_first_is_the_one() {
    let studio = Studio::new();
    let speech = studio.speech(20);
    let aac = std::fs::read(studio.convert(&speech, &["-b:a", "64k"], "a.aac")).unwrap();
    let mp3 =
        std::fs::read(studio.convert(&speech, &["-b:a", "64k", "-id3v2_version", "0"], "a.mp3")).unwrap();
    let container = |parts: &[&[u8]]| probe(&MemorySource::new(parts.concat())).unwrap().media.container;
    assert_eq!(container(&[&aac[100..], &mp3]), "adts");
    assert_eq!(container(&[&mp3[100..], &aac]), "mp3");
    assert_eq!(container(&[&aac[..3000], &mp3]), "adts");
    assert_eq!(container(&[&mp3[..3000], &aac]), "mp3");
}

#[test]
fn a_spoiled_stretch_stays_local() {
    let studio = Studio::new();
    let path =
        studio.convert(&studio.speech(240), &["-b:a", "48k", "-ar", "22050", "-aac_pns", "0"], "a.aac");
    let sound = std::fs::read(&path).unwrap();
    let mut hurt = sound.clone();
    let mut noise = Noise(7);
    let (from, len) = (sound.len() / 2, 60_000);
    for byte in &mut hurt[from..from + len] {
        *byte = noise.next(127).rem_euclid(256) as u8;
    }
    let (sound, hurt) = (MemorySource::new(sound), MemorySource::new(hurt));
    let init = probe(&sound).unwrap();
    assert_eq!(probe(&hurt).unwrap(), init);
    let whole = plan_chunk(&sound, &init, 0..sound.len()).unwrap();
    let plan = plan_chunk(&hurt, &init, 0..hurt.len()).unwrap();
    let rate = i64::from(init.media.sample_rate);
    // The bit rate varies, so the length of what was lost is an estimate.
    assert!(plan.frames.abs_diff(whole.frames) < 2 * rate as u64, "{} of {}", plan.frames, whole.frames);
    let expected = tiled(std::slice::from_ref(&plan));
    for size in SIZES {
        assert_eq!(tiled(&plans(&hurt, &init, size)), expected, "chunks of {size} bytes");
    }
    assert_eq!(plan.damaged.len(), 1);
    let before = in_one_go(&sound, &init, whole.frames);
    let after: Vec<f32> = expected.iter().flat_map(|passage| native(&hurt, &init, passage)).collect();
    // The last frame before it is cut off, and the first one after it has nothing to overlap with.
    let (start, end) = (plan.damaged[0].start as usize - 2048, plan.damaged[0].end as usize + 2048);
    assert!(before[..start] == after[..start], "sound before the damage changed");
    let rest = after.len() - end;
    assert!(before[before.len() - rest..] == after[end..], "sound after the damage changed");
}
