//! Recordings for the tests, made of the committed sample with ffmpeg.

use crate::dice::Dice;
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
    convert(&sample(), arguments, ending)
}

fn convert(source: &Path, arguments: &[&str], ending: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join(format!("recording.{ending}"));
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-i"])
        .arg(source)
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

/// Samples a second of [`speech`].
pub const SPEECH_RATE: usize = 16_000;

/// Real speech of so many seconds, 16 kHz mono: the sentences of the sample, in an order that is another one each time round and
/// that depends on the seed. So however long it is, hardly a minute of it comes twice.
pub fn speech(seconds: usize, seed: u64) -> Vec<i16> {
    /// The sample has 0.35 s of silence after each sentence.
    const PAUSE: usize = SPEECH_RATE * 3 / 10;
    let samples = samples(&converted(&["-ar", "16000", "-c:a", "pcm_s16le", "-f", "s16le"], "raw"));
    let (mut sentences, mut from, mut silent) = (Vec::new(), 0, 0);
    for (at, sample) in samples.iter().enumerate() {
        if sample.unsigned_abs() > 8 {
            if silent >= PAUSE {
                sentences.push(&samples[from..at]);
                from = at;
            }
            silent = 0;
        } else {
            silent += 1;
        }
    }
    sentences.push(&samples[from..]);
    assert_eq!(sentences.len(), 32, "the sample's sentences");
    let (mut dice, mut speech) = (Dice::new(seed), Vec::new());
    while speech.len() < seconds * SPEECH_RATE {
        dice.shuffle(&mut sentences);
        speech.extend(sentences.concat());
    }
    speech.truncate(seconds * SPEECH_RATE);
    speech
}

/// Such samples as a 16-bit WAV file.
pub fn wav(samples: &[i16]) -> Vec<u8> {
    let (size, rate) = (2 * samples.len() as u32, SPEECH_RATE as u32);
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + size).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend(rate.to_le_bytes());
    bytes.extend((2 * rate).to_le_bytes());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend(size.to_le_bytes());
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    bytes
}

/// The same in another form, as ffmpeg makes it with `arguments`.
pub fn encoded(samples: &[i16], arguments: &[&str], ending: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("speech.wav");
    std::fs::write(&source, wav(samples)).unwrap();
    convert(&source, arguments, ending)
}

fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|sample| i16::from_le_bytes([sample[0], sample[1]])).collect()
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
    fn long_speech_is_the_same_for_the_same_seed_and_nothing_of_it_comes_twice() {
        let one = speech(600, 7);
        assert_eq!(one.len(), 600 * SPEECH_RATE);
        assert!(speech(600, 7) == one && speech(600, 8) != one);
        assert!(speech(300, 7) == one[..300 * SPEECH_RATE]);
        let pieces: Vec<&[i16]> = one.chunks_exact(20 * SPEECH_RATE).collect();
        assert!((1..pieces.len()).all(|at| !pieces[..at].contains(&pieces[at])));
        assert_eq!(
            &wav(&one[..3])[40..],
            [6, 0, 0, 0]
                .iter()
                .copied()
                .chain(one[..3].iter().flat_map(|x| x.to_le_bytes()))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn counts_word_errors() {
        assert_eq!(word_error_rate("a b c d", "a b c d"), 0.0);
        assert_eq!(word_error_rate("a b c d", "A, x c. D e"), 0.5);
        assert_eq!(word_error_rate("a b", ""), 1.0);
        assert_eq!(word_error_rate_of_beginning("a b c d e f", "a x c d"), (0.25, 4));
        assert_eq!(word_error_rate_of_beginning("a b", ""), (0.0, 0));
    }
}
