//! Recordings that come in one piece (R51): a form, whose file is cut into chunks as it arrives. Each chunk becomes an object
//! and is noticed at once, so a recording that is sent whole is transcribed while it is sent, by the same job that a chunked
//! upload would have made.
//!
//! What lies in memory is one chunk a request, within a bound for all of them. A job has to know its recording's size when it
//! is made, and a form tells it nowhere: it is computed from the request's length and from where the file begins, which
//! holds if nothing comes after the file, and is checked at the end. Files of up to [`HELD`] bytes are held until all of the
//! form is there, so for them nothing need be foreseen.
//!
//! If the client goes away, or a part of the service fails, the job is cancelled, and its objects are deleted as those of any
//! cancelled job. If this process dies, the job is one whose upload was left alone: it expires.

mod form;
mod incoming;
mod receive;
pub mod shape;
mod source;
mod wait;
mod writer;

pub use form::{Form, SESSION, init_request};
pub use receive::{Kind, receive};
pub use wait::ended;

#[cfg(test)]
pub use form::of as form_of;

use axum::body::Body;
use scriptorium_contracts::job::MEGABYTE;
use std::time::Duration;

/// Bytes. The largest chunk of the sizer, and the largest file that OpenAI's own API takes; and some for fields behind it, which
/// cannot be told from it before they come.
const HELD: u64 = 25 * MEGABYTE + (128 << 10);

/// Reads on for a moment what a client sends who has been refused, so that it gets to see why.
pub async fn linger(body: Body, patience: Duration) {
    source::Source::new(body, patience, source::Pace::new(0, patience)).linger().await;
}
