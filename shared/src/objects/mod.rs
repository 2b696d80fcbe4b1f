//! The object store: chunks on their way in, and the results that outlive a job.
//!
//! [`Objects`] is one concrete client (aws-sdk-s3) in both modes. In a cluster it talks to any S3; in `serve` it talks
//! to [`embedded::S3Service`], which answers on the process's own port. So a presigned URL, a range read and a deletion
//! take the same path everywhere.

mod bucket;
mod client;
pub mod embedded;
mod error;
mod imports;
mod presign;

pub use bucket::{BucketSettings, PreparedBucket};
pub use client::{Access, MAX_LISTED, Objects, ObjectsConfig};
pub use error::ObjectsError;
pub use imports::{Head, Imports, Part};
