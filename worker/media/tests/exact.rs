//! R26, R27: chunks of any size decode to the same samples, and to the ones that ffmpeg makes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::{Studio, check_recording};

/// Two channels that differ.
const STEREO: [&str; 2] = ["-af", "aformat=channel_layouts=mono,pan=stereo|c0=c0|c1=0.6*c0,adelay=0|7"];
/// MP3 decoders differ in the order of their sums.
const MP3: f32 = 1e-4;

fn arguments<'a>(parts: &[&[&'a str]]) -> Vec<&'a str> {
    parts.concat()
}

#[test]
fn wav_16_bit_mono() {
    let studio = Studio::new();
    let (init, passages) = check_recording(&studio.speech(240), 0.0);
    assert_eq!((init.media.container.as_str(), init.media.codec.as_str()), ("wav", "pcm_s16le"));
    assert!(passages.len() >= 4);
}

#[test]
fn wav_8_bit_at_8_khz() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(240), &["-c:a", "pcm_u8", "-ar", "8000"], "a.wav");
    check_recording(&path, 0.0);
}

#[test]
fn wav_16_bit_stereo_at_44_khz() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(120), &arguments(&[&STEREO, &["-ar", "44100"]]), "a.wav");
    let (init, _) = check_recording(&path, 0.0);
    assert_eq!((init.media.channels, init.media.sample_rate), (2, 44_100));
}

#[test]
fn wav_24_bit_stereo_at_48_khz() {
    let studio = Studio::new();
    let args = arguments(&[&STEREO, &["-c:a", "pcm_s24le", "-ar", "48000"]]);
    check_recording(&studio.convert(&studio.speech(90), &args, "a.wav"), 0.0);
}

#[test]
fn wav_32_bit_mono() {
    let studio = Studio::new();
    check_recording(&studio.convert(&studio.speech(120), &["-c:a", "pcm_s32le"], "a.wav"), 0.0);
}

#[test]
fn wav_float_stereo_at_48_khz() {
    let studio = Studio::new();
    let args = arguments(&[&STEREO, &["-c:a", "pcm_f32le", "-ar", "48000"]]);
    let (init, _) = check_recording(&studio.convert(&studio.speech(70), &args, "a.wav"), 0.0);
    assert_eq!(init.media.codec, "pcm_f32le");
}

#[test]
fn wav_double_in_rf64() {
    let studio = Studio::new();
    let args = ["-c:a", "pcm_f64le", "-rf64", "always"];
    check_recording(&studio.convert(&studio.speech(70), &args, "a.wav"), 0.0);
}

#[test]
fn wav_of_six_channels_from_a_pipe() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(90), &["-ac", "6", "-ar", "16000"], "a.wav");
    // A writer that could not seek back leaves the largest size.
    let mut bytes = std::fs::read(&path).unwrap();
    let data = bytes.windows(4).position(|id| id == b"data").unwrap();
    bytes[data + 4..data + 8].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let (init, _) = check_recording(&path, 0.0);
    assert_eq!(init.media.channels, 6);
}

#[test]
fn flac_16_bit() {
    let studio = Studio::new();
    let (init, passages) = check_recording(&studio.convert(&studio.speech(240), &[], "a.flac"), 0.0);
    assert_eq!(init.media.container, "flac");
    assert!(init.media.duration_seconds.is_some() && passages.len() >= 4);
}

#[test]
fn flac_24_bit_stereo_at_48_khz() {
    let studio = Studio::new();
    let args = arguments(&[&STEREO, &["-c:a", "flac", "-sample_fmt", "s32", "-ar", "48000"]]);
    check_recording(&studio.convert(&studio.speech(120), &args, "a.flac"), 0.0);
}

#[test]
fn flac_in_large_blocks() {
    let studio = Studio::new();
    let args = arguments(&[&STEREO, &["-frame_size", "65535", "-compression_level", "0", "-ar", "96000"]]);
    check_recording(&studio.convert(&studio.speech(70), &args, "a.flac"), 0.0);
}

#[test]
fn flac_with_tags_around() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(100), &["-metadata", "title=A reading"], "a.flac");
    let mut bytes = b"ID3\x03\0\0\0\0\x07\x68".to_vec();
    bytes.extend([0; 1000]);
    bytes.extend(std::fs::read(&path).unwrap());
    bytes.extend(b"TAG");
    bytes.extend([b' '; 125]);
    std::fs::write(&path, bytes).unwrap();
    let (init, _) = check_recording(&path, 0.0);
    assert_eq!(init.media.title.as_deref(), Some("A reading"));
}

#[test]
fn mp3_constant_32k_mono() {
    let studio = Studio::new();
    let path = studio.convert(&studio.speech(300), &["-b:a", "32k", "-ar", "44100"], "a.mp3");
    let (init, passages) = check_recording(&path, MP3);
    assert_eq!((init.media.container.as_str(), init.media.bitrate.unwrap() / 1000), ("mp3", 32));
    assert!(passages.len() >= 5);
}

#[test]
fn mp3_constant_128k_joint_stereo() {
    let studio = Studio::new();
    let args = arguments(&[&STEREO, &["-b:a", "128k", "-joint_stereo", "1", "-ar", "44100"]]);
    check_recording(&studio.convert(&studio.speech(240), &args, "a.mp3"), MP3);
}

#[test]
fn mp3_variable() {
    let studio = Studio::new();
    let args = arguments(&[&STEREO, &["-q:a", "4", "-ar", "48000"]]);
    check_recording(&studio.convert(&studio.speech(240), &args, "a.mp3"), MP3);
}

#[test]
fn mp3_of_mpeg_2_at_22_khz() {
    let studio = Studio::new();
    check_recording(&studio.convert(&studio.speech(240), &["-b:a", "48k", "-ar", "22050"], "a.mp3"), MP3);
}

#[test]
fn mp3_of_mpeg_2_5_at_8_khz() {
    let studio = Studio::new();
    check_recording(&studio.convert(&studio.speech(240), &["-b:a", "8k", "-ar", "8000"], "a.mp3"), MP3);
}

#[test]
fn mp3_without_the_encoders_tag() {
    let studio = Studio::new();
    let args = ["-b:a", "64k", "-ar", "32000", "-write_xing", "0", "-id3v2_version", "0"];
    let (init, _) = check_recording(&studio.convert(&studio.speech(240), &args, "a.mp3"), MP3);
    assert_eq!(init.trim.start, 0);
}

#[test]
fn mp3_with_a_cover_and_tags() {
    let studio = Studio::new();
    let cover = studio.path("cover.bmp");
    let speech = studio.speech(120);
    let picture = ["-f", "lavfi", "-i", "testsrc2=size=1100x1000", "-frames:v", "1"];
    studio.convert(&speech, &arguments(&[&picture, &["-map", "1:v"]]), "cover.bmp");
    let cover = cover.to_str().unwrap();
    let title = ["-metadata", "title=Größe", "-id3v2_version", "3", "-write_id3v1", "1"];
    let streams = ["-i", cover, "-map", "0:a", "-map", "1:v", "-c:v", "copy", "-b:a", "96k"];
    let path = studio.convert(&speech, &arguments(&[&streams, &title]), "a.mp3");
    assert!(std::fs::metadata(&path).unwrap().len() > 4_000_000);
    let (init, _) = check_recording(&path, MP3);
    assert!(init.data_start > 3_000_000);
    assert_eq!(init.media.title.as_deref(), Some("Größe"));
}
