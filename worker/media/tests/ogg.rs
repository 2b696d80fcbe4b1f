//! Ogg with Opus, Vorbis and FLAC, chained and multiplexed: exact wherever a chunk begins, and ffmpeg's count of frames.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;
use std::process::Command;

use scriptorium_media::{ByteSource, Codec, InitSection, PassagePlan, plan_chunk, probe};
use support::{SIZES, Studio, check_recording, in_one_go, largest_difference, load, native, plans, tiled};

/// Two channels that differ.
const STEREO: [&str; 2] = ["-af", "aformat=channel_layouts=mono,pan=stereo|c0=c0|c1=0.6*c0,adelay=0|7"];
/// Vorbis decoders differ in the order of their sums.
const VORBIS: f32 = 1e-4;
/// A decoder that writes 16 bits rounds.
const OPUS: f32 = 1.1 / 32_768.0;

fn arguments<'a>(parts: &[&[&'a str]]) -> Vec<&'a str> {
    parts.concat()
}

/// What libopus makes of a recording: the reference decoder, and the one that is used here.
fn libopus(path: &Path) -> Vec<f32> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-c:a", "libopus", "-i"]).arg(path);
    command.args(["-map", "0:a", "-f", "f32le", "-c:a", "pcm_f32le", "-"]);
    let output = command.output().expect("ffmpeg is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// As `check_recording`, for a codec whose decoder remembers too much for passages to equal the decode in one go: they
/// may differ from it by at most `apart` on average.
fn check_opus(path: &Path, apart: f32) -> (InitSection, Vec<PassagePlan>) {
    let source = load(path);
    let init = probe(&source).unwrap();
    let judge = libopus(path);
    let frames = (judge.len() / init.media.channels as usize) as u64;
    let all = plan_chunk(&source, &init, 0..source.len()).unwrap();
    assert_eq!(all.frames, frames, "frames of the whole");
    assert_eq!(all.damaged, []);
    let expected = tiled(std::slice::from_ref(&all));
    let whole = in_one_go(&source, &init, frames);
    let difference = largest_difference(&whole, &judge);
    assert!(difference <= OPUS, "differs from ffmpeg by {difference}");
    for size in SIZES {
        assert_eq!(tiled(&plans(&source, &init, size)), expected, "chunks of {size} bytes");
    }
    let passages: Vec<f32> = expected.iter().flat_map(|passage| native(&source, &init, passage)).collect();
    assert_eq!(passages.len(), whole.len());
    let squares = |samples: &mut dyn Iterator<Item = f32>| samples.map(|x| f64::from(x).powi(2)).sum::<f64>();
    let error = squares(&mut passages.iter().zip(&whole).map(|(a, b)| a - b)) / whole.len() as f64;
    println!(
        "{path:?}: passages differ by {} on average, {} at most",
        error.sqrt(),
        largest_difference(&passages, &whole)
    );
    assert!(error.sqrt() <= f64::from(apart), "passages differ by {} on average", error.sqrt());
    (init, expected)
}

#[test]
fn opus_of_speech_at_16k() {
    let studio = Studio::new();
    let path = studio.convert(
        &studio.speech(240),
        &["-c:a", "libopus", "-b:a", "16k", "-application", "voip"],
        "a.opus",
    );
    let (init, passages) = check_opus(&path, 1e-3);
    assert_eq!((init.media.container.as_str(), init.media.codec.as_str()), ("ogg", "opus"));
    assert_eq!((init.media.sample_rate, init.media.channels), (48_000, 1));
    assert!(passages.len() >= 4);
}

#[test]
fn opus_of_speech_in_long_frames() {
    let studio = Studio::new();
    let speech = studio.speech(120);
    let args = ["-c:a", "libopus", "-b:a", "24k", "-application", "voip", "-frame_duration", "60"];
    check_opus(&studio.convert(&speech, &args, "a.opus"), 1e-3);
}

#[test]
fn opus_of_music_in_stereo() {
    let studio = Studio::new();
    let args = arguments(&[&STEREO, &["-c:a", "libopus", "-b:a", "128k", "-application", "audio"]]);
    let (init, _) = check_opus(&studio.convert(&studio.speech(120), &args, "a.ogg"), 1e-4);
    assert_eq!(init.media.channels, 2);
}

#[test]
fn opus_in_the_shortest_frames() {
    let studio = Studio::new();
    let shape = ["-c:a", "libopus", "-b:a", "96k", "-application", "lowdelay", "-frame_duration", "2.5"];
    let args = arguments(&[&STEREO, &shape]);
    check_opus(&studio.convert(&studio.speech(90), &args, "a.opus"), 1e-4);
}

#[test]
fn opus_on_small_and_on_large_pages() {
    let studio = Studio::new();
    let speech = studio.speech(100);
    let small = ["-c:a", "libopus", "-b:a", "64k", "-page_duration", "1"];
    check_opus(&studio.convert(&speech, &small, "a.opus"), 1e-3);
    let large = ["-c:a", "libopus", "-b:a", "64k", "-page_duration", "10000000"];
    check_opus(&studio.convert(&speech, &large, "b.opus"), 1e-3);
}

#[test]
fn vorbis_of_many_qualities_and_rates() {
    let studio = Studio::new();
    let speech = studio.speech(150);
    for (quality, rate, channels) in [
        ("0", "8000", "1"),
        ("2", "16000", "2"),
        ("3", "22050", "1"),
        ("5", "44100", "2"),
        ("8", "48000", "1"),
    ] {
        let shape = ["-c:a", "libvorbis", "-q:a", quality, "-ar", rate, "-ac", channels];
        let path = studio.convert(&speech, &arguments(&[&shape, &["-metadata", "title=A reading"]]), "a.ogg");
        let (init, passages) = check_recording(&path, VORBIS);
        assert_eq!((init.media.container.as_str(), init.media.codec.as_str()), ("ogg", "vorbis"));
        assert_eq!(init.media.title.as_deref(), Some("A reading"));
        assert!(passages.len() >= 3);
        let stored = serde_json::to_string(&init).unwrap();
        assert!(stored.len() < 24 * 1024, "{} bytes", stored.len());
        assert_eq!(serde_json::from_str::<InitSection>(&stored).unwrap(), init);
    }
}

#[test]
fn flac_in_ogg() {
    let studio = Studio::new();
    let (init, passages) = check_recording(
        &studio.convert(&studio.speech(240), &["-c:a", "flac", "-metadata", "title=Eins"], "a.ogg"),
        0.0,
    );
    assert!(matches!(init.codec, Codec::Flac { .. }) && passages.len() >= 4);
    assert_eq!(init.media.title.as_deref(), Some("Eins"));
}

#[test]
fn flac_whose_frames_span_pages() {
    let studio = Studio::new();
    let shape = ["-c:a", "flac", "-sample_fmt", "s32", "-ar", "96000", "-frame_size", "65535"];
    let args = arguments(&[&STEREO, &shape, &["-compression_level", "0"]]);
    check_recording(&studio.convert(&studio.speech(70), &args, "a.ogg"), 0.0);
}
