//! What the index of an MP4 file makes of the recording: which track, which samples, and how long.

use super::mp4_boxes::find;
use super::mp4_codec::{Description, describe};
use super::mp4_frames::Framing;
use super::mp4_layout::{SampleTable, TrackDefaults};
use super::mp4_movie::{Movie, Track};
use super::mp4_table::{Sizes, Wanted, durations, pack};
use crate::error::MediaError;
use crate::init::Codec;

/// PCM blocks a second: a packet is 20 ms.
const BLOCKS_PER_SECOND: u32 = 50;

/// Everything that the index tells.
pub(crate) struct Plan {
    pub description: Description,
    pub framing: Framing,
    pub table: SampleTable,
    /// Number of the track.
    pub track: u32,
    /// Ticks a second of the track.
    pub timescale: u32,
    /// Ticks of a sample on average.
    pub sample_ticks: f64,
    /// First tick to be heard.
    pub edit_start: u64,
    /// Seconds of the whole, where the index counts fragments too.
    pub seconds: Option<f64>,
    /// Defaults of all tracks, where fragments may follow.
    pub fragments: Option<Vec<TrackDefaults>>,
    pub title: Option<String>,
}

/// Chooses the track: the first one with sound that can be decoded, before others if it is switched on.
pub(crate) fn plan(movie: &Movie<'_>, file_len: u64) -> Result<Plan, MediaError> {
    let mut first_error = None;
    for track in movie.sounds() {
        match find(track.table, b"stsd").map(describe) {
            Some(Ok(description)) => return plan_of(movie, track, description, file_len),
            Some(Err(error)) => first_error = first_error.or(Some(error)),
            None => {}
        }
    }
    Err(first_error.unwrap_or_else(|| {
        let video = movie.tracks.iter().any(|track| &track.handler == b"vide");
        MediaError::not_audio(if video { "a video without sound" } else { "an MP4 file without sound" })
    }))
}

fn plan_of(
    movie: &Movie<'_>,
    track: &Track<'_>,
    description: Description,
    file_len: u64,
) -> Result<Plan, MediaError> {
    let framing = Framing::of(&description.codec)
        .ok_or_else(|| MediaError::damaged("an MP4 file whose codec configuration is incomplete"))?;
    let (ticks, samples) = durations(track.table).fold((0f64, 0f64), |(ticks, samples), (n, each)| {
        (ticks + n as f64 * each as f64, samples + n as f64)
    });
    let table = pack(track.table, &wanted(movie, track, &description, &framing, file_len))?;
    Ok(Plan {
        table,
        description,
        framing,
        track: track.id,
        timescale: track.timescale,
        sample_ticks: if samples > 0.0 { ticks / samples } else { 0.0 },
        edit_start: track.edit.map_or(0, |edit| edit.start),
        seconds: (movie.duration > 0).then_some(movie.duration as f64 / f64::from(movie.timescale)),
        fragments: movie.fragments.clone(),
        title: movie.title.clone(),
    })
}

impl Plan {
    /// Seconds of `samples` samples.
    pub(crate) fn seconds_of(&self, samples: u64) -> f64 {
        let rate = f64::from(self.description.rate);
        if self.framing.steady() {
            samples as f64 * f64::from(self.framing.usual()) / rate
        } else {
            samples as f64 * self.sample_ticks / f64::from(self.timescale)
        }
    }
}

/// `ticks` of one clock in those of another, rounded.
pub(crate) fn scaled(ticks: u64, to: u32, from: u32) -> u64 {
    let rounded = u128::from(ticks) * u128::from(to) + u128::from(from) / 2;
    u64::try_from(rounded / u128::from(from.max(1))).unwrap_or(u64::MAX)
}

/// Which samples are wanted, by the edit list. Samples that begin after its end are left out whole, and none is cut
/// there: its durations are rounded.
fn wanted(
    movie: &Movie<'_>,
    track: &Track<'_>,
    description: &Description,
    framing: &Framing,
    file_len: u64,
) -> Wanted {
    let frame_bytes = match description.codec {
        Codec::Pcm(format) => u32::try_from(format.bytes()).ok().map(|size| size * description.channels),
        Codec::Aac { .. }
        | Codec::Alac { .. }
        | Codec::Flac { .. }
        | Codec::Mp3 { .. }
        | Codec::Opus { .. }
        | Codec::Vorbis { .. } => None,
    };
    let pcm = frame_bytes.is_some();
    let priming = movie.priming.map(|frames| scaled(frames, track.timescale, description.rate));
    let start = track.edit.map(|edit| edit.start).or(priming).unwrap_or(0);
    let length = track.edit.and_then(|edit| edit.duration).filter(|_| movie.fragments.is_none());
    // PCM, whose samples are single frames, gets one tick of the movie to spare.
    let end = length
        .map(|ticks| scaled(ticks.saturating_add(u64::from(pcm)), track.timescale, movie.timescale))
        .map(|ticks| start.saturating_add(ticks));
    let count = if pcm { u64::MAX } else { Sizes::read(track.table).map_or(0, |sizes| sizes.count) };
    let stretch = Stretch::of(durations(track.table), start, end, count);
    let first = stretch.first.saturating_sub(framing.warm_up());
    let before = (stretch.first - first).saturating_mul(u64::from(framing.usual()));
    // It lies inside of one sample, whatever the table says of that one's length.
    let into = scaled(stretch.into, description.rate, track.timescale).min(u64::from(framing.usual()));
    let skip = if pcm { 0 } else { before.saturating_add(into) };
    Wanted {
        samples: first..stretch.last,
        equal_size: frame_bytes,
        group: if pcm { (description.rate / BLOCKS_PER_SECOND).max(1) } else { 1 },
        frames: framing.usual(),
        skip: u32::try_from(skip).unwrap_or(u32::MAX),
        file_len,
    }
}

/// A stretch of time in samples.
#[derive(Debug, PartialEq, Eq)]
struct Stretch {
    first: u64,
    last: u64,
    /// Ticks from the start of the first sample to the start of the stretch.
    into: u64,
}

impl Stretch {
    /// The samples from tick `start` to tick `end` of a track of `count` samples. What makes no sense is not cut.
    fn of(durations: impl Iterator<Item = (u64, u64)>, start: u64, end: Option<u64>, count: u64) -> Self {
        let (mut index, mut time) = (0u64, 0u64);
        let (mut first, mut last) = (None, None);
        for (samples, each) in durations.filter(|(_, each)| *each > 0) {
            let until = time.saturating_add(samples.saturating_mul(each));
            if first.is_none() && start < until {
                let passed = start.saturating_sub(time) / each;
                first = Some((index + passed, start.saturating_sub(time) - passed * each));
            }
            if let Some(end) = end.filter(|end| last.is_none() && *end < until) {
                last = Some(index.saturating_add(end.saturating_sub(time).div_ceil(each)));
            }
            index = index.saturating_add(samples);
            time = until;
        }
        let (first, into) = first.filter(|(first, _)| *first < count).unwrap_or((0, 0));
        let last = last.filter(|last| *last > first).unwrap_or(count).min(count);
        Self { first, last, into }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_begin_in_and_end_before_samples() {
        let of = |start, end| {
            let Stretch { first, last, into } = Stretch::of([(10, 100), (1, 7)].into_iter(), start, end, 11);
            (first, last, into)
        };
        assert_eq!(of(0, None), (0, 11, 0));
        assert_eq!(of(250, Some(600)), (2, 6, 50));
        assert_eq!(of(250, Some(601)), (2, 7, 50));
        assert_eq!(of(1003, Some(1005)), (10, 11, 3));
        assert_eq!(of(0, Some(1000)), (0, 10, 0));
        assert_eq!(of(0, Some(5000)), (0, 11, 0));
        assert_eq!(of(5000, Some(6000)), (0, 11, 0));
        assert_eq!(of(600, Some(300)), (6, 11, 0));
    }
}
