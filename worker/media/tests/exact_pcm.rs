//! R26, R27 for AIFF, CAF, AU, Wave64 and the rarer kinds of WAVE and MP3: as `exact.rs`, with ffmpeg as the judge.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::{Path, PathBuf};

use scriptorium_media::{ByteSource, MemorySource, plan_chunk, probe};
use support::{Studio, Uploaded, check_recording, ffmpeg, in_one_go, largest_difference, load, plans, tiled};

/// Two channels that differ.
const STEREO: [&str; 2] = ["-af", "aformat=channel_layouts=mono,pan=stereo|c0=c0|c1=0.6*c0,adelay=0|7"];
/// MP3 decoders differ in the order of their sums.
const MP3: f32 = 1e-4;
/// AAC decoders too.
const AAC: f32 = 1e-4;

/// Makes a recording of this codec and rate, checks it, and returns its title.
fn check(codec: &str, more: &[&str], name: &str, container: &str) -> Option<String> {
    let studio = Studio::new();
    let args = [&["-c:a", codec, "-metadata", "title=A reading"], more].concat();
    let (init, passages) = check_recording(&studio.convert(&studio.speech(70), &args, name), 0.0);
    assert_eq!((init.media.container.as_str(), init.media.codec.as_str()), (container, codec));
    assert!(!passages.is_empty());
    init.media.title
}

#[test]
fn aiff_of_all_widths() {
    for (codec, rate) in
        [("pcm_s8", "8000"), ("pcm_s16be", "44100"), ("pcm_s24be", "48000"), ("pcm_s32be", "22050")]
    {
        let args = [&STEREO[..], &["-ar", rate]].concat();
        assert_eq!(check(codec, &args, "a.aiff", "aiff").as_deref(), Some("A reading"), "{codec}");
    }
}

#[test]
fn aiff_c_of_all_codecs() {
    for codec in ["pcm_s16le", "pcm_f32be", "pcm_f64be", "pcm_alaw", "pcm_mulaw"] {
        check(codec, &["-ar", "16000"], "a.aiff", "aiff");
    }
}

/// Cuts a file of the AIFF kind into its chunks.
fn aiff_chunks(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (mut at, mut chunks) = (12, Vec::new());
    while at + 8 <= bytes.len() {
        let size = u32::from_be_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        chunks.push((bytes[at..at + 4].to_vec(), bytes[at + 8..at + 8 + size].to_vec()));
        at += 8 + size + size % 2;
    }
    chunks
}

fn aiff_file(kind: &[u8], chunks: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut body = kind.to_vec();
    for (id, chunk) in chunks {
        body.extend(id);
        body.extend((chunk.len() as u32).to_be_bytes());
        body.extend(chunk);
        body.resize(body.len().next_multiple_of(2), 0);
    }
    [b"FORM", &(body.len() as u32).to_be_bytes()[..], &body].concat()
}

#[test]
fn aiff_with_an_offset_and_the_description_last() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(70), &[], "a.aiff");
    let expected = ffmpeg(&path);
    let mut chunks = aiff_chunks(&std::fs::read(&path).unwrap());
    chunks.sort_by_key(|(id, _)| id == b"COMM");
    let sound = chunks.iter_mut().find(|(id, _)| id == b"SSND").unwrap();
    sound.1[..4].copy_from_slice(&6u32.to_be_bytes());
    sound.1.splice(8..8, *b"offset");
    // More bytes than frames are counted.
    sound.1.extend([7; 31]);
    let source = MemorySource::new(aiff_file(b"AIFF", &chunks));
    let init = probe(&source).unwrap();
    let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
    assert_eq!(in_one_go(&source, &init, plan.frames), expected);
    // The probe waits for the chunk with the description, and for no other.
    let mut partly = Uploaded::new(source, 100_000);
    partly.missing = (1..1000).collect();
    let last = (partly.len() / 100_000) as u32;
    assert_eq!(probe(&partly).unwrap_err().missing_chunk(), Some(last));
}

#[test]
fn aiff_whose_sizes_were_never_filled_in() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(60), &["-map_metadata", "-1"], "a.aiff");
    let expected = ffmpeg(&path);
    let mut bytes = std::fs::read(&path).unwrap();
    let find = |id: &[u8]| bytes.windows(4).position(|window| window == id).unwrap();
    let (common, sound) = (find(b"COMM"), find(b"SSND"));
    for size in [[0; 4], [0xff; 4]] {
        bytes[common + 10..common + 14].fill(0);
        bytes[sound + 4..sound + 8].copy_from_slice(&size);
        let source = MemorySource::new(bytes.clone());
        let init = probe(&source).unwrap();
        assert_eq!(in_one_go(&source, &init, expected.len() as u64), expected);
    }
}

#[test]
fn wav_companded() {
    for codec in ["pcm_alaw", "pcm_mulaw"] {
        let args = [&STEREO[..], &["-ar", "8000"]].concat();
        assert_eq!(check(codec, &args, "a.wav", "wav").as_deref(), Some("A reading"));
    }
}

#[test]
fn wav_big_endian() {
    let studio = Studio::new();
    let path =
        studio.convert(&studio.speech(70), &["-c:a", "pcm_s24le", "-metadata", "title=A reading"], "a.wav");
    let expected = ffmpeg(&path);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[3] = b'X';
    let mut at = 12;
    while at < bytes.len() {
        let size = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        bytes[at + 4..at + 8].reverse();
        let id = bytes[at..at + 4].to_vec();
        let body = &mut bytes[at + 8..at + 8 + size];
        match &id[..] {
            b"fmt " => {
                // WAVEFORMATEX fields: two words, two long words, words again; the sub-format's tag stands at 24.
                for word in [0, 2, 12, 14, 24].into_iter().filter(|word| word + 2 <= size) {
                    body[word..word + 2].reverse();
                }
                body[4..8].reverse();
            }
            b"LIST" => {
                let mut at = 4;
                while at + 8 <= size {
                    let entry = u32::from_le_bytes(body[at + 4..at + 8].try_into().unwrap()) as usize;
                    body[at + 4..at + 8].reverse();
                    at += 8 + entry + entry % 2;
                }
            }
            b"data" => body.chunks_exact_mut(3).for_each(<[u8]>::reverse),
            _ => {}
        }
        at += 8 + size + size % 2;
    }
    let source = MemorySource::new(bytes);
    let init = probe(&source).unwrap();
    assert_eq!((init.media.codec.as_str(), init.media.title.as_deref()), ("pcm_s24be", Some("A reading")));
    assert_eq!(in_one_go(&source, &init, expected.len() as u64), expected);
}

#[test]
fn wav_with_mp3_inside() {
    let studio = Studio::new();
    let args = ["-c:a", "libmp3lame", "-b:a", "64k", "-ar", "44100"];
    let (init, _) = check_recording(&studio.convert(&studio.speech(120), &args, "a.wav"), MP3);
    assert_eq!((init.media.container.as_str(), init.media.codec.as_str()), ("wav", "mp3"));
}

#[test]
fn wave64_and_au() {
    for codec in ["pcm_s16le", "pcm_f32le", "pcm_mulaw"] {
        check(codec, &STEREO, "a.w64", "w64");
    }
    for codec in
        ["pcm_s8", "pcm_s16be", "pcm_s24be", "pcm_s32be", "pcm_f32be", "pcm_f64be", "pcm_alaw", "pcm_mulaw"]
    {
        check(codec, &["-ar", "11025"], "a.au", "au");
    }
}

#[test]
fn caf_of_pcm() {
    for codec in [
        "pcm_s8",
        "pcm_s16be",
        "pcm_s16le",
        "pcm_s24be",
        "pcm_s24le",
        "pcm_s32be",
        "pcm_s32le",
        "pcm_f32be",
        "pcm_f32le",
        "pcm_f64be",
        "pcm_f64le",
        "pcm_alaw",
        "pcm_mulaw",
    ] {
        let title = check(codec, &STEREO, "a.caf", "caf");
        assert_eq!(title.as_deref(), Some("A reading"), "{codec}");
    }
}

/// The chunks of a CAF file.
fn caf_chunks(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (mut at, mut chunks) = (8, Vec::new());
    while at + 12 <= bytes.len() {
        let size = u64::from_be_bytes(bytes[at + 4..at + 12].try_into().unwrap()) as usize;
        chunks.push((bytes[at..at + 4].to_vec(), bytes[at + 12..at + 12 + size].to_vec()));
        at += 12 + size;
    }
    chunks
}

fn caf_file(chunks: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"caff\0\x01\0\0".to_vec();
    for (id, chunk) in chunks {
        bytes.extend(id);
        bytes.extend((chunk.len() as u64).to_be_bytes());
        bytes.extend(chunk);
    }
    bytes
}

fn chunk<'a>(chunks: &'a mut [(Vec<u8>, Vec<u8>)], id: &[u8]) -> &'a mut Vec<u8> {
    &mut chunks.iter_mut().find(|(found, _)| found == id).unwrap().1
}

#[test]
fn caf_recorded_live() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(70), &["-c:a", "pcm_s16le"], "a.caf");
    let mut bytes = std::fs::read(&path).unwrap();
    let data = bytes.windows(4).position(|id| id == b"data").unwrap();
    bytes[data + 4..data + 12].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    check_recording(&path, 0.0);
}

/// A CAF file of AAC, which ffmpeg reads but does not write: the packets of an ADTS stream, with a table.
fn caf_of_aac(studio: &Studio, seconds: u32, arguments: &[&str]) -> PathBuf {
    // Without noise substitution, whose random numbers each decoder makes in its own way.
    let args = [&["-c:a", "aac", "-aac_pns", "0", "-ar", "44100"], arguments].concat();
    let adts = std::fs::read(studio.convert(&studio.speech(seconds), &args, "a.aac")).unwrap();
    let channels = adts[2] << 2 & 4 | adts[3] >> 6;
    let (mut at, mut data, mut table, mut packets) = (0, vec![0; 4], Vec::new(), 0u64);
    while at < adts.len() {
        let len = usize::from(adts[at + 3] & 3) << 11
            | usize::from(adts[at + 4]) << 3
            | usize::from(adts[at + 5] >> 5);
        let packet = &adts[at + 7..at + len];
        if packet.len() > 127 {
            table.push(0x80 | (packet.len() >> 7) as u8);
        }
        table.push(packet.len() as u8 & 0x7f);
        data.extend(packet);
        (at, packets) = (at + len, packets + 1);
    }
    let describe = |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<u8>>();
    let description =
        [&44_100f64.to_be_bytes()[..], b"aac ", &describe(&[2, 0, 1024, u32::from(channels), 0])].concat();
    // ES_Descriptor, DecoderConfigDescriptor, DecoderSpecificInfo; sizes in four bytes, as Apple writes them.
    let mut cookie = b"\x03\x80\x80\x80\x22\0\0\0\x04\x80\x80\x80\x14\x40\x15".to_vec();
    cookie.extend(b"\0\0\0\0\0\0\0\0\0\0\0\x05\x80\x80\x80\x02\x12");
    cookie.extend([channels << 3, 6, 0x80, 0x80, 0x80, 1, 2]);
    let head = [&packets.to_be_bytes()[..], &(packets * 1024).to_be_bytes(), &[0; 8]].concat();
    let chunks = [
        (b"desc".to_vec(), description),
        (b"kuki".to_vec(), cookie),
        (b"pakt".to_vec(), [head, table].concat()),
        (b"data".to_vec(), data),
    ];
    let path = studio.path("aac.caf");
    std::fs::write(&path, caf_file(&chunks)).unwrap();
    path
}

#[test]
fn caf_with_aac() {
    let studio = Studio::new();
    let path = caf_of_aac(&studio, 400, &[&STEREO[..], &["-b:a", "96k"]].concat());
    let (init, passages) = check_recording(&path, AAC);
    assert_eq!((init.media.codec.as_str(), init.media.channels, init.media.sample_rate), ("aac", 2, 44_100));
    assert!(passages.len() > 5);
    let stored = serde_json::to_string(&init).unwrap();
    assert!(stored.len() < 1024, "{stored}");
    assert_eq!(serde_json::from_str::<scriptorium_media::InitSection>(&stored).unwrap(), init);
}

#[test]
fn caf_with_aac_whose_delay_and_padding_are_given() {
    let studio = Studio::new();
    let path = caf_of_aac(&studio, 100, &["-b:a", "48k"]);
    let whole = ffmpeg(&path);
    let (priming, remainder) = (2112, 777);
    let mut chunks = caf_chunks(&std::fs::read(&path).unwrap());
    let table = chunk(&mut chunks, b"pakt");
    table[16..20].copy_from_slice(&(priming as u32).to_be_bytes());
    table[20..24].copy_from_slice(&(remainder as u32).to_be_bytes());
    let source = MemorySource::new(caf_file(&chunks));
    let init = probe(&source).unwrap();
    let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
    let expected = &whole[priming..whole.len() - remainder];
    assert_eq!(plan.frames, expected.len() as u64);
    assert!(largest_difference(&in_one_go(&source, &init, plan.frames), expected) < AAC);
    let passages = tiled(&[plan]);
    for size in [20_000, 300_007] {
        assert_eq!(tiled(&plans(&source, &init, size)), passages);
    }
}

#[test]
fn caf_with_alac() {
    let studio = Studio::new();
    for args in [vec!["-c:a", "alac"], [&STEREO[..], &["-c:a", "alac", "-sample_fmt", "s32p"]].concat()] {
        let path = studio.convert(&studio.speech(240), &args, "a.caf");
        let (init, passages) = check_recording(&path, 0.0);
        assert_eq!((init.media.container.as_str(), init.media.codec.as_str()), ("caf", "alac"));
        assert!(passages.len() > 3);
    }
}

#[test]
fn caf_with_opus() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(120), &["-c:a", "libopus", "-b:a", "24k"], "a.caf");
    let source = load(&path);
    let init = probe(&source).unwrap();
    let judge = ffmpeg(&path);
    let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
    // ffmpeg takes the delay off, which this file does not tell.
    assert_eq!(plan.frames % 960, 0);
    assert!((0..=960).contains(&(plan.frames as i64 - judge.len() as i64)));
    let passages = tiled(&[plan]);
    for size in [20_000, 300_007] {
        assert_eq!(tiled(&plans(&source, &init, size)), passages);
    }
}

#[test]
fn a_packet_table_after_the_data_is_waited_for() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(60), &["-c:a", "alac"], "a.caf");
    let mut source = Uploaded::new(load(&path), 50_000);
    let last = (source.len() / 50_000) as u32;
    source.missing = (1..=last).collect();
    assert_eq!(probe(&source).unwrap_err().missing_chunk(), Some(last));
    source.missing.pop();
    let init = probe(&source).unwrap();
    let plan = plan_chunk(&source.whole, &init, 0..source.len()).unwrap();
    assert_eq!(plan.frames, ffmpeg(&path).len() as u64);
}

#[test]
fn a_table_of_more_packets_than_there_are_costs_nothing() {
    let studio = Studio::new();
    let path = caf_of_aac(&studio, 60, &["-b:a", "32k"]);
    let bytes = std::fs::read(&path).unwrap();
    let mut chunks = caf_chunks(&bytes);
    chunk(&mut chunks, b"pakt")[..8].copy_from_slice(&i64::MAX.to_be_bytes());
    let honest = probe(&MemorySource::new(bytes.clone())).unwrap();
    let init = probe(&MemorySource::new(caf_file(&chunks))).unwrap();
    assert_eq!(init.layout, honest.layout);
    // Cut off in the data: the packets that are whole.
    let source = MemorySource::new(bytes[..bytes.len() - 1000].to_vec());
    let init = probe(&source).unwrap();
    let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
    assert!(plan.frames > 57 * 44_100 && plan.frames.is_multiple_of(1024));
    // Sizes that no packet has.
    for size in [&[0xff, 0xff, 0xff, 0x7f][..], &[0, 0, 0, 0]] {
        let mut chunks = caf_chunks(&bytes);
        chunk(&mut chunks, b"pakt")[40..44].copy_from_slice(size);
        assert!(probe(&MemorySource::new(caf_file(&chunks))).is_err());
    }
    // A description that promises gigabytes.
    for (at, value) in [(20, u32::MAX), (24, u32::MAX), (20, 0)] {
        let mut chunks = caf_chunks(&bytes);
        chunk(&mut chunks, b"desc")[at..at + 4].copy_from_slice(&value.to_be_bytes());
        let changed = probe(&MemorySource::new(caf_file(&chunks)));
        assert!(at == 24 || changed.is_err(), "channels are the cookie's, the rest is not");
    }
}

fn write(studio: &Studio, name: &str, bytes: Vec<u8>) -> PathBuf {
    let path = studio.path(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// Frames alone: neither tags nor the encoder's frame.
const BARE: [&str; 4] = ["-write_xing", "0", "-id3v2_version", "0"];

#[test]
fn mp3_behind_an_ape_tag() {
    let studio = Studio::new();
    let args = [&["-b:a", "64k", "-ar", "44100"], &BARE[..]].concat();
    let sound = read(&studio.convert(&studio.speech(60), &args, "a.mp3"));
    // Version 2, size without the header, one item, flags: has a header, is the header.
    let mut bytes = b"APETAGEX\xd0\x07\0\0".to_vec();
    let body = [&b"\0\0\x02\0\x02\0\0\0Cover Art\0"[..], &[0xff, 0xfb].repeat(65_536)].concat();
    bytes.extend((body.len() as u32 + 32).to_le_bytes());
    bytes.extend(b"\x01\0\0\0\0\0\0\xa0\0\0\0\0\0\0\0\0");
    bytes.extend(&body);
    bytes.extend(b"APETAGEX\xd0\x07\0\0");
    bytes.extend((body.len() as u32 + 32).to_le_bytes());
    bytes.extend(b"\x01\0\0\0\0\0\0\x80\0\0\0\0\0\0\0\0");
    let start = bytes.len() as u64;
    bytes.extend(&sound);
    let source = MemorySource::new(bytes);
    let init = probe(&source).unwrap();
    assert_eq!(init.data_start, start);
    let bare = MemorySource::new(sound);
    let plan = plan_chunk(&bare, &probe(&bare).unwrap(), 0..bare.len()).unwrap();
    assert_eq!(plan_chunk(&source, &init, 0..source.len()).unwrap().frames, plan.frames);
}

#[test]
fn mp3_with_a_vbri_header() {
    let studio = Studio::new();
    let args = [&["-b:a", "64k", "-ar", "44100"], &BARE[..]].concat();
    let sound = read(&studio.convert(&studio.speech(60), &args, "a.mp3"));
    let frames = probe_frames(&sound) / 1152;
    let mut tag = vec![0; 208];
    tag[..4].copy_from_slice(&sound[..4]);
    tag[2] &= !2;
    tag[36..46].copy_from_slice(b"VBRI\0\x01\x09\x11\0\x4b");
    tag[46..50].copy_from_slice(&(sound.len() as u32 + 208).to_be_bytes());
    tag[50..54].copy_from_slice(&(frames as u32).to_be_bytes());
    let path = write(&studio, "vbri.mp3", [tag, sound].concat());
    let (init, _) = check_recording(&path, MP3);
    assert_eq!((init.data_start, init.trim.start), (208, 0));
}

fn probe_frames(bytes: &[u8]) -> u64 {
    let source = MemorySource::new(bytes.to_vec());
    plan_chunk(&source, &probe(&source).unwrap(), 0..source.len()).unwrap().frames
}

#[test]
fn mp3_that_changes_from_mono_to_stereo_and_back() {
    let studio = Studio::new();
    let speech = studio.speech(40);
    let mono = [&["-ac", "1", "-b:a", "64k", "-ar", "44100"], &BARE[..]].concat();
    let stereo = [&STEREO[..], &["-b:a", "96k", "-ar", "44100"], &BARE[..]].concat();
    let mono = read(&studio.convert(&speech, &mono, "mono.mp3"));
    let stereo = read(&studio.convert(&speech, &stereo, "stereo.mp3"));
    for (name, parts) in [("a.mp3", [&mono, &stereo, &mono]), ("b.mp3", [&stereo, &mono, &stereo])] {
        let path = write(&studio, name, parts.map(Vec::as_slice).concat());
        let source = load(&path);
        let init = probe(&source).unwrap();
        let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
        let passages = tiled(std::slice::from_ref(&plan));
        for size in [20_000, 100_003] {
            assert_eq!(tiled(&plans(&source, &init, size)), passages);
        }
        assert_eq!(plan.frames, parts.map(|part| probe_frames(part)).iter().sum::<u64>());
        let ours = in_one_go(&source, &init, plan.frames);
        let channels = init.media.channels as usize;
        let mut start = 0;
        for part in parts {
            let own = ffmpeg(&write(&studio, "part.mp3", part.clone()));
            let own: Vec<f32> =
                match (channels, probe(&MemorySource::new(part.clone())).unwrap().media.channels) {
                    (1, 2) => own.chunks_exact(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect(),
                    (2, 1) => own.iter().flat_map(|sample| [*sample; 2]).collect(),
                    _ => own,
                };
            // Away from the switches, where a decoder starts afresh.
            let inner = 20_000..own.len() - 20_000;
            let ours = &ours[start + inner.start..start + inner.end];
            assert!(largest_difference(ours, &own[inner]) < MP3, "from {start} on in {name}");
            start += own.len();
        }
    }
}
