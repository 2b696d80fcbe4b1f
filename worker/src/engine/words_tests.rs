use super::*;
use crate::engine::vocab::tests::with_words;

fn alignment(times: &[i64]) -> Alignment {
    let path = times.iter().enumerate().map(|(token, &time)| (token as i64, time));
    Alignment::new(path, vec![0.5; times.len() - 1]).unwrap()
}

fn word(start_ms: u32, end_ms: u32, text: &str) -> WindowWord {
    WindowWord { start_ms, end_ms, text: text.to_owned(), probability: 0.5 }
}

fn told(words: &[WindowWord]) -> Vec<(u32, u32, &str)> {
    words.iter().map(|word| (word.start_ms, word.end_ms, word.text.as_str())).collect()
}

#[test]
fn a_path_through_all_tokens_gives_their_times() {
    // Token 1 lasts three frames; token 2 begins in the frame in which it ends.
    let path = [(0, 0), (0, 1), (1, 2), (1, 3), (1, 4), (2, 4), (3, 7)];
    let alignment = Alignment::new(path, vec![0.1, 0.2, 0.3]).unwrap();
    assert_eq!(alignment.times, [0, 2, 4, 7]);
    for broken in [
        &[][..],
        &[(0, 0), (1, 1), (2, 2)],
        &[(0, 0), (1, 1), (3, 2), (3, 3)],
        &[(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)],
        &[(0, 5), (1, 4), (2, 6), (3, 7)],
        &[(-1, 0), (0, 0), (1, 1), (2, 2), (3, 3)],
        &[(0, 0), (1, 1), (2, 2), (3, i64::MAX)],
        &[(0, 0), (1, 1), (0, 2), (1, 2), (2, 2), (3, 3)],
    ] {
        assert_eq!(Alignment::new(broken.iter().copied(), vec![0.1, 0.2, 0.3]), None, "{broken:?}");
    }
    assert_eq!(Alignment::new(path, vec![0.1, f32::NAN, 0.3]), None);
}

#[test]
fn tokens_become_words_with_their_punctuation() {
    //                       0        1    2     3      4    5     6       7    8       9        10    11
    let vocab =
        with_words(&["ĠHello", ",", "Ġ\"", "Yes", ".", "\"", "Ġnon", "-", "stop", "ĠcafÃ", "©", "Ġlo"]);
    let tokens = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 8];
    let times: Vec<i64> = (0..=13).map(|token| 10 * token).collect();
    let words = of_pass(&vocab, "en", &tokens, &alignment(&times)).unwrap();
    // Punctuation takes no time: the comma's is a gap.
    let first = [(0, 200, "Hello,"), (400, 800, " \"Yes.\"")];
    let then = [(1200, 1400, " non"), (1400, 1800, "-stop"), (1800, 2200, " café"), (2200, 2600, " lostop")];
    assert_eq!(told(&words.words), [&first[..], &then].concat());
    assert_eq!(words.usual_ms, 200);
}

#[test]
fn a_row_of_opening_marks_joins_the_word_after_it() {
    let words = vec![
        word(0, 10, " ("),
        word(10, 20, " ¿"),
        word(20, 30, " Qué"),
        word(30, 40, "?"),
        word(40, 50, ")"),
    ];
    assert_eq!(told(&join_punctuation(words)), [(20, 30, " ( ¿ Qué?)")]);
}

#[test]
fn without_spaces_each_character_is_a_word() {
    // One character of one token, one of three bytes in two tokens.
    let vocab = with_words(&["æĹ¥", "æľ", "¬", "ãĢĤ"]);
    let words = of_pass(&vocab, "ja", &[0, 1, 2, 3], &alignment(&[0, 10, 20, 30, 40])).unwrap();
    assert_eq!(told(&words.words), [(0, 200, "日"), (200, 600, "本。")]);
    let words = of_pass(&vocab, "de", &[0, 1, 2, 3], &alignment(&[0, 10, 20, 30, 40])).unwrap();
    assert_eq!(told(&words.words), [(0, 800, "日本。")]);
}

#[test]
fn probabilities_are_means_over_tokens() {
    let vocab = with_words(&["ĠMor", "ris", "."]);
    let path = [(0, 0), (1, 5), (2, 9), (3, 12)];
    let alignment = Alignment::new(path, vec![0.5, 0.75, 0.0]).unwrap();
    let words = of_pass(&vocab, "en", &[0, 1, 2], &alignment).unwrap();
    assert_eq!(words.words, [WindowWord { probability: 0.625, ..word(0, 180, "Morris.") }]);
}

#[test]
fn a_pause_between_sentences_belongs_to_no_word() {
    let vocab = with_words(&["Ġone", ".", "Ġtwo", "Ġthree"]);
    // 0.2 s each, but the word after the full stop has 3 s of pause in it.
    let words = of_pass(&vocab, "en", &[0, 1, 2, 3], &alignment(&[0, 10, 20, 170, 180])).unwrap();
    assert_eq!(told(&words.words), [(0, 200, "one."), (3000, 3400, " two"), (3400, 3600, " three")]);
}

#[test]
fn an_alignment_of_another_text_gives_nothing() {
    let vocab = with_words(&["Ġone", "Ġtwo"]);
    assert_eq!(of_pass(&vocab, "en", &[0, 1], &alignment(&[0, 10])), None);
    assert_eq!(of_pass(&vocab, "en", &[0], &alignment(&[0, 10, 20])), None);
    assert_eq!(of_pass(&vocab, "en", &[], &alignment(&[0])), None);
    let whole = of_pass(&vocab, "en", &[0], &alignment(&[0, 10])).unwrap();
    assert_eq!(told(&whole.words), [(0, 200, "one")]);
}

const PLACE: Place = Place { start_ms: 1000, end_ms: 4000, before_ms: 500, window_ms: 10_000, usual_ms: 200 };

fn placed(mut words: Vec<WindowWord>, at: Place) -> (Vec<(u32, u32)>, (u32, u32)) {
    let segment = place(&mut words, at, |start, end| (start < end).then_some((start, end)));
    (words.iter().map(|word| (word.start_ms, word.end_ms)).collect(), segment)
}

#[test]
fn a_segment_lasts_from_its_first_word_to_its_last() {
    let words = vec![word(900, 1200, "a"), word(1300, 4200, " b")];
    assert_eq!(placed(words, PLACE), (vec![(900, 1200), (1300, 4200)], (900, 4200)));
}

#[test]
fn long_words_at_a_segments_borders_are_shortened() {
    // After a pause: both words are too long, then only the first.
    let words = vec![word(1000, 3000, "a"), word(3000, 5000, " b"), word(5000, 5200, " c")];
    let at = Place { end_ms: 5200, ..PLACE };
    assert_eq!(placed(words, at).0, [(4200, 4600), (4600, 5000), (5000, 5200)]);
    let words = vec![word(1000, 3000, "a"), word(3000, 3200, " b")];
    assert_eq!(placed(words, PLACE).0, [(2600, 3000), (3000, 3200)]);
    // Without a pause the model's timestamps tell.
    let at = Place { before_ms: 2900, start_ms: 2950, ..PLACE };
    assert_eq!(
        placed(vec![word(2000, 3000, "a"), word(3000, 3200, " b")], at).0,
        [(2900, 3000), (3000, 3200)]
    );
    let words = vec![word(1000, 1200, "a"), word(3000, 6000, " b")];
    assert_eq!(placed(words, PLACE), (vec![(1000, 1200), (3000, 4000)], (1000, 4000)));
}

#[test]
fn words_never_go_back_nor_over_the_window() {
    let words =
        vec![word(300, 700, "a"), word(600, 650, " b"), word(9000, 12_000, " c"), word(11_000, 11_500, " d")];
    let at = Place { start_ms: 300, end_ms: 12_000, usual_ms: 700, ..PLACE };
    let times = [(500, 700), (700, 700), (9000, 10_000), (10_000, 10_000)];
    assert_eq!(placed(words, at), (times.to_vec(), (500, 10_000)));
    // Nothing has a length: the segment keeps its own times.
    assert_eq!(placed(vec![word(0, 0, "a"), word(8000, 8000, " b")], PLACE).1, (500, 8000));
    assert_eq!(placed(vec![word(0, 0, "a")], PLACE), (vec![(1000, 1000)], (1000, 4000)));
    assert_eq!(placed(vec![], PLACE), (vec![], (1000, 4000)));
}
