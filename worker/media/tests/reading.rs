//! What is read and what is waited for; what is no audio and how that is said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use scriptorium_media::{
    ByteSource, CUT_SECONDS, InitSection, MediaError, MemorySource, ReadError, plan_chunk, probe,
};
use support::{Noise, Studio, Uploaded, chunks, clip, load};

#[test]
fn a_plan_names_the_chunks_it_needs_and_reads_no_others() {
    let studio = Studio::new();
    let speech = studio.speech(300);
    for (path, cell) in [
        (studio.convert(&speech, &["-b:a", "64k", "-ar", "44100"], "a.mp3"), 64 * 1024),
        (studio.convert(&speech, &[], "a.flac"), 128 * 1024),
        (speech, 256 * 1024),
    ] {
        let whole = load(&path);
        let init = probe(&whole).unwrap();
        let size = 100_000;
        let all = chunks(whole.len(), size);
        for (index, chunk) in all.iter().enumerate().step_by(5) {
            let complete = Uploaded::new(whole.clone(), size);
            let expected = plan_chunk(&complete, &init, chunk.clone()).unwrap();
            // Nothing is there but what was asked for.
            let mut source = Uploaded::new(whole.clone(), size);
            source.missing = (0..all.len() as u32).collect();
            let plan = loop {
                match plan_chunk(&source, &init, chunk.clone()) {
                    Ok(plan) => break plan,
                    Err(MediaError::Read(ReadError::Missing { chunk })) => {
                        assert!(source.missing.contains(&chunk), "chunk {chunk} is there already");
                        source.missing.retain(|missing| *missing != chunk);
                    }
                    Err(other) => panic!("{other}"),
                }
            };
            assert_eq!(plan, expected);
            check_reach(&source, &init, index as u64 * size, &plan, cell);
        }
    }
}

/// W before and, after the last anchor's successor, W and a window; all rounded up to cells.
fn check_reach(
    source: &Uploaded,
    init: &InitSection,
    start: u64,
    plan: &scriptorium_media::ChunkPlan,
    cell: u64,
) {
    let seconds = |seconds: u64| seconds * init.media.bitrate.unwrap() / 8 * 3 / 2;
    let reach = source.reach();
    let back = start.saturating_sub(reach.start);
    assert!(back <= seconds(20) + 2 * cell, "{back} bytes before the chunk");
    let frames = plan.passages.last().map_or(plan.frames as i64, |last| last.end.max(plan.frames as i64));
    let end =
        start + seconds(frames as u64 / u64::from(init.media.sample_rate) + 20 + u64::from(CUT_SECONDS));
    assert!(reach.end <= end + 2 * cell + 64 * 1024, "{} bytes after {end}", reach.end - end.min(reach.end));
}

#[test]
fn a_probe_needs_the_first_chunk_alone() {
    let studio = Studio::new();
    let speech = studio.speech(120);
    for path in [
        speech.clone(),
        studio.convert(&speech, &[], "a.flac"),
        studio.convert(&speech, &["-b:a", "128k"], "a.mp3"),
        studio.convert(&speech, &["-b:a", "128k", "-write_xing", "0"], "b.mp3"),
    ] {
        let mut source = Uploaded::new(load(&path), 20_000);
        source.missing = (1..1000).collect();
        let init = probe(&source).unwrap();
        let seconds = init.media.duration_seconds.unwrap();
        assert!((119.0..135.0).contains(&seconds), "{seconds} s");
        let stored = serde_json::to_string(&init).unwrap();
        assert!(stored.len() < 1024);
        assert_eq!(serde_json::from_str::<InitSection>(&stored).unwrap(), init);
    }
}

/// Ogg tells its length nowhere but at its end, and FLAC from a pipe not at all: it is estimated.
#[test]
fn a_length_that_is_not_told_is_estimated_by_the_beginning() {
    let studio = Studio::new();
    let speech = studio.speech(240);
    for (arguments, name) in [
        (&["-c:a", "libopus", "-b:a", "64k"][..], "a.opus"),
        (&["-c:a", "libvorbis", "-q:a", "4", "-ar", "44100"], "a.ogg"),
        (&["-c:a", "flac", "-ar", "44100"], "b.ogg"),
        (&["-ar", "44100"], "a.flac"),
    ] {
        let mut bytes = std::fs::read(studio.convert(&speech, arguments, name)).unwrap();
        if bytes.starts_with(b"fLaC") {
            // The number of samples: the last 36 of the 144 bits before the checksum.
            bytes[8 + 13] &= 0xf0;
            bytes[8 + 14..8 + 18].fill(0);
        }
        let mut source = Uploaded::new(MemorySource::new(bytes), 700_000);
        source.missing = (1..1000).collect();
        let init = probe(&source).unwrap();
        let (seconds, bitrate) = (init.media.duration_seconds.unwrap(), init.media.bitrate.unwrap() as f64);
        assert!((200.0..290.0).contains(&seconds), "{name}: {seconds} s");
        let average = source.whole.len() as f64 * 8.0 / 240.0;
        assert!((average * 0.7..average * 1.4).contains(&bitrate), "{name}: {bitrate} of {average} bit/s");
    }
}

#[test]
fn a_probe_behind_a_cover_waits_for_the_chunk_with_the_audio() {
    let studio = Studio::new();
    let mut bytes = b"ID3\x03\0\0\x02\0\0\0".to_vec();
    bytes.resize(10 + (2 << 21), 7);
    bytes.extend(std::fs::read(studio.convert(&clip(), &["-b:a", "64k"], "a.mp3")).unwrap());
    let mut source = Uploaded::new(MemorySource::new(bytes), 1_000_000);
    source.missing = vec![1, 2, 3, 4];
    assert_eq!(probe(&source).unwrap_err().missing_chunk(), Some(4));
    source.missing = vec![1, 2, 3];
    assert!(probe(&source).is_ok(), "the cover itself is not read");
}

fn refused(bytes: impl Into<Vec<u8>>) -> MediaError {
    probe(&MemorySource::new(bytes.into())).expect_err("this is no audio")
}

fn not_audio(bytes: impl Into<Vec<u8>>) -> String {
    let error = refused(bytes);
    let MediaError::NotAudio { found } = error else { panic!("{error:?}") };
    found
}

#[test]
fn what_is_no_audio_is_named() {
    assert_eq!(not_audio(""), "an empty file");
    assert_eq!(not_audio("Dear Sir or Madam,\n".repeat(5000)), "plain text");
    assert_eq!(not_audio("%PDF-1.4 and so on"), "a PDF document");
    assert_eq!(not_audio(vec![0; 300_000]), "nothing but zero bytes");
    assert_eq!(
        not_audio(
            "RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\0\0\0\0"
        ),
        "a WAVE file without any audio"
    );
    let mut noise = Noise(3);
    for len in [1, 3, 4, 100, 5_000, 400_000] {
        // The first byte keeps chance from making one of the short markers.
        let bytes: Vec<u8> =
            std::iter::once(1).chain((1..len).map(|_| (noise.next(128) + 128).min(255) as u8)).collect();
        assert_eq!(not_audio(bytes), "data of an unknown kind", "{len}");
    }
}

#[test]
fn other_containers_are_named_as_not_supported_yet() {
    let studio = Studio::new();
    for (name, found) in [
        ("a.spx", "an Ogg container with Speex"),
        ("a.wma", "an ASF container (WMA or WMV)"),
        ("a.mp2", "MPEG audio layer II"),
        ("a.ts", "an MPEG transport stream"),
    ] {
        let codec: &[&str] = if name == "a.spx" { &["-ar", "16000"] } else { &[] };
        let path = studio.convert(&clip(), codec, name);
        let error = refused(std::fs::read(path).unwrap());
        assert_eq!(error.to_string(), format!("found {found}; not supported yet"), "{name}");
        assert!(!error.retryable());
    }
    let path = studio.convert(&clip(), &["-c:a", "adpcm_ms"], "a.wav");
    assert_eq!(
        refused(std::fs::read(path).unwrap()).to_string(),
        "found a WAVE file with Microsoft ADPCM; not supported yet"
    );
}

#[test]
fn headers_that_promise_too_much_cost_nothing() {
    // A WAVE file of many chunks, and a FLAC file of endless metadata.
    let mut wave = b"RIFF\0\0\0\0WAVE".to_vec();
    wave.extend(b"junk\0\0\0\0".repeat(2000));
    assert!(matches!(refused(wave), MediaError::Limit { .. }));
    let mut flac = b"fLaC".to_vec();
    flac.extend(b"\x01\0\0\0".repeat(20_000));
    assert!(matches!(refused(flac), MediaError::Limit { .. }));
    let mut flac = b"fLaC".to_vec();
    flac.extend(b"\x84\xff\xff\xff");
    assert!(matches!(refused(flac), MediaError::Damaged { .. }));
}

#[test]
fn a_section_of_another_file_or_version_is_refused() {
    let source = load(&clip());
    let init = probe(&source).unwrap();
    let stale =
        |init: &InitSection| matches!(plan_chunk(&source, init, 0..100), Err(MediaError::Stale { .. }));
    assert!(!stale(&init));
    assert!(stale(&InitSection { version: 99, ..init.clone() }));
    assert!(stale(&InitSection { file_len: 5, ..init.clone() }));
    assert!(stale(&InitSection { data_end: u64::MAX, ..init }));
}
