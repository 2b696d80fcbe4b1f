//! Guesses about time, for people who wait. Pure.

use scriptorium_contracts::Timestamp;
use scriptorium_contracts::job::JobHeader;

/// Seconds that the transcription of a recording will take, before anything of it is known but its name and size.
pub fn processing_seconds(filename: &str, bytes: u64, speed: f64) -> u64 {
    let extension = filename.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    // Bytes a second of usual recordings: CD quality, half of that for lossless compression, 128 kbit/s otherwise.
    let rate = match extension.as_str() {
        "wav" | "aiff" | "aif" | "caf" => 176_400.0,
        "flac" | "alac" => 88_200.0,
        _ => 16_000.0,
    };
    let speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
    // `as` saturates.
    ((bytes as f64 / rate / speed).ceil() as u64).max(1)
}

/// `about 40 seconds`, `about 12 minutes`, `about 2 hours 5 minutes`.
pub fn in_words(seconds: u64) -> String {
    let plural = |count: u64, unit: &str| format!("{count} {unit}{}", if count == 1 { "" } else { "s" });
    if seconds < 90 {
        return format!("about {}", plural(seconds.max(1), "second"));
    }
    let minutes = seconds.div_ceil(60);
    if minutes < 90 {
        return format!("about {}", plural(minutes, "minute"));
    }
    let (hours, rest) = (minutes / 60, minutes % 60);
    match rest {
        0 => format!("about {}", plural(hours, "hour")),
        _ => format!("about {} {}", plural(hours, "hour"), plural(rest, "minute")),
    }
}

/// Seconds until the end, if it goes on as fast as until now: by the chunks uploaded and transcribed since the job was
/// made. `None` before the first one; 0 when the job is over.
pub fn remaining_seconds(header: &JobHeader, now: Timestamp) -> Option<u64> {
    if header.state.is_final() {
        return Some(0);
    }
    let done = u64::from(header.uploaded.len()) + u64::from(header.ended_chunks());
    let all = 2 * u64::from(header.total_chunks());
    let elapsed = now.since(header.created_at);
    (done > 0).then(|| elapsed.saturating_mul(all.saturating_sub(done)).div_ceil(done).div_ceil(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::header;
    use scriptorium_contracts::job::{JobState, MEGABYTE};

    #[test]
    fn durations_in_words() {
        for (seconds, words) in [
            (0, "about 1 second"),
            (40, "about 40 seconds"),
            (90, "about 2 minutes"),
            (720, "about 12 minutes"),
            (7_500, "about 2 hours 5 minutes"),
            (36_000, "about 10 hours"),
            (5_460, "about 1 hour 31 minutes"),
        ] {
            assert_eq!(in_words(seconds), words);
        }
    }

    #[test]
    fn a_larger_recording_takes_longer_and_a_wav_is_shorter_than_an_mp3_of_that_size() {
        assert_eq!(processing_seconds("talk.mp3", 16_000 * 3_600, 15.0), 240);
        assert!(
            processing_seconds("talk.WAV", 100 * MEGABYTE, 15.0)
                < processing_seconds("talk", 100 * MEGABYTE, 15.0)
        );
        assert_eq!(processing_seconds("x", 1, f64::NAN), 1);
    }

    #[test]
    fn remaining_time_follows_the_speed_until_now() {
        let mut header = header(10);
        assert_eq!(remaining_seconds(&header, Timestamp(60_000)), None);
        header.uploaded = (0..5).collect();
        // A quarter of the work in 60 s: 180 s are left.
        assert_eq!(remaining_seconds(&header, header.created_at.plus(60_000)), Some(180));
        header.state = JobState::Completed;
        assert_eq!(remaining_seconds(&header, Timestamp(1)), Some(0));
    }
}
