//! Recordings that are to be fetched: what is refused, and the job that is made. The fetching itself is the coordinator's.

use crate::house::{House, Reply};
use crate::whole::open_jobs;
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::{JobHeader, JobState, MAX_FILE_SIZE, MEGABYTE};
use scriptorium_contracts::source::Origin;
use scriptorium_contracts::tenant::TenantLimits;
use scriptorium_shared::outbound::Reach;
use scriptorium_shared::source::{Fetcher, SourceConfig};
use scriptorium_tests::files::{Fault, FileServer, Manner};
use serde_json::{Value, json};

const ROUTE: &str = "/api/transcripts";
const SIZE: usize = 12_345_678;

fn fetcher(reach: Reach) -> Option<Fetcher> {
    Fetcher::new(SourceConfig { reach, ..SourceConfig::default() }, None).unwrap()
}

/// A gateway that may read from this machine, and a server with `/talk.wav`.
async fn house() -> (House, FileServer) {
    let house = House::with(|config| config.sources = fetcher(Reach::Anywhere)).await;
    let files = FileServer::start(Manner::default()).await;
    files.put("/talk.wav", vec![7; SIZE]);
    (house, files)
}

async fn header(house: &House, reply: &Reply) -> JobHeader {
    let job: JobId = reply.json()["id"].as_str().unwrap().parse().unwrap();
    house.jobs.header(job).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_job_is_made_and_its_source_is_its_own() {
    let (house, files) = house().await;
    let url = files.url("/talk.wav?signature=secret");
    let body = json!({ "source_url": url, "language": "de", "metadata": { "case": "7" } });
    let reply = house.post(ROUTE, body).await;
    assert_eq!(reply.status, 202, "{}", reply.body);
    let record = reply.json();
    let id = record["id"].as_str().unwrap().to_owned();
    assert_eq!(reply.headers["location"], format!("{ROUTE}/{id}"));
    assert_eq!((&record["status"], &record["original_filename"]), (&json!("created"), &json!("talk.wav")));

    let header = header(&house, &reply).await;
    let source = header.source.clone().unwrap();
    assert_eq!(source.origin, Origin::Url(url));
    assert_eq!((source.ranges, source.version.as_deref()), (true, Some("\"1\"")));
    assert_eq!((header.total_size, header.chunk_size), (SIZE as u64, 15 * MEGABYTE));
    assert_eq!((header.options.language.as_deref(), header.metadata["case"].as_str()), (Some("de"), "7"));
    let asked = files.asked();
    assert_eq!((asked.len(), asked[0].range), (1, Some((0, 0))), "a look, and nothing else");

    // The address is told nobody, not even its owner: it may be signed.
    for path in [format!("{ROUTE}/{id}"), format!("/jobs/{id}"), "/jobs".to_owned()] {
        let told = house.get(&path).await;
        assert!(told.status == 200 && !told.body.contains("secret"), "{path}: {}", told.body);
    }
    house.stop().await;
}

#[tokio::test]
async fn what_was_found_is_told_and_makes_no_job() {
    let (house, files) = house().await;
    let url = files.url("/talk.wav");
    let ask = async |fault: Option<Fault>| {
        files.faults(&[fault]);
        house.post(ROUTE, json!({ "source_url": url })).await
    };
    for (fault, code, status) in [
        (Fault::Status(404), "source_unusable", Some(404)),
        (Fault::Status(403), "source_unusable", Some(403)),
        (Fault::Status(503), "source_unreachable", Some(503)),
        (Fault::Endless, "source_unusable", None),
        (Fault::Redirect("ftp://example.org/".to_owned()), "invalid_field", None),
    ] {
        let problem = ask(Some(fault.clone())).await.is_problem(422, code);
        assert_eq!(problem.get("source_status"), status.map(Value::from).as_ref(), "{fault:?}");
        assert_eq!(problem["field"], "source_url");
        assert!(!problem["detail"].as_str().unwrap().contains("127.0.0.1"), "{problem}");
    }
    files.put("/empty.wav", Vec::new());
    let empty = house.post(ROUTE, json!({ "source_url": files.url("/empty.wav") })).await;
    empty.is_problem(422, "source_unusable");
    // Nobody listens there.
    let closed = json!({ "source_url": "http://127.0.0.1:9/talk.wav" });
    house.post(ROUTE, closed).await.is_problem(422, "source_unreachable");
    files.change(|manner| manner.lengths = false);
    files.change(|manner| manner.ranges = false);
    ask(None).await.is_problem(422, "source_unusable");
    assert!(open_jobs(&house).await.is_empty());
    house.stop().await;
}

#[tokio::test]
async fn what_is_refused_before_anybody_is_asked() {
    let house = House::with(|config| config.sources = fetcher(Reach::Public)).await;
    let with = |name: &str, value: Value| {
        let mut body = json!({ "source_url": "https://example.org/talk.wav" });
        body[name] = value;
        body
    };
    for (body, code, field) in [
        (json!({}), "missing_field", "source_url"),
        (with("source_url", json!("http://example.org/talk.wav")), "invalid_field", "source_url"),
        (with("source_url", json!("https://127.0.0.1/talk.wav")), "invalid_field", "source_url"),
        (with("source_url", json!("https://169.254.169.254/latest")), "invalid_field", "source_url"),
        (with("source_url", json!("https://user:x@example.org/")), "invalid_field", "source_url"),
        (with("source_url", json!("file:///etc/passwd")), "invalid_field", "source_url"),
        (with("source_url", json!(["x"])), "invalid_field", "source_url"),
        (with("total_size", json!(7)), "unknown_field", "total_size"),
        (with("colour", json!("red")), "unknown_field", "colour"),
        (with("language", json!("klingon")), "invalid_field", "language"),
        (with("filename", json!("")), "invalid_field", "filename"),
        (with("webhook_url", json!("https://example.org/")), "webhooks_not_configured", "webhook_url"),
    ] {
        let problem = house.post(ROUTE, body.clone()).await.is_problem(422, code);
        assert_eq!(problem["field"], field, "{body}");
    }
    // A name that leads here: found out where it is looked up.
    let hidden = json!({ "source_url": "https://localhost/talk.wav" });
    house.post(ROUTE, hidden).await.is_problem(422, "source_unreachable");
    house.stop().await;

    let closed = House::new().await;
    let body = json!({ "source_url": "https://example.org/talk.wav" });
    closed.post(ROUTE, body).await.is_problem(422, "sources_not_configured");
    closed.stop().await;
}

#[tokio::test]
async fn a_repetition_makes_no_second_job() {
    let (house, files) = house().await;
    let send = async |body: Value, key: &str| {
        Reply::of(house.http.post(house.url(ROUTE)).header("Idempotency-Key", key).json(&body)).await
    };
    let body = json!({ "source_url": files.url("/talk.wav"), "word_timestamps": true });
    let first = send(body.clone(), "k").await;
    let again = send(body.clone(), "k").await;
    assert_eq!((again.status, &again.json()["id"]), (202, &first.json()["id"]));
    assert_eq!(files.asked().len(), 1, "its server is not asked again");
    let other = json!({ "source_url": files.url("/talk.wav") });
    send(other, "k").await.is_problem(422, "idempotency_key_reused");
    assert_ne!(send(body, "l").await.json()["id"], first.json()["id"]);
    house.stop().await;
}

/// What is fetched counts as what is uploaded.
#[tokio::test]
async fn quotas_hold() {
    let (house, files) = {
        let limits = TenantLimits {
            concurrent_jobs: Some(1),
            storage_bytes: Some(2 * SIZE as u64),
            ..TenantLimits::default()
        };
        let house = House::with(|config| {
            config.sources = fetcher(Reach::Anywhere);
            config.tenant_limits = limits;
        })
        .await;
        (house, FileServer::start(Manner::default()).await)
    };
    files.put("/talk.wav", vec![7; SIZE]);
    files.put("/long.wav", vec![7; 2 * SIZE + 1]);
    let key = house.key("acme").await;
    let send = async |path: &str| {
        let body = json!({ "source_url": files.url(path) });
        Reply::of(house.http.post(house.url(ROUTE)).bearer_auth(&key.text).json(&body)).await
    };
    send("/long.wav").await.is_problem(403, "storage_quota_exceeded");
    let made = send("/talk.wav").await;
    assert_eq!(made.status, 202, "{}", made.body);
    let made = header(&house, &made).await;
    assert_eq!((made.tenant, made.state), (Some("acme".parse().unwrap()), JobState::Created));
    send("/talk.wav").await.is_problem(429, "too_many_jobs");
    house.stop().await;
}

#[tokio::test]
async fn one_that_is_too_large_is_refused_by_its_size() {
    let (house, files) = house().await;
    files.change(|manner| manner.told_size = Some(MAX_FILE_SIZE + 1));
    let problem = house
        .post(ROUTE, json!({ "source_url": files.url("/talk.wav") }))
        .await
        .is_problem(413, "file_too_large");
    assert_eq!(problem["max_size"], MAX_FILE_SIZE);
    house.stop().await;
}
