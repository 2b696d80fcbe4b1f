use super::*;
use scriptorium_contracts::media::MediaInfo;
use scriptorium_contracts::transcript::{GapReason, Segment};

fn segment(start: f64, end: f64, text: &str) -> Segment {
    Segment {
        id: 0,
        start,
        end,
        text: text.into(),
        avg_logprob: -0.2,
        no_speech_prob: 0.1,
        language: None,
        words: Vec::new(),
        raw_text: None,
    }
}

fn transcript(segments: Vec<Segment>, gaps: Vec<Gap>) -> Transcript {
    Transcript {
        version: 1,
        text: segments.iter().map(|segment| segment.text.trim()).collect::<Vec<_>>().join(" "),
        language: "en".into(),
        duration: 4_000.0,
        segments,
        gaps,
        coverage: None,
        media: MediaInfo {
            container: "wav".into(),
            codec: "pcm_s16le".into(),
            sample_rate: 16_000,
            channels: 1,
            bitrate: None,
            duration_seconds: None,
            title: None,
        },
        engine: "whisper".into(),
        model: "tiny.en".into(),
        word_timestamps: None,
        raw_text: None,
        correction: None,
    }
}

fn example() -> Transcript {
    let gap = Gap { start: 62.1, end: 91.4, reason: GapReason::Failed };
    transcript(
        vec![
            segment(0.0, 1.5, " Hello & <welcome>. "),
            segment(61.25, 62.0, "Before\n\nthe gap."),
            segment(3_661.001_5, 3_661.0, "After --> it."),
            segment(3_700.0, 3_701.0, "  "),
        ],
        vec![gap],
    )
}

#[test]
fn subrip() {
    assert_eq!(
        srt(&example(), None),
        "1\n00:00:00,000 --> 00:00:01,500\nHello & <welcome>.\n\n\
         2\n00:01:01,250 --> 00:01:02,000\nBefore the gap.\n\n\
         3\n00:01:02,100 --> 00:01:31,400\n[no transcript: 00:01:02–00:01:32]\n\n\
         4\n01:01:01,002 --> 01:01:01,002\nAfter → it.\n\n"
    );
}

#[test]
fn webvtt() {
    assert_eq!(
        vtt(&example(), None),
        "WEBVTT\n\n\
         00:00:00.000 --> 00:00:01.500\nHello &amp; &lt;welcome&gt;.\n\n\
         00:01:01.250 --> 00:01:02.000\nBefore the gap.\n\n\
         00:01:02.100 --> 00:01:31.400\n[no transcript: 00:01:02–00:01:32]\n\n\
         01:01:01.002 --> 01:01:01.003\nAfter --&gt; it.\n\n"
    );
}

#[test]
fn plain_text() {
    assert_eq!(
        text(&example()),
        "Hello & <welcome>. Before\n\nthe gap.\n\n[no transcript: 00:01:02–00:01:32]\n\nAfter --> it.\n"
    );
    assert_eq!(text(&transcript(vec![segment(0.0, 1.0, "One.")], Vec::new())), "One.\n");
}

#[test]
fn an_empty_transcript_is_valid_in_every_form() {
    let empty = transcript(Vec::new(), Vec::new());
    assert_eq!(
        (srt(&empty, None), vtt(&empty, None), text(&empty)),
        (String::new(), "WEBVTT\n\n".into(), String::new())
    );
    let lost = transcript(Vec::new(), vec![Gap { start: 0.0, end: 0.2, reason: GapReason::Damaged }]);
    assert_eq!(text(&lost), "[no transcript: 00:00:00–00:00:01]\n");
}

#[test]
fn long_recordings_and_senseless_times() {
    assert_eq!(stamp(360_000_000 + 7, ','), "100:00:00,007");
    assert_eq!(milliseconds(f64::NAN), 0);
    assert_eq!(milliseconds(-1.0), 0);
}
