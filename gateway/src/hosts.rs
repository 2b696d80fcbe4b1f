//! By which names a server that only this machine reaches may be called, and by whose pages.
//!
//! A web page may have its own name lead to 127.0.0.1 (*DNS rebinding*), and is then, for the browser, of the same origin as what
//! answers there. The name stands in the request's `Host`: one that is not of this machine is sent away. A page of another origin may
//! also send simple requests to 127.0.0.1 itself (*CSRF*), which no preflight asks leave for: its `Origin` tells it.

use crate::openai;
use crate::problem::{Code, Problem};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::uri::Authority;
use http::{HeaderValue, header};
use std::net::IpAddr;
use std::sync::Arc;

/// Sends requests to other hosts away. `allowed`: names besides those of this machine.
pub async fn check(State(allowed): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    let in_header = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or("?"));
    // A browser sends the one; the other counts for those that it comes from, so both have to be right.
    let in_address = request.uri().authority().map(Authority::as_str);
    if in_header.into_iter().chain(in_address).all(|host| is_ours(host, &allowed)) {
        if request.headers().get_all(header::ORIGIN).iter().all(|origin| is_our_page(origin, &allowed)) {
            return next.run(request).await;
        }
        let problem = Problem::new(
            Code::ForeignOrigin,
            "This server asks for no keys and is for this machine alone, pages included. Other hosts of pages have to be told to it \
             with --allowed-hosts.",
        );
        return openai::error::reply_at(request.uri().path(), problem);
    }
    let problem = Problem::new(
        Code::ForeignHost,
        "This server is for this machine alone. Call it as localhost or 127.0.0.1; other names have to be told to it with \
         --allowed-hosts.",
    );
    openai::error::reply_at(request.uri().path(), problem)
}

/// An origin is `scheme://host:port`, or `null` for pages that have none to tell.
fn is_our_page(origin: &HeaderValue, allowed: &[String]) -> bool {
    let host = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    host.is_some_and(|(_, host)| is_ours(host, allowed))
}

fn is_ours(host: &str, allowed: &[String]) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let literal: Option<IpAddr> = name.trim_start_matches('[').trim_end_matches(']').parse().ok();
    !host.contains('@')
        && (literal.is_some_and(|address| address.to_canonical().is_loopback())
            || name == "localhost"
            || name.ends_with(".localhost")
            || allowed.iter().any(|known| known.eq_ignore_ascii_case(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_and_names_that_only_lead_here() {
        let allowed = ["Speech.example.org".to_owned(), "192.0.2.7".to_owned()];
        for ours in [
            "localhost",
            "LocalHost:8787",
            "localhost.",
            "app.localhost:1",
            "127.0.0.1:8787",
            "127.9.9.9",
            "[::1]:8787",
            "[::ffff:127.0.0.1]",
            "speech.example.org:80",
            "192.0.2.7",
        ] {
            assert!(is_ours(ours, &allowed), "{ours}");
        }
        for foreign in [
            "",
            "?",
            "evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "192.0.2.8",
            "[::2]",
            "0.0.0.0:8787",
            "localhost@evil.example",
            "evil@localhost",
            "a b",
        ] {
            assert!(!is_ours(foreign, &allowed), "{foreign}");
        }
    }
}
