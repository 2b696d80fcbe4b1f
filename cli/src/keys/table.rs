//! Keys, secrets and limits as text. Pure.

use scriptorium_contracts::Timestamp;
use scriptorium_contracts::signing::SigningSecret;
use scriptorium_contracts::tenant::{TenantLimits, TenantName};
use scriptorium_shared::tenants::{KeyState, Ledger};
use serde_json::json;
use std::fmt::{Display, Write};

/// Characters of a label that are shown.
const LONGEST_LABEL: usize = 60;

/// `valid`, `expired` or `revoked`.
fn state(key: &KeyState, now: Timestamp) -> &'static str {
    match (key.revoked_at, key.is_valid(now)) {
        (Some(_), _) => "revoked",
        (None, true) => "valid",
        (None, false) => "expired",
    }
}

/// One line a key, with a line of titles before them.
pub fn rows<'a>(keys: impl Iterator<Item = &'a KeyState>, now: Timestamp) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:16}  {:8}  {:20}  {:20}  {:20}  LABEL",
        "KEY", "STATE", "TENANT", "CREATED", "EXPIRES"
    );
    for key in keys {
        let record = &key.record;
        let expires = record.expires_at.map_or_else(|| "never".to_owned(), date);
        let label = record.label.as_deref().unwrap_or_default();
        let label: String = label.chars().filter(|c| !c.is_control()).take(LONGEST_LABEL).collect();
        let line = format!(
            "{:16}  {:8}  {:20}  {:20}  {:20}  {label}",
            record.id,
            state(key, now),
            record.tenant.as_str(),
            date(record.created_at),
            expires
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

/// One line of JSON.
pub fn json(key: &KeyState, now: Timestamp) -> String {
    let record = &key.record;
    let line = json!({
        "id": record.id,
        "tenant": record.tenant,
        "label": record.label,
        "state": state(key, now),
        "created_at": record.created_at.rfc3339(),
        "expires_at": record.expires_at.map(Timestamp::rfc3339),
        "revoked_at": key.revoked_at.map(Timestamp::rfc3339),
    });
    format!("{line}\n")
}

/// One line a secret of a tenant, with a line of titles before them.
pub fn secrets(secrets: &[SigningSecret], now: Timestamp) -> String {
    let mut out = format!("{:16}  {:7}  {:20}  SIGNS UNTIL\n", "SECRET", "STATE", "CREATED");
    for secret in secrets {
        let (state, created) = (signs(secret, now), date(secret.created_at));
        let end = secret.ends_at.map_or_else(|| "revoked".to_owned(), date);
        let _ = writeln!(out, "{:16}  {state:7}  {created:20}  {end}", secret.id);
    }
    out
}

/// One line of JSON.
pub fn secret_json(secret: &SigningSecret, now: Timestamp) -> String {
    let line = json!({
        "id": secret.id,
        "state": signs(secret, now),
        "created_at": secret.created_at.rfc3339(),
        "ends_at": secret.ends_at.map(Timestamp::rfc3339),
    });
    format!("{line}\n")
}

fn signs(secret: &SigningSecret, now: Timestamp) -> &'static str {
    if secret.signs(now) { "signs" } else { "ended" }
}

/// To the second.
fn date(at: Timestamp) -> String {
    let text = at.rfc3339();
    format!("{}Z", text.split('.').next().unwrap_or_default())
}

/// What a tenant may, and what it has taken up.
pub fn limits(tenant: &TenantName, limits: &TenantLimits, ledger: &Ledger) -> String {
    fn shown<T: Display + PartialEq + From<u8>>(limit: Option<T>) -> String {
        match limit {
            None => "the server's".to_owned(),
            Some(limit) if limit == T::from(0) => "none".to_owned(),
            Some(limit) => limit.to_string(),
        }
    }
    let mut out = format!("tenant {tenant}\n");
    let mut line = |name: &str, limit: String, used: String| {
        let _ = writeln!(out, "{}", format!("{name:22}  limit {limit:20}  {used}").trim_end());
    };
    line("requests a minute", shown(limits.requests_per_minute), String::new());
    let noted = |used: u64, what: &str| format!("{used} {what} when last looked at");
    line("concurrent jobs", shown(limits.concurrent_jobs), noted(ledger.open_jobs.into(), "open"));
    line("bytes in storage", shown(limits.storage_bytes), noted(ledger.bytes, "taken up"));
    let minutes = noted(ledger.audio_ms / 60_000, "heard today (UTC)");
    line("audio minutes a day", shown(limits.audio_minutes_per_day), minutes);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use scriptorium_shared::tenants::NewKey;

    #[test]
    fn a_key_is_told_without_its_secret_and_hash() {
        let now = Timestamp(1_795_349_368_123);
        let label = Some("line\nbreak\u{1b}[31m".to_owned());
        let new = NewKey::random("acme".parse().unwrap(), label, now, Some(now.plus(1_000)));
        let mut key = KeyState { record: new.record, revoked_at: None };
        let text = rows([&key].into_iter(), now);
        assert_eq!(text.lines().count(), 2, "{text}");
        let line = text.lines().last().unwrap();
        for part in [key.record.id.as_str(), "valid", "acme", "2026-11-22T12:09:28Z", "2026-11-22T12:09:29Z"]
        {
            assert!(line.contains(part), "{line}");
        }
        assert!(!text.contains('\u{1b}'));
        assert!(rows([&key].into_iter(), now.plus(1_000)).contains("expired"));
        key.revoked_at = Some(now);
        for told in [rows([&key].into_iter(), now), json(&key, now)] {
            assert!(
                told.contains("revoked") && !told.contains(&key.record.hash) && !told.contains(&new.text)
            );
        }
    }

    #[test]
    fn a_webhook_secret_is_told_without_itself() {
        let now = Timestamp(1_795_349_368_123);
        let mut secret = scriptorium_shared::webhook::new_secret(now);
        let told = secrets(std::slice::from_ref(&secret), now);
        assert!(told.contains(&secret.id) && told.contains("signs") && told.contains("2026-11-22T12:09:28Z"));
        secret.ends_at = Some(now);
        for told in [secrets(std::slice::from_ref(&secret), now), secret_json(&secret, now)] {
            assert!(told.contains("ended") && !told.contains(secret.secret.reveal()), "{told}");
        }
    }

    #[test]
    fn limits_are_told_with_what_is_taken_up() {
        let own = TenantLimits { concurrent_jobs: Some(5), storage_bytes: Some(0), ..Default::default() };
        let ledger = Ledger { open_jobs: 2, bytes: 7, audio_ms: 120_000 };
        let text = limits(&"acme".parse().unwrap(), &own, &ledger);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("the server's"), "{text}");
        assert!(lines[2].contains(" 5 ") && lines[2].contains("2 open"), "{text}");
        assert!(lines[3].contains("none") && lines[3].contains("7 taken up"), "{text}");
        assert!(lines[4].contains("2 heard today"), "{text}");
    }
}
