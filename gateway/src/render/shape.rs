//! Cues of bounded length: lines of so many characters, so many lines, shown for so long. Pure.
//!
//! A segment is a row of *pieces*, its words with the times at which they are said; where those are not known, in proportion
//! to the characters. Pieces are laid into lines and cues one after the other, as many as fit. Nothing is left out and
//! nothing changes its place; times are cut or moved by so much that no two cues overlap and none is empty.

use super::{Cue, gap_mark, milliseconds};
use scriptorium_contracts::transcript::{Segment, Transcript, written_without_spaces};

/// What is usual for subtitles, where only one of the two is given.
const USUAL_WIDTH: u32 = 42;
const USUAL_LINES: u32 = 2;
/// Times beyond this are cut: some thousand years.
const LATEST: u64 = 1 << 46;

/// How long a cue may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Characters (Unicode code points) of a line.
    width: usize,
    lines: usize,
    /// Milliseconds.
    duration: u64,
}

impl Shape {
    /// `duration` in seconds; what is not given has no bound, but lines and width come together.
    ///
    /// # Errors
    /// What is out of its range, for the user.
    pub fn new(width: Option<u32>, lines: Option<u32>, duration: Option<f64>) -> Result<Self, String> {
        if width.is_some_and(|width| !(10..=200).contains(&width)) {
            return Err("\"max_line_width\" has to be from 10 to 200 characters.".to_owned());
        }
        if lines.is_some_and(|lines| !(1..=10).contains(&lines)) {
            return Err("\"max_lines\" has to be from 1 to 10.".to_owned());
        }
        if duration.is_some_and(|duration| !(0.5..=600.0).contains(&duration)) {
            return Err("\"max_duration\" has to be from 0.5 to 600 seconds.".to_owned());
        }
        let duration = duration.map_or(u64::MAX, milliseconds);
        if width.is_none() && lines.is_none() {
            return Ok(Self { width: usize::MAX, lines: 1, duration });
        }
        let (width, lines) = (width.unwrap_or(USUAL_WIDTH), lines.unwrap_or(USUAL_LINES));
        Ok(Self { width: width as usize, lines: lines as usize, duration })
    }
}

/// A segment or a gap on its way to cues.
struct Source<'a> {
    start: u64,
    end: u64,
    /// Of a gap the mark.
    text: std::borrow::Cow<'a, str>,
    segment: Option<&'a Segment>,
    /// It may be broken between any two characters.
    spaceless: bool,
}

/// What is not broken any further.
#[derive(Debug)]
struct Piece<'a> {
    text: &'a str,
    /// A space stands before it, unless it begins a line.
    spaced: bool,
    start: u64,
    end: u64,
}

/// The cues of a transcript.
pub(super) fn cues(transcript: &Transcript, shape: &Shape) -> Vec<Cue> {
    let sources = sources(transcript, shape);
    let mut cues = Vec::new();
    for source in &sources {
        let mut pieces = pieces(source);
        pieces = pieces.into_iter().flat_map(|piece| broken(piece, shape.width)).collect();
        lay(&pieces, shape, &mut cues);
    }
    separate(&mut cues, shape);
    cues
}

/// In the order of their times, each ending where the next one begins at the latest.
fn sources<'a>(transcript: &'a Transcript, shape: &Shape) -> Vec<Source<'a>> {
    let time = |seconds: f64| milliseconds(seconds).min(LATEST);
    let spoken = transcript.segments.iter().map(|segment| Source {
        start: time(segment.start),
        end: time(segment.end),
        text: segment.text.as_str().into(),
        segment: Some(segment),
        spaceless: written_without_spaces(segment.language.as_deref().or(Some(&transcript.language))),
    });
    let missing = transcript.gaps.iter().map(|gap| {
        let start = time(gap.start);
        // The mark is one text: it is shown at the beginning of a long gap, not strewn over it.
        let end = time(gap.end).min(start.saturating_add(shape.duration));
        Source { start, end, text: gap_mark(gap).into(), segment: None, spaceless: false }
    });
    let mut sources: Vec<Source<'a>> = spoken.chain(missing).collect();
    sources.sort_by_key(|source| (source.start, source.end));
    let mut next = u64::MAX;
    for source in sources.iter_mut().rev() {
        if next > source.start {
            source.end = source.end.min(next);
        }
        source.end = source.end.max(source.start);
        next = source.start;
    }
    sources
}

fn pieces<'a>(source: &'a Source<'a>) -> Vec<Piece<'a>> {
    let timed = source.segment.map(|segment| timed_pieces(segment, source)).unwrap_or_default();
    if !timed.is_empty() {
        return timed;
    }
    let mut texts: Vec<(&str, bool)> = Vec::new();
    for word in source.text.split_whitespace() {
        if source.spaceless {
            texts.extend(clusters(word).into_iter().enumerate().map(|(at, text)| (text, at == 0)));
        } else {
            texts.push((word, true));
        }
    }
    in_proportion(&texts, source.start, source.end)
}

/// By the times of the words; empty if there are none, or they are not the segment's text.
fn timed_pieces<'a>(segment: &'a Segment, source: &Source<'_>) -> Vec<Piece<'a>> {
    let letters = |text: &'a str| text.chars().filter(|letter| !letter.is_whitespace());
    if !segment.words.iter().flat_map(|word| letters(&word.word)).eq(letters(&segment.text)) {
        return Vec::new();
    }
    let (mut pieces, mut earliest, mut spaced) = (Vec::new(), source.start, true);
    for word in &segment.words {
        let start = milliseconds(word.start).clamp(earliest, source.end.max(earliest));
        let end = milliseconds(word.end).clamp(start, source.end.max(start));
        earliest = start;
        spaced |= word.word.starts_with(char::is_whitespace);
        let texts: Vec<(&str, bool)> =
            word.word.split_whitespace().enumerate().map(|(at, text)| (text, at > 0 || spaced)).collect();
        if !texts.is_empty() {
            pieces.extend(in_proportion(&texts, start, end));
            spaced = false;
        }
        spaced |= word.word.ends_with(char::is_whitespace);
    }
    pieces
}

/// Times for texts that fill a stretch, by their lengths.
fn in_proportion<'a>(texts: &[(&'a str, bool)], start: u64, end: u64) -> Vec<Piece<'a>> {
    let all: u128 = texts.iter().map(|(text, _)| text.chars().count() as u128).sum();
    let whole = u128::from(end.saturating_sub(start));
    let time = |before: u128| {
        let passed = (whole * before).checked_div(all).and_then(|passed| u64::try_from(passed).ok());
        start.saturating_add(passed.unwrap_or(0))
    };
    let mut before = 0;
    let mut pieces = Vec::with_capacity(texts.len());
    for (text, spaced) in texts {
        let after = before + text.chars().count() as u128;
        pieces.push(Piece { text, spaced: *spaced, start: time(before), end: time(after) });
        before = after;
    }
    pieces
}

/// A piece that is longer than a line, in pieces that are not.
fn broken(piece: Piece<'_>, width: usize) -> Vec<Piece<'_>> {
    if piece.text.chars().count() <= width {
        return vec![piece];
    }
    let mut texts: Vec<(&str, bool)> = Vec::new();
    let (mut from, mut length, mut at) = (0, 0, 0);
    let units = clusters(piece.text);
    // Marks without end on one letter are no text; still no line is too long.
    let units = units.into_iter().flat_map(|unit| {
        if unit.chars().count() <= width { vec![unit] } else { unit.split_inclusive(|_| true).collect() }
    });
    for unit in units {
        let letters = unit.chars().count();
        if length + letters > width {
            texts.push((piece.text.get(from..at).unwrap_or_default(), false));
            (from, length) = (at, 0);
        }
        length += letters;
        at += unit.len();
    }
    texts.push((piece.text.get(from..).unwrap_or_default(), false));
    let mut pieces = in_proportion(&texts, piece.start, piece.end);
    if let Some(first) = pieces.first_mut() {
        first.spaced = piece.spaced;
    }
    pieces
}

/// Letters with the marks and the closing punctuation that belong to them.
fn clusters(text: &str) -> Vec<&str> {
    let mut starts: Vec<usize> = Vec::new();
    let mut tied = false;
    for (at, letter) in text.char_indices() {
        if at == 0 || !(tied || belongs_to_the_letter_before(letter)) {
            starts.push(at);
        }
        // Thai and Lao write some vowels before their consonant.
        tied = matches!(letter, '\u{e40}'..='\u{e44}' | '\u{ec0}'..='\u{ec4}' | '\u{200d}');
    }
    let ends = starts.iter().copied().skip(1).chain([text.len()]);
    starts.iter().zip(ends).filter_map(|(start, end)| text.get(*start..end)).collect()
}

/// Combining marks of the scripts that are written without spaces, variation selectors, and what does not begin a line.
fn belongs_to_the_letter_before(letter: char) -> bool {
    matches!(
        letter,
        '\u{300}'..='\u{36f}'
            | '\u{e31}' | '\u{e33}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}'
            | '\u{eb1}' | '\u{eb3}'..='\u{ebc}' | '\u{ec8}'..='\u{ece}'
            | '\u{f71}'..='\u{f84}' | '\u{f90}'..='\u{fbc}' | '\u{f0b}' | '\u{f0d}'
            | '\u{102b}'..='\u{103e}' | '\u{1056}'..='\u{1059}' | '\u{104a}' | '\u{104b}'
            | '\u{17b4}'..='\u{17d4}'
            | '\u{200c}' | '\u{200d}' | '\u{3099}' | '\u{309a}' | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}'
            | '、' | '。' | '，' | '．' | '！' | '？' | '：' | '；' | '）' | '」' | '』' | '】' | '〉' | '》' | '”' | '’'
            | '…' | 'ー' | '々' | 'ぁ' | 'ぃ' | 'ぅ' | 'ぇ' | 'ぉ' | 'っ' | 'ゃ' | 'ゅ' | 'ょ' | 'ァ' | 'ィ' | 'ゥ' | 'ェ' | 'ォ'
            | 'ッ' | 'ャ' | 'ュ' | 'ョ' | '.' | ',' | '!' | '?' | ':' | ';' | ')' | '%'
    )
}

/// A cue in the making.
struct Draft {
    start: u64,
    end: u64,
    text: String,
    lines: usize,
    /// Characters of the last line.
    length: usize,
}

/// Fills cues, as many pieces in each as fit.
fn lay(pieces: &[Piece<'_>], shape: &Shape, cues: &mut Vec<Cue>) {
    let mut draft: Option<Draft> = None;
    for piece in pieces {
        let letters = piece.text.chars().count();
        let end = piece.end.min(piece.start.saturating_add(shape.duration));
        if let Some(open) = &mut draft
            && end.saturating_sub(open.start) <= shape.duration
            && open.take(piece, letters, shape)
        {
            open.end = open.end.max(end);
            continue;
        }
        cues.extend(draft.take().map(Draft::finish));
        draft =
            Some(Draft { start: piece.start, end, text: piece.text.to_owned(), lines: 1, length: letters });
    }
    cues.extend(draft.map(Draft::finish));
}

impl Draft {
    /// False if there is no room.
    fn take(&mut self, piece: &Piece<'_>, letters: usize, shape: &Shape) -> bool {
        let space = usize::from(piece.spaced);
        if self.length + space + letters <= shape.width {
            self.text.push_str(if piece.spaced { " " } else { "" });
            self.length += space + letters;
        } else if self.lines < shape.lines {
            self.text.push('\n');
            (self.lines, self.length) = (self.lines + 1, letters);
        } else {
            return false;
        }
        self.text.push_str(piece.text);
        true
    }

    fn finish(self) -> Cue {
        Cue { start: self.start, end: self.end, text: self.text }
    }
}

/// Moves cues that begin before the end of the one before, and gives each a millisecond at least.
fn separate(cues: &mut [Cue], shape: &Shape) {
    let mut free = 0;
    for cue in cues {
        cue.start = cue.start.max(free);
        cue.end = cue.end.max(cue.start + 1).min(cue.start.saturating_add(shape.duration));
        free = cue.end;
    }
}

#[cfg(test)]
#[path = "shape_tests.rs"]
mod tests;
