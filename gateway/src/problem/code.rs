//! The names of everything that can go wrong over HTTP. Clients match on them: they never change their meaning.

use http::StatusCode;

/// Stable name of a problem; `snake_case` on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    MalformedJson,
    MalformedBody,
    MalformedQuery,
    InvalidJobId,
    InvalidHost,
    InvalidIdempotencyKey,
    InvalidCursor,
    UnknownField,
    MissingField,
    InvalidField,
    NotSupportedYet,
    WebhooksNotConfigured,
    SourcesNotConfigured,
    SourceUnusable,
    SourceUnreachable,
    LlmNotConfigured,
    FileTooSmall,
    ChunkOutOfRange,
    FieldAfterFile,
    LengthMismatch,
    IdempotencyKeyReused,
    FileTooLarge,
    LengthRequired,
    BodyTooLarge,
    UnsupportedContentType,
    RequestTimeout,
    RouteNotFound,
    MethodNotAllowed,
    JobNotFound,
    NoTranscript,
    WebhookNotFound,
    EditNotFound,
    NotAcceptable,
    ChunkNotUploaded,
    SizeMismatch,
    JobOver,
    ChunkReleased,
    TranscriptNotReady,
    TranscriptTooLarge,
    TooManyStreams,
    TooManyUploads,
    Unauthorized,
    StorageQuotaExceeded,
    ForeignHost,
    ForeignOrigin,
    RateLimited,
    TooManyJobs,
    AudioQuotaExceeded,
    ServiceUnavailable,
    Internal,
}

impl Code {
    /// All of them, for the pages and their test.
    pub const ALL: [Self; 50] = [
        Self::MalformedJson,
        Self::MalformedBody,
        Self::MalformedQuery,
        Self::InvalidJobId,
        Self::InvalidHost,
        Self::InvalidIdempotencyKey,
        Self::InvalidCursor,
        Self::UnknownField,
        Self::MissingField,
        Self::InvalidField,
        Self::NotSupportedYet,
        Self::WebhooksNotConfigured,
        Self::SourcesNotConfigured,
        Self::SourceUnusable,
        Self::SourceUnreachable,
        Self::LlmNotConfigured,
        Self::FileTooSmall,
        Self::ChunkOutOfRange,
        Self::FieldAfterFile,
        Self::LengthMismatch,
        Self::IdempotencyKeyReused,
        Self::FileTooLarge,
        Self::LengthRequired,
        Self::BodyTooLarge,
        Self::UnsupportedContentType,
        Self::RequestTimeout,
        Self::RouteNotFound,
        Self::MethodNotAllowed,
        Self::JobNotFound,
        Self::NoTranscript,
        Self::WebhookNotFound,
        Self::EditNotFound,
        Self::NotAcceptable,
        Self::ChunkNotUploaded,
        Self::SizeMismatch,
        Self::JobOver,
        Self::ChunkReleased,
        Self::TranscriptNotReady,
        Self::TranscriptTooLarge,
        Self::TooManyStreams,
        Self::TooManyUploads,
        Self::Unauthorized,
        Self::StorageQuotaExceeded,
        Self::ForeignHost,
        Self::ForeignOrigin,
        Self::RateLimited,
        Self::TooManyJobs,
        Self::AudioQuotaExceeded,
        Self::ServiceUnavailable,
        Self::Internal,
    ];

    /// Name on the wire and of the page `docs/errors/{name}.md`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::MalformedBody => "malformed_body",
            Self::MalformedQuery => "malformed_query",
            Self::InvalidJobId => "invalid_job_id",
            Self::InvalidHost => "invalid_host",
            Self::InvalidIdempotencyKey => "invalid_idempotency_key",
            Self::InvalidCursor => "invalid_cursor",
            Self::UnknownField => "unknown_field",
            Self::MissingField => "missing_field",
            Self::InvalidField => "invalid_field",
            Self::NotSupportedYet => "not_supported_yet",
            Self::WebhooksNotConfigured => "webhooks_not_configured",
            Self::SourcesNotConfigured => "sources_not_configured",
            Self::SourceUnusable => "source_unusable",
            Self::SourceUnreachable => "source_unreachable",
            Self::LlmNotConfigured => "llm_not_configured",
            Self::FileTooSmall => "file_too_small",
            Self::ChunkOutOfRange => "chunk_out_of_range",
            Self::FieldAfterFile => "field_after_file",
            Self::LengthMismatch => "length_mismatch",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::FileTooLarge => "file_too_large",
            Self::LengthRequired => "length_required",
            Self::BodyTooLarge => "body_too_large",
            Self::UnsupportedContentType => "unsupported_content_type",
            Self::RequestTimeout => "request_timeout",
            Self::RouteNotFound => "route_not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::JobNotFound => "job_not_found",
            Self::NoTranscript => "no_transcript",
            Self::WebhookNotFound => "webhook_not_found",
            Self::EditNotFound => "edit_not_found",
            Self::NotAcceptable => "not_acceptable",
            Self::ChunkNotUploaded => "chunk_not_uploaded",
            Self::SizeMismatch => "size_mismatch",
            Self::JobOver => "job_over",
            Self::ChunkReleased => "chunk_released",
            Self::TranscriptNotReady => "transcript_not_ready",
            Self::TranscriptTooLarge => "transcript_too_large",
            Self::TooManyStreams => "too_many_streams",
            Self::TooManyUploads => "too_many_uploads",
            Self::Unauthorized => "unauthorized",
            Self::StorageQuotaExceeded => "storage_quota_exceeded",
            Self::ForeignHost => "foreign_host",
            Self::ForeignOrigin => "foreign_origin",
            Self::RateLimited => "rate_limited",
            Self::TooManyJobs => "too_many_jobs",
            Self::AudioQuotaExceeded => "audio_quota_exceeded",
            Self::ServiceUnavailable => "service_unavailable",
            Self::Internal => "internal",
        }
    }

    /// The only place where a status is chosen for an error.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::MalformedJson
            | Self::MalformedBody
            | Self::MalformedQuery
            | Self::InvalidJobId
            | Self::InvalidHost
            | Self::InvalidIdempotencyKey
            | Self::InvalidCursor => StatusCode::BAD_REQUEST,
            Self::UnknownField
            | Self::MissingField
            | Self::InvalidField
            | Self::NotSupportedYet
            | Self::WebhooksNotConfigured
            | Self::SourcesNotConfigured
            | Self::SourceUnusable
            | Self::SourceUnreachable
            | Self::LlmNotConfigured
            | Self::FileTooSmall
            | Self::ChunkOutOfRange
            | Self::FieldAfterFile
            | Self::LengthMismatch
            | Self::IdempotencyKeyReused
            | Self::TranscriptTooLarge => StatusCode::UNPROCESSABLE_ENTITY,
            Self::FileTooLarge | Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::LengthRequired => StatusCode::LENGTH_REQUIRED,
            Self::UnsupportedContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::StorageQuotaExceeded => StatusCode::FORBIDDEN,
            Self::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
            Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::RateLimited | Self::TooManyJobs | Self::AudioQuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
            Self::RouteNotFound
            | Self::JobNotFound
            | Self::NoTranscript
            | Self::WebhookNotFound
            | Self::EditNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::ChunkNotUploaded
            | Self::SizeMismatch
            | Self::JobOver
            | Self::ChunkReleased
            | Self::TranscriptNotReady => StatusCode::CONFLICT,
            Self::TooManyStreams | Self::TooManyUploads | Self::ServiceUnavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// One short sentence, the same for every occurrence.
    pub const fn title(self) -> &'static str {
        match self {
            Self::MalformedJson => "The body is not JSON",
            Self::MalformedBody => "The body could not be read",
            Self::MalformedQuery => "The query could not be read",
            Self::InvalidJobId => "This is not a job id",
            Self::InvalidHost => "The Host header could not be read",
            Self::InvalidIdempotencyKey => "The Idempotency-Key could not be used",
            Self::InvalidCursor => "The cursor could not be used",
            Self::UnknownField => "The body has an unknown field",
            Self::MissingField => "The body lacks a field",
            Self::InvalidField => "A field has a value that cannot be used",
            Self::NotSupportedYet => "This version cannot do that",
            Self::WebhooksNotConfigured => "This server sends no webhooks",
            Self::SourcesNotConfigured => "This server fetches no recordings from there",
            Self::SourceUnusable => "The recording cannot be fetched",
            Self::SourceUnreachable => "The recording cannot be fetched now",
            Self::LlmNotConfigured => "This server has no language model",
            Self::FileTooSmall => "The recording is too small for a chunked upload",
            Self::ChunkOutOfRange => "The job has no such chunk",
            Self::FieldAfterFile => "A field comes after the file",
            Self::LengthMismatch => "The file has another size than was told",
            Self::IdempotencyKeyReused => "The Idempotency-Key was used for another request",
            Self::FileTooLarge => "The recording is too large",
            Self::LengthRequired => "The request does not tell its length",
            Self::BodyTooLarge => "The body is too large",
            Self::UnsupportedContentType => "The body is declared as something else",
            Self::RequestTimeout => "The body did not come in time",
            Self::RouteNotFound => "There is nothing at this address",
            Self::MethodNotAllowed => "This address does not take this method",
            Self::JobNotFound => "There is no such job",
            Self::NoTranscript => "The job has no transcript",
            Self::WebhookNotFound => "The job has no such webhook message",
            Self::EditNotFound => "The transcript has no such edit",
            Self::NotAcceptable => "There is no such form of it",
            Self::ChunkNotUploaded => "The chunk is not uploaded yet",
            Self::SizeMismatch => "The chunk has a wrong size",
            Self::JobOver => "The job is over",
            Self::ChunkReleased => "The chunk's bytes are deleted",
            Self::TranscriptNotReady => "The transcript is not ready yet",
            Self::TranscriptTooLarge => "The transcript is too large for this format",
            Self::TooManyStreams => "Too many live streams",
            Self::TooManyUploads => "Too many recordings at once",
            Self::Unauthorized => "The caller is not known",
            Self::StorageQuotaExceeded => "The recordings take up too much storage",
            Self::ForeignHost => "The host is none of this server",
            Self::ForeignOrigin => "The page is of another origin",
            Self::RateLimited => "Too many requests",
            Self::TooManyJobs => "Too many jobs at once",
            Self::AudioQuotaExceeded => "The day's minutes of audio are used up",
            Self::ServiceUnavailable => "A part of the service does not answer",
            Self::Internal => "Something went wrong inside",
        }
    }

    /// The code's page, as Markdown.
    pub const fn page(self) -> &'static str {
        match self {
            Self::MalformedJson => include_str!("../../../docs/errors/malformed_json.md"),
            Self::MalformedBody => include_str!("../../../docs/errors/malformed_body.md"),
            Self::MalformedQuery => include_str!("../../../docs/errors/malformed_query.md"),
            Self::InvalidJobId => include_str!("../../../docs/errors/invalid_job_id.md"),
            Self::InvalidHost => include_str!("../../../docs/errors/invalid_host.md"),
            Self::InvalidIdempotencyKey => include_str!("../../../docs/errors/invalid_idempotency_key.md"),
            Self::InvalidCursor => include_str!("../../../docs/errors/invalid_cursor.md"),
            Self::UnknownField => include_str!("../../../docs/errors/unknown_field.md"),
            Self::MissingField => include_str!("../../../docs/errors/missing_field.md"),
            Self::InvalidField => include_str!("../../../docs/errors/invalid_field.md"),
            Self::NotSupportedYet => include_str!("../../../docs/errors/not_supported_yet.md"),
            Self::WebhooksNotConfigured => include_str!("../../../docs/errors/webhooks_not_configured.md"),
            Self::SourcesNotConfigured => include_str!("../../../docs/errors/sources_not_configured.md"),
            Self::SourceUnusable => include_str!("../../../docs/errors/source_unusable.md"),
            Self::SourceUnreachable => include_str!("../../../docs/errors/source_unreachable.md"),
            Self::LlmNotConfigured => include_str!("../../../docs/errors/llm_not_configured.md"),
            Self::FileTooSmall => include_str!("../../../docs/errors/file_too_small.md"),
            Self::ChunkOutOfRange => include_str!("../../../docs/errors/chunk_out_of_range.md"),
            Self::FieldAfterFile => include_str!("../../../docs/errors/field_after_file.md"),
            Self::LengthMismatch => include_str!("../../../docs/errors/length_mismatch.md"),
            Self::IdempotencyKeyReused => include_str!("../../../docs/errors/idempotency_key_reused.md"),
            Self::FileTooLarge => include_str!("../../../docs/errors/file_too_large.md"),
            Self::LengthRequired => include_str!("../../../docs/errors/length_required.md"),
            Self::BodyTooLarge => include_str!("../../../docs/errors/body_too_large.md"),
            Self::UnsupportedContentType => include_str!("../../../docs/errors/unsupported_content_type.md"),
            Self::RequestTimeout => include_str!("../../../docs/errors/request_timeout.md"),
            Self::RouteNotFound => include_str!("../../../docs/errors/route_not_found.md"),
            Self::MethodNotAllowed => include_str!("../../../docs/errors/method_not_allowed.md"),
            Self::JobNotFound => include_str!("../../../docs/errors/job_not_found.md"),
            Self::NoTranscript => include_str!("../../../docs/errors/no_transcript.md"),
            Self::WebhookNotFound => include_str!("../../../docs/errors/webhook_not_found.md"),
            Self::EditNotFound => include_str!("../../../docs/errors/edit_not_found.md"),
            Self::NotAcceptable => include_str!("../../../docs/errors/not_acceptable.md"),
            Self::ChunkNotUploaded => include_str!("../../../docs/errors/chunk_not_uploaded.md"),
            Self::SizeMismatch => include_str!("../../../docs/errors/size_mismatch.md"),
            Self::JobOver => include_str!("../../../docs/errors/job_over.md"),
            Self::ChunkReleased => include_str!("../../../docs/errors/chunk_released.md"),
            Self::TranscriptNotReady => include_str!("../../../docs/errors/transcript_not_ready.md"),
            Self::TranscriptTooLarge => include_str!("../../../docs/errors/transcript_too_large.md"),
            Self::TooManyStreams => include_str!("../../../docs/errors/too_many_streams.md"),
            Self::TooManyUploads => include_str!("../../../docs/errors/too_many_uploads.md"),
            Self::Unauthorized => include_str!("../../../docs/errors/unauthorized.md"),
            Self::StorageQuotaExceeded => include_str!("../../../docs/errors/storage_quota_exceeded.md"),
            Self::ForeignHost => include_str!("../../../docs/errors/foreign_host.md"),
            Self::ForeignOrigin => include_str!("../../../docs/errors/foreign_origin.md"),
            Self::RateLimited => include_str!("../../../docs/errors/rate_limited.md"),
            Self::TooManyJobs => include_str!("../../../docs/errors/too_many_jobs.md"),
            Self::AudioQuotaExceeded => include_str!("../../../docs/errors/audio_quota_exceeded.md"),
            Self::ServiceUnavailable => include_str!("../../../docs/errors/service_unavailable.md"),
            Self::Internal => include_str!("../../../docs/errors/internal.md"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_has_its_page_and_every_page_its_code() {
        for code in Code::ALL {
            let page = code.page();
            let first = format!("# `{}`", code.name());
            assert_eq!(page.lines().next(), Some(first.as_str()));
            assert!(page.contains(&format!("Status {}", code.status().as_u16())), "{}", code.name());
            assert!(page.contains("## What happened") && page.contains("## What to do"), "{}", code.name());
        }
        let names: BTreeSet<String> = Code::ALL.iter().map(|code| format!("{}.md", code.name())).collect();
        assert_eq!(names.len(), Code::ALL.len(), "two codes with one name");
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors");
        let pages: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "README.md")
            .collect();
        assert_eq!(pages, names);
    }
}
