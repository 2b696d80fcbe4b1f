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
    let (reference, text) = (words(reference), words(text));
    let mut row: Vec<usize> = (0..=text.len()).collect();
    for (i, expected) in reference.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, found) in text.iter().enumerate() {
            let replaced = diagonal + usize::from(expected != found);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[text.len()] as f64 / reference.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_word_errors() {
        assert_eq!(word_error_rate("a b c d", "a b c d"), 0.0);
        assert_eq!(word_error_rate("a b c d", "A, x c. D e"), 0.5);
        assert_eq!(word_error_rate("a b", ""), 1.0);
    }
}
