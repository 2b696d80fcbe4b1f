//! JSON bodies: of bounded size, read in bounded time, with unknown fields refused by name.

use crate::problem::{Code, Problem};
use crate::state::App;
use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// The longest JSON body, in bytes.
pub const MAX_BODY: usize = 64 << 10;

/// The body, checked. The types in it say `deny_unknown_fields`.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        check_content_type(request.headers())?;
        let reading = read(request.into_body());
        let body = tokio::time::timeout(app.config.body_timeout, reading)
            .await
            .map_err(|_| Problem::new(Code::RequestTimeout, "The body did not come in time."))??;
        parse(&body).map(Self)
    }
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(Code::BodyTooLarge, format!("The body has more than {MAX_BODY} bytes."))
            .with("max_size", MAX_BODY)
    };
    let announced = HttpBody::size_hint(&body).lower();
    if announced > MAX_BODY as u64 {
        return Err(too_large());
    }
    axum::body::to_bytes(body, MAX_BODY).await.map_err(|error| {
        let source = std::error::Error::source(&error);
        if source.is_some_and(|source| source.is::<http_body_util::LengthLimitError>()) {
            too_large()
        } else {
            Problem::new(Code::MalformedBody, "The body ended before all of it had come.")
        }
    })
}

/// `application/json`, with or without parameters.
fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let found = headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let essence = found.as_deref().and_then(|value| value.split(';').next()).unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = match found {
        Some(found) => format!("The body is declared as {:?}; send it as application/json.", shorten(&found)),
        None => "The body has no Content-Type; send it as application/json.".to_owned(),
    };
    Err(Problem::new(Code::UnsupportedContentType, detail))
}

/// Reads a whole body. Names the field that is to blame.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // serde would take the fields in their order, without their names.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::field(Code::InvalidField, "body", "The body has to be an object, not a list."));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        refusal(&path, error.inner())
    })?;
    reader.end().map_err(|error| refusal(".", &error))?;
    Ok(value)
}

fn refusal(path: &str, error: &serde_json::Error) -> Problem {
    let position = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        Category::Syntax => {
            Problem::new(Code::MalformedJson, format!("The body is not JSON: see {position}."))
        }
        Category::Io | Category::Eof => {
            Problem::new(Code::MalformedJson, format!("The JSON is cut off after {position}."))
        }
        Category::Data => {
            let text = error.to_string();
            // serde writes the names between backticks.
            let named = text.split('`').nth(1).unwrap_or("").to_owned();
            if text.starts_with("unknown field") {
                let known = text.split_once("expected ").map_or("", |(_, known)| known);
                let known = known.split(" at line ").next().unwrap_or("").replace('`', "");
                let name = shorten(&named);
                Problem::field(
                    Code::UnknownField,
                    &name,
                    format!("There is no field \"{name}\"; known here: {known}."),
                )
            } else if text.starts_with("missing field") {
                Problem::field(Code::MissingField, &named, format!("The field \"{named}\" is missing."))
            } else {
                let found = text.split(" at line ").next().unwrap_or("").to_owned();
                let field = if path == "." { "body" } else { path };
                let field = shorten(field);
                Problem::field(
                    Code::InvalidField,
                    &field,
                    format!("\"{field}\" cannot be used: {}.", shorten(&found)),
                )
            }
        }
    }
}

/// What a client sent, short enough to be sent back.
pub fn shorten(text: &str) -> String {
    const MAX: usize = 120;
    let mut short: String = text.chars().take(MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Example {
        size: u64,
        #[serde(default)]
        map: BTreeMap<String, String>,
    }

    fn problem(body: &str) -> (Code, Option<String>) {
        let problem = parse::<Example>(body.as_bytes()).unwrap_err();
        assert!(problem.detail.len() < 500, "{}", problem.detail);
        (problem.code, problem.extra.get("field").map(|field| field.as_str().unwrap().to_owned()))
    }

    #[test]
    fn the_field_to_blame_is_named() {
        for (body, code, field) in [
            (r#"{"size":1,"colour":2}"#, Code::UnknownField, "colour"),
            (r#"{"map":{}}"#, Code::MissingField, "size"),
            (r#"{"size":-1}"#, Code::InvalidField, "size"),
            (r#"{"size":1.5}"#, Code::InvalidField, "size"),
            (r#"{"size":"1"}"#, Code::InvalidField, "size"),
            (r#"{"size":null}"#, Code::InvalidField, "size"),
            (r#"{"size":18446744073709551616}"#, Code::InvalidField, "size"),
            (r#"{"size":1,"size":2}"#, Code::InvalidField, "body"),
            (r#"{"size":1,"map":{"a":7}}"#, Code::InvalidField, "map.a"),
            ("[]", Code::InvalidField, "body"),
            (" [1, {}]", Code::InvalidField, "body"),
            ("7", Code::InvalidField, "body"),
            ("null", Code::InvalidField, "body"),
        ] {
            assert_eq!(problem(body), (code, Some(field.to_owned())), "{body}");
        }
        let long = format!(r#"{{"size":1,"{}":2}}"#, "x".repeat(10_000));
        assert_eq!(problem(&long).0, Code::UnknownField);
    }

    #[test]
    fn what_is_no_json_is_told_as_such() {
        for body in ["", "{", r#"{"size":1"#, "size=1", r#"{"size":1} x"#, "\u{0}", "{\"size\":1}}"] {
            assert_eq!(problem(body), (Code::MalformedJson, None), "{body}");
        }
        assert_eq!(parse::<Example>(&[0xff, 0xfe]).unwrap_err().code, Code::MalformedJson);
        let deep = format!("{{\"size\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
        assert!(parse::<Example>(deep.as_bytes()).is_err());
    }

    #[test]
    fn the_content_type_has_to_be_json() {
        for (value, fits) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("application/jsonx", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(check_content_type(&headers).is_ok(), fits, "{value}");
        }
        assert!(check_content_type(&HeaderMap::new()).is_err());
    }
}
