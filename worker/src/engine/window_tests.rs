//! The window's logic with a script in place of the model: words `one`, `two`, `three` are tokens 0 to 2, the
//! timestamp of 0 s is token 13.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::engine::mel::FrontEnd;
use crate::engine::vocab::tests::small;
use crate::engine::words::Alignment;

const T: u32 = 13;

/// What the script says to one pass, and which pass it must be: first frame, last frame, strategy.
type Pass = ((usize, usize, Strategy), Decoded);

fn decoded(tokens: &[u32], avg_logprob: f32, no_speech_prob: f32) -> Decoded {
    Decoded {
        tokens: tokens.to_vec(),
        avg_logprob,
        no_speech_prob,
        language: "de".to_owned(),
        alignment: None,
    }
}

fn pass(from: usize, to: usize, strategy: Strategy, tokens: &[u32], avg_logprob: f32) -> Pass {
    ((from, to, strategy), decoded(tokens, avg_logprob, 0.0))
}

/// Ten seconds, speech wherever `speech` says (in seconds); the sound is quietest at 5.5 s.
fn window(speech: &[(usize, usize)]) -> Prepared {
    let mut samples = vec![0.5; 160_000];
    samples[86_400..89_600].fill(0.0);
    Prepared {
        mel: Arc::new(FrontEnd::new(80).mel(&samples)),
        samples,
        speech: speech.iter().map(|(from, to)| (from * 16_000, to * 16_000)).collect(),
        language: Language::Known("en".to_owned()),
        prompt: Arc::new([]),
        aligned: false,
    }
}

/// Runs a window and checks that exactly the scripted passes were asked for.
fn run(window: &Prepared, script: Vec<Pass>) -> WindowText {
    let passes = script.len();
    let script = Mutex::new(VecDeque::from(script));
    let model = |request: Request| {
        let (expected, decoded) = script.lock().unwrap().pop_front().expect("one pass too many");
        let Task::Transcribe(strategy) = request.task else { panic!("{:?}", request.task) };
        assert_eq!((request.from, request.to, strategy), expected);
        async move { Ok(decoded) }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let text = runtime.block_on(transcribe(window, &small(), model)).unwrap();
    assert_eq!(script.lock().unwrap().len(), 0, "passes that were not asked for");
    assert_eq!(usize::from(text.attempts), passes);
    text
}

fn segments(text: &WindowText) -> Vec<(u32, u32, &str)> {
    text.segments.iter().map(|segment| (segment.start_ms, segment.end_ms, segment.text.as_str())).collect()
}

#[test]
fn one_pass_is_enough_for_a_sound_result() {
    let text = run(
        &window(&[(0, 10)]),
        vec![pass(0, 1000, Strategy::Beam, &[T, 0, 1, T + 200, T + 200, 2, T + 490], -0.3)],
    );
    assert_eq!(segments(&text), [(0, 4000, "one two"), (4000, 9800, "three")]);
    assert_eq!(text.language, "en");
    assert_eq!(text.segments[0].avg_logprob, -0.3);
}

#[test]
fn a_window_without_speech_is_not_decoded() {
    let text = run(&window(&[]), vec![]);
    assert_eq!((text.segments.len(), text.language.as_str()), (0, "en"));
    let text = run(&Prepared { language: Language::Detect, ..window(&[]) }, vec![]);
    assert_eq!(text.language, "und");
}

#[test]
fn times_end_with_the_window_and_text_without_sound_is_dropped() {
    // 0 to 6 s is spoken from 1 s on; 8 to 20 s is cut to 10 s; 22 to 24 s lies behind the end; 6 to 7 s is silence;
    // 7 to 7 s has no duration.
    let tokens = [
        T,
        0,
        T + 300,
        T + 300,
        1,
        T + 350,
        T + 350,
        1,
        T + 350,
        T + 400,
        2,
        T + 1000,
        T + 1100,
        0,
        T + 1200,
    ];
    let text = run(&window(&[(1, 6), (8, 10)]), vec![pass(0, 1000, Strategy::Beam, &tokens, -0.3)]);
    assert_eq!(segments(&text), [(1000, 6000, "one"), (8000, 10_000, "three")]);
}

#[test]
fn goes_on_where_the_model_stopped() {
    // A border at 4 s and unfinished text after it: decoded again from 4 s, as Whisper does.
    let text = run(
        &window(&[(0, 10)]),
        vec![
            pass(0, 1000, Strategy::Beam, &[T, 0, T + 200, T + 200, 1], -0.3),
            pass(400, 1000, Strategy::Beam, &[T, 1, 2, T + 300], -0.4),
        ],
    );
    assert_eq!(segments(&text), [(0, 4000, "one"), (4000, 10_000, "two three")]);
    // An end at 4 s, although six seconds of speech follow.
    let text = run(
        &window(&[(0, 10)]),
        vec![
            pass(0, 1000, Strategy::Beam, &[T, 0, T + 200], -0.3),
            pass(400, 1000, Strategy::Beam, &[T, 1, T + 300], -0.4),
        ],
    );
    assert_eq!(segments(&text), [(0, 4000, "one"), (4000, 10_000, "two")]);
}

#[test]
fn does_not_go_on_into_silence() {
    let text = run(&window(&[(0, 4)]), vec![pass(0, 1000, Strategy::Beam, &[T, 0, T + 200, T + 200], -0.3)]);
    assert_eq!(segments(&text), [(0, 4000, "one")]);
    // Then unfinished text is all there is of the rest, and is kept.
    let text =
        run(&window(&[(0, 4)]), vec![pass(0, 1000, Strategy::Beam, &[T, 0, T + 175, T + 175, 1], -0.3)]);
    assert_eq!(segments(&text), [(0, 3500, "one"), (3500, 4000, "two")]);
}

#[test]
fn going_on_comes_to_an_end() {
    // A model that stops 0.02 s after each start would go on for ever.
    let script =
        (0..=MAX_RESUMES).map(|n| pass(2 * n, 1000, Strategy::Beam, &[T, 0, T + 1, T + 1], -0.3)).collect();
    assert_eq!(run(&window(&[(0, 10)]), script).segments.len(), MAX_RESUMES + 1);
    // One that never gets ahead is asked once.
    run(&window(&[(0, 10)]), vec![pass(0, 1000, Strategy::Beam, &[T, T], -0.3)]);
}

#[test]
fn a_loop_is_broken() {
    let looping = [vec![T], [0, 1].repeat(20), vec![T + 500]].concat();
    let text = run(
        &window(&[(0, 10)]),
        vec![
            pass(0, 1000, Strategy::Beam, &looping, -0.1),
            pass(0, 1000, Strategy::NoRepeat, &[T, 0, 1, 2, T + 500], -0.6),
        ],
    );
    assert_eq!(segments(&text), [(0, 10_000, "one two three")]);
}

#[test]
fn a_guess_is_tried_in_halves_cut_where_it_is_quiet() {
    let text = run(
        &window(&[(0, 10)]),
        vec![
            pass(0, 1000, Strategy::Beam, &[T, 2, T + 500], -1.4),
            pass(0, 550, Strategy::Beam, &[T, 0, T + 270], -0.5),
            pass(550, 1000, Strategy::Beam, &[T, 1, T + 220], -0.7),
        ],
    );
    assert_eq!(segments(&text), [(0, 5400, "one"), (5500, 9900, "two")]);
}

#[test]
fn the_best_of_doubtful_results_is_kept() {
    let looping = [vec![T], [0, 1].repeat(20), vec![T + 500]].concat();
    let script = |left: f32| {
        vec![
            pass(0, 1000, Strategy::Beam, &looping, -0.1),
            pass(0, 1000, Strategy::NoRepeat, &[T, 2, T + 500], -1.5),
            pass(0, 550, Strategy::Beam, &[T, 0, T + 270], left),
            pass(550, 1000, Strategy::Beam, &[T, 1, T + 220], -1.4),
        ]
    };
    // A loop is probable, but still the worst.
    assert_eq!(segments(&run(&window(&[(0, 10)]), script(-1.4))), [(0, 5400, "one"), (5500, 9900, "two")]);
    assert_eq!(segments(&run(&window(&[(0, 10)]), script(-2.0))), [(0, 10_000, "three")]);
}

#[test]
fn silence_by_the_models_own_word_gives_no_text_and_no_second_try() {
    let mut quiet = pass(0, 1000, Strategy::Beam, &[T, 0, T + 500], -1.2);
    quiet.1.no_speech_prob = 0.7;
    assert_eq!(run(&window(&[(0, 10)]), vec![quiet]).segments, []);
    // Confident text outweighs it.
    let mut loud = pass(0, 1000, Strategy::Beam, &[T, 0, T + 500], -0.5);
    loud.1.no_speech_prob = 0.7;
    assert_eq!(run(&window(&[(0, 10)]), vec![loud]).segments.len(), 1);
}

#[test]
fn a_detected_language_stays_for_the_window() {
    let window = Prepared { language: Language::Detect, ..window(&[(0, 10)]) };
    let asked = Mutex::new(Vec::new());
    let model = |request: Request| {
        let mut asked = asked.lock().unwrap();
        asked.push(request.language);
        let first = asked.len() == 1;
        async move { Ok(decoded(if first { &[T, 0, T + 200, T + 200] } else { &[T, 0, T + 300] }, -0.3, 0.0)) }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let text = runtime.block_on(transcribe(&window, &small(), model)).unwrap();
    assert_eq!(text.language, "de");
    assert_eq!(*asked.lock().unwrap(), [Language::Detect, Language::Known("de".to_owned())]);
}

/// A pass without timestamps, whose text tokens begin at `times` (20 ms), the last of which is the end of the text.
fn aligned(from: usize, tokens: &[u32], times: &[i64]) -> Pass {
    let mut pass = pass(from, 1000, Strategy::Beam, tokens, -0.3);
    let path = times.iter().enumerate().map(|(token, &time)| (token as i64, time));
    pass.1.alignment = Some(Alignment::new(path, vec![0.5; times.len() - 1]).unwrap());
    pass
}

fn words(segment: &WindowSegment) -> Vec<(u32, u32, &str)> {
    segment.words.iter().map(|word| (word.start_ms, word.end_ms, word.text.as_str())).collect()
}

#[test]
fn words_have_times_of_the_window_also_where_it_goes_on() {
    let window = Prepared { aligned: true, ..window(&[(0, 7)]) };
    // The text ends at 4 s, although three seconds of speech follow.
    let text = run(&window, vec![aligned(0, &[0, 1], &[20, 60, 200]), aligned(400, &[2], &[10, 40])]);
    assert_eq!(segments(&text), [(400, 4000, "one two"), (4200, 4800, "three")]);
    assert_eq!(words(&text.segments[0]), [(400, 1200, "one"), (1200, 4000, " two")]);
    assert_eq!(words(&text.segments[1]), [(4200, 4800, "three")]);
    assert_eq!(text.segments[0].words[0].probability, 0.5);
}

#[test]
fn a_pause_parts_segments() {
    let window = Prepared { aligned: true, ..window(&[(0, 4), (6, 10)]) };
    let text = run(&window, vec![aligned(0, &[0, 1, 2], &[20, 60, 310, 480])]);
    assert_eq!(segments(&text), [(400, 4000, "one two"), (6200, 9600, "three")]);
}

#[test]
fn no_times_of_words_are_made_up() {
    let window = Prepared { aligned: true, ..window(&[(0, 10)]) };
    // Not aligned; aligned with another text.
    for script in [pass(0, 1000, Strategy::Beam, &[0, 1], -0.3), aligned(0, &[0, 1], &[20, 60, 180, 500])] {
        let text = run(&window, vec![script]);
        assert_eq!(segments(&text), [(0, 10_000, "one two")]);
        assert_eq!(text.segments[0].words, []);
    }
}

#[test]
fn words_keep_to_where_somebody_speaks() {
    let window = Prepared { aligned: true, ..window(&[(2, 5), (8, 10)]) };
    // The first word is stretched over the silence before it, the second over the one after it.
    let text = run(&window, vec![aligned(0, &[0, 1], &[0, 130, 390])]);
    assert_eq!(words(&text.segments[0]), [(2000, 2600, "one"), (2600, 5000, " two")]);
    assert_eq!(segments(&text), [(2000, 5000, "one two")]);
}
