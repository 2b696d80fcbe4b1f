//! What is missing between two movie fragments: damage, and what a recorder left out.

use std::sync::Arc;

use super::mp4_boxes::box_at;
use super::mp4_fragment::Fragment;
use super::mp4_frames::Framing;
use super::mp4_layout::FragmentTrack;
use super::mp4_search::Finder;
use super::tail::trailing_bytes;
use crate::error::MediaError;
use crate::packet::Packet;
use crate::source::Span;

/// Fragments of other tracks that may lie between two with audio.
const MOST_OTHERS: usize = 32;
/// Most boxes between two fragments.
const MOST_BOXES: usize = 1_000;
/// Bytes of a box's header: where fewer are left, the recording was cut off.
const HEADER: u64 = 8;

/// How the times of a recording's fragments are read.
pub(crate) struct Times<'t> {
    pub track: &'t FragmentTrack,
    /// Frames of a packet.
    pub usual: u64,
    /// Whether all packets have as many.
    pub steady: bool,
    /// Hz.
    pub rate: u32,
}

impl<'t> Times<'t> {
    pub(crate) fn new(track: &'t FragmentTrack, framing: &Framing, rate: u32) -> Self {
        Self { track, usual: u64::from(framing.usual()), steady: framing.steady(), rate }
    }

    /// Frames before a fragment, with those that nobody shall hear; `None` where times are no exact counts of frames.
    pub(crate) fn position(&self, fragment: &Fragment) -> Option<u64> {
        if fragment.start == self.track.first {
            return Some(self.track.before);
        }
        let (ticks, frames) = (u64::from(self.track.timescale), u64::from(self.track.frames.max(1)));
        let scaled = frames * ticks;
        let rate = u64::from(self.rate);
        if !scaled.is_multiple_of(rate) || !fragment.is_even(scaled / rate) {
            return None;
        }
        let time = i128::from(fragment.time?) - i128::from(self.track.origin?);
        let packet = i128::from(scaled / rate).max(1);
        // To the nearest packet: what is off by less was moved by the muxer, not lost.
        let packets = u64::try_from((time + packet / 2).div_euclid(packet)).ok()?;
        packets.checked_mul(frames)
    }

    /// Frames between what `before` holds up to the byte `to` and the first sample of `after`, where the times tell.
    fn between(&self, before: &Fragment, to: u64, after: &Fragment) -> Option<u64> {
        let held = before.samples.partition_point(|sample| sample.offset < to);
        let own = before.samples.get(..held)?;
        if self.steady
            && let (Some(from), Some(until)) = (self.position(before), self.position(after))
        {
            return Some(until.saturating_sub(from.saturating_add(own.len() as u64 * self.usual)));
        }
        let ticks = own.iter().map(|sample| u64::from(sample.duration)).sum::<u64>();
        let missing = after.time?.saturating_sub(before.time?.checked_add(ticks)?);
        let frames = u128::from(missing) * u128::from(self.rate) / u128::from(self.track.timescale.max(1));
        u64::try_from(frames).ok()
    }

    /// Frames that so many bytes have held, if it was as many as in the fragment `before`.
    fn by_bytes(&self, before: &Fragment, len: u64) -> u64 {
        let held = before.samples.len() as u64 * self.usual;
        let bytes = before.end.saturating_sub(before.start).max(1);
        u64::try_from(u128::from(held) * u128::from(len) / u128::from(bytes)).unwrap_or(u64::MAX)
    }
}

/// The fragment with audio before the one at a byte, and what lies between.
struct Before {
    fragment: Arc<Fragment>,
    /// First byte of the fragment that follows on it, of whatever track.
    followed_at: u64,
    /// First byte of what is no box, if there is any.
    hole: Option<u64>,
}

/// Goes back from `at` to the nearest fragment with audio.
fn before(bytes: &mut Span<'_>, finder: &mut Finder, mut at: u64) -> Result<Option<Before>, MediaError> {
    let mut hole = None;
    for _ in 0..MOST_OTHERS {
        let Some(fragment) = finder.before(bytes, at)? else { break };
        if fragment.end < at && !only_boxes(bytes, fragment.end, at)? {
            hole = Some(fragment.end);
        }
        if !fragment.samples.is_empty() {
            return Ok(Some(Before { fragment, followed_at: at, hole }));
        }
        at = fragment.start;
    }
    Ok(None)
}

/// Whether boxes fill the bytes: of whatever kind, they are no damage.
fn only_boxes(bytes: &mut Span<'_>, mut at: u64, to: u64) -> Result<bool, MediaError> {
    for _ in 0..MOST_BOXES {
        if at == to {
            return Ok(true);
        }
        let named = |kind: &[u8; 4]| kind.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
        let found = box_at(bytes, at)?.filter(|found| named(&found.kind) && found.end <= to);
        let Some(found) = found.filter(|found| found.end > at) else { return Ok(false) };
        at = found.end;
    }
    Ok(false)
}

/// What is missing before a fragment with audio. It begins where damage begins, else with the fragment.
pub(crate) fn before_fragment(
    bytes: &mut Span<'_>,
    finder: &mut Finder,
    framing: &Framing,
    rate: u32,
    next: &Fragment,
) -> Result<Option<Packet>, MediaError> {
    let Some(before) = before(bytes, finder, next.start)? else { return Ok(None) };
    let times = Times::new(&finder.track, framing, rate);
    let missing = times.between(&before.fragment, before.followed_at, next);
    Ok(match before.hole {
        Some(hole) => {
            let len = next.start - hole;
            // No packet is shorter than two bytes, so no more can be lost than this.
            let most = (len / 2).saturating_mul(times.usual);
            let frames = missing.filter(|frames| *frames <= most);
            let frames = frames.unwrap_or_else(|| times.by_bytes(&before.fragment, len));
            Some(Packet::gap(hole, len, frames)).filter(|gap| gap.frames > 0)
        }
        None => missing.and_then(|frames| Packet::pause(next.start, frames, rate)),
    })
}

/// Where no fragment with audio follows on `hole`, up to `end`: as much is lost as in as many bytes before.
pub(crate) fn at_end(
    bytes: &mut Span<'_>,
    finder: &mut Finder,
    framing: &Framing,
    rate: u32,
    hole: u64,
    end: u64,
) -> Result<Option<Packet>, MediaError> {
    if hole.saturating_add(HEADER) > end || only_boxes(bytes, hole, end)? {
        return Ok(None);
    }
    let lost = trailing_bytes(bytes, hole..end)?;
    let Some(before) = before(bytes, finder, hole)? else { return Ok(None) };
    let frames = Times::new(&finder.track, framing, rate).by_bytes(&before.fragment, lost);
    Ok(Some(Packet::gap(hole, lost, frames)).filter(|gap| gap.frames > 0))
}
