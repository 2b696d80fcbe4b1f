//! Memory does not grow with the length of the sound. One test, because it looks at the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![cfg(target_os = "linux")]

mod support;

use scriptorium_media::{
    ByteSource, FileSource, PassagePlan, WindowLayer, decode_passage, plan_chunk, probe,
};
use support::Studio;

/// Most memory that this process ever had, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn two_hours_in_one_chunk_and_in_one_passage() {
    let studio = Studio::new();
    let args = ["-b:a", "16k", "-ar", "16000", "-write_xing", "0", "-id3v2_version", "0"];
    let piece = std::fs::read(studio.convert(&studio.speech(120), &args, "piece.mp3")).unwrap();
    let path = studio.path("long.mp3");
    std::fs::write(&path, piece.repeat(60)).unwrap();
    drop(piece);
    let source = FileSource::open(&path).unwrap();
    let init = probe(&source).unwrap();
    let before = peak();
    let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
    assert!(plan.frames > 2 * 3600 * 16_000 && plan.passages.len() > 100);
    // Two hours would be 460 MB of samples.
    assert!(peak() < before + 16, "planning took {} MiB", peak() - before);
    let all = PassagePlan { start: 0, end: plan.frames as i64, restart: init.data_start, skip: 0 };
    let mut reader = decode_passage(&source, &init, &all).unwrap();
    let mut layer = WindowLayer::new(|samples: &[f32]| vec![(0, samples.len())]);
    let (mut samples, mut windows) = (0, 0);
    while let Some(block) = reader.next_block().unwrap() {
        samples += block.len() as u64;
        windows += layer.push(&block).len();
    }
    assert_eq!(samples, plan.frames);
    assert!(windows > 200);
    assert!(peak() < before + 32, "decoding took {} MiB", peak() - before);
}
