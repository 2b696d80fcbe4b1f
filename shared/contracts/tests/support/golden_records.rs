//! One value of everything that a job store holds of a job, with the name of its golden file.

use super::golden_values::{NOW, failure, work};
use super::samples::{job, media, new_job, source, summary};
use scriptorium_contracts::job::{
    ChunkRecord, ChunkState, CriticalPath, JobHeader, JobState, NewJob, Part, PartState, Redo, create,
};
use scriptorium_contracts::message::VERSION;
use scriptorium_contracts::signing::{SecretText, SigningSecret, SigningSecrets};
use scriptorium_contracts::source::{Origin, Source, SourceHolder};
use scriptorium_contracts::tenant::{KeyRecord, TenantLimits, TenantName};
use scriptorium_contracts::webhook::{
    Webhook, WebhookError, WebhookEvent, WebhookHolder, WebhookState, WebhookTry,
};

pub fn headers() -> Vec<(&'static str, JobHeader)> {
    let mut plain = new_job();
    plain.options = Default::default();
    plain.metadata.clear();
    plain.webhook_url = None;
    let created = create(plain, NOW).header;
    let processing = processing();
    let redoing = redoing(&processing);
    let mut of_tenant = created.clone();
    of_tenant.tenant = Some(tenant());
    let mut redoing_leased = redoing.clone();
    if let Some(redo) = &mut redoing_leased.redo {
        redo.leases.push((2, NOW.plus(15_000)));
    }
    let mut redoing_further = redoing.clone();
    if let Some(redo) = &mut redoing_further.redo {
        redo.begun.push((3, -4_410));
    }
    let mut headers = vec![
        ("job_header_created", created),
        ("job_header_tenant", of_tenant),
        ("job_header_redoing", redoing),
        ("job_header_redoing_leased", redoing_leased),
        ("job_header_redoing_further", redoing_further),
    ];
    headers.extend(fetched());
    headers.extend(ended(&processing));
    headers.push(("job_header_correcting", correcting(&headers)));
    headers.push(("job_header_corrected", corrected(&headers)));
    headers.push(("job_header_limited", limited(&headers)));
    headers.push(("job_header_processing", processing));
    headers
}

/// Not begun, and after tries, while one is under way.
fn fetched() -> Vec<(&'static str, JobHeader)> {
    let created = create(NewJob { source: Some(source()), ..new_job() }, NOW).header;
    let mut fetching = created.clone();
    fetching.source = Some(Source {
        token: 4,
        attempts: 2,
        due: NOW.plus(35_000),
        holder: Some(SourceHolder { by: 12, until: NOW.plus(35_000) }),
        failure: Some(failure()),
        ..source()
    });
    let mut by_key = created.clone();
    by_key.source = Some(Source::new(Origin::Key("imports/acme/talk.wav".to_owned()), None, true));
    vec![
        ("job_header_source", created),
        ("job_header_source_fetching", fetching),
        ("job_header_source_key", by_key),
    ]
}

/// Whose text a language model has.
fn correcting(headers: &[(&'static str, JobHeader)]) -> JobHeader {
    let (_, redoing) = headers.iter().find(|(name, _)| *name == "job_header_redoing").unwrap();
    JobHeader { correcting_until: Some(NOW.plus(15_000)), redo: None, ..redoing.clone() }
}

/// With an edit that was taken back.
fn corrected(headers: &[(&'static str, JobHeader)]) -> JobHeader {
    let mut header =
        headers.iter().map(|(_, header)| header).find(|header| header.summary.is_some()).unwrap().clone();
    let summary = header.summary.as_mut().unwrap();
    summary.correction =
        super::golden_values::corrected_transcript().correction.map(|made| made.summary(4_250, 0));
    header.reverted_edits.insert(0);
    header
}

/// Whose questions to a language model waited for leave.
fn limited(headers: &[(&'static str, JobHeader)]) -> JobHeader {
    let mut header = corrected(headers);
    let correction = header.summary.as_mut().and_then(|summary| summary.correction.as_mut()).unwrap();
    correction.limited_ms = 250;
    header.work.limit_ms = 1_500;
    header
}

/// A tenant's own, one of them with an end.
pub fn signing_secrets() -> SigningSecrets {
    let secret = |id: &str, ends_at| SigningSecret {
        id: id.to_owned(),
        secret: SecretText::new("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX".to_owned()),
        created_at: NOW,
        ends_at,
    };
    let secrets =
        vec![secret("0011223344556677", Some(NOW.plus(86_400_000))), secret("8899aabbccddeeff", None)];
    SigningSecrets { version: VERSION, secrets }
}

fn tenant() -> TenantName {
    "acme.2".parse().unwrap()
}

/// With everything that can be said, and with as little as can be.
pub fn keys() -> Vec<(&'static str, KeyRecord)> {
    let plain = KeyRecord {
        version: VERSION,
        id: "0011223344556677".to_owned(),
        tenant: tenant(),
        hash: "ab".repeat(32),
        label: None,
        created_at: NOW,
        expires_at: None,
    };
    let full = KeyRecord {
        label: Some("the archive's nightly run".to_owned()),
        expires_at: Some(NOW.plus(86_400_000)),
        ..plain.clone()
    };
    vec![("api_key", full), ("api_key_plain", plain)]
}

pub fn limits_of_tenants() -> Vec<(&'static str, TenantLimits)> {
    let full = TenantLimits {
        requests_per_minute: Some(600),
        concurrent_jobs: Some(5),
        storage_bytes: Some(10 << 30),
        audio_minutes_per_day: Some(0),
    };
    vec![("tenant_limits", full), ("tenant_limits_none", TenantLimits::default())]
}

fn processing() -> JobHeader {
    let mut processing = create(new_job(), NOW).header;
    processing.revision = 19;
    processing.state = JobState::Processing;
    processing.updated_at = NOW.plus(9_000);
    processing.last_upload_at = Some(NOW.plus(8_000));
    processing.media = Some(media());
    processing.uploaded = (0..5).collect();
    processing.ready = [2].into_iter().collect();
    processing.in_flight = [3, 4].into_iter().collect();
    processing.completed = [0].into_iter().collect();
    processing.failed = [1].into_iter().collect();
    processing.text_chunks = 1;
    processing.progress = 60;
    processing.progress_at = NOW.plus(8_500);
    processing.last_event = 14;
    processing.last_effect = 6;
    processing
}

fn redoing(processing: &JobHeader) -> JobHeader {
    let mut redoing = processing.clone();
    redoing.state = JobState::Assembling;
    redoing.ready = Default::default();
    redoing.in_flight = Default::default();
    redoing.completed = [0, 2, 3, 4].into_iter().collect();
    redoing.assembly_epoch = 1;
    redoing.redo = Some(Redo {
        language: "en".to_owned(),
        waiting: [4].into_iter().collect(),
        under_way: [2, 3].into_iter().collect(),
        begun: Vec::new(),
        attempts: 1,
        losses: 0,
        leases: Default::default(),
        failed: [0].into_iter().collect(),
    });
    redoing
}

fn ended(processing: &JobHeader) -> Vec<(&'static str, JobHeader)> {
    let mut finished = processing.clone();
    finished.state = JobState::CompletedWithErrors;
    finished.finished_at = Some(NOW.plus(20_000));
    finished.ready = Default::default();
    finished.in_flight = Default::default();
    finished.completed = [0, 2, 3, 4].into_iter().collect();
    finished.assembly_epoch = 1;
    finished.summary = Some(summary());
    let mut failed = processing.clone();
    failed.state = JobState::Failed;
    failed.finished_at = Some(NOW.plus(10_000));
    failed.failure = Some(failure());
    failed.objects_released = true;
    let mut telling = finished.clone();
    telling.webhooks = vec![tried_webhook(), new_webhook()];
    let mut measured = finished.clone();
    measured.work = work();
    measured.path = Some(CriticalPath {
        chunk: 4,
        upload_ms: 8_000,
        queue_ms: 250,
        processing_ms: 5_100,
        work: work(),
        ended_at: NOW.plus(13_350),
    });
    let mut deleted = failed.clone();
    deleted.deleted_at = Some(NOW.plus(30_000));
    vec![
        ("job_header_completed_with_errors", finished),
        ("job_header_webhooks", telling),
        ("job_header_measured", measured),
        ("job_header_failed", failed),
        ("job_header_deleted", deleted),
    ]
}

/// Tried, interrupted, and being tried again.
pub fn tried_webhook() -> Webhook {
    let tried = |delay, status, error| WebhookTry { at: NOW.plus(delay), duration_ms: 250, status, error };
    Webhook {
        number: 1,
        event: WebhookEvent::CompletedWithErrors,
        at: NOW.plus(20_000),
        state: WebhookState::Pending,
        token: 6,
        attempts: 3,
        due: Some(NOW.plus(85_000)),
        holder: Some(WebhookHolder { by: 12, since: NOW.plus(55_000), until: NOW.plus(85_000) }),
        tries: vec![tried(20_500, Some(503), None), tried(25_750, None, Some(WebhookError::Interrupted))],
    }
}

pub fn new_webhook() -> Webhook {
    Webhook {
        number: 2,
        event: WebhookEvent::Completed,
        at: NOW.plus(90_000),
        token: 1,
        attempts: 0,
        due: Some(NOW.plus(90_000)),
        holder: None,
        tries: Vec::new(),
        ..tried_webhook()
    }
}

pub fn all_webhook_events() -> Vec<WebhookEvent> {
    use WebhookEvent::{Cancelled, Completed, CompletedWithErrors, Expired, Failed};
    vec![Completed, CompletedWithErrors, Failed, Cancelled, Expired]
}

pub fn all_webhook_states() -> Vec<WebhookState> {
    use WebhookState::{Delivered, GivenUp, Gone, Pending};
    vec![Pending, Delivered, GivenUp, Gone]
}

pub fn all_webhook_errors() -> Vec<WebhookError> {
    let mut all = first_webhook_errors();
    all.push(WebhookError::NotSigned);
    all
}

/// Those of the beginning.
pub fn first_webhook_errors() -> Vec<WebhookError> {
    use WebhookError::{
        AddressRefused, ConnectFailed, ConnectionBroken, Interrupted, NameNotResolved, TimedOut,
    };
    vec![AddressRefused, NameNotResolved, ConnectFailed, TimedOut, ConnectionBroken, Interrupted]
}

/// The bytes of each kind of message: a try after a new version has to send the same.
pub fn webhook_bodies() -> Vec<String> {
    let body = |event| Webhook { event, ..new_webhook() }.body(job()).map(String::from_utf8);
    all_webhook_events().into_iter().map(|event| body(event).unwrap().unwrap()).collect()
}

pub fn chunk_records() -> Vec<(&'static str, ChunkRecord)> {
    let pending = ChunkRecord::pending(4);
    let mut awaited = pending.clone();
    awaited.waiters = [2, 3, 5].into_iter().collect();
    let mut waiting = ChunkRecord::pending(3);
    waiting.state = ChunkState::Uploaded;
    waiting.epoch = 1;
    waiting.waiting_for = Some(4);
    waiting.uploaded_at = Some(NOW);
    let mut processing = waiting.clone();
    processing.state = ChunkState::Processing;
    processing.epoch = 2;
    processing.waiting_for = None;
    processing.waited_for = Some(4);
    processing.started_at = Some(NOW.plus(40));
    let mut leased = processing.clone();
    leased.lease_until = Some(NOW.plus(15_040));
    let mut failed = processing.clone();
    failed.state = ChunkState::Failed;
    failed.attempts = 4;
    failed.error = Some(failure());
    failed.ended_at = Some(NOW.plus(900));
    let mut divided = processing.clone();
    divided.epoch = 5;
    let part = Part {
        state: PartState::Completed,
        first: 0,
        count: 10,
        epoch: 3,
        attempts: 1,
        losses: 0,
        lease_until: None,
    };
    divided.parts = vec![
        part,
        Part { state: PartState::Processing, first: 10, epoch: 4, ..part },
        Part { state: PartState::Queued, first: 20, count: 4, epoch: 5, ..part },
    ];
    let mut divided_leased = divided.clone();
    divided_leased.parts[1].lease_until = Some(NOW.plus(15_040));
    let mut measured = leased.clone();
    measured.ready_at = Some(NOW.plus(20));
    measured.work = work();
    vec![
        ("chunk_record_measured", measured),
        ("chunk_record_divided", divided),
        ("chunk_record_divided_leased", divided_leased),
        ("chunk_record_leased", leased),
        ("chunk_record_pending", pending),
        ("chunk_record_awaited", awaited),
        ("chunk_record_waiting", waiting),
        ("chunk_record_processing", processing),
        ("chunk_record_failed", failed),
    ]
}
