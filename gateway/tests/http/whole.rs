//! Recordings in one piece.

use crate::house::{House, MB, Reply};
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::{Input, JobHeader, JobState};
use scriptorium_contracts::objects::{chunk_key, chunks_prefix, transcript_key};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const BOUNDARY: &str = "------------------------d74496d66958873e";
pub const UPLOAD: &str = "/api/transcripts/upload";

/// The form up to the file's first byte.
pub fn before(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut form = String::new();
    for (name, value) in fields {
        form +=
            &format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    }
    form += &format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"my/talk.wav\"\r\n\
         Content-Type: audio/wav\r\n\r\n"
    );
    form.into_bytes()
}

/// As curl writes it: fields, the file, and `late` fields behind it.
pub fn form(fields: &[(&str, &str)], file: &[u8], late: &[(&str, &str)]) -> Vec<u8> {
    let mut form = [&before(fields), file].concat();
    for (name, value) in late {
        let part =
            format!("\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}");
        form.extend_from_slice(part.as_bytes());
    }
    form.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    form
}

pub fn request(house: &House, path: &str, body: Vec<u8>) -> reqwest::RequestBuilder {
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    house.http.post(house.url(path)).header("content-type", content_type).body(body)
}

pub async fn send(house: &House, path: &str, body: Vec<u8>) -> Reply {
    Reply::of(request(house, path, body)).await
}

/// A connection on which a request of so many bytes has begun.
pub async fn open(house: &House, path: &str, length: usize, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// The rest of what the server says.
pub async fn reply(mut stream: TcpStream) -> String {
    let mut reply = Vec::new();
    let reading = stream.read_to_end(&mut reply);
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("no hang").unwrap();
    String::from_utf8_lossy(&reply).into_owned()
}

/// Bytes that differ from place to place.
pub fn noise(count: u64) -> Vec<u8> {
    (0..count).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// The jobs that are not over.
pub async fn open_jobs(house: &House) -> Vec<JobId> {
    let jobs = house.jobs.store.jobs_to_sweep(None, 100).await.unwrap();
    let mut open = Vec::new();
    for job in jobs {
        if !house.jobs.header(job).await.unwrap().unwrap().state.is_final() {
            open.push(job);
        }
    }
    open
}

/// Waits until one job is there, and is so.
pub async fn until(house: &House, is: impl Fn(&JobHeader) -> bool) -> JobHeader {
    let began = Instant::now();
    loop {
        if let [job] = open_jobs(house).await[..] {
            let header = house.jobs.header(job).await.unwrap().unwrap();
            if is(&header) {
                return header;
            }
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it does not come to that");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn state_of(house: &House, job: JobId, state: JobState) {
    let began = Instant::now();
    while house.jobs.header(job).await.unwrap().unwrap().state != state {
        assert!(began.elapsed() < Duration::from_secs(20), "it does not become {state:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What workers and a coordinator would do.
pub async fn finish(house: &House, job: JobId) {
    house.advance(job, Input::Probed { media: scriptorium_shared::testing::media() }).await;
    let chunks = house.jobs.header(job).await.unwrap().unwrap().total_chunks();
    for chunk in 0..chunks {
        house.complete(job, chunk, "Hello.").await;
    }
    let stored = json!({
        "version": 1, "text": "Hello.", "language": "en", "duration": 12.5, "engine": "whisper", "model": "tiny.en",
        "media": scriptorium_shared::testing::media(), "gaps": [],
        "segments": [{"id": 0, "start": 0.0, "end": 1.5, "text": " Hello.", "avg_logprob": -0.25, "no_speech_prob": 0.5,
                      "words": [{"word": " Hello.", "start": 0.0, "end": 1.5, "probability": 0.5}]}],
    });
    let body = bytes::Bytes::from(stored.to_string());
    house.jobs.objects.write(&transcript_key(job), body, "application/json").await.unwrap();
    house.assemble(job, "Hello.").await;
}

async fn stored(house: &House, header: &JobHeader) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in 0..header.total_chunks() {
        let read = house.jobs.objects.read(&chunk_key(header.id, chunk), 0, 30 << 20).await.unwrap();
        bytes.extend_from_slice(&read.unwrap());
    }
    bytes
}

#[tokio::test]
async fn a_recording_becomes_a_job_whatever_its_size_and_the_order_of_the_fields() {
    let house = House::new().await;
    let fields =
        [("language", "DE"), ("word_timestamps", "true"), ("metadata", "{\"case\": \"7\"}"), ("prompt", "")];
    for (size, chunks, late) in
        [(1, 1, false), (3 * MB, 1, true), (16 * MB, 2, true), (25 * MB, 2, true), (31 * MB, 3, false)]
    {
        let file = noise(size);
        let body = if late { form(&[], &file, &fields) } else { form(&fields, &file, &[]) };
        let reply = send(&house, UPLOAD, body).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
        let record = reply.json();
        let id = record["id"].as_str().unwrap();
        assert_eq!(reply.headers["location"], format!("/api/transcripts/{id}"));
        assert_eq!(
            (&record["original_filename"], &record["status"]),
            (&json!("talk.wav"), &json!("processing"))
        );
        assert_eq!(house.get(&format!("/api/transcripts/{id}")).await.json(), record);
        let header = house.jobs.header(id.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!((header.total_size, header.total_chunks()), (size, chunks));
        assert_eq!(header.options.language.as_deref(), Some("de"));
        assert_eq!((header.options.word_timestamps, header.options.prompt.is_none()), (true, true));
        assert_eq!(header.metadata["case"], "7");
        assert!(stored(&house, &header).await == file, "{size} bytes are not what was sent");
    }
    house.stop().await;
}

#[tokio::test]
async fn the_work_begins_while_the_recording_still_comes() {
    let house = House::new().await;
    let file = noise(40 * MB);
    let body = form(&[("language", "en")], &file, &[]);
    let mut stream = open(&house, UPLOAD, body.len(), "").await;
    let (first, rest) = body.split_at(16 << 20);
    stream.write_all(first).await.unwrap();
    let header = until(&house, |header| header.uploaded.len() == 1).await;
    assert_eq!((header.state, header.total_size), (JobState::Uploading, 40 * MB));
    assert!(header.in_flight.contains(0), "a task is made of the first chunk");
    stream.write_all(rest).await.unwrap();
    let reply = reply(stream).await;
    assert!(reply.starts_with("HTTP/1.1 202"), "{reply}");
    let header = house.jobs.header(header.id).await.unwrap().unwrap();
    assert!(header.uploaded.len() == 3 && stored(&house, &header).await == file);
    house.stop().await;
}

#[tokio::test]
async fn what_breaks_off_leaves_nothing() {
    let house = House::with(|config| config.limits.release_delay_ms = 0).await;
    let body = form(&[], &noise(40 * MB), &[]);
    let mut stream = open(&house, UPLOAD, body.len(), "").await;
    stream.write_all(&body[..20 << 20]).await.unwrap();
    let job = until(&house, |header| header.uploaded.len() == 1).await.id;
    assert_eq!(house.jobs.objects.list(&chunks_prefix(job)).await.unwrap().len(), 1);
    drop(stream);
    state_of(&house, job, JobState::Cancelled).await;
    house.jobs.perform_due().await.unwrap();
    assert_eq!(house.jobs.objects.list(&format!("jobs/{job}/")).await.unwrap(), []);
    // Before there is a job.
    let mut stream = open(&house, UPLOAD, body.len(), "").await;
    stream.write_all(&body[..1 << 20]).await.unwrap();
    drop(stream);
    // A job that is cancelled while its recording comes.
    let mut stream = open(&house, UPLOAD, body.len(), "").await;
    stream.write_all(&body[..20 << 20]).await.unwrap();
    let job = until(&house, |header| header.uploaded.len() == 1).await.id;
    house.advance(job, Input::Cancel { reason: "enough".to_owned() }).await;
    stream.write_all(&body[20 << 20..]).await.unwrap();
    let reply = reply(stream).await;
    assert!(reply.starts_with("HTTP/1.1 409") && reply.contains("job_over"), "{reply}");
    assert_eq!(open_jobs(&house).await, []);
    house.stop().await;
}

#[tokio::test]
async fn the_end_of_the_process_cancels_what_has_not_come() {
    let house = House::with(|config| config.shutdown_grace = Duration::from_millis(200)).await;
    let body = form(&[], &noise(40 * MB), &[]);
    let mut stream = open(&house, UPLOAD, body.len(), "").await;
    stream.write_all(&body[..20 << 20]).await.unwrap();
    let job = until(&house, |header| header.uploaded.len() == 1).await.id;
    let jobs = house.jobs.clone();
    house.stop().await;
    assert_eq!(jobs.header(job).await.unwrap().unwrap().state, JobState::Cancelled);
}

#[tokio::test]
async fn a_recording_that_is_no_audio_is_told_before_all_of_it_has_come() {
    let house = House::new().await;
    let body = form(&[], &noise(40 * MB), &[]);
    let key = "Idempotency-Key: k\r\n";
    let mut stream = open(&house, UPLOAD, body.len(), key).await;
    stream.write_all(&body[..16 << 20]).await.unwrap();
    let job = until(&house, |header| header.uploaded.len() == 1).await.id;
    let failure = scriptorium_contracts::failure::Failure::new(
        scriptorium_contracts::failure::FailureCode::NotAudio,
        "A picture.",
    );
    let epoch = house.epoch(job, 0).await;
    house.advance(job, Input::Failed { chunk: 0, part: None, epoch, failure }).await;
    stream.write_all(&body[16 << 20..33 << 20]).await.unwrap();
    let told = reply(stream).await;
    assert!(told.starts_with("HTTP/1.1 202") && told.contains("\"code\":\"not_audio\""), "{told}");
    // Sent again it is no new job.
    let mut stream = open(&house, UPLOAD, body.len(), key).await;
    stream.write_all(&body).await.unwrap();
    let again = reply(stream).await;
    assert!(again.contains(&job.to_string()) && again.contains("\"code\":\"not_audio\""), "{again}");
    house.stop().await;
}

#[tokio::test]
async fn who_waits_gets_the_text_and_who_goes_away_stops_nothing() {
    let house = House::new().await;
    let (body, path) = (form(&[], &noise(MB), &[]), format!("{UPLOAD}?wait=true"));
    let request = request(&house, &path, body.clone());
    let finishing = async {
        let job = until(&house, |header| header.state == JobState::Processing).await.id;
        finish(&house, job).await;
    };
    let (reply, ()) = tokio::join!(Reply::of(request), finishing);
    assert_eq!(reply.status, 200, "{}", reply.body);
    let record = reply.json();
    assert_eq!((&record["status"], &record["progress"]), (&json!("completed"), &json!(100)));
    assert_eq!((&record["text"], &record["language"]), (&json!("Hello."), &json!("en")));
    assert_eq!((&record["audio_duration"], &record["chunks_processed"]), (&json!(12.5), &json!(1)));
    assert!(record["processing_time"].as_f64().unwrap() >= 0.0);
    assert_eq!((&record["segments"][0]["text"], &record["cache_hits"]), (&json!(" Hello."), &json!(0)));
    assert_eq!(house.get(reply.headers["location"].to_str().unwrap()).await.json(), record);
    // Gone while it waits.
    let mut stream = open(&house, &path, body.len(), "").await;
    stream.write_all(&body).await.unwrap();
    let job = until(&house, |header| header.state == JobState::Processing).await.id;
    drop(stream);
    tokio::time::sleep(Duration::from_millis(200)).await;
    finish(&house, job).await;
    assert_eq!(house.get(&format!("/api/transcripts/{job}")).await.json()["status"], "completed");
    house.stop().await;
}

#[tokio::test]
async fn a_job_that_is_deleted_is_neither_waited_for_nor_filled_any_more() {
    let house = House::new().await;
    let waiting = request(&house, &format!("{UPLOAD}?wait=true"), form(&[], &noise(MB), &[]));
    let deleting = async {
        let job = until(&house, |header| header.state == JobState::Processing).await.id;
        house.jobs.delete(job, Duration::from_secs(60)).await.unwrap();
    };
    let (reply_of_waiting, ()) = tokio::join!(Reply::of(waiting), deleting);
    reply_of_waiting.is_problem(404, "job_not_found");
    // While its recording comes.
    let body = form(&[], &noise(40 * MB), &[]);
    let mut stream = open(&house, UPLOAD, body.len(), "").await;
    stream.write_all(&body[..20 << 20]).await.unwrap();
    let job = until(&house, |header| header.uploaded.len() == 1).await.id;
    house.jobs.delete(job, Duration::from_secs(60)).await.unwrap();
    stream.write_all(&body[20 << 20..]).await.unwrap();
    let reply = reply(stream).await;
    assert!(reply.starts_with("HTTP/1.1 404") && reply.contains("job_not_found"), "{reply}");
    assert_eq!(open_jobs(&house).await, []);
    house.stop().await;
}

#[tokio::test]
async fn who_waits_is_answered_when_the_time_is_up() {
    let house = House::with(|config| config.stream_timeout = Duration::from_millis(300)).await;
    let reply = send(&house, &format!("{UPLOAD}?wait=true"), form(&[], &noise(MB), &[])).await;
    assert_eq!((reply.status, &reply.json()["status"]), (202, &json!("processing")));
    house.stop().await;
}

#[tokio::test]
async fn an_idempotency_key_makes_one_job_and_outlives_what_broke_off() {
    let house = House::new().await;
    let send = async |file: &[u8], language: &str| {
        let request = request(&house, UPLOAD, form(&[("language", language)], file, &[]));
        Reply::of(request.header("idempotency-key", "k1")).await
    };
    let (file, mut other) = (noise(30 * MB), noise(30 * MB));
    let id = async |reply: Reply| -> Value { reply.json()["id"].clone() };
    // The first try breaks off.
    let body = form(&[("language", "en")], &file, &[]);
    let mut stream = open(&house, UPLOAD, body.len(), "Idempotency-Key: k1\r\n").await;
    stream.write_all(&body[..20 << 20]).await.unwrap();
    let broken = until(&house, |header| header.uploaded.len() == 1).await.id;
    // The client comes again before the server has seen that: the new one takes the old one's place.
    let first = id(send(&file, "en").await).await;
    assert_ne!(first, json!(broken));
    assert_eq!(house.jobs.header(broken).await.unwrap().unwrap().state, JobState::Cancelled);
    drop(stream);
    assert_eq!(id(send(&file, "en").await).await, first);
    send(&file, "de").await.is_problem(422, "idempotency_key_reused");
    other[0] ^= 1;
    send(&other, "en").await.is_problem(422, "idempotency_key_reused");
    send(&noise(30 * MB - 1), "en").await.is_problem(422, "idempotency_key_reused");
    assert_eq!(open_jobs(&house).await.len(), 1);
    house.stop().await;
}
