//! What goes wrong with Redis, in four sorts: try again at once, try again later, stop, our own mistake.

use crate::tls;
use redis::ErrorKind;
use thiserror::Error;

/// The texts are for logs. They hold no URL and no password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RedisError {
    /// No connection, no answer, or one that does not serve now: starting, failing over.
    #[error("Redis is not available: {detail}")]
    Unavailable { detail: String },
    /// It answers, and takes no writes until someone makes room or mends its disk.
    #[error("Redis takes no writes: {detail}")]
    NoWrites { detail: String },
    /// Wrong address, password or permissions: a person must act.
    #[error("Redis refuses: {detail}")]
    Refused { detail: String },
    /// A key is not what it should be.
    #[error("a key in Redis has another type than it should have: {detail}")]
    WrongType { detail: String },
    #[error("the connection to Redis was closed by this program")]
    Closed,
    /// A defect of this program.
    #[error("Redis was used wrongly: {detail}")]
    Internal { detail: String },
}

impl RedisError {
    /// Trying the same again later may help.
    pub const fn retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::NoWrites { .. } => true,
            Self::Refused { .. } | Self::WrongType { .. } | Self::Closed | Self::Internal { .. } => false,
        }
    }

    pub(crate) fn refused(detail: &str) -> Self {
        Self::Refused { detail: detail.to_owned() }
    }

    pub(super) fn unavailable(detail: &str) -> Self {
        Self::Unavailable { detail: detail.to_owned() }
    }

    /// The same, but a refusal may end by itself.
    pub(super) fn passing(self) -> Self {
        match self {
            Self::Refused { detail } => Self::Unavailable { detail },
            Self::Unavailable { .. }
            | Self::NoWrites { .. }
            | Self::WrongType { .. }
            | Self::Closed
            | Self::Internal { .. } => self,
        }
    }

    /// What the client library tells.
    pub(crate) fn of(error: &redis::RedisError) -> Self {
        let detail = error.to_string();
        if let Some(detail) = tls::refusal(&detail) {
            return Self::Refused { detail };
        }
        if let Some(known) = codes(error).iter().find_map(|code| of_code(code, &detail)) {
            return known;
        }
        let kind = error.kind();
        if kind == ErrorKind::Io
            || kind == ErrorKind::ClusterConnectionNotFound
            || detail.contains("max number of clients reached")
        {
            Self::Unavailable { detail }
        } else if kind == ErrorKind::Parse {
            Self::Unavailable { detail: format!("{detail}; is it Redis that answers?") }
        } else if kind == ErrorKind::AuthenticationFailed {
            Self::refused("the password or the user is not accepted")
        } else if kind == ErrorKind::InvalidClientConfig {
            Self::Refused { detail }
        } else {
            // The library's kinds grow; what is new to us is our defect until it has a line here.
            Self::Internal { detail }
        }
    }

    /// Has the connection to be made anew after this?
    /// A cluster's as a whole: the nodes are few, and what is made anew knows where the slots are now.
    pub(super) fn ends_connection(error: &redis::RedisError) -> bool {
        // A primary that has become a replica: behind the name there may be another one by now.
        error.is_io_error()
            || error.is_unrecoverable_error()
            || codes(error).iter().any(|code| code == "READONLY")
    }
}

/// The first words of the replies: of a pipeline or a transaction there are several, and the library's own summary of
/// them does not tell which.
fn codes(error: &redis::RedisError) -> Vec<String> {
    let several = error.clone().into_server_errors();
    let several = several.iter().flat_map(|errors| errors.iter()).map(|(_, error)| error.code().to_owned());
    several.chain(error.code().map(str::to_owned)).collect()
}

/// By the first word of a reply, <https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors>.
fn of_code(code: &str, detail: &str) -> Option<RedisError> {
    let detail = |advice: &str| format!("{detail} ({advice})");
    Some(match code {
        "LOADING" => RedisError::Unavailable { detail: detail("it is reading its data from the disk") },
        "READONLY" => RedisError::Unavailable {
            detail: detail("it is a replica; the address must lead to the primary"),
        },
        "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN" | "UNBLOCKED" => {
            RedisError::Unavailable { detail: detail("it is failing over") }
        }
        "BUSY" => RedisError::Unavailable { detail: detail("a script keeps it busy") },
        "OOM" => RedisError::NoWrites { detail: detail("raise maxmemory") },
        "MISCONF" => RedisError::NoWrites { detail: detail("it can't write to its disk") },
        "NOREPLICAS" => RedisError::NoWrites { detail: detail("it has too few replicas") },
        "NOAUTH" | "WRONGPASS" => RedisError::refused("it wants a user and password, or others than these"),
        "NOPERM" => RedisError::Refused { detail: detail("the user lacks a permission") },
        "DENIED" => RedisError::Refused { detail: detail("protected mode") },
        "MOVED" | "ASK" => RedisError::Unavailable { detail: detail("slots of the cluster are moving") },
        "WRONGTYPE" => RedisError::WrongType { detail: detail("was it written by another program?") },
        _ => return None,
    })
}
