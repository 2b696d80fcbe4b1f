//! Secrets, and the signatures that are made with them. Pure but for the randomness of a new one.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use scriptorium_contracts::Timestamp;
use scriptorium_contracts::signing::{SecretText, SigningSecret};
use sha2::Sha256;
use std::fmt;
use thiserror::Error;
use uuid::Uuid;

const PREFIX: &str = "whsec_";
/// Secrets at once. Two are enough to change one for the other.
const MAX_SECRETS: usize = 8;
/// Hexadecimal digits of an id.
const ID_LENGTH: usize = 16;
/// With padding or without: both are in use.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What is wrong with a list of secrets. It does not repeat them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SecretError {
    #[error(
        "each secret has to be `{PREFIX}` and then base64, as of `echo {PREFIX}$(openssl rand -base64 32)`"
    )]
    Form,
    #[error("the base64 of each secret has to stand for 24 to 64 bytes")]
    Length,
    #[error("there are more than {MAX_SECRETS} secrets")]
    TooMany,
}

/// All of them sign. To change a secret, the new one is added, receivers learn it, and the old one is taken away.
#[derive(Clone, Default)]
pub struct Secrets {
    keyed: Vec<Hmac<Sha256>>,
}

impl Secrets {
    /// Secrets with spaces or commas between them; an empty text has none.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let words = text.split([' ', ',', '\t', '\r', '\n']).filter(|word| !word.is_empty());
        let keyed: Vec<Hmac<Sha256>> = words.map(parse_one).collect::<Result<_, _>>()?;
        if keyed.len() > MAX_SECRETS { Err(SecretError::TooMany) } else { Ok(Self { keyed }) }
    }

    /// Those of a tenant.
    ///
    /// # Errors
    /// One of them is none.
    pub fn of<'a>(secrets: impl Iterator<Item = &'a SigningSecret>) -> Result<Self, SecretError> {
        let keyed = secrets.map(|secret| parse_one(secret.secret.reveal())).collect::<Result<_, _>>()?;
        Ok(Self { keyed })
    }

    pub fn is_empty(&self) -> bool {
        self.keyed.is_empty()
    }

    /// The `webhook-signature` of a message that is sent at `seconds` since 1970: one signature a secret.
    pub fn sign(&self, id: &str, seconds: u64, body: &[u8]) -> String {
        let signatures = self.keyed.iter().map(|keyed| {
            let mut mac = keyed.clone();
            mac.update(format!("{id}.{seconds}.").as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

/// A secret that nobody has had: 244 random bits, of two random UUIDs.
pub fn new_secret(now: Timestamp) -> SigningSecret {
    let id: String = Uuid::new_v4().simple().to_string().chars().take(ID_LENGTH).collect();
    let bytes = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
    let secret = SecretText::new(format!("{PREFIX}{}", STANDARD.encode(bytes)));
    SigningSecret { id, secret, created_at: now, ends_at: None }
}

fn parse_one(word: &str) -> Result<Hmac<Sha256>, SecretError> {
    let key = word.strip_prefix(PREFIX).and_then(|text| BASE64.decode(text).ok()).ok_or(SecretError::Form)?;
    if !(24..=64).contains(&key.len()) {
        return Err(SecretError::Length);
    }
    Hmac::new_from_slice(&key).map_err(|_| SecretError::Length)
}

/// Says how many there are, and no more.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.keyed.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    const LONG: &str =
        "whsec_QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl9gYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+fw==";

    /// Made with the official library (`standardwebhooks` 1.1.0 for Python).
    #[test]
    fn signatures_are_those_of_the_official_library() {
        let id = "msg_018c2f5e7d3a7b1c9f000123456789ab_1";
        let body = "{\"type\":\"job.completed\",\"timestamp\":\"2026-11-22T12:00:00.000Z\",\"data\":\
                    {\"parent_job_id\":\"018c2f5e-7d3a-7b1c-9f00-0123456789ab\"}}";
        let sign = |secret: &str, id: &str, seconds, body: &str| {
            Secrets::parse(secret).unwrap().sign(id, seconds, body.as_bytes())
        };
        let by_short = "v1,dqGzVv9XQaQjGzrCMMc22nul1OF8S2Vf6ck1QbipQwg=";
        let by_long = "v1,dxjIi9hpYKsAYgnswwvQar6wQ2K9E4mh970wKsWNKHk=";
        assert_eq!(sign(SHORT, id, 1_795_348_800, body), by_short);
        assert_eq!(sign(LONG, id, 1_795_348_800, body), by_long);
        assert_eq!(sign(SHORT, "msg_0", 0, ""), "v1,oz4zAcQYGM0MKaQ28rv+Vz2Lb+qLnjYTkIb3/gd8j2o=");
        let text = sign(LONG, "msg_7", 1_700_000_000, "Größe: 五");
        assert_eq!(text, "v1,LgYmBFJ0rE3PGV/zpS5ELMI2VrKTiPflUSJ771ubbbw=");
        for both in [format!("{SHORT} {LONG}"), format!("{SHORT},{LONG}"), format!(" {SHORT},\n{LONG} ")] {
            assert_eq!(sign(&both, id, 1_795_348_800, body), format!("{by_short} {by_long}"));
        }
        assert_eq!(sign(LONG.trim_end_matches('='), id, 1_795_348_800, body), by_long);
    }

    #[test]
    fn new_secrets_sign() {
        let (one, other) = (new_secret(Timestamp(7)), new_secret(Timestamp(7)));
        assert!(one.id != other.id && one.id.len() == ID_LENGTH && one.secret != other.secret);
        let both = Secrets::of([&one, &other].into_iter()).unwrap();
        let listed = Secrets::parse(&format!("{},{}", one.secret.reveal(), other.secret.reveal())).unwrap();
        assert_eq!(both.sign("msg_1", 7, b"{}"), listed.sign("msg_1", 7, b"{}"));
        let spoiled = SigningSecret { secret: SecretText::new("whsec_".to_owned()), ..one };
        assert_eq!(Secrets::of([&spoiled].into_iter()).unwrap_err(), SecretError::Length);
    }

    #[test]
    fn secrets_that_can_not_be_used() {
        let many = [SHORT; 9].join(" ");
        for (text, error) in [
            ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", SecretError::Form),
            ("whsec_", SecretError::Length),
            ("whsec_AAEC", SecretError::Length),
            ("whsec_not/base64!", SecretError::Form),
            ("WHSEC_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", SecretError::Form),
            (&format!("{LONG}{LONG}"), SecretError::Form),
            (&format!("{SHORT} x"), SecretError::Form),
            (&many, SecretError::TooMany),
        ] {
            assert_eq!(Secrets::parse(text).unwrap_err(), error, "{text}");
        }
        assert!(Secrets::parse(" , ").unwrap().is_empty());
        assert_eq!(format!("{:?}", Secrets::parse(LONG).unwrap()), "1 secrets");
    }
}
