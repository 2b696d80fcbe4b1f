//! What the broker says, in our words, and how long it is waited for.

use super::PATIENCE;
use crate::queue::QueueError;
use crate::tls;
use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use tokio::time::timeout;

/// The answer, if it comes in time.
pub(super) async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, QueueError> {
    timeout(PATIENCE, answer).await.map_err(|_| unavailable("it does not answer"))
}

pub(super) fn unavailable(detail: &str) -> QueueError {
    QueueError::Unavailable { detail: detail.to_owned() }
}

/// What the broker or the way to it says, in our words.
pub(super) fn broker_error(error: &lapin::Error) -> QueueError {
    let detail = error.to_string();
    if let Some(detail) = tls::refusal(&detail) {
        return QueueError::Refused { detail };
    }
    let refused = if let ErrorKind::ProtocolError(error) = error.kind() {
        matches!(
            error.kind(),
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
                | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)
        )
    } else {
        false
    };
    if refused {
        let detail = format!("{detail}; check user, password, vhost and the user's permissions");
        QueueError::Refused { detail }
    } else {
        QueueError::Unavailable { detail }
    }
}
