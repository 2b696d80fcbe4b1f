//! The index of an MP4 file (`moov`): its tracks, times, edit lists and names (ISO/IEC 14496-12, sections 8.2 to 8.6).

use super::array;
use super::mp4_boxes::{Boxes, descend, find, half, long, word};
use super::mp4_layout::TrackDefaults;

/// Most tracks of which defaults are kept.
const MAX_TRACKS: usize = 64;
/// Longest title that is taken over, in bytes.
const MAX_TITLE: usize = 1024;

/// What `moov` says of the whole.
pub(crate) struct Movie<'a> {
    /// Ticks a second of `duration` and of edit lists.
    pub timescale: u32,
    /// Ticks, of a fragmented file with its fragments, if it says so; else 0.
    pub duration: u64,
    pub tracks: Vec<Track<'a>>,
    /// Whether fragments may follow, and the tracks' defaults in them.
    pub fragments: Option<Vec<TrackDefaults>>,
    pub title: Option<String>,
    /// Frames that the encoder put before the sound, as iTunes writes them.
    pub priming: Option<u64>,
}

/// What `trak` says.
pub(crate) struct Track<'a> {
    pub id: u32,
    pub enabled: bool,
    /// `soun`, `vide`, …
    pub handler: [u8; 4],
    /// Ticks a second of its times.
    pub timescale: u32,
    /// The sample table.
    pub table: &'a [u8],
    pub edit: Option<Edit>,
}

/// Which part of a track is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    /// First tick of the track, in its own ticks.
    pub start: u64,
    /// Ticks of the movie; 0 and `None`: to the end.
    pub duration: Option<u64>,
}

impl<'a> Movie<'a> {
    pub(crate) fn read(moov: &'a [u8]) -> Option<Self> {
        let (timescale, duration) = times(find(moov, b"mvhd")?)?;
        let extends = find(moov, b"mvex");
        let extended = extends.and_then(|mvex| find(mvex, b"mehd")).and_then(|mehd| match mehd.first() {
            Some(1) => long(mehd, 4),
            _ => word(mehd, 4).map(u64::from),
        });
        let defaults = |mvex| Boxes(mvex).filter(|(kind, _)| kind == b"trex").filter_map(|(_, b)| trex(b));
        Some(Self {
            timescale,
            duration: extended.unwrap_or(if extends.is_some() { 0 } else { duration }),
            tracks: Boxes(moov).filter(|(kind, _)| kind == b"trak").filter_map(|(_, b)| track(b)).collect(),
            fragments: extends.map(|mvex| defaults(mvex).take(MAX_TRACKS).collect()),
            title: title(moov),
            priming: item_list(moov).and_then(priming),
        })
    }

    /// The sound tracks, those that are switched on first.
    pub(crate) fn sounds(&self) -> Vec<&Track<'a>> {
        let mut sounds: Vec<_> = self.tracks.iter().filter(|track| &track.handler == b"soun").collect();
        sounds.sort_by_key(|track| !track.enabled);
        sounds
    }
}

/// Timescale and duration in `mvhd` or `mdhd`.
fn times(body: &[u8]) -> Option<(u32, u64)> {
    let (timescale, duration) = match body.first()? {
        1 => (word(body, 20)?, long(body, 24)?),
        _ => (word(body, 12)?, u64::from(word(body, 16)?)),
    };
    // All ones: not known.
    let known = duration != u64::MAX && duration != u64::from(u32::MAX);
    (timescale > 0).then_some((timescale, if known { duration } else { 0 }))
}

fn trex(body: &[u8]) -> Option<TrackDefaults> {
    Some(TrackDefaults { id: word(body, 4)?, duration: word(body, 12)?, size: word(body, 16)? })
}

fn track(trak: &[u8]) -> Option<Track<'_>> {
    let header = find(trak, b"tkhd")?;
    let media = find(trak, b"mdia")?;
    Some(Track {
        id: word(header, if header.first() == Some(&1) { 20 } else { 12 })?,
        enabled: header.get(3)? & 1 == 1,
        handler: array(find(media, b"hdlr")?, 8)?,
        timescale: times(find(media, b"mdhd")?)?.0,
        table: descend(media, &[b"minf", b"stbl"])?,
        edit: descend(trak, &[b"edts", b"elst"]).and_then(edit),
    })
}

/// The first edit that presents anything. An empty one before it is a delay, which is left out: players differ in it, and
/// silence at the start helps nobody. Of several edits the end of the first one is not taken for the end of the sound.
fn edit(elst: &[u8]) -> Option<Edit> {
    let wide = elst.first() == Some(&1);
    let entries = elst.get(8..)?.chunks_exact(if wide { 20 } else { 12 });
    let mut edits = entries.filter_map(|entry| {
        let (duration, start) = match wide {
            true => (long(entry, 0)?, long(entry, 8)?.cast_signed()),
            false => (u64::from(word(entry, 0)?), i64::from(word(entry, 4)?.cast_signed())),
        };
        Some((duration, u64::try_from(start).ok()?))
    });
    let (duration, start) = edits.next()?;
    let alone = edits.next().is_none();
    Some(Edit { start, duration: (alone && duration > 0).then_some(duration) })
}

/// `ilst`, where iTunes and most others keep names. `meta` is a box with version and flags, but not in QuickTime files.
fn item_list(moov: &[u8]) -> Option<&[u8]> {
    let meta = descend(moov, &[b"udta", b"meta"]).or_else(|| find(moov, b"meta"))?;
    find(meta.get(4..)?, b"ilst").or_else(|| find(meta, b"ilst"))
}

fn title(moov: &[u8]) -> Option<String> {
    const NAME: &[u8; 4] = b"\xa9nam";
    let listed = item_list(moov).and_then(|list| descend(list, &[NAME, b"data"])).and_then(|b| b.get(8..));
    // QuickTime: the length of the text and its language, then the text.
    let plain = || descend(moov, &[b"udta", NAME]).and_then(|b| b.get(4..4 + usize::from(half(b, 0)?)));
    let text = listed.or_else(plain)?;
    let text = String::from_utf8_lossy(&text[..text.len().min(MAX_TITLE)]);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// `iTunSMPB`: hexadecimal numbers, of which the second counts the frames before the sound.
fn priming(list: &[u8]) -> Option<u64> {
    let mut items = Boxes(list).filter(|(kind, _)| kind == b"----");
    let (_, item) = items.find(|(_, item)| {
        find(item, b"name").and_then(|name| name.get(4..)).is_some_and(|name| name == b"iTunSMPB")
    })?;
    let text = std::str::from_utf8(find(item, b"data")?.get(8..)?).ok()?;
    u64::from_str_radix(text.split_whitespace().nth(1)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
    }

    #[test]
    fn the_first_edit_that_is_not_empty_counts() {
        let list = |edits: &[(u32, i32)]| -> Vec<u8> {
            let entries = edits.iter().flat_map(|(duration, start)| {
                [&duration.to_be_bytes()[..], &start.to_be_bytes(), &[0, 1, 0, 0]].concat()
            });
            [0, 0, 0, 0, 0, 0, 0, edits.len() as u8].into_iter().chain(entries).collect()
        };
        assert_eq!(edit(&list(&[(500, -1), (900, 1024)])), Some(Edit { start: 1024, duration: Some(900) }));
        assert_eq!(edit(&list(&[(0, 1024)])), Some(Edit { start: 1024, duration: None }));
        assert_eq!(edit(&list(&[(10, 5), (10, 50)])), Some(Edit { start: 5, duration: None }));
        assert_eq!(edit(&list(&[(500, -1)])), None);
        assert_eq!(edit(&[0; 7]), None);
    }

    #[test]
    fn names_and_priming_are_read() {
        let name = boxed(b"\xa9nam", &boxed(b"data", b"\0\0\0\x01\0\0\0\0A talk "));
        let numbers = boxed(b"data", b"\0\0\0\x01\0\0\0\0 00000000 00000840 000001CA 00000000003F31F6");
        let smpb = boxed(b"----", &[boxed(b"name", b"\0\0\0\0iTunSMPB"), numbers].concat());
        let list = boxed(b"ilst", &[name, smpb].concat());
        let moov = boxed(b"udta", &boxed(b"meta", &[&[0; 4][..], &list].concat()));
        assert_eq!(title(&moov).as_deref(), Some("A talk"));
        assert_eq!(item_list(&moov).and_then(priming), Some(0x840));
        let plain = boxed(b"udta", &boxed(b"\xa9nam", b"\0\x05\0\0A day"));
        assert_eq!(title(&plain).as_deref(), Some("A day"));
    }
}
