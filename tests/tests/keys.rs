//! API keys and tenants, end to end: on `serve`, and on two of each role.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scriptorium_tests::receiver::Receiver;
use scriptorium_tests::server::binary;
use scriptorium_tests::{Client, Deployment, recordings};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const KEYS: [(&str, &str); 2] =
    [("SCRIPTORIUM_REQUIRE_KEYS", "true"), ("SCRIPTORIUM_ALLOW_UNAUTHENTICATED", "false")];

/// The program as a user calls it, with a key or without.
fn cli(arguments: &[&str], key: Option<&str>) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).env_remove("SCRIPTORIUM_API_KEY");
    command.envs(key.map(|key| ("SCRIPTORIUM_API_KEY", key)));
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_works_with_its_key_and_nobody_else_sees_it() {
    let deployment = Deployment::start(&KEYS).await;
    let urls = deployment.urls();
    // Made while everything runs, by a process of its own; good at once.
    let (acme, other) = (deployment.key("acme"), deployment.key("other"));
    for url in &urls {
        assert_eq!(Client::new(url).get("/jobs").await.status(), 401);
        assert_eq!(Client::with_key(url, &acme).get("/jobs").await.status(), 200);
    }

    // The whole way of a recording, through the program's own client.
    let file = recordings::sample();
    let transcribe =
        ["transcribe", file.to_str().unwrap(), "--server", &urls[0], "--chunk-size-mb", "1", "--quiet"];
    let refused = cli(&transcribe, None);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("API key"), "{}", text(&refused.stderr));
    let done = cli(&transcribe, Some(&acme));
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(done.stdout.len() > 200, "{}", text(&done.stdout));

    // Lists, on another gateway.
    let last = urls.last().unwrap();
    let list = |key: &str| text(&cli(&["jobs", "list", "--json", "--server", last], Some(key)).stdout);
    let job: Value = serde_json::from_str(list(&acme).trim()).unwrap();
    let job = job["parent_job_id"].as_str().unwrap();
    assert_eq!(list(&other), "");
    for command in ["show", "delete"] {
        let refused = cli(&["jobs", command, job, "--server", last], Some(&other));
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains("no job"), "{}", text(&refused.stderr));
    }

    // A page in a browser opens the stream by its address alone.
    let client = Client::with_key(last, &acme);
    let stream = client.get_ok(&format!("/jobs/{job}")).await["stream_url"].as_str().unwrap().to_owned();
    for url in &urls {
        let reply = Client::new(url).get(&format!("{stream}&last_event_id=0")).await;
        assert_eq!(reply.status(), 200);
        assert!(reply.text().await.unwrap().contains("final_result"));
        let plain = stream.split('?').next().unwrap();
        assert_eq!(Client::new(url).get(plain).await.status(), 401);
        assert_eq!(Client::with_key(url, &other).get(plain).await.status(), 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_by_all_gateways_in_five_seconds() {
    let deployment = Deployment::start(&KEYS).await;
    let (first, second) = (deployment.key("acme"), deployment.key("acme"));
    let status = async |key: &str| {
        let mut all = BTreeSet::new();
        for url in deployment.urls() {
            all.insert(Client::with_key(&url, key).get("/jobs").await.status().as_u16());
        }
        all
    };
    assert_eq!(status(&first).await, BTreeSet::from([200]));
    let id = first.split('_').nth(1).unwrap();
    let revoked = deployment.run(&["admin", "keys", "revoke", id]);
    assert!(revoked.status.success(), "{}", text(&revoked.stderr));
    let begun = Instant::now();
    while status(&first).await != BTreeSet::from([401]) {
        assert!(begun.elapsed() < Duration::from_secs(6), "still good after {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(status(&second).await, BTreeSet::from([200]));

    let list = text(&deployment.run(&["admin", "keys", "list"]).stdout);
    let line = |id: &str| list.lines().find(|line| line.starts_with(id)).unwrap().to_owned();
    assert!(
        line(id).contains("revoked") && line(second.split('_').nth(1).unwrap()).contains("valid"),
        "{list}"
    );
    for secret in [&first, &second] {
        assert!(!list.contains(secret.rsplit('_').next().unwrap()));
    }
    let unknown = deployment.run(&["admin", "keys", "revoke", "0000000000000000"]);
    assert_eq!(unknown.status.code(), Some(1));
}

/// Limits hold over all gateways together, whichever of them is asked.
#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_over_all_gateways() {
    let settings = [&KEYS[..], &[("SCRIPTORIUM_TENANT_CONCURRENT_JOBS", "4")]].concat();
    let deployment = Deployment::start(&settings).await;
    let (acme, other) = (deployment.key("acme"), deployment.key("other"));
    let own = deployment.run(&["admin", "limits", "--tenant", "other", "--requests-per-minute", "7"]);
    assert!(own.status.success(), "{}", text(&own.stderr));
    assert!(text(&own.stdout).contains('7'), "{}", text(&own.stdout));

    let urls = deployment.urls();
    let body = json!({"filename": "talk.mp3", "total_size": 6 << 20, "chunk_size_mb": 1});
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..12 {
        let (client, body) = (Client::with_key(&urls[number % urls.len()], &acme), body.clone());
        asking.spawn(async move { client.post("/chunked-upload-stream", &body).await.status().as_u16() });
    }
    let mut statuses = asking.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200; 4], vec![429; 8]].concat());
    // One that ends makes room for one.
    let client = Client::with_key(&urls[0], &acme);
    let list = client.get_ok("/jobs").await;
    let job = list["jobs"][0]["parent_job_id"].as_str().unwrap();
    client.post_ok("/chunked-upload-cancel", &json!({"parent_job_id": job})).await;
    let last = Client::with_key(urls.last().unwrap(), &acme);
    assert_eq!(last.post("/chunked-upload-stream", &body).await.status(), 200);
    assert_eq!(last.post("/chunked-upload-stream", &body).await.status(), 429);

    let (mut granted, mut refused) = (0, 0);
    for number in 0..14 {
        let reply = Client::with_key(&urls[number % urls.len()], &other).get("/jobs").await;
        match reply.status().as_u16() {
            200 => granted += 1,
            429 => {
                refused += 1;
                let wait: u64 = reply.headers()["retry-after"].to_str().unwrap().parse().unwrap();
                assert!((1..=9).contains(&wait), "{wait}");
            }
            status => panic!("{status}"),
        }
    }
    // A slow machine may have earned another one or two.
    assert!((7..=9).contains(&granted) && refused == 14 - granted, "{granted}");
}

fn signature(url: &str) -> String {
    let (_, rest) = url.split_once("X-Amz-Signature=").expect("a signed URL");
    rest.split('&').next().unwrap().to_owned()
}

/// However much is logged, what opens a door is not.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_stands_in_any_log() {
    let webhook =
        "whsec_QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl9gYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+fw==";
    let settings = [
        &KEYS[..],
        &[
            ("SCRIPTORIUM_LOG", "trace"),
            ("SCRIPTORIUM_SWEEP_INTERVAL_SECONDS", "1"),
            ("SCRIPTORIUM_WEBHOOK_SECRET", webhook),
            ("SCRIPTORIUM_WEBHOOK_ALLOW_PRIVATE", "true"),
        ],
    ]
    .concat();
    let deployment = Deployment::start(&settings).await;
    let acme = deployment.key("acme");
    let client = Client::with_key(&deployment.url(), &acme);
    let receiver = Receiver::start(&[]).await;
    let silence = recordings::generated("anullsrc=r=48000:cl=stereo:d=30");
    let session = client.open("silence.wav", silence, 2, json!({"webhook_url": receiver.url("/hook")})).await;
    let stream = session.reply["stream_url"].as_str().unwrap().to_owned();
    session.upload_all().await;
    assert_eq!(session.ended().await.data["status"], "completed");
    let told = Client::new(&deployment.url()).get(&stream).await;
    assert_eq!(told.status(), 200);
    told.text().await.unwrap();
    session.transcript("txt").await;
    receiver.got(1).await;
    // Wrong ones are as secret: they may be right elsewhere.
    let wrong = acme.replace('a', "b");
    assert_eq!(Client::with_key(&deployment.url(), &wrong).get("/jobs").await.status(), 401);

    let mut secrets = vec![
        ("the key", acme.rsplit('_').next().unwrap().to_owned()),
        ("a wrong key", wrong.rsplit('_').next().unwrap().to_owned()),
        ("the webhook's secret", webhook["whsec_".len()..].to_owned()),
        ("the stream's token", stream.rsplit('.').next().unwrap().to_owned()),
    ];
    for chunk in 0..session.chunks() {
        secrets.push(("an upload URL's signature", signature(&session.upload_url(chunk))));
    }
    match &deployment {
        Deployment::Serve(server) => secrets.push(("the object store's key", s3_key(&server.data_dir()))),
        Deployment::Roles(stack) => {
            let env = stack.services.env().iter().filter(|(name, _)| name == "AWS_SECRET_ACCESS_KEY");
            secrets.extend(env.map(|(_, value)| ("the object store's key", value.clone())));
        }
    }
    let log = deployment.log();
    assert!(log.contains("TRACE"), "nothing much was logged");
    for (what, secret) in &secrets {
        assert!(secret.len() >= 8, "{what}: {secret}");
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(lines.is_empty(), "{what} stands in {} lines, as\n{}", lines.len(), lines[0]);
    }
    // Those that were made inside, for reading and writing by the roles themselves.
    let signed = log.lines().filter(|line| line.contains("X-Amz-Signature="));
    assert_eq!(signed.collect::<Vec<_>>(), [""; 0]);
}

fn s3_key(data: &Path) -> String {
    let text = std::fs::read_to_string(data.join("s3-credentials.json")).unwrap();
    let found: Value = serde_json::from_str(&text).unwrap();
    found["secret_key"].as_str().unwrap().to_owned()
}
