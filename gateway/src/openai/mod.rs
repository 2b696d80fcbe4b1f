//! `POST /v1/audio/transcriptions`, as OpenAI's clients call it (R67): their request, their answers, their errors, over the
//! same jobs as everything else. What their API defines and this service cannot do is refused, not ignored.

pub mod error;
pub mod reply;
pub mod request;
pub mod shape;
pub mod stream;
