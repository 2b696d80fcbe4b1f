//! Recordings behind an address.

use super::answer::{self, Found};
use super::error::{MAX_REDIRECTS, SourceError};
use crate::outbound::{self, Reach, check_signed_url};
use bytes::{Bytes, BytesMut};
use reqwest::{Client, Response, StatusCode, Url, header};
use scriptorium_contracts::Timestamp;
use scriptorium_contracts::job::ChunkRange;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// For name, connection and encryption.
const CONNECT: Duration = Duration::from_secs(8);
/// For one request, up to the head of its answer; and for all redirections of one together.
const HEAD: Duration = Duration::from_secs(25);
/// The longest silence in the middle of a file.
const IDLE: Duration = Duration::from_secs(30);
/// Bytes a second that a chunk comes with at least, and the time that it has besides.
const MIN_RATE: u64 = 32 << 10;
const SLACK: Duration = Duration::from_secs(30);
/// No answer is read for longer, whatever its pace: the whole of the largest file at a usual one.
const WHOLE: Duration = Duration::from_secs(24 * 3_600);

#[derive(Clone, Debug)]
pub(super) struct Web {
    client: Client,
    reach: Reach,
}

impl Web {
    pub fn new(reach: Reach) -> Result<Self, reqwest::Error> {
        Ok(Self { client: outbound::client(reach, CONNECT, WHOLE)?, reach })
    }

    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// Asks for the first byte: not every address that can be read can also be asked by `HEAD`. Nothing of the body is read.
    pub async fn look(&self, url: &str, now: Timestamp) -> Result<Found, SourceError> {
        let response = self.get(url, Some(ChunkRange { first: 0, last: 0 })).await?;
        answer::found(response.status(), response.headers(), now)
    }

    /// A part of the file.
    pub async fn part(
        &self,
        url: &str,
        range: ChunkRange,
        of: &Found,
        now: Timestamp,
    ) -> Result<Bytes, SourceError> {
        let response = self.get(url, Some(range)).await?;
        answer::check_part(response.status(), response.headers(), range, of, now)?;
        let mut body = FileBody { response, rest: Bytes::new() };
        let bytes = body.take(range.size()).await?;
        body.end().await?;
        Ok(bytes)
    }

    /// All of the file, from its first byte on.
    pub async fn whole(&self, url: &str, of: &Found, now: Timestamp) -> Result<FileBody, SourceError> {
        let response = self.get(url, None).await?;
        answer::check_whole(response.status(), response.headers(), of, now)?;
        Ok(FileBody { response, rest: Bytes::new() })
    }

    /// Follows redirections; each address on the way is checked as the first one.
    async fn get(&self, url: &str, range: Option<ChunkRange>) -> Result<Response, SourceError> {
        let following = self.follow(check_signed_url(url, self.reach)?, range);
        timeout(HEAD, following).await.map_err(|_| SourceError::TimedOut)?
    }

    async fn follow(&self, mut url: Url, range: Option<ChunkRange>) -> Result<Response, SourceError> {
        for _ in 0..=MAX_REDIRECTS {
            let request = self.client.get(url.clone()).header(header::ACCEPT_ENCODING, "identity");
            let request = match range {
                Some(ChunkRange { first, last }) => {
                    request.header(header::RANGE, format!("bytes={first}-{last}"))
                }
                None => request,
            };
            let response = request.send().await?;
            if !is_redirection(response.status()) {
                return Ok(response);
            }
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| url.join(location).ok()).ok_or(SourceError::Redirects)?;
            url = check_signed_url(next.as_str(), self.reach)?;
        }
        Err(SourceError::Redirects)
    }
}

fn is_redirection(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// A file as it comes.
pub(super) struct FileBody {
    response: Response,
    /// Of the piece that came last.
    rest: Bytes,
}

impl FileBody {
    /// The next bytes: exactly so many.
    pub async fn take(&mut self, size: u64) -> Result<Bytes, SourceError> {
        let mut taken = BytesMut::with_capacity(usize::try_from(size).unwrap_or(0));
        self.read(size, |piece| taken.extend_from_slice(&piece)).await?;
        Ok(taken.freeze())
    }

    /// Passes over the next bytes.
    pub async fn skip(&mut self, size: u64) -> Result<(), SourceError> {
        self.read(size, drop).await
    }

    async fn read(&mut self, size: u64, mut take: impl FnMut(Bytes)) -> Result<(), SourceError> {
        let deadline = Instant::now() + SLACK + Duration::from_secs(size / MIN_RATE);
        let mut wanted = size;
        while wanted > 0 {
            if self.rest.is_empty() {
                self.rest = self.piece(deadline).await?.ok_or(SourceError::Broken)?;
            }
            let piece =
                self.rest.split_to(self.rest.len().min(usize::try_from(wanted).unwrap_or(usize::MAX)));
            wanted -= piece.len() as u64;
            take(piece);
        }
        Ok(())
    }

    async fn piece(&mut self, deadline: Instant) -> Result<Option<Bytes>, SourceError> {
        let until = deadline.min(Instant::now() + IDLE);
        Ok(timeout_at(until, self.response.chunk()).await.map_err(|_| SourceError::TimedOut)??)
    }

    /// Nothing may follow.
    pub async fn end(mut self) -> Result<(), SourceError> {
        let deadline = Instant::now() + IDLE;
        while self.rest.is_empty() {
            match self.piece(deadline).await? {
                None => return Ok(()),
                Some(piece) => self.rest = piece,
            }
        }
        Err(SourceError::OtherPart)
    }
}
