//! Reads a form and makes a job of its file.

use super::form::Form;
use super::incoming::{Incoming, Size, told};
use super::source::{Pace, Source};
use crate::access::Caller;
use crate::problem::{Code, Problem};
use crate::request::init::InitRequest;
use crate::request::json::shorten;
use crate::request::multipart::{self, Event, Head, Malformed, Reader};
use crate::state::App;
use axum::body::HttpBody;
use axum::extract::Request;
use http::HeaderMap;
use scriptorium_contracts::job::{JobHeader, MAX_FILE_SIZE};

/// What a request may have besides the largest file.
const SLACK: u64 = 1 << 20;
/// Bytes that nearly all clients send behind the last boundary: a line break.
const TAIL: u64 = 2;

/// What a route wants of its form.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Keeps the Idempotency-Keys of routes apart.
    pub scope: &'static str,
    /// The session's request that the fields stand for, with the file's name and size.
    pub request: fn(&Form, &str, u64) -> Result<InitRequest, Problem>,
}

/// Reads the whole request. The job's recording is complete, unless the job has failed before that; or there is no job, or a
/// cancelled one.
pub async fn receive(
    app: &App,
    caller: &Caller,
    kind: Kind,
    request: Request,
) -> Result<(JobHeader, Form), Problem> {
    let (parts, body) = request.into_parts();
    let boundary = multipart::boundary(&parts.headers).ok_or_else(|| {
        let detail = "Send the recording as multipart/form-data, with its boundary named.";
        Problem::new(Code::UnsupportedContentType, detail)
    })?;
    let length = body.size_hint().exact().ok_or_else(|| {
        let detail = "The request has no Content-Length; of what size the recording is could not be told before its end.";
        Problem::new(Code::LengthRequired, detail)
    })?;
    if length > MAX_FILE_SIZE + SLACK {
        let detail = format!("The request has {length} bytes; recordings have at most {MAX_FILE_SIZE}.");
        return Err(Problem::new(Code::FileTooLarge, detail).with("max_size", MAX_FILE_SIZE));
    }
    let mut receiver = Receiver {
        app,
        caller,
        kind,
        headers: parts.headers,
        source: Source::new(
            body,
            app.config.body_timeout,
            Pace::new(app.config.min_upload_rate, app.config.upload_window),
        ),
        reader: Reader::new(&boundary),
        boundary,
        length,
        form: Form::default(),
        file: None,
        in_file: false,
    };
    match receiver.run().await {
        Ok(header) => Ok((header, receiver.form)),
        Err(problem) => {
            // The job is cancelled now, not when we have done with listening.
            receiver.file = None;
            receiver.source.linger().await;
            Err(problem)
        }
    }
}

struct Receiver<'a> {
    app: &'a App,
    caller: &'a Caller,
    kind: Kind,
    headers: HeaderMap,
    source: Source,
    reader: Reader,
    boundary: String,
    /// Of the whole body.
    length: u64,
    form: Form,
    file: Option<Incoming>,
    /// The part that is being read is the file.
    in_file: bool,
}

impl Receiver<'_> {
    async fn run(&mut self) -> Result<JobHeader, Problem> {
        loop {
            while let Some(event) = self.reader.event().map_err(|error| malformed(&error))? {
                if let Some(over) = self.take(event).await? {
                    self.source.linger().await;
                    return Ok(over);
                }
            }
            match self.source.piece().await? {
                Some(piece) => self.reader.push(&piece),
                None => break,
            }
        }
        self.reader.finish().map_err(|error| malformed(&error))?;
        let file = self.file.take().ok_or_else(|| {
            Problem::field(Code::MissingField, "file", "The field \"file\" is missing: the recording.")
        })?;
        file.finish(self.app, self.kind, &self.form, &self.headers).await
    }

    /// `Some`: the job is over already.
    async fn take(&mut self, event: Event) -> Result<Option<JobHeader>, Problem> {
        match event {
            Event::Part { head, first } if head.name == "file" => {
                self.in_file = true;
                self.begin_file(head, first).await?;
            }
            Event::Part { head, .. } => {
                self.in_file = false;
                if self.file.as_ref().is_some_and(Incoming::has_job) {
                    let name = shorten(&head.name);
                    let detail =
                        format!("\"{name}\" comes after the file. Send it before: the file has to be last.");
                    return Err(Problem::field(Code::FieldAfterFile, &name, detail));
                }
                self.form.begin(head.name)?;
            }
            Event::Data(bytes) if self.in_file => {
                if let Some(file) = &mut self.file {
                    return file.push(self.app, self.kind, &self.form, &self.headers, bytes).await;
                }
            }
            Event::Data(bytes) => self.form.push(&bytes)?,
            Event::PartEnd => self.form.end()?,
            Event::End => {}
        }
        Ok(None)
    }

    async fn begin_file(&mut self, head: Head, first: u64) -> Result<(), Problem> {
        if self.file.is_some() {
            let detail = "\"file\" stands in the form twice; send one recording a request.";
            return Err(Problem::field(Code::InvalidField, "file", detail));
        }
        let size = match told(&self.form)?.or(head.length) {
            Some(told) => Size::Told(told),
            None => {
                let computed = multipart::size_of_last_part(self.length, first, &self.boundary, TAIL);
                Size::Computed(computed.unwrap_or(0))
            }
        };
        let file = Incoming::begin(self.app, self.caller, self.kind, &self.form, head.filename, size).await?;
        self.file = Some(file);
        Ok(())
    }
}

fn malformed(error: &Malformed) -> Problem {
    Problem::new(Code::MalformedBody, format!("The form cannot be read: {error}."))
}
