//! Webhooks on the real binary: what a receiver gets, what it may do, and what outlives `kill -9`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scriptorium_tests::receiver::{Delivery, Receiver, verifies};
use scriptorium_tests::{Client, Deployment, recordings};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const OLD: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const NEW: &str =
    "whsec_QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl9gYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+fw==";
const STRANGE: &str = "whsec_/////////////////////////////////////////w==";

async fn open(settings: &[(&str, &str)]) -> (Deployment, Client) {
    let all = [settings, &[("SCRIPTORIUM_SWEEP_INTERVAL_SECONDS", "1")]].concat();
    let deployment = Deployment::start(&all).await;
    let client = Client::new(&deployment.url());
    (deployment, client)
}

/// A job that is cancelled at once.
async fn cancelled(client: &Client, url: &str) -> String {
    let body = json!({ "filename": "talk.wav", "total_size": 20_000_000, "webhook_url": url });
    let job =
        client.post_ok("/chunked-upload-stream", &body).await["parent_job_id"].as_str().unwrap().to_owned();
    client.post_ok("/chunked-upload-cancel", &json!({ "parent_job_id": job })).await;
    job
}

/// The job's only message, as soon as it is as wanted.
async fn message(client: &Client, job: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let log: Value = client.get(&format!("/jobs/{job}/webhooks")).await.json().await.unwrap();
        let found = log["webhooks"].as_array().unwrap().clone();
        if let [message] = &found[..]
            && wanted(message)
        {
            return message.clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{log}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn is(status: &'static str) -> impl Fn(&Value) -> bool {
    move |message| message["status"] == status
}

/// What came of each try: the status, or the error.
fn outcomes(message: &Value) -> Vec<Value> {
    let outcome = |one: &Value| one.get("http_status").or(one.get("error")).unwrap().clone();
    message["tries"].as_array().unwrap().iter().map(outcome).collect()
}

fn check_same(one: &Delivery, other: &Delivery) {
    assert_eq!((one.id(), &one.body), (other.id(), &other.body));
}

#[tokio::test]
async fn the_official_library_takes_what_is_sent() {
    let secrets = format!("{OLD},{NEW}");
    let settings =
        [("SCRIPTORIUM_WEBHOOK_SECRET", secrets.as_str()), ("SCRIPTORIUM_WEBHOOK_ALLOW_PRIVATE", "true")];
    let (_deployment, client) = open(&settings).await;
    let receiver = Receiver::start(&[]).await;
    let url = receiver.url("/hook?for=me");
    let silence = recordings::generated("anullsrc=r=48000:cl=stereo:d=30");
    let session = client.open("silence.wav", silence, 2, json!({ "webhook_url": url })).await;
    session.upload_all().await;
    assert_eq!(session.ended().await.data["status"], "completed");

    let delivery = receiver.got(1).await.remove(0);
    let told = message(&client, &session.job, is("delivered")).await;
    assert_eq!(
        (delivery.path.as_str(), delivery.id()),
        ("/hook?for=me", told["webhook_id"].as_str().unwrap())
    );
    for secret in [OLD, NEW] {
        assert!(verifies(secret, &delivery), "{delivery:?}");
    }
    assert!(!verifies(STRANGE, &delivery));
    let mut spoiled = delivery.clone();
    *spoiled.body.last_mut().unwrap() = b' ';
    assert!(!verifies(OLD, &spoiled));
    let body = delivery.json();
    assert_eq!((&body["type"], &told["type"]), (&json!("job.completed"), &json!("job.completed")));
    assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
    let transcript_url = format!("/jobs/{}/transcript", session.job);
    let data = json!({
        "parent_job_id": session.job, "status": "completed", "transcript_url": transcript_url,
    });
    assert_eq!(body["data"], data);
    assert_eq!(client.get(&transcript_url).await.status(), 200);
    assert_eq!((outcomes(&told), &told["attempts"]), (vec![json!(204)], &json!(1)));

    // By hand once more: the same message.
    let id = told["webhook_id"].as_str().unwrap();
    client.post_ok(&format!("/jobs/{}/webhooks/{id}/redeliver", session.job), &json!({})).await;
    let both = receiver.got(2).await;
    check_same(&both[0], &both[1]);
    assert!(verifies(NEW, &both[1]));
    let told = message(&client, &session.job, is("delivered")).await;
    assert_eq!(outcomes(&told), [json!(204), json!(204)]);

    let job = cancelled(&client, &url).await;
    let third = receiver.got(3).await.remove(2).json();
    assert_eq!((&third["type"], &third["data"]["parent_job_id"]), (&json!("job.cancelled"), &json!(job)));
    message(&client, &job, is("delivered")).await;
    assert_eq!(receiver.seen().len(), 3, "nothing came twice");
}

async fn kill_and_resume(deployment: &mut Deployment) {
    match deployment {
        Deployment::Serve(server) => {
            server.kill();
            server.resume().await;
        }
        Deployment::Roles(stack) => {
            for name in stack.names("coordinator") {
                stack.kill(&name);
                stack.resume(&name);
            }
            for name in stack.names("coordinator") {
                stack.ready(&name).await;
            }
        }
    }
}

/// One waits for its next try while all who could make it are killed, one is just being tried.
#[tokio::test]
async fn what_failed_is_tried_again_by_who_comes_after_a_kill() {
    let settings = [("SCRIPTORIUM_WEBHOOK_SECRET", OLD), ("SCRIPTORIUM_WEBHOOK_ALLOW_PRIVATE", "true")];
    let (mut deployment, client) = open(&settings).await;
    let (failing, silent) = (Receiver::start(&[Some(500)]).await, Receiver::start(&[None]).await);
    let refused = cancelled(&client, &failing.url("/")).await;
    let held = cancelled(&client, &silent.url("/")).await;
    let waiting = message(&client, &refused, |one| one["tries"].as_array().unwrap().len() == 1).await;
    assert_eq!((outcomes(&waiting), &waiting["status"]), (vec![json!(500)], &json!("pending")));
    silent.got(1).await;
    kill_and_resume(&mut deployment).await;

    let both = failing.got(2).await;
    check_same(&both[0], &both[1]);
    assert!(verifies(OLD, &both[1]));
    let pause = both[1].at - both[0].at;
    assert!(pause >= Duration::from_millis(4_900), "{pause:?}");
    let told = message(&client, &refused, is("delivered")).await;
    assert_eq!(outcomes(&told), [json!(500), json!(204)]);

    let both = silent.got(2).await;
    check_same(&both[0], &both[1]);
    let told = message(&client, &held, is("delivered")).await;
    assert_eq!(outcomes(&told), [json!("interrupted"), json!(204)]);
}

#[tokio::test]
async fn private_addresses_are_refused_unless_they_are_allowed() {
    let (_deployment, client) = open(&[("SCRIPTORIUM_WEBHOOK_SECRET", OLD)]).await;
    let receiver = Receiver::start(&[]).await;
    let port = receiver.port();
    let init = async |url: &str| {
        let body = json!({ "filename": "talk.wav", "total_size": 20_000_000, "webhook_url": url });
        let reply = client.post("/chunked-upload-stream", &body).await;
        (reply.status().as_u16(), reply.json::<Value>().await.unwrap())
    };
    for url in [
        receiver.url("/"),
        format!("https://127.0.0.1:{port}/"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        "https://169.254.169.254/".to_owned(),
    ] {
        let (status, problem) = init(&url).await;
        assert_eq!((status, &problem["code"]), (422, &json!("invalid_field")), "{url}");
    }
    // A name shows what it hides only when it is looked up, and then not to whoever gave it.
    let job = cancelled(&client, &format!("https://localhost:{port}/")).await;
    let tried = message(&client, &job, |one| one["tries"].as_array().unwrap().len() == 1).await;
    assert_eq!((outcomes(&tried), &tried["status"]), (vec![json!("name_not_resolved")], &json!("pending")));
    assert!(receiver.seen().is_empty());
}

#[tokio::test]
async fn a_server_without_a_secret_says_what_is_missing() {
    let (_deployment, client) = open(&[]).await;
    let body =
        json!({ "filename": "talk.wav", "total_size": 20_000_000, "webhook_url": "https://example.org/" });
    let reply = client.post("/chunked-upload-stream", &body).await;
    assert_eq!(reply.status(), 422);
    let problem: Value = reply.json().await.unwrap();
    assert_eq!(
        (&problem["code"], &problem["field"]),
        (&json!("webhooks_not_configured"), &json!("webhook_url"))
    );
    assert!(problem["detail"].as_str().unwrap().contains("SCRIPTORIUM_WEBHOOK_SECRET"));
}

/// A tenant's own secrets, made and changed by command while everything runs; the deployment has none.
#[tokio::test]
async fn a_tenants_own_secrets_sign_and_are_rotated() {
    let settings = [
        ("SCRIPTORIUM_WEBHOOK_ALLOW_PRIVATE", "true"),
        ("SCRIPTORIUM_REQUIRE_KEYS", "true"),
        ("SCRIPTORIUM_ALLOW_UNAUTHENTICATED", "false"),
        ("SCRIPTORIUM_SWEEP_INTERVAL_SECONDS", "1"),
    ];
    let deployment = Deployment::start(&settings).await;
    let secrets = |arguments: &[&str]| {
        let output = deployment.run(&[&["admin", "webhook-secrets"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let rotate =
        |keep: &str| secrets(&["rotate", "--tenant", "acme", "--keep-old-hours", keep]).trim().to_owned();
    let old = rotate("24");
    let acme = Client::with_key(&deployment.url(), &deployment.key("acme"));
    let other = Client::with_key(&deployment.url(), &deployment.key("other"));
    let receiver = Receiver::start(&[]).await;
    let body = json!({ "filename": "talk.wav", "total_size": 20_000_000, "webhook_url": receiver.url("/") });
    assert_eq!(other.post("/chunked-upload-stream", &body).await.status(), 422);

    cancelled(&acme, &receiver.url("/first")).await;
    let first = receiver.got(1).await.remove(0);
    let both = rotate("24");
    cancelled(&acme, &receiver.url("/second")).await;
    let second = receiver.got(2).await.remove(1);
    let new = rotate("0");
    cancelled(&acme, &receiver.url("/third")).await;
    let third = receiver.got(3).await.remove(2);
    let signs = |delivery: &Delivery| [&old, &both, &new].map(|secret| verifies(secret, delivery));
    assert_eq!(signs(&first), [true, false, false]);
    assert_eq!(signs(&second), [true, true, false]);
    assert_eq!(signs(&third), [false, false, true]);

    let list = secrets(&["list", "--tenant", "acme", "--json"]);
    assert!(!list.contains("whsec_"), "{list}");
    let last: Value = serde_json::from_str(list.lines().last().unwrap()).unwrap();
    // A job from before the revocation: the last secret is gone when it ends.
    let open = acme.post_ok("/chunked-upload-stream", &body).await;
    let unsigned = open["parent_job_id"].as_str().unwrap().to_owned();
    secrets(&["revoke", "--tenant", "acme", last["id"].as_str().unwrap()]);
    acme.post_ok("/chunked-upload-cancel", &json!({ "parent_job_id": unsigned })).await;
    let told = message(&acme, &unsigned, |one| one["tries"].as_array().unwrap().len() == 1).await;
    assert_eq!(outcomes(&told), [json!("not_signed")]);
    assert_eq!(receiver.seen().len(), 3);
    assert!(!deployment.log().contains(old.trim_start_matches("whsec_")));
}
