//! What stands in the address: job ids and query parameters.

use crate::problem::{Code, Problem};
use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use scriptorium_contracts::JobId;
use serde::de::DeserializeOwned;

/// Length of a hyphenated UUID.
const ID_LENGTH: usize = 36;

/// A job id as it is written in addresses.
pub fn job_id(text: &str) -> Result<JobId, Problem> {
    let id = if text.len() == ID_LENGTH { text.parse().ok() } else { None };
    id.ok_or_else(|| Problem::new(Code::InvalidJobId, "The job id has to be a UUID with hyphens."))
}

/// The `{id}` of the path.
pub struct JobInPath(pub JobId);

impl<S: Send + Sync> FromRequestParts<S> for JobInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let wrong = |_| Problem::new(Code::InvalidJobId, "The job id has to be a UUID with hyphens.");
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(wrong)?;
        job_id(&text).map(Self)
    }
}

/// The `{id}` and `{webhook}` of the path: a job and the id of a message to its webhook.
pub struct WebhookInPath(pub JobId, pub String);

impl<S: Send + Sync> FromRequestParts<S> for WebhookInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        job_and_name(parts, state).await.map(|(job, webhook)| Self(job, webhook))
    }
}

/// The `{id}` of the path, and the name of something that the job has.
async fn job_and_name(parts: &mut Parts, state: &(impl Send + Sync)) -> Result<(JobId, String), Problem> {
    let wrong = |_| Problem::new(Code::InvalidJobId, "The job id has to be a UUID with hyphens.");
    let Path((job, name)) =
        Path::<(String, String)>::from_request_parts(parts, state).await.map_err(wrong)?;
    Ok((job_id(&job)?, name))
}

/// The `{id}` and `{edit}` of the path: a job and the number of an edit of its transcript; `None` if that is no number.
pub struct EditInPath(pub JobId, pub Option<u32>);

impl<S: Send + Sync> FromRequestParts<S> for EditInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let (job, edit) = job_and_name(parts, state).await?;
        let digits = !edit.is_empty() && edit.bytes().all(|digit| digit.is_ascii_digit());
        Ok(Self(job, if digits { edit.parse().ok() } else { None }))
    }
}

/// The `{code}` of the path: the name of a problem.
pub struct ErrorInPath(pub Code);

impl<S: Send + Sync> FromRequestParts<S> for ErrorInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name = Path::<String>::from_request_parts(parts, state).await;
        let code = name.ok().and_then(|Path(name)| Code::ALL.into_iter().find(|code| code.name() == name));
        code.map(Self).ok_or_else(|| Problem::new(Code::RouteNotFound, "There is no problem with this name."))
    }
}

/// The query parameters. Unknown ones are left alone: tools add theirs.
pub struct Parameters<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Query::<T>::try_from_uri(&parts.uri).map(|Query(value)| Self(value)).map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            let detail = format!("The query cannot be read: {}.", super::json::shorten(&source));
            Problem::new(Code::MalformedQuery, detail)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hyphenated_uuids_are_ids() {
        assert!(job_id("018f6d1e-6c1c-7c5c-9a54-0f4b5c3a2d1e").is_ok());
        assert!(job_id("018F6D1E-6C1C-7C5C-9A54-0F4B5C3A2D1E").is_ok());
        for wrong in
            ["", "7", "018f6d1e6c1c7c5c9a540f4b5c3a2d1e", "{018f6d1e-6c1c-7c5c-9a54-0f4b5c3a2d}", "../../etc"]
        {
            assert!(job_id(wrong).is_err(), "{wrong}");
        }
    }
}
