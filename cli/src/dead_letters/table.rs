//! Dead letters as text. Pure.

use crate::jobs::table::{date, plain};
use scriptorium_contracts::Timestamp;
use scriptorium_shared::queue::{DeadLetter, Topic};
use serde_json::json;
use std::fmt::Write;

/// Characters of a reason.
const LONGEST_REASON: usize = 500;

/// One line a letter, with a line of titles before them.
pub fn rows(letters: &[DeadLetter]) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:16}  {:11}  {:36}  {:>5}  {:19}  REASON",
        "ID", "TOPIC", "JOB", "CHUNK", "TIME (UTC)"
    );
    for letter in letters {
        let _ = writeln!(
            out,
            "{:16}  {:11}  {:36}  {:>5}  {:19}  {}",
            letter.id,
            letter.topic.map_or("unknown", Topic::name),
            letter.job.map_or_else(|| "-".to_owned(), |job| job.to_string()),
            letter.chunk.map_or_else(|| "-".to_owned(), |chunk| chunk.to_string()),
            letter.died_at.map_or_else(|| "-".to_owned(), |at| date(at.0)),
            plain(&letter.reason, LONGEST_REASON),
        );
    }
    out
}

/// One line of JSON.
pub fn json(letter: &DeadLetter) -> String {
    let line = json!({
        "id": letter.id,
        "topic": letter.topic.map(Topic::name),
        "job": letter.job,
        "chunk": letter.chunk,
        "died_at": letter.died_at.map(Timestamp::rfc3339),
        "reason": letter.reason,
        "bytes": letter.bytes,
    });
    format!("{line}\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_letter_is_one_line_whatever_its_reason_holds() {
        let letter = DeadLetter {
            id: "0123456789abcdef".to_owned(),
            topic: Some(Topic::Tasks),
            job: Some("018c2f5e-7d3a-7b1c-9f00-0123456789ab".parse().unwrap()),
            chunk: Some(7),
            reason: "line\nbreak\u{1b}[31m".to_owned(),
            died_at: Some(Timestamp(1_795_351_200_000)),
            bytes: 12,
        };
        let lost = DeadLetter { topic: None, job: None, chunk: None, died_at: None, ..letter.clone() };
        let text = rows(&[letter.clone(), lost.clone()]);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        let line = text.lines().nth(1).unwrap();
        let parts = ["0123456789abcdef", "tasks", "018c2f5e", "    7  ", "2026-11-22 12:40:00", "line"];
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        assert!(text.lines().nth(2).unwrap().contains("unknown"), "{text}");
        for (letter, topic) in [(letter, json!("tasks")), (lost, json!(null))] {
            let line = json(&letter);
            assert_eq!(line.lines().count(), 1);
            let read: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!((&read["topic"], &read["reason"]), (&topic, &json!(letter.reason)));
        }
    }
}
