//! Recordings for the tests, made of the committed sample with ffmpeg.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Real speech of some minutes (tests/fixtures/README.md).
pub fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sample.flac")
}

/// What is said in the sample.
pub fn sample_text() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sample.txt");
    std::fs::read_to_string(path).unwrap()
}

/// The sample as ffmpeg makes it with `arguments`, e.g. `["-b:a", "64k"]`, in the container that `ending` names.
pub fn converted(arguments: &[&str], ending: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join(format!("recording.{ending}"));
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-i"])
        .arg(sample())
        .args(["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact"])
        .args(arguments)
        .arg(&target)
        .output()
        .expect("ffmpeg is needed: scripts/setup.sh installs it");
    assert!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(target).unwrap()
}

/// What ffmpeg's filter graph `source` gives, as 16-bit WAV.
pub fn generated(source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("generated.wav");
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-f", "lavfi", "-i", source])
        .args(["-fflags", "+bitexact", "-c:a", "pcm_s16le"])
        .arg(&target)
        .status()
        .expect("ffmpeg is needed: scripts/setup.sh installs it");
    assert!(status.success());
    std::fs::read(target).unwrap()
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Word error rate: edit distance in words over the length of the reference.
pub fn word_error_rate(reference: &str, text: &str) -> f64 {
    let (distances, words) = distances(reference, text);
    distances.last().copied().unwrap_or_default() as f64 / words.max(1) as f64
}

/// The same for a text of the reference's beginning, and the number of words of the beginning that fits best.
pub fn word_error_rate_of_beginning(reference: &str, text: &str) -> (f64, usize) {
    let (distances, _) = distances(reference, text);
    let best = (0..).zip(&distances).min_by_key(|(_, distance)| **distance);
    best.map_or((1.0, 0), |(words, distance)| (*distance as f64 / words.max(1) as f64, words))
}

/// Edit distances, in words, of the text from the first 0, 1, 2, … words of the reference, and the reference's length.
fn distances(reference: &str, text: &str) -> (Vec<usize>, usize) {
    let (reference, text) = (words(reference), words(text));
    let mut row: Vec<usize> = (0..=text.len()).collect();
    let mut distances = vec![text.len()];
    for (i, expected) in reference.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, found) in text.iter().enumerate() {
            let replaced = diagonal + usize::from(expected != found);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
        distances.push(row[text.len()]);
    }
    (distances, reference.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_word_errors() {
        assert_eq!(word_error_rate("a b c d", "a b c d"), 0.0);
        assert_eq!(word_error_rate("a b c d", "A, x c. D e"), 0.5);
        assert_eq!(word_error_rate("a b", ""), 1.0);
        assert_eq!(word_error_rate_of_beginning("a b c d e f", "a x c d"), (0.25, 4));
        assert_eq!(word_error_rate_of_beginning("a b", ""), (0.0, 0));
    }
}
