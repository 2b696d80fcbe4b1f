//! What must hold where a decoder carries more history than a restart gives back.

use std::path::Path;
use std::process::Command;

use scriptorium_media::{ByteSource, InitSection, PassagePlan, plan_chunk, probe};

use super::{in_one_go, load, native, plans, sizes, tiled};

/// Root mean square.
pub fn rms(samples: &[f32]) -> f64 {
    (samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len().max(1) as f64)
        .sqrt()
}

/// How loud the difference is, against the first.
pub fn relative_difference(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len(), "lengths differ");
    let difference: Vec<f32> = a.iter().zip(b).map(|(x, y)| x - y).collect();
    rms(&difference) / rms(a)
}

/// What ffmpeg makes of a recording with the decoder of this name.
pub fn ffmpeg_by(decoder: &str, path: &Path) -> Vec<f32> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-c:a", decoder, "-i"]).arg(path);
    command.args(["-map", "0:a", "-f", "f32le", "-c:a", "pcm_f32le", "-"]);
    let output = command.output().expect("ffmpeg is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// As `check_recording`, but with bounds on the differences to ffmpeg's decoder of this name: in one go, and passage by
/// passage.
pub fn check_lossy(path: &Path, decoder: &str, tolerance: (f64, f64)) -> (InitSection, Vec<PassagePlan>) {
    let source = load(path);
    let init = probe(&source).unwrap();
    let judge = ffmpeg_by(decoder, path);
    let frames = (judge.len() / init.media.channels as usize) as u64;
    let all = plan_chunk(&source, &init, 0..source.len()).unwrap();
    assert_eq!(all.frames, frames, "frames of the whole");
    assert_eq!(all.damaged, []);
    let expected = tiled(std::slice::from_ref(&all));
    assert!(expected.len() as u64 >= frames / u64::from(init.media.sample_rate) / 120, "too few passages");
    for size in sizes(source.len()) {
        assert_eq!(tiled(&plans(&source, &init, size)), expected, "chunks of {size} bytes");
    }
    let whole = in_one_go(&source, &init, frames);
    let decoded = || expected.iter().rev().map(|passage| native(&source, &init, passage)).rev();
    let by_passages: Vec<f32> = decoded().flatten().collect();
    assert!(
        by_passages.iter().eq(decoded().flatten().collect::<Vec<f32>>().iter()),
        "a passage sounds different"
    );
    for (name, samples, bound) in
        [("in one go", &whole, tolerance.0), ("by passages", &by_passages, tolerance.1)]
    {
        let difference = relative_difference(&judge, samples);
        assert!(difference <= bound, "{name}: differs from ffmpeg by {difference}");
    }
    (init, expected)
}
