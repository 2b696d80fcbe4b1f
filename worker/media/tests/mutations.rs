//! Thousands of changes to small recordings of each container: no panic, no endless reading or working, bounded memory,
//! and workers that agree. The same on every run; the fuzz targets look further.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../fuzz/src/check.rs"]
mod check;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time for each folder of seeds; whoever looks for more gives another number of seconds.
const SECONDS: u64 = 4;
const SECONDS_VARIABLE: &str = "MUTATION_SECONDS";
/// Changed versions of each seed for each of these seconds, unless the time is up before.
const ROUNDS: u64 = 250;
/// Longest that one version may take, on a machine that is busy with much else.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most memory of the whole process, in MiB.
const MEMORY: u64 = 512;

/// Numbers that follow from a seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// A place in a file: half of them at its beginning, where the headers are, and some at its end.
    fn place(&mut self, len: usize) -> usize {
        match self.below(8) {
            0..4 => self.below(len.min(600)),
            4 => len - 1 - self.below(len.min(600)),
            _ => self.below(len),
        }
    }
}

/// One to eight changes.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..1 + random.below(8) {
        if bytes.is_empty() {
            return;
        }
        let at = random.place(bytes.len());
        let width = [1, 2, 3, 4, 8][random.below(5)].min(bytes.len() - at);
        let stretch = random.below(3_000).min(bytes.len() - at);
        match random.below(10) {
            0 | 1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = random.next() as u8,
            // Sizes and counts.
            3 => bytes[at..at + width].fill(0),
            4 => bytes[at..at + width].fill(0xff),
            5 => bytes[at] = bytes[at].wrapping_add([1, 0xff, 0x80][random.below(3)]),
            6 => drop(bytes.drain(at..at + stretch)),
            7 => bytes.extend_from_within(at..at + stretch),
            8 => bytes.truncate(at),
            _ => {
                let from = random.place(other.len());
                let piece = &other[from..(from + stretch).min(other.len())];
                drop(bytes.splice(at..at, piece.iter().copied()));
            }
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Most memory that this process ever had, in MiB.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

/// Checks one version; a failure names it.
fn survive(bytes: &[u8], seed: &Path, round: u64) {
    let begun = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| check::check(bytes)));
    assert!(result.is_ok(), "round {round} of {}", seed.display());
    assert!(begun.elapsed() < PATIENCE, "round {round} of {} took {:?}", seed.display(), begun.elapsed());
}

/// Rounds of all seeds of a folder in turn, as long as there is time.
fn folder(folder: &Path, time: Duration) -> u64 {
    let seeds: Vec<(PathBuf, Vec<u8>)> =
        files(folder).into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    let begun = Instant::now();
    let mut done = 0;
    for round in 0..ROUNDS * time.as_secs() {
        for (index, (path, seed)) in seeds.iter().enumerate() {
            if begun.elapsed() > time {
                return done;
            }
            let mut random = Random(round << 8 | index as u64);
            let mut bytes = seed.clone();
            let other = &seeds[random.below(seeds.len())].1;
            mutate(&mut bytes, other, &mut random);
            survive(&bytes, path, round);
            done += 1;
        }
    }
    done
}

#[test]
fn changed_recordings_are_survived() {
    #[allow(clippy::disallowed_methods)]
    let seconds = std::env::var(SECONDS_VARIABLE).ok().map_or(SECONDS, |text| text.parse().unwrap());
    let folders = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds"));
    assert!(folders.len() >= 7);
    for path in folders {
        let done = folder(&path, Duration::from_secs(seconds));
        let memory = peak();
        println!("{}: {done} versions, {memory:?} MiB", path.display());
        assert!(done > 0 && memory.is_none_or(|memory| memory < MEMORY), "{memory:?} MiB");
    }
}

#[test]
fn every_beginning_of_a_recording_is_survived() {
    for path in
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds")).iter().flat_map(|path| files(path))
    {
        let bytes = std::fs::read(&path).unwrap();
        for len in (0..200).step_by(7).chain((200..bytes.len()).step_by(bytes.len() / 12)) {
            survive(&bytes[..len.min(bytes.len())], &path, len as u64);
        }
    }
}

#[test]
fn seeds_of_supported_containers_are_recordings() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for container in ["aiff", "au", "caf", "flac", "mp3", "w64", "wav"] {
        for path in files(&seeds.join(container)) {
            assert!(check::check(&std::fs::read(&path).unwrap()), "{}", path.display());
        }
    }
}
