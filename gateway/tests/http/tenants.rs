//! Keys and tenants.

use crate::house::{House, MB, Reply};
use crate::sse::Stream;
use crate::whole::{BOUNDARY, form, noise};
use http::Method;
use reqwest::RequestBuilder;
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::JobState;
use scriptorium_contracts::objects::transcript_key;
use scriptorium_contracts::tenant::TenantLimits;
use scriptorium_gateway::{Address, Door, addresses};
use scriptorium_shared::tenants::{NewKey, day_of};
use serde_json::{Value, json};
use std::time::Duration;

/// A server that lets nobody in without a key.
async fn closed() -> House {
    House::with(|config| config.require_keys = true).await
}

impl House {
    fn with_key(&self, method: Method, path: &str, key: Option<&NewKey>) -> RequestBuilder {
        let request = self.http.request(method, self.url(path));
        match key {
            Some(key) => request.bearer_auth(&key.text),
            None => request,
        }
    }

    async fn get_as(&self, key: Option<&NewKey>, path: &str) -> Reply {
        Reply::of(self.with_key(Method::GET, path, key)).await
    }

    async fn init_as(&self, key: Option<&NewKey>, idempotency: &str) -> Reply {
        let body = json!({"filename": "talk.mp3", "total_size": 5 * MB, "chunk_size_mb": 1});
        let request = self.with_key(Method::POST, "/chunked-upload-stream", key).json(&body);
        Reply::of(request.header("Idempotency-Key", idempotency)).await
    }

    async fn job_of(&self, key: &NewKey) -> JobId {
        let reply = self.init_as(Some(key), &uuid::Uuid::new_v4().to_string()).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        id(&reply.json())
    }
}

fn id(reply: &Value) -> JobId {
    reply["parent_job_id"].as_str().unwrap().parse().unwrap()
}

/// A request to an address about a job, complete in every other way. A route that is not known here fails the test: whoever adds
/// one says here how it is asked for another's job. `None`: it is about no job that is there already.
fn about(house: &House, address: &Address, job: JobId, key: Option<&NewKey>) -> Option<RequestBuilder> {
    let (method, path) = (address.method.as_str(), address.path);
    let send = |path: String| house.with_key(address.method.clone(), &path, key);
    Some(match (method, path) {
        (
            "POST",
            "/chunked-upload-stream"
            | "/api/transcripts"
            | "/api/transcripts/upload"
            | "/v1/audio/transcriptions",
        )
        | ("GET", "/jobs") => return None,
        ("GET", "/chunked-upload-urls" | "/chunked-upload-status") => {
            send(format!("{path}?parent_job_id={job}"))
        }
        ("POST", "/chunked-upload-urls") => send(path.to_owned()).json(&json!({"parent_job_id": job})),
        ("POST", "/chunk-upload-complete") => {
            let body = json!({"parent_job_id": job, "chunk_index": 0, "actual_size": MB});
            send(path.to_owned()).json(&body)
        }
        ("POST", "/chunked-upload-cancel") => {
            send(path.to_owned()).json(&json!({"parent_job_id": job, "reason": "none of yours"}))
        }
        ("POST", "/chunked-upload-retry") => {
            send(path.to_owned()).json(&json!({"parent_job_id": job, "chunk_index": 0}))
        }
        (
            "GET",
            "/chunked-stream/{id}"
            | "/jobs/{id}"
            | "/jobs/{id}/transcript"
            | "/api/transcripts/{id}"
            | "/jobs/{id}/webhooks",
        )
        | ("DELETE", "/jobs/{id}") => send(path.replace("{id}", &job.to_string())),
        ("POST", "/jobs/{id}/webhooks/{webhook}/redeliver") => {
            send(path.replace("{id}", &job.to_string()).replace("{webhook}", "msg_1"))
        }
        ("POST", "/jobs/{id}/edits/{edit}/revert") => {
            send(path.replace("{id}", &job.to_string()).replace("{edit}", "0"))
        }
        _ => panic!("{method} {path} is not in the list of this test: say how it is asked for another's job"),
    })
}

fn guarded() -> Vec<Address> {
    let guarded: Vec<Address> =
        addresses().into_iter().filter(|address| address.door == Door::Tenant).collect();
    assert!(guarded.len() >= 18, "{guarded:?}");
    guarded
}

/// Without the job's id, which differs.
fn nameless(reply: &Reply, job: JobId) -> (u16, String) {
    (reply.status, reply.body.replace(&job.to_string(), "ID"))
}

/// Another's job is as one that does not exist, on every route, whoever asks, and is as it was afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_job_is_not_there_on_any_route() {
    let house = House::new().await;
    let (acme, other) = (house.key("acme").await, house.key("other").await);
    let fresh = house.job_of(&acme).await;
    let (_, of_nobody) = (house.init_as(None, "x").await, house.init(5).await.0);
    let finished = house.job_of(&acme).await;
    for chunk in 0..5 {
        house.advance(finished, scriptorium_contracts::job::Input::Uploaded { chunk }).await;
    }
    house
        .advance(
            finished,
            scriptorium_contracts::job::Input::Probed { media: scriptorium_shared::testing::media() },
        )
        .await;
    for chunk in 0..5 {
        house.complete(finished, chunk, "Secret.").await;
    }
    house.assemble(finished, "Secret.").await;
    let transcript = json!({"text": "Secret."}).to_string();
    house.jobs.objects.write(&transcript_key(finished), transcript.into(), "application/json").await.unwrap();
    let mut asked = 0;
    for (job, strangers) in [
        (fresh, [Some(&other), None]),
        (finished, [Some(&other), None]),
        (of_nobody, [Some(&other), Some(&acme)]),
    ] {
        let before = house.jobs.header(job).await.unwrap().unwrap();
        for address in guarded() {
            for stranger in strangers {
                let Some(request) = about(&house, &address, job, stranger) else { continue };
                let reply = Reply::of(request).await;
                reply.is_problem(404, "job_not_found");
                let missing = JobId::new(uuid::Uuid::new_v4());
                let nothing = Reply::of(about(&house, &address, missing, stranger).unwrap()).await;
                assert_eq!(nameless(&reply, job), nameless(&nothing, missing), "{address:?}");
                asked += 1;
            }
        }
        assert_eq!(house.jobs.header(job).await.unwrap().unwrap(), before, "nothing has happened to it");
    }
    assert!(asked >= 3 * 2 * 13, "{asked}");
    // For its own tenant it is there, by another key of his too.
    let second = house.key("acme").await;
    for key in [&acme, &second] {
        assert_eq!(house.get_as(Some(key), &format!("/jobs/{fresh}")).await.status, 200);
        assert!(
            house.get_as(Some(key), &format!("/jobs/{finished}/transcript")).await.body.contains("Secret")
        );
    }
    house.stop().await;
}

/// Where keys are required, nothing but the open routes answers without one, whatever is asked.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_no_route_but_the_open_ones_answers() {
    let house = closed().await;
    let (acme, expired) = (house.key("acme").await, {
        let now = scriptorium_shared::clock::now();
        let key = NewKey::random("acme".parse().unwrap(), None, now, Some(now));
        house.directory.add_key(&key.record).await.unwrap();
        key
    });
    let job = house.job_of(&acme).await;
    let unknown = NewKey::random("acme".parse().unwrap(), None, scriptorium_shared::clock::now(), None);
    let swapped = NewKey { text: unknown.text.replace(&unknown.record.id, &acme.record.id), ..unknown };
    let strangers = [None, Some(&expired), Some(&swapped)];
    for address in guarded() {
        for stranger in strangers {
            let request = about(&house, &address, job, stranger)
                .unwrap_or_else(|| house.with_key(address.method.clone(), address.path, stranger).body("{}"));
            let reply = Reply::of(request).await;
            assert_eq!(reply.status, 401, "{address:?}: {}", reply.body);
            assert!(reply.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
            if address.path.starts_with("/v1/") {
                assert_eq!(reply.json()["error"]["code"], "unauthorized");
            } else {
                reply.is_problem(401, "unauthorized");
            }
        }
    }
    for wrong in [&b"Basic YTpi"[..], b"Bearer", b"Bearer sk-proj-of-somebody-else", b"Bearer \xfc"] {
        let request = house.http.get(house.url("/jobs")).header("authorization", wrong);
        Reply::of(request).await.is_problem(401, "unauthorized");
    }
    for address in addresses().into_iter().filter(|address| address.door == Door::Open) {
        let path = address.path.replace("{code}", "unauthorized");
        assert_eq!(house.get(&path).await.status, 200, "{path}");
    }
    assert_eq!(house.jobs.header(job).await.unwrap().unwrap().state, JobState::Created);
    house.stop().await;
}

#[tokio::test]
async fn lists_and_idempotency_keys_are_each_tenants_own() {
    let house = House::new().await;
    let (acme, other) = (house.key("acme").await, house.key("other").await);
    let callers = [Some(&acme), Some(&other), None];
    let mut made = Vec::new();
    for caller in callers {
        let job = id(&house.init_as(caller, "the same").await.json());
        assert_eq!(id(&house.init_as(caller, "the same").await.json()), job, "again it is the same job");
        made.push(job);
    }
    let different: std::collections::BTreeSet<&JobId> = made.iter().collect();
    assert_eq!(different.len(), 3, "each has made one of his own");
    for (caller, job) in callers.into_iter().zip(&made) {
        let list = house.get_as(caller, "/jobs").await.json();
        assert_eq!(list["jobs"].as_array().unwrap().len(), 1);
        assert_eq!(id(&list["jobs"][0]), *job);
        // Filters and cursors of another open nothing.
        let page = house.get_as(caller, "/jobs?limit=1&filename=talk").await.json();
        assert_eq!(id(&page["jobs"][0]), *job);
    }
    // A form is apart too.
    let mut jobs = Vec::new();
    for caller in [&acme, &other, &acme] {
        let request = house.with_key(Method::POST, "/api/transcripts/upload", Some(caller));
        let request = request
            .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
            .header("Idempotency-Key", "one form")
            .body(form(&[], &noise(1_000), &[]));
        let reply = Reply::of(request).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
        jobs.push(reply.json()["id"].as_str().unwrap().to_owned());
    }
    assert!(jobs[0] == jobs[2] && jobs[0] != jobs[1], "{jobs:?}");
    house.stop().await;
}

/// Programs made for OpenAI's service send some key to any server.
#[tokio::test]
async fn where_no_key_is_required_those_of_others_are_overlooked_and_wrong_ones_are_not() {
    let house = House::new().await;
    let list = async |key: &str| Reply::of(house.http.get(house.url("/jobs")).bearer_auth(key)).await;
    for foreign in ["sk-proj-1234", "none", "EMPTY"] {
        assert_eq!(list(foreign).await.status, 200, "{foreign}");
    }
    let acme = house.key("acme").await;
    assert_eq!(list(&acme.text).await.status, 200);
    let unknown = NewKey::random("acme".parse().unwrap(), None, scriptorium_shared::clock::now(), None);
    list(&unknown.text).await.is_problem(401, "unauthorized");
    house.stop().await;
}

#[tokio::test]
async fn a_revoked_key_is_refused_after_five_seconds_at_the_latest() {
    let house = closed().await;
    let (acme, second) = (house.key("acme").await, house.key("acme").await);
    let job = house.job_of(&acme).await;
    let path = format!("/jobs/{job}");
    let stream = house.get_as(Some(&acme), &path).await.json()["stream_url"].as_str().unwrap().to_owned();
    let mut live = Stream::open(&house.http, &house.url(&stream), None).await;
    assert_eq!(live.next().await.unwrap().kind(), "initialized");
    house.directory.revoke(&acme.record.id, scriptorium_shared::clock::now()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5_100)).await;
    // Nor is anything told to whoever listens already.
    house.advance(job, scriptorium_contracts::job::Input::Cancel { reason: String::new() }).await;
    assert!(live.next().await.is_none());
    house.get_as(Some(&acme), &path).await.is_problem(401, "unauthorized");
    // Its tokens die with it; the tenant's other key goes on.
    house.get(&stream).await.is_problem(401, "unauthorized");
    assert_eq!(house.get_as(Some(&second), &path).await.status, 200);
    house.stop().await;
}

/// What a page in a browser does: it opens the stream by its address alone.
#[tokio::test]
async fn a_streams_address_opens_this_stream_and_nothing_else() {
    let house = closed().await;
    let acme = house.key("acme").await;
    let reply = house.init_as(Some(&acme), "one").await.json();
    let (job, address) = (id(&reply), reply["stream_url"].as_str().unwrap().to_owned());
    let other = house.job_of(&acme).await;
    assert!(address.starts_with(&format!("/chunked-stream/{job}?token=")), "{address}");
    let mut stream = Stream::open(&house.http, &house.url(&address), None).await;
    assert_eq!(stream.next().await.unwrap().kind(), "initialized");
    drop(stream);
    let token = address.split_once('?').unwrap().1;
    for path in [
        format!("/chunked-stream/{other}?{token}"),
        format!("/jobs/{job}?{token}"),
        format!("/jobs?{token}"),
        format!("/chunked-upload-status?parent_job_id={job}&{token}"),
        format!("/jobs/{job}/transcript?{token}"),
        format!("/chunked-stream/{job}?{}0", token),
    ] {
        house.get(&path).await.is_problem(401, "unauthorized");
    }
    // Where nobody needs a key there is no token.
    let open = House::new().await;
    let (job, reply) = open.init(5).await;
    assert_eq!(reply["stream_url"], format!("/chunked-stream/{job}"));
    open.stop().await;
    house.stop().await;
}

fn limited(change: impl Fn(&mut TenantLimits)) -> impl FnOnce(&mut scriptorium_gateway::GatewayConfig) {
    move |config| {
        config.require_keys = true;
        change(&mut config.tenant_limits);
    }
}

#[tokio::test]
async fn a_rate_is_told_kept_and_each_tenants_own() {
    let house = House::with(limited(|limits| limits.requests_per_minute = Some(20))).await;
    let (acme, second, other) = (house.key("acme").await, house.key("acme").await, house.key("other").await);
    let ask = async |key: &NewKey| house.get_as(Some(key), "/jobs").await;
    for left in (0..20).rev() {
        // All keys of a tenant share one rate.
        let reply = ask(if left % 2 == 0 { &acme } else { &second }).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.headers["ratelimit-policy"], "\"requests\";q=20;w=60");
        let state = reply.headers["ratelimit"].to_str().unwrap().to_owned();
        // A slow machine may have earned one back meanwhile.
        let told: u32 = state.split(['=', ';']).nth(2).unwrap().parse().unwrap();
        assert!(told >= left, "{state}");
        if told > left + 2 {
            return house.stop().await;
        }
    }
    let mut refused = ask(&acme).await;
    for _ in 0..3 {
        if refused.status == 200 {
            refused = ask(&acme).await;
        }
    }
    refused.is_problem(429, "rate_limited");
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=3).contains(&wait), "{wait}");
    assert!(refused.headers["ratelimit"].to_str().unwrap().starts_with("\"requests\";r=0;t="));
    assert_eq!(ask(&other).await.status, 200, "another tenant has a rate of its own");
    // A limit of the tenant's own holds in place of the server's, once the keepers have looked.
    let own = TenantLimits { requests_per_minute: Some(0), ..TenantLimits::default() };
    house.directory.set_limits(&"acme".parse().unwrap(), own).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5_100)).await;
    let reply = ask(&acme).await;
    assert_eq!((reply.status, reply.headers.get("ratelimit")), (200, None));
    house.stop().await;
}

#[tokio::test]
async fn so_many_jobs_at_once() {
    let house = House::with(limited(|limits| limits.concurrent_jobs = Some(2))).await;
    let (acme, other) = (house.key("acme").await, house.key("other").await);
    let first = house.job_of(&acme).await;
    let second = id(&house.init_as(Some(&acme), "second").await.json());
    let refused = house.init_as(Some(&acme), "third").await;
    assert_eq!(refused.is_problem(429, "too_many_jobs")["limit"], 2);
    // What was asked before is no new job.
    let again = house.init_as(Some(&acme), "second").await;
    assert_eq!((again.status, id(&again.json())), (200, second));
    assert!(refused.headers.contains_key("retry-after"));
    house.job_of(&other).await;
    // Whatever ends one makes room: cancelled by someone else (a coordinator, say), deleted here.
    house.advance(first, scriptorium_contracts::job::Input::Cancel { reason: String::new() }).await;
    let third = house.job_of(&acme).await;
    house.init_as(Some(&acme), "fourth").await.is_problem(429, "too_many_jobs");
    let path = format!("/jobs/{second}");
    assert_eq!(Reply::of(house.with_key(Method::DELETE, &path, Some(&acme))).await.status, 200);
    house.job_of(&acme).await;
    // An upload in one piece is a job too, and OpenAI's form of the refusal is its own.
    let request = house.with_key(Method::POST, "/v1/audio/transcriptions", Some(&acme));
    let request = request
        .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
        .body(form(&[("model", "whisper-1")], &noise(1_000), &[]));
    let refused = Reply::of(request).await;
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (429, Some("too_many_jobs")));
    let ledger = house.directory.ledger(&"acme".parse().unwrap(), 0).await.unwrap();
    assert_eq!(ledger.open_jobs, 2);
    assert!(house.jobs.header(third).await.unwrap().is_some());
    house.stop().await;
}

#[tokio::test]
async fn so_many_bytes_in_storage() {
    let house = House::with(limited(|limits| limits.storage_bytes = Some(22 * MB))).await;
    let acme = house.key("acme").await;
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(house.job_of(&acme).await);
    }
    let refused = house.init_as(Some(&acme), "fifth").await.is_problem(403, "storage_quota_exceeded");
    assert_eq!((&refused["limit"], &refused["used"]), (&json!(22 * MB), &json!(20 * MB)));
    for job in &made[..2] {
        let path = format!("/jobs/{job}");
        assert_eq!(Reply::of(house.with_key(Method::DELETE, &path, Some(&acme))).await.status, 200);
    }
    // Repeated requests for a job that is there take up nothing more.
    for _ in 0..3 {
        assert_eq!(house.init_as(Some(&acme), "again").await.status, 200);
    }
    let ledger = house.directory.ledger(&"acme".parse().unwrap(), 0).await.unwrap();
    assert_eq!((ledger.open_jobs, ledger.bytes), (3, 15 * MB));
    house.stop().await;
}

#[tokio::test]
async fn so_many_minutes_of_audio_a_day() {
    let house = House::with(limited(|limits| limits.audio_minutes_per_day = Some(3))).await;
    let acme = house.key("acme").await;
    let mut media = scriptorium_shared::testing::media();
    media.duration_seconds = Some(100.0);
    let today = day_of(scriptorium_shared::clock::now());
    for number in 0..2 {
        let job = house.job_of(&acme).await;
        let probed = scriptorium_contracts::job::Input::Probed { media: media.clone() };
        house.advance(job, probed).await;
        if number == 0 {
            // What was heard counts, though nothing is left of it.
            let path = format!("/jobs/{job}");
            assert_eq!(Reply::of(house.with_key(Method::DELETE, &path, Some(&acme))).await.status, 200);
        }
    }
    let refused = house.init_as(Some(&acme), "third").await;
    if day_of(scriptorium_shared::clock::now()) == today {
        let problem = refused.is_problem(429, "audio_quota_exceeded");
        assert_eq!((&problem["limit"], &problem["used"]), (&json!(3), &json!(3)));
        let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!(wait <= 86_400, "{wait}");
        let ledger = house.directory.ledger(&"acme".parse().unwrap(), today).await.unwrap();
        assert_eq!(ledger.audio_ms, 200_000);
    }
    house.stop().await;
}
