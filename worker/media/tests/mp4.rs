//! MP4, M4A and QuickTime: index first, last or in fragments; alone and between pictures.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;

use scriptorium_media::{ByteSource, InitSection, Layout, PassagePlan, plan_chunk, probe};
use support::{
    SIZES, Studio, check_recording, ffmpeg, in_one_go, largest_difference, load, native, plans, tiled,
};

/// AAC and MP3 decoders differ in the order of their sums.
const LOSSY: f32 = 2e-4;
/// AAC without noise substitution, whose noise each decoder makes for itself.
const AAC: [&str; 4] = ["-c:a", "aac", "-aac_pns", "0"];
/// Two channels that differ.
const STEREO: [&str; 2] = ["-af", "aformat=channel_layouts=mono,pan=stereo|c0=c0|c1=0.6*c0,adelay=0|7"];

fn with<'a>(parts: &[&[&'a str]]) -> Vec<&'a str> {
    parts.concat()
}

/// Pictures beside the sound, as the second input.
const PICTURES: [&str; 8] =
    ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-map", "0:a", "-map", "1:v"];

#[test]
fn aac_with_the_index_first_and_last() {
    let studio = Studio::new();
    let speech = studio.speech(240);
    let title = ["-metadata", "title=Ein Gespräch", "-ar", "44100"];
    let last = studio.convert(&speech, &with(&[&AAC, &title]), "last.m4a");
    let first = studio.convert(&speech, &with(&[&AAC, &title, &["-movflags", "faststart"]]), "first.m4a");
    let (init, passages) = check_recording(&last, LOSSY);
    assert!(passages.len() >= 4);
    assert_eq!(
        (init.media.container.as_str(), init.media.codec.as_str(), init.media.title.as_deref()),
        ("m4a", "aac", Some("Ein Gespräch"))
    );
    let (other, same) = check_recording(&first, LOSSY);
    assert!(other.data_start > init.data_start);
    assert_eq!(same.len(), passages.len());
}

#[test]
fn aac_from_8_to_48_khz_mono_and_stereo() {
    let studio = Studio::new();
    let speech = studio.speech(100);
    for rate in ["8000", "16000", "48000"] {
        let path = studio.convert(&speech, &with(&[&AAC, &["-ar", rate]]), "mono.m4a");
        check_recording(&path, LOSSY);
    }
    for rate in ["11025", "32000", "48000"] {
        let path = studio.convert(&speech, &with(&[&STEREO, &AAC, &["-ar", rate]]), "stereo.m4a");
        let (init, _) = check_recording(&path, LOSSY);
        assert_eq!((init.media.channels, init.media.sample_rate.to_string()), (2, rate.to_owned()));
    }
}

#[test]
fn aac_in_fragments() {
    let studio = Studio::new();
    let speech = studio.speech(150);
    for flags in [
        &["-movflags", "frag_keyframe+empty_moov", "-frag_duration", "2000000"][..],
        &["-movflags", "empty_moov", "-frag_duration", "500000"],
        &["-movflags", "empty_moov+default_base_moof", "-frag_duration", "30000000"],
        &["-movflags", "empty_moov+skip_trailer", "-frag_duration", "20000"],
        &["-movflags", "empty_moov", "-frag_duration", "1000000000"],
        // The first samples stand in the index.
        &["-movflags", "frag_keyframe", "-frag_duration", "20000000"],
    ] {
        let path = studio.convert(&speech, &with(&[&AAC, &["-ar", "44100"], flags]), "a.mp4");
        let (init, passages) = check_recording(&path, LOSSY);
        assert!(matches!(init.layout, Layout::Mp4Fragments { .. }), "{flags:?}");
        assert!(passages.len() >= 3, "{flags:?}");
        let stored = serde_json::to_string(&init).unwrap();
        assert!(stored.len() < 5_000);
        assert_eq!(serde_json::from_str::<InitSection>(&stored).unwrap(), init);
    }
}

#[test]
fn sound_between_pictures() {
    let studio = Studio::new();
    let speech = studio.speech(100);
    let common = with(&[&PICTURES, &["-shortest", "-ar", "48000"], &AAC]);
    for (video, flags) in [
        (&["-c:v", "libx264", "-preset", "ultrafast", "-b:v", "1M"][..], &[][..]),
        (&["-c:v", "mpeg4", "-b:v", "2M"], &["-movflags", "faststart"]),
        (&["-c:v", "libx264", "-preset", "veryfast", "-g", "50"], &["-movflags", "frag_keyframe+empty_moov"]),
        (&["-c:v", "mpeg4", "-g", "100"], &["-movflags", "frag_keyframe+empty_moov+default_base_moof"]),
        (&["-c:v", "mpeg4", "-g", "250"], &["-movflags", "frag_keyframe"]),
    ] {
        let path = studio.convert(&speech, &with(&[&common, video, flags]), "a.mp4");
        let (init, passages) = check_recording(&path, LOSSY);
        assert_eq!((init.media.container.as_str(), init.media.codec.as_str()), ("mp4", "aac"));
        assert!(passages.len() >= 2);
    }
}

#[test]
fn apple_lossless() {
    let studio = Studio::new();
    let speech = studio.speech(120);
    for args in [
        with(&[&["-c:a", "alac", "-ar", "16000"]]),
        with(&[&STEREO, &["-c:a", "alac", "-ar", "48000"]]),
        with(&[&STEREO, &["-c:a", "alac", "-sample_fmt", "s32p", "-ar", "44100"]]),
        with(&[&["-c:a", "alac", "-movflags", "frag_keyframe+empty_moov", "-frag_duration", "3000000"]]),
    ] {
        let (init, _) = check_recording(&studio.convert(&speech, &args, "a.m4a"), 0.0);
        assert_eq!(init.media.codec, "alac");
    }
    check_recording(&studio.convert(&speech, &["-c:a", "alac", "-ar", "44100"], "a.mov"), 0.0);
}

#[test]
fn pcm_in_quicktime() {
    let studio = Studio::new();
    let speech = studio.speech(70);
    for codec in [
        "pcm_s8",
        "pcm_u8",
        "pcm_s16le",
        "pcm_s16be",
        "pcm_s24le",
        "pcm_s24be",
        "pcm_s32le",
        "pcm_s32be",
        "pcm_f32le",
        "pcm_f32be",
        "pcm_f64le",
        "pcm_f64be",
        "pcm_alaw",
        "pcm_mulaw",
    ] {
        let path = studio.convert(&speech, &with(&[&STEREO, &["-c:a", codec]]), "a.mov");
        let (init, _) = check_recording(&path, 0.0);
        assert_eq!((init.media.container.as_str(), init.media.codec.as_str()), ("mov", codec));
    }
    let pictures = with(&[&PICTURES, &["-shortest", "-c:v", "mpeg4", "-c:a", "pcm_s16le", "-ar", "48000"]]);
    check_recording(&studio.convert(&speech, &pictures, "b.mov"), 0.0);
}

#[test]
fn other_codecs_in_mp4() {
    let studio = Studio::new();
    let speech = studio.speech(120);
    let mp3 = studio.convert(&speech, &["-c:a", "libmp3lame", "-b:a", "64k", "-ar", "44100"], "mp3.mp4");
    assert_eq!(check_recording(&mp3, LOSSY).0.media.codec, "mp3");
    let mp3 = studio.convert(&speech, &["-c:a", "libmp3lame", "-b:a", "32k"], "mp3.mov");
    assert_eq!(check_recording(&mp3, LOSSY).0.media.codec, "mp3");
    let flac = studio.convert(&speech, &["-c:a", "flac", "-strict", "-2"], "flac.mp4");
    assert_eq!(check_recording(&flac, 0.0).0.media.codec, "flac");
}

/// As an AAC decoder, that of Opus is followed from a fixed packet on; what one go makes of it differs in the last digits.
#[test]
fn opus_in_mp4() {
    let studio = Studio::new();
    let args = ["-c:a", "libopus", "-strict", "-2", "-ar", "48000"];
    let path = studio.convert(&studio.speech(120), &args, "a.mp4");
    check_nearly(&path, 0.02);
}

/// ffmpeg's own AAC substitutes noise, which no two decoders make alike.
#[test]
fn aac_with_noise_substitution() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(120), &["-c:a", "aac", "-b:a", "24k", "-ar", "44100"], "a.m4a");
    check_nearly(&path, 0.3);
}

/// For codecs whose decoders remember: the same passages for all chunk sizes, the number of frames that ffmpeg gives, the
/// same samples whoever decodes a passage, and a bounded error against ffmpeg (root of the mean square, against the
/// sound's own).
fn check_nearly(path: &Path, bound: f64) {
    let source = load(path);
    let init = probe(&source).unwrap();
    let judge = ffmpeg(path);
    let all = plan_chunk(&source, &init, 0..source.len()).unwrap();
    assert_eq!(all.frames, judge.len() as u64 / u64::from(init.media.channels));
    let expected = tiled(std::slice::from_ref(&all));
    for size in SIZES {
        assert_eq!(tiled(&plans(&source, &init, size)), expected, "chunks of {size} bytes");
    }
    let ours: Vec<f32> = expected.iter().flat_map(|passage| native(&source, &init, passage)).collect();
    let energy = |samples: &mut dyn Iterator<Item = f32>| samples.map(|x| f64::from(x).powi(2)).sum::<f64>();
    let error = energy(&mut ours.iter().zip(&judge).map(|(a, b)| a - b));
    let error = (error / energy(&mut judge.iter().copied())).sqrt();
    assert!(error < bound, "an error of {error}");
    let alone = expected[expected.len() / 2];
    let from: u64 = expected[..expected.len() / 2].iter().map(PassagePlan::frames).sum();
    let (from, len) = (from as usize, alone.frames() as usize);
    assert!(native(&source, &init, &alone) == ours[from..from + len]);
}

/// Fragments with an edit list: the specification drops the encoder's delay, which ffmpeg keeps.
#[test]
fn fragments_with_an_edit_list_and_a_segment_index() {
    let studio = Studio::new();
    let flags = ["-movflags", "empty_moov+delay_moov+dash+global_sidx", "-frag_duration", "2000000"];
    let path = studio.convert(&studio.speech(60), &with(&[&AAC, &["-ar", "44100"], &flags]), "a.mp4");
    let (source, judge) = (load(&path), ffmpeg(&path));
    let init = probe(&source).unwrap();
    let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
    assert_eq!(plan.frames as usize, judge.len() - 1024);
    assert!((init.media.duration_seconds.unwrap() - judge.len() as f64 / 44_100.0).abs() < 0.05);
    let expected = tiled(std::slice::from_ref(&plan));
    for size in SIZES {
        assert_eq!(tiled(&plans(&source, &init, size)), expected, "chunks of {size} bytes");
    }
    assert!(largest_difference(&in_one_go(&source, &init, plan.frames), &judge[1024..]) <= LOSSY);
}
