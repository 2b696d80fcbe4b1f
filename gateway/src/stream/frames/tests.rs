use super::*;
use proptest::prelude::*;
use scriptorium_contracts::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn record(id: u64, event: Event) -> EventRecord {
    EventRecord { id, at: Timestamp(0), event }
}

fn complete(id: u64, chunk_index: u32, text: &str) -> EventRecord {
    record(id, Event::ChunkComplete { chunk_index, text: text.into(), language: None, from_cache: false })
}

fn grew(id: u64, chunks: u32) -> EventRecord {
    record(id, Event::TextGrew { chunks })
}

fn at(event: u64, text_chunks: u32) -> Newest {
    Newest { event, text_chunks, over: false }
}

fn data(verdict: Verdict) -> Value {
    match verdict {
        Verdict::Send(data) => serde_json::from_str(&data).unwrap(),
        other @ (Verdict::Skip | Verdict::Hold(_) | Verdict::Fetch(_)) => panic!("{other:?}"),
    }
}

#[test]
fn events_are_sent_as_the_log_has_them() {
    let mut frames = Frames::new(Partial::Full, 1_000);
    let event = Event::ProgressUpdate { progress: 7, uploaded_chunks: 2, completed_chunks: 1 };
    assert_eq!(
        data(frames.next(&record(1, event), at(1, 0), 0)),
        json!({"type": "progress_update", "progress": 7, "uploaded_chunks": 2, "completed_chunks": 1})
    );
    assert_eq!(data(frames.next(&record(2, Event::Expired {}), at(2, 0), 0)), json!({"type": "expired"}));
    let mut out = String::new();
    write_frame(&mut out, 7, "{}");
    assert_eq!(out, "id: 7\ndata: {}\n\n");
}

#[test]
fn the_text_is_sent_at_most_once_an_interval() {
    let mut frames = Frames::new(Partial::Full, 1_000);
    frames.next(&complete(2, 0, "One."), at(2, 1), 0);
    assert_eq!(
        data(frames.next(&grew(3, 1), at(3, 1), 0)),
        json!({"type": "partial_transcript", "partial_transcript": "One.", "chunks": 1})
    );
    frames.next(&complete(4, 1, "Two."), at(5, 2), 10);
    // Too early, and no later one is known: held.
    assert_eq!(frames.next(&grew(5, 2), at(5, 2), 10), Verdict::Hold(990));
    assert_eq!(frames.next(&grew(5, 2), at(6, 2), 400), Verdict::Hold(600));
    // A later one is known: left out, at once.
    assert_eq!(frames.next(&grew(5, 2), at(8, 3), 500), Verdict::Skip);
    frames.next(&complete(7, 2, "Three."), at(8, 3), 500);
    assert_eq!(data(frames.next(&grew(8, 3), at(8, 3), 1_000))["partial_transcript"], "One. Two. Three.");
    // The job is over: nothing to wait for.
    frames.next(&complete(9, 3, "Four."), at(11, 4), 1_001);
    let over = Newest { event: 11, text_chunks: 4, over: true };
    assert_eq!(data(frames.next(&grew(10, 4), over, 1_001))["partial_transcript"], "One. Two. Three. Four.");
}

#[test]
fn a_long_text_is_sent_from_its_end_with_the_offset() {
    let mut frames = Frames::new(Partial::Full, 0);
    let piece = "é".repeat(MAX_PARTIAL / 4);
    for chunk in 0..3u32 {
        let id = u64::from(chunk) * 2 + 2;
        frames.next(&complete(id, chunk, &piece), at(id + 1, chunk + 1), 0);
        let frame = data(frames.next(&grew(id + 1, chunk + 1), at(id + 1, chunk + 1), 0));
        let text = frame["partial_transcript"].as_str().unwrap();
        assert!(text.len() <= MAX_PARTIAL);
        if chunk == 0 {
            assert_eq!(frame.get("truncated"), None);
            assert_eq!(frame.get("offset"), None);
        } else {
            assert_eq!(frame["truncated"], true);
            let whole = (u64::from(chunk) + 1) * (piece.chars().count() as u64 + 1) - 1;
            assert_eq!(frame["offset"].as_u64().unwrap() + text.chars().count() as u64, whole);
        }
    }
}

#[test]
fn a_text_that_was_not_held_is_fetched() {
    let long = "x".repeat(60 << 10);
    let mut frames = Frames::new(Partial::Delta, 0);
    frames.next(&complete(2, 2, &long), at(5, 0), 0);
    frames.next(&complete(3, 1, &long), at(5, 0), 0);
    frames.next(&complete(4, 0, &long), at(5, 3), 0);
    assert_eq!(frames.next(&grew(5, 3), at(5, 3), 0), Verdict::Fetch(3));
    frames.supply(&complete(3, 1, &long));
    let frame = data(frames.next(&grew(5, 3), at(5, 3), 0));
    assert_eq!(frame["offset"], 0);
    assert_eq!(frame["delta"].as_str().unwrap().len(), 3 * long.len() + 2);
}

/// A log as `contracts::job` writes it: chunks complete in some order, the text grows when there is no gap.
fn log(order: &[u32], texts: &[String]) -> Vec<EventRecord> {
    let mut events = vec![Event::ProgressUpdate { progress: 0, uploaded_chunks: 0, completed_chunks: 0 }];
    let mut done = vec![false; texts.len()];
    let mut told = 0;
    for chunk in order {
        done[*chunk as usize] = true;
        let text = texts[*chunk as usize].clone();
        events.push(Event::ChunkComplete { chunk_index: *chunk, text, language: None, from_cache: false });
        let leading = done.iter().take_while(|done| **done).count() as u32;
        if leading > told {
            told = leading;
            events.push(Event::TextGrew { chunks: told });
        }
    }
    events.into_iter().zip(1..).map(|(event, id)| record(id, event)).collect()
}

/// Runs a stream over the log from behind `after` on, learning of new events in steps of `page`, and cuts it after
/// `most` frames. Returns the frames with their ids.
fn run(log: &[EventRecord], partial: Partial, after: u64, page: usize, most: usize) -> Vec<(u64, Value)> {
    let mut frames = Frames::new(partial, 1_000);
    for record in log.iter().filter(|record| record.id <= after) {
        while let Err(event) = frames.seen(record) {
            frames.supply(&log[event as usize - 1]);
        }
    }
    let (mut sent, mut now) = (Vec::new(), 0);
    let mut known = after as usize;
    for record in log.iter().filter(|record| record.id > after) {
        while known < record.id as usize {
            known = (known + page).min(log.len());
        }
        loop {
            if sent.len() == most {
                return sent;
            }
            let text_chunks = log[..known]
                .iter()
                .filter_map(
                    |record| if let Event::TextGrew { chunks } = record.event { Some(chunks) } else { None },
                )
                .max()
                .unwrap_or(0);
            let newest = Newest { event: known as u64, text_chunks, over: false };
            match frames.next(record, newest, now) {
                Verdict::Send(data) => sent.push((record.id, serde_json::from_str(&data).unwrap())),
                Verdict::Skip => {}
                Verdict::Fetch(event) => {
                    frames.supply(&log[event as usize - 1]);
                    continue;
                }
                // The job goes on in the meantime, or the time comes.
                Verdict::Hold(wait) if known == log.len() => {
                    now += wait;
                    continue;
                }
                Verdict::Hold(_) => {
                    now += 100;
                    known = (known + page).min(log.len());
                    continue;
                }
            }
            break;
        }
        now += 50;
    }
    sent
}

proptest! {
    /// However often the stream is cut, at whatever frame: ids only grow, every event but left-out texts comes exactly
    /// once, deltas put together are the text, and the last text is the whole one.
    #[test]
    fn a_cut_stream_goes_on_exactly(
        texts in proptest::collection::vec("[a-zé ]{0,8}", 1..20),
        seed in any::<u64>(),
        page in 1usize..7,
        cut in 1usize..6,
    ) {
        let mut order: Vec<u32> = (0..texts.len() as u32).collect();
        order.sort_by_key(|at| (u64::from(*at) ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let log = log(&order, &texts);
        let mut whole = scriptorium_contracts::transcript::Joined::default();
        texts.iter().for_each(|text| whole.push(text, None));
        for partial in [Partial::Full, Partial::Delta] {
            let mut got = BTreeMap::new();
            let mut after = 0;
            loop {
                let part = run(&log, partial, after, page, cut);
                for (id, frame) in &part {
                    prop_assert!(*id > after);
                    after = *id;
                    prop_assert!(got.insert(*id, frame.clone()).is_none());
                }
                if part.len() < cut {
                    break;
                }
            }
            let missing: Vec<&EventRecord> = log.iter().filter(|record| !got.contains_key(&record.id)).collect();
            let left_out = |record: &&EventRecord| matches!(record.event, Event::TextGrew { .. });
            prop_assert!(missing.iter().all(left_out));
            let texts: Vec<&Value> = got.values().filter(|frame| frame["type"] == "partial_transcript").collect();
            if partial == Partial::Delta {
                prop_assert!(missing.is_empty());
                let mut put_together = String::new();
                for frame in texts {
                    prop_assert_eq!(frame["offset"].as_u64().unwrap(), put_together.chars().count() as u64);
                    put_together.push_str(frame["delta"].as_str().unwrap());
                }
                prop_assert_eq!(&put_together, &whole.0);
            } else {
                prop_assert_eq!(texts.last().unwrap()["partial_transcript"].as_str().unwrap(), &whole.0);
            }
        }
    }
}
