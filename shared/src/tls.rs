//! Certificates for the connections to RabbitMQ, Redis and S3.

use redis::{ClientTlsConfig, TlsCertificates};
use std::fmt;
use thiserror::Error;

/// What is trusted besides the authorities of the system, and how this process says who it is. PEM throughout. `Debug` tells
/// none of it.
#[derive(Clone, Default)]
pub struct Tls {
    /// Redis's certificate must then come from one of these; the client library asks either these or the system's.
    pub(crate) authorities: Option<String>,
    pub(crate) identity: Option<Identity>,
}

/// For services that ask their clients for a certificate: RabbitMQ and Redis. (S3 has its keys.)
#[derive(Clone)]
pub struct Identity {
    /// The client's certificate first, then those between it and its authority.
    pub certificates: String,
    /// Secret.
    pub key: String,
}

/// Which of them it is, is told by the parser, more or less.
#[derive(Debug, Error)]
#[error("the certificates or the key can't be used: {0}")]
pub struct TlsError(String);

impl Tls {
    /// # Errors
    /// Something in it is no certificate, or no key.
    pub fn new(authorities: Option<String>, identity: Option<Identity>) -> Result<Self, TlsError> {
        let tls = Self { authorities, identity };
        // This client parses everything as the others do, and tells what is wrong; that of S3 would panic later.
        match redis::Client::build_with_tls("rediss://localhost", tls.for_redis()) {
            Ok(_) => Ok(tls),
            Err(error) => Err(TlsError(error.to_string())),
        }
    }

    pub(crate) fn for_redis(&self) -> TlsCertificates {
        let identity = |Identity { certificates, key }: &Identity| ClientTlsConfig {
            client_cert: certificates.clone().into_bytes(),
            client_key: key.clone().into_bytes(),
        };
        TlsCertificates {
            client_tls: self.identity.as_ref().map(identity),
            root_cert: self.authorities.clone().map(String::into_bytes),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (authorities, identity) = (self.authorities.is_some(), self.identity.is_some());
        write!(f, "Tls {{ authorities: {authorities}, identity: {identity} }}")
    }
}

/// What people can do about an error of a connection, if it is one of certificates: no waiting mends it. The libraries hide
/// the error of the handshake in texts of their own, so it is known by its words.
pub(crate) fn refusal(error: &str) -> Option<String> {
    if error.contains("invalid peer certificate") {
        return Some(format!(
            "its certificate is not accepted: {error}; name the authority that has signed it with --tls-ca-file, and use a host \
             name that stands in it"
        ));
    }
    let (_, alert) = error.split_once("received fatal alert: ")?;
    let of_certificates =
        ["CertificateRequired", "BadCertificate", "UnknownCA", "CertificateUnknown", "HandshakeFailure"];
    of_certificates.iter().any(|known| alert.starts_with(known)).then(|| {
        format!(
            "it does not accept who this is: {error}; give a certificate that it knows with --tls-certificate-file and \
             --tls-key-file"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_from_what_passes() {
        let unknown = refusal("IO error: invalid peer certificate: UnknownIssuer").unwrap();
        assert!(unknown.contains("UnknownIssuer") && unknown.contains("--tls-ca-file"), "{unknown}");
        let asked = refusal("received fatal alert: CertificateRequired").unwrap();
        assert!(asked.contains("--tls-certificate-file"), "{asked}");
        for passing in ["connection refused", "received fatal alert: InternalError", "timed out", ""] {
            assert_eq!(refusal(passing), None);
        }
    }

    #[test]
    fn keys_are_not_shown() {
        let identity = Identity { certificates: "shown to all".to_owned(), key: "hush".to_owned() };
        let told = format!("{:?}", Tls { authorities: Some("hush".to_owned()), identity: Some(identity) });
        assert!(!told.contains("hush"), "{told}");
    }
}
