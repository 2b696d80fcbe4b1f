//! Matroska and WebM: all codecs against ffmpeg, as recorders and browsers write them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::{Path, PathBuf};

use scriptorium_media::{ByteSource, InitSection, MediaError, MemorySource, ReadError, plan_chunk, probe};
use support::lossy::check_lossy;
use support::muxer::{Lacing, Muxer, adts_frames};
use support::{Noise, SIZES, Studio, Uploaded, check_recording, chunks, ffmpeg, load, plans, tiled};

/// Decoders differ in the order of their sums.
const FLOAT: f32 = 1e-4;
/// Two channels that differ.
const STEREO: [&str; 2] = ["-af", "aformat=channel_layouts=mono,pan=stereo|c0=c0|c1=0.6*c0,adelay=0|7"];
/// ffmpeg rounds what libopus makes to 16 bits; SILK, which never forgets, sounds a little different after a restart.
const OPUS: (f64, f64) = (1e-3, 0.05);

fn arguments<'a>(parts: &[&[&'a str]]) -> Vec<&'a str> {
    parts.concat()
}

fn names(init: &InitSection) -> (&str, &str, u32, u32) {
    (&init.media.container, &init.media.codec, init.media.sample_rate, init.media.channels)
}

#[test]
fn webm_with_opus_mono() {
    let studio = Studio::new();
    let args = ["-c:a", "libopus", "-b:a", "24k", "-metadata", "title=A reading"];
    let (init, passages) =
        check_lossy(&studio.convert(&studio.speech(240), &args, "a.webm"), "libopus", OPUS);
    assert_eq!(names(&init), ("webm", "opus", 48_000, 1));
    assert_eq!((init.trim.start, init.media.title.as_deref()), (312, Some("A reading")));
    assert!(passages.len() >= 4);
}

#[test]
fn webm_with_opus_stereo() {
    let studio = Studio::new();
    let args = arguments(&[&STEREO, &["-c:a", "libopus", "-b:a", "96k", "-frame_duration", "60"]]);
    let (init, _) = check_lossy(&studio.convert(&studio.speech(120), &args, "a.webm"), "libopus", OPUS);
    assert_eq!(names(&init), ("webm", "opus", 48_000, 2));
}

#[test]
fn webm_with_vorbis() {
    let studio = Studio::new();
    let args = arguments(&[&STEREO, &["-c:a", "libvorbis", "-q:a", "3", "-ar", "44100"]]);
    let (init, _) = check_recording(&studio.convert(&studio.speech(120), &args, "a.webm"), FLOAT);
    assert_eq!(names(&init), ("webm", "vorbis", 44_100, 2));
}

#[test]
fn matroska_with_aac() {
    let studio = Studio::new();
    let args = arguments(&[&STEREO, &["-c:a", "aac", "-b:a", "96k", "-ar", "44100", "-aac_pns", "0"]]);
    let (init, _) = check_recording(&studio.convert(&studio.speech(120), &args, "a.mka"), FLOAT);
    assert_eq!(names(&init), ("matroska", "aac", 44_100, 2));
}

#[test]
fn matroska_with_mp3() {
    let studio = Studio::new();
    let args = ["-c:a", "libmp3lame", "-b:a", "64k", "-ar", "44100"];
    let (init, _) = check_recording(&studio.convert(&studio.speech(240), &args, "a.mka"), FLOAT);
    assert_eq!(names(&init), ("matroska", "mp3", 44_100, 1));
}

#[test]
fn matroska_with_flac() {
    let studio = Studio::new();
    let args = arguments(&[&STEREO, &["-c:a", "flac", "-ar", "48000"]]);
    let (init, _) = check_recording(&studio.convert(&studio.speech(70), &args, "a.mka"), 0.0);
    assert_eq!(names(&init), ("matroska", "flac", 48_000, 2));
}

#[test]
fn matroska_with_pcm() {
    let studio = Studio::new();
    for codec in ["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_f64le"] {
        let args = arguments(&[&STEREO, &["-c:a", codec, "-ar", "16000"]]);
        let (init, _) = check_recording(&studio.convert(&studio.speech(70), &args, "a.mka"), 0.0);
        assert_eq!(names(&init), ("matroska", codec, 16_000, 2));
    }
}

/// A recording with moving pictures.
fn video(studio: &Studio, seconds: u32, sound: &[&str], picture: &[&str], name: &str) -> PathBuf {
    let source = format!("testsrc2=size=480x360:rate=10:duration={seconds}");
    let streams = ["-f", "lavfi", "-i", &source, "-map", "1:v", "-map", "0:a", "-shortest"];
    studio.convert(&studio.speech(seconds), &[&streams, picture, sound].concat(), name)
}

#[test]
fn webm_with_vp8_and_vorbis() {
    let studio = Studio::new();
    let picture = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "1M"];
    let path = video(&studio, 70, &["-c:a", "libvorbis"], &picture, "a.webm");
    let (init, _) = check_recording(&path, FLOAT);
    assert_eq!(names(&init).1, "vorbis");
}

#[test]
fn webm_with_vp9_and_opus() {
    let studio = Studio::new();
    let picture = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "500k"];
    let path = video(&studio, 70, &["-c:a", "libopus", "-b:a", "32k"], &picture, "a.webm");
    check_lossy(&path, "libopus", OPUS);
    let silent = studio.convert(&path, &["-an", "-c:v", "copy"], "b.webm");
    assert_eq!(
        probe(&load(&silent)).unwrap_err(),
        MediaError::NotAudio { found: "a video without sound".into() }
    );
}

/// Pictures so large that the blocks of sound lie megabytes apart, in one cluster.
#[test]
fn sound_between_large_pictures() {
    let studio = Studio::new();
    let source = "testsrc2=size=1100x800:rate=1/4:duration=60";
    let streams =
        ["-f", "lavfi", "-i", source, "-map", "1:v", "-map", "0:a", "-shortest", "-c:v", "rawvideo"];
    let args = arguments(&[
        &streams,
        &["-pix_fmt", "yuv420p", "-c:a", "libvorbis"],
        &["-cluster_size_limit", "100M", "-cluster_time_limit", "30000"],
    ]);
    let path = studio.convert(&studio.speech(60), &args, "a.mkv");
    assert!(std::fs::metadata(&path).unwrap().len() > 15_000_000);
    let source = load(&path);
    let init = probe(&source).unwrap();
    let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
    let judge = ffmpeg(&path);
    assert_eq!(plan.frames, judge.len() as u64);
    let samples = support::in_one_go(&source, &init, plan.frames);
    assert!(support::largest_difference(&samples, &judge) < FLOAT);
    let passages = tiled(std::slice::from_ref(&plan));
    assert_eq!(tiled(&plans(&source, &init, 1_000_003)), passages);
}

#[test]
fn small_clusters_and_live_ones() {
    let studio = Studio::new();
    let speech = studio.speech(120);
    let opus = ["-c:a", "libopus", "-b:a", "48k"];
    let vorbis = ["-c:a", "libvorbis", "-b:a", "48k"];
    let small = arguments(&[&vorbis, &["-cluster_size_limit", "4000"]]);
    check_recording(&studio.convert(&speech, &small, "a.webm"), FLOAT);
    let long = arguments(&[&vorbis, &["-cluster_size_limit", "50M", "-cluster_time_limit", "32000"]]);
    check_recording(&studio.convert(&speech, &long, "b.webm"), FLOAT);
    // A segment of unknown size, no duration, no index.
    let live = arguments(&[&opus, &["-live", "1"]]);
    let path = studio.convert(&speech, &live, "c.webm");
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.windows(12).any(|w| w == b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff"));
    check_lossy(&path, "libopus", OPUS);
}

#[test]
fn the_default_track_of_two_is_heard() {
    let studio = Studio::new();
    let tone = [
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=500:sample_rate=22050:duration=60",
        "-map",
        "1:a",
        "-map",
        "0:a",
    ];
    let codecs =
        ["-c:a:0", "pcm_s16le", "-c:a:1", "flac", "-disposition:a:0", "0", "-disposition:a:1", "default"];
    let both = studio.convert(&studio.speech(60), &arguments(&[&tone, &codecs]), "a.mka");
    let one = studio.convert(&both, &["-map", "0:a:1", "-c", "copy"], "b.mka");
    let source = load(&both);
    let init = probe(&source).unwrap();
    assert_eq!(names(&init).1, "flac");
    let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
    let samples = support::in_one_go(&source, &init, plan.frames);
    assert!(samples == ffmpeg(&one));
}

/// AAC packets for the muxer.
fn aac_packets(studio: &Studio, seconds: u32) -> Vec<Vec<u8>> {
    let args = ["-b:a", "32k", "-ar", "22050", "-aac_pns", "0"];
    let bytes = std::fs::read(studio.convert(&studio.speech(seconds), &args, "a.aac")).unwrap();
    adts_frames(&bytes).iter().map(|frame| frame[7..].to_vec()).collect()
}

/// AAC-LC at 22.05 kHz, mono.
fn aac_muxer() -> Muxer {
    Muxer::new("A_AAC", &[0x13, 0x88], 22_050.0, 1)
}

fn write(studio: &Studio, name: &str, bytes: &[u8]) -> PathBuf {
    let path = studio.path(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn lacing_of_all_three_kinds() {
    let studio = Studio::new();
    let packets = aac_packets(&studio, 70);
    for (lacing, sized) in [(Lacing::Xiph, true), (Lacing::Ebml, true), (Lacing::Ebml, false)] {
        let mut muxer = aac_muxer();
        for (index, laced) in packets.chunks(8).enumerate() {
            if index % 20 == 0 {
                muxer.cluster(index as u64 * 8 * 1024 * 1000 / 22_050, sized);
            }
            muxer.block(laced, lacing, index % 3 == 0, (index % 20) as u64 * 8 * 1024 * 1000 / 22_050);
        }
        check_recording(&write(&studio, "a.mka", &muxer.finish()), FLOAT);
    }
    // Packets of equal lengths, 10 ms each.
    let mut pcm = Muxer::new("A_PCM/INT/LIT", &[], 8_000.0, 1);
    let mut noise = Noise(5);
    for block in 0..1_500u64 {
        if block % 250 == 0 {
            pcm.cluster(block * 40, true);
        }
        let packets: Vec<Vec<u8>> = (0..4)
            .map(|_| (0..80).flat_map(|_| (noise.next(9_000) as i16).to_le_bytes()).collect())
            .collect();
        pcm.block(&packets, Lacing::Fixed, false, block % 250 * 40);
    }
    check_recording(&write(&studio, "b.mka", &pcm.finish()), 0.0);
}

#[test]
fn packets_without_their_beginning() {
    let studio = Studio::new();
    let packets = aac_packets(&studio, 60);
    let common = packets[1][..1].to_vec();
    let alike: Vec<&Vec<u8>> = packets.iter().filter(|packet| packet.starts_with(&common)).collect();
    assert!(alike.len() > packets.len() / 4);
    let muxed = |prefix: &[u8]| {
        let mut muxer = aac_muxer();
        muxer.prefix(prefix);
        muxer.cluster(0, true);
        for (index, packet) in alike.iter().enumerate() {
            let at = index as u64 * 1024 * 1000 / 22_050;
            if index % 600 == 599 {
                muxer.cluster(at, true);
            }
            muxer.block(
                &[packet[prefix.len()..].to_vec()],
                Lacing::None,
                false,
                at % (600 * 1024 * 1000 / 22_050),
            );
        }
        muxer.finish()
    };
    let decoded = |bytes: Vec<u8>| {
        let source = MemorySource::new(bytes);
        let init = probe(&source).unwrap();
        let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
        support::in_one_go(&source, &init, plan.frames)
    };
    assert!(decoded(muxed(&common)) == decoded(muxed(&[])));
}

#[test]
fn a_pause_of_the_recorder_is_silence_and_no_damage() {
    let studio = Studio::new();
    let packets = aac_packets(&studio, 90);
    let mut muxer = aac_muxer();
    let half = packets.len() / 2;
    muxer.cluster(0, false);
    let mut cluster = 0;
    for (index, packet) in packets.iter().enumerate() {
        let at = index as u64 * 1024 * 1000 / 22_050 + if index < half { 0 } else { 7_000 };
        if at - cluster > 5_000 && index != half {
            muxer.cluster(at, false);
            cluster = at;
        }
        muxer.block(std::slice::from_ref(packet), Lacing::None, false, at - cluster);
    }
    let source = MemorySource::new(muxer.finish());
    let init = probe(&source).unwrap();
    let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
    assert_eq!(plan.damaged, []);
    let expected = packets.len() as u64 * 1024 + 7 * 22_050;
    assert!(plan.frames.abs_diff(expected) < 50, "{} of {expected}", plan.frames);
    let passages = tiled(std::slice::from_ref(&plan));
    for size in SIZES {
        assert_eq!(tiled(&plans(&source, &init, size)), passages, "chunks of {size} bytes");
    }
    let samples = support::in_one_go(&source, &init, plan.frames);
    let from = half * 1024;
    assert!(samples[from..from + 7 * 22_050 - 50].iter().all(|sample| *sample == 0.0));
    assert!(samples[from + 8 * 22_050..].iter().any(|sample| *sample != 0.0));
}

#[test]
fn a_plan_names_the_chunks_it_needs() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(200), &["-c:a", "libopus", "-b:a", "64k"], "a.webm");
    let whole = load(&path);
    let size = 100_000;
    let mut first = Uploaded::new(whole.clone(), 20_000);
    first.missing = (1..1000).collect();
    let init = probe(&first).unwrap();
    assert!((190.0..215.0).contains(&init.media.duration_seconds.unwrap()));
    for chunk in chunks(whole.len(), size).into_iter().step_by(3) {
        let expected = plan_chunk(&whole, &init, chunk.clone()).unwrap();
        let mut source = Uploaded::new(whole.clone(), size);
        source.missing = (0..whole.len().div_ceil(size) as u32).collect();
        let plan = loop {
            match plan_chunk(&source, &init, chunk.clone()) {
                Err(MediaError::Read(ReadError::Missing { chunk })) => {
                    source.missing.retain(|missing| *missing != chunk);
                }
                other => break other.unwrap(),
            }
        };
        assert_eq!(plan, expected);
        // W before, and W and a window after the last anchor: 64 kbit/s are 8 000 bytes a second.
        let reach = source.reach();
        assert!(chunk.start.saturating_sub(reach.start) < 40 * 9_000 + 2 * 256 * 1024);
        assert!(reach.end.saturating_sub(chunk.end) < 150 * 9_000 + 2 * 256 * 1024);
    }
}

#[test]
fn what_is_not_decoded_is_named() {
    let studio = Studio::new();
    let refused = |path: &Path| probe(&load(path)).unwrap_err().to_string();
    let surround = ["-ac", "6", "-c:a", "libopus"];
    let path = studio.convert(&studio.speech(5), &surround, "a.webm");
    assert_eq!(refused(&path), "found Opus of 6 channels; not supported yet");
    let path = studio.convert(&studio.speech(5), &["-c:a", "ac3"], "a.mka");
    assert_eq!(refused(&path), "found a Matroska or WebM file with AC-3 inside; not supported yet");
    let bytes = std::fs::read(&path).unwrap();
    assert!(probe(&MemorySource::new(bytes[..60].to_vec())).is_err());
}
