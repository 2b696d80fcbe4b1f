//! The operations of S3 on [`Files`]: what is asked for is checked here, what blocks is done elsewhere.

use std::io::{self, Seek, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use http::StatusCode;
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag,
    ETagCondition, Error, GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput,
    HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, Object, PutObjectInput,
    PutObjectOutput, StreamingBlob, Timestamp,
};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, TrailingHeaders, s3_error};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::digest::Declared;
use super::files::{Files, Found};
use super::footer::{ContentType, Footer};
use super::guard::{MAX_OBJECT, too_large};
use super::incoming::Incoming;
use super::keys::{Key, MAX_KEY};
use super::listing::Listed;

/// Bytes that one upload or download holds in memory.
const PIECE: usize = 256 * 1024;
/// Objects on one page of a listing, and in one deletion (S3's limits).
const MAX_PAGE: i32 = 1000;

pub struct Backend {
    pub files: Arc<Files>,
    pub bucket: String,
    /// A client that sends nothing for so long is given up.
    pub idle: Duration,
}

impl Backend {
    fn check_bucket(&self, bucket: &str) -> S3Result<()> {
        if bucket == self.bucket { Ok(()) } else { Err(s3_error!(NoSuchBucket)) }
    }

    fn key(&self, bucket: &str, key: &str) -> S3Result<Key> {
        self.check_bucket(bucket)?;
        parse_key(key)
    }

    /// Runs what blocks on a thread for that. It runs to its end even when the request goes away.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Files) -> io::Result<T> + Send + 'static,
    ) -> S3Result<T> {
        let files = Arc::clone(&self.files);
        let work = move || work(&files).map_err(disk_error);
        // No result only while the runtime shuts down (or a defect made it panic, which is told where it happens).
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(s3_error!(InternalError)))
    }

    async fn find(&self, bucket: &str, key: &str) -> S3Result<Found> {
        let key = self.key(bucket, key)?;
        let found = self.blocking(move |files| files.find(&key)).await?;
        found.ok_or_else(|| s3_error!(NoSuchKey))
    }

    /// Streams the body into a file that nobody sees yet.
    async fn receive(&self, mut body: StreamingBlob, length: u64, declared: &Declared) -> S3Result<Incoming> {
        let checksums = declared.hasher();
        let mut incoming = self.blocking(move |files| files.receive(checksums)).await?;
        let mut buffer = Vec::with_capacity(PIECE.min(usize::try_from(length).unwrap_or(PIECE)));
        let mut received = 0;
        loop {
            let piece = match tokio::time::timeout(self.idle, body.next()).await {
                Ok(Some(Ok(piece))) => piece,
                // The client went away, or what it sent does not match its own signature or framing.
                Ok(Some(Err(_))) => return Err(s3_error!(IncompleteBody)),
                Ok(None) => break,
                Err(_) => return Err(s3_error!(RequestTimeout, "no bytes came for too long")),
            };
            received += piece.len() as u64;
            if received > length {
                return Err(s3_error!(InvalidRequest, "the body is longer than its declared length"));
            }
            buffer.extend_from_slice(&piece);
            if buffer.len() >= PIECE {
                (incoming, buffer) = self.append(incoming, buffer).await?;
            }
        }
        if received < length {
            return Err(s3_error!(IncompleteBody));
        }
        Ok(self.append(incoming, buffer).await?.0)
    }

    async fn append(&self, mut incoming: Incoming, mut buffer: Vec<u8>) -> S3Result<(Incoming, Vec<u8>)> {
        let append = move |_: &Files| {
            incoming.write(&buffer)?;
            buffer.clear();
            Ok((incoming, buffer))
        };
        self.blocking(append).await
    }

    async fn commit(
        &self,
        key: Key,
        incoming: Incoming,
        content_type: ContentType,
        declared: Declared,
        trailers: Option<&TrailingHeaders>,
    ) -> S3Result<Footer> {
        let (unsynced, sums) = incoming.sums();
        declared.check(&unsynced.md5, &sums, trailers)?;
        let commit = move |files: &Files| {
            let received = unsynced.sync(content_type)?;
            let footer = received.footer.clone();
            files.commit(received, &key)?;
            Ok(footer)
        };
        self.blocking(commit).await
    }
}

#[async_trait::async_trait]
impl S3 for Backend {
    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = req.input;
        let key = self.key(&input.bucket, &input.key)?;
        refuse_what_put_does_not_do(&input)?;
        let content_type = ContentType::parse(input.content_type.as_deref())
            .ok_or_else(|| s3_error!(InvalidArgument, "the content type is too long or not printable"))?;
        let length = input.content_length.and_then(|length| u64::try_from(length).ok());
        let length = length.ok_or(S3ErrorCode::MissingContentLength)?;
        if length > MAX_OBJECT {
            return Err(too_large());
        }
        let declared = Declared::of(&input, &req.headers);
        let body = input.body.ok_or(S3ErrorCode::IncompleteBody)?;
        let incoming = self.receive(body, length, &declared).await?;
        let footer =
            self.commit(key, incoming, content_type, declared, req.trailing_headers.as_ref()).await?;
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(etag(&footer)), ..PutObjectOutput::default() }))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        let Found { mut file, footer, modified } = self.find(&input.bucket, &input.key).await?;
        check_conditions(&footer, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let part = input.range.map(|range| range.check(footer.length)).transpose()?;
        let content_range =
            part.as_ref().map(|part| format!("bytes {}-{}/{}", part.start, part.end - 1, footer.length));
        let part = part.unwrap_or(0..footer.length);
        let length = part.end - part.start;
        let start = part.start;
        let file = self.blocking(move |_| file.seek(SeekFrom::Start(start)).map(|_| file)).await?;
        let bytes = tokio::fs::File::from_std(file).take(length);
        let body = StreamingBlob::wrap(ReaderStream::with_capacity(bytes, PIECE));
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(body),
            content_length: Some(signed(length)),
            content_range,
            content_type: Some(footer.content_type.as_str().to_owned()),
            e_tag: Some(etag(&footer)),
            last_modified: Some(Timestamp::from(modified)),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = req.input;
        let Found { footer, modified, .. } = self.find(&input.bucket, &input.key).await?;
        check_conditions(&footer, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(signed(footer.length)),
            content_type: Some(footer.content_type.as_str().to_owned()),
            e_tag: Some(etag(&footer)),
            last_modified: Some(Timestamp::from(modified)),
            ..HeadObjectOutput::default()
        }))
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let key = self.key(&req.input.bucket, &req.input.key)?;
        self.blocking(move |files| files.remove(&[key])).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let DeleteObjectsInput { bucket, delete, .. } = req.input;
        self.check_bucket(&bucket)?;
        if delete.objects.len() > MAX_PAGE as usize {
            return Err(s3_error!(MalformedXML, "too many keys in one request"));
        }
        let (mut keys, mut errors) = (Vec::new(), Vec::new());
        for object in delete.objects {
            match parse_key(&object.key) {
                Ok(key) => keys.push(key),
                Err(_) => errors.push(Error {
                    code: Some("InvalidArgument".to_owned()),
                    key: Some(object.key),
                    ..Error::default()
                }),
            }
        }
        let named =
            |key: &Key| DeletedObject { key: Some(key.as_str().to_owned()), ..DeletedObject::default() };
        let deleted = (!delete.quiet.unwrap_or(false)).then(|| keys.iter().map(named).collect());
        self.blocking(move |files| files.remove(&keys)).await?;
        let errors = (!errors.is_empty()).then_some(errors);
        Ok(S3Response::new(DeleteObjectsOutput { deleted, errors, ..DeleteObjectsOutput::default() }))
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = req.input;
        self.check_bucket(&input.bucket)?;
        if input.delimiter.is_some() {
            return Err(s3_error!(NotImplemented, "listing by delimiter"));
        }
        let limit = input.max_keys.unwrap_or(MAX_PAGE).clamp(0, MAX_PAGE);
        let prefix = input.prefix.clone().unwrap_or_default();
        // The token is the last key of the page before.
        let after =
            input.continuation_token.clone().or_else(|| input.start_after.clone()).unwrap_or_default();
        if prefix.len() > MAX_KEY || after.len() > MAX_KEY {
            return Err(S3ErrorCode::KeyTooLongError.into());
        }
        let page = self.blocking(move |files| files.list(&prefix, &after, limit as usize)).await?;
        let next = if page.more { page.objects.last().map(|object| object.key.clone()) } else { None };
        let contents: Vec<Object> = page.objects.into_iter().map(listed).collect();
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: input.prefix,
            max_keys: Some(limit),
            key_count: i32::try_from(contents.len()).ok(),
            is_truncated: Some(page.more),
            continuation_token: input.continuation_token,
            next_continuation_token: next,
            start_after: input.start_after,
            // Keys hold nothing that would be written otherwise in a URL.
            encoding_type: input.encoding_type,
            contents: Some(contents),
            ..ListObjectsV2Output::default()
        }))
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.check_bucket(&req.input.bucket)?;
        self.blocking(Files::check).await?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }
}

fn listed(object: Listed) -> Object {
    Object {
        key: Some(object.key),
        size: Some(signed(object.size)),
        last_modified: Some(Timestamp::from(object.modified)),
        ..Object::default()
    }
}

fn parse_key(key: &str) -> S3Result<Key> {
    Key::parse(key).ok_or_else(|| s3_error!(InvalidArgument, "the key is not one of this store's"))
}

/// What would change the outcome if it were passed over in silence.
fn refuse_what_put_does_not_do(input: &PutObjectInput) -> S3Result<()> {
    let conditional = input.if_match.is_some() || input.if_none_match.is_some();
    let encrypted = input.server_side_encryption.is_some() || input.sse_customer_algorithm.is_some();
    if conditional || encrypted || input.write_offset_bytes.is_some() {
        return Err(s3_error!(NotImplemented, "conditional, encrypted or appending writes"));
    }
    Ok(())
}

fn check_conditions(
    footer: &Footer,
    matches: Option<&ETagCondition>,
    none_matches: Option<&ETagCondition>,
) -> S3Result<()> {
    let etag = etag(footer);
    if matches.and_then(ETagCondition::as_etag).is_some_and(|wanted| !wanted.strong_cmp(&etag)) {
        return Err(s3_error!(PreconditionFailed));
    }
    if none_matches.is_some_and(|known| known.as_etag().is_none_or(|known| known.weak_cmp(&etag))) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

fn etag(footer: &Footer) -> ETag {
    ETag::Strong(hex::encode(footer.md5))
}

/// S3's lengths are signed; ours never come near the border.
fn signed(length: u64) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// Logged here, on the blocking thread: beyond this point only a status goes out, and s3s runs without a log.
fn disk_error(error: io::Error) -> S3Error {
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        tracing::error!(%error, "the disk of the object store is full: uploads are refused until there is room");
        let mut full = S3Error::with_message(
            S3ErrorCode::Custom("StorageFull".into()),
            "no room is left; try again later",
        );
        full.set_status_code(StatusCode::INSUFFICIENT_STORAGE);
        return full;
    }
    tracing::error!(%error, "the disk of the object store fails");
    s3_error!(InternalError)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::{Stream, stream};

    use super::*;

    type Piece = io::Result<Bytes>;

    /// What becomes of a body that is declared with 8 bytes.
    async fn outcome(body: impl Stream<Item = Piece> + Send + Sync + 'static) -> (Result<(), String>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let files = Arc::new(Files::open(folder.path(), "bucket").unwrap());
        let backend = Backend { files, bucket: "bucket".to_owned(), idle: Duration::from_millis(50) };
        let declared = Declared::of(&PutObjectInput::default(), &http::HeaderMap::new());
        let received = backend.receive(StreamingBlob::wrap(body), 8, &declared).await;
        let received = received.map(drop).map_err(|error| error.code().as_str().to_owned());
        let left = std::fs::read_dir(folder.path().join("incoming")).unwrap().count();
        (received, left)
    }

    fn four() -> Piece {
        Ok(Bytes::from_static(b"four"))
    }

    #[tokio::test]
    async fn a_body_has_its_declared_length_or_leaves_nothing() {
        let refused = |code: &str| (Err(code.to_owned()), 0);
        assert_eq!(outcome(stream::iter([four(), four()])).await, (Ok(()), 0));
        assert_eq!(outcome(stream::iter([four()])).await, refused("IncompleteBody"));
        assert_eq!(outcome(stream::iter([four(), four(), four()])).await, refused("InvalidRequest"));
        let broken = [four(), Err(io::Error::from(io::ErrorKind::ConnectionReset))];
        assert_eq!(outcome(stream::iter(broken)).await, refused("IncompleteBody"));
    }

    #[tokio::test]
    async fn a_client_that_stalls_is_given_up() {
        let stalled = stream::iter([four()]).chain(stream::pending());
        assert_eq!(outcome(stalled).await, (Err("RequestTimeout".to_owned()), 0));
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            let error = disk_error(io::Error::from(kind));
            assert_eq!(error.status_code(), Some(StatusCode::INSUFFICIENT_STORAGE));
            assert_eq!(error.code().as_str(), "StorageFull");
        }
        let error = disk_error(io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(error.status_code(), Some(StatusCode::INTERNAL_SERVER_ERROR));
    }
}
