//! Requests to addresses that users name. They must not reach what stands behind the same firewall as this process: other
//! services, the cloud's metadata, the machine itself.
//!
//! A name is looked up by [`PublicNames`], which leaves out every address that is not of the public network; the connection
//! goes to the addresses that are left, so a name that answers otherwise the next time has no second time. Addresses that are
//! written as numbers are looked at by [`check_url`]. Nothing is redirected by itself (who follows a redirection checks its address as
//! any other), and no proxy is asked to do what is refused here.

mod answer;
mod public;

pub(crate) use answer::{Trouble, retry_after};
use futures::FutureExt;
pub use public::is_public;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url, redirect, retry};
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use thiserror::Error;

/// Addresses of one name that are tried at most.
const MAX_ADDRESSES: usize = 8;
/// Characters.
const MAX_URL: usize = 2_048;
/// Characters.
pub const MAX_SIGNED_URL: usize = 8_192;

/// Where requests may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To the public network, by https.
    Public,
    /// Anywhere, also by http: for closed networks and tests.
    Anywhere,
}

/// Why an address can't be used. The texts may be told to users: `it …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    #[error("it has to be an https address of at most {MAX_URL} characters without a password")]
    NotHttps,
    #[error("it has to be an http or https address of at most {MAX_URL} characters without a password")]
    NotHttp,
    #[error("it leads to an address that is not of the public network")]
    Private,
}

/// An address that a request may be sent to, as far as that can be said without looking its name up.
pub fn check_url(text: &str, reach: Reach) -> Result<Url, AddressError> {
    check_length(text, reach, MAX_URL)
}

/// The same for addresses that carry signatures, which may be longer.
pub fn check_signed_url(text: &str, reach: Reach) -> Result<Url, AddressError> {
    check_length(text, reach, MAX_SIGNED_URL)
}

fn check_length(text: &str, reach: Reach, most: usize) -> Result<Url, AddressError> {
    let wrong = match reach {
        Reach::Public => AddressError::NotHttps,
        Reach::Anywhere => AddressError::NotHttp,
    };
    if text.len() > most {
        return Err(wrong);
    }
    let url: Url = text.parse().map_err(|_| wrong)?;
    let scheme = url.scheme() == "https" || reach == Reach::Anywhere && url.scheme() == "http";
    let credentials = !url.username().is_empty() || url.password().is_some();
    let Some(host) = url.host_str().filter(|_| scheme && !credentials) else { return Err(wrong) };
    // Every way to write a number as an address has been made the usual one by the parser.
    let literal: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    if reach == Reach::Public && literal.is_some_and(|address| !is_public(address)) {
        return Err(AddressError::Private);
    }
    Ok(url)
}

/// A client for addresses that [`check_url`] has let through. Each request has a connection of its own, so that each is
/// checked.
///
/// # Errors
/// The system has no certificates to check others by.
pub fn client(reach: Reach, connect: Duration, whole: Duration) -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(concat!("Scriptorium/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(PublicNames { reach })
        .https_only(reach == Reach::Public)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .retry(retry::never())
        .pool_max_idle_per_host(0)
        .connect_timeout(connect)
        .timeout(whole)
        .build()
}

/// Looks names up, and leaves out what may not be reached.
#[derive(Clone, Copy, Debug)]
struct PublicNames {
    reach: Reach,
}

/// Why a name gave no address to connect to; it is among the sources of the client's error.
#[derive(Debug, Error)]
pub enum NameError {
    #[error("the name can't be looked up")]
    Unknown(#[source] std::io::Error),
    #[error("the name has no address")]
    Empty,
    #[error("the name has no address of the public network")]
    Private,
}

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.reach;
        let looked_up = async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(NameError::Unknown)?;
            allowed(reach, found.take(MAX_ADDRESSES).collect())
        };
        looked_up.map(|addresses| Ok(Box::new(addresses?.into_iter()) as Addrs)).boxed()
    }
}

fn allowed(reach: Reach, mut found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, NameError> {
    if found.is_empty() {
        return Err(NameError::Empty);
    }
    found.retain(|address| reach == Reach::Anywhere || is_public(address.ip()));
    if found.is_empty() { Err(NameError::Private) } else { Ok(found) }
}

/// The first error of this kind among an error and its sources.
pub fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |error| (**error).source()).find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_users_name() {
        use AddressError::{NotHttp, NotHttps, Private};
        let long = format!("https://example.org/{}", "x".repeat(2_048));
        for (url, public, anywhere) in [
            ("https://example.org/hook?a=b", None, None),
            ("https://example.org:8443/", None, None),
            ("https://93.184.216.34/", None, None),
            ("https://[2606:2800:220:1::1]/", None, None),
            ("http://example.org/", Some(NotHttps), None),
            ("ftp://example.org/", Some(NotHttps), Some(NotHttp)),
            ("file:///etc/passwd", Some(NotHttps), Some(NotHttp)),
            ("not a url", Some(NotHttps), Some(NotHttp)),
            ("/relative", Some(NotHttps), Some(NotHttp)),
            ("https://", Some(NotHttps), Some(NotHttp)),
            ("https://user@example.org/", Some(NotHttps), Some(NotHttp)),
            ("https://user:secret@example.org/", Some(NotHttps), Some(NotHttp)),
            (&long, Some(NotHttps), Some(NotHttp)),
            ("https://127.0.0.1/", Some(Private), None),
            ("https://127.1/", Some(Private), None),
            ("https://2130706433/", Some(Private), None),
            ("https://0x7f.0.0.1/", Some(Private), None),
            ("https://0177.0.0.1/", Some(Private), None),
            ("https://127.0.0.1./", Some(Private), None),
            ("https://１２７.0.0.1/", Some(Private), None),
            ("https://10.0.0.1:8443/", Some(Private), None),
            ("https://169.254.169.254/latest/meta-data/", Some(Private), None),
            ("https://[::1]/", Some(Private), None),
            ("https://[::ffff:10.0.0.1]/", Some(Private), None),
            ("https://[64:ff9b::a9fe:a9fe]/", Some(Private), None),
        ] {
            assert_eq!(check_url(url, Reach::Public).err(), public, "{url}");
            assert_eq!(check_url(url, Reach::Anywhere).err(), anywhere, "{url}");
        }
        assert!(check_signed_url(&long, Reach::Public).is_ok());
        let longer = format!("{long}{}", "x".repeat(MAX_SIGNED_URL));
        assert_eq!(check_signed_url(&longer, Reach::Public), Err(NotHttps));
        assert_eq!(check_signed_url("https://127.0.0.1/", Reach::Public), Err(Private));
    }

    #[test]
    fn a_name_keeps_its_public_addresses_only() {
        let addresses =
            |texts: &[&str]| texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect();
        let mixed: Vec<SocketAddr> = addresses(&["10.0.0.1", "93.184.216.34", "::1"]);
        assert_eq!(allowed(Reach::Public, mixed.clone()).unwrap(), [mixed[1]]);
        assert_eq!(allowed(Reach::Anywhere, mixed.clone()).unwrap(), mixed);
        assert!(matches!(allowed(Reach::Public, addresses(&["127.0.0.1"])), Err(NameError::Private)));
        assert!(matches!(allowed(Reach::Anywhere, Vec::new()), Err(NameError::Empty)));
    }

    /// A name that leads to this machine, by the client itself: refused before anything is connected to.
    #[tokio::test]
    async fn the_client_refuses_what_a_name_hides() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let second = Duration::from_secs(1);
        let url = check_url(&format!("https://localhost:{port}/"), Reach::Public).unwrap();
        let error = client(Reach::Public, second, second).unwrap().get(url).send().await.unwrap_err();
        assert!(matches!(cause(&error), Some(NameError::Private)), "{error:?}");
        let url = check_url("https://nowhere.invalid/", Reach::Public).unwrap();
        let error = client(Reach::Public, second, second).unwrap().get(url).send().await.unwrap_err();
        assert!(error.is_timeout() || matches!(cause(&error), Some(NameError::Unknown(_))), "{error:?}");
        let waited = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(waited.is_err(), "someone connected");
    }
}
