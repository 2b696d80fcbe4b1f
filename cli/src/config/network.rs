//! Where the server listens.

use super::ConfigError;
use clap::{Args, builder::BoolishValueParser};
use std::net::SocketAddr;

#[derive(Args, Clone, Debug)]
pub struct NetworkArgs {
    /// Address and port to listen on
    #[arg(long, env = "SCRIPTORIUM_LISTEN", value_name = "HOST:PORT", default_value = "127.0.0.1:8787")]
    pub listen: String,

    /// Answer whoever comes without an API key, also where other machines can reach it: something in front of it, or the
    /// network, keeps strangers out
    #[arg(long, env = "SCRIPTORIUM_ALLOW_UNAUTHENTICATED", value_parser = BoolishValueParser::new())]
    pub allow_unauthenticated: bool,
}

impl NetworkArgs {
    /// The addresses behind `--listen`; all of them loopback, unless keys are asked for or open listening is.
    ///
    /// # Errors
    /// The name has no address, or strangers could reach it.
    pub async fn addresses(&self, keys: bool) -> Result<Vec<SocketAddr>, ConfigError> {
        let listen = &self.listen;
        let refused = |reason: String| ConfigError::Listen { listen: listen.clone(), reason };
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host(listen)
            .await
            .map_err(|error| refused(format!("not an address like 127.0.0.1:8787 ({error})")))?
            .collect();
        if addresses.is_empty() {
            return Err(refused("this name has no address".to_owned()));
        }
        if !keys
            && !self.allow_unauthenticated
            && !addresses.iter().all(|address| address.ip().to_canonical().is_loopback())
        {
            return Err(ConfigError::OpenToOthers { listen: listen.clone() });
        }
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn addresses(listen: &str, allow_unauthenticated: bool) -> Result<Vec<SocketAddr>, ConfigError> {
        let args = NetworkArgs { listen: listen.to_owned(), allow_unauthenticated };
        let with_keys = args.addresses(true).await;
        assert_eq!(
            with_keys.is_ok(),
            !matches!(with_keys, Err(ConfigError::Listen { .. })),
            "keys keep strangers out"
        );
        args.addresses(false).await
    }

    #[tokio::test]
    async fn strangers_are_kept_out_unless_asked_in() {
        for loopback in
            ["127.0.0.1:0", "127.9.9.9:80", "[::1]:8787", "[::ffff:127.0.0.1]:80", "localhost:8787"]
        {
            assert!(addresses(loopback, false).await.is_ok(), "{loopback}");
        }
        for open in ["0.0.0.0:8787", "[::]:8787", "192.0.2.1:80", "[::ffff:192.0.2.1]:80"] {
            assert!(matches!(addresses(open, false).await, Err(ConfigError::OpenToOthers { .. })), "{open}");
            assert!(addresses(open, true).await.is_ok(), "{open}");
        }
        for bad in ["", "8787", "127.0.0.1", "127.0.0.1:70000"] {
            assert!(matches!(addresses(bad, true).await, Err(ConfigError::Listen { .. })), "{bad}");
        }
    }
}
