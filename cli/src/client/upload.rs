//! Uploads a recording's chunks: several at once, each until it is there or there is no hope.

use super::source::Source;
use super::wire::{Upload, UploadUrl};
use super::{Api, ClientError};
use backon::BackoffBuilder;
use futures::StreamExt;
use futures::future::try_join_all;
use scriptorium_contracts::JobId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex as AsyncMutex;

/// Fresh URLs that are asked for at once.
const PAGE: usize = 500;
/// Notes that nobody has read yet.
const MAX_NOTES: usize = 100;

/// How far the uploads are; read by whoever shows it.
#[derive(Debug, Default)]
pub struct Meter(Mutex<Readings>);

#[derive(Debug, Default)]
struct Readings {
    /// Bytes of chunks that are there.
    done: u64,
    /// Bytes that the present try of each chunk has sent.
    under_way: BTreeMap<u32, Arc<AtomicU64>>,
    notes: VecDeque<String>,
}

impl Meter {
    /// Bytes of the recording that are sent.
    pub fn bytes(&self) -> u64 {
        let readings = self.lock();
        readings.done + readings.under_way.values().map(|sent| sent.load(Ordering::Relaxed)).sum::<u64>()
    }

    /// What the user may want to know: troubles that are being dealt with.
    pub fn take_notes(&self) -> Vec<String> {
        self.lock().notes.drain(..).collect()
    }

    fn note(&self, note: String) {
        let mut readings = self.lock();
        if readings.notes.len() < MAX_NOTES {
            readings.notes.push_back(note);
        }
    }

    /// A new try of a chunk; what the last one sent does not count any more.
    fn begin(&self, chunk: u32) -> Arc<AtomicU64> {
        let sent = Arc::new(AtomicU64::new(0));
        self.lock().under_way.insert(chunk, Arc::clone(&sent));
        sent
    }

    /// The end of a try, with the bytes that count.
    fn end(&self, chunk: u32, bytes: u64) {
        let mut readings = self.lock();
        readings.under_way.remove(&chunk);
        readings.done += bytes;
    }

    fn lock(&self) -> MutexGuard<'_, Readings> {
        // Nothing in here panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is still to be uploaded, in the advised order.
struct Order {
    chunks: VecDeque<u32>,
    urls: BTreeMap<u32, UploadUrl>,
}

impl Order {
    fn new(upload: &Upload) -> Self {
        let first: Vec<u32> = upload.upload_urls.iter().map(|url| url.chunk_index).collect();
        let known: BTreeSet<u32> = first.iter().copied().collect();
        let rest = (0..upload.chunk_info.total_chunks).filter(|chunk| !known.contains(chunk));
        let urls = upload.upload_urls.iter().map(|url| (url.chunk_index, url.clone())).collect();
        Self { chunks: first.into_iter().chain(rest).collect(), urls }
    }

    /// Puts a chunk first, if it has not been begun.
    fn advise(&mut self, chunk: u32) {
        if let Some(at) = self.chunks.iter().position(|waiting| *waiting == chunk) {
            self.chunks.remove(at);
            self.chunks.push_front(chunk);
        }
    }

    /// The chunk and the ones after it that have no URL yet, one page of them.
    fn page(&self, chunk: u32) -> Vec<u32> {
        let without = self.chunks.iter().copied().filter(|waiting| !self.urls.contains_key(waiting));
        std::iter::once(chunk).chain(without).take(PAGE).collect()
    }
}

/// Uploads one recording to one job.
pub struct Uploader<'a> {
    pub api: &'a Api,
    pub source: &'a Source,
    pub job: JobId,
    pub meter: Arc<Meter>,
}

impl Uploader<'_> {
    /// All chunks of a new upload, `parallel` at once, in the order that the server advises.
    ///
    /// # Errors
    /// One chunk cannot be uploaded, or the file is not what it was.
    pub async fn all(&self, upload: &Upload, parallel: usize) -> Result<(), ClientError> {
        let order = &AsyncMutex::new(Order::new(upload));
        let hands = (0..parallel.max(1)).map(|_| async move {
            while let Some(url) = self.next(order).await? {
                if let Some(advised) = self.chunk(url).await? {
                    order.lock().await.advise(advised);
                }
            }
            Ok::<(), ClientError>(())
        });
        try_join_all(hands).await?;
        self.source.unchanged().await?;
        Ok(())
    }

    /// The next chunk's URL. Those that did not fit into the first reply are fetched when their turn comes.
    async fn next(&self, order: &AsyncMutex<Order>) -> Result<Option<UploadUrl>, ClientError> {
        let mut order = order.lock().await;
        while let Some(chunk) = order.chunks.pop_front() {
            if !order.urls.contains_key(&chunk) {
                let page = order.page(chunk);
                let fresh = self.fresh(&page).await?;
                order.urls.extend(fresh.into_iter().map(|url| (url.chunk_index, url)));
            }
            // One without a URL has arrived already.
            if let Some(url) = order.urls.remove(&chunk) {
                return Ok(Some(url));
            }
        }
        Ok(None)
    }

    /// Fresh URLs for those of the chunks that have not arrived.
    async fn fresh(&self, chunks: &[u32]) -> Result<Vec<UploadUrl>, ClientError> {
        let fresh = self.api.fresh_urls(self.job, chunks).await?;
        let mut urls = fresh.upload_urls;
        urls.retain(|url| chunks.contains(&url.chunk_index));
        let known: BTreeSet<u32> =
            urls.iter().map(|url| url.chunk_index).chain(fresh.uploaded_chunks).collect();
        match chunks.iter().find(|chunk| !known.contains(chunk)) {
            None => Ok(urls),
            Some(chunk) => Err(ClientError::Unexpected(format!("no upload URL for chunk {chunk}"))),
        }
    }

    /// Uploads one chunk and tells the server; tries again what may pass, with a fresh URL where the old one is refused.
    /// Returns the chunk that the server wants next.
    async fn chunk(&self, mut url: UploadUrl) -> Result<Option<u32>, ClientError> {
        let mut delays = self.api.patience.delays().build();
        let mut refused_before = false;
        loop {
            let error = match self.put_and_tell(&url).await {
                Ok(advised) => return Ok(advised),
                Err(error) => error,
            };
            let refused = matches!(error, ClientError::Refused { status: 403, .. });
            let again = error.retryable()
                || matches!(error.code(), "chunk_not_uploaded" | "size_mismatch")
                // Expired. A fresh URL that is refused too has another reason.
                || (refused && !refused_before);
            let Some(delay) = delays.next().filter(|_| again) else { return Err(error) };
            refused_before = refused;
            if refused {
                match self.fresh(&[url.chunk_index]).await?.pop() {
                    Some(fresh) => url = fresh,
                    // It had arrived, only the answer was lost.
                    None => {
                        self.meter.end(url.chunk_index, url.expected_size);
                        return Ok(None);
                    }
                }
            } else {
                self.meter.note(format!("part {} is sent again: {error}", url.chunk_index + 1));
                tokio::time::sleep(error.retry_after().map_or(delay, |asked| asked.max(delay))).await;
            }
        }
    }

    async fn put_and_tell(&self, url: &UploadUrl) -> Result<Option<u32>, ClientError> {
        let (first, size) = checked_range(url, self.source.size())?;
        let sent = self.meter.begin(url.chunk_index);
        let outcome = async {
            self.put(url, first, size, &sent).await?;
            self.source.unchanged().await?;
            self.api.uploaded(self.job, url.chunk_index, size).await
        };
        let outcome = outcome.await;
        self.meter.end(url.chunk_index, if outcome.is_ok() { size } else { 0 });
        outcome
    }

    async fn put(
        &self,
        url: &UploadUrl,
        first: u64,
        size: u64,
        sent: &Arc<AtomicU64>,
    ) -> Result<(), ClientError> {
        let blocks = self.source.read(first, size).await?;
        let (counter, failure) = (Arc::clone(sent), Arc::new(OnceLock::new()));
        let keep = Arc::clone(&failure);
        let body = reqwest::Body::wrap_stream(blocks.inspect(move |block| match block {
            Ok(block) => drop(counter.fetch_add(block.len() as u64, Ordering::Relaxed)),
            Err(error) => drop(keep.set(error.kind())),
        }));
        let outcome = tokio::select! {
            outcome = self.api.put(&url.upload_url, size, body) => outcome,
            () = stalled(sent, self.api.patience.stall) => Err(ClientError::Unreachable {
                url: without_query(&url.upload_url),
                reason: format!("nothing moved for {} s", self.api.patience.stall.as_secs_f64()),
            }),
        };
        if outcome.is_err() {
            // The file may be the reason: read error, or shorter than it was. Then no server helps.
            if let Some(kind) = failure.get() {
                return Err(self.source.unreadable((*kind).into()).into());
            }
            self.source.unchanged().await?;
        }
        outcome
    }
}

/// Returns when the counter has stood still for `patience`.
async fn stalled(counter: &AtomicU64, patience: Duration) {
    loop {
        let before = counter.load(Ordering::Relaxed);
        tokio::time::sleep(patience).await;
        if counter.load(Ordering::Relaxed) == before {
            return;
        }
    }
}

/// First byte and size, as far as they make sense for this file.
fn checked_range(url: &UploadUrl, total: u64) -> Result<(u64, u64), ClientError> {
    let [first, last] = url.byte_range;
    let size = last.checked_sub(first).and_then(|distance| distance.checked_add(1));
    match size {
        Some(size) if last < total && size == url.expected_size => Ok((first, size)),
        Some(_) | None => Err(ClientError::Unexpected(format!(
            "chunk {} is said to be bytes {first} to {last} ({} bytes) of {total}",
            url.chunk_index, url.expected_size
        ))),
    }
}

fn without_query(url: &str) -> String {
    url.split('?').next().unwrap_or(url).to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ranges_must_make_sense() {
        let url = |first: u64, last: u64, expected_size: u64| UploadUrl {
            chunk_index: 0,
            upload_url: String::new(),
            expected_size,
            byte_range: [first, last],
        };
        assert_eq!(checked_range(&url(10, 19, 10), 20).unwrap(), (10, 10));
        assert_eq!(checked_range(&url(0, 0, 1), 1).unwrap(), (0, 1));
        for bad in [url(10, 20, 11), url(10, 19, 9), url(10, 9, 0), url(0, u64::MAX, 0)] {
            assert!(checked_range(&bad, 20).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_try_that_failed_does_not_count() {
        let meter = Meter::default();
        let first = meter.begin(0);
        first.store(7, Ordering::Relaxed);
        meter.begin(1).store(5, Ordering::Relaxed);
        assert_eq!(meter.bytes(), 12);
        meter.end(0, 0);
        let second = meter.begin(0);
        // A connection that is still being closed.
        first.store(9, Ordering::Relaxed);
        second.store(2, Ordering::Relaxed);
        assert_eq!(meter.bytes(), 7);
        meter.end(0, 10);
        meter.end(1, 0);
        assert_eq!(meter.bytes(), 10);
    }
}
