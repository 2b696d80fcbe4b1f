//! The init section lies beside a job's chunks and outlives the process that wrote it: one golden file for each kind.
//!
//! A new value gets its file with `SCRIPTORIUM_WRITE_GOLDEN=1`; a file that is there is never written again. Should the
//! form have to change, [`InitSection::VERSION`] changes with it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use bytes::Bytes;
use scriptorium_contracts::media::MediaInfo;
use scriptorium_media::{
    Codec, FlacStream, FragmentTrack, InitSection, Layout, MatroskaTrack, OggLink, PacketTable, PacketTiming,
    PcmFormat, SampleTable, TrackDefaults, Trim, probe,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use support::{clip, load};

fn section(container: &str, codec_name: &str, layout: Layout, codec: Codec) -> InitSection {
    InitSection {
        version: 1,
        media: MediaInfo {
            container: container.to_owned(),
            codec: codec_name.to_owned(),
            sample_rate: 44_100,
            channels: 2,
            bitrate: Some(128_000),
            duration_seconds: Some(31.245_270_191_439_438),
            title: Some("Ein Gespräch".to_owned()),
        },
        file_len: 5_000_000_000,
        data_start: 4_096,
        data_end: 4_999_999_872,
        layout,
        codec,
        trim: Trim { start: 1_105, end: 576, end_if_data_ends_at: Some(4_999_999_872) },
    }
}

fn flac_stream() -> FlacStream {
    FlacStream {
        sample_rate: 44_100,
        channels: 2,
        bits: 16,
        max_block: 4_096,
        variable: true,
        total: Some(1_377_916),
    }
}

fn samples() -> SampleTable {
    SampleTable {
        runs: Bytes::from_static(&[0, 0, 0, 1, 0x2a, 5, 0xf2, 0, 0, 0, 0, 3]),
        sizes: Bytes::from_static(&[1, 2, 1, 3, 0, 255]),
        width: 2,
        equal_size: 0,
        group: 1,
        frames: 1_024,
        skip: 2_112,
    }
}

fn fragments() -> Layout {
    let defaults = |id| TrackDefaults { id, duration: 1_024, size: 371 + id };
    let track = FragmentTrack {
        id: 2,
        timescale: 48_000,
        frames: 1_024,
        first: 1_500,
        before: 2_048,
        origin: Some(-1_024),
        tracks: vec![defaults(1), defaults(2)],
    };
    Layout::Mp4Fragments { head: SampleTable { equal_size: 4, width: 4, ..SampleTable::default() }, track }
}

fn ogg(timing: PacketTiming) -> Layout {
    let (at, data, first_page, others) = (7, 4_096, 8_300, vec![3, u32::MAX]);
    let link = OggLink { at, data, first_page, start_granule: 960, serial: 9, sequence: 2, others, timing };
    Layout::Ogg { link }
}

fn matroska() -> Layout {
    Layout::Matroska(MatroskaTrack {
        first_cluster: 5_000,
        number: 2,
        all_numbers: vec![1, 2],
        tick: 1_000_000,
        prefix: vec![0xff, 0xfb],
    })
}

fn caf() -> Layout {
    let marks = vec![(0, 0), (4_096, 1_234_567)];
    let table = PacketTable {
        start: 100,
        end: 9_000,
        packets: 2_500,
        frames: 4_096,
        remainder: 17,
        step: 2_048,
        marks,
        lost: (0, 0),
    };
    Layout::Caf { table }
}

fn vorbis_timing() -> PacketTiming {
    PacketTiming::Vorbis { short: 256, long: 2_048, modes: 2, long_modes: 0b10 }
}

/// The two recordings of the repository as they are probed, and a section of each other kind.
fn all() -> Vec<(&'static str, InitSection)> {
    let probed = |path: &Path| probe(&load(path)).unwrap();
    let aac = || Codec::Aac { config: vec![0x12, 0x10] };
    let pcm = |format, block_frames| (Layout::Pcm { frame_bytes: 4, block_frames }, Codec::Pcm(format));
    let (aiff, aiff_codec) = pcm(PcmFormat::S16Be, 1_152);
    vec![
        ("wav", probed(&clip())),
        ("flac", probed(&clip().with_file_name("sample.flac"))),
        ("aiff", section("aiff", "pcm_s16be", aiff, aiff_codec)),
        (
            "mp3",
            section("mp3", "mp3", Layout::Mp3 { fixed_header_bits: 0xfffb_0c00 }, Codec::Mp3 { mpeg1: true }),
        ),
        ("m4a", section("m4a", "aac", Layout::Mp4Table(samples()), aac())),
        ("m4a_fragments", section("mp4", "aac", fragments(), aac())),
        ("adts", section("adts", "aac", Layout::Adts { fixed_header_bits: 0xfff1_5080 }, aac())),
        ("caf", section("caf", "alac", caf(), Codec::Alac { cookie: (0..24).collect() })),
        (
            "ogg_opus",
            section("ogg", "opus", ogg(PacketTiming::Opus { pre_skip: 312 }), Codec::Opus { gain: -256 }),
        ),
        (
            "ogg_vorbis",
            section("ogg", "vorbis", ogg(vorbis_timing()), Codec::Vorbis { headers: vec![1, b'v', 5] }),
        ),
        (
            "ogg_flac",
            section(
                "ogg",
                "flac",
                ogg(PacketTiming::Flac { stream: flac_stream() }),
                Codec::Flac { stream_info: (0..34).collect() },
            ),
        ),
        ("webm", section("webm", "opus", matroska(), Codec::Opus { gain: 0 })),
    ]
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn file_of(name: &str, today: &str) -> String {
    let path = folder().join(format!("{name}.json"));
    if std::env::var("SCRIPTORIUM_WRITE_GOLDEN").is_ok_and(|value| value == "1") {
        match fs::File::create_new(&path) {
            Ok(mut file) => file.write_all(today.as_bytes()).unwrap(),
            Err(problem) => assert_eq!(problem.kind(), ErrorKind::AlreadyExists, "{problem}"),
        }
    }
    fs::read_to_string(&path).unwrap_or_else(|problem| {
        panic!("{name}: {problem}; SCRIPTORIUM_WRITE_GOLDEN=1 writes what is missing")
    })
}

#[test]
fn today_writes_and_reads_the_golden_files() {
    for (name, init) in all() {
        let today = serde_json::to_string_pretty(&init).unwrap() + "\n";
        let file = file_of(name, &today);
        assert_eq!(
            serde_json::from_str::<InitSection>(&file).unwrap(),
            init,
            "{name} reads as something else"
        );
        assert_eq!(today, file, "{name} is written otherwise");
        assert_eq!(init.version, InitSection::VERSION, "{name}");
    }
}

/// Each file stands for a value above.
#[test]
fn every_golden_file_is_looked_at() {
    let names: BTreeSet<String> = all().into_iter().map(|(name, _)| format!("{name}.json")).collect();
    assert_eq!(names.len(), all().len());
    let files =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.collect::<BTreeSet<_>>(), names);
}

/// The variants that `T` knows, out of its answer to one that it does not know.
fn variants<T: DeserializeOwned + std::fmt::Debug>() -> BTreeSet<String> {
    let answer = serde_json::from_value::<T>(json!({ "?": null })).unwrap_err().to_string();
    let quoted: Vec<&str> = answer.split('`').skip(1).step_by(2).collect();
    assert_eq!(quoted[0], "?", "{answer}");
    quoted[1..].iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn every_kind_has_its_file() {
    let written: Vec<Value> = all().iter().map(|(_, init)| serde_json::to_value(init).unwrap()).collect();
    let tags = |pointer: &str| -> BTreeSet<String> {
        written.iter().filter_map(|init| init.pointer(pointer)?.as_object()?.keys().next().cloned()).collect()
    };
    assert_eq!(tags("/layout"), variants::<Layout>());
    assert_eq!(tags("/codec"), variants::<Codec>());
    assert_eq!(tags("/layout/Ogg/link/timing"), variants::<PacketTiming>());
}
