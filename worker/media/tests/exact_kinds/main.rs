//! R26, R27 for AIFF, CAF, AU, Wave64 and the rarer kinds of WAVE and MP3: as `exact.rs`, with ffmpeg as the judge.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aiff;
mod caf;
mod mp3;
#[path = "../support/mod.rs"]
mod support;
mod wav;

use support::{Studio, check_recording};

/// Two channels that differ.
const STEREO: [&str; 2] = ["-af", "aformat=channel_layouts=mono,pan=stereo|c0=c0|c1=0.6*c0,adelay=0|7"];
/// MP3 decoders differ in the order of their sums.
const MP3: f32 = 1e-4;
/// AAC decoders too.
const AAC: f32 = 1e-4;

/// Makes a recording of this codec and rate, checks it, and returns its title.
fn check(codec: &str, more: &[&str], name: &str, container: &str) -> Option<String> {
    let studio = Studio::new();
    let args = [&["-c:a", codec, "-metadata", "title=A reading"], more].concat();
    let (init, passages) = check_recording(&studio.convert(&studio.speech(70), &args, name), 0.0);
    assert_eq!((init.media.container.as_str(), init.media.codec.as_str()), (container, codec));
    assert!(!passages.is_empty());
    init.media.title
}
