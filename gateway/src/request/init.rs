//! The request that starts an upload (R2), and the rules that its fields have to keep. Pure.

pub mod shape;

use super::language;
use super::number::whole;
use crate::access::Caller;
use crate::config::GatewayConfig;
use crate::problem::{Code, Problem};
use crate::routes::webhooks::NOT_CONFIGURED;
use crate::sizer;
use schemars::JsonSchema;
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::{
    JobOptions, Layout, Limits, LlmMode, MAX_FILE_SIZE, MEGABYTE, MIN_FILE_SIZE, NewJob,
};
use scriptorium_shared::outbound::{Reach, check_url};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

const MAX_FILENAME: usize = 255;
pub const MAX_PROMPT: usize = 2_000;
const MAX_METADATA: usize = 32;
const MAX_METADATA_KEY: usize = 64;
const MAX_METADATA_VALUE: usize = 512;
pub const MAX_PARALLEL: u32 = 64;
/// Characters; longer ones are no addresses for [`check_url`].
pub const MAX_WEBHOOK_URL: usize = 2_048;
/// Megabytes of a chunk when the client names no size.
const USUAL_CHUNK_MB: u64 = 5;

/// Body of `POST /chunked-upload-stream`. Its canonical JSON stands for the request in idempotency.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InitRequest {
    /// Its ending tells of the container; no more is made of it.
    #[schemars(length(min = 1, max = MAX_FILENAME), pattern(shape::FILENAME))]
    pub filename: String,
    /// Bytes.
    #[serde(deserialize_with = "whole")]
    #[schemars(range(min = MIN_FILE_SIZE, max = MAX_FILE_SIZE))]
    pub total_size: u64,
    /// Binary megabytes of a chunk, 5 if it is not given; `auto`: by the size of the recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_size_mb: Option<ChunkSize>,
    /// Whether a language model corrects the text; the server has to have one.
    #[serde(default)]
    pub use_llm: bool,
    /// When it does; `post_process` if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub llm_mode: Option<LlmMode>,
    /// Is told when the job ends. An https address of a name in ASCII; the server has to have a secret for webhooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_WEBHOOK_URL), pattern(shape::HTTPS))]
    pub webhook_url: Option<String>,
    /// Two- or three-letter code, or `auto`: it is detected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::language")]
    pub language: Option<String>,
    /// What the engine is to take as said before: names and terms that it may not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_PROMPT), pattern(shape::NO_NUL))]
    pub prompt: Option<String>,
    /// Times of single words.
    #[serde(default)]
    pub word_timestamps: bool,
    /// Whether text that is known of the same sound may be taken, and the text be kept for later; yes if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_cache: Option<bool>,
    /// Comes back with the job.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "shape::metadata")]
    pub metadata: BTreeMap<String, String>,
    /// Chunks of the job that are processed at once; the server's own limit holds all the same.
    #[serde(default, deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_PARALLEL))]
    pub max_parallel_chunks: Option<u32>,
    /// Declared checksums: not in this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::nothing")]
    pub checksum: Option<Value>,
}

/// `chunk_size_mb`: a number of megabytes, or `"auto"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ChunkSize {
    Megabytes(f64),
    Auto,
}

impl<'de> Deserialize<'de> for ChunkSize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match (value.as_f64(), value.as_str()) {
            (Some(number), _) => Ok(Self::Megabytes(number)),
            (None, Some("auto")) => Ok(Self::Auto),
            (None, Some(_) | None) => {
                Err(serde::de::Error::custom("it has to be a number from 1 to 100 or \"auto\""))
            }
        }
    }
}

impl Serialize for ChunkSize {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Megabytes(number) => serializer.serialize_f64(*number),
            Self::Auto => serializer.serialize_str("auto"),
        }
    }
}

impl InitRequest {
    /// The job that the request asks for.
    pub fn check(self, id: JobId, caller: &Caller, config: &GatewayConfig) -> Result<NewJob, Problem> {
        self.check_from(config.min_file_size, id, caller, config)
    }

    /// The job for a recording that comes in one piece: of any size, in the sizer's chunks.
    pub fn check_whole(self, id: JobId, caller: &Caller, config: &GatewayConfig) -> Result<NewJob, Problem> {
        Self { chunk_size_mb: Some(ChunkSize::Auto), ..self }.check_from(1, id, caller, config)
    }

    fn check_from(
        self,
        min_size: u64,
        id: JobId,
        caller: &Caller,
        config: &GatewayConfig,
    ) -> Result<NewJob, Problem> {
        check_text("filename", &self.filename, 1, MAX_FILENAME)?;
        if self.filename.chars().any(char::is_control) {
            return Err(invalid("filename", "it has control characters"));
        }
        check_total_size(self.total_size, min_size)?;
        let chunk_size = chunk_bytes(self.chunk_size_mb, self.total_size, config)?;
        let layout = Layout::new(self.total_size, chunk_size)
            .map_err(|error| invalid("chunk_size_mb", &format!("it would make {error}")))?;
        self.check_supported(config)?;
        let language = match &self.language {
            None => None,
            Some(asked) => language::check(asked).map_err(|()| {
                invalid(
                    "language",
                    "it has to be \"auto\" or a code that Whisper knows, such as \"en\" or \"de\"",
                )
            })?,
        };
        if let Some(prompt) = &self.prompt {
            check_text("prompt", prompt, 0, MAX_PROMPT)?;
        }
        check_webhook(self.webhook_url.as_deref(), caller.webhooks(config))?;
        check_metadata(&self.metadata)?;
        let limits = limits(self.max_parallel_chunks, config.limits)?;
        Ok(NewJob {
            id,
            filename: self.filename,
            layout,
            options: JobOptions {
                language,
                prompt: self.prompt.filter(|prompt| !prompt.trim().is_empty()),
                word_timestamps: self.word_timestamps,
                use_llm: self.use_llm,
                llm_mode: self.llm_mode,
                no_cache: self.use_cache == Some(false),
            },
            metadata: self.metadata,
            webhook_url: self.webhook_url,
            // Looked up by whoever makes the job of it.
            webhook_disabled_since: None,
            // Known to whoever makes the job of it.
            tenant: None,
            limits,
            source: None,
        })
    }

    /// What this version or this server cannot do is refused, not ignored.
    fn check_supported(&self, config: &GatewayConfig) -> Result<(), Problem> {
        if self.checksum.is_some() {
            let detail =
                "\"checksum\": this version does not have declared checksums yet. Leave the field out.";
            return Err(Problem::field(Code::NotSupportedYet, "checksum", detail));
        }
        if self.use_llm && !config.llm {
            let detail =
                "This server has no language model. Its operator has to set SCRIPTORIUM_LLM_BASE_URL.";
            return Err(Problem::field(Code::LlmNotConfigured, "use_llm", detail));
        }
        Ok(())
    }
}

fn invalid(field: &str, why: &str) -> Problem {
    Problem::field(Code::InvalidField, field, format!("\"{field}\" cannot be used: {why}."))
}

/// Length in characters.
fn check_text(field: &str, text: &str, least: usize, most: usize) -> Result<(), Problem> {
    let length = text.chars().count();
    let blank = least > 0 && text.trim().is_empty();
    if blank || length < least || length > most || text.contains('\0') {
        return Err(invalid(field, &format!("it has to have {least} to {most} characters")));
    }
    Ok(())
}

/// R1.
fn check_total_size(size: u64, min: u64) -> Result<(), Problem> {
    if size == 0 {
        return Err(invalid("total_size", "the recording is empty"));
    }
    if size < min {
        let detail = format!(
            "The recording has {size} bytes; chunked uploads are for {min} bytes and more. Send it whole to \
             POST /api/transcripts/upload."
        );
        return Err(Problem::field(Code::FileTooSmall, "total_size", detail).with("min_size", min));
    }
    if size > MAX_FILE_SIZE {
        let detail = format!("The recording has {size} bytes; at most {MAX_FILE_SIZE} are taken.");
        return Err(Problem::field(Code::FileTooLarge, "total_size", detail).with("max_size", MAX_FILE_SIZE));
    }
    Ok(())
}

fn chunk_bytes(asked: Option<ChunkSize>, total: u64, config: &GatewayConfig) -> Result<u64, Problem> {
    match asked {
        None => Ok(USUAL_CHUNK_MB * MEGABYTE),
        Some(ChunkSize::Auto) => Ok(u64::from(sizer::chunk_megabytes(total, None, config.sizer)) * MEGABYTE),
        Some(ChunkSize::Megabytes(number)) if (1.0..=100.0).contains(&number) => {
            Ok((number * MEGABYTE as f64).round() as u64)
        }
        Some(ChunkSize::Megabytes(_)) => {
            Err(invalid("chunk_size_mb", "it has to be a number from 1 to 100 or \"auto\""))
        }
    }
}

/// A webhook's address, where webhooks are sent at all. A name is looked up only when something is sent to it.
fn check_webhook(url: Option<&str>, accepted: Option<Reach>) -> Result<(), Problem> {
    let Some(url) = url else { return Ok(()) };
    // One that nobody would take is told as such, whatever the server can do.
    let checked = check_url(url, accepted.unwrap_or(Reach::Anywhere));
    checked.map_err(|error| invalid("webhook_url", &error.to_string()))?;
    if accepted.is_none() {
        return Err(Problem::field(Code::WebhooksNotConfigured, "webhook_url", NOT_CONFIGURED));
    }
    Ok(())
}

fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), Problem> {
    if metadata.len() > MAX_METADATA {
        return Err(invalid("metadata", &format!("it has more than {MAX_METADATA} entries")));
    }
    for (key, value) in metadata {
        check_text("metadata", key, 1, MAX_METADATA_KEY).map_err(|_| {
            invalid("metadata", &format!("a key has to have 1 to {MAX_METADATA_KEY} characters"))
        })?;
        check_text("metadata", value, 0, MAX_METADATA_VALUE).map_err(|_| {
            invalid("metadata", &format!("a value has more than {MAX_METADATA_VALUE} characters"))
        })?;
    }
    Ok(())
}

/// The server's own limit holds, whatever is asked.
fn limits(asked: Option<u32>, limits: Limits) -> Result<Limits, Problem> {
    match asked {
        None => Ok(limits),
        Some(asked) if (1..=MAX_PARALLEL).contains(&asked) => {
            Ok(Limits { max_parallel_chunks: asked.min(limits.max_parallel_chunks), ..limits })
        }
        Some(_) => Err(invalid("max_parallel_chunks", &format!("it has to be from 1 to {MAX_PARALLEL}"))),
    }
}

#[cfg(test)]
mod tests;
