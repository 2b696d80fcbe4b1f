//! Starting an upload, addresses, notices.

use crate::house::{House, MB, Reply};
use scriptorium_contracts::job::Input;
use scriptorium_contracts::objects::chunk_key;
use serde_json::{Value, json};
use std::collections::BTreeSet;

async fn put(house: &House, entry: &Value) -> u16 {
    let size = entry["expected_size"].as_u64().unwrap() as usize;
    let url = entry["upload_url"].as_str().unwrap();
    Reply::of(house.http.put(url).body(vec![7; size])).await.status
}

#[tokio::test]
async fn the_first_reply_is_as_required() {
    let house = House::new().await;
    let body = json!({
        "filename": "talk.mp3", "total_size": 11 * MB + 5, "chunk_size_mb": 5, "use_llm": false,
        "llm_mode": "post_process", "metadata": {"room": "blue"}, "language": "en",
    });
    let reply = house.post("/chunked-upload-stream", body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let reply = reply.json();
    assert_eq!(reply["message"], "Chunked upload streaming initialized successfully");
    let id = reply["parent_job_id"].as_str().unwrap();
    assert_eq!(reply["stream_url"], format!("/chunked-stream/{id}"));
    assert_eq!(reply["chunk_info"]["total_chunks"], 3);
    assert_eq!(reply["chunk_info"]["chunk_size_bytes"], 5 * MB);
    assert!(reply["chunk_info"]["estimated_processing_time"].as_str().unwrap().starts_with("about "));
    assert!(reply["chunk_info"]["estimated_processing_seconds"].as_u64().unwrap() > 0);
    assert_eq!(reply["max_parallel_uploads"], 5);
    assert_eq!(reply.get("next"), None);
    let places: Vec<(u64, &Value, &Value)> = reply["upload_urls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["chunk_index"].as_u64().unwrap(), &entry["expected_size"], &entry["byte_range"]))
        .collect();
    assert_eq!(
        places,
        [
            (0, &json!(5 * MB), &json!([0, 5 * MB - 1])),
            (1, &json!(5 * MB), &json!([5 * MB, 10 * MB - 1])),
            (2, &json!(MB + 5), &json!([10 * MB, 11 * MB + 4])),
        ]
    );
    for entry in reply["upload_urls"].as_array().unwrap() {
        assert!(entry["upload_url"].as_str().unwrap().starts_with(&house.url("/scriptorium/jobs/")));
    }
    house.stop().await;
}

#[tokio::test]
async fn a_notice_is_answered_with_the_chunk_that_others_wait_for() {
    let house = House::new().await;
    let (job, reply) = house.init(5).await;
    let notice = async |chunk: u64| {
        assert_eq!(put(&house, &reply["upload_urls"][chunk as usize]).await, 200);
        let body = json!({"parent_job_id": job, "chunk_index": chunk, "actual_size": MB});
        house.post("/chunk-upload-complete", body).await.json()
    };
    assert_eq!(notice(0).await.get("advice"), None);
    let epoch = house.epoch(job, 0).await;
    house.advance(job, Input::NeedsChunk { chunk: 0, epoch, needed: 4 }).await;
    assert_eq!(notice(1).await["advice"], json!({"next": 4}));
    assert_eq!(notice(4).await.get("advice"), None);
    house.stop().await;
}

#[tokio::test]
async fn chunks_are_put_reported_and_found_again() {
    let house = House::new().await;
    let (job, reply) = house.init(5).await;
    let notice =
        |chunk: u64, size: u64| json!({"parent_job_id": job, "chunk_index": chunk, "actual_size": size});
    let early = house.post("/chunk-upload-complete", notice(0, MB)).await;
    early.is_problem(409, "chunk_not_uploaded");
    for chunk in [3, 0] {
        assert_eq!(put(&house, &reply["upload_urls"][chunk as usize]).await, 200);
        // Twice: repeating is harmless.
        for _ in 0..2 {
            let told = house.post("/chunk-upload-complete", notice(chunk, MB)).await;
            assert_eq!(told.status, 200, "{}", told.body);
            assert_eq!(told.json()["chunk_index"], chunk);
        }
    }
    assert_eq!(house.jobs.header(job).await.unwrap().unwrap().uploaded.len(), 2);
    // From another machine, with nothing but the id.
    let resumed = house.post("/chunked-upload-urls", json!({"parent_job_id": job})).await.json();
    assert_eq!(resumed["uploaded_chunks"], json!([0, 3]));
    assert_eq!(resumed["status"], "uploading");
    let pending: Vec<u64> = resumed["upload_urls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["chunk_index"].as_u64().unwrap())
        .collect();
    assert_eq!(pending, [1, 2, 4]);
    for entry in resumed["upload_urls"].as_array().unwrap() {
        assert_eq!(put(&house, entry).await, 200);
        let chunk = entry["chunk_index"].as_u64().unwrap();
        assert_eq!(house.post("/chunk-upload-complete", notice(chunk, MB)).await.status, 200);
    }
    let all = house.post("/chunked-upload-urls", json!({"parent_job_id": job})).await.json();
    assert_eq!((&all["status"], &all["upload_urls"]), (&json!("processing"), &json!([])));
    house.stop().await;
}

#[tokio::test]
async fn a_chunk_of_a_wrong_size_can_be_put_again() {
    let house = House::new().await;
    let (job, reply) = house.init(5).await;
    let notice = |size: u64| json!({"parent_job_id": job, "chunk_index": 1, "actual_size": size});
    // The signature would have refused it: put there by other means.
    house
        .jobs
        .objects
        .write(&chunk_key(job, 1), vec![1; 10].into(), "application/octet-stream")
        .await
        .unwrap();
    let problem = house.post("/chunk-upload-complete", notice(MB)).await.is_problem(409, "size_mismatch");
    assert_eq!((&problem["expected_size"], &problem["found_size"]), (&json!(MB), &json!(10)));
    assert_eq!(put(&house, &reply["upload_urls"][1]).await, 200);
    let problem = house.post("/chunk-upload-complete", notice(MB - 1)).await.is_problem(409, "size_mismatch");
    assert_eq!(problem["found_size"], MB - 1);
    assert_eq!(house.post("/chunk-upload-complete", notice(MB)).await.status, 200);
    house.post("/chunk-upload-complete", notice(1)).await.is_problem(409, "size_mismatch");
    house.stop().await;
}

#[tokio::test]
async fn named_chunks_get_fresh_addresses() {
    let house = House::new().await;
    let (job, _) = house.init(5).await;
    let body = json!({"parent_job_id": job, "chunk_indexes": [4, 2]});
    let reply = house.post("/chunked-upload-urls", body).await.json();
    assert_eq!(reply["upload_urls"][0]["chunk_index"], 4);
    assert_eq!(reply["upload_urls"][1]["chunk_index"], 2);
    assert_eq!(put(&house, &reply["upload_urls"][0]).await, 200);
    let body = json!({"parent_job_id": job, "chunk_indexes": [5]});
    house.post("/chunked-upload-urls", body).await.is_problem(422, "chunk_out_of_range");
    let body = json!({"parent_job_id": job, "chunk_indexes": vec![0; 1_001]});
    house.post("/chunked-upload-urls", body).await.is_problem(422, "invalid_field");
    house.stop().await;
}

#[tokio::test]
async fn many_chunks_come_in_pages() {
    let house = House::new().await;
    let (job, mut page) = house.init(2_500).await;
    assert_eq!(page["upload_urls"].as_array().unwrap().len(), 1_000);
    let mut chunks = BTreeSet::new();
    loop {
        for entry in page["upload_urls"].as_array().unwrap() {
            assert!(chunks.insert(entry["chunk_index"].as_u64().unwrap()));
        }
        let Some(next) = page.get("next").and_then(Value::as_str).map(str::to_owned) else { break };
        page = house.get(&next).await.json();
    }
    assert_eq!(chunks, (0..2_500).collect());
    let status = house.get(&format!("/chunked-upload-status?parent_job_id={job}")).await.json();
    assert_eq!(status["chunks"].as_array().unwrap().len(), 1_000);
    let last = house.get(&format!("/chunked-upload-status?parent_job_id={job}&page=3")).await.json();
    assert_eq!(last["chunks"][499]["chunk_index"], 2_499);
    assert_eq!(last.get("next"), None);
    house.stop().await;
}

#[tokio::test]
async fn an_idempotency_key_makes_one_job() {
    let house = House::new().await;
    let send = async |key: &str, body: &str| {
        let request = house.http.post(house.url("/chunked-upload-stream"));
        let request = request.header("content-type", "application/json").header("idempotency-key", key);
        Reply::of(request.body(body.to_owned())).await
    };
    let body = r#"{"filename": "a.mp3", "total_size": 6000000}"#;
    let first = send("k1", body).await;
    assert_eq!(first.status, 200);
    // Written differently, but the same request.
    let again = send("k1", r#"{"total_size":6000000,"filename":"a.mp3"}"#).await;
    assert_eq!((again.status, &again.json()["parent_job_id"]), (200, &first.json()["parent_job_id"]));
    assert_eq!(again.json()["chunk_info"], first.json()["chunk_info"]);
    let other = r#"{"filename": "b.mp3", "total_size": 6000000}"#;
    send("k1", other).await.is_problem(422, "idempotency_key_reused");
    assert_ne!(send("k2", body).await.json()["parent_job_id"], first.json()["parent_job_id"]);
    send(" ", body).await.is_problem(400, "invalid_idempotency_key");
    // At the same time, too.
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let request = house.http.post(house.url("/chunked-upload-stream")).header("idempotency-key", "race");
        let request = request.json(&json!({"filename": "a.mp3", "total_size": 6_000_000}));
        racing.spawn(async move { Reply::of(request).await.json()["parent_job_id"].clone() });
    }
    let ids: BTreeSet<String> = racing.join_all().await.iter().map(Value::to_string).collect();
    assert_eq!(ids.len(), 1);
    house.stop().await;
}

#[tokio::test]
async fn the_sizer_chooses_when_asked() {
    let house = House::new().await;
    let body = json!({"filename": "a.mp3", "total_size": 60 * MB, "chunk_size_mb": "auto"});
    let reply = house.post("/chunked-upload-stream", body).await.json();
    assert_eq!(reply["chunk_info"]["chunk_size_bytes"], 20 * MB);
    house.stop().await;
}

#[tokio::test]
async fn concurrent_notices_of_one_chunk_count_once() {
    let house = House::new().await;
    let (job, reply) = house.init(5).await;
    assert_eq!(put(&house, &reply["upload_urls"][2]).await, 200);
    let mut notices = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let body = json!({"parent_job_id": job, "chunk_index": 2, "actual_size": MB});
        let request = house.http.post(house.url("/chunk-upload-complete")).json(&body);
        notices.spawn(async move { Reply::of(request).await.status });
    }
    assert!(notices.join_all().await.iter().all(|status| *status == 200));
    let events = house.jobs.store.events(job, 0, 100).await.unwrap();
    assert_eq!(events.len(), 2, "initialized and one progress: {events:?}");
    house.stop().await;
}
