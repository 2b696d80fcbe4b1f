//! R26, the table in docs/formats.md: each row is a recording that is cut into chunks of all sizes, which come in every
//! order, and loses no sample.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod support;

use std::path::Path;

use scriptorium_media::{ByteSource, ChunkPlan, InitSection, MemorySource, plan_chunk, probe};
use support::lossy::{ffmpeg_by, relative_difference};
use support::rows::{Promise, ROWS, Row};
use support::{
    Studio, Uploaded, chunks, ffmpeg, in_one_go, largest_difference, load, native, smallest, tiled,
};

/// Seconds of speech in each recording.
const SECONDS: u32 = 70;
/// 64 KiB for the test only, and more where these would be too many; the others may be asked for, and two are primes.
const SIZES: [u64; 5] = [64 * 1024, 300_007, 1_048_576, 1_299_709, 5_242_880];

/// The orders in which chunks come: forward, backwards, shuffled, the last one first.
fn orders(chunks: u32) -> [Vec<u32>; 4] {
    let forward: Vec<u32> = (0..chunks).collect();
    let mut shuffled = forward.clone();
    shuffled.sort_by_key(|chunk| chunk.wrapping_mul(0x9e37_79b9).rotate_left(7));
    let mut last_first = forward.clone();
    last_first.rotate_right(1);
    [forward.clone(), forward.into_iter().rev().collect(), shuffled, last_first]
}

/// Plans every chunk as soon as what it needs is there, as workers do that are told which chunk they lack.
fn plans_as_they_come(source: &MemorySource, size: u64, order: &[u32]) -> Vec<ChunkPlan> {
    let ranges = chunks(source.len(), size);
    let mut uploaded = Uploaded::new(source.clone(), size);
    uploaded.missing = order.to_vec();
    let mut init: Option<InitSection> = None;
    let mut plans: Vec<Option<ChunkPlan>> = vec![None; ranges.len()];
    for chunk in order {
        uploaded.missing.retain(|missing| missing != chunk);
        if init.is_none() {
            init = found(probe(&uploaded), &uploaded.missing);
        }
        let Some(init) = &init else { continue };
        for (index, range) in ranges.iter().enumerate() {
            let there = !uploaded.missing.contains(&u32::try_from(index).unwrap());
            if there && plans[index].is_none() {
                plans[index] = found(plan_chunk(&uploaded, init, range.clone()), &uploaded.missing);
            }
        }
    }
    plans.into_iter().map(|plan| plan.expect("all is there, and a chunk still waits")).collect()
}

/// What waits must name a chunk that is really missing.
fn found<T>(outcome: Result<T, scriptorium_media::MediaError>, missing: &[u32]) -> Option<T> {
    match outcome {
        Ok(found) => Some(found),
        Err(problem) => {
            let needed = problem.missing_chunk().unwrap_or_else(|| panic!("{problem}"));
            assert!(missing.contains(&needed), "waits for chunk {needed}, which is there");
            None
        }
    }
}

fn judge(row: &Row, path: &Path) -> Vec<f32> {
    row.judge.map_or_else(|| ffmpeg(path), |decoder| ffmpeg_by(decoder, path))
}

fn check(row: &Row) {
    let name = format!("{}, {}", row.container, row.codec);
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(SECONDS), row.arguments, &format!("a.{}", row.ending));
    let source = load(&path);
    let init = probe(&source).unwrap();
    let all = plan_chunk(&source, &init, 0..source.len()).unwrap();
    let expected = tiled(std::slice::from_ref(&all));
    for size in SIZES.map(|size| size.max(smallest(source.len()))) {
        for order in orders(u32::try_from(source.len().div_ceil(size)).unwrap()) {
            let plans = plans_as_they_come(&source, size, &order);
            assert_eq!(tiled(&plans), expected, "{name}: chunks of {size} bytes in the order {order:?}");
        }
    }
    let judge = judge(row, &path);
    let channels = u64::from(init.media.channels);
    assert_eq!(all.frames * channels, judge.len() as u64, "{name}: samples are lost or doubled");
    let passages: Vec<f32> = expected.iter().flat_map(|passage| native(&source, &init, passage)).collect();
    let whole = in_one_go(&source, &init, all.frames);
    match row.promise {
        Promise::Exact => assert!(passages == judge && whole == judge, "{name}: not bit for bit"),
        Promise::Within(steps) => {
            let difference = largest_difference(&passages, &judge) * 32_768.0;
            assert!(difference <= steps as f32, "{name}: differs by {difference} steps");
            assert!(passages == whole, "{name}: passages differ from decoding in one go");
        }
        Promise::Alike(percent) => {
            let difference = 100.0 * relative_difference(&judge, &passages);
            assert!(difference <= f64::from(percent), "{name}: differs by {difference} %");
        }
    }
}

/// Recordings that are large enough for several chunks of 5 MB, in the kinds that make the smallest ones.
#[test]
fn large_recordings() {
    let studio = Studio::new();
    let speech = studio.speech(380);
    let kinds: [(&str, &[&str]); 4] = [
        ("a.mp3", &["-b:a", "320k", "-ar", "44100", "-ac", "2"]),
        ("a.m4a", &["-b:a", "256k", "-ar", "44100", "-ac", "2", "-aac_pns", "0"]),
        ("a.ogg", &["-c:a", "libvorbis", "-q:a", "10", "-ar", "44100", "-ac", "2"]),
        ("a.webm", &["-c:a", "libopus", "-b:a", "256k", "-vbr", "off", "-ac", "2"]),
    ];
    for (name, arguments) in kinds {
        let path = studio.convert(&speech, arguments, name);
        let source = load(&path);
        assert!(source.len() > 2 * SIZES[4], "{name} has {} bytes", source.len());
        let init = probe(&source).unwrap();
        let all = plan_chunk(&source, &init, 0..source.len()).unwrap();
        let channels = init.media.channels as usize;
        assert_eq!(
            all.frames as usize,
            ffmpeg(&path).len() / channels,
            "{name}: samples are lost or doubled"
        );
        let expected = tiled(std::slice::from_ref(&all));
        for size in &SIZES[2..] {
            let orders = orders(u32::try_from(source.len().div_ceil(*size)).unwrap());
            // Each of the smaller chunks is planned again and again: in one order.
            let tried = if *size == SIZES[4] { &orders[..] } else { &orders[2..3] };
            for order in tried {
                let plans = plans_as_they_come(&source, *size, order);
                assert_eq!(tiled(&plans), expected, "{name}: chunks of {size} bytes in the order {order:?}");
            }
        }
    }
}

/// The rows of one ending, so that they run side by side.
fn check_all(endings: &[&str]) {
    let rows: Vec<&Row> = ROWS.iter().filter(|row| endings.contains(&row.ending)).collect();
    assert!(!rows.is_empty());
    for row in rows {
        check(row);
    }
}

#[test]
fn wave_and_its_relatives() {
    check_all(&["wav", "w64", "au"]);
}

#[test]
fn aiff_and_caf() {
    check_all(&["aiff", "caf"]);
}

#[test]
fn flac() {
    check_all(&["flac"]);
}

#[test]
fn mp3() {
    check_all(&["mp3"]);
}

#[test]
fn adts() {
    check_all(&["aac"]);
}

#[test]
fn mp4_and_quicktime() {
    check_all(&["m4a", "mp4", "mov"]);
}

#[test]
fn ogg() {
    check_all(&["ogg", "opus"]);
}

#[test]
fn webm_and_matroska() {
    check_all(&["webm", "mka"]);
}

/// Every row is checked by one of the tests above.
#[test]
fn no_row_is_left_out() {
    const CHECKED: [&str; 15] = [
        "wav", "w64", "au", "aiff", "caf", "flac", "mp3", "aac", "m4a", "mp4", "mov", "ogg", "opus", "webm",
        "mka",
    ];
    assert!(ROWS.iter().all(|row| CHECKED.contains(&row.ending)));
    assert!(ROWS.len() >= 25);
}

fn table() -> String {
    let mut table =
        String::from("| container | codec | packets are found by | samples |\n|---|---|---|---|\n");
    for row in ROWS {
        let promise = match row.promise {
            Promise::Exact => "bit for bit".to_owned(),
            Promise::Within(steps) => format!("within {steps} steps of 16 bits"),
            Promise::Alike(percent) => format!("difference at most {percent} % as loud"),
        };
        table += &format!("| {} | {} | {} | {promise} |\n", row.container, row.codec, row.cut);
    }
    table
}

/// `SCRIPTORIUM_WRITE_DOCS=1` writes it anew.
#[test]
fn the_page_of_formats_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- table: begin -->\n", "<!-- table: end -->");
    let (before, rest) = page.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let wanted = format!("{before}{begin}{}{end}{after}", table());
    if std::env::var("SCRIPTORIUM_WRITE_DOCS").is_ok_and(|value| value == "1") {
        std::fs::write(&path, &wanted).unwrap();
        return;
    }
    assert!(page == wanted, "docs/formats.md is out of date; `make docs` writes it");
}
