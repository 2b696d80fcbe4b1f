//! A language model that corrects text.

use super::ConfigError;
use super::openai::endpoints;
use super::values::seconds;
use clap::Args;
use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use scriptorium_shared::limiter::{CallLimits, Limiter};
use scriptorium_shared::llm::{Llm, LlmConfig};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// RabbitMQ takes a message back from who has it for half an hour.
const LONGEST: Duration = Duration::from_secs(1_500);

#[derive(Args, Clone)]
pub struct LlmArgs {
    /// Language model for jobs with `use_llm`: addresses of an OpenAI-compatible chat API, with its version, separated by commas;
    /// the next is asked where the one before does not answer. It has to know `response_format` `json_object`
    #[arg(long, env = "SCRIPTORIUM_LLM_BASE_URL", value_name = "URL,…", value_delimiter = ',')]
    pub llm_base_url: Vec<String>,

    /// The API's key, or one for each address, separated by commas. A secret: better given as a variable
    #[arg(
        long,
        env = "SCRIPTORIUM_LLM_API_KEY",
        value_name = "KEY,…",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub llm_api_key: Vec<String>,

    /// The model, as the API calls it
    #[arg(long, env = "SCRIPTORIUM_LLM_MODEL", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub llm_model: Option<String>,

    /// Tokens of the model's context: of a question and its answer together
    #[arg(long, env = "SCRIPTORIUM_LLM_CONTEXT_TOKENS", value_name = "N", default_value = "8192",
          value_parser = clap::value_parser!(u32).range(1_024..=10_000_000))]
    pub llm_context_tokens: u32,

    /// Longest time of one call of the language model
    #[arg(long, env = "SCRIPTORIUM_LLM_TIMEOUT_SECONDS", value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub llm_timeout_seconds: Duration,

    /// Longest time for which a chunk (`per_chunk`) or a transcript (`post_process`) waits for the language model, at most 1500;
    /// what is not corrected by then stays as it was heard
    #[arg(long, env = "SCRIPTORIUM_LLM_MAX_SECONDS", value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    pub llm_max_seconds: Duration,

    /// Calls of the language model a minute, over all processes together
    #[arg(long, env = "SCRIPTORIUM_LLM_RATE_LIMIT_PER_MINUTE", value_name = "N", default_value = "60",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub llm_rate_limit_per_minute: u32,

    /// Calls of the language model at the same time, over all processes together
    #[arg(long, env = "SCRIPTORIUM_LLM_CONCURRENT_CALLS", value_name = "N", default_value = "4",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub llm_concurrent_calls: u32,
}

/// Without the keys.
impl fmt::Debug for LlmArgs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = formatter.debug_struct("LlmArgs");
        told.field("model", &self.llm_model).field("keys", &self.llm_api_key.len());
        told.finish_non_exhaustive()
    }
}

impl LlmArgs {
    /// `None` without an address.
    ///
    /// # Errors
    /// An address is none or has a password, the keys do not go with the addresses, or the model is not named.
    pub fn config(&self) -> Result<Option<LlmConfig>, ConfigError> {
        if self.llm_base_url.is_empty() {
            return Ok(None);
        }
        let model = self.llm_model.clone().ok_or(ConfigError::NoLlmModel)?;
        Ok(Some(LlmConfig {
            endpoints: endpoints("--llm-base-url", &self.llm_base_url, &self.llm_api_key)?,
            model,
            context_tokens: self.llm_context_tokens,
            limits: CallLimits {
                per_minute: Some(self.llm_rate_limit_per_minute),
                concurrent: Some(self.llm_concurrent_calls),
            },
            timeout: self.llm_timeout_seconds,
            first_pause: Duration::from_secs(1),
            longest: self.llm_max_seconds.min(LONGEST),
        }))
    }
}

/// The language model of a configuration, if it has one.
///
/// # Errors
/// This machine has no root certificates to check a server's with.
pub fn load_llm(config: Option<LlmConfig>, limiter: &Limiter) -> Result<Option<Arc<Llm>>, ConfigError> {
    let load = |config| Llm::new(config, limiter.clone()).map(Arc::new);
    config.map(load).transpose().map_err(ConfigError::Llm)
}

/// What a gateway has to know of it.
#[derive(Args, Clone, Debug)]
pub struct AllowLlmArgs {
    /// Jobs may ask for corrections by a language model: workers and coordinators have one (their option `--llm-base-url`)
    #[arg(long, env = "SCRIPTORIUM_ALLOW_LLM", value_parser = BoolishValueParser::new())]
    pub allow_llm: bool,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_language_model_has_an_address_and_a_name() {
        let args = |urls: &[&str], model: Option<&str>| LlmArgs {
            llm_base_url: urls.iter().map(|url| (*url).to_owned()).collect(),
            llm_api_key: vec!["a-secret".to_owned()],
            llm_model: model.map(str::to_owned),
            llm_context_tokens: 8_192,
            llm_timeout_seconds: Duration::from_secs(60),
            llm_max_seconds: Duration::from_secs(86_400),
            llm_rate_limit_per_minute: 60,
            llm_concurrent_calls: 4,
        };
        assert!(args(&[], Some("m")).config().unwrap().is_none());
        assert!(matches!(args(&["http://a/v1"], None).config(), Err(ConfigError::NoLlmModel)));
        assert!(matches!(
            args(&["a"], Some("m")).config(),
            Err(ConfigError::Address { option: "--llm-base-url", .. })
        ));
        let config = args(&["http://a/v1", "http://b/v1"], Some("m")).config().unwrap().unwrap();
        assert_eq!((config.endpoints.len(), config.longest), (2, LONGEST));
        assert!(!format!("{config:?} {:?}", args(&[], None)).contains("a-secret"));
    }
}
