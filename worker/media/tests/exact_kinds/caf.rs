//! CAF, with PCM and with packets of many sizes.

use std::path::PathBuf;

use scriptorium_media::{ByteSource, ChunkPlan, MemorySource, plan_chunk, probe};

use crate::support::{
    SIZES, Studio, Uploaded, check_recording, ffmpeg, in_one_go, largest_difference, load, plans, tiled,
};
use crate::{AAC, STEREO, check};

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

/// Behind an entry that is damaged nobody knows where packets begin: they are told as lost.
#[test]
fn a_damaged_packet_table_loses_what_is_behind() {
    let studio = Studio::new();
    let sound = std::fs::read(caf_of_aac(&studio, 60, &["-ar", "44100"])).unwrap();
    let whole = plan_of(sound.clone());
    for bad in [&[0xff; 4][..], &[0]] {
        let mut chunks = caf_chunks(&sound);
        let table = chunk(&mut chunks, b"pakt");
        let at = 24 + (table.len() - 24) / 4 * 2;
        table[at..at + bad.len()].copy_from_slice(bad);
        // A new entry begins behind one whose top bit is not set.
        table[at - 1] &= 0x7f;
        let hurt = caf_file(&chunks);
        let plan = plan_of(hurt.clone());
        assert_eq!(plan.frames, whole.frames, "{bad:?}");
        let [gap] = plan.damaged[..] else { panic!("{:?}", plan.damaged) };
        assert_eq!(gap.end as u64, plan.frames);
        assert!((gap.start as u64).abs_diff(whole.frames / 2) < whole.frames / 10, "{gap:?}");
        let source = MemorySource::new(hurt);
        let init = probe(&source).unwrap();
        for size in SIZES {
            assert_eq!(tiled(&plans(&source, &init, size)), tiled(std::slice::from_ref(&plan)));
        }
    }
}

fn plan_of(bytes: Vec<u8>) -> ChunkPlan {
    let source = MemorySource::new(bytes);
    plan_chunk(&source, &probe(&source).unwrap(), 0..source.len()).unwrap()
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
        let plan = plan_of(caf_file(&chunks));
        let [gap] = plan.damaged[..] else { panic!("{:?}", plan.damaged) };
        assert_eq!(gap.end as u64, plan.frames);
        assert!(gap.start < 44_100, "{gap:?}");
    }
    // A description that promises gigabytes.
    for (at, value) in [(20, u32::MAX), (24, u32::MAX), (20, 0)] {
        let mut chunks = caf_chunks(&bytes);
        chunk(&mut chunks, b"desc")[at..at + 4].copy_from_slice(&value.to_be_bytes());
        let changed = probe(&MemorySource::new(caf_file(&chunks)));
        assert!(at == 24 || changed.is_err(), "channels are the cookie's, the rest is not");
    }
}
