//! The file of a form, as it comes.

use super::HELD;
use super::form::Form;
use super::receive::Kind;
use super::writer::{Begun, Writer, idempotency_of};
use crate::access::Caller;
use crate::problem::{Code, Problem};
use crate::sizer;
use crate::state::App;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::{JobHeader, MAX_FILE_SIZE, MEGABYTE};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

/// Name of a file that comes without one.
const UNNAMED: &str = "recording";

/// The file's size, as far as it is known at its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// The client has told it.
    Told(u64),
    /// By the request's length, if nothing follows the file.
    Computed(u64),
}

impl Size {
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Told(bytes) | Self::Computed(bytes) => bytes,
        }
    }

    /// More are too many. What is held need not fit what was computed.
    const fn most(self) -> u64 {
        match self {
            Self::Computed(bytes) if bytes <= HELD => u64::MAX,
            Self::Told(bytes) | Self::Computed(bytes) => bytes,
        }
    }
}

/// What becomes of the bytes.
enum Upload {
    /// There is no job yet: all that has come lies in memory.
    Held,
    Writing(Box<Writer>),
    /// They have come before.
    Repeated(Box<JobHeader>),
}

pub struct Incoming {
    caller: Caller,
    filename: String,
    size: Size,
    /// Bytes of a chunk.
    chunk: usize,
    buffer: BytesMut,
    received: u64,
    /// When the chunk that lies in memory began to come.
    since: Instant,
    upload: Upload,
    _memory: OwnedSemaphorePermit,
}

impl Incoming {
    /// Checks what is known of the file, and waits for memory.
    pub async fn begin(
        app: &App,
        caller: &Caller,
        kind: Kind,
        form: &Form,
        filename: Option<String>,
        size: Size,
    ) -> Result<Self, Problem> {
        let filename = filename.filter(|name| !name.is_empty()).unwrap_or_else(|| UNNAMED.to_owned());
        let bytes = size.bytes();
        if bytes > MAX_FILE_SIZE {
            let detail = format!("The recording has {bytes} bytes; at most {MAX_FILE_SIZE} are taken.");
            return Err(Problem::new(Code::FileTooLarge, detail).with("max_size", MAX_FILE_SIZE));
        }
        if bytes > HELD {
            // All fields are there, or it will be refused: best now.
            (kind.request)(form, &filename, bytes)?.check_whole(
                JobId::new(Uuid::nil()),
                caller,
                &app.config,
            )?;
        }
        let megabytes = sizer::chunk_megabytes(bytes, None, app.config.sizer);
        let chunk = usize::try_from(u64::from(megabytes) * MEGABYTE).unwrap_or(usize::MAX);
        let memory = memory(app, bytes.min(HELD)).await?;
        let held = if bytes > HELD { chunk } else { usize::try_from(bytes).unwrap_or(chunk) };
        let buffer = BytesMut::with_capacity(held);
        let (received, since, upload) = (0, Instant::now(), Upload::Held);
        let caller = caller.clone();
        Ok(Self { caller, filename, size, chunk, buffer, received, since, upload, _memory: memory })
    }

    /// Whether it is too late for further fields.
    pub const fn has_job(&self) -> bool {
        match self.upload {
            Upload::Held => false,
            Upload::Writing(_) | Upload::Repeated(_) => true,
        }
    }

    /// Takes some bytes. `Some`: the job is over already.
    pub async fn push(
        &mut self,
        app: &App,
        kind: Kind,
        form: &Form,
        headers: &HeaderMap,
        mut bytes: Bytes,
    ) -> Result<Option<JobHeader>, Problem> {
        self.received = self.received.saturating_add(bytes.len() as u64);
        if self.received > self.size.most() {
            return Err(mismatch(self.size.bytes(), self.received));
        }
        let limit = if self.size.bytes() > HELD { self.chunk } else { usize::MAX };
        while !bytes.is_empty() {
            let room = limit.saturating_sub(self.buffer.len()).min(bytes.len());
            self.buffer.extend_from_slice(&bytes.split_to(room));
            if self.buffer.len() < limit {
                break;
            }
            if let Upload::Held = self.upload {
                self.make_job(app, kind, form, headers, self.size.bytes()).await?;
            }
            if let Some(header) = self.put().await? {
                return Ok(Some(header));
            }
        }
        if self.since.elapsed() > app.config.url_expiry {
            let detail = "A chunk of the file took longer than an upload URL would have been usable.";
            return Err(Problem::new(Code::RequestTimeout, detail));
        }
        Ok(None)
    }

    /// All of the form is there: the rest of the file is stored.
    pub async fn finish(
        mut self,
        app: &App,
        kind: Kind,
        form: &Form,
        headers: &HeaderMap,
    ) -> Result<JobHeader, Problem> {
        let expected = match (&self.upload, self.size) {
            // A field behind the file may have told it since.
            (Upload::Held, Size::Computed(_)) => told(form)?.unwrap_or(self.received),
            (Upload::Held, Size::Told(size)) => told(form)?.unwrap_or(size),
            (Upload::Writing(_) | Upload::Repeated(_), size) => size.bytes(),
        };
        if expected != self.received {
            return Err(mismatch(expected, self.received));
        }
        if let Upload::Held = self.upload {
            self.make_job(app, kind, form, headers, self.received).await?;
        }
        while !self.buffer.is_empty() {
            if let Some(header) = self.put().await? {
                return Ok(header);
            }
        }
        match &self.upload {
            Upload::Writing(writer) => Ok(writer.header().clone()),
            Upload::Repeated(header) => Ok((**header).clone()),
            Upload::Held => Err(Problem::new(Code::MissingField, "The form has no file.")),
        }
    }

    async fn make_job(
        &mut self,
        app: &App,
        kind: Kind,
        form: &Form,
        headers: &HeaderMap,
        total: u64,
    ) -> Result<(), Problem> {
        let request = (kind.request)(form, &self.filename, total)?;
        let facts = (self.filename.as_str(), total);
        let key = idempotency_of(
            headers,
            (kind.scope, self.caller.tenant()),
            &form.canonical(),
            facts,
            &self.buffer,
        )?;
        self.upload = match Box::pin(Writer::begin(app, &self.caller, &request, key)).await? {
            Begun::New(writer) => {
                self.chunk = writer.chunk_size();
                Upload::Writing(writer)
            }
            Begun::Before(header) => Upload::Repeated(header),
        };
        Ok(())
    }

    /// Stores a chunk, or the rest that there is. `Some`: the job is over already.
    async fn put(&mut self) -> Result<Option<JobHeader>, Problem> {
        let chunk = self.buffer.split_to(self.chunk.min(self.buffer.len())).freeze();
        let goes_on = match &mut self.upload {
            Upload::Writing(writer) => writer.put(chunk.clone()).await?,
            Upload::Repeated(_) | Upload::Held => true,
        };
        // The next chunk comes into the same memory.
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.buffer = chunk.try_into_mut().unwrap_or_default();
            self.buffer.clear();
        }
        self.since = Instant::now();
        match &self.upload {
            Upload::Writing(writer) if !goes_on => Ok(Some(writer.header().clone())),
            Upload::Writing(_) | Upload::Repeated(_) | Upload::Held => Ok(None),
        }
    }
}

/// A share of the memory that uploads may take, or the problem `too_many_uploads`.
async fn memory(app: &App, bytes: u64) -> Result<OwnedSemaphorePermit, Problem> {
    let megabytes = u32::try_from(bytes / MEGABYTE + 1).unwrap_or(u32::MAX);
    let waiting = Arc::clone(&app.upload_memory).acquire_many_owned(megabytes);
    match tokio::time::timeout(app.config.body_timeout, waiting).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => {
            let detail = "As many recordings are being received as there is memory for. Try again, or upload in chunks.";
            Err(Problem::new(Code::TooManyUploads, detail))
        }
    }
}

fn mismatch(expected: u64, found: u64) -> Problem {
    let detail = format!(
        "The file has {found} bytes or more, but the request's length and form tell of {expected}. Send \"total_size\" \
         before the file, and nothing after it."
    );
    let problem = Problem::new(Code::LengthMismatch, detail);
    problem.with("expected_size", expected).with("found_size", found)
}

/// The size that a field tells.
pub fn told(form: &Form) -> Result<Option<u64>, Problem> {
    let Some(text) = form.get("total_size")? else { return Ok(None) };
    let wrong = |_| {
        let detail = "\"total_size\" cannot be used: it has to be the file's number of bytes.";
        Problem::field(Code::InvalidField, "total_size", detail)
    };
    text.trim().parse().map(Some).map_err(wrong)
}
