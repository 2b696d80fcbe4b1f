//! Music in which nobody sings gives no words, although the detector of voices takes some of it for speech.

use std::f32::consts::TAU;

use scriptorium_worker::engine::{Engine, MAX_WINDOW, SAMPLE_RATE, vad};

use crate::{ENGINE, WAITS, sound};

/// C, A minor, F, G, in Hz.
const CHORDS: [[f32; 3]; 4] =
    [[261.6, 329.6, 392.0], [220.0, 261.6, 329.6], [174.6, 220.0, 261.6], [196.0, 246.9, 293.7]];

/// Adds a note: a sum of harmonics that begins within 10 ms and dies away at `decay` a second.
fn note(music: &mut [f32], start: f32, seconds: f32, pitch: f32, decay: f32, harmonics: &[f32]) {
    let rate = SAMPLE_RATE as f32;
    let begin = (start * rate) as usize;
    for (at, sample) in music.iter_mut().skip(begin).take((seconds * rate) as usize).enumerate() {
        let time = at as f32 / rate;
        let loudness = (time / 0.01).min(1.0) * (-decay * time).exp() * ((seconds - time) / 0.02).min(1.0);
        let tones = harmonics.iter().zip(1u8..);
        *sample += loudness
            * tones.map(|(level, times)| level * (TAU * pitch * f32::from(times) * time).sin()).sum::<f32>();
    }
}

fn to_loudness(mut music: Vec<f32>, loudness: f32) -> Vec<f32> {
    let loudest = music.iter().fold(0.0f32, |most, sample| most.max(sample.abs()));
    music.iter_mut().for_each(|sample| *sample *= loudness / loudest);
    music
}

/// A chord every two seconds, held.
fn organ() -> Vec<f32> {
    let mut music = vec![0.0; MAX_WINDOW];
    for chord in 0u8..15 {
        for pitch in CHORDS[usize::from(chord % 4)] {
            note(&mut music, f32::from(chord) * 2.0, 2.0, pitch, 0.0, &[1.0, 0.5, 0.3, 0.2]);
        }
    }
    to_loudness(music, 0.5)
}

/// Plucked chords, a bass, a beat, and a melody over it with as many harmonics as a voice.
fn band() -> Vec<f32> {
    let mut music = vec![0.0; MAX_WINDOW];
    let scale = [0, 2, 4, 5, 7, 9, 11, 12, 9, 5, 2, 7]
        .map(|half_tones: i16| 261.6 * 2f32.powf(f32::from(half_tones) / 12.0));
    let voice: Vec<f32> = (1u8..13).map(|harmonic| 0.7 / f32::from(harmonic)).collect();
    for beat in 0u16..120 {
        let (start, chord) = (f32::from(beat) * 0.25, CHORDS[usize::from(beat / 8 % 4)]);
        note(
            &mut music,
            start,
            1.5,
            chord[[0, 1, 2, 1][usize::from(beat % 4)]],
            3.0,
            &[1.0, 0.6, 0.4, 0.25, 0.15, 0.1],
        );
        note(&mut music, start, 0.24, chord[0] / 4.0, 2.0, &[2.0, 1.4, 1.0, 0.6]);
        if beat % 4 == 0 {
            note(&mut music, start, 0.2, 55.0, 15.0, &[3.0]);
        }
        if beat % 2 == 0 {
            note(&mut music, start, 0.5, scale[usize::from(beat * 5 % 12)], 0.0, &voice);
        }
    }
    to_loudness(music, 0.5)
}

#[tokio::test]
async fn music_gives_no_words() {
    let mut taken_for_speech = 0;
    for (name, samples) in [("organ", organ()), ("band", band())] {
        taken_for_speech += vad::speech_regions(&samples).len();
        let result = ENGINE.transcribe(sound(samples), &WAITS).await.unwrap();
        assert!(result.segments.is_empty(), "{name}: {result:?}");
    }
    assert!(taken_for_speech > 0, "the model was not asked");
}
