//! Presigned upload URLs: the address, the length and the expiry are all part of the signature.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::presigning::PresigningConfig;
use http::Uri;
use http::uri::Scheme;

use super::ObjectsError;

/// The longest life that signature version 4 allows a presigned URL.
pub const MAX_EXPIRY: Duration = Duration::from_secs(7 * 24 * 3600);

/// Signs a `PUT` of exactly `size` bytes to `key`. Signing is arithmetic: nothing is sent.
///
/// `base` replaces the client's endpoint for this one call, since the signature covers the `Host` header that the
/// uploader will send. It is an override of one setting, so that no second client is kept for each host name.
pub async fn presign_put(
    client: &Client,
    bucket: &str,
    key: &str,
    size: u64,
    expires: Duration,
    base: Option<&str>,
) -> Result<String, ObjectsError> {
    if expires.is_zero() || expires > MAX_EXPIRY {
        return Err(ObjectsError::Request("an upload URL lives between one second and seven days"));
    }
    let size = i64::try_from(size).map_err(|_| ObjectsError::Request("the size is out of range"))?;
    let expiry = PresigningConfig::expires_in(expires)
        .map_err(|_| ObjectsError::Request("the expiry is out of range"))?;
    let put = client.put_object().bucket(bucket).key(key).content_length(size);
    let signed = match base {
        None => put.presigned(expiry).await,
        Some(base) => {
            let endpoint = Builder::new().endpoint_url(normal_base(base)?);
            put.customize().config_override(endpoint).presigned(expiry).await
        }
    };
    Ok(signed.map_err(ObjectsError::from_sdk)?.uri().to_owned())
}

/// `scheme://host[:port]` as HTTP clients will write it into the `Host` header: lower case, no default port. Anything
/// else in the address (user, path, query) is refused, for `base` may come from a request's own `Host` header.
pub fn normal_base(base: &str) -> Result<String, ObjectsError> {
    const WRONG: ObjectsError = ObjectsError::Request("the upload address is not http(s)://host[:port]");
    let uri: Uri = base.parse().map_err(|_| WRONG)?;
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else { return Err(WRONG) };
    let default_port = match scheme {
        s if *s == Scheme::HTTP => 80,
        s if *s == Scheme::HTTPS => 443,
        _ => return Err(WRONG),
    };
    let bare = (uri.path().is_empty() || uri.path() == "/") && uri.query().is_none();
    // No user before the host, and nothing behind it but a port.
    let named = !authority.host().is_empty() && authority.as_str().starts_with(authority.host());
    let port = authority.as_str().len() == authority.host().len() || authority.port_u16().is_some();
    if !bare || !named || !port {
        return Err(WRONG);
    }
    let host = authority.host().to_ascii_lowercase();
    Ok(match authority.port_u16().filter(|port| *port != default_port) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
}

#[cfg(test)]
mod tests {
    use super::normal_base;

    #[test]
    fn a_base_is_written_as_clients_will_write_the_host() {
        for (given, normal) in [
            ("http://localhost:8787", "http://localhost:8787"),
            ("http://LocalHost:8787/", "http://localhost:8787"),
            ("http://localhost:80", "http://localhost"),
            ("https://s3.example.org:443", "https://s3.example.org"),
            ("https://s3.example.org:80", "https://s3.example.org:80"),
            ("http://[::1]:8787", "http://[::1]:8787"),
        ] {
            assert_eq!(normal_base(given).unwrap(), normal, "{given}");
        }
    }

    #[test]
    fn a_base_is_an_address_and_nothing_else() {
        for given in [
            "",
            "localhost:8787",
            "/",
            "ftp://host",
            "http://",
            "http://user@host",
            "http://host/path",
            "http://host?query",
            "http://ho st",
            "http://host\r\nX: y",
            "http://host:port",
            "http://host:",
            "http://host:65536",
            "http://user:x@host:1",
        ] {
            assert!(normal_base(given).is_err(), "{given:?}");
        }
    }
}
