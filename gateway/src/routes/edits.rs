//! `POST /jobs/{id}/edits/{edit}/revert`: takes back what a language model has changed. The transcript lists its edits.

use super::transcript::check_state;
use crate::access::Caller;
use crate::problem::{Code, Problem};
use crate::request::address::EditInPath;
use crate::spec::Operation;
use crate::state::App;
use axum::extract::State;
use schemars::JsonSchema;
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::Input;
use serde::Serialize;

#[derive(Debug, Serialize, JsonSchema)]
pub struct RevertReply {
    parent_job_id: JobId,
    /// The edit's number.
    edit: u32,
    /// All edits that are taken back, by their numbers.
    reverted: Vec<u32>,
}

pub fn describe(operation: &mut Operation<'_>) {
    operation
        .says("revert_edit", "jobs", "Takes back an edit of the language model")
        .more(
            "The transcript then has the text as it was heard there, in all its forms. Harmless twice. Events that were sent \
             before stay as they were sent.",
        )
        .problems(&[Code::TranscriptNotReady, Code::NoTranscript]);
}

pub async fn revert(
    State(app): State<App>,
    caller: Caller,
    EditInPath(job, edit): EditInPath,
) -> Result<axum::Json<RevertReply>, Problem> {
    let header = app.header(&caller, job).await?;
    check_state(&header)?;
    let correction = header.summary.as_ref().and_then(|summary| summary.correction);
    let edits = correction.map_or(0, |correction| correction.edits);
    let Some(edit) = edit.filter(|edit| *edit < edits) else {
        let detail = format!("The transcript has {edits} edits; they are numbered from 0 on.");
        return Err(Problem::new(Code::EditNotFound, detail).with("edits", edits));
    };
    let header = app.jobs.advance(job, Input::RevertEdit { edit }).await?;
    // Reopened in between: its transcript is about to be another one.
    check_state(&header)?;
    tracing::info!(%job, edit, "an edit is taken back");
    let reverted = header.reverted_edits.iter().collect();
    Ok(axum::Json(RevertReply { parent_job_id: job, edit, reverted }))
}
