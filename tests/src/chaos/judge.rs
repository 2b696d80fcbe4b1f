//! What was seen of jobs in a run, and what is wrong with it: pure, so that each judgement can be shown to be able to fail.

use crate::client::Frame;

/// What comes of a recording when nothing disturbs.
#[derive(Clone, Debug)]
pub struct Expected {
    pub transcript: String,
    pub lasting: Vec<String>,
}

/// What was seen of a job in a disturbed run.
#[derive(Clone, Debug)]
pub struct Seen {
    pub job: String,
    /// The whole stream, read while the job ran.
    pub live: Vec<Frame>,
    /// `None` if it could not be had.
    pub transcript: Option<String>,
    /// The whole stream, read again: from where, and what.
    pub replays: Vec<(String, Vec<Frame>)>,
}

/// All frames but those that depend on the time of day, without the job's id, in an order that does not depend on who
/// was first.
pub fn lasting(frames: &[Frame], job: &str) -> Vec<String> {
    let momentary = ["progress_update", "partial_transcript", "chunk_failed"];
    let frames = frames.iter().filter(|frame| !momentary.contains(&frame.kind()));
    let mut texts: Vec<String> = frames.map(|frame| frame.data.to_string().replace(job, "JOB")).collect();
    texts.sort();
    texts
}

/// What is wrong with a job; nothing if the disturbance does not show.
pub fn of_job(seen: &Seen, expected: &Expected) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut expect = |fine: bool, what: String| {
        if !fine {
            wrong.push(what);
        }
    };
    match seen.live.last() {
        Some(end) => expect(end.data["status"] == "completed", format!("it ended as {}", end.data)),
        None => expect(false, "it told nothing".to_owned()),
    }
    match &seen.transcript {
        Some(transcript) => expect(*transcript == expected.transcript, "another transcript".to_owned()),
        None => expect(false, "no transcript".to_owned()),
    }
    let ids: Vec<u64> = seen.live.iter().filter_map(|frame| frame.id).collect();
    let whole = ids.iter().copied().eq(1..=ids.len() as u64) && ids.len() == seen.live.len();
    expect(whole, format!("a hole or a double in the live stream: {ids:?}"));
    let told = lasting(&seen.live, &seen.job);
    let difference = first_difference(&told, &expected.lasting);
    expect(told == expected.lasting, format!("other events, the first: {difference}"));
    for (from, replay) in &seen.replays {
        expect(*replay == seen.live, format!("{from} replays something else than was told live"));
    }
    wrong
}

/// What is there after the end that should not be, or is missing: objects of uploads, transcripts of `jobs`, messages.
pub fn of_rest(objects: &[String], queues: &[(String, u64)], jobs: &[String]) -> Vec<String> {
    let mut left: Vec<String> = objects.iter().filter(|key| key.contains("/upload/")).cloned().collect();
    let transcript = |job: &str| format!("jobs/{job}/transcript.json");
    let missing = jobs.iter().filter(|job| !objects.contains(&transcript(job)));
    left.extend(missing.map(|job| format!("the transcript of {job} is missing")));
    if !queues.iter().any(|(name, _)| name.ends_with(".dead")) {
        left.push(format!("no queue of dead letters: {queues:?}"));
    }
    let full = queues.iter().filter(|(_, count)| *count > 0);
    left.extend(full.map(|(name, count)| format!("{name}: {count} messages")));
    left
}

fn first_difference(told: &[String], expected: &[String]) -> String {
    let count = |list: &[String], text: &String| list.iter().filter(|other| *other == text).count();
    let more = told.iter().find(|text| count(told, text) > count(expected, text));
    let missing = expected.iter().find(|text| count(told, text) < count(expected, text));
    format!("too often {more:?}, missing {missing:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const JOB: &str = "5c7d";

    fn frame(id: u64, data: Value) -> Frame {
        Frame { id: Some(id), data }
    }

    fn chunk(id: u64, index: u32, text: &str) -> Frame {
        frame(id, json!({ "type": "chunk_complete", "chunk_index": index, "text": text }))
    }

    /// A job with two chunks.
    fn stream() -> Vec<Frame> {
        vec![
            frame(1, json!({ "type": "initialized", "parent_job_id": JOB })),
            frame(2, json!({ "type": "progress_update", "progress": 50 })),
            chunk(3, 0, "one"),
            chunk(4, 1, "two"),
            frame(5, json!({ "type": "final_result", "status": "completed", "final_transcript": "one two" })),
        ]
    }

    /// Numbered anew from 1 on.
    fn renumbered(frames: Vec<Frame>) -> Vec<Frame> {
        (1..).zip(frames).map(|(id, frame)| Frame { id: Some(id), ..frame }).collect()
    }

    fn expected() -> Expected {
        Expected { transcript: "{\"text\": \"one two\"}".to_owned(), lasting: lasting(&stream(), JOB) }
    }

    fn seen(live: Vec<Frame>) -> Seen {
        let replays = ["first", "second"].map(|gateway| (gateway.to_owned(), live.clone()));
        Seen { job: JOB.to_owned(), live, transcript: Some(expected().transcript), replays: replays.into() }
    }

    /// Exactly one thing is wrong, and it is told by this word.
    fn one(seen: &Seen, word: &str) {
        let wrong = of_job(seen, &expected());
        assert!(wrong.len() == 1 && wrong[0].contains(word), "{word}: {wrong:?}");
    }

    #[test]
    fn an_undisturbed_job_is_fine_whoever_was_first_and_however_often_progress_was_told() {
        assert_eq!(of_job(&seen(stream()), &expected()), Vec::<String>::new());
        let mut other = stream();
        other.swap(2, 3);
        other.insert(2, frame(0, json!({ "type": "progress_update", "progress": 75 })));
        other.insert(2, frame(0, json!({ "type": "chunk_failed", "chunk_index": 0, "will_retry": true })));
        assert_eq!(of_job(&seen(renumbered(other)), &expected()), Vec::<String>::new());
    }

    #[test]
    fn one_other_byte_or_no_transcript_is_noticed() {
        let mut spoiled = seen(stream());
        spoiled.transcript = Some(expected().transcript.replace("two", "twp"));
        one(&spoiled, "another transcript");
        spoiled.transcript = None;
        one(&spoiled, "no transcript");
    }

    #[test]
    fn another_end_is_noticed() {
        let mut live = stream();
        live[4].data["status"] = json!("completed_with_errors");
        let wrong = of_job(&seen(live), &expected());
        assert!(wrong[0].contains("completed_with_errors") && wrong[1].contains("other events"), "{wrong:?}");
        let wrong = of_job(&seen(Vec::new()), &expected());
        assert!(wrong[0].contains("told nothing"), "{wrong:?}");
    }

    #[test]
    fn a_hole_a_double_and_a_wrong_order_of_ids_are_noticed() {
        // Progress is told as often as one likes, so that only the ids show it.
        let mut hole = stream();
        hole.remove(1);
        one(&seen(hole), "hole");
        let mut double = stream();
        double.insert(1, double[1].clone());
        one(&seen(double), "double");
        let mut order = stream();
        (order[1].id, order[2].id) = (order[2].id, order[1].id);
        one(&seen(order), "hole or a double");
        let mut nameless = stream();
        nameless[1].id = None;
        one(&seen(nameless), "hole");
    }

    #[test]
    fn a_chunk_told_twice_or_never_or_with_another_text_is_noticed() {
        let mut twice = stream();
        twice.insert(3, twice[2].clone());
        one(&seen(renumbered(twice)), "too often Some");
        let mut never = stream();
        never.remove(3);
        one(&seen(renumbered(never)), "missing Some");
        let mut other = stream();
        other[3] = chunk(4, 1, "too");
        one(&seen(other), "other events");
    }

    #[test]
    fn a_replay_that_differs_is_noticed() {
        for spoil in [
            |replay: &mut Vec<Frame>| drop(replay.pop()),
            |replay: &mut Vec<Frame>| replay[1].data["progress"] = json!(51),
            |replay: &mut Vec<Frame>| replay[1].id = Some(7),
        ] {
            let mut spoiled = seen(stream());
            spoil(&mut spoiled.replays[1].1);
            one(&spoiled, "second replays");
        }
    }

    #[test]
    fn what_is_left_behind_is_noticed() {
        let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
        let queues = |dead, tasks| vec![("s.dead".to_owned(), dead), ("s.tasks".to_owned(), tasks)];
        let (objects, jobs) = (strings(&["jobs/a/transcript.json"]), strings(&["a"]));
        assert_eq!(of_rest(&objects, &queues(0, 0), &jobs), Vec::<String>::new());
        for (objects, queues, jobs, word) in [
            (
                strings(&["jobs/a/transcript.json", "jobs/a/upload/init.json"]),
                queues(0, 0),
                &jobs,
                "init.json",
            ),
            (strings(&["jobs/b/transcript.json"]), queues(0, 0), &jobs, "transcript of a"),
            (objects.clone(), queues(1, 0), &jobs, "s.dead: 1"),
            (objects.clone(), queues(0, 2), &jobs, "s.tasks: 2"),
            (objects.clone(), Vec::new(), &jobs, "no queue of dead"),
        ] {
            let wrong = of_rest(&objects, &queues, jobs);
            assert!(wrong.len() == 1 && wrong[0].contains(word), "{word}: {wrong:?}");
        }
    }
}
