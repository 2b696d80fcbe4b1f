//! Ogg with Opus, Vorbis and FLAC, chained and multiplexed: exact wherever a chunk begins, and ffmpeg's count of frames.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chains;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::process::Command;

use scriptorium_media::{
    ByteSource, Codec, InitSection, Layout, MemorySource, PassagePlan, plan_chunk, probe,
};
use support::{
    SIZES, Studio, Uploaded, check_recording, chunks, clip, ffmpeg, in_one_go, largest_difference, load,
    native, plans, tiled,
};

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

/// A file of several files, one after the other.
#[test]
fn audio_beside_video() {
    let studio = Studio::new();
    let speech = studio.speech(60);
    let input = speech.to_str().unwrap();
    let video =
        ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=10", "-t", "60", "-map", "1:v", "-map", "0:a"];
    for (codec, tolerance) in [("libvorbis", VORBIS), ("flac", 0.0)] {
        let codecs = ["-c:v", "libtheora", "-q:v", "7", "-c:a", codec];
        let path = studio.convert(Path::new(input), &arguments(&[&video, &codecs]), "a.ogv");
        let (init, _) = check_recording(&path, tolerance);
        let Layout::Ogg { link } = init.layout else { panic!("another layout") };
        assert_eq!(link.others.len(), 1);
    }
}

/// Where the pages of a file begin.
fn pages(bytes: &[u8]) -> Vec<usize> {
    let (mut at, mut pages) = (0, Vec::new());
    while at < bytes.len() {
        assert_eq!(&bytes[at..at + 4], b"OggS");
        pages.push(at);
        let segments = usize::from(bytes[at + 26]);
        let body: usize = bytes[at + 27..at + 27 + segments].iter().map(|len| usize::from(*len)).sum();
        at += 27 + segments + body;
    }
    pages
}

/// Writes the CRC of the page at `start` anew.
fn seal(bytes: &mut [u8], start: usize, end: usize) {
    bytes[start + 22..start + 26].fill(0);
    let crc = bytes[start..end].iter().fold(0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    });
    bytes[start + 22..start + 26].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn a_recording_that_was_cut_off_has_no_end_to_trim() {
    let studio = Studio::new();
    let speech = studio.speech(60);
    for (codec, check) in
        [("libvorbis", ffmpeg as fn(&Path) -> Vec<f32>), ("flac", ffmpeg), ("libopus", libopus)]
    {
        let path = studio.convert(&speech, &["-c:a", codec], "a.ogg");
        let whole = std::fs::read(&path).unwrap();
        let starts = pages(&whole);
        let cut = studio.path("cut.ogg");
        for len in [whole.len() * 2 / 3, starts[starts.len() / 2], starts[starts.len() - 1] + 40] {
            std::fs::write(&cut, &whole[..len]).unwrap();
            let source = load(&cut);
            let init = probe(&source).unwrap();
            let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
            assert_eq!(
                (plan.frames, plan.damaged.len()),
                (check(&cut).len() as u64, 0),
                "{codec} of {len} bytes"
            );
        }
        // The last page is there, but not marked as the last.
        let mut unmarked = whole.clone();
        let last = starts[starts.len() - 1];
        unmarked[last + 5] = 0;
        seal(&mut unmarked, last, whole.len());
        std::fs::write(&cut, unmarked).unwrap();
        let source = load(&cut);
        let plan = plan_chunk(&source, &probe(&source).unwrap(), 0..source.len()).unwrap();
        assert_eq!(plan.frames, check(&cut).len() as u64, "{codec} without an end");
    }
}

#[test]
fn a_recording_that_begins_in_the_middle() {
    let studio = Studio::new();
    let speech = studio.speech(60);
    for codec in ["libvorbis", "flac", "libopus"] {
        let path = studio.convert(&speech, &["-c:a", codec], "a.ogg");
        let whole = std::fs::read(&path).unwrap();
        let starts = pages(&whole);
        // As a listener of a radio gets it: the headers, and then what is on air.
        let joined = [&whole[..starts[2]], &whole[starts[9]..]].concat();
        let granule = |page: usize| u64::from_le_bytes(whole[page + 6..page + 14].try_into().unwrap());
        let source = MemorySource::new(joined);
        let plan = plan_chunk(&source, &probe(&source).unwrap(), 0..source.len()).unwrap();
        let frames = granule(starts[starts.len() - 1]) - granule(starts[8]);
        assert_eq!(plan.damaged, []);
        assert!(
            plan.frames <= frames && frames - plan.frames <= 2048,
            "{} of {frames} frames: {codec}",
            plan.frames
        );
    }
}

#[test]
fn damaged_pages_are_silence_of_their_duration() {
    let studio = Studio::new();
    let speech = studio.speech(120);
    for (codec, margin) in [("libvorbis", 0.0), ("flac", 0.0), ("libopus", 1.2)] {
        let path = studio.convert(&speech, &["-c:a", codec], "a.ogg");
        let sound = load(&path);
        let init = probe(&sound).unwrap();
        let whole = plan_chunk(&sound, &init, 0..sound.len()).unwrap();
        let before = in_one_go(&sound, &init, whole.frames);
        let mut bytes = std::fs::read(&path).unwrap();
        let starts = pages(&bytes);
        let granule =
            |bytes: &[u8], page: usize| i64::from_le_bytes(bytes[page + 6..page + 14].try_into().unwrap());
        // One page, and later two in a row.
        for page in [20, 50, 51] {
            bytes[starts[page] + 100] ^= 0x10;
        }
        let skipped = granule(&bytes, starts[starts.len() - 1]) - whole.frames as i64;
        let ends = [19, 20, 49, 51].map(|page| granule(&bytes, starts[page]) - skipped);
        let source = MemorySource::new(bytes);
        let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
        assert_eq!(plan.frames, whole.frames, "{codec}");
        let [one, two] = plan.damaged[..] else { panic!("{:?}", plan.damaged) };
        // Vorbis: the packet after the gap only primes the overlap.
        let overlap = if codec == "libvorbis" { 2048 } else { 0 };
        for (gap, lost) in [(one, &ends[..2]), (two, &ends[2..])] {
            assert!((lost[0] - overlap..=lost[0]).contains(&gap.start), "{gap:?} {lost:?} {codec}");
            assert!((lost[1]..=lost[1] + overlap).contains(&gap.end), "{gap:?} {lost:?} {codec}");
        }
        let expected = tiled(std::slice::from_ref(&plan));
        for size in SIZES {
            assert_eq!(tiled(&plans(&source, &init, size)), expected, "chunks of {size} bytes");
        }
        let after = in_one_go(&source, &init, plan.frames);
        let settled = one.end as usize + (margin * f64::from(init.media.sample_rate)) as usize;
        assert!(
            before[..one.start as usize] == after[..one.start as usize],
            "sound before the damage changed"
        );
        assert!(after[one.start as usize..one.end as usize].iter().all(|sample| *sample == 0.0));
        let between = settled..two.start as usize;
        let difference = largest_difference(&before[between.clone()], &after[between]);
        assert!(difference < 1e-3 * margin as f32 * 10.0 + f32::EPSILON, "{difference}: {codec}");
    }
}

/// A recorder that left out two seconds says so in its positions alone.
#[test]
fn a_pause_of_the_recorder_is_silence_and_no_damage() {
    let studio = Studio::new();
    for (codec, rate) in [("libopus", 48_000), ("libvorbis", 44_100), ("flac", 44_100)] {
        let path = studio.convert(&studio.speech(60), &["-c:a", codec, "-ar", &rate.to_string()], "a.ogg");
        let mut bytes = std::fs::read(&path).unwrap();
        let all = pages(&bytes);
        let ends = all.iter().copied().skip(1).chain([bytes.len()]);
        for (start, end) in all.iter().copied().zip(ends).skip(all.len() / 2).collect::<Vec<_>>() {
            let granule = u64::from_le_bytes(bytes[start + 6..start + 14].try_into().unwrap());
            if granule != u64::MAX {
                bytes[start + 6..start + 14].copy_from_slice(&(granule + 2 * rate).to_le_bytes());
                seal(&mut bytes, start, end);
            }
        }
        let (sound, paused) = (load(&path), MemorySource::new(bytes));
        let init = probe(&sound).unwrap();
        let whole = plan_chunk(&sound, &init, 0..sound.len()).unwrap();
        let plan = plan_chunk(&paused, &init, 0..paused.len()).unwrap();
        assert_eq!((plan.frames, &plan.damaged[..]), (whole.frames + 2 * rate, &[][..]), "{codec}");
        let expected = tiled(std::slice::from_ref(&plan));
        for size in SIZES {
            assert_eq!(tiled(&plans(&paused, &init, size)), expected, "{codec}, chunks of {size} bytes");
        }
    }
}

#[test]
fn the_gain_of_the_header_is_applied() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(60), &["-c:a", "libopus"], "a.opus");
    let mut bytes = std::fs::read(&path).unwrap();
    let head = bytes.windows(8).position(|id| id == b"OpusHead").unwrap();
    bytes[head + 16..head + 18].copy_from_slice(&(-1536i16).to_le_bytes());
    let end = pages(&bytes)[1];
    seal(&mut bytes, 0, end);
    let quiet = studio.path("quiet.opus");
    std::fs::write(&quiet, bytes).unwrap();
    check_opus(&quiet, 1e-3);
    let loudest = |path: &Path| libopus(path).into_iter().fold(0.0, f32::max);
    assert!((loudest(&quiet) / loudest(&path) - 0.5).abs() < 0.01);
    // The same number in other containers.
    for (name, head, place, gain) in [
        ("a.webm", &b"OpusHead"[..], 16, (-1536i16).to_le_bytes()),
        ("a.mp4", b"dOps", 12, (-1536i16).to_be_bytes()),
    ] {
        let sound = std::fs::read(studio.convert(&studio.speech(20), &["-c:a", "libopus"], name)).unwrap();
        let loudest = |bytes: Vec<u8>| {
            let source = MemorySource::new(bytes);
            let init = probe(&source).unwrap();
            let frames = plan_chunk(&source, &init, 0..source.len()).unwrap().frames;
            in_one_go(&source, &init, frames).into_iter().fold(0.0, f32::max)
        };
        let mut quiet = sound.clone();
        let at = quiet.windows(head.len()).position(|id| id == head).unwrap() + place;
        quiet[at..at + 2].copy_from_slice(&gain);
        let ratio = loudest(quiet) / loudest(sound);
        assert!((ratio - 0.5).abs() < 0.01, "{name}: {ratio}");
    }
}

#[test]
fn what_is_not_decoded_is_named() {
    let studio = Studio::new();
    let surround = studio.convert(&clip(), &["-c:a", "libopus", "-ac", "6"], "a.opus");
    let error = probe(&load(&surround)).unwrap_err().to_string();
    assert!(error.contains("Opus of 6 channels in mapping family 1"), "{error}");
    let video =
        ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10", "-t", "2", "-map", "1:v", "-c:v", "libtheora"];
    let error = probe(&load(&studio.convert(&clip(), &video, "a.ogv"))).unwrap_err().to_string();
    assert_eq!(error, "found an Ogg container with Theora video; not supported yet");
    let sound = std::fs::read(studio.convert(&clip(), &["-c:a", "libopus"], "a.ogg")).unwrap();
    let starts = pages(&sound);
    for part in [&sound[..starts[2]], &sound[..starts[1]], &sound[starts[2]..], &sound[..starts[2] + 60]] {
        assert!(probe(&MemorySource::new(part.to_vec())).is_err());
    }
}

#[test]
fn a_chunk_takes_little_more_than_its_surroundings() {
    let studio = Studio::new();
    let args = ["-c:a", "libopus", "-b:a", "64k", "-vbr", "off"];
    let whole = load(&studio.convert(&studio.speech(600), &args, "a.opus"));
    let init = probe(&whole).unwrap();
    let (size, second) = (100_000, 8_400);
    for (index, chunk) in chunks(whole.len(), size).into_iter().enumerate().skip(3).step_by(7) {
        let source = Uploaded::new(whole.clone(), size);
        plan_chunk(&source, &init, chunk.clone()).unwrap();
        let reach = source.reach();
        // W before and two cells; W and the window of a cut after the latest anchor that the chunk can own.
        assert!(reach.start + 21 * second + 3 * 65_536 >= chunk.start, "{reach:?} for chunk {index}");
        assert!(reach.end <= chunk.end + 45 * second + 3 * 65_536, "{reach:?} for chunk {index}");
    }
}
