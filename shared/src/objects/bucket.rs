//! Setting up the bucket: once, by an operator (`scriptorium admin bucket`), never by a role at work.

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint,
    CorsConfiguration, CorsRule, CreateBucketConfiguration, ExpirationStatus, LifecycleExpiration,
    LifecycleRule, LifecycleRuleFilter,
};
use futures::future::BoxFuture;

use super::{Objects, ObjectsError};

/// Region whose buckets must be made without naming it (S3 API reference, CreateBucket).
const DEFAULT_REGION: &str = "us-east-1";
/// Jobs' objects lie below this.
const PREFIX: &str = "jobs/";
/// Seconds for which browsers remember what CORS allows.
const CORS_MAX_AGE: i32 = 3_600;

/// What the bucket shall be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketSettings {
    pub region: String,
    /// Origins whose pages may upload; `*` for all. Uploads are allowed by signature, so an origin opens nothing by itself.
    pub cors_origins: Vec<String>,
    /// Days after which objects are deleted by the store itself, as a second net under the sweep; transcripts too, so it
    /// must be longer than anybody wants to read them. `None`: never.
    pub expire_days: Option<u32>,
}

/// What was done, and what the store can't do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedBucket {
    pub created: bool,
    /// The store knows no such setting: `cors`, `lifecycle`.
    pub unsupported: Vec<&'static str>,
}

impl Objects {
    /// Makes the bucket if it is not there, and sets who may upload from a browser and what is deleted by age. Harmless
    /// to repeat; settings that were made by hand are replaced.
    ///
    /// # Errors
    /// The store does not answer or refuses.
    pub fn prepare_bucket<'a>(
        &'a self,
        settings: &'a BucketSettings,
    ) -> BoxFuture<'a, Result<PreparedBucket, ObjectsError>> {
        Box::pin(async move {
            let created = match self.ping().await {
                Ok(()) => false,
                Err(ObjectsError::NoSuchBucket(_)) => self.create_bucket(&settings.region).await?,
                Err(other) => return Err(other),
            };
            let mut unsupported = Vec::new();
            if !supported(self.set_cors(&settings.cors_origins).await)? {
                unsupported.push("cors");
            }
            if !supported(self.set_lifecycle(settings.expire_days).await)? {
                unsupported.push("lifecycle");
            }
            Ok(PreparedBucket { created, unsupported })
        })
    }

    /// False if somebody else has made it in the meantime.
    async fn create_bucket(&self, region: &str) -> Result<bool, ObjectsError> {
        let mut request = self.client.create_bucket().bucket(&self.bucket);
        if region != DEFAULT_REGION {
            let location = BucketLocationConstraint::from(region);
            let place = CreateBucketConfiguration::builder().location_constraint(location).build();
            request = request.create_bucket_configuration(place);
        }
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("BucketAlreadyOwnedByYou") => Ok(false),
            Err(error) => Err(ObjectsError::from_sdk(error)),
        }
    }

    async fn set_cors(&self, origins: &[String]) -> Result<(), ObjectsError> {
        let rule = CorsRule::builder()
            .set_allowed_origins(Some(origins.to_vec()))
            .allowed_methods("PUT")
            .allowed_headers("*")
            .expose_headers("ETag")
            .max_age_seconds(CORS_MAX_AGE)
            .build();
        let rule = rule.map_err(|_| ObjectsError::Config("the CORS rule is not complete"))?;
        let rules = CorsConfiguration::builder().cors_rules(rule).build();
        let rules = rules.map_err(|_| ObjectsError::Config("the CORS rule is not complete"))?;
        let request = self.client.put_bucket_cors().bucket(&self.bucket).cors_configuration(rules);
        request.send().await.map_err(ObjectsError::from_sdk)?;
        Ok(())
    }

    async fn set_lifecycle(&self, expire_days: Option<u32>) -> Result<(), ObjectsError> {
        let unfinished = AbortIncompleteMultipartUpload::builder().days_after_initiation(1).build();
        let mut rule = LifecycleRule::builder()
            .id("scriptorium")
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix(PREFIX).build())
            .abort_incomplete_multipart_upload(unfinished);
        if let Some(days) = expire_days {
            let days = i32::try_from(days).unwrap_or(i32::MAX);
            rule = rule.expiration(LifecycleExpiration::builder().days(days).build());
        }
        let rule = rule.build().map_err(|_| ObjectsError::Config("the lifecycle rule is not complete"))?;
        let rules = BucketLifecycleConfiguration::builder().rules(rule).build();
        let rules = rules.map_err(|_| ObjectsError::Config("the lifecycle rule is not complete"))?;
        let request = self.client.put_bucket_lifecycle_configuration().bucket(&self.bucket);
        request.lifecycle_configuration(rules).send().await.map_err(ObjectsError::from_sdk)?;
        Ok(())
    }
}

/// False if the store answers that it knows no such setting (501, or 405 by stores without the route).
fn supported(outcome: Result<(), ObjectsError>) -> Result<bool, ObjectsError> {
    match outcome {
        Ok(()) => Ok(true),
        Err(ObjectsError::Refused { status: 501 | 405, .. }) => Ok(false),
        Err(other) => Err(other),
    }
}
