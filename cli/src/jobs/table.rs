//! Jobs as text for people. Pure.

use crate::client::wire::{DeletedJob, JobDetails, JobRow};
use scriptorium_contracts::{JobId, Timestamp};
use std::fmt::Write;

/// Characters of a file's name that are shown.
const LONGEST_NAME: usize = 60;

/// One line a job; `first`: with a line of titles before them.
pub fn rows(rows: &[JobRow], first: bool) -> String {
    let mut out = String::new();
    if first {
        let _ = writeln!(
            out,
            "{:36}  {:21}  {:>4}  {:>9}  {:19}  FILE",
            "JOB", "STATUS", "DONE", "SIZE", "CREATED (UTC)"
        );
    }
    for row in rows {
        let _ = writeln!(
            out,
            "{:36}  {:21}  {:>3}%  {:>9}  {:19}  {}",
            plain(&row.parent_job_id, 36),
            plain(&row.status, 21),
            row.progress,
            size(row.total_size),
            date(row.created_at_ms),
            plain(&row.filename, LONGEST_NAME),
        );
    }
    out
}

/// A line a property.
pub fn details(job: &JobDetails) -> String {
    let row = &job.row;
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "{:10} {value}", format!("{name}:"));
    };
    line("job", plain(&row.parent_job_id, 36));
    line("file", plain(&row.filename, 1_000));
    line("status", format!("{} ({}%)", plain(&row.status, 40), row.progress));
    line("size", format!("{} ({} bytes)", size(row.total_size), row.total_size));
    line(
        "chunks",
        format!(
            "{} uploaded, {} completed, {} failed, of {}",
            job.uploaded_chunks, job.completed_chunks, job.failed_chunks, job.total_chunks
        ),
    );
    line("created", format!("{} UTC", date(row.created_at_ms)));
    if let Some(finished) = job.finished_at_ms {
        line("finished", format!("{} UTC", date(finished)));
    }
    if let Some(duration) = job.duration {
        line("recording", format!("{duration:.1} s"));
    }
    if let Some(language) = &job.language {
        line("language", plain(language, 40));
    }
    if let Some(error) = &job.error {
        line("error", plain(&error.detail, 1_000));
    }
    if job.windows > 0 {
        line("speech", format!("{} windows, {} of them from the cache", job.windows, job.cache_hits));
    }
    if let Some(times) = &job.timings {
        line(
            "time",
            format!(
                "{:.1} s = upload {:.1} + queue {:.1} + rate limit {:.1} + decode {:.1} + engine {:.1} + llm {:.1} + assembly {:.1}",
                times.total,
                times.upload,
                times.queue,
                times.rate_limit,
                times.decode,
                times.engine,
                times.llm,
                times.assembly
            ),
        );
    }
    out
}

pub fn deleted(job: JobId, deleted: &DeletedJob) -> String {
    let mut out = format!("job {job} is deleted");
    if deleted.cancelled {
        let _ = write!(out, "; it was under way ({})", plain(&deleted.status, 40));
    }
    if !deleted.complete {
        out.push_str(
            "; some of what was stored of it goes later, because a part of the service does not answer",
        );
    }
    out.push('\n');
    out
}

/// What others have named, without what would move a terminal's cursor, and not without end.
pub fn plain(text: &str, most: usize) -> String {
    let shown = |one: char| if one.is_control() { '\u{fffd}' } else { one };
    let mut out: String = text.chars().take(most).map(shown).collect();
    if text.chars().nth(most).is_some() {
        out.pop();
        out.push('…');
    }
    out
}

/// `1.5 MB`, in powers of 1024 as everywhere here.
fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1_024.0 && unit + 1 < units.len() {
        value /= 1_024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0);
    format!("{value:.digits$} {}", units.get(unit).copied().unwrap_or_default())
}

/// `2026-11-22 12:34:56`.
pub fn date(milliseconds: u64) -> String {
    let text = Timestamp(milliseconds).rfc3339();
    text.split('.').next().unwrap_or_default().replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(
            [0, 1_023, 1_024, 5 << 20, 10 << 30, u64::MAX].map(size)[..5],
            ["0 B", "1023 B", "1.0 kB", "5.0 MB", "10.0 GB"]
        );
    }

    #[test]
    fn names_do_no_harm_to_a_terminal() {
        let row = JobRow {
            parent_job_id: "0b9b6a2e-3c39-4a0e-9b1c-1b2f5a1f7c11".to_owned(),
            filename: format!("\u{1b}[2J\n{}.wav", "x".repeat(100)),
            status: "completed".to_owned(),
            total_size: 5 << 20,
            progress: 100,
            created_at_ms: 1_795_351_200_000,
        };
        let text = rows(&[row], true);
        assert_eq!(text.lines().count(), 2);
        assert!(!text.contains('\u{1b}') && text.ends_with("x…\n"), "{text}");
        assert!(text.contains("100%     5.0 MB  2026-11-22 12:40:00"), "{text}");
    }
}
