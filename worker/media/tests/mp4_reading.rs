//! MP4: what is waited for, what is read, what is refused, and what damage does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ops::Range;
use std::path::Path;

use proptest::prelude::*;
use scriptorium_media::{
    ByteSource, Codec, Layout, MediaError, MemorySource, ReadError, decode_passage, engine_samples,
    plan_chunk, probe,
};
use support::{Studio, Uploaded, clip, ffmpeg, in_one_go, largest_difference, load, native, plans, tiled};

const AAC: [&str; 4] = ["-c:a", "aac", "-aac_pns", "0"];
const FRAGMENTS: [&str; 4] = ["-movflags", "frag_keyframe+empty_moov", "-frag_duration", "2000000"];
/// Fragments that tell places from their own beginning, as those of live recorders do.
const MOVABLE: [&str; 4] =
    ["-movflags", "frag_keyframe+empty_moov+default_base_moof", "-frag_duration", "2000000"];
const PICTURES: [&str; 8] =
    ["-f", "lavfi", "-i", "testsrc2=size=640x480:rate=25", "-map", "0:a", "-map", "1:v"];

fn with<'a>(parts: &[&[&'a str]]) -> Vec<&'a str> {
    parts.concat()
}

/// First byte of a box's header.
fn find(bytes: &[u8], kind: &[u8; 4]) -> usize {
    bytes.windows(4).position(|window| window == kind).unwrap() - 4
}

#[test]
fn a_probe_waits_for_the_chunk_with_the_index() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(60), &AAC, "a.m4a");
    let whole = load(&path);
    let moov = find(&std::fs::read(&path).unwrap(), b"moov") as u64;
    for size in [50_000, 100_000, 333_333] {
        let mut source = Uploaded::new(whole.clone(), size);
        source.missing = (1..1000).collect();
        let index = u32::try_from(moov / size).unwrap();
        assert_eq!(probe(&source).unwrap_err().missing_chunk(), Some(index), "chunks of {size} bytes");
        source.missing = (1..index).collect();
        let init = probe(&source).unwrap();
        assert_eq!(init, probe(&whole).unwrap());
    }
    let first = studio.convert(&clip(), &with(&[&AAC, &["-movflags", "faststart"]]), "b.m4a");
    let mut source = Uploaded::new(load(&first), 4_000);
    source.missing = (1..1000).collect();
    probe(&source).unwrap();
}

#[test]
fn fragments_are_planned_while_they_are_recorded() {
    let studio = Studio::new();
    let args = with(&[&AAC, &["-ar", "44100"], &FRAGMENTS]);
    let whole = load(&studio.convert(&studio.speech(200), &args, "a.mp4"));
    let size = 100_000;
    let mut source = Uploaded::new(whole.clone(), size);
    source.missing = (1..1000).collect();
    let init = probe(&source).unwrap();
    let complete = plan_chunk(&whole, &init, 0..size).unwrap();
    let needed = loop {
        match plan_chunk(&source, &init, 0..size) {
            Ok(plan) => break plan,
            Err(MediaError::Read(ReadError::Missing { chunk })) => {
                source.missing.retain(|missing| *missing != chunk);
            }
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(needed, complete);
    let there = (whole.len() / size + 1) as usize
        - source.missing.iter().filter(|c| u64::from(**c) <= whole.len() / size).count();
    assert!((2..=13).contains(&there), "{there} chunks were needed");
}

#[test]
fn pictures_are_not_read() {
    let studio = Studio::new();
    let video = ["-c:v", "mpeg4", "-b:v", "8M", "-shortest", "-ar", "48000"];
    for flags in [&["-movflags", "faststart"][..], &[]] {
        let path = studio.convert(&studio.speech(60), &with(&[&PICTURES, &video, &AAC, flags]), "a.mp4");
        let source = Uploaded::new(load(&path), 1_000_000);
        let init = probe(&source).unwrap();
        source.read.lock().unwrap().clear();
        let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
        for passage in &plan.passages {
            native(&source, &init, passage);
        }
        let read: u64 = source.read.lock().unwrap().iter().map(|range| range.end - range.start).sum();
        // The sound is read by the scan, by the cuts and by the passages.
        let sound = 60 * 128_000 / 8;
        assert!(source.len() > 10 * sound && read < 6 * sound, "{read} of {} bytes", source.len());
    }
}

#[test]
fn what_is_not_decoded_is_named() {
    let studio = Studio::new();
    let told = |arguments: &[&str], name: &str| {
        probe(&load(&studio.convert(&clip(), arguments, name))).unwrap_err().to_string()
    };
    let unsupported = |found: &str| format!("found {found}; not supported yet");
    assert_eq!(
        told(&["-f", "lavfi", "-i", "testsrc2=duration=1", "-map", "1:v", "-c:v", "mpeg4"], "a.mp4"),
        "this is not an audio file: found a video without sound"
    );
    assert_eq!(told(&["-c:a", "aac", "-ac", "6"], "a.m4a"), unsupported("AAC of 6 channels"));
    assert_eq!(told(&["-c:a", "ac3"], "b.mp4"), unsupported("an MP4 file with AC-3"));
    assert_eq!(told(&["-c:a", "adpcm_ima_qt"], "a.mov"), unsupported("an MP4 file with IMA ADPCM"));
    let bytes = std::fs::read(studio.convert(&clip(), &AAC, "c.m4a")).unwrap();
    let refused = |bytes: &[u8]| probe(&MemorySource::new(bytes.to_vec())).unwrap_err().to_string();
    let mut encrypted = bytes.clone();
    let entry = find(&bytes, b"mp4a");
    encrypted[entry + 4..entry + 8].copy_from_slice(b"enca");
    assert_eq!(refused(&encrypted), unsupported("an MP4 file with encrypted sound"));
    assert_eq!(
        refused(&bytes[..bytes.len() / 2]),
        "the file is damaged: an MP4 file without its index (moov): cut off, or never finished"
    );
    assert_eq!(
        refused(&bytes[..bytes.len() - 100]),
        "the file is damaged: an MP4 file that ends within its index"
    );
    let fragments = std::fs::read(studio.convert(&clip(), &with(&[&AAC, &FRAGMENTS]), "d.mp4")).unwrap();
    assert_eq!(
        refused(&fragments[find(&fragments, b"moof")..]),
        "the file is damaged: a part of an MP4 file without the beginning that explains it"
    );
}

/// ffmpeg cannot make HE-AAC. The configuration of its AAC is changed to claim SBR: a decoder of the core hears the same.
#[test]
fn of_high_efficiency_aac_the_core_is_decoded() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(60), &with(&[&AAC, &["-ar", "24000"]]), "a.m4a");
    let plain = std::fs::read(&path).unwrap();
    let config = plain.windows(3).position(|window| window == [5, 0x80, 0x80]).unwrap() + 5;
    assert_eq!(plain[config..config + 2], [0x13, 0x08]);
    let mut claimed = plain.clone();
    // SBR of 48 kHz over a core of 24 kHz: type 5, rate 6, channels 1, rate 3, type 2, flags 0. Five bytes stand there.
    claimed[config..config + 4].copy_from_slice(&[0x2b, 0x09, 0x88, 0x00]);
    claimed[config - 1] = 4;
    // Times in ticks of the full rate.
    let (plain, claimed) = (MemorySource::new(plain), MemorySource::new(claimed));
    let (core, init) = (probe(&plain).unwrap(), probe(&claimed).unwrap());
    assert_eq!(init.codec, Codec::Aac { config: vec![0x13, 0x08] });
    assert_eq!((init.media.sample_rate, init.media.codec.as_str()), (24_000, "aac"));
    assert_eq!((&init.layout, &init.media), (&core.layout, &core.media));
    let judge = ffmpeg(&path);
    let whole = in_one_go(&claimed, &init, judge.len() as u64);
    assert!(largest_difference(&whole, &judge) < 2e-4);
}

#[test]
fn edits_cut_the_start_and_whole_packets_at_the_end() {
    let studio = Studio::new();
    let whole = studio.convert(&studio.speech(100), &with(&[&AAC, &["-ar", "44100"]]), "a.m4a");
    let cut = studio.convert(&whole, &["-ss", "10.3", "-t", "70", "-c", "copy"], "cut.m4a");
    support::check_recording(&cut, 2e-4);
    // An edit in the middle of the file, as a telephone's editor leaves it: start and length are changed alone.
    let mut bytes = std::fs::read(&whole).unwrap();
    let edit = find(&bytes, b"elst") + 16;
    bytes[edit..edit + 4].copy_from_slice(&60_000u32.to_be_bytes());
    bytes[edit + 4..edit + 8].copy_from_slice(&(20 * 44_100u32).to_be_bytes());
    let edited = studio.path("edited.m4a");
    std::fs::write(&edited, bytes).unwrap();
    let (init, _) = support::check_recording(&edited, 2e-4);
    assert!((init.media.duration_seconds.unwrap() - 60.0).abs() < 0.1);
}

/// The movie fragment in the middle that holds sound, with its data: the first track is the sound's.
fn middle_fragment(bytes: &[u8]) -> Range<usize> {
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        let end = at + word(at);
        // Behind `tfhd` stand its flags, then the number of the track.
        if &bytes[at + 4..at + 8] == b"moof" && word(at + 12 + find(&bytes[at..], b"tfhd")) == 1 {
            found.push(at..end + word(end));
        }
        at = end;
    }
    found[found.len() / 2].clone()
}

/// Hurts the fragment in the middle. Nothing else changes, and workers agree; `told` says whether seconds are told as
/// damaged, `exact` whether exactly as much is missing as there was.
fn check_damage(path: &Path, told: bool, exact: bool, spoil: impl Fn(&mut Vec<u8>, Range<usize>)) {
    let sound = std::fs::read(path).unwrap();
    let mut hurt = sound.clone();
    spoil(&mut hurt, middle_fragment(&sound));
    let (sound, hurt) = (MemorySource::new(sound), MemorySource::new(hurt));
    let (sound_init, init) = (probe(&sound).unwrap(), probe(&hurt).unwrap());
    let whole = plan_chunk(&sound, &sound_init, 0..sound.len()).unwrap();
    let plan = plan_chunk(&hurt, &init, 0..hurt.len()).unwrap();
    let off = plan.frames.abs_diff(whole.frames);
    assert!(if exact { off == 0 } else { off < 22_050 }, "{} of {} frames", plan.frames, whole.frames);
    let lost: i64 = plan.damaged.iter().map(|gap| gap.end - gap.start).sum();
    let seconds = lost as f64 / 44_100.0;
    assert!(if told { (1.5..3.0).contains(&seconds) } else { lost == 0 }, "{seconds} s are damaged");
    let expected = tiled(std::slice::from_ref(&plan));
    for size in support::SIZES {
        assert_eq!(tiled(&plans(&hurt, &init, size)), expected, "chunks of {size} bytes");
    }
    if told && exact {
        let before = in_one_go(&sound, &sound_init, whole.frames);
        let after = in_one_go(&hurt, &init, whole.frames);
        let (from, to) = (plan.damaged[0].start as usize, plan.damaged[0].end as usize + 2 * 1024);
        assert!(before[..from] == after[..from] && before[to..] == after[to..]);
    }
}

#[test]
fn a_lost_fragment_is_a_gap_of_its_length() {
    let studio = Studio::new();
    let speech = studio.speech(150);
    let path = studio.convert(&speech, &with(&[&AAC, &["-ar", "44100"], &FRAGMENTS]), "a.mp4");
    check_damage(&path, true, true, |bytes, lost| bytes[lost.start + 4..lost.start + 12].fill(0));
    check_damage(&path, true, true, |bytes, lost| bytes[lost.start..lost.start + 5_000].fill(0x55));
    // Sound and pictures in fragments of their own.
    let apart = ["-movflags", "frag_keyframe+empty_moov+separate_moof", "-ac", "1"];
    let pictures = ["-c:v", "mpeg4", "-g", "50", "-shortest", "-ar", "44100"];
    let apart = with(&[&PICTURES, &pictures, &AAC, &apart]);
    let apart = studio.convert(&speech, &apart, "b.mp4");
    check_damage(&apart, true, true, |bytes, lost| bytes[lost].fill(0x55));
}

/// A live recording ends wherever its recorder died: nothing that was there is lost.
#[test]
fn a_recording_that_was_cut_off_is_not_damaged() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(60), &with(&[&AAC, &["-ar", "44100"], &MOVABLE]), "a.mp4");
    let sound = std::fs::read(path).unwrap();
    let lost = middle_fragment(&sound);
    let data = lost.start + find(&sound[lost.start..], b"mdat");
    let places =
        [lost.start + 4, lost.start + 8, lost.start + 100, data + 4, data + 8, data + 5_000, lost.end];
    for end in places {
        let source = MemorySource::new(sound[..end].to_vec());
        let init = probe(&source).unwrap();
        let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
        assert_eq!(plan.damaged, [], "cut off at {end}, the fragment is {lost:?}");
        assert!((20 * 44_100..40 * 44_100).contains(&plan.frames), "{} frames", plan.frames);
    }
    // A box that nobody knows, behind the last fragment and between two.
    let unknown = [&b"\0\0\x10\0what"[..], &[7; 4_088]].concat();
    for at in [sound.len(), lost.start] {
        let source = MemorySource::new([&sound[..at], &unknown, &sound[at..]].concat());
        let plan = plan_chunk(&source, &probe(&source).unwrap(), 0..source.len()).unwrap();
        assert_eq!(plan.damaged, [], "a box at {at} of {}", sound.len());
    }
}

/// Without decode times (`tfdt`) the bytes tell about how much is missing.
#[test]
fn a_lost_fragment_without_times_is_a_gap_too() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(150), &with(&[&AAC, &["-ar", "44100"], &FRAGMENTS]), "a.mp4");
    check_damage(&path, true, false, |bytes, lost| {
        let times = bytes.windows(4).enumerate().filter(|(_, kind)| *kind == b"tfdt");
        for at in times.map(|(at, _)| at).collect::<Vec<_>>() {
            bytes[at..at + 4].copy_from_slice(b"free");
        }
        bytes[lost].fill(0x55);
    });
}

/// A segment that a live recorder never got: nothing is damaged, but what follows stays where it was.
#[test]
fn a_missing_fragment_is_silence() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(150), &with(&[&AAC, &["-ar", "44100"], &MOVABLE]), "a.mp4");
    check_damage(&path, false, true, |bytes, lost| drop(bytes.drain(lost)));
}

/// What must hold for any bytes at all: no panic, and workers that agree.
fn check_anything(bytes: Vec<u8>) {
    let source = MemorySource::new(bytes);
    let Ok(init) = probe(&source) else { return };
    let Ok(whole) = plan_chunk(&source, &init, 0..source.len()) else { return };
    let expected = tiled_by_sum(std::slice::from_ref(&whole));
    for size in [20_011, 65_536] {
        let plans = plans(&source, &init, size);
        assert_eq!(plans.iter().map(|plan| plan.frames).sum::<u64>(), whole.frames, "frames");
        assert_eq!(tiled_by_sum(&plans), expected, "chunks of {size} bytes");
    }
    for passage in whole.passages.iter().filter(|passage| passage.frames() < 100_000_000) {
        let mut reader = decode_passage(&source, &init, passage).unwrap();
        let mut samples = 0;
        while let Some(block) = reader.next_block().unwrap() {
            samples += block.len() as u64;
        }
        assert_eq!(samples, engine_samples(passage, init.media.sample_rate));
    }
}

fn tiled_by_sum(plans: &[scriptorium_media::ChunkPlan]) -> Vec<(i64, i64, u64, u64)> {
    let (mut base, mut end, mut passages) = (0i64, 0i64, Vec::new());
    for plan in plans {
        for passage in &plan.passages {
            assert_eq!(base + passage.start, end, "a hole or an overlap");
            end = base + passage.end;
            passages.push((base + passage.start, end, passage.restart, passage.skip));
        }
        base += plan.frames as i64;
    }
    assert_eq!(end, base, "the passages end where the audio ends");
    passages
}

/// Recordings, and the places in them that are hit more often than chance would: the index, or the fragments' heads.
fn recordings() -> Vec<(Vec<u8>, Vec<usize>)> {
    let studio = Studio::new();
    let speech = studio.speech(70);
    let low = ["-b:a", "24k", "-ar", "16000"];
    let video = with(&[&PICTURES, &["-c:v", "mpeg4", "-g", "50", "-shortest"], &AAC, &low, &FRAGMENTS]);
    [
        studio.convert(&speech, &with(&[&AAC, &low]), "a.m4a"),
        studio.convert(&speech, &with(&[&AAC, &low, &FRAGMENTS]), "b.mp4"),
        studio.convert(&speech, &video, "c.mp4"),
        studio.convert(&speech, &["-c:a", "alac", "-ar", "8000", "-movflags", "faststart"], "d.m4a"),
        studio.convert(&speech, &["-c:a", "pcm_s16be", "-ar", "8000"], "e.mov"),
    ]
    .iter()
    .map(|path| {
        let bytes = std::fs::read(path).unwrap();
        let heads = bytes.windows(4).enumerate().filter(|(_, kind)| matches!(*kind, b"moov" | b"moof"));
        let heads = heads.map(|(at, _)| at).collect();
        (bytes, heads)
    })
    .collect()
}

fn mutate(bytes: &mut Vec<u8>, heads: &[usize], changes: &[(u8, u32, u32)]) {
    for (kind, place, what) in changes {
        let at = *place as usize % bytes.len().max(1);
        let near = heads[*place as usize % heads.len()] + (*place >> 16) as usize % 1200;
        let len = (*what as usize % 5000).min(bytes.len() - at);
        match kind {
            0 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= *what as u8),
            1..=3 => bytes.iter_mut().skip(near).take(1).for_each(|byte| *byte ^= *what as u8),
            4 => bytes.iter_mut().skip(near).take(4).for_each(|byte| *byte = *what as u8),
            5 => bytes[at..at + len].fill(*what as u8),
            6 => drop(bytes.drain(at..at + len)),
            7 => drop(bytes.splice(at..at, std::iter::repeat_n(*what as u8, len))),
            _ => bytes.extend_from_within(at..at + len),
        }
    }
}

#[test]
fn any_damage_leaves_workers_agreed() {
    let recordings = recordings();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let changes = proptest::collection::vec((0u8..9, any::<u32>(), any::<u32>()), 1..8);
    runner
        .run(&(0..recordings.len(), changes), |(which, changes)| {
            let (mut bytes, heads) = recordings[which].clone();
            mutate(&mut bytes, &heads, &changes);
            check_anything(bytes);
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_truncation_is_survived() {
    for (recording, _) in recordings() {
        for len in (0..1500).step_by(13).chain((1500..recording.len()).step_by(recording.len() / 10)) {
            check_anything(recording[..len].to_vec());
        }
    }
}

#[test]
fn a_table_that_promises_too_much_costs_nothing() {
    let studio = Studio::new();
    let sound = std::fs::read(studio.convert(&clip(), &with(&[&AAC]), "a.m4a")).unwrap();
    for (kind, at) in
        [(b"stsz", 12), (b"stsz", 16), (b"stsc", 20), (b"stco", 12), (b"stts", 16), (b"stts", 20)]
    {
        let mut bytes = sound.clone();
        let field = find(&bytes, kind) + at;
        bytes[field..field + 4].fill(0xff);
        let source = MemorySource::new(bytes);
        if let Ok(init) = probe(&source) {
            assert!(matches!(&init.layout, Layout::Mp4Table(table) if table.sizes.len() < 1000));
            assert!(init.data_end <= source.len());
        }
    }
}
