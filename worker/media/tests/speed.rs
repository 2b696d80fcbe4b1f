//! How fast sound is decoded, against ffmpeg on one thread. Run by hand:
//! `cargo test --release -p scriptorium-media --test speed -- --ignored --nocapture` (`make bench` does it too).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use scriptorium_media::{ByteSource, decode_passage, plan_chunk, probe};
use support::{Studio, load};

#[test]
#[ignore = "a measurement"]
fn media_speed() {
    let studio = Studio::new();
    let speech = studio.speech(600);
    let stereo = ["-ac", "2", "-ar", "44100"];
    for (name, arguments) in [
        ("wav 16 bit 44.1k stereo", vec!["a.wav"]),
        ("flac 16 bit 44.1k stereo", vec!["a.flac"]),
        ("mp3 128k 44.1k stereo", vec!["a.mp3", "-b:a", "128k"]),
        ("mp3 vbr 44.1k stereo", vec!["b.mp3", "-q:a", "4"]),
        ("aac 128k 44.1k stereo (m4a)", vec!["a.m4a", "-c:a", "aac", "-b:a", "128k"]),
        ("opus 64k stereo (ogg)", vec!["a.opus", "-c:a", "libopus", "-b:a", "64k"]),
        ("vorbis 44.1k stereo (ogg)", vec!["a.ogg", "-c:a", "libvorbis", "-q:a", "4"]),
    ] {
        let rate = if name.starts_with("opus") { &stereo[..2] } else { &stereo[..] };
        let path = studio.convert(&speech, &[&arguments[1..], rate].concat(), arguments[0]);
        let source = load(&path);
        let begin = Instant::now();
        let init = probe(&source).unwrap();
        let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
        let planned = begin.elapsed();
        let begin = Instant::now();
        for passage in &plan.passages {
            let mut reader = decode_passage(&source, &init, passage).unwrap();
            while reader.next_block().unwrap().is_some() {}
        }
        let decoded = begin.elapsed();
        let begin = Instant::now();
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-threads", "1", "-i"]).arg(&path);
        command.args(["-ac", "1", "-ar", "16000", "-f", "s16le", "-y", "/dev/null"]);
        assert!(command.status().unwrap().success());
        let theirs = begin.elapsed();
        let seconds = plan.frames as f64 / f64::from(init.media.sample_rate);
        let times = |elapsed: Duration| (seconds / elapsed.as_secs_f64()).round();
        println!(
            "{name}: plan {} x real time ({:.0} MB/s), decode and resample {} x; ffmpeg {} x; ours / ffmpeg's time {:.2}",
            times(planned),
            source.len() as f64 / 1e6 / planned.as_secs_f64(),
            times(decoded),
            times(theirs),
            decoded.as_secs_f64() / theirs.as_secs_f64()
        );
    }
}
