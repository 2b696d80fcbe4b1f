//! Webhooks from the end of a job to a receiver: remembered, found by the sweep, delivered.

use super::super::{CreatedJob, Jobs};
use super::{Bucket, Place, bucket};
use crate::outbound::Reach;
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
use scriptorium_contracts::webhook::{Webhook, WebhookError, WebhookState};
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
    without_a_secret_it_stays_remembered,
    a_deleted_job_tells_nothing_more,
];

const PATIENCE: Duration = Duration::from_secs(30);
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

/// What came: path, headers, body.
type Seen = Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>;

/// Answers with the status in the path, or in other ways, as long as it lives.
struct Receiver {
    address: SocketAddr,
    seen: Seen,
    _server: JoinSet<()>,
}

impl Receiver {
    async fn start() -> Self {
        let seen = Seen::default();
        let router = Router::new().route("/{how}", any(answer)).with_state(seen.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, seen, _server: server }
    }

    fn url(&self, how: &str) -> String {
        format!("http://{}/{how}", self.address)
    }

    fn count(&self, how: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|(path, ..)| path == how).count()
    }
}

async fn answer(
    State(seen): State<Seen>,
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
        status => StatusCode::from_bytes(status.as_bytes()).unwrap().into_response(),
    }
}

/// Processes that sweep and deliver, until this is dropped.
struct Coordinators {
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Coordinators {
    fn start(jobs: &Jobs, count: usize, reach: Reach, secret: &str) -> Self {
        let (shutdown, mut tasks) = (CancellationToken::new(), JoinSet::new());
        for _ in 0..count {
            // Of their own, but for what processes share.
            let (store, queue) = (jobs.store.clone(), jobs.queue.clone());
            let jobs = Jobs::new(store, queue, jobs.bus.clone(), jobs.objects.clone());
            let config = WebhookConfig { secrets: Secrets::parse(secret).unwrap(), reach };
            let sender = Sender::new(&config).unwrap();
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
async fn parts(place: &Place) -> (Jobs, Bucket, Receiver) {
    let bucket = bucket(place.path()).await;
    (place.start(bucket.objects.clone()).await, bucket, Receiver::start().await)
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
    let coordinators = Coordinators::start(&jobs, 2, Reach::Anywhere, SECRET);
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
    let ((jobs, _bucket, slow), quick) = (parts(place).await, Receiver::start().await);
    let coordinators = Coordinators::start(&jobs, 1, Reach::Anywhere, SECRET);
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
    let coordinators = Coordinators::start(&jobs, 1, Reach::Anywhere, SECRET);
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
    let coordinators = Coordinators::start(&jobs, 1, Reach::Public, SECRET);
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

/// One process has no secret: it tells no one, and forgets nothing.
async fn without_a_secret_it_stays_remembered(place: &Place) {
    let (jobs, _bucket, receiver) = parts(place).await;
    let coordinators = Coordinators::start(&jobs, 1, Reach::Anywhere, "");
    let job = ended(&jobs, &receiver.url("200")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    coordinators.stop().await;
    until(&jobs, job, |one| one.state == WebhookState::Pending && one.attempts == 0).await;
    let coordinators = Coordinators::start(&jobs, 1, Reach::Anywhere, SECRET);
    until(&jobs, job, |one| one.state == WebhookState::Delivered).await;
    coordinators.stop().await;
    assert_eq!(receiver.count("200"), 1);
}

/// Neither what was still to be told nor the deletion itself.
async fn a_deleted_job_tells_nothing_more(place: &Place) {
    let (jobs, receiver) = (place.fresh().await, Receiver::start().await);
    let waiting = ended(&jobs, &receiver.url("200")).await;
    let new = NewJob { webhook_url: Some(receiver.url("200")), ..new_job(new_id(), 2) };
    let CreatedJob::New(under_way) = jobs.create(new, None).await.unwrap() else { panic!("it is new") };
    // The object store is away here: that keeps no deletion from being decided.
    for job in [waiting, under_way.id] {
        jobs.delete(job, Duration::from_secs(60)).await.unwrap();
    }
    let coordinators = Coordinators::start(&jobs, 2, Reach::Anywhere, SECRET);
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
