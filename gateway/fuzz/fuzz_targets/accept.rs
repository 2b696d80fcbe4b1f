//! The header `Accept`, and the Content-Type that names a form's boundary.
#![no_main]

use http::{HeaderMap, HeaderValue, header};
use scriptorium_gateway_fuzz::{accept, multipart};

const OFFERED: [&str; 3] = ["application/json", "text/plain", "text/vtt"];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let headers = HeaderMap::from_iter([(header::ACCEPT, value.clone()), (header::CONTENT_TYPE, value)]);
    assert!(accept::choose(&headers, &OFFERED).is_none_or(|index| index < OFFERED.len()));
    if let Some(boundary) = multipart::boundary(&headers) {
        assert!((1..=70).contains(&boundary.len()));
    }
});
