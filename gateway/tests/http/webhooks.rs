//! What is told of a job's webhook, and redelivery. The delivery itself is the coordinator's.

use crate::house::{House, Reply};
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::Input;
use scriptorium_contracts::signing::SigningSecrets;
use scriptorium_contracts::webhook::WebhookTry;
use scriptorium_shared::clock;
use scriptorium_shared::tenants::{NewKey, Receiver, Swapped};
use scriptorium_shared::testing::new_id;
use scriptorium_shared::webhook::new_secret;
use serde_json::json;

async fn with_webhook(house: &House) -> JobId {
    let body =
        json!({"filename": "talk.mp3", "total_size": 20_000_000, "webhook_url": "https://example.org/hook"});
    let reply = house.post("/chunked-upload-stream", body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["parent_job_id"].as_str().unwrap().parse().unwrap()
}

/// As a coordinator would.
async fn answered(house: &House, job: JobId, token: u32, status: u16) {
    house.advance(job, Input::WebhookTaken { webhook: 1, token, by: 1 }).await;
    let outcome = WebhookTry { at: clock::now(), duration_ms: 7, status: Some(status), error: None };
    let tried =
        Input::WebhookTried { webhook: 1, token: token + 1, outcome, retry_after_ms: None, last: false };
    house.advance(job, tried).await;
}

#[tokio::test]
async fn the_log_of_deliveries_and_redelivery() {
    let house = House::with(|config| config.webhooks_signed = true).await;
    let job = with_webhook(&house).await;
    let path = format!("/jobs/{job}/webhooks");
    let early = house.get(&path).await.json();
    assert_eq!(
        early,
        json!({"parent_job_id": job, "webhook_url": "https://example.org/hook", "webhooks": []})
    );
    house.advance(job, Input::Cancel { reason: String::new() }).await;
    let waiting = house.get(&path).await.json()["webhooks"][0].clone();
    let id = format!("msg_{}_1", job.as_uuid().simple());
    assert_eq!((&waiting["webhook_id"], &waiting["type"]), (&json!(id), &json!("job.cancelled")));
    assert_eq!((&waiting["status"], &waiting["tries"]), (&json!("pending"), &json!([])));

    answered(&house, job, 1, 410).await;
    let gone = house.get(&path).await.json()["webhooks"][0].clone();
    assert_eq!((&gone["status"], &gone["attempts"]), (&json!("gone"), &json!(1)));
    assert_eq!(
        (&gone["tries"][0]["http_status"], &gone["tries"][0]["duration_ms"]),
        (&json!(410), &json!(7))
    );
    assert_eq!((gone.get("next_try_at_ms"), &gone["in_delivery"]), (None, &json!(false)));

    let again = format!("{path}/{id}/redeliver");
    for _ in 0..2 {
        let reply = house.post(&again, json!({})).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
        let message = reply.json();
        assert_eq!((&message["status"], &message["attempts"]), (&json!("pending"), &json!(0)));
        assert!(message["next_try_at_ms"].is_u64());
    }
    answered(&house, job, 4, 204).await;
    let told = house.get(&path).await.json()["webhooks"][0].clone();
    assert_eq!((&told["status"], told["tries"].as_array().unwrap().len()), (&json!("delivered"), 2));
    house.stop().await;
}

#[tokio::test]
async fn what_is_not_there_can_not_be_sent_again() {
    let house = House::with(|config| config.webhooks_signed = true).await;
    let (job, _) = house.init(5).await;
    let path = format!("/jobs/{job}/webhooks");
    assert_eq!(house.get(&path).await.json(), json!({"parent_job_id": job, "webhooks": []}));
    for id in ["msg_x_1", "1", "%20", "%ff"] {
        let reply = house.post(&format!("{path}/{id}/redeliver"), json!({})).await;
        assert!(matches!(reply.status, 400 | 404), "{}", reply.body);
    }
    house.post(&format!("{path}/msg_1/redeliver"), json!({})).await.is_problem(404, "webhook_not_found");
    house.get(&format!("/jobs/{}/webhooks", new_id())).await.is_problem(404, "job_not_found");
    house.get("/jobs/7/webhooks").await.is_problem(400, "invalid_job_id");
    house.post("/jobs/7/webhooks/x/redeliver", json!({})).await.is_problem(400, "invalid_job_id");
    house.stop().await;
}

/// The secret was taken away since the job was made.
#[tokio::test]
async fn without_a_secret_nothing_is_promised() {
    let house = House::new().await;
    let (job, _) = house.init(5).await;
    let mut new = scriptorium_shared::testing::new_job(new_id(), 2);
    new.webhook_url = Some("https://example.org/hook".to_owned());
    let with = new.id;
    house.jobs.create(new, None).await.unwrap();
    house.advance(with, Input::Cancel { reason: String::new() }).await;
    let id = house.get(&format!("/jobs/{with}/webhooks")).await.json()["webhooks"][0]["webhook_id"].clone();
    let path = format!("/jobs/{with}/webhooks/{}/redeliver", id.as_str().unwrap());
    house.post(&path, json!({})).await.is_problem(422, "webhooks_not_configured");
    assert_eq!(house.get(&format!("/jobs/{job}/webhooks")).await.status, 200);
    house.stop().await;
}

/// The server itself has no secret: only a tenant that has one may have webhooks.
#[tokio::test]
async fn a_tenants_own_secret_lets_it_have_webhooks() {
    let house = House::with(|config| config.require_keys = true).await;
    let (acme, other, now) = (house.key("acme").await, house.key("other").await, clock::now());
    let (none, tenant) = (SigningSecrets::default(), "acme".parse().unwrap());
    let one = none.rotated(new_secret(now), now, 0).unwrap();
    assert_eq!(house.directory.swap_signing(&tenant, &none, &one).await.unwrap(), Swapped::Done);
    let body =
        json!({"filename": "talk.mp3", "total_size": 20_000_000, "webhook_url": "https://example.org/"});
    let init = async |key: &NewKey| {
        let request = reqwest::Client::new().post(house.url("/chunked-upload-stream"));
        Reply::of(request.bearer_auth(&key.text).json(&body)).await
    };
    let reply = init(&acme).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    init(&other).await.is_problem(422, "webhooks_not_configured");
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_is_told_at_the_beginning() {
    let house = House::with(|config| config.webhooks_signed = true).await;
    let receiver = Receiver::of(None, "https://example.org/hook");
    let since = clock::now();
    let before = with_webhook(&house).await;
    house.directory.disable(&receiver, since).await.unwrap();
    let after = with_webhook(&house).await;
    for (job, told) in [(before, false), (after, true)] {
        let log = house.get(&format!("/jobs/{job}/webhooks")).await.json();
        assert_eq!(log["receiver_disabled_since_ms"], json!(since), "the list tells what is known now");
        house.advance(job, Input::Cancel { reason: String::new() }).await;
        let stream = house.get(&format!("/chunked-stream/{job}")).await.body;
        let frame = format!("{{\"type\":\"webhook_disabled\",\"since_ms\":{}}}", since.0);
        assert_eq!(stream.contains(&frame), told, "{stream}");
    }
}
