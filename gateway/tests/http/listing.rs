//! Lists of jobs, a job by its address, deletion.

use crate::house::{House, Reply};
use crate::sse::Stream;
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::Input;
use scriptorium_contracts::message::Work;
use scriptorium_contracts::objects::transcript_key;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn ids(reply: &Value) -> Vec<String> {
    reply["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["parent_job_id"].as_str().unwrap().to_owned())
        .collect()
}

async fn delete(house: &House, job: JobId) -> Reply {
    Reply::of(house.http.delete(house.url(&format!("/jobs/{job}")))).await
}

#[tokio::test]
async fn jobs_are_listed_newest_first_in_pages() {
    let house = House::new().await;
    assert_eq!(house.get("/jobs").await.json(), json!({"jobs": []}));
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(house.init(5).await.0.to_string());
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let (mut found, mut path, mut pages) = (Vec::new(), "/jobs?limit=3".to_owned(), 0);
    loop {
        let page = house.get(&path).await.json();
        found.extend(ids(&page));
        pages += 1;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/jobs?limit=3&cursor={cursor}");
    }
    assert_eq!(pages, 3);
    let newest: Vec<String> = made.iter().rev().cloned().collect();
    assert_eq!(found, newest);
    // A page that is just full is known to be the last one.
    let whole = house.get("/jobs?limit=7&sort=created_at").await.json();
    assert_eq!((ids(&whole), whole.get("next_cursor")), (made, None));
    house.stop().await;
}

#[tokio::test]
async fn a_list_tells_how_far_its_jobs_are_and_filters_by_it() {
    let house = House::new().await;
    let (fresh, _) = house.init(5).await;
    let uploaded = house.uploaded(5).await;
    house.complete(uploaded, 0, "One.").await;
    let (cancelled, _) = house.init(5).await;
    house.advance(cancelled, Input::Cancel { reason: String::new() }).await;
    let list = async |query: &str| house.get(&format!("/jobs?sort=created_at&{query}")).await.json();
    let all = list("").await;
    assert_eq!(ids(&all), [fresh, uploaded, cancelled].map(|id| id.to_string()));
    let job = &all["jobs"][1];
    let status = house.get(&format!("/jobs/{uploaded}")).await.json();
    for member in job.as_object().unwrap().keys() {
        assert_eq!(job[member], status[member], "{member}");
    }
    assert_eq!((&job["status"], &job["uploaded_chunks"]), (&json!("processing"), &json!(5)));
    assert_eq!((&job["completed_chunks"], &job["filename"]), (&json!(1), &json!("talk.mp3")));
    assert_eq!(
        ids(&list("status=cancelled,processing").await),
        [uploaded, cancelled].map(|id| id.to_string())
    );
    assert_eq!(ids(&list("status=completed").await), [""; 0]);
    let (second, third) = (&all["jobs"][1]["created_at_ms"], &all["jobs"][2]["created_at_ms"]);
    if second != third {
        assert_eq!(ids(&list(&format!("created_after={third}")).await), [cancelled.to_string()]);
        assert_eq!(ids(&list(&format!("created_before={third}")).await).len(), 2);
    }
    assert_eq!(ids(&list("filename=TALK").await).len(), 3);
    assert_eq!(ids(&list("filename=walk").await).len(), 0);
    house.stop().await;
}

#[tokio::test]
async fn what_a_list_can_not_be_asked_for_is_refused() {
    let house = House::new().await;
    for _ in 0..3 {
        house.init(5).await;
    }
    for query in [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=many",
        "status=done",
        "sort=size",
        "created_after=yesterday",
        "limit=1&limit=2",
    ] {
        house.get(&format!("/jobs?{query}")).await.is_problem(400, "malformed_query");
    }
    let cursor = house.get("/jobs?limit=1").await.json()["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(house.get(&format!("/jobs?limit=2&cursor={cursor}")).await.status, 200);
    let last = if cursor.ends_with('0') { "1" } else { "0" };
    let changed = format!("{}{last}", &cursor[..cursor.len() - 1]);
    for query in [
        "cursor=".to_owned(),
        "cursor=7".to_owned(),
        format!("cursor={}", "a".repeat(64)),
        format!("cursor={}", "a".repeat(5_000)),
        format!("cursor={changed}"),
        // Of a list with other filters.
        format!("sort=created_at&cursor={cursor}"),
        format!("status=failed&cursor={cursor}"),
    ] {
        house.get(&format!("/jobs?{query}")).await.is_problem(400, "invalid_cursor");
    }
    house.get("/jobs/nonsense").await.is_problem(400, "invalid_job_id");
    let unknown = scriptorium_shared::testing::new_id();
    house.get(&format!("/jobs/{unknown}")).await.is_problem(404, "job_not_found");
    delete(&house, unknown).await.is_problem(404, "job_not_found");
    Reply::of(house.http.put(house.url("/jobs"))).await.is_problem(405, "method_not_allowed");
    house.stop().await;
}

#[tokio::test]
async fn the_job_s_own_address_tells_what_the_status_tells() {
    let house = House::new().await;
    let job = house.uploaded(5).await;
    assert_eq!(house.get(&format!("/jobs/{job}")).await.json().get("timings"), None);
    let epoch = house.epoch(job, 0).await;
    house.advance(job, Input::Started { chunk: 0, part: None, epoch }).await;
    let result = Box::new(crate::house::result("One."));
    let work = Work { decode_ms: 250, engine_ms: 750, ..Work::default() };
    let of = Box::new(Input::Completed { chunk: 0, epoch, result });
    house.advance(job, Input::Measured { work, of }).await;
    let [mut status, mut own] = [
        house.get(&format!("/chunked-upload-status?parent_job_id={job}")).await.json(),
        house.get(&format!("/jobs/{job}")).await.json(),
    ];
    for reply in [&mut status, &mut own] {
        // They are of another moment.
        for moment in ["estimated_seconds_remaining", "estimated_time_remaining"] {
            reply.as_object_mut().unwrap().remove(moment);
        }
    }
    assert_eq!(status, own);
    assert_eq!(own["chunks"].as_array().unwrap().len(), 5);
    let timings = &own["timings"];
    assert_eq!(timings["work"], json!({"rate_limit": 0.0, "decode": 0.25, "engine": 0.75, "llm": 0.0}));
    let part = |name: &str| timings[name].as_f64().unwrap();
    let sum: f64 =
        ["upload", "queue", "rate_limit", "decode", "engine", "assembly"].into_iter().map(part).sum();
    assert!((part("total") - sum).abs() < 1e-9, "{timings}");
    house.get(&format!("/jobs/{job}?page=0")).await.is_problem(400, "malformed_query");
    house.stop().await;
}

#[tokio::test]
async fn a_deleted_job_is_not_there_any_more_and_its_stream_ends() {
    let house = House::new().await;
    let job = house.uploaded(5).await;
    house.complete(job, 0, "One.").await;
    let body = bytes::Bytes::from_static(b"{}");
    house.jobs.objects.write(&transcript_key(job), body, "application/json").await.unwrap();
    let (staying, _) = house.init(5).await;
    let mut stream = Stream::open(&house.http, &house.url(&format!("/chunked-stream/{job}")), None).await;
    stream.next().await.unwrap();

    let reply = delete(&house, job).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(
        reply.json(),
        json!({
            "message": "Job deleted", "parent_job_id": job, "status": "processing", "cancelled": true,
            "complete": true, "deleted_objects": 1,
        })
    );
    let rest = stream.rest().await;
    let last = rest.last().expect("the stream says that it is over");
    assert!(last.data.to_string().contains("cancelled"), "{:?}", last.data);

    let body = json!({"parent_job_id": job, "chunk_index": 0, "actual_size": 1 << 20});
    for reply in [
        house.get(&format!("/jobs/{job}")).await,
        house.get(&format!("/chunked-upload-status?parent_job_id={job}")).await,
        house.get(&format!("/jobs/{job}/transcript")).await,
        house.get(&format!("/chunked-stream/{job}")).await,
        house.post("/chunked-upload-urls", json!({"parent_job_id": job})).await,
        house.post("/chunk-upload-complete", body).await,
        house.post("/chunked-upload-retry", json!({"parent_job_id": job, "chunk_index": 0})).await,
        house.post("/chunked-upload-cancel", json!({"parent_job_id": job})).await,
        delete(&house, job).await,
    ] {
        reply.is_problem(404, "job_not_found");
    }
    assert_eq!(ids(&house.get("/jobs").await.json()), [staying.to_string()]);
    house.stop().await;
}

#[tokio::test]
async fn a_finished_job_is_deleted_without_being_cancelled() {
    let house = House::new().await;
    let job = house.uploaded(5).await;
    for chunk in 0..5 {
        house.complete(job, chunk, "x").await;
    }
    house.assemble(job, "x").await;
    let reply = delete(&house, job).await.json();
    assert_eq!((&reply["status"], &reply["cancelled"]), (&json!("completed"), &json!(false)));
    house.get(&format!("/jobs/{job}/transcript")).await.is_problem(404, "job_not_found");
    house.stop().await;
}

#[tokio::test]
async fn hundreds_of_jobs_are_listed_while_others_come_and_go() {
    let house = House::new().await;
    let (mut staying, mut going) = (BTreeSet::new(), Vec::new());
    for at in 0..400 {
        let (job, _) = house.init(5).await;
        if at % 4 == 0 {
            going.push(job);
        } else {
            staying.insert(job.to_string());
        }
    }
    let (mut seen, mut path) = (Vec::new(), "/jobs?limit=23".to_owned());
    loop {
        let page = house.get(&path).await.json();
        seen.extend(ids(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/jobs?limit=23&cursor={cursor}");
        for _ in 0..3 {
            house.init(5).await;
            if let Some(job) = going.pop() {
                assert_eq!(delete(&house, job).await.status, 200);
            }
        }
    }
    let distinct: BTreeSet<String> = seen.iter().cloned().collect();
    assert_eq!(distinct.len(), seen.len(), "listed twice");
    assert!(staying.is_subset(&distinct), "lost");
    house.stop().await;
}

/// Whether caches are told that the reply depends on what the client takes.
fn varies(reply: &Reply) -> bool {
    reply.headers.get_all("vary").iter().any(|value| value == "accept")
}

#[tokio::test]
async fn a_transcript_comes_in_the_form_that_the_client_takes() {
    let house = House::new().await;
    let job = house.uploaded(5).await;
    for chunk in 0..5 {
        house.complete(job, chunk, "x").await;
    }
    let stored = json!({
        "version": 1, "text": "One two three four five six.", "language": "en", "duration": 12.0, "engine": "whisper",
        "model": "tiny.en", "media": scriptorium_shared::testing::media(), "gaps": [],
        "segments": [{"id": 0, "start": 0.0, "end": 12.0, "text": " One two three four five six.",
                      "avg_logprob": -0.2, "no_speech_prob": 0.1}],
    });
    let body = bytes::Bytes::from(stored.to_string());
    house.jobs.objects.write(&transcript_key(job), body, "application/json").await.unwrap();
    house.assemble(job, "x").await;
    let path = format!("/jobs/{job}/transcript");
    let accepting = async |query: &str, accept: &str| {
        Reply::of(house.http.get(house.url(&format!("{path}{query}"))).header("accept", accept)).await
    };
    for (accept, content_type) in [
        ("text/vtt", "text/vtt; charset=utf-8"),
        ("text/plain, */*;q=0.1", "text/plain; charset=utf-8"),
        ("application/x-subrip", "application/x-subrip; charset=utf-8"),
        ("*/*", "application/json"),
    ] {
        let reply = accepting("", accept).await;
        assert_eq!((reply.status, reply.content_type.as_str()), (200, content_type));
        assert!(varies(&reply));
    }
    let refused = accepting("", "image/png").await.is_problem(406, "not_acceptable");
    assert_eq!(refused["available"][0], "application/json");
    // What is asked for by name is stronger.
    let reply = accepting("?format=srt", "image/png").await;
    assert_eq!((reply.status, varies(&reply)), (200, false));

    let shaped = house.get(&format!("{path}?format=srt&max_line_width=10&max_lines=1")).await;
    assert_eq!(shaped.body.matches(" --> ").count(), 3, "{}", shaped.body);
    let cut = house.get(&format!("{path}?format=vtt&max_duration=4.5")).await;
    assert!(cut.body.starts_with("WEBVTT") && cut.body.matches(" --> ").count() >= 3, "{}", cut.body);
    for query in [
        "format=srt&max_line_width=9",
        "format=srt&max_lines=0",
        "format=vtt&max_duration=0.1",
        "format=vtt&max_duration=NaN",
        "format=txt&max_lines=2",
        "max_lines=2",
    ] {
        house.get(&format!("{path}?{query}")).await.is_problem(400, "malformed_query");
    }
    house.stop().await;
}
