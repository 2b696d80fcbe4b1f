//! What an edit of a recording leaves as it was: windows whose samples are the same as before, which the cache knows.
//!
//! Measured for an hour: `cargo test --release -p scriptorium-worker --test edits -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use scriptorium_media::{ByteSource, MemorySource, WindowLayer, decode_passage, plan_chunk, probe};
use scriptorium_tests::recordings::{SPEECH_RATE, encoded, speech, wav};
use scriptorium_worker::engine::vad;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Forms of a recording.
type Form = (&'static str, fn(&[i16]) -> Vec<u8>);

const FORMS: [Form; 4] = [
    ("wav", wav),
    ("flac", |samples| encoded(samples, &["-c:a", "flac"], "flac")),
    ("mp3", |samples| encoded(samples, &["-b:a", "64k"], "mp3")),
    ("m4a", |samples| encoded(samples, &["-c:a", "aac", "-b:a", "64k"], "m4a")),
];

/// Digests of the windows' samples, as workers make them, whatever the chunks.
fn windows(bytes: Vec<u8>) -> Vec<u64> {
    let source = MemorySource::new(bytes);
    let init = probe(&source).unwrap();
    let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
    let mut windows = Vec::new();
    for passage in &plan.passages {
        let mut reader = decode_passage(&source, &init, passage).unwrap();
        let mut layer = WindowLayer::new(vad::speech_regions);
        while let Some(block) = reader.next_block().unwrap() {
            windows.extend(layer.push(&block));
        }
        windows.extend(layer.finish());
    }
    let digest = |samples: &[f32]| {
        let mut hasher = DefaultHasher::new();
        samples.iter().for_each(|sample| sample.to_bits().hash(&mut hasher));
        hasher.finish()
    };
    windows.iter().map(|window| digest(&window.samples)).collect()
}

/// Windows of the edited recording, and how many of them are new.
fn new_windows(form: fn(&[i16]) -> Vec<u8>, before: &[u64], edited: &[i16]) -> (usize, usize) {
    let known: HashSet<&u64> = before.iter().collect();
    let after = windows(form(edited));
    (after.len(), after.iter().filter(|window| !known.contains(window)).count())
}

/// The recording with `length` samples from `at` on replaced by others.
fn replaced(samples: &[i16], at: usize, length: usize, by: &[i16]) -> Vec<i16> {
    [&samples[..at], by, &samples[at + length..]].concat()
}

/// Ten seconds in the middle: others in their place, others before them, none.
fn edits(samples: &[i16]) -> [(&'static str, Vec<i16>); 5] {
    let (at, ten) = (samples.len() / 2 + 4_321, 10 * SPEECH_RATE);
    let others: Vec<i16> = speech(20, 99).iter().map(|sample| sample / 2).collect();
    [
        ("10 s replaced", replaced(samples, at, ten, &others[..ten])),
        ("10 s put in", replaced(samples, at, 0, &others[..ten])),
        ("10.0037 s put in", replaced(samples, at, 0, &others[..ten + 59])),
        ("10 s taken out", replaced(samples, at, ten, &[])),
        ("10 s put before", replaced(samples, 0, 0, &others[..ten])),
    ]
}

fn measure(seconds: usize) {
    let samples = speech(seconds, 1);
    for (name, form) in FORMS {
        let before = windows(form(&samples));
        for (what, edited) in edits(&samples) {
            let (all, new) = new_windows(form, &before, &edited);
            let percent = 100.0 * new as f64 / all as f64;
            println!("{seconds} s of {name}, {what}: {new} of {all} windows are new ({percent:.1} %)");
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn an_hour() {
    measure(3_600);
}

#[test]
#[ignore = "a measurement"]
fn ten_minutes() {
    measure(600);
}
