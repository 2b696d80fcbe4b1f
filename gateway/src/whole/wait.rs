//! Waiting for a job's end.

use crate::access::Caller;
use crate::problem::{Code, Problem};
use crate::state::App;
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::JobHeader;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Pause after the store could not be asked.
const PAUSE: Duration = Duration::from_secs(1);

/// The job when it is over; as it is then, when the time of a live stream is up or the process is asked to end. The job
/// does not depend on anybody who waits for it.
///
/// # Errors
/// `job_not_found`: it was deleted meanwhile.
pub async fn ended(app: &App, caller: &Caller, job: JobId) -> Result<JobHeader, Problem> {
    let mut listener = app.hub.listen(job);
    let deadline = Instant::now() + app.config.stream_timeout;
    loop {
        // Before reading: what happens while we read wakes us again.
        listener.look();
        let found = app.header(caller, job).await;
        let time_is_up = Instant::now() >= deadline || app.shutdown.is_cancelled();
        let over = match &found {
            Ok(header) => header.state.is_final(),
            // Anything else may pass.
            Err(problem) => problem.code == Code::JobNotFound,
        };
        if over || time_is_up {
            return found;
        }
        let pause = if found.is_ok() { app.config.heartbeat } else { PAUSE };
        tokio::select! {
            () = listener.woken(), if found.is_ok() => {}
            () = sleep(pause) => {}
            () = sleep_until(deadline) => {}
            () = app.shutdown.cancelled() => {}
        }
    }
}
