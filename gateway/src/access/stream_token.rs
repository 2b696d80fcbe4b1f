//! Leave to read one job's live stream, in its address: `EventSource` in browsers cannot send a header.
//!
//! `<key id>.<end, seconds since 1970>.<HMAC-SHA256>`, made of the key's stored hash, which every gateway knows and no client
//! learns. It opens nothing but this stream, ends by itself, and dies with its key.

use crate::config::GatewayConfig;
use hmac::{Hmac, KeyInit, Mac};
use http::{Method, Uri};
use scriptorium_contracts::tenant::KeyRecord;
use scriptorium_contracts::{JobId, Timestamp};
use scriptorium_shared::tenants::is_id;
use sha2::Sha256;

/// What the addresses of streams begin with.
const STREAM: &str = "/chunked-stream/";
const PARAMETER: &str = "token=";
/// Seconds; no token is good for longer, whatever it says.
const LONGEST: u64 = 7 * 86_400;

/// A token that somebody has shown, for a job.
pub struct StreamToken {
    pub key: String,
    job: JobId,
    end: u64,
    mac: Vec<u8>,
}

/// The token of a request for a stream, if it has one.
pub fn of_request(method: &Method, uri: &Uri) -> Option<StreamToken> {
    let job = uri.path().strip_prefix(STREAM).filter(|_| *method == Method::GET)?;
    let job = crate::request::address::job_id(job).ok()?;
    let token = uri.query()?.split('&').find_map(|pair| pair.strip_prefix(PARAMETER))?;
    let mut parts = token.splitn(3, '.');
    let (key, end, mac) = (parts.next()?, parts.next()?, parts.next()?);
    if !is_id(key) || mac.len() != 64 {
        return None;
    }
    Some(StreamToken { key: key.to_owned(), job, end: end.parse().ok()?, mac: hex::decode(mac).ok()? })
}

impl StreamToken {
    /// Whether the key's holder was given it, and it is still good. Takes the same time wherever it is wrong.
    pub fn is(&self, key: &KeyRecord, now: Timestamp) -> bool {
        let seconds = now.0 / 1_000;
        let in_time = (seconds..=seconds.saturating_add(LONGEST)).contains(&self.end);
        in_time && mac(key, self.job, self.end).is_some_and(|mac| mac.verify_slice(&self.mac).is_ok())
    }
}

/// The address of a job's stream, with a token where a key is needed.
pub fn address(config: &GatewayConfig, key: Option<&KeyRecord>, job: JobId, now: Timestamp) -> String {
    let plain = format!("{STREAM}{job}");
    let Some(key) = key else { return plain };
    let end = now.0 / 1_000 + config.url_expiry.as_secs().min(LONGEST);
    match mac(key, job, end) {
        Some(mac) => {
            let mac = hex::encode(mac.finalize().into_bytes());
            format!("{plain}?{PARAMETER}{}.{end}.{mac}", key.id)
        }
        None => plain,
    }
}

/// `None`: the record is damaged.
fn mac(key: &KeyRecord, job: JobId, end: u64) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&hex::decode(&key.hash).ok()?).ok()?;
    mac.update(b"stream v1\0");
    mac.update(job.as_uuid().as_bytes());
    mac.update(&end.to_be_bytes());
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;
    use scriptorium_shared::tenants::NewKey;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn key() -> KeyRecord {
        NewKey::random("acme".parse().unwrap(), None, NOW, None).record
    }

    fn shown(address: &str) -> Option<StreamToken> {
        of_request(&Method::GET, &address.parse().unwrap())
    }

    #[test]
    fn a_token_opens_one_stream_for_a_while() {
        let config = GatewayConfig { url_expiry: Duration::from_secs(60), ..GatewayConfig::default() };
        let (key, other) = (key(), key());
        let job: JobId = "018f6d1e-6c1c-7c5c-9a54-0f4b5c3a2d1e".parse().unwrap();
        let address = address(&config, Some(&key), job, NOW);
        let token = shown(&format!("{address}&partial=delta")).unwrap();
        assert_eq!(token.key, key.id);
        assert!(token.is(&key, NOW) && token.is(&key, NOW.plus(60_000)));
        assert!(!token.is(&key, NOW.plus(61_000)) && !token.is(&other, NOW));
        // For another job, another end, or changed at its end.
        let another = address.replace("018f6d1e-6c1c", "118f6d1e-6c1c");
        assert!(!shown(&another).unwrap().is(&key, NOW));
        let (before, mac) = address.rsplit_once('.').unwrap();
        assert!(!shown(&format!("{before}0.{mac}")).unwrap().is(&key, NOW));
        let last = if mac.ends_with('0') { '1' } else { '0' };
        let changed = format!("{}{last}", &address[..address.len() - 1]);
        assert!(!shown(&changed).unwrap().is(&key, NOW));
    }

    #[test]
    fn what_is_no_token_is_none() {
        let job = "018f6d1e-6c1c-7c5c-9a54-0f4b5c3a2d1e";
        let mac = "ab".repeat(32);
        let good = format!("{STREAM}{job}?token=0123456789abcdef.1.{mac}");
        assert!(shown(&good).is_some());
        assert!(of_request(&Method::POST, &good.parse().unwrap()).is_none());
        for bad in [
            format!("{STREAM}{job}"),
            format!("{STREAM}{job}?token="),
            format!("{STREAM}{job}?token=0123456789abcdef.1"),
            format!("{STREAM}{job}?token=0123456789abcdef.x.{mac}"),
            format!("{STREAM}{job}?token=0123456789abcdef.1.{}", "zz".repeat(32)),
            format!("{STREAM}7?token=0123456789abcdef.1.{mac}"),
            format!("/jobs/{job}?token=0123456789abcdef.1.{mac}"),
        ] {
            assert!(shown(&bad).is_none(), "{bad}");
        }
    }
}
