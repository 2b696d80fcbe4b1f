//! One recording through one server: upload and live stream side by side, then the transcript.

use super::display::Display;
use super::text::GrowingText;
use super::{Begun, Recording, TranscribeError};
use crate::args::{ChunkSize, TranscribeArgs};
use crate::client::events::Events;
use crate::client::source::Source;
use crate::client::upload::{Meter, Uploader};
use crate::client::wire::{Frame, NewFetch, NewUpload, Status, Upload};
use crate::client::{Api, ClientError};
use bytes::Bytes;
use scriptorium_contracts::JobId;
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::JobState;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks at how far the uploads are.
const TICK: Duration = Duration::from_millis(100);
/// An upload may fail because the job is over; the stream, which tells why, is given so long to say so.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Longest file name that servers take, in characters.
const MAX_NAME: usize = 255;

/// What the user waited for.
#[derive(Debug)]
pub struct Finished {
    /// In the form asked for.
    pub transcript: Bytes,
    /// Parts of the recording are missing.
    pub gaps: bool,
    pub took: Duration,
    /// Seconds of sound, where the server knows.
    pub audio: Option<f64>,
}

/// The end of a job.
#[derive(Debug)]
struct Ended {
    gaps: bool,
    audio: Option<f64>,
}

pub struct Session<'a> {
    pub api: &'a Api,
    pub recording: &'a Recording,
    pub args: &'a TranscribeArgs,
    pub display: &'a Display,
    /// Told the job, if it would go on without us.
    pub begun: Option<&'a Begun>,
}

impl Session<'_> {
    /// # Errors
    /// There is no transcript, and why.
    pub async fn run(&self, chunk_size: ChunkSize) -> Result<Finished, TranscribeError> {
        self.display.stage("starting the upload");
        let start = Instant::now();
        let (job, ended) = match self.recording {
            Recording::File(source) => self.uploaded(source, chunk_size).await?,
            Recording::Elsewhere(url) => self.fetched(url).await?,
        };
        let transcript = self.api.transcript(job, self.args.format).await?;
        Ok(Finished { transcript, gaps: ended.gaps, took: start.elapsed(), audio: ended.audio })
    }

    async fn uploaded(
        &self,
        source: &Source,
        chunk_size: ChunkSize,
    ) -> Result<(JobId, Ended), TranscribeError> {
        let upload = self.api.begin(&self.new_upload(source, chunk_size)).await?;
        let job = upload.parent_job_id;
        self.begun(job);
        self.display.begin(source.size(), upload.chunk_info.total_chunks);
        Ok((job, self.upload_and_follow(source, &upload).await?))
    }

    /// The server fetches the recording itself.
    async fn fetched(&self, url: &str) -> Result<(JobId, Ended), TranscribeError> {
        let new = NewFetch {
            source_url: url.to_owned(),
            language: self.args.language.clone(),
            word_timestamps: self.args.word_timestamps,
            use_cache: self.args.no_cache.then_some(false),
        };
        let job = self.api.fetch(&new).await?.id;
        self.begun(job);
        let Status { total_size, total_chunks, stream_url, .. } = self.api.status(job).await?;
        self.display.begin(total_size, total_chunks);
        let sent = |chunks: u32| {
            let bytes = u128::from(total_size) * u128::from(chunks) / u128::from(total_chunks.max(1));
            self.display.sent(u64::try_from(bytes).unwrap_or(total_size));
        };
        Ok((job, self.follow(job, &stream_url, sent).await?))
    }

    fn begun(&self, job: JobId) {
        if let Some(begun) = self.begun {
            // Set once, here only.
            drop(begun.set((self.api.clone(), job)));
        }
    }

    fn new_upload(&self, source: &Source, chunk_size: ChunkSize) -> NewUpload {
        let name: String =
            source.name().chars().map(|c| if c.is_control() { '_' } else { c }).take(MAX_NAME).collect();
        NewUpload {
            filename: name,
            total_size: source.size(),
            chunk_size_mb: match chunk_size {
                ChunkSize::Auto => Value::from("auto"),
                ChunkSize::Megabytes(megabytes) => Value::from(megabytes),
            },
            language: self.args.language.clone(),
            word_timestamps: self.args.word_timestamps,
            use_cache: self.args.no_cache.then_some(false),
        }
    }

    async fn upload_and_follow(&self, source: &Source, upload: &Upload) -> Result<Ended, TranscribeError> {
        let meter = Arc::new(Meter::default());
        let uploader =
            Uploader { api: self.api, source, job: upload.parent_job_id, meter: Arc::clone(&meter) };
        let uploads = uploader.all(upload, usize::from(self.args.parallel_uploads));
        // What is sent is known here better than there.
        let follow = self.follow(upload.parent_job_id, &upload.stream_url, |_| {});
        tokio::pin!(uploads, follow);
        let mut uploading = true;
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                uploaded = &mut uploads, if uploading => match uploaded {
                    Ok(()) => uploading = false,
                    Err(error) => {
                        let last_words = tokio::time::timeout(LAST_WORDS, &mut follow).await;
                        return last_words.unwrap_or(Err(error.into()));
                    }
                },
                ended = &mut follow => return ended,
                _ = ticks.tick() => {
                    self.display.sent(meter.bytes());
                    meter.take_notes().iter().for_each(|note| self.display.note(note));
                }
            }
        }
    }

    /// Reads the live stream to the job's end. `there` is told how many chunks the server has.
    async fn follow(
        &self,
        job: JobId,
        stream_url: &str,
        there: impl Fn(u32),
    ) -> Result<Ended, TranscribeError> {
        let mut events = Events::new(self.api, stream_url);
        let mut text = GrowingText::default();
        let mut audio = None;
        while let Some(frame) = events.next().await? {
            let grown = match frame {
                Frame::MediaInfo { media } => {
                    audio = media.duration_seconds;
                    self.display.media(&media);
                    false
                }
                Frame::ProgressUpdate { uploaded_chunks, completed_chunks, .. } => {
                    there(uploaded_chunks);
                    self.display.completed(completed_chunks);
                    false
                }
                Frame::ChunkComplete { chunk_index, text: piece, language } => {
                    text.add(chunk_index, piece, language)
                }
                Frame::ChunkFailed { chunk_index, error, will_retry } => {
                    let next = if will_retry { "it is tried again" } else { "it stays a gap" };
                    self.display.note(&format!("part {} failed, {next}: {}", chunk_index + 1, error.detail));
                    !will_retry && text.add_gap(chunk_index)
                }
                Frame::FinalResult { status } => return ended(status, audio),
                Frame::JobFailed { error } => return Err(TranscribeError::JobFailed(error)),
                Frame::Cancelled { reason } => return Err(TranscribeError::CancelledElsewhere(reason)),
                Frame::Expired {} => return Err(TranscribeError::Expired),
                Frame::Initialized { .. } | Frame::Other => false,
            };
            if grown {
                self.display.text(text.beginning());
            }
        }
        self.ended_unseen(job, audio).await
    }

    /// The stream has ended without the last frame: the status knows.
    async fn ended_unseen(&self, job: JobId, audio: Option<f64>) -> Result<Ended, TranscribeError> {
        ended(self.api.status(job).await?.status, audio)
    }
}

fn ended(state: JobState, audio: Option<f64>) -> Result<Ended, TranscribeError> {
    match state {
        JobState::Completed => Ok(Ended { gaps: false, audio }),
        JobState::CompletedWithErrors => Ok(Ended { gaps: true, audio }),
        JobState::Failed => Err(TranscribeError::JobFailed(Failure::new(
            FailureCode::Internal,
            "The job failed; the status of the job on the server has the reason.",
        ))),
        JobState::Cancelled => Err(TranscribeError::CancelledElsewhere("no reason given".to_owned())),
        JobState::Expired => Err(TranscribeError::Expired),
        JobState::Created | JobState::Uploading | JobState::Processing | JobState::Assembling => {
            Err(ClientError::Unexpected("its live stream has ended before the job".to_owned()).into())
        }
    }
}
