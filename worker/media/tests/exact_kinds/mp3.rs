//! MP3 behind an APE tag, with a VBRI header, and with a change of channels.

use std::path::{Path, PathBuf};

use scriptorium_media::{ByteSource, MemorySource, plan_chunk, probe};

use crate::support::{Studio, check_recording, ffmpeg, in_one_go, largest_difference, load, plans, tiled};
use crate::{MP3, STEREO};

/// Frames alone: neither tags nor the encoder's frame.
const BARE: [&str; 4] = ["-write_xing", "0", "-id3v2_version", "0"];

#[test]
fn mp3_behind_an_ape_tag() {
    let studio = Studio::new();
    let args = [&["-b:a", "64k", "-ar", "44100"], &BARE[..]].concat();
    let sound = read(&studio.convert(&studio.speech(60), &args, "a.mp3"));
    // Version 2, size without the header, one item, flags: has a header, is the header.
    let mut bytes = b"APETAGEX\xd0\x07\0\0".to_vec();
    let body = [&b"\0\0\x02\0\x02\0\0\0Cover Art\0"[..], &[0xff, 0xfb].repeat(65_536)].concat();
    bytes.extend((body.len() as u32 + 32).to_le_bytes());
    bytes.extend(b"\x01\0\0\0\0\0\0\xa0\0\0\0\0\0\0\0\0");
    bytes.extend(&body);
    bytes.extend(b"APETAGEX\xd0\x07\0\0");
    bytes.extend((body.len() as u32 + 32).to_le_bytes());
    bytes.extend(b"\x01\0\0\0\0\0\0\x80\0\0\0\0\0\0\0\0");
    let start = bytes.len() as u64;
    bytes.extend(&sound);
    let source = MemorySource::new(bytes);
    let init = probe(&source).unwrap();
    assert_eq!(init.data_start, start);
    let bare = MemorySource::new(sound);
    let plan = plan_chunk(&bare, &probe(&bare).unwrap(), 0..bare.len()).unwrap();
    assert_eq!(plan_chunk(&source, &init, 0..source.len()).unwrap().frames, plan.frames);
}

#[test]
fn mp3_with_a_vbri_header() {
    let studio = Studio::new();
    let args = [&["-b:a", "64k", "-ar", "44100"], &BARE[..]].concat();
    let sound = read(&studio.convert(&studio.speech(60), &args, "a.mp3"));
    let frames = probe_frames(&sound) / 1152;
    let mut tag = vec![0; 208];
    tag[..4].copy_from_slice(&sound[..4]);
    tag[2] &= !2;
    tag[36..46].copy_from_slice(b"VBRI\0\x01\x09\x11\0\x4b");
    tag[46..50].copy_from_slice(&(sound.len() as u32 + 208).to_be_bytes());
    tag[50..54].copy_from_slice(&(frames as u32).to_be_bytes());
    let path = write(&studio, "vbri.mp3", [tag, sound].concat());
    let (init, _) = check_recording(&path, MP3);
    assert_eq!((init.data_start, init.trim.start), (208, 0));
}

fn probe_frames(bytes: &[u8]) -> u64 {
    let source = MemorySource::new(bytes.to_vec());
    plan_chunk(&source, &probe(&source).unwrap(), 0..source.len()).unwrap().frames
}

#[test]
fn mp3_that_changes_from_mono_to_stereo_and_back() {
    let studio = Studio::new();
    let speech = studio.speech(40);
    let mono = [&["-ac", "1", "-b:a", "64k", "-ar", "44100"], &BARE[..]].concat();
    let stereo = [&STEREO[..], &["-b:a", "96k", "-ar", "44100"], &BARE[..]].concat();
    let mono = read(&studio.convert(&speech, &mono, "mono.mp3"));
    let stereo = read(&studio.convert(&speech, &stereo, "stereo.mp3"));
    for (name, parts) in [("a.mp3", [&mono, &stereo, &mono]), ("b.mp3", [&stereo, &mono, &stereo])] {
        let path = write(&studio, name, parts.map(Vec::as_slice).concat());
        let source = load(&path);
        let init = probe(&source).unwrap();
        let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
        let passages = tiled(std::slice::from_ref(&plan));
        for size in [20_000, 100_003] {
            assert_eq!(tiled(&plans(&source, &init, size)), passages);
        }
        assert_eq!(plan.frames, parts.map(|part| probe_frames(part)).iter().sum::<u64>());
        let ours = in_one_go(&source, &init, plan.frames);
        let channels = init.media.channels as usize;
        let mut start = 0;
        for part in parts {
            let own = ffmpeg(&write(&studio, "part.mp3", part.clone()));
            let own: Vec<f32> =
                match (channels, probe(&MemorySource::new(part.clone())).unwrap().media.channels) {
                    (1, 2) => own.chunks_exact(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect(),
                    (2, 1) => own.iter().flat_map(|sample| [*sample; 2]).collect(),
                    _ => own,
                };
            // Away from the switches, where a decoder starts afresh.
            let inner = 20_000..own.len() - 20_000;
            let ours = &ours[start + inner.start..start + inner.end];
            assert!(largest_difference(ours, &own[inner]) < MP3, "from {start} on in {name}");
            start += own.len();
        }
    }
}

fn write(studio: &Studio, name: &str, bytes: Vec<u8>) -> PathBuf {
    let path = studio.path(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}
