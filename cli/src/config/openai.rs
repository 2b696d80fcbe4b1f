//! A speech-to-text service elsewhere.

use super::ConfigError;
use super::services::address;
use super::values::seconds;
use clap::Args;
use reqwest::Url;
use scriptorium_shared::limiter::CallLimits;
use scriptorium_worker::engine::OpenAiConfig;
use scriptorium_worker::engine::openai::Endpoint;
use std::fmt;
use std::time::Duration;

const OPENAI: &str = "https://api.openai.com/v1";

#[derive(Args, Clone)]
pub struct OpenAiArgs {
    /// Of engine `openai`: addresses of the API, with its version, separated by commas; the next is asked where the one before
    /// does not answer
    #[arg(long, env = "SCRIPTORIUM_OPENAI_BASE_URL", value_name = "URL,…", value_delimiter = ',', default_value = OPENAI)]
    pub openai_base_url: Vec<String>,

    /// The API's key, or one for each address, separated by commas. A secret: better given as a variable
    #[arg(
        long,
        env = "SCRIPTORIUM_OPENAI_API_KEY",
        value_name = "KEY,…",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub openai_api_key: Vec<String>,

    /// The model, as the API calls it; it has to know `verbose_json`
    #[arg(long, env = "SCRIPTORIUM_OPENAI_MODEL", value_name = "NAME", default_value = "whisper-1",
          value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub openai_model: String,

    /// Longest time of one call
    #[arg(long, env = "SCRIPTORIUM_OPENAI_TIMEOUT_SECONDS", value_name = "SECONDS", default_value = "120", value_parser = seconds)]
    pub openai_timeout_seconds: Duration,

    /// Calls of the API a minute, over all workers together; each is for up to 30 s of sound
    #[arg(long, env = "SCRIPTORIUM_API_RATE_LIMIT_PER_MINUTE", value_name = "N", default_value = "20",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub api_rate_limit_per_minute: u32,

    /// Calls of the API at the same time, over all workers together
    #[arg(long, env = "SCRIPTORIUM_API_CONCURRENT_CALLS", value_name = "N", default_value = "4",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub api_concurrent_calls: u32,
}

/// Without the keys.
impl fmt::Debug for OpenAiArgs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = formatter.debug_struct("OpenAiArgs");
        told.field("model", &self.openai_model).field("keys", &self.openai_api_key.len());
        told.finish_non_exhaustive()
    }
}

impl OpenAiArgs {
    /// # Errors
    /// An address is none or has a password, or the keys do not go with the addresses.
    pub fn config(&self, slots: usize) -> Result<OpenAiConfig, ConfigError> {
        let (urls, keys) = (&self.openai_base_url, &self.openai_api_key);
        if keys.is_empty() && urls.iter().any(|url| url == OPENAI) {
            return Err(ConfigError::NoApiKey);
        }
        Ok(OpenAiConfig {
            endpoints: endpoints("--openai-base-url", urls, keys)?,
            model: self.openai_model.clone(),
            limits: CallLimits {
                per_minute: Some(self.api_rate_limit_per_minute),
                concurrent: Some(self.api_concurrent_calls),
            },
            slots,
            timeout: self.openai_timeout_seconds,
            first_pause: Duration::from_secs(1),
        })
    }
}

/// Addresses with their keys: one for all, or one each. `option` is the addresses'.
///
/// # Errors
/// An address is none or has a password, or the keys do not go with the addresses.
pub(super) fn endpoints(
    option: &'static str,
    urls: &[String],
    keys: &[String],
) -> Result<Vec<Endpoint>, ConfigError> {
    if keys.len() > 1 && keys.len() != urls.len() {
        return Err(ConfigError::ApiKeys { option });
    }
    let endpoint = |(index, url): (usize, &String)| -> Result<Endpoint, ConfigError> {
        address(option, url, "http:// or https://")?;
        // It stands in the log where a call fails.
        if url.parse::<Url>().is_ok_and(|url| !url.username().is_empty() || url.password().is_some()) {
            return Err(ConfigError::BaseUrlPassword { option });
        }
        let api_key = keys.get(index).or(keys.first()).cloned();
        Ok(Endpoint { base_url: url.clone(), api_key })
    };
    urls.iter().enumerate().map(endpoint).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn args(urls: &[&str], keys: &[&str]) -> Result<Vec<Endpoint>, ConfigError> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let args = OpenAiArgs {
            openai_base_url: owned(urls),
            openai_api_key: owned(keys),
            openai_model: "whisper-1".to_owned(),
            openai_timeout_seconds: Duration::from_secs(1),
            api_rate_limit_per_minute: 20,
            api_concurrent_calls: 4,
        };
        Ok(args.config(2)?.endpoints)
    }

    #[test]
    fn keys_go_with_addresses() {
        let keys = |urls, given| {
            let endpoints: Vec<Endpoint> = args(urls, given).unwrap();
            endpoints.into_iter().map(|endpoint| endpoint.api_key).collect::<Vec<_>>()
        };
        let some = |key: &str| Some(key.to_owned());
        assert_eq!(keys(&["http://a/v1"], &[]), [None]);
        assert_eq!(keys(&[OPENAI, "http://a/v1"], &["x"]), [some("x"), some("x")]);
        assert_eq!(keys(&[OPENAI, "http://a/v1"], &["x", "y"]), [some("x"), some("y")]);
        assert!(matches!(args(&[OPENAI], &[]), Err(ConfigError::NoApiKey)));
        assert!(matches!(args(&["http://a"], &["x", "y"]), Err(ConfigError::ApiKeys { .. })));
        assert!(matches!(args(&["a"], &[]), Err(ConfigError::Address { .. })));
        assert!(matches!(args(&["https://me:hidden@a/v1"], &[]), Err(ConfigError::BaseUrlPassword { .. })));
    }
}
