//! `POST /chunked-upload-cancel`: ends a job (R8). Harmless twice.

use crate::access::Caller;
use crate::problem::{Code, Problem};
use crate::request::json::Json;
use crate::spec::Operation;
use crate::state::App;
use crate::uploads;
use axum::extract::State;
use schemars::JsonSchema;
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::{Input, JobState};
use serde::{Deserialize, Serialize};

/// Characters.
const MAX_REASON: usize = 500;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelRequest {
    parent_job_id: JobId,
    /// For those who read the job's stream.
    #[serde(default)]
    #[schemars(length(max = MAX_REASON))]
    reason: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct CancelReply {
    message: &'static str,
    parent_job_id: JobId,
    status: JobState,
}

pub fn describe(operation: &mut Operation<'_>) {
    operation
        .says("cancel_upload", "uploads", "Ends a job")
        .more("Harmless twice.")
        .problems(&[Code::JobNotFound, Code::JobOver]);
}

pub async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<CancelRequest>,
) -> Result<axum::Json<CancelReply>, Problem> {
    let reason = request.reason.unwrap_or_else(|| "Cancelled by the client.".to_owned());
    if reason.chars().count() > MAX_REASON {
        let detail = format!("\"reason\" has more than {MAX_REASON} characters.");
        return Err(Problem::field(Code::InvalidField, "reason", detail));
    }
    let header = app.advance(&caller, request.parent_job_id, Input::Cancel { reason }).await?;
    if header.state != JobState::Cancelled {
        return Err(uploads::job_over(&header));
    }
    tracing::info!(job = %header.id, "a job is cancelled");
    Ok(axum::Json(CancelReply { message: "Job cancelled", parent_job_id: header.id, status: header.state }))
}
