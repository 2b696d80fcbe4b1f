//! `GET /jobs` and `DELETE /jobs/{id}` (R61).

use crate::access::Caller;
use crate::problem::{Code, Problem};
use crate::request::address::{JobInPath, Parameters};
use crate::request::cursor;
use crate::request::json::shorten;
use crate::spec::Operation;
use crate::state::App;
use crate::view::JobView;
use axum::extract::State;
use http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use scriptorium_contracts::job::JobState;
use scriptorium_contracts::{JobId, Timestamp};
use scriptorium_shared::jobs::{JobQuery, MAX_LISTED_JOBS};
use scriptorium_shared::store::{JobKey, JobRange, Order};
use serde::{Deserialize, Serialize};

/// Jobs of a page whose length was not asked for.
const DEFAULT_LIMIT: u32 = 50;
/// Characters of the part of a file's name that is looked for.
const MAX_FILENAME: usize = 200;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ListRequest {
    /// Jobs of a page; 50 if it is not given.
    #[schemars(range(min = 1, max = MAX_LISTED_JOBS))]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// States, with commas between them. Empty ones are left out.
    #[schemars(schema_with = "states_shape")]
    status: Option<String>,
    /// Milliseconds since 1970; at this time or later.
    created_after: Option<u64>,
    /// Earlier than this time.
    created_before: Option<u64>,
    /// Part of the file's name.
    #[schemars(length(max = MAX_FILENAME))]
    filename: Option<String>,
    sort: Sort,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Sort {
    #[default]
    #[serde(rename = "-created_at")]
    NewestFirst,
    #[serde(rename = "created_at")]
    OldestFirst,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct ListReply {
    jobs: Vec<JobView>,
    /// Absent at the end of the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub fn describe_list(operation: &mut Operation<'_>) {
    let next = [("query.cursor", "$response.body#/next_cursor")];
    operation
        .says("jobs", "jobs", "All jobs, the newest first")
        .problems(&[Code::InvalidCursor])
        .replies(&[(StatusCode::OK, "A page of them.")])
        .link(StatusCode::OK, "jobs", &next, None)
        .link(StatusCode::OK, "job", &[("id", "$response.body#/jobs/0/parent_job_id")], None);
}

pub fn describe_delete(operation: &mut Operation<'_>) {
    operation
        .says("delete_job", "jobs", "Deletes a job and all that is stored of it")
        .more("A job that is under way is cancelled first.")
        .replies(&[
            (StatusCode::OK, "All is gone."),
            (StatusCode::ACCEPTED, "The job is gone; what is left of it is deleted later."),
        ]);
}

pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Parameters(request): Parameters<ListRequest>,
) -> Result<axum::Json<ListReply>, Problem> {
    let limit = request.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LISTED_JOBS).contains(&limit) {
        let detail = format!("\"limit\" has to be from 1 to {MAX_LISTED_JOBS}.");
        return Err(Problem::new(Code::MalformedQuery, detail).with("max_limit", MAX_LISTED_JOBS));
    }
    let mut query = query(&request)?;
    query.tenant = caller.tenant().cloned();
    let list = name(&query);
    query.range.after = request.cursor.as_deref().map(|text| cursor::decode(text, &list)).transpose()?;
    let page = app.jobs.list(query, limit).await?;
    let next_cursor = page.next.map(|key: JobKey| cursor::encode(key, &list));
    Ok(axum::Json(ListReply { jobs: page.jobs.into_iter().map(JobView::from).collect(), next_cursor }))
}

fn query(request: &ListRequest) -> Result<JobQuery, Problem> {
    let mut states = request.status.as_deref().map(states).transpose()?.unwrap_or_default();
    states.sort_by_key(|state| *state as u8);
    states.dedup();
    let filename = request.filename.clone().filter(|part| !part.is_empty());
    if filename.as_ref().is_some_and(|part| part.chars().count() > MAX_FILENAME) {
        let detail = format!("\"filename\" has more than {MAX_FILENAME} characters.");
        return Err(Problem::new(Code::MalformedQuery, detail));
    }
    let range = JobRange {
        order: match request.sort {
            Sort::NewestFirst => Order::NewestFirst,
            Sort::OldestFirst => Order::OldestFirst,
        },
        after: None,
        from: Timestamp(request.created_after.unwrap_or(0)),
        until: Timestamp(request.created_before.unwrap_or(u64::MAX)),
    };
    // Whose jobs they are is not for the query to say.
    Ok(JobQuery { tenant: None, range, states, filename })
}

/// For the API's document.
fn states_shape(schemas: &mut SchemaGenerator) -> Schema {
    let state = schemas.subschema_for::<JobState>();
    json_schema!({ "type": "array", "items": { "anyOf": [state, { "const": "" }] } })
}

fn states(text: &str) -> Result<Vec<JobState>, Problem> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| {
            serde_json::from_value(serde_json::Value::from(name)).map_err(|_| {
                let detail = format!("{:?} in \"status\" is no state of a job.", shorten(name));
                Problem::new(Code::MalformedQuery, detail)
            })
        })
        .collect()
}

/// The same for all pages of a list, and different for other lists. For the cursor, which stands in none of them.
fn name(query: &JobQuery) -> String {
    let JobQuery { tenant, range: JobRange { order, after: _, from, until }, states, filename } = query;
    format!("{tenant:?} {order:?} {} {} {states:?} {filename:?}", from.0, until.0)
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct DeleteReply {
    message: &'static str,
    parent_job_id: JobId,
    /// As it was before.
    status: JobState,
    /// The job was under way, and was cancelled first.
    cancelled: bool,
    /// All is gone: records, events, results, objects. `false`: a part of the service does not answer, and what is left there
    /// is deleted later.
    complete: bool,
    /// Chunks, transcript and what is stored besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_objects: Option<u64>,
}

pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    JobInPath(job): JobInPath,
) -> Result<(StatusCode, axum::Json<DeleteReply>), Problem> {
    let deleted = app.delete(&caller, job).await?;
    let complete = deleted.erased.is_some();
    tracing::info!(%job, complete, "a job is deleted");
    let reply = DeleteReply {
        message: "Job deleted",
        parent_job_id: job,
        status: deleted.state,
        cancelled: !deleted.state.is_final(),
        complete,
        deleted_objects: deleted.erased.map(|erased| erased.objects),
    };
    let status = if complete { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, axum::Json(reply)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(query_string: &str) -> Result<String, Code> {
        let uri = format!("/jobs?{query_string}").parse().unwrap();
        let request = axum::extract::Query::<ListRequest>::try_from_uri(&uri).unwrap().0;
        query(&request).map(|query| name(&query)).map_err(|problem| problem.code)
    }

    #[test]
    fn lists_with_the_same_filters_have_the_same_name_and_others_have_not() {
        let plain = named("").unwrap();
        assert_eq!(named("limit=7&cursor=x"), Ok(plain.clone()));
        assert_eq!(named("status=failed,%20completed,"), named("status=completed,failed,failed"));
        for other in [
            "sort=created_at",
            "status=failed",
            "created_after=1",
            "created_before=1",
            "filename=talk",
            "filename=Talk",
        ] {
            assert_ne!(named(other), Ok(plain.clone()), "{other}");
        }
        assert_eq!(named("status=done"), Err(Code::MalformedQuery));
        assert_eq!(named(&format!("filename={}", "x".repeat(201))), Err(Code::MalformedQuery));
    }
}
