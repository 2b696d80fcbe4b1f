//! What outlives a process keeps its form: one golden file for each message and record of version 1.
//!
//! A new value gets its file with `SCRIPTORIUM_WRITE_GOLDEN=1`; a file that is there is never written again. Should a
//! form have to change, the version changes with it, and the files of the old one stay, to be read.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use scriptorium_contracts::event::{Event, EventRecord};
use scriptorium_contracts::failure::FailureCode;
use scriptorium_contracts::job::{
    ChunkState, Effect, JobHeader, JobOptions, JobState, LlmMode, PendingEffect,
};
use scriptorium_contracts::message::{CoordinatorMessage, Report, WorkerReport};
use scriptorium_contracts::transcript::GapReason;
use scriptorium_contracts::webhook::{WebhookError, WebhookEvent, WebhookState};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use support::{golden_records as records, golden_values as values};

/// Whether a text reads as the value; if not, what it reads as.
type Reads = dyn Fn(&str) -> Result<(), String>;

/// A value with its file: what it is written as, and whether a text reads as the same value.
struct Golden {
    name: String,
    text: String,
    reads: Box<Reads>,
}

fn golden<T: Serialize + DeserializeOwned + PartialEq + Debug + 'static>(name: &str, value: T) -> Golden {
    Golden {
        name: name.to_owned(),
        text: serde_json::to_string_pretty(&value).unwrap() + "\n",
        reads: Box::new(move |text| match serde_json::from_str::<T>(text) {
            Ok(read) if read == value => Ok(()),
            Ok(read) => Err(format!("reads as {read:?}")),
            Err(problem) => Err(problem.to_string()),
        }),
    }
}

fn all() -> Vec<Golden> {
    let mut all = vec![
        golden("chunk_task", values::task()),
        golden("chunk_task_part", values::part_task()),
        golden("chunk_task_redo", values::redo_task()),
        golden("chunk_task_redo_later", values::redo_task_from(Some(441_000))),
        golden(
            "report_redone_in_part",
            values::report(Report::Redone { from: Some(-4_410), next: Some(441_000) }),
        ),
        golden("chunk_task_tenant", values::tenant_task()),
        golden("job_options_no_cache", JobOptions { no_cache: true, ..JobOptions::default() }),
        golden("event_chunk_complete_from_cache", values::chunk_from_cache()),
        golden("chunk_task_alone", values::task_alone()),
        golden("report_lost_alone", values::report(Report::Lost { deaths: 1 })),
        golden("redo_list", values::redo_list()),
        golden("chunk_plan", values::plan()),
        golden("part_result", values::part_result()),
        golden("chunk_result", values::full_result()),
        golden("chunk_result_plain", support::samples::result_of(0)),
        golden("chunk_result_words", values::result_with_words()),
        golden("transcript", values::transcript()),
        golden("transcript_with_coverage", values::transcript_with_coverage()),
        golden("transcript_words", values::transcript_with_words()),
        golden("report_measured", values::measured_report()),
        golden("report_measured_cached", values::cached_report()),
        golden("report_measured_limited", values::limited_report()),
        golden("signing_secrets", records::signing_secrets()),
        golden("chunk_result_corrected", values::corrected_result()),
        golden("part_result_corrected", values::corrected_part()),
        golden("transcript_corrected", values::corrected_transcript()),
        golden("report_measured_corrected", values::corrected_report()),
        golden("transcript_without_words", values::transcript_without_words()),
        golden("failure_codes", values::first_failure_codes()),
        golden("job_states", values::all_job_states()),
        golden("chunk_states", values::all_chunk_states()),
        golden("gap_reasons", values::all_gap_reasons()),
        golden("llm_modes", values::all_llm_modes()),
        golden("webhook_events", records::all_webhook_events()),
        golden("webhook_states", records::all_webhook_states()),
        golden("webhook_errors", records::first_webhook_errors()),
        golden("webhook_error_not_signed", WebhookError::NotSigned),
        golden("webhook_bodies", records::webhook_bodies()),
    ];
    for code in values::later_failure_codes() {
        let name = serde_json::to_value(code).unwrap();
        all.push(golden(&format!("failure_code_{}", name.as_str().unwrap()), code));
    }
    let event = Event::TextGrew { chunks: 8 };
    all.push(golden("event_record", EventRecord { id: 12, at: values::NOW, event }));
    let effect = Effect::PublishTask { task: values::task() };
    all.push(golden("pending_effect", PendingEffect { number: 5, due: values::NOW, effect }));
    all.extend(
        values::reports().into_iter().map(|one| golden(values::report_name(&one), values::report(one))),
    );
    all.extend(values::messages().into_iter().map(|one| golden(values::message_name(&one), one)));
    all.extend(values::events().into_iter().map(|one| golden(values::event_name(&one), one)));
    all.extend(values::effects().into_iter().map(|one| golden(values::effect_name(&one), one)));
    all.extend(records::keys().into_iter().map(|(name, one)| golden(name, one)));
    all.extend(records::limits_of_tenants().into_iter().map(|(name, one)| golden(name, one)));
    all.extend(records::headers().into_iter().map(|(name, one)| golden(name, one)));
    all.extend(records::chunk_records().into_iter().map(|(name, one)| golden(name, one)));
    all
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

fn file_of(golden: &Golden) -> String {
    let path = folder().join(format!("{}.json", golden.name));
    if std::env::var("SCRIPTORIUM_WRITE_GOLDEN").is_ok_and(|value| value == "1") {
        match fs::File::create_new(&path) {
            Ok(mut file) => file.write_all(golden.text.as_bytes()).unwrap(),
            Err(problem) => assert_eq!(problem.kind(), ErrorKind::AlreadyExists, "{problem}"),
        }
    }
    fs::read_to_string(&path).unwrap_or_else(|problem| {
        panic!("{}: {problem}; SCRIPTORIUM_WRITE_GOLDEN=1 writes what is missing", golden.name)
    })
}

#[test]
fn today_writes_and_reads_the_golden_files() {
    for golden in all() {
        let text = file_of(&golden);
        assert_eq!(golden.text, text, "{} is written otherwise", golden.name);
        (golden.reads)(&text).unwrap_or_else(|problem| panic!("{}: {problem}", golden.name));
    }
}

/// Each file stands for a value above, and no two values share one.
#[test]
fn every_golden_file_is_looked_at() {
    let names: BTreeSet<String> = all().into_iter().map(|golden| format!("{}.json", golden.name)).collect();
    assert_eq!(names.len(), all().len());
    let files: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files.difference(&names).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// A later program may write more; this one reads over it, at every depth.
#[test]
fn unknown_fields_are_read_over() {
    for golden in all() {
        let mut value: Value = serde_json::from_str(&golden.text).unwrap();
        add_unknown(&mut value);
        (golden.reads)(&value.to_string()).unwrap_or_else(|problem| panic!("{}: {problem}", golden.name));
    }
}

fn add_unknown(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // A map of the user's own; every name in it is known.
            fields
                .iter_mut()
                .filter(|(name, _)| *name != "metadata")
                .for_each(|(_, value)| add_unknown(value));
            fields.insert("of_a_later_version".to_owned(), json!({ "list": [1, null], "text": "x" }));
        }
        Value::Array(values) => values.iter_mut().for_each(add_unknown),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A field without a value need not be there.
#[test]
fn absent_values_may_be_left_out() {
    for golden in all() {
        let mut value: Value = serde_json::from_str(&golden.text).unwrap();
        drop_nulls(&mut value);
        (golden.reads)(&value.to_string()).unwrap_or_else(|problem| panic!("{}: {problem}", golden.name));
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(values) => values.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Options are all optional, also those that are no `Option`.
#[test]
fn options_may_be_empty() {
    let (_, header) = records::headers().remove(0);
    let mut value = serde_json::to_value(&header).unwrap();
    value["options"] = json!({});
    assert_eq!(serde_json::from_value::<JobHeader>(value).unwrap(), header);
}

/// A field that must be there is missed, not made up.
#[test]
fn required_fields_are_required() {
    let (_, header) = records::headers().remove(0);
    for field in ["id", "revision", "state", "total_size", "limits", "uploaded", "last_event"] {
        let mut value = serde_json::to_value(&header).unwrap();
        assert!(value.as_object_mut().unwrap().remove(field).is_some());
        assert!(serde_json::from_value::<JobHeader>(value).is_err(), "{field}");
    }
}

/// The variants that `T` knows, out of its answer to one that it does not know.
fn variants<T: DeserializeOwned + Debug>(unknown: &Value) -> BTreeSet<String> {
    let answer = serde_json::from_value::<T>(unknown.clone()).unwrap_err().to_string();
    let quoted: Vec<&str> = answer.split('`').skip(1).step_by(2).collect();
    assert_eq!(quoted[0], "?", "{answer}");
    quoted[1..].iter().map(|name| (*name).to_owned()).collect()
}

fn tags<T: Serialize>(values: &[T], tag: &str) -> BTreeSet<String> {
    let tag_of = |value: &T| serde_json::to_value(value).unwrap()[tag].as_str().unwrap().to_owned();
    values.iter().map(tag_of).collect()
}

fn names<T: Serialize>(values: &[T]) -> BTreeSet<String> {
    values.iter().map(|value| serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_variant_has_its_file() {
    assert_eq!(variants::<Event>(&json!({ "type": "?" })), tags(&values::events(), "type"));
    assert_eq!(variants::<Effect>(&json!({ "effect": "?" })), tags(&values::effects(), "effect"));
    assert_eq!(variants::<Report>(&json!({ "kind": "?" })), tags(&values::reports(), "kind"));
    let messages = variants::<CoordinatorMessage>(&json!({ "message": "?" }));
    assert_eq!(messages, tags(&values::messages(), "message"));
    assert_eq!(
        variants::<FailureCode>(&json!("?")),
        names(&[values::first_failure_codes(), values::later_failure_codes()].concat())
    );
    assert_eq!(variants::<JobState>(&json!("?")), names(&values::all_job_states()));
    assert_eq!(variants::<ChunkState>(&json!("?")), names(&values::all_chunk_states()));
    assert_eq!(variants::<GapReason>(&json!("?")), names(&values::all_gap_reasons()));
    assert_eq!(variants::<LlmMode>(&json!("?")), names(&values::all_llm_modes()));
    assert_eq!(variants::<WebhookEvent>(&json!("?")), names(&records::all_webhook_events()));
    assert_eq!(variants::<WebhookState>(&json!("?")), names(&records::all_webhook_states()));
    assert_eq!(variants::<WebhookError>(&json!("?")), names(&records::all_webhook_errors()));
}

/// Bytes off the queue that are no message are an error, never a panic.
#[test]
fn garbage_is_refused() {
    let text = serde_json::to_string(&values::report(Report::NeedsChunk { needed: 4 })).unwrap();
    for end in 0..text.len() {
        assert!(serde_json::from_str::<WorkerReport>(&text[..end]).is_err());
    }
    for garbage in ["", "null", "[]", "{}", "{\"message\":\"report\"}", "{\"message\":7}", "\u{0}"] {
        assert!(serde_json::from_str::<CoordinatorMessage>(garbage).is_err(), "{garbage}");
    }
}

mod numbers {
    use proptest::prelude::*;
    use scriptorium_contracts::media::MediaInfo;
    use scriptorium_contracts::transcript::PassageSegment;

    proptest! {
        /// Records are read and written at every step: a number must not wander.
        #[test]
        fn come_back_as_they_were(seconds in any::<f64>(), probability in any::<f32>()) {
            prop_assume!(seconds.is_finite() && probability.is_finite());
            let media = MediaInfo { duration_seconds: Some(seconds), ..super::support::samples::media() };
            let text = serde_json::to_string(&media)?;
            prop_assert_eq!(serde_json::from_str::<MediaInfo>(&text)?, media);
            let mut segment = super::support::samples::segment("Yes.");
            segment.avg_logprob = probability;
            let text = serde_json::to_string(&segment)?;
            prop_assert_eq!(serde_json::from_str::<PassageSegment>(&text)?, segment);
        }
    }
}
