//! Matroska, WebM and ADTS that are cut off, overwritten or crafted: no panic, no disagreement between workers, and damage
//! stays where it is.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use proptest::prelude::*;
use scriptorium_media::{ByteSource, MemorySource, decode_passage, engine_samples, plan_chunk, probe};
use support::muxer::{Lacing, Muxer, adts_frames, element};
use support::{Noise, SIZES, Studio, in_one_go, native, plans, tiled};

/// What must hold for any bytes at all.
fn check_anything(bytes: Vec<u8>) {
    let source = MemorySource::new(bytes);
    let Ok(init) = probe(&source) else { return };
    let whole = plan_chunk(&source, &init, 0..source.len()).unwrap();
    let expected = tiled(std::slice::from_ref(&whole));
    for size in [20_011, 65_536] {
        let plans = plans(&source, &init, size);
        assert_eq!(tiled(&plans), expected, "chunks of {size} bytes");
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

fn mutate(bytes: &mut Vec<u8>, changes: &[(u8, u32, u32)]) {
    for (kind, place, what) in changes {
        let at = *place as usize % bytes.len().max(1);
        let len = (*what as usize % 5000).min(bytes.len() - at);
        match kind {
            0 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= *what as u8),
            // The headers of the file are hit more often than chance would.
            1 => bytes.iter_mut().skip(at % 600).take(4).for_each(|byte| *byte = *what as u8),
            2 => bytes[at..at + len].fill(*what as u8),
            3 => drop(bytes.drain(at..at + len)),
            4 => drop(bytes.splice(at..at, std::iter::repeat_n(*what as u8, len))),
            5 => bytes.extend_from_within(at..at + len),
            // The headers of elements, too.
            _ => {
                let found = bytes[at..].iter().position(|byte| matches!(byte, 0xa3 | 0xa0 | 0xe7 | 0x1f));
                bytes.iter_mut().skip(at + found.unwrap_or(0)).take(6).for_each(|byte| *byte ^= *what as u8);
            }
        }
    }
}

/// AAC in clusters of five seconds and of unknown size, laced now and then.
fn muxed(studio: &Studio, seconds: u32, laced: usize, sized: bool) -> Vec<u8> {
    let args = ["-b:a", "24k", "-ar", "16000", "-aac_pns", "0"];
    let aac = std::fs::read(studio.convert(&studio.speech(seconds), &args, "m.aac")).unwrap();
    let packets: Vec<Vec<u8>> = adts_frames(&aac).iter().map(|frame| frame[7..].to_vec()).collect();
    let mut muxer = Muxer::new("A_AAC", &[0x14, 0x08], 16_000.0, 1);
    // 64 ms a packet.
    let per_cluster = 80 / laced;
    for (index, packets) in packets.chunks(laced).enumerate() {
        let at = (index * laced * 64) as u64;
        if index % per_cluster == 0 {
            muxer.cluster(at, sized);
        }
        let lacing = if laced == 1 { Lacing::None } else { Lacing::Ebml };
        muxer.block(packets, lacing, false, (index % per_cluster * laced * 64) as u64);
    }
    muxer.finish()
}

fn recordings() -> Vec<Vec<u8>> {
    let studio = Studio::new();
    let speech = studio.speech(70);
    let source = "testsrc2=size=160x120:rate=5:duration=70";
    let video = [
        "-f",
        "lavfi",
        "-i",
        source,
        "-map",
        "1:v",
        "-map",
        "0:a",
        "-c:v",
        "libvpx",
        "-deadline",
        "realtime",
    ];
    let files = [
        studio.convert(&speech, &["-c:a", "libopus", "-b:a", "16k"], "a.webm"),
        studio.convert(
            &speech,
            &["-c:a", "libvorbis", "-ar", "16000", "-cluster_size_limit", "5000"],
            "b.webm",
        ),
        studio.convert(&speech, &[&video[..], &["-c:a", "libvorbis", "-ar", "16000"]].concat(), "c.webm"),
        studio.convert(&speech, &["-c:a", "libmp3lame", "-b:a", "16k", "-ar", "16000"], "a.mka"),
        studio.convert(&speech, &["-c:a", "flac", "-ar", "8000"], "b.mka"),
        studio.convert(&speech, &["-b:a", "24k", "-ar", "16000"], "a.aac"),
    ];
    let muxed = [muxed(&studio, 70, 4, false), muxed(&studio, 70, 1, true)];
    files.iter().map(|path| std::fs::read(path).unwrap()).chain(muxed).collect()
}

#[test]
fn any_damage_leaves_workers_agreed() {
    let recordings = recordings();
    // 256 cases; another number by PROPTEST_CASES.
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let changes = proptest::collection::vec((0u8..7, any::<u32>(), any::<u32>()), 1..12);
    runner
        .run(&(0..recordings.len(), changes), |(which, changes)| {
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
        let start = recording.windows(4).position(|w| w == b"\x1f\x43\xb6\x75").unwrap_or(0);
        let step = recording.len() / 8;
        for len in (0..start + 200).step_by(7).chain((start + 200..recording.len()).step_by(step)) {
            check_anything(recording[..len].to_vec());
        }
    }
}

/// A stretch in the middle is overwritten: the count stays, and what lies away from it sounds as before.
fn check_spoiled(sound: Vec<u8>, spoiled: usize, tolerance: u64) {
    let mut hurt = sound.clone();
    let mut noise = Noise(11);
    let from = sound.len() / 2;
    for (index, byte) in hurt[from..from + spoiled].iter_mut().enumerate() {
        // Many false beginnings of blocks.
        *byte = if index % 4 == 0 { 0xa3 } else { noise.next(127).rem_euclid(256) as u8 };
    }
    let (sound, hurt) = (MemorySource::new(sound), MemorySource::new(hurt));
    let init = probe(&sound).unwrap();
    assert_eq!(probe(&hurt).unwrap(), init);
    let whole = plan_chunk(&sound, &init, 0..sound.len()).unwrap();
    let plan = plan_chunk(&hurt, &init, 0..hurt.len()).unwrap();
    assert!(plan.frames.abs_diff(whole.frames) <= tolerance, "{} of {} frames", plan.frames, whole.frames);
    let expected = tiled(std::slice::from_ref(&plan));
    for size in SIZES {
        assert_eq!(tiled(&plans(&hurt, &init, size)), expected, "chunks of {size} bytes");
    }
    assert_eq!(plan.damaged.len(), 1);
    let before = in_one_go(&sound, &init, whole.frames);
    let after: Vec<f32> = expected.iter().flat_map(|passage| native(&hurt, &init, passage)).collect();
    let (start, end) = (plan.damaged[0].start as usize - 4096, plan.damaged[0].end as usize + 4096);
    assert!(before[..start] == after[..start], "sound before the damage changed");
    let rest = after.len() - end;
    assert!(before[before.len() - rest..] == after[end..], "sound after the damage changed");
}

#[test]
fn a_spoiled_stretch_stays_local() {
    let studio = Studio::new();
    // Times tell what is missing, those of the next cluster where the damage reached over a cluster's own.
    check_spoiled(muxed(&studio, 240, 1, true), 3_000, 32);
    check_spoiled(muxed(&studio, 240, 4, false), 60_000, 32);
    let vorbis = ["-c:a", "libvorbis", "-ar", "22050"];
    let path = studio.convert(&studio.speech(240), &vorbis, "a.webm");
    check_spoiled(std::fs::read(path).unwrap(), 30_000, 64);
}

#[test]
fn crafted_headers_cost_nothing() {
    let refused = |bytes: Vec<u8>| probe(&MemorySource::new(bytes)).unwrap_err().to_string();
    let head = element(0x1a45_dfa3, &element(0x4282, b"webm"));
    let segment = b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff";
    let with = |rest: &[u8]| [&head[..], segment, rest].concat();
    assert!(refused(with(&b"\xec\x80".repeat(20_000))).contains("limit"));
    assert!(refused(with(b"\x16\x54\xae\x6b\x08\xff\xff\xff\xff")).contains("limit"));
    assert!(refused(with(&element(0x1f43_b675, &[]))).contains("tracks"));
    assert!(refused(with(b"\x1f\x43")).contains("damaged"));
    assert!(refused(head.clone()).contains("damaged"));
    // Blocks that begin everywhere and lead far away.
    let studio = Studio::new();
    let sound = muxed(&studio, 30, 1, true);
    let frames = |bytes: &[u8]| {
        let source = MemorySource::new(bytes.to_vec());
        plan_chunk(&source, &probe(&source).unwrap(), 0..source.len()).unwrap().frames
    };
    let mut bytes = sound.clone();
    bytes.extend(b"\xa3\x21\x00\x00\x81\0\0\x80".repeat(400_000));
    let begin = std::time::Instant::now();
    let source = MemorySource::new(bytes);
    let init = probe(&source).unwrap();
    let whole = plan_chunk(&source, &init, 0..source.len()).unwrap();
    // The first of them follows a sound block, and passes for one; the others stand where sound was to come.
    let lost = whole.damaged.iter().map(|gap| gap.end.abs_diff(gap.start)).sum::<u64>();
    assert!(lost > 0 && (whole.frames - lost).abs_diff(frames(&sound)) <= 1024);
    assert_eq!(tiled(&plans(&source, &init, 1_000_000)), tiled(&[whole]));
    assert!(begin.elapsed().as_secs() < 30, "{:?}", begin.elapsed());
}
