//! The services that the roles share: RabbitMQ, Redis, S3.

use super::ConfigError;
use super::values::seconds;
use clap::Args;
use scriptorium_shared::objects::{Access, ObjectsConfig, ObjectsError};
use std::time::Duration;

#[derive(Args, Clone, Debug)]
pub struct BrokerArgs {
    /// RabbitMQ, 3.10 or newer: amqp(s)://user:password@host:port/vhost. It is a secret: better given as a variable
    #[arg(long, env = "SCRIPTORIUM_AMQP_URL", value_name = "URL", hide_env_values = true)]
    pub amqp_url: String,
}

impl BrokerArgs {
    /// # Errors
    /// It is no address of a broker.
    pub fn check(&self) -> Result<(), ConfigError> {
        address("--amqp-url", &self.amqp_url, "amqp:// or amqps://")
    }
}

#[derive(Args, Clone, Debug)]
pub struct JobStoreArgs {
    /// Redis, 7.0 or newer, with appendonly: redis(s)://user:password@host:port/database. Of a Redis Cluster one of its nodes, or
    /// several, with commas between their addresses. It is a secret too
    #[arg(long, env = "SCRIPTORIUM_REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis_url: String,

    /// How long a job can be looked at after its end
    #[arg(long, env = "SCRIPTORIUM_JOB_TTL_SECONDS", value_name = "SECONDS", default_value = "604800", value_parser = seconds)]
    pub job_ttl_seconds: Duration,
}

impl JobStoreArgs {
    /// # Errors
    /// It is no address of a Redis.
    pub fn check(&self) -> Result<(), ConfigError> {
        address("--redis-url", &self.redis_url, "redis:// or rediss://")
    }
}

#[derive(Args, Clone, Debug)]
pub struct LimiterArgs {
    /// The Redis in which workers share what they keep (`--cache-ttl-seconds`) and, with engine `openai`, count their calls; for
    /// the latter it has to be given. It is a secret too
    #[arg(long, env = "SCRIPTORIUM_REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis_url: Option<String>,
}

impl LimiterArgs {
    /// # Errors
    /// It is no address of a Redis.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.redis_url.iter().try_for_each(|url| address("--redis-url", url, "redis:// or rediss://"))
    }
}

/// The keys come from where Amazon's tools look for them too: `AWS_ACCESS_KEY_ID` and its like, a web identity, a role.
#[derive(Args, Clone, Debug)]
pub struct BucketArgs {
    /// Object store, where this process reaches it: http(s)://host:port [default: Amazon S3 in the region]
    #[arg(long, env = "SCRIPTORIUM_S3_ENDPOINT", value_name = "URL")]
    pub s3_endpoint: Option<String>,

    /// The same store, where those who upload reach it [default: the endpoint]
    #[arg(long, env = "SCRIPTORIUM_S3_PUBLIC_ENDPOINT", value_name = "URL")]
    pub s3_public_endpoint: Option<String>,

    /// Bucket for recordings and transcripts; `scriptorium admin bucket` sets it up
    #[arg(long, env = "SCRIPTORIUM_S3_BUCKET", value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub s3_bucket: String,

    /// Region of the bucket; stores other than Amazon's take any
    #[arg(long, env = "SCRIPTORIUM_S3_REGION", value_name = "NAME", default_value = "us-east-1",
          value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub s3_region: String,
}

impl BucketArgs {
    /// With the credentials of this process's surroundings.
    ///
    /// # Errors
    /// There are none.
    pub async fn objects(&self) -> Result<ObjectsConfig, ObjectsError> {
        let amazon = || format!("https://s3.{}.amazonaws.com", self.s3_region);
        Ok(ObjectsConfig {
            endpoint: self.s3_endpoint.clone().unwrap_or_else(amazon),
            public_endpoint: self.s3_public_endpoint.clone(),
            bucket: self.s3_bucket.clone(),
            region: self.s3_region.clone(),
            access: Access::from_surroundings(&self.s3_region).await?,
        })
    }

    /// # Errors
    /// An address is none, or the public one contradicts the inner one.
    pub fn check(&self) -> Result<(), ConfigError> {
        let addresses =
            [("--s3-endpoint", &self.s3_endpoint), ("--s3-public-endpoint", &self.s3_public_endpoint)];
        for (option, given) in addresses {
            if let Some(given) = given {
                address(option, given, "http:// or https://")?;
            }
        }
        match (&self.s3_endpoint, &self.s3_public_endpoint) {
            (None, Some(_)) => Err(ConfigError::PublicEndpointAlone),
            (Some(_) | None, None) | (Some(_), Some(_)) => Ok(()),
        }
    }
}

/// What is wrong is told without the address, which may hold a password.
pub(super) fn address(option: &'static str, text: &str, schemes: &'static str) -> Result<(), ConfigError> {
    let rest = schemes.split(" or ").find_map(|scheme| text.strip_prefix(scheme));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(char::is_whitespace) => Ok(()),
        Some(_) | None => Err(ConfigError::Address { option, schemes }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart_by_their_schemes() {
        let amqp = |url: &str| BrokerArgs { amqp_url: url.to_owned() }.check();
        assert!(amqp("amqp://guest:guest@localhost:5672/%2f").is_ok());
        for bad in ["", "localhost:5672", "redis://user:secret@x", "amqp://", "amqp://a secret"] {
            let problem = amqp(bad).map_err(|error| error.to_string());
            assert!(
                problem.is_err_and(|text| text.contains("--amqp-url") && !text.contains("secret")),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_public_endpoint_needs_the_inner_one() {
        let bucket = |inner: Option<&str>, public: Option<&str>| BucketArgs {
            s3_endpoint: inner.map(str::to_owned),
            s3_public_endpoint: public.map(str::to_owned),
            s3_bucket: "b".to_owned(),
            s3_region: "r".to_owned(),
        };
        assert!(bucket(None, None).check().is_ok());
        assert!(bucket(Some("http://s3:9000"), Some("https://files.example.org")).check().is_ok());
        assert!(matches!(bucket(None, Some("https://x")).check(), Err(ConfigError::PublicEndpointAlone)));
        assert!(matches!(bucket(Some("s3:9000"), None).check(), Err(ConfigError::Address { .. })));
    }
}
