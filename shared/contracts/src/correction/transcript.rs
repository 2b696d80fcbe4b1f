//! Corrections in a finished transcript.

use super::{Correction, Edit, LlmOutcome, MAX_EDITS, apply, edits};
use crate::job::{ChunkSet, LlmMode};
use crate::transcript::{Joined, Segment, Transcript};
use std::collections::BTreeMap;

impl Transcript {
    /// Puts corrected texts (by the numbers of their segments) in the place of raw ones, which stay beside them.
    #[must_use]
    pub fn corrected(mut self, mode: LlmMode, texts: &BTreeMap<u32, String>, outcome: LlmOutcome) -> Self {
        let mut all: Vec<Edit> = Vec::new();
        for segment in &mut self.segments {
            let Some(text) = texts.get(&segment.id) else { continue };
            let changes = edits(&segment.text, text, segment.language.as_deref()).unwrap_or_default();
            if all.len() + changes.len() > MAX_EDITS {
                continue;
            }
            let edits = (0..).zip(changes).map(|(number, change)| Edit {
                id: all.len() as u32 + number,
                segment: segment.id,
                start: u32::try_from(change.start).unwrap_or(u32::MAX),
                before: change.before,
                after: change.after,
                reverted: false,
            });
            let edits: Vec<Edit> = edits.collect();
            rewrite(segment, &edits);
            all.extend(edits);
        }
        self.raw_text = Some(std::mem::take(&mut self.text));
        self.join();
        self.correction = Some(Correction {
            mode,
            model: outcome.model,
            edits: all,
            usage: outcome.usage,
            refused_segments: outcome.refused,
            unanswered_segments: outcome.unanswered,
        });
        self
    }

    /// With these edits taken back.
    #[must_use]
    pub fn reverted(mut self, taken_back: &ChunkSet) -> Self {
        let Some(mut correction) = self.correction.take() else { return self };
        for edit in &mut correction.edits {
            edit.reverted = taken_back.contains(edit.id);
        }
        let mut rest = correction.edits.as_slice();
        for segment in &mut self.segments {
            // The edits are in the order of the segments.
            let (own, behind) =
                rest.split_at(rest.iter().take_while(|edit| edit.segment == segment.id).count());
            rest = behind;
            rewrite(segment, own);
        }
        self.join();
        self.correction = Some(correction);
        self
    }

    fn join(&mut self) {
        let mut text = Joined::default();
        for segment in &self.segments {
            text.push(&segment.text, segment.language.as_deref());
        }
        self.text = text.0;
    }
}

/// Gives a segment its text, of its raw text and all of its edits.
fn rewrite(segment: &mut Segment, edits: &[Edit]) {
    if edits.is_empty() {
        return;
    }
    let raw = segment.raw_text.take().unwrap_or_else(|| std::mem::take(&mut segment.text));
    let kept = edits.iter().filter(|edit| !edit.reverted);
    segment.text = apply(&raw, kept.map(|edit| (edit.start as usize, &*edit.before, &*edit.after)));
    segment.raw_text = Some(raw);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correction::LlmUsage;
    use serde_json::json;

    fn transcript() -> Transcript {
        let segment = |id: u32, text: &str| {
            json!({ "id": id, "start": f64::from(id), "end": f64::from(id) + 0.9, "text": text,
                    "avg_logprob": -0.5, "no_speech_prob": 0.0, "language": "en" })
        };
        let texts = ["we recieve it tommorow", "fine", "definately so"];
        let segments: Vec<_> = (0..).zip(texts).map(|(id, text)| segment(id, text)).collect();
        serde_json::from_value(json!({
            "version": 1, "text": texts.join(" "), "language": "en", "duration": 3.0, "segments": segments, "gaps": [],
            "media": { "container": "wav", "codec": "pcm", "sample_rate": 16_000, "channels": 1, "bitrate": null,
                       "duration_seconds": null },
            "engine": "whisper", "model": "tiny",
        }))
        .unwrap()
    }

    fn corrected() -> Transcript {
        let texts = [(0, "We receive it tomorrow."), (1, "fine"), (2, "Definitely so.")];
        let texts = texts.into_iter().map(|(id, text)| (id, text.to_owned())).collect();
        let usage = LlmUsage { calls: 1, failed_calls: 0, prompt_tokens: 90, completion_tokens: 40 };
        let outcome = LlmOutcome { model: "m".into(), usage, refused: 2, unanswered: 1 };
        transcript().corrected(LlmMode::PostProcess, &texts, outcome)
    }

    #[test]
    fn raw_texts_stay_beside() {
        let (raw, corrected) = (transcript(), corrected());
        assert_eq!(corrected.text, "We receive it tomorrow. fine Definitely so.");
        assert_eq!(corrected.raw_text.as_deref(), Some(raw.text.as_str()));
        let raws: Vec<_> = corrected.segments.iter().map(|segment| segment.raw_text.as_deref()).collect();
        assert_eq!(raws, [Some("we recieve it tommorow"), None, Some("definately so")]);
        let correction = corrected.correction.as_ref().unwrap();
        let told: Vec<_> = correction
            .edits
            .iter()
            .map(|edit| (edit.id, edit.segment, edit.start, &*edit.before, &*edit.after))
            .collect();
        assert_eq!(
            told,
            [
                (0, 0, 0, "we recieve", "We receive"),
                (1, 0, 14, "tommorow", "tomorrow."),
                (2, 2, 0, "definately so", "Definitely so."),
            ]
        );
        let summary = correction.summary(70, 0);
        assert_eq!((summary.edits, summary.refused_segments, summary.unanswered_segments), (3, 2, 1));
        assert_eq!((summary.usage.prompt_tokens, summary.waited_ms), (90, 70));
    }

    #[test]
    fn edits_are_taken_back_one_by_one() {
        let back = |edits: &[u32]| corrected().reverted(&edits.iter().copied().collect());
        assert_eq!(back(&[]), corrected());
        assert_eq!(back(&[0]).text, "we recieve it tomorrow. fine Definitely so.");
        assert_eq!(back(&[1]).text, "We receive it tommorow fine Definitely so.");
        assert_eq!(back(&[2, 7]).text, "We receive it tomorrow. fine definately so");
        let all = back(&[0, 1, 2]);
        assert_eq!(all.text, transcript().text);
        assert!(all.correction.as_ref().unwrap().edits.iter().all(|edit| edit.reverted));
        let again = all.reverted(&[1].into_iter().collect());
        assert_eq!(again, back(&[1]), "it depends on the set alone");
        assert_eq!(transcript().reverted(&[0].into_iter().collect()), transcript());
    }

    #[test]
    fn no_more_edits_than_the_header_has_room_for() {
        let mut long = transcript();
        let segment = long.segments[0].clone();
        long.segments = (0..MAX_EDITS as u32 + 5).map(|id| Segment { id, ..segment.clone() }).collect();
        let texts = (0..MAX_EDITS as u32 + 5).map(|id| (id, "we recieve it Tomorrow".to_owned())).collect();
        let made = long.corrected(LlmMode::PerChunk, &texts, LlmOutcome::default());
        assert_eq!(made.correction.unwrap().edits.len(), MAX_EDITS);
        assert_eq!(made.segments.last().unwrap().text, segment.text);
    }
}
