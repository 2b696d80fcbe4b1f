//! Recordings made at test time, ffmpeg as the judge, and the whole decoded chunk by chunk.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod lossy;
pub mod muxer;
pub mod rows;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use bytes::Bytes;
use scriptorium_media::{
    ByteSource, ChunkPlan, InitSection, MemorySource, PassagePlan, ReadError, native_passage, plan_chunk,
    probe,
};

/// The committed clip: 9.7 s of read speech, 22 050 Hz mono.
pub fn clip() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/LJ001-0001.wav")
}

/// A folder for recordings, removed at the end of the test.
pub struct Studio(tempfile::TempDir);

impl Studio {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Speech of about this length: the clip again and again, each time with another loudness and another pause, with
    /// a little noise so that no two repetitions are equal.
    pub fn speech(&self, seconds: u32) -> PathBuf {
        let mut reader = hound::WavReader::open(clip()).unwrap();
        let spec = reader.spec();
        let clip: Vec<i16> = reader.samples::<i16>().map(Result::unwrap).collect();
        let path = self.path("speech.wav");
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        let mut noise = Noise(u64::from(seconds));
        let (mut written, mut round) = (0, 0u32);
        while written < seconds * spec.sample_rate {
            let gain = [100, 55, 80, 30][round as usize % 4];
            let pause = spec.sample_rate / 10 * (1 + round * 7 % 23);
            for sample in clip.iter().copied().chain(std::iter::repeat_n(0, pause as usize)) {
                let sample = i32::from(sample) * gain / 100 + noise.next(4);
                writer.write_sample(i16::try_from(sample.clamp(-32_768, 32_767)).unwrap()).unwrap();
                written += 1;
            }
            round += 1;
        }
        writer.finalize().unwrap();
        path
    }

    /// Has ffmpeg make `name`; `arguments` stand between input and output.
    pub fn convert(&self, input: &Path, arguments: &[&str], name: &str) -> PathBuf {
        let path = self.path(name);
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-y", "-i"]).arg(input).args(["-fflags", "+bitexact"]);
        let output = command.args(arguments).arg(&path).output().expect("ffmpeg is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        path
    }
}

/// Numbers that are the same in each run.
pub struct Noise(pub u64);

impl Noise {
    /// A number from -range to range.
    pub fn next(&mut self, range: i32) -> i32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i32::try_from((self.0 >> 33) % (2 * u64::try_from(range).unwrap() + 1)).unwrap() - range
    }
}

/// What ffmpeg makes of a recording: interleaved samples.
pub fn ffmpeg(path: &Path) -> Vec<f32> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(path).args([
        "-map",
        "0:a",
        "-f",
        "f32le",
        "-c:a",
        "pcm_f32le",
        "-",
    ]);
    let output = command.output().expect("ffmpeg is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

pub fn load(path: &Path) -> MemorySource {
    MemorySource::new(std::fs::read(path).unwrap())
}

/// The byte ranges of all chunks.
pub fn chunks(len: u64, size: u64) -> Vec<Range<u64>> {
    (0..len.div_ceil(size)).map(|index| index * size..((index + 1) * size).min(len)).collect()
}

/// The plans of all chunks.
pub fn plans(source: &dyn ByteSource, init: &InitSection, size: u64) -> Vec<ChunkPlan> {
    chunks(source.len(), size).into_iter().map(|chunk| plan_chunk(source, init, chunk).unwrap()).collect()
}

/// All passages in order, in frames of the recording; checks that they tile it.
pub fn tiled(plans: &[ChunkPlan]) -> Vec<PassagePlan> {
    let (mut base, mut passages) = (0i64, Vec::<PassagePlan>::new());
    for plan in plans {
        if let Some(absolute) = plan.absolute_start {
            assert_eq!(absolute, base as u64, "the container and the sum disagree");
        }
        for passage in &plan.passages {
            let absolute = PassagePlan { start: base + passage.start, end: base + passage.end, ..*passage };
            assert_eq!(
                absolute.start,
                passages.last().map_or(0, |before| before.end),
                "a hole or an overlap"
            );
            assert!(absolute.end > absolute.start);
            passages.push(absolute);
        }
        base += plan.frames as i64;
    }
    assert_eq!(passages.last().map_or(0, |last| last.end), base, "the passages end where the audio ends");
    passages
}

/// Samples of one passage at the recording's own rate.
pub fn native(source: &dyn ByteSource, init: &InitSection, passage: &PassagePlan) -> Vec<f32> {
    let mut reader = native_passage(source, init, passage).unwrap();
    let mut samples = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        samples.extend(block);
    }
    assert_eq!(samples.len() as u64, passage.frames() * u64::from(init.media.channels));
    samples
}

/// The whole recording in one go: one decoder from the first packet to the last.
pub fn in_one_go(source: &dyn ByteSource, init: &InitSection, frames: u64) -> Vec<f32> {
    let whole = PassagePlan { start: 0, end: frames as i64, restart: init.data_start, skip: 0 };
    native(source, init, &whole)
}

pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "lengths differ");
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

/// The chunk sizes of all exactness tests: tests only, the smallest allowed, and one that divides nothing.
pub const SIZES: [u64; 3] = [SMALLEST, 1_000_000, 300_007];
const SMALLEST: u64 = 64 * 1024;
/// A plan scans a minute around its chunk, however small that is: hundreds of chunks of a dense recording take long, and the
/// two dozen before them were the same case.
const MOST_CHUNKS: u64 = 24;

/// The smallest chunks that a recording of so many bytes is cut into.
pub fn smallest(len: u64) -> u64 {
    SMALLEST.max(len.div_ceil(MOST_CHUNKS))
}

/// [`SIZES`] for a recording of so many bytes.
pub fn sizes(len: u64) -> [u64; 3] {
    [smallest(len), SIZES[1], SIZES[2]]
}

/// Everything that must hold for a sound recording. Returns its init section and passages.
pub fn check_recording(path: &Path, tolerance: f32) -> (InitSection, Vec<PassagePlan>) {
    let source = load(path);
    let init = probe(&source).unwrap();
    let judge = ffmpeg(path);
    let frames = (judge.len() / init.media.channels as usize) as u64;
    let all = plan_chunk(&source, &init, 0..source.len()).unwrap();
    assert_eq!(all.frames, frames, "frames of the whole");
    assert_eq!(all.damaged, []);
    let expected = tiled(std::slice::from_ref(&all));
    assert!(expected.len() as u64 >= frames / u64::from(init.media.sample_rate) / 120, "too few passages");
    let whole = in_one_go(&source, &init, frames);
    assert!(largest_difference(&whole, &judge) <= tolerance, "differs from ffmpeg");
    for size in sizes(source.len()) {
        let passages = tiled(&plans(&source, &init, size));
        assert_eq!(passages, expected, "chunks of {size} bytes");
    }
    let by_passages: Vec<f32> = expected.iter().flat_map(|passage| native(&source, &init, passage)).collect();
    assert!(
        by_passages == whole,
        "differs from decoding in one go by {}",
        largest_difference(&by_passages, &whole)
    );
    if let Some(duration) = init.media.duration_seconds {
        let seconds = frames as f64 / f64::from(init.media.sample_rate);
        // That of Ogg is an estimate.
        let slack = if init.media.container == "ogg" { 0.35 } else { 0.05 };
        assert!((duration - seconds).abs() < slack * seconds, "{duration} s of {seconds} s");
    }
    (init, expected)
}

/// A recording of which only some chunks are there; counts what is read.
pub struct Uploaded {
    pub whole: MemorySource,
    pub chunk_size: u64,
    pub missing: Vec<u32>,
    pub read: Mutex<Vec<Range<u64>>>,
}

impl Uploaded {
    pub fn new(whole: MemorySource, chunk_size: u64) -> Self {
        Self { whole, chunk_size, missing: Vec::new(), read: Mutex::new(Vec::new()) }
    }

    /// First and last byte read so far.
    pub fn reach(&self) -> Range<u64> {
        let read = self.read.lock().unwrap();
        let start = read.iter().map(|range| range.start).min().unwrap_or(0);
        start..read.iter().map(|range| range.end).max().unwrap_or(0)
    }
}

impl ByteSource for Uploaded {
    fn len(&self) -> u64 {
        self.whole.len()
    }

    fn read(&self, offset: u64, len: usize) -> Result<Bytes, ReadError> {
        let end = (offset + len as u64).min(self.len());
        let touched = offset / self.chunk_size..end.div_ceil(self.chunk_size);
        for chunk in touched {
            let chunk = u32::try_from(chunk).unwrap();
            if self.missing.contains(&chunk) {
                return Err(ReadError::Missing { chunk });
            }
        }
        self.read.lock().unwrap().push(offset..end);
        self.whole.read(offset, len)
    }
}
