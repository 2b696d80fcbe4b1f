//! What is damaged, endless, empty or hostile: no panic, no lost count, no disagreement between workers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::PathBuf;

use proptest::prelude::*;
use scriptorium_media::{ByteSource, MemorySource, decode_passage, engine_samples, plan_chunk, probe};
use support::{Noise, SIZES, Studio, chunks, clip, in_one_go, load, native, plans, tiled};

/// Recordings of no content: all packets equal, or in a short cycle.
fn endless(studio: &Studio, source: &str, arguments: &[&str], name: &str) -> PathBuf {
    let filter = ["-f", "lavfi", "-i", source];
    // The clip is only there because `convert` takes an input; what is mapped is the generated sound.
    studio.convert(&support::clip(), &[&filter[..], &["-map", "1:a"], arguments].concat(), name)
}

fn check_endless(path: &std::path::Path, seconds: u64) {
    let source = load(path);
    let init = probe(&source).unwrap();
    let rate = u64::from(init.media.sample_rate);
    let expected = tiled(&[plan_chunk(&source, &init, 0..source.len()).unwrap()]);
    let total: u64 = expected.iter().map(|passage| passage.frames()).sum();
    assert!(total.abs_diff(seconds * rate) < rate / 5, "{total} frames of {seconds} s");
    assert!(expected.len() as u64 > seconds / 120, "{} passages", expected.len());
    assert!(expected.iter().all(|passage| passage.frames() < 200 * rate), "a passage of minutes");
    for size in SIZES {
        assert_eq!(tiled(&plans(&source, &init, size)), expected, "chunks of {size} bytes");
    }
}

#[test]
fn ten_minutes_of_digital_silence() {
    let studio = Studio::new();
    let silence = "anullsrc=sample_rate=16000:channel_layout=mono:duration=600";
    check_endless(&endless(&studio, silence, &[], "a.wav"), 600);
    check_endless(&endless(&studio, silence, &[], "a.flac"), 600);
    check_endless(&endless(&studio, silence, &["-b:a", "32k"], "a.mp3"), 600);
}

#[test]
fn five_minutes_of_a_steady_tone() {
    let studio = Studio::new();
    let tone = "sine=frequency=1000:sample_rate=44100:duration=300";
    check_endless(&endless(&studio, tone, &["-ar", "16000"], "a.wav"), 300);
    check_endless(&endless(&studio, tone, &[], "a.flac"), 300);
    check_endless(&endless(&studio, tone, &["-b:a", "64k"], "a.mp3"), 300);
}

/// Overwrites a stretch with noise that holds many false sync words.
fn spoil(bytes: &mut [u8], at: usize, len: usize) {
    let mut noise = Noise(7);
    for (index, byte) in bytes[at..at + len].iter_mut().enumerate() {
        *byte = if index % 5 == 0 { 0xff } else { noise.next(127).rem_euclid(256) as u8 };
    }
}

/// A stretch in the middle is overwritten: every count stays, and what lies away from it sounds as before.
fn check_spoiled(path: &std::path::Path, spoiled: usize, seconds_hurt: f64) {
    let sound = std::fs::read(path).unwrap();
    let mut hurt = sound.clone();
    spoil(&mut hurt, sound.len() / 2, spoiled);
    let (sound, hurt) = (MemorySource::new(sound), MemorySource::new(hurt));
    let init = probe(&sound).unwrap();
    assert_eq!(probe(&hurt).unwrap(), init);
    let whole = plan_chunk(&sound, &init, 0..sound.len()).unwrap();
    let plan = plan_chunk(&hurt, &init, 0..hurt.len()).unwrap();
    assert_eq!(plan.frames, whole.frames, "frames were lost");
    let expected = tiled(std::slice::from_ref(&plan));
    for size in SIZES {
        let plans = plans(&hurt, &init, size);
        assert_eq!(tiled(&plans), expected, "chunks of {size} bytes");
        let damaged: i64 = plans.iter().flat_map(|plan| &plan.damaged).map(|gap| gap.end - gap.start).sum();
        let seconds = damaged as f64 / f64::from(init.media.sample_rate);
        assert!((seconds_hurt * 0.8..seconds_hurt * 1.2 + 0.2).contains(&seconds), "{seconds} s are damaged");
    }
    let before = in_one_go(&sound, &init, whole.frames);
    let after: Vec<f32> = expected.iter().flat_map(|passage| native(&hurt, &init, passage)).collect();
    let margin = init.media.sample_rate as i64 / 2;
    let channels = init.media.channels as usize;
    let (from, to) = (plan.damaged[0].start - margin, plan.damaged[plan.damaged.len() - 1].end + margin);
    let (from, to) = (from as usize * channels, to as usize * channels);
    assert!(before[..from] == after[..from], "sound before the damage changed");
    assert!(before[to..] == after[to..], "sound after the damage changed");
}

#[test]
fn a_spoiled_stretch_of_flac() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(240), &["-ar", "44100"], "a.flac");
    let seconds = 240.0 / std::fs::metadata(&path).unwrap().len() as f64 * 200_000.0;
    check_spoiled(&path, 200_000, seconds);
}

#[test]
fn a_spoiled_stretch_of_mp3() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(240), &["-b:a", "64k", "-ar", "44100"], "a.mp3");
    check_spoiled(&path, 60_000, 7.5);
}

/// From some byte on there is nothing but noise: that much is told as damaged, whatever the chunks.
fn check_spoiled_end(path: &std::path::Path, exact: bool) {
    let end = std::fs::metadata(path).unwrap().len() as usize;
    check_spoiled_to(path, end, exact);
}

/// The same, up to the byte `to`, behind which there is no sound.
fn check_spoiled_to(path: &std::path::Path, to: usize, exact: bool) {
    let sound = std::fs::read(path).unwrap();
    let from = to * 3 / 5;
    let mut hurt = sound.clone();
    spoil(&mut hurt, from, to - from);
    let (sound, hurt) = (MemorySource::new(sound), MemorySource::new(hurt));
    let init = probe(&sound).unwrap();
    let whole = plan_chunk(&sound, &init, 0..sound.len()).unwrap();
    let plan = plan_chunk(&hurt, &init, 0..hurt.len()).unwrap();
    let rate = f64::from(init.media.sample_rate);
    if exact {
        assert_eq!(plan.frames, whole.frames);
    }
    let lost = plan.damaged.iter().map(|gap| gap.end - gap.start).sum::<i64>() as f64 / rate;
    let held = whole.frames as f64 / rate * 0.4;
    assert!((held * 0.8..held * 1.2).contains(&lost), "{lost} s of {held} s are told as damaged");
    assert_eq!(plan.damaged.last().unwrap().end, plan.frames as i64);
    let expected = tiled(std::slice::from_ref(&plan));
    for size in SIZES {
        let plans = plans(&hurt, &init, size);
        assert_eq!(tiled(&plans), expected, "chunks of {size} bytes");
        let told = plans.iter().flat_map(|plan| &plan.damaged).map(|gap| gap.end - gap.start).sum::<i64>();
        assert_eq!(told as f64 / rate, lost, "chunks of {size} bytes");
    }
}

#[test]
fn a_spoiled_end_is_told() {
    let studio = Studio::new();
    let speech = studio.speech(150);
    // The header tells how many samples there are.
    check_spoiled_end(&studio.convert(&speech, &["-ar", "44100"], "a.flac"), true);
    check_spoiled_end(&studio.convert(&speech, &["-b:a", "64k", "-ar", "44100"], "a.mp3"), false);
    check_spoiled_end(&studio.convert(&speech, &["-q:a", "5", "-ar", "44100"], "b.mp3"), false);
    check_spoiled_end(&studio.convert(&speech, &["-c:a", "aac", "-ar", "44100"], "a.aac"), false);
    check_spoiled_end(&studio.convert(&speech, &["-c:a", "libvorbis", "-ar", "44100"], "a.ogg"), false);
    check_spoiled_end(&studio.convert(&speech, &["-c:a", "libopus", "-b:a", "48k"], "a.opus"), false);
    check_spoiled_end(&studio.convert(&speech, &["-c:a", "flac", "-ar", "44100"], "b.ogg"), false);
    check_spoiled_end(&studio.convert(&speech, &["-c:a", "libopus", "-b:a", "48k"], "a.webm"), false);
    check_spoiled_end(&studio.convert(&speech, &["-c:a", "aac", "-ar", "44100"], "a.mka"), false);
    let fragments = ["-movflags", "frag_keyframe+empty_moov", "-frag_duration", "2000000"];
    check_spoiled_end(&studio.convert(&speech, &fragments, "a.mp4"), false);
}

/// Encoders write the index of a Matroska file last (element `Cues`).
#[test]
fn a_spoiled_end_before_an_index_is_told() {
    let studio = Studio::new();
    let speech = studio.speech(150);
    for name in ["a.webm", "a.mka"] {
        let path = studio.convert(&speech, &["-c:a", "libopus", "-b:a", "48k"], name);
        let bytes = std::fs::read(&path).unwrap();
        let cues = bytes.windows(4).rposition(|id| id == [0x1c, 0x53, 0xbb, 0x6b]).unwrap();
        assert!((bytes.len() * 9 / 10..bytes.len()).contains(&cues), "{name}: the index stands at {cues}");
        check_spoiled_to(&path, cues, false);
    }
}

#[test]
fn what_is_cut_off_or_padded_is_not_damaged() {
    let studio = Studio::new();
    let speech = studio.speech(60);
    for name in ["a.flac", "a.mp3", "a.aac"] {
        let sound = std::fs::read(studio.convert(&speech, &["-ar", "44100"], name)).unwrap();
        let seconds = |bytes: Vec<u8>| {
            let source = MemorySource::new(bytes);
            let init = probe(&source).unwrap();
            let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
            let lost = plan.damaged.iter().map(|gap| gap.end - gap.start).sum::<i64>() as f64;
            let rate = f64::from(init.media.sample_rate);
            (plan.frames as f64 / rate, lost / rate)
        };
        let (whole, _) = seconds(sound.clone());
        // No more than the frame that is cut.
        let (cut, lost) = seconds(sound[..sound.len() / 3 * 2 + 1].to_vec());
        assert!(cut < whole * 0.8 && lost < 0.15, "{name}: {lost} of {cut} s");
        let tag = [&b"TAG"[..], &[b'x'; 4_000]].concat();
        let padded = [vec![0; 50_000], tag.clone()].concat();
        for behind in [vec![0; 50_000], tag, padded] {
            assert_eq!(seconds([sound.clone(), behind].concat()), (whole, 0.0), "{name}");
        }
    }
}

/// Files put one behind the other: both are there, although the numbers of the second one's frames begin anew.
#[test]
fn joined_recordings_are_all_there() {
    let studio = Studio::new();
    for (name, arguments) in [("a.flac", &["-ar", "44100"][..]), ("a.mp3", &["-b:a", "64k"]), ("a.aac", &[])]
    {
        let sound = std::fs::read(studio.convert(&studio.speech(40), arguments, name)).unwrap();
        let frames = |bytes: &[u8]| {
            let source = MemorySource::new(bytes.to_vec());
            let init = probe(&source).unwrap();
            let whole = plan_chunk(&source, &init, 0..source.len()).unwrap();
            assert_eq!(whole.damaged, [], "{name}");
            let expected = tiled_by_sum(std::slice::from_ref(&whole));
            for size in SIZES {
                assert_eq!(tiled_by_sum(&plans(&source, &init, size)), expected, "{name}, {size} bytes");
            }
            (whole.frames, u64::from(init.media.sample_rate))
        };
        let (one, rate) = frames(&sound);
        let (three, _) = frames(&sound.repeat(3));
        // The padding between two MP3 files is not taken out: their tags are for players of one file.
        assert!(three.abs_diff(3 * one) < rate / 5, "{name}: {three} frames, {one} each");
        assert!(!name.ends_with("flac") || three == 3 * one, "{name}: {three} frames, {one} each");
    }
}

/// The frame before the damage may reach from one cell of the scanner into the next.
#[test]
fn damage_near_the_border_of_a_cell() {
    const CELL: usize = 128 * 1024;
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(60), &["-ar", "44100"], "a.flac");
    let sound = std::fs::read(path).unwrap();
    let source = MemorySource::new(sound.clone());
    let init = probe(&source).unwrap();
    let frames = plan_chunk(&source, &init, 0..source.len()).unwrap().frames;
    for behind in (0..12_000).step_by(1_500) {
        let mut hurt = sound.clone();
        let at = usize::try_from(init.data_start).unwrap() + 3 * CELL + behind;
        spoil(&mut hurt, at, 40_000);
        let hurt = MemorySource::new(hurt);
        let whole = plan_chunk(&hurt, &init, 0..hurt.len()).unwrap();
        assert_eq!(whole.frames, frames, "damage {behind} bytes behind the border");
        assert_eq!(tiled(&plans(&hurt, &init, SIZES[2])), tiled(&[whole]));
    }
}

#[test]
fn a_packet_that_cannot_be_decoded_is_told_and_keeps_its_time() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(60), &["-b:a", "64k", "-ar", "44100"], "a.mp3");
    let mut bytes = std::fs::read(&path).unwrap();
    // Headers stay, side information and main data of twenty frames do not: 209 bytes each on average.
    let first = (bytes.len() / 2..).find(|at| bytes[*at..].starts_with(&[0xff, 0xfb])).unwrap();
    let mut at = first;
    for _ in 0..20 {
        let len = 208 + usize::from(bytes[at + 2] >> 1 & 1);
        bytes[at + 4..at + len].fill(0xff);
        at += len;
        assert!(bytes[at..].starts_with(&[0xff, 0xfb]), "the test lost the frames");
    }
    let source = MemorySource::new(bytes);
    let init = probe(&source).unwrap();
    let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
    assert_eq!(plan.damaged, []);
    let (mut samples, mut damaged) = (0u64, 0i64);
    for passage in &plan.passages {
        let mut reader = decode_passage(&source, &init, passage).unwrap();
        let mut own = 0;
        while let Some(block) = reader.next_block().unwrap() {
            own += block.len() as u64;
        }
        assert_eq!(own, engine_samples(passage, init.media.sample_rate));
        samples += own;
        damaged += reader.damaged().iter().map(|gap| gap.end - gap.start).sum::<i64>();
    }
    assert!(samples.abs_diff(plan.frames * 16_000 / 44_100) <= plan.passages.len() as u64);
    assert_eq!(damaged, 20 * 1152);
}

/// What must hold for any bytes at all.
fn check_anything(bytes: Vec<u8>) {
    let source = MemorySource::new(bytes);
    let Ok(init) = probe(&source) else { return };
    let whole = plan_chunk(&source, &init, 0..source.len()).unwrap();
    let expected = tiled_by_sum(std::slice::from_ref(&whole));
    for size in [20_011, 65_536] {
        let plans = plans(&source, &init, size);
        assert_eq!(plans.iter().map(|plan| plan.frames).sum::<u64>(), whole.frames, "frames");
        assert_eq!(tiled_by_sum(&plans), expected, "chunks of {size} bytes");
    }
    for passage in &whole.passages {
        let mut reader = decode_passage(&source, &init, passage).unwrap();
        let mut samples = 0;
        while let Some(block) = reader.next_block().unwrap() {
            assert!(block.iter().all(|sample| sample.is_finite()));
            samples += block.len() as u64;
        }
        assert_eq!(samples, engine_samples(passage, init.media.sample_rate));
    }
}

/// As `tiled`, for recordings whose own numbers may lie or begin anew.
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

/// Changes to a recording: (kind, where, what).
fn mutations() -> impl Strategy<Value = Vec<(u8, u32, u32)>> {
    proptest::collection::vec((0u8..6, any::<u32>(), any::<u32>()), 1..12)
}

fn mutate(bytes: &mut Vec<u8>, changes: &[(u8, u32, u32)]) {
    for (kind, place, what) in changes {
        let at = *place as usize % bytes.len().max(1);
        let len = (*what as usize % 5000).min(bytes.len() - at);
        match kind {
            0 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= *what as u8),
            // The headers of the file are hit more often than chance would.
            1 => bytes.iter_mut().skip(at % 200).take(4).for_each(|byte| *byte = *what as u8),
            2 => bytes[at..at + len].fill(*what as u8),
            3 => drop(bytes.drain(at..at + len)),
            4 => drop(bytes.splice(at..at, std::iter::repeat_n(*what as u8, len))),
            _ => bytes.extend_from_within(at..at + len),
        }
    }
}

fn recordings() -> Vec<Vec<u8>> {
    let studio = Studio::new();
    let speech = studio.speech(70);
    let vorbis = studio.convert(&speech, &["-c:a", "libvorbis", "-q:a", "0", "-ar", "16000"], "a.ogg");
    let other = ["-c:a", "libvorbis", "-q:a", "2", "-ar", "16000", "-serial_offset", "9"];
    let other = studio.convert(&clip(), &other, "b.ogg");
    let chain = studio.path("chain.ogg");
    std::fs::write(&chain, [std::fs::read(&vorbis).unwrap(), std::fs::read(&other).unwrap()].concat())
        .unwrap();
    [
        chain,
        studio.convert(&speech, &["-c:a", "libopus", "-b:a", "12k"], "a.opus"),
        studio.convert(&speech, &["-c:a", "flac", "-ar", "8000"], "c.ogg"),
        studio.convert(&speech, &["-c:a", "pcm_u8", "-ar", "8000"], "a.wav"),
        studio.convert(&speech, &["-ar", "8000"], "a.flac"),
        studio.convert(&speech, &["-b:a", "16k", "-ar", "16000"], "a.mp3"),
        studio.convert(&speech, &["-q:a", "9", "-ar", "22050"], "b.mp3"),
    ]
    .iter()
    .map(|path| std::fs::read(path).unwrap())
    .collect()
}

#[test]
fn any_damage_leaves_workers_agreed() {
    let recordings = recordings();
    // 256 cases; another number by PROPTEST_CASES.
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let changed = (0..recordings.len(), mutations());
    runner
        .run(&changed, |(which, changes)| {
            let mut bytes = recordings[which].clone();
            mutate(&mut bytes, &changes);
            check_anything(bytes);
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_truncation_is_survived() {
    for recording in recordings() {
        for len in (0..200).chain((200..recording.len()).step_by(recording.len() / 12)) {
            check_anything(recording[..len].to_vec());
        }
    }
}

#[test]
fn chunks_before_and_after_the_audio_are_empty() {
    let studio = Studio::new();
    let mut bytes = b"ID3\x03\0\0\0\x06\0\0".to_vec();
    bytes.resize(10 + (6 << 14), 0);
    bytes.extend(std::fs::read(studio.convert(&studio.speech(60), &["-b:a", "32k"], "a.mp3")).unwrap());
    bytes.extend(b"APETAGEX");
    bytes.resize(bytes.len() + 100_000, b'x');
    let source = MemorySource::new(bytes);
    let init = probe(&source).unwrap();
    let plans = plans(&source, &init, 20_000);
    assert_eq!((plans[0].frames, plans[plans.len() - 1].frames), (0, 0));
    assert!(tiled(&plans).len() == plans.iter().map(|plan| plan.passages.len()).sum::<usize>());
    assert_eq!(chunks(source.len(), 20_000).len(), plans.len());
}
