//! What the user sees while the work goes on, all of it on standard error: bars and the growing text on a terminal, plain
//! lines elsewhere.

use super::session::Finished;
use console::{Term, measure_text_width};
use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use scriptorium_contracts::media::MediaInfo;
use std::cell::Cell;
use std::io::Write;
use std::time::Duration;

/// Lines of the growing text that are shown on a terminal.
const TEXT_LINES: usize = 6;
const BAR_TICK: Duration = Duration::from_millis(120);

pub enum Display {
    Quiet,
    Lines(Lines),
    Bars(Bars),
}

/// For logs and pipes.
pub struct Lines {
    size: Cell<u64>,
    chunks: Cell<u32>,
    completed: Cell<u32>,
    /// Bytes of the text that have been printed.
    printed: Cell<usize>,
    /// Quarters of the upload that have been told.
    quarters: Cell<u64>,
}

/// For people at a terminal.
pub struct Bars {
    all: MultiProgress,
    stage: ProgressBar,
    upload: ProgressBar,
    chunks: ProgressBar,
    text: ProgressBar,
}

impl Display {
    pub fn new(quiet: bool) -> Self {
        match (quiet, Term::stderr().is_term()) {
            (true, _) => Self::Quiet,
            (false, true) => Self::Bars(Bars::new()),
            (false, false) => Self::Lines(Lines {
                size: Cell::new(0),
                chunks: Cell::new(0),
                completed: Cell::new(0),
                printed: Cell::new(0),
                quarters: Cell::new(0),
            }),
        }
    }

    /// Something that takes a moment and has no measure.
    pub fn stage(&self, what: &str) {
        match self {
            Self::Quiet => {}
            Self::Lines(_) => line(&format!("{what} ...")),
            Self::Bars(bars) => bars.stage.set_message(what.to_owned()),
        }
    }

    /// The upload begins. `size`: bytes of the recording.
    pub fn begin(&self, size: u64, chunks: u32) {
        match self {
            Self::Quiet => {}
            Self::Lines(lines) => {
                lines.size.set(size);
                lines.chunks.set(chunks);
                line(&format!("uploading {} in {chunks} parts", HumanBytes(size)));
            }
            Self::Bars(bars) => bars.begin(size, chunks),
        }
    }

    /// What the recording turned out to be.
    pub fn media(&self, media: &MediaInfo) {
        let length =
            media.duration_seconds.map(clock).map_or_else(String::new, |length| format!(", {length}"));
        let found = format!("{} ({}), {} Hz{length}", media.container, media.codec, media.sample_rate);
        match self {
            Self::Quiet => {}
            Self::Lines(_) => line(&found),
            Self::Bars(bars) => bars.stage.set_message(found),
        }
    }

    /// Bytes sent so far.
    pub fn sent(&self, bytes: u64) {
        match self {
            Self::Quiet => {}
            Self::Lines(lines) => lines.sent(bytes),
            Self::Bars(bars) => bars.upload.set_position(bytes),
        }
    }

    /// Chunks that are text.
    pub fn completed(&self, chunks: u32) {
        match self {
            Self::Quiet => {}
            Self::Lines(lines) => lines.completed.set(chunks),
            Self::Bars(bars) => bars.chunks.set_position(u64::from(chunks)),
        }
    }

    /// The text from the start, without a gap.
    pub fn text(&self, text: &str) {
        match self {
            Self::Quiet => {}
            Self::Lines(lines) => lines.text(text),
            Self::Bars(bars) => {
                let width = usize::from(Term::stderr().size().1).max(20) - 1;
                bars.text.set_message(last_lines(text, width, TEXT_LINES).join("\n"));
            }
        }
    }

    /// Something that went wrong and is being dealt with.
    pub fn note(&self, note: &str) {
        match self {
            Self::Quiet => {}
            Self::Lines(_) => line(note),
            // Where it cannot be shown nothing can be said about that either.
            Self::Bars(bars) => drop(bars.all.println(note)),
        }
    }

    /// The bars go, so that what follows stands alone.
    pub fn end(&self) {
        match self {
            Self::Quiet | Self::Lines(_) => {}
            Self::Bars(bars) => {
                for bar in [&bars.stage, &bars.upload, &bars.chunks, &bars.text] {
                    bar.finish_and_clear();
                }
                drop(bars.all.clear());
            }
        }
    }

    /// The last word. Gaps are told in any case.
    pub fn summary(&self, finished: &Finished) {
        if finished.gaps {
            line("parts of the recording could not be transcribed; the gaps are marked in the transcript");
        }
        match self {
            Self::Quiet => {}
            Self::Lines(_) | Self::Bars(_) => line(&summary(finished)),
        }
    }
}

impl Lines {
    fn sent(&self, bytes: u64) {
        let quarters = bytes.saturating_mul(4) / self.size.get().max(1);
        if quarters > self.quarters.get() {
            self.quarters.set(quarters);
            line(&format!("uploaded {} %", quarters * 25));
        }
    }

    fn text(&self, text: &str) {
        let Some(new) = text.get(self.printed.get()..) else { return };
        self.printed.set(text.len());
        line(&format!("text of {} of {} parts: {}", self.completed.get(), self.chunks.get(), new.trim()));
    }
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(12));
        let bar = |length, template: &str| {
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(length).with_style(style.progress_chars("━╸─"))
        };
        let stage = all.add(bar(0, "{spinner} {wide_msg}"));
        stage.enable_steady_tick(BAR_TICK);
        Self {
            stage,
            upload: bar(0, "  upload {bar:30} {bytes} of {total_bytes} {bytes_per_sec} {eta}"),
            chunks: bar(0, "  text   {bar:30} {pos} of {len} parts {elapsed}"),
            text: bar(0, "{msg:.dim}"),
            all,
        }
    }

    /// The bars appear only now: a bar that stands still is no information.
    fn begin(&self, size: u64, chunks: u32) {
        self.upload.set_length(size);
        self.chunks.set_length(u64::from(chunks));
        for bar in [&self.upload, &self.chunks, &self.text] {
            self.all.add(bar.clone());
            bar.tick();
        }
    }
}

fn summary(finished: &Finished) -> String {
    let took = finished.took.as_secs_f64();
    match finished.audio {
        Some(audio) if took > 0.0 => {
            format!(
                "{} of sound in {} ({:.1} times as fast as real time)",
                clock(audio),
                clock(took),
                audio / took
            )
        }
        Some(_) | None => format!("done in {}", clock(took)),
    }
}

/// `1:02:03`, `3:53`, `0:07`.
fn clock(seconds: f64) -> String {
    // `as` saturates, and NaN becomes 0.
    let whole = seconds.round() as u64;
    let (hours, minutes, seconds) = (whole / 3_600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// The end of a text, broken into lines. Only what can be seen is looked at, so that the cost does not grow with the text.
fn last_lines(text: &str, width: usize, lines: usize) -> Vec<String> {
    let most = width * lines * 4;
    let tail = match text.len().checked_sub(most) {
        Some(from) => text.get(text.ceil_char_boundary(from)..).unwrap_or(text),
        None => text,
    };
    let mut broken: Vec<String> = vec![String::new()];
    for word in tail.split_whitespace() {
        let space = measure_text_width(word) + 1;
        match broken.last_mut() {
            Some(last) if last.is_empty() => last.push_str(word),
            Some(last) if measure_text_width(last) + space <= width => {
                last.push(' ');
                last.push_str(word);
            }
            Some(_) | None => broken.push(word.to_owned()),
        }
    }
    let from = broken.len().saturating_sub(lines);
    broken.split_off(from)
}

/// Standard error may be closed; that is no reason to stop.
fn line(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_readable() {
        assert_eq!(clock(7.4), "0:07");
        assert_eq!(clock(233.0), "3:53");
        assert_eq!(clock(3_723.0), "1:02:03");
        assert_eq!(clock(f64::NAN), "0:00");
    }

    #[test]
    fn the_end_of_the_text_is_shown() {
        assert_eq!(last_lines("one two three four", 9, 2), ["one two", "three", "four"][1..]);
        assert_eq!(last_lines("", 9, 2), [""]);
        let long = "wörter ".repeat(100_000);
        let shown = last_lines(&long, 40, 6);
        assert_eq!(shown.len(), 6);
        assert!(shown.iter().all(|line| measure_text_width(line) <= 40));
    }
}
