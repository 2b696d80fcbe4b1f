//! Chained Ogg: one recording behind the other, with links that can't be joined, or read.

use std::path::{Path, PathBuf};

use scriptorium_media::{ByteSource, ChunkPlan, MemorySource, plan_chunk, probe};

use crate::support::{
    SIZES, Studio, clip, ffmpeg, in_one_go, largest_difference, load, native, plans, tiled,
};
use crate::{OPUS, VORBIS, arguments, libopus, pages};

fn chain(studio: &Studio, links: &[&Path], name: &str) -> PathBuf {
    let path = studio.path(name);
    std::fs::write(&path, links.iter().flat_map(|link| std::fs::read(link).unwrap()).collect::<Vec<u8>>())
        .unwrap();
    path
}

/// A chain has to sound like its links one after the other, whatever the chunks. `judge`: what the links sound like.
fn check_chain(path: &Path, judge: &[f32], tolerance: f32, apart: f32) -> ChunkPlan {
    let source = load(path);
    let init = probe(&source).unwrap();
    let frames = judge.len() as u64 / u64::from(init.media.channels);
    let all = plan_chunk(&source, &init, 0..source.len()).unwrap();
    assert_eq!(all.frames, frames, "frames of the whole");
    let expected = tiled(std::slice::from_ref(&all));
    for size in SIZES.into_iter().chain([20_011]) {
        assert_eq!(tiled(&plans(&source, &init, size)), expected, "chunks of {size} bytes");
    }
    let whole = in_one_go(&source, &init, frames);
    let difference = largest_difference(&whole, judge);
    assert!(difference <= tolerance, "differs from the links by {difference}");
    let passages: Vec<f32> = expected.iter().flat_map(|passage| native(&source, &init, passage)).collect();
    let difference = largest_difference(&passages, &whole);
    assert!(difference <= apart, "differs from decoding in one go by {difference}");
    all
}

const SECOND_SERIAL: [&str; 2] = ["-serial_offset", "77"];

#[test]
fn a_chain_of_equal_links() {
    let studio = Studio::new();
    let (long, short) = (studio.speech(150), clip());
    for (codec, tolerance, apart) in [("libvorbis", VORBIS, 0.0), ("flac", 0.0, 0.0), ("libopus", OPUS, 0.1)]
    {
        let judge = if codec == "libopus" { libopus } else { ffmpeg };
        let a = studio.convert(&short, &["-c:a", codec], "a.ogg");
        let b = studio.convert(&long, &arguments(&[&["-c:a", codec], &SECOND_SERIAL]), "b.ogg");
        let c = studio.convert(&short, &["-c:a", codec, "-serial_offset", "3000"], "c.ogg");
        let path = chain(&studio, &[&a, &b, &c], "chain.ogg");
        let plan = check_chain(&path, &[judge(&a), judge(&b), judge(&c)].concat(), tolerance, apart);
        assert_eq!(plan.damaged, [], "{codec}");
    }
}

#[test]
fn a_chain_of_a_file_with_itself() {
    let studio = Studio::new();
    let speech = studio.speech(100);
    for (codec, tolerance, apart) in [("libvorbis", VORBIS, 0.0), ("flac", 0.0, 0.0), ("libopus", OPUS, 0.1)]
    {
        let judge = if codec == "libopus" { libopus } else { ffmpeg };
        let a = studio.convert(&speech, &["-c:a", codec], "a.ogg");
        let path = chain(&studio, &[&a, &a], "chain.ogg");
        let plan = check_chain(&path, &[judge(&a), judge(&a)].concat(), tolerance, apart);
        assert_eq!(plan.damaged, [], "{codec}");
    }
}

#[test]
fn a_chain_of_links_with_other_setups() {
    let studio = Studio::new();
    let speech = studio.speech(90);
    let vorbis = ["-c:a", "libvorbis", "-ar", "44100", "-q:a"];
    let a = studio.convert(&speech, &arguments(&[&vorbis, &["1"]]), "a.ogg");
    let b = arguments(&[&vorbis, &["7"], &SECOND_SERIAL, &["-ac", "2"]]);
    let b = studio.convert(&speech, &b, "b.ogg");
    // Both channels of the second link are alike, but coded with loss.
    let second: Vec<f32> = ffmpeg(&b).chunks_exact(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect();
    let path = chain(&studio, &[&a, &b, &a], "chain.ogg");
    check_chain(&path, &[ffmpeg(&a), second, ffmpeg(&a)].concat(), VORBIS, 0.0);
}

#[test]
fn a_link_that_cannot_be_joined_is_silence_of_its_duration() {
    let studio = Studio::new();
    let speech = studio.speech(70);
    let vorbis = ["-c:a", "libvorbis", "-q:a", "3", "-ar"];
    let a = studio.convert(&speech, &arguments(&[&vorbis, &["22050"]]), "a.ogg");
    let faster = studio.convert(&speech, &arguments(&[&vorbis, &["44100"], &SECOND_SERIAL]), "b.ogg");
    let opus = studio.convert(&clip(), &["-c:a", "libopus", "-serial_offset", "3000"], "b.opus");
    let path = chain(&studio, &[&a, &faster, &opus, &a], "chain.ogg");
    let source = load(&path);
    let init = probe(&source).unwrap();
    let own = ffmpeg(&a).len() as i64;
    let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
    let seconds = (own as f64 + 212_893.0) / 22_050.0;
    let [gap] = plan.damaged[..] else { panic!("{:?}", plan.damaged) };
    assert_eq!((gap.start, gap.end), (own, plan.frames as i64 - own));
    let silent = (gap.end - gap.start) as f64 / 22_050.0;
    assert!((silent - seconds).abs() < 0.1, "{silent} s of {seconds} s");
    let judge = [ffmpeg(&a), vec![0.0; (gap.end - gap.start) as usize], ffmpeg(&a)].concat();
    check_chain(&path, &judge, VORBIS, 0.0);
}

/// Frames that are told as damaged between `before` and the last `after` frames; workers agree on it.
fn hurt_between(bytes: Vec<u8>, before: u64, after: u64) -> u64 {
    let source = MemorySource::new(bytes);
    let init = probe(&source).unwrap();
    let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
    let [gap] = plan.damaged[..] else { panic!("{:?}", plan.damaged) };
    assert_eq!((gap.start as u64, gap.end as u64), (before, plan.frames - after));
    let expected = tiled(std::slice::from_ref(&plan));
    for size in SIZES {
        assert_eq!(tiled(&plans(&source, &init, size)), expected, "chunks of {size} bytes");
    }
    plan.frames - after - before
}

/// A page that belongs to nothing, between two pages of a stream, is no loss.
#[test]
fn a_foreign_page_changes_nothing() {
    let studio = Studio::new();
    let vorbis = ["-c:a", "libvorbis", "-ar", "44100", "-q:a", "3"];
    let path = studio.convert(&studio.speech(70), &vorbis, "a.ogg");
    let other = studio.convert(&clip(), &arguments(&[&vorbis, &SECOND_SERIAL]), "b.ogg");
    let (sound, other) = (std::fs::read(&path).unwrap(), std::fs::read(other).unwrap());
    let (own, foreign) = (pages(&sound), pages(&other));
    let at = own[own.len() / 2];
    let mixed = [&sound[..at], &other[foreign[5]..foreign[6]], &sound[at..]].concat();
    let (sound, mixed) = (MemorySource::new(sound), MemorySource::new(mixed));
    let init = probe(&sound).unwrap();
    let whole = plan_chunk(&sound, &init, 0..sound.len()).unwrap();
    let init = probe(&mixed).unwrap();
    let plan = plan_chunk(&mixed, &init, 0..mixed.len()).unwrap();
    assert_eq!((plan.frames, &plan.damaged[..]), (whole.frames, &[][..]));
    for size in SIZES {
        assert_eq!(tiled(&plans(&mixed, &init, size)), tiled(std::slice::from_ref(&plan)));
    }
}

#[test]
fn a_link_that_cannot_be_read_is_a_gap() {
    let studio = Studio::new();
    let speech = studio.speech(70);
    let vorbis = ["-c:a", "libvorbis", "-ar", "44100", "-ac", "1", "-q:a", "3"];
    let a = studio.convert(&speech, &vorbis, "a.ogg");
    let b = std::fs::read(studio.convert(&speech, &arguments(&[&vorbis, &SECOND_SERIAL]), "b.ogg")).unwrap();
    let surround = ["-c:a", "libopus", "-ac", "6", "-b:a", "96k", "-serial_offset", "3000"];
    let surround = std::fs::read(studio.convert(&clip(), &surround, "b.opus")).unwrap();
    let own = (ffmpeg(&a).len()) as u64;
    let a = std::fs::read(a).unwrap();
    // Its first page lost.
    let mut headless = b.clone();
    headless[20] ^= 1;
    // So many frames have lain in so many bytes; those of speech do not vary much.
    let about = |bytes: usize| own * bytes as u64 / a.len() as u64;
    for lost in [headless, surround] {
        for behind in [&a[..], &[]] {
            let after = if behind.is_empty() { 0 } else { own };
            let frames = hurt_between([&a[..], &lost, behind].concat(), own, after);
            assert!(frames.abs_diff(about(lost.len())) < about(lost.len()) / 10, "{frames} frames");
        }
    }
    // The end of one link is noise: what it held is lost, and the next one is whole.
    let mut hurt = [&a[..], &b[..]].concat();
    let noise = a.len() * 3 / 4;
    hurt[noise..a.len()]
        .iter_mut()
        .zip((0..).map(|n: u64| n * n % 251))
        .for_each(|(byte, n)| *byte = n as u8);
    let source = MemorySource::new(hurt.clone());
    let init = probe(&source).unwrap();
    let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
    let kept = plan.damaged[0].start as u64;
    assert!((own * 2 / 3..own * 4 / 5).contains(&kept), "{kept} of {own} frames");
    let frames = hurt_between(hurt, kept, own);
    assert!(frames.abs_diff(own - kept) < own / 10, "{frames} frames");
}
