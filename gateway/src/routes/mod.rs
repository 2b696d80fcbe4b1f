//! One file a resource.

pub mod cancel;
pub mod docs;
pub mod edits;
pub mod error_page;
pub mod health;
pub mod init;
pub mod jobs;
pub mod notice;
pub mod openai;
pub mod retry;
pub mod source;
pub mod status;
pub mod stream;
pub mod transcript;
pub mod upload;
pub mod urls;
pub mod webhooks;
