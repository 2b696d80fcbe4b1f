//! Certificates for the services.

use super::ConfigError;
use clap::Args;
use scriptorium_shared::tls::{Identity, Tls};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A bundle of all authorities that browsers trust has a quarter of it.
const MAX_BYTES: u64 = 1 << 20;

#[derive(Args, Clone, Debug, Default)]
pub struct TlsArgs {
    /// File (PEM) with authorities to trust besides the system's, for amqps:, rediss: and https: to the object store. Where it
    /// is given, the certificate of Redis must come from one of these
    #[arg(long, env = "SCRIPTORIUM_TLS_CA_FILE", value_name = "FILE")]
    pub tls_ca_file: Option<PathBuf>,

    /// File (PEM) with the certificate that this process shows to RabbitMQ and Redis, if they ask for one
    #[arg(long, env = "SCRIPTORIUM_TLS_CERTIFICATE_FILE", value_name = "FILE")]
    pub tls_certificate_file: Option<PathBuf>,

    /// File (PEM) with the private key of that certificate
    #[arg(long, env = "SCRIPTORIUM_TLS_KEY_FILE", value_name = "FILE")]
    pub tls_key_file: Option<PathBuf>,
}

impl TlsArgs {
    /// # Errors
    /// A file can't be read, or holds something else; a certificate without its key.
    pub fn read(&self) -> Result<Tls, ConfigError> {
        let authorities = self.tls_ca_file.as_deref().map(|path| pem("--tls-ca-file", path, "CERTIFICATE"));
        let identity = match (&self.tls_certificate_file, &self.tls_key_file) {
            (None, None) => None,
            (Some(certificates), Some(key)) => Some(Identity {
                certificates: pem("--tls-certificate-file", certificates, "CERTIFICATE")?,
                key: pem("--tls-key-file", key, "PRIVATE KEY")?,
            }),
            (Some(_), None) | (None, Some(_)) => return Err(ConfigError::HalfAnIdentity),
        };
        Ok(Tls::new(authorities.transpose()?, identity)?)
    }
}

/// The text of a file that has a block of this kind in it. What else is in it is not told.
fn pem(option: &'static str, path: &Path, kind: &str) -> Result<String, ConfigError> {
    let wrong = |reason: String| ConfigError::TlsFile { option, path: path.to_owned(), reason };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(wrong("it has more than 1 MB".to_owned()));
    }
    let begins =
        |line: &str| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&format!("{kind}-----"));
    if !text.lines().any(begins) {
        return Err(wrong(format!("no block in it begins with -----BEGIN {kind}----- (PEM)")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(certificate: Option<&Path>, key: Option<&Path>) -> TlsArgs {
        let owned = |path: Option<&Path>| path.map(Path::to_owned);
        TlsArgs { tls_ca_file: None, tls_certificate_file: owned(certificate), tls_key_file: owned(key) }
    }

    #[test]
    fn files_are_looked_at_before_anything_is_begun() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let certificate =
            file("c.pem", "Subject: me\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let key = file("k.pem", "-----BEGIN EC PRIVATE KEY-----\nhush\n-----END EC PRIVATE KEY-----\n");
        let told = |args: TlsArgs| format!("{:?}", args.read().unwrap());
        assert!(told(args(Some(&certificate), Some(&key))).contains("identity: true"));
        assert!(told(args(None, None)).contains("identity: false"));
        // Its form is right, and it is none.
        let authority = TlsArgs { tls_ca_file: Some(certificate.clone()), ..TlsArgs::default() };
        assert!(matches!(authority.read(), Err(ConfigError::Tls(_))));
        for (certificate, key, named) in [
            (Some(&certificate), None, "belong together"),
            (None, Some(&key), "belong together"),
            (Some(&key), Some(&certificate), "--tls-certificate-file: "),
            (Some(&certificate), Some(&certificate), "--tls-key-file: "),
            (Some(&folder.path().join("none")), Some(&key), "none: "),
        ] {
            let told = args(certificate.map(PathBuf::as_path), key.map(PathBuf::as_path))
                .read()
                .unwrap_err()
                .to_string();
            assert!(told.contains(named) && !told.contains("hush"), "{told}");
        }
    }
}
