//! Recordings that the service fetches itself.

use super::{BucketArgs, ConfigError};
use clap::{Args, builder::BoolishValueParser, builder::NonEmptyStringValueParser};
use scriptorium_shared::objects::{Imports, Objects};
use scriptorium_shared::outbound::Reach;
use scriptorium_shared::source::SourceConfig;

#[derive(Args, Clone, Debug)]
pub struct SourceArgs {
    /// Recordings that are fetched at once by this process (`source_url`); each takes up to two chunks of memory. 0: none, and jobs with
    /// an address are refused. Gateways look at addresses, coordinators fetch
    #[arg(long, env = "SCRIPTORIUM_SOURCE_FETCHES", value_name = "N", default_value = "4",
          value_parser = clap::value_parser!(u32).range(0..=64))]
    pub source_fetches: u32,

    /// Recordings may be fetched from private addresses, and by http: for closed networks. Whoever may make jobs can then have this
    /// machine read from its neighbours
    #[arg(long, env = "SCRIPTORIUM_SOURCE_ALLOW_PRIVATE", value_parser = BoolishValueParser::new())]
    pub source_allow_private: bool,
}

impl SourceArgs {
    pub fn settings(&self) -> SourceConfig {
        let reach = if self.source_allow_private { Reach::Anywhere } else { Reach::Public };
        SourceConfig { reach, at_once: self.source_fetches }
    }
}

#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// Bucket of the object store that recordings may be read from by key (`source_key`), with this process's credentials. Another one
    /// than `--s3-bucket` [default: none]
    #[arg(long, env = "SCRIPTORIUM_IMPORT_BUCKET", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub import_bucket: Option<String>,

    /// Below which they are. A tenant reads in PREFIX/TENANT/ and nowhere else, a caller without a key in PREFIX/_/ [default: none]
    #[arg(long, env = "SCRIPTORIUM_IMPORT_PREFIX", value_name = "PREFIX")]
    pub import_prefix: Option<String>,
}

impl ImportArgs {
    /// # Errors
    /// Whoever may name a key could read what others have uploaded.
    pub fn check(&self, bucket: &BucketArgs) -> Result<(), ConfigError> {
        let same = self.import_bucket.as_deref() == Some(bucket.s3_bucket.as_str());
        if same { Err(ConfigError::ImportBucket) } else { Ok(()) }
    }

    /// The bucket beside the one of `objects`.
    pub fn open(&self, objects: &Objects) -> Option<Imports> {
        let prefix = self.import_prefix.as_deref().unwrap_or_default();
        self.import_bucket.as_deref().map(|bucket| Imports::new(objects, bucket, prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_have_a_bucket_of_their_own() {
        let bucket = BucketArgs {
            s3_endpoint: None,
            s3_public_endpoint: None,
            s3_bucket: "scriptorium".to_owned(),
            s3_region: "local".to_owned(),
        };
        let check = |name: Option<&str>| {
            let imports = ImportArgs { import_bucket: name.map(str::to_owned), import_prefix: None };
            imports.check(&bucket).map_err(|error| error.to_string())
        };
        assert_eq!((check(None), check(Some("imports"))), (Ok(()), Ok(())));
        assert!(check(Some("scriptorium")).is_err_and(|text| text.contains("--import-bucket")));
    }
}
