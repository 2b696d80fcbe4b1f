//! Webhooks from the end of a job to a receiver: remembered, found by the sweep, delivered.

use super::super::{CreatedJob, Jobs};
use super::{Bucket, Place, bucket};
use crate::clock;
use crate::outbound::Reach;
use crate::tenants::{Receiver, Swapped};
use crate::testing::{new_id, new_job};
use crate::webhook::{self, Secrets, Sender, WebhookConfig};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::{HeaderMap, StatusCode, header};
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::{Effect, Input, JobHeader, NewJob};
use scriptorium_contracts::signing::{SigningSecret, SigningSecrets};
use scriptorium_contracts::tenant::TenantName;
use scriptorium_contracts::webhook::{Webhook, WebhookError, WebhookState};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

on_each_store![
    two_processes_tell_it_once,
    a_slow_receiver_keeps_nobody_waiting,
    answers_are_recorded,
    what_is_not_public_is_refused,
    without_a_secret_nothing_is_sent,
    a_tenants_own_secrets_sign,
    a_receiver_that_takes_nothing_is_disabled_until_it_takes_something,
    a_deleted_job_tells_nothing_more,
];

const PATIENCE: Duration = Duration::from_secs(30);
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

/// What came: path, headers, body.
type Seen = Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>;
/// What paths that are no status answer with.
type Answers = Arc<Mutex<BTreeMap<String, u16>>>;

/// Answers with the status in the path, or in other ways, as long as it lives.
struct Server {
    address: SocketAddr,
    seen: Seen,
    answers: Answers,
    _server: JoinSet<()>,
}

impl Server {
    async fn start() -> Self {
        let (seen, answers) = (Seen::default(), Answers::default());
        let state = (seen.clone(), answers.clone());
        let router = Router::new().route("/{how}", any(answer)).with_state(state);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, seen, answers, _server: server }
    }

    fn url(&self, how: &str) -> String {
        format!("http://{}/{how}", self.address)
    }

    fn answer(&self, how: &str, status: u16) {
        self.answers.lock().unwrap().insert(how.to_owned(), status);
    }

    fn count(&self, how: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|(path, ..)| path == how).count()
    }
}

async fn answer(
    State((seen, answers)): State<(Seen, Answers)>,
    Path(how): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    seen.lock().unwrap().push((how.clone(), headers, body));
    match how.as_str() {
        "never" => std::future::pending().await,
        "redirect" => (StatusCode::FOUND, [(header::LOCATION, "/200")]).into_response(),
        "later" => (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "600")]).into_response(),
        "endless" => {
            let pieces =
                futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![7; 4_096])));
            Body::from_stream(pieces).into_response()
        }
        how if answers.lock().unwrap().contains_key(how) => {
            StatusCode::from_u16(answers.lock().unwrap()[how]).unwrap().into_response()
        }
        status => StatusCode::from_bytes(status.as_bytes()).unwrap().into_response(),
    }
}

/// Processes that sweep and deliver, until this is dropped.
struct Coordinators {
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Coordinators {
    async fn start(place: &Place, jobs: &Jobs, count: usize, reach: Reach, secret: &str) -> Self {
        let (shutdown, mut tasks) = (CancellationToken::new(), JoinSet::new());
        for _ in 0..count {
            // Of their own, but for what processes share.
            let (store, queue) = (jobs.store.clone(), jobs.queue.clone());
            let jobs = Jobs::new(store, queue, jobs.bus.clone(), jobs.objects.clone());
            let config = WebhookConfig { secrets: Secrets::parse(secret).unwrap(), reach };
            let sender = Sender::new(&config, place.directory().await).unwrap();
            tasks.spawn(jobs.clone().run_sweeper(Duration::from_millis(20), shutdown.clone()));
            tasks.spawn(webhook::run(jobs, sender, shutdown.clone()));
        }
        Self { shutdown, tasks }
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        let ending = async { while self.tasks.join_next().await.is_some() {} };
        tokio::time::timeout(PATIENCE, ending).await.expect("they end");
    }
}

/// A process, the object store that lives as long as this is held, and a receiver. Without the store each job that ends would
/// keep the sweep busy with tries to delete its objects.
async fn parts(place: &Place) -> (Jobs, Bucket, Server) {
    let bucket = bucket(place.path()).await;
    (place.start(bucket.objects.clone()).await, bucket, Server::start().await)
}

/// A job that is cancelled and has this webhook.
async fn ended(jobs: &Jobs, url: &str) -> JobId {
    let new = NewJob { webhook_url: Some(url.to_owned()), ..new_job(new_id(), 2) };
    let CreatedJob::New(header) = jobs.create(new, None).await.unwrap() else { panic!("it is new") };
    jobs.advance(header.id, Input::Cancel { reason: "enough".to_owned() }).await.unwrap();
    header.id
}

/// Waits until the job's message is as wanted.
async fn until(jobs: &Jobs, job: JobId, wanted: impl Fn(&Webhook) -> bool) -> (JobHeader, Webhook) {
    let waiting = async {
        loop {
            let header = jobs.header(job).await.unwrap().unwrap();
            if let Some(webhook) = header.webhook(1).filter(|webhook| wanted(webhook)).cloned() {
                return (header, webhook);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the webhook is tried")
}

async fn two_processes_tell_it_once(place: &Place) {
    let (jobs, _bucket, receiver) = parts(place).await;
    let coordinators = Coordinators::start(place, &jobs, 2, Reach::Anywhere, SECRET).await;
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(ended(&jobs, &receiver.url("204")).await);
    }
    for job in &all {
        let (header, webhook) = until(&jobs, *job, |one| one.state == WebhookState::Delivered).await;
        assert_eq!((webhook.attempts, webhook.tries.len(), webhook.tries[0].status), (1, 1, Some(204)));
        let seen = receiver.seen.lock().unwrap().clone();
        let text = |headers: &HeaderMap, name: &str| headers[name].to_str().unwrap().to_owned();
        let mine = seen.iter().filter(|(_, headers, _)| text(headers, "webhook-id") == webhook.id(header.id));
        let [(_, headers, body)] = mine.collect::<Vec<_>>()[..] else { panic!("told once") };
        assert_eq!(body[..], webhook.body(header.id).unwrap());
        let seconds: u64 = text(headers, "webhook-timestamp").parse().unwrap();
        let signature = Secrets::parse(SECRET).unwrap().sign(&webhook.id(header.id), seconds, body);
        assert_eq!(text(headers, "webhook-signature"), signature);
        assert_eq!(text(headers, "content-type"), "application/json");
    }
    coordinators.stop().await;
    // Nothing is left over but the leases of tries, which lead to nothing.
    let left = jobs.store.due_effects(scriptorium_contracts::Timestamp(u64::MAX), None, 500).await.unwrap();
    assert!(left.len() <= 2 * all.len(), "{left:?}");
}

async fn a_slow_receiver_keeps_nobody_waiting(place: &Place) {
    let ((jobs, _bucket, slow), quick) = (parts(place).await, Server::start().await);
    let coordinators = Coordinators::start(place, &jobs, 1, Reach::Anywhere, SECRET).await;
    let began = Instant::now();
    for _ in 0..12 {
        ended(&jobs, &slow.url("never")).await;
    }
    for _ in 0..6 {
        let job = ended(&jobs, &quick.url("200")).await;
        until(&jobs, job, |one| one.state == WebhookState::Delivered).await;
    }
    let four = async {
        while slow.count("never") < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, four).await.expect("they are tried");
    tokio::time::sleep(Duration::from_millis(100)).await;
    // Four at once; the next ones only after the 20 seconds that a try waits, should this have taken so long.
    let (count, rounds) = (slow.count("never"), 1 + began.elapsed().as_secs() / 20);
    assert!(count as u64 <= 4 * rounds, "{count} to one receiver in {rounds} rounds");
    coordinators.stop().await;
}

async fn answers_are_recorded(place: &Place) {
    let (jobs, _bucket, receiver) = parts(place).await;
    let coordinators = Coordinators::start(place, &jobs, 1, Reach::Anywhere, SECRET).await;
    let tried = async |how: &str| {
        let job = ended(&jobs, &receiver.url(how)).await;
        until(&jobs, job, |one| !one.tries.is_empty()).await.1
    };
    for (how, status, state) in [
        ("500", 500, WebhookState::Pending),
        ("404", 404, WebhookState::Pending),
        ("410", 410, WebhookState::Gone),
        ("endless", 200, WebhookState::Delivered),
        ("redirect", 302, WebhookState::Pending),
    ] {
        let webhook = tried(how).await;
        assert_eq!((webhook.tries[0].status, webhook.state), (Some(status), state), "{how}");
    }
    assert_eq!(receiver.count("200"), 0, "a redirection is not followed");
    let asked = tried("later").await;
    let wait = asked.due.unwrap().since(asked.tries[0].at);
    assert!((600_000..=750_000).contains(&wait), "{wait}");

    let job = ended(&jobs, "http://127.0.0.1:1/").await;
    let (_, nobody) = until(&jobs, job, |one| !one.tries.is_empty()).await;
    assert_eq!(nobody.tries[0].error, Some(WebhookError::ConnectFailed));
    // By hand it is tried at once.
    jobs.advance(job, Input::RedeliverWebhook { webhook: 1 }).await.unwrap();
    until(&jobs, job, |one| one.tries.len() == 2).await;
    coordinators.stop().await;
}

async fn what_is_not_public_is_refused(place: &Place) {
    let (jobs, _bucket, receiver) = parts(place).await;
    let coordinators = Coordinators::start(place, &jobs, 1, Reach::Public, SECRET).await;
    let port = receiver.address.port();
    let refused = WebhookError::AddressRefused;
    for (url, error) in [
        (receiver.url("200"), refused),
        // What a name hides is not told to whoever gave it.
        (format!("https://localhost:{port}/200"), WebhookError::NameNotResolved),
        (format!("https://127.0.0.1:{port}/200"), refused),
        (format!("https://[::ffff:127.0.0.1]:{port}/200"), refused),
    ] {
        let job = ended(&jobs, &url).await;
        let (_, webhook) = until(&jobs, job, |one| !one.tries.is_empty()).await;
        assert_eq!(webhook.tries[0].error, Some(error), "{url}");
        assert_eq!(webhook.state, WebhookState::Pending);
    }
    coordinators.stop().await;
    assert!(receiver.seen.lock().unwrap().is_empty());
}

/// One process has no secret: its log says so, and another's try comes later.
async fn without_a_secret_nothing_is_sent(place: &Place) {
    let (jobs, _bucket, receiver) = parts(place).await;
    let coordinators = Coordinators::start(place, &jobs, 1, Reach::Anywhere, "").await;
    let job = ended(&jobs, &receiver.url("200")).await;
    let (_, tried) = until(&jobs, job, |one| !one.tries.is_empty()).await;
    assert_eq!((tried.state, tried.tries[0].error), (WebhookState::Pending, Some(WebhookError::NotSigned)));
    coordinators.stop().await;
    assert_eq!(receiver.count("200"), 0);
    let coordinators = Coordinators::start(place, &jobs, 1, Reach::Anywhere, SECRET).await;
    jobs.advance(job, Input::RedeliverWebhook { webhook: 1 }).await.unwrap();
    until(&jobs, job, |one| one.state == WebhookState::Delivered).await;
    coordinators.stop().await;
    assert_eq!(receiver.count("200"), 1);
}

/// Of a tenant with secrets they sign, all that have not ended; of others the deployment's.
async fn a_tenants_own_secrets_sign(place: &Place) {
    let (jobs, _bucket, receiver) = parts(place).await;
    let coordinators = Coordinators::start(place, &jobs, 1, Reach::Anywhere, SECRET).await;
    let directory = place.directory().await;
    let (acme, other): (TenantName, TenantName) = ("acme".parse().unwrap(), "other".parse().unwrap());
    // The text that the secrets' signatures have to make up, for the tenant's last job.
    let signed_by = async |tenant: &TenantName, how: &str, secrets: &[&SigningSecret]| {
        let (url, tenant) = (receiver.url(how), Some(tenant.clone()));
        let new = NewJob { webhook_url: Some(url), tenant, ..new_job(new_id(), 2) };
        let CreatedJob::New(header) = jobs.create(new, None).await.unwrap() else { panic!("it is new") };
        jobs.advance(header.id, Input::Cancel { reason: "enough".to_owned() }).await.unwrap();
        let (header, webhook) = until(&jobs, header.id, |one| one.state == WebhookState::Delivered).await;
        let seen = receiver.seen.lock().unwrap();
        let (_, headers, body) = seen.iter().find(|(path, ..)| path == how).unwrap();
        let text = |name: &str| headers[name].to_str().unwrap();
        let secrets: Vec<&str> = secrets.iter().map(|one| one.secret.reveal()).collect();
        let secrets = if secrets.is_empty() { SECRET.to_owned() } else { secrets.join(",") };
        let seconds = text("webhook-timestamp").parse().unwrap();
        let signature = Secrets::parse(&secrets).unwrap().sign(&webhook.id(header.id), seconds, body);
        assert_eq!(text("webhook-signature"), signature, "{how}");
    };
    signed_by(&acme, "200", &[]).await;

    let (none, now) = (SigningSecrets::default(), clock::now());
    let (old, new) = (webhook::new_secret(now), webhook::new_secret(now));
    let one = none.rotated(old.clone(), now, 0).unwrap();
    assert_eq!(directory.swap_signing(&acme, &none, &one).await.unwrap(), Swapped::Done);
    signed_by(&acme, "201", &[&old]).await;
    signed_by(&other, "202", &[]).await;
    let two = one.rotated(new.clone(), now, 3_600_000).unwrap();
    assert_eq!(directory.swap_signing(&acme, &one, &two).await.unwrap(), Swapped::Done);
    signed_by(&acme, "203", &[&old, &new]).await;
    let new_only = one.rotated(new.clone(), now, 0).unwrap();
    assert_eq!(directory.swap_signing(&acme, &two, &new_only).await.unwrap(), Swapped::Done);
    signed_by(&acme, "204", &[&new]).await;
    coordinators.stop().await;
}

/// A day of failures takes too long here: 410 has the same effect at once.
async fn a_receiver_that_takes_nothing_is_disabled_until_it_takes_something(place: &Place) {
    let (jobs, _bucket, receiver) = parts(place).await;
    let coordinators = Coordinators::start(place, &jobs, 1, Reach::Anywhere, SECRET).await;
    let directory = place.directory().await;
    let url = receiver.url("changing");
    let known_as = Receiver::of(None, &url);
    let until_disabled = async |wanted: bool| {
        let looking = async {
            while directory.disabled_since(&known_as, clock::now()).await.unwrap().is_some() != wanted {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.expect("it is noted");
    };
    receiver.answer("changing", 410);
    let first = ended(&jobs, &url).await;
    until(&jobs, first, |one| one.state == WebhookState::Gone).await;
    until_disabled(true).await;
    // The next job's message is tried once, and not for a day.
    receiver.answer("changing", 500);
    let second = ended(&jobs, &url).await;
    let (_, tried) = until(&jobs, second, |one| one.state == WebhookState::GivenUp).await;
    assert_eq!((tried.attempts, tried.tries[0].status), (1, Some(500)));
    // Another receiver is another one.
    let other = ended(&jobs, &receiver.url("503")).await;
    let (_, tried) = until(&jobs, other, |one| !one.tries.is_empty()).await;
    assert_eq!(tried.state, WebhookState::Pending);
    receiver.answer("changing", 200);
    let third = ended(&jobs, &url).await;
    until(&jobs, third, |one| one.state == WebhookState::Delivered).await;
    until_disabled(false).await;
    receiver.answer("changing", 500);
    let fourth = ended(&jobs, &url).await;
    let (_, tried) = until(&jobs, fourth, |one| !one.tries.is_empty()).await;
    assert_eq!(tried.state, WebhookState::Pending);
    coordinators.stop().await;
}

/// Neither what was still to be told nor the deletion itself.
async fn a_deleted_job_tells_nothing_more(place: &Place) {
    let (jobs, receiver) = (place.fresh().await, Server::start().await);
    let waiting = ended(&jobs, &receiver.url("200")).await;
    let new = NewJob { webhook_url: Some(receiver.url("200")), ..new_job(new_id(), 2) };
    let CreatedJob::New(under_way) = jobs.create(new, None).await.unwrap() else { panic!("it is new") };
    // The object store is away here: that keeps no deletion from being decided.
    for job in [waiting, under_way.id] {
        jobs.delete(job, Duration::from_secs(60)).await.unwrap();
    }
    let coordinators = Coordinators::start(place, &jobs, 2, Reach::Anywhere, SECRET).await;
    let told = async {
        loop {
            let due =
                jobs.store.due_effects(scriptorium_contracts::Timestamp(u64::MAX), None, 500).await.unwrap();
            if !due.iter().any(|due| matches!(due.effect, Ok(Effect::DeliverWebhook { .. }))) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("what is outdated is dropped");
    coordinators.stop().await;
    assert_eq!(receiver.count("200"), 0);
}
