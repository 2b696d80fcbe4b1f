//! By which address the client reached this gateway.

use crate::problem::{Code, Problem};
use http::{HeaderMap, header};

/// `http://localhost:8787`, from the `Host` header and `X-Forwarded-Proto`. Both are checked strictly, because upload
/// addresses are made of them.
pub fn of(headers: &HeaderMap) -> Result<String, Problem> {
    let wrong = |detail: &str| Problem::new(Code::InvalidHost, detail);
    let host = headers
        .get(header::HOST)
        .ok_or_else(|| wrong("The request has no Host header."))?
        .to_str()
        .ok()
        .filter(|host| valid_authority(host))
        .ok_or_else(|| wrong("The Host header is not a host name with an optional port."))?;
    let forwarded = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    // Several proxies append theirs; the first one is nearest to the client.
    let scheme = match forwarded.and_then(|value| value.split(',').next()).map(str::trim) {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
        Some(_) | None => "http",
    };
    Ok(format!("{scheme}://{}", host.to_ascii_lowercase()))
}

fn valid_authority(authority: &str) -> bool {
    if authority.len() > 255 {
        return false;
    }
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return address.parse::<std::net::Ipv6Addr>().is_ok()
            && (port.is_empty() || port.strip_prefix(':').is_some_and(valid_port));
    }
    match authority.split_once(':') {
        Some((host, port)) => valid_host(host) && valid_port(port),
        None => valid_host(authority),
    }
}

fn valid_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Labels of letters, digits, `-` and (seen inside clusters) `_`.
fn valid_host(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    host.strip_suffix('.').unwrap_or(host).split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(host: &str, proto: Option<&str>) -> Result<String, Code> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, http::HeaderValue::from_bytes(host.as_bytes()).unwrap());
        if let Some(proto) = proto {
            headers.insert("x-forwarded-proto", proto.parse().unwrap());
        }
        of(&headers).map_err(|problem| problem.code)
    }

    #[test]
    fn hosts_that_can_be_used() {
        for (host, proto, expected) in [
            ("localhost:8787", None, "http://localhost:8787"),
            ("127.0.0.1", None, "http://127.0.0.1"),
            ("[::1]:8787", None, "http://[::1]:8787"),
            ("Text.Example.org", Some("https"), "https://text.example.org"),
            ("text.example.org.", Some("HTTPS, http"), "https://text.example.org."),
            ("my_service:80", Some("gopher"), "http://my_service:80"),
        ] {
            assert_eq!(origin(host, proto).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn hosts_that_can_not() {
        for host in [
            "", "a b", "a/b", "a@b", "a:b", "a:", "a:0", "a:+1", "a:99999", "[::1", "[x]", "[::1]x", "a..b",
            "é", "a\"b", "a?b", "a#b", "a\\b", "%41",
        ] {
            assert_eq!(origin(host, None), Err(Code::InvalidHost), "{host}");
        }
        assert_eq!(origin(&"a.".repeat(200), None), Err(Code::InvalidHost));
        assert_eq!(of(&HeaderMap::new()).unwrap_err().code, Code::InvalidHost);
    }
}
