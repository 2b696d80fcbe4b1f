//! What is refused before anything of a request is read, signature included.
//!
//! s3s knows more of S3 than we want to offer: forms posted by browsers are held in memory before their signature is
//! looked at, and the old signature version 2 covers neither length nor body. So only what this store does gets past
//! here, with a bounded body.

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use s3s::{S3Error, S3ErrorCode, s3_error};

/// Largest object: the largest chunk (100 MiB).
pub const MAX_OBJECT: u64 = 100 * 1024 * 1024;
/// Largest body: the object, with what the signing of its pieces adds.
const MAX_BODY: u64 = MAX_OBJECT + 1024 * 1024;
/// Largest list of objects to delete: 1000 keys of 1000 bytes in XML.
pub const MAX_XML: usize = 2 * 1024 * 1024;

/// `Err`: the answer.
pub fn check(request: &Parts) -> Result<(), S3Error> {
    let query = request.uri.query().unwrap_or_default();
    check_signature(query, &request.headers)?;
    match request.method {
        Method::GET | Method::HEAD | Method::DELETE => Ok(()),
        Method::PUT => check_put(&request.headers),
        Method::POST if query_has(query, "delete") => check_post(&request.headers),
        _ => Err(s3_error!(MethodNotAllowed)),
    }
}

fn check_signature(query: &str, headers: &HeaderMap) -> Result<(), S3Error> {
    let in_query = query_has(query, "X-Amz-Signature");
    let in_header = match headers.get(AUTHORIZATION) {
        Some(value) => {
            if !value.as_bytes().starts_with(b"AWS4-HMAC-SHA256 ")
                || !headers.contains_key("x-amz-content-sha256")
            {
                return Err(s3_error!(AccessDenied, "only signature version 4 is taken"));
            }
            true
        }
        None => false,
    };
    if query_has(query, "Signature") || query_has(query, "AWSAccessKeyId") {
        return Err(s3_error!(AccessDenied, "only signature version 4 is taken"));
    }
    match (in_query, in_header) {
        (true, false) | (false, true) => Ok(()),
        (true, true) => Err(s3_error!(InvalidRequest, "signed twice")),
        (false, false) => Err(s3_error!(AccessDenied, "not signed")),
    }
}

fn check_put(headers: &HeaderMap) -> Result<(), S3Error> {
    if headers.contains_key("x-amz-copy-source") {
        return Err(s3_error!(NotImplemented, "copies"));
    }
    let length = number(headers, CONTENT_LENGTH.as_str())?.ok_or(S3ErrorCode::MissingContentLength)?;
    let object = number(headers, "x-amz-decoded-content-length")?.unwrap_or(length);
    if object > MAX_OBJECT || length > MAX_BODY { Err(too_large()) } else { Ok(()) }
}

fn check_post(headers: &HeaderMap) -> Result<(), S3Error> {
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
    if content_type.is_some_and(|value| value.starts_with(b"multipart/")) {
        return Err(s3_error!(MethodNotAllowed));
    }
    let length = number(headers, CONTENT_LENGTH.as_str())?.ok_or(S3ErrorCode::MissingContentLength)?;
    if length > MAX_XML as u64 { Err(too_large()) } else { Ok(()) }
}

pub fn too_large() -> S3Error {
    let mut error = s3_error!(EntityTooLarge, "an object has at most {} bytes", MAX_OBJECT);
    error.set_status_code(StatusCode::PAYLOAD_TOO_LARGE);
    error
}

fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, S3Error> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(s3_error!(InvalidRequest, "a header is there twice"));
    }
    let Some(value) = first else { return Ok(None) };
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let number = digits.and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| s3_error!(InvalidRequest, "a length is not a number"))
}

fn query_has(query: &str, name: &str) -> bool {
    query.split('&').any(|pair| pair.split('=').next() == Some(name))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn answer(method: &str, uri: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        check(&parts).map_or_else(|error| error.status_code().map_or(0, |status| status.as_u16()), |()| 200)
    }

    const SIGNED: &str = "/b/k?X-Amz-Signature=1";
    const HEADER: [(&str, &str); 2] =
        [("authorization", "AWS4-HMAC-SHA256 x"), ("x-amz-content-sha256", "x")];

    #[test]
    fn what_the_store_does_gets_past() {
        assert_eq!(answer("GET", SIGNED, &[]), 200);
        assert_eq!(answer("HEAD", "/b", &HEADER), 200);
        assert_eq!(answer("PUT", SIGNED, &[("content-length", "104857600")]), 200);
        let [a, b] = HEADER;
        assert_eq!(answer("POST", "/b/?delete=", &[a, b, ("content-length", "900")]), 200);
    }

    #[test]
    fn other_signatures_do_not() {
        assert_eq!(answer("GET", "/b/k", &[]), 403);
        assert_eq!(answer("GET", "/b/k?Signature=x&AWSAccessKeyId=y&Expires=9", &[]), 403);
        assert_eq!(answer("GET", "/b/k", &[("authorization", "AWS key:sig")]), 403);
        assert_eq!(answer("GET", "/b/k", &[("authorization", "Bearer x")]), 403);
        assert_eq!(answer("GET", "/b/k", &HEADER[..1]), 403);
        assert_eq!(answer("GET", SIGNED, &HEADER), 400);
    }

    #[test]
    fn bodies_are_bounded_and_their_length_known() {
        assert_eq!(answer("PUT", SIGNED, &[]), 411);
        assert_eq!(answer("PUT", SIGNED, &[("content-length", "104857601")]), 413);
        assert_eq!(answer("PUT", SIGNED, &[("content-length", "+1")]), 400);
        assert_eq!(answer("PUT", SIGNED, &[("content-length", "99999999999999999999")]), 400);
        assert_eq!(
            answer("PUT", SIGNED, &[("content-length", "1"), ("x-amz-decoded-content-length", "104857601")]),
            413
        );
        assert_eq!(answer("POST", "/b?delete&X-Amz-Signature=1", &[("content-length", "3000000")]), 413);
    }

    #[test]
    fn other_methods_do_not() {
        assert_eq!(answer("PATCH", SIGNED, &[]), 405);
        assert_eq!(answer("POST", "/b?uploads&X-Amz-Signature=1", &[("content-length", "1")]), 405);
        let form = [("content-length", "1"), ("content-type", "Multipart/Form-Data; boundary=x")];
        assert_eq!(answer("POST", "/b?delete&X-Amz-Signature=1", &form), 405);
    }
}
