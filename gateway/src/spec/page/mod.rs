//! The document as a page for people, at `/docs`. It is written here, from the document itself, and needs no script: nothing is
//! fetched from elsewhere, and nothing runs in the browser. Pure.

mod markdown;
mod shape;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use markdown::{blocks, escape, inline};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("style.css");

/// What a browser may do with the page: show it, with its own style.
pub fn security_policy() -> String {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// The page, as HTML.
pub fn of(document: &Value) -> String {
    let info = &document["info"];
    let (title, version) = (escape(text(&info["title"])), escape(text(&info["version"])));
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}: the API</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title} <small>{version}</small></h1>\n{}\
         <p>For programs: <a href=\"/openapi.json\">openapi.json</a> (OpenAPI {}).</p>\n</header>\n",
        blocks(text(&info["description"])),
        escape(text(&document["openapi"])),
    );
    html.push_str(&contents(document));
    html.push_str("<main>\n");
    for tag in list(&document["tags"]) {
        let name = escape(text(&tag["name"]));
        html.push_str(&format!("<h2 id=\"{name}\">{name}</h2>\n{}", blocks(text(&tag["description"]))));
        for (path, method, operation) in operations(document) {
            if list(&operation["tags"]).iter().any(|found| *found == tag["name"]) {
                html.push_str(&section(path, method, operation));
            }
        }
    }
    html.push_str(&named("keys", "Keys", &document["components"]["securitySchemes"]));
    html.push_str(&named("headers", "Headers of replies", &document["components"]["headers"]));
    html.push_str("<h2 id=\"shapes\">Shapes</h2>\n");
    for (name, schema) in members(&document["components"]["schemas"]) {
        let name = escape(name);
        html.push_str(&format!(
            "<section id=\"shape-{name}\">\n<h3>{name}</h3>\n{}</section>\n",
            shape::of(schema)
        ));
    }
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

/// Things with a name and a description.
fn named(id: &str, heading: &str, things: &Value) -> String {
    let lines = members(things).map(|(name, thing)| {
        format!("<p><code>{}</code>: {}</p>\n", escape(name), inline(text(&thing["description"])))
    });
    format!("<h2 id=\"{id}\">{heading}</h2>\n<section>\n{}</section>\n", lines.collect::<String>())
}

fn contents(document: &Value) -> String {
    let lines = operations(document).into_iter().map(|(path, method, operation)| {
        let (id, summary) = (escape(text(&operation["operationId"])), inline(text(&operation["summary"])));
        format!(
            "<li><a href=\"#{id}\"><code>{} {}</code></a> {summary}</li>\n",
            method.to_uppercase(),
            escape(path)
        )
    });
    format!("<nav>\n<ul>\n{}</ul>\n</nav>\n", lines.collect::<String>())
}

fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = members(&document["paths"]);
    let operations = paths.flat_map(|(path, methods)| {
        members(methods).map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    });
    operations.collect()
}

fn section(path: &str, method: &str, operation: &Value) -> String {
    let mut html = format!(
        "<section id=\"{}\">\n<h3><b class=\"{method}\">{}</b> <code>{}</code></h3>\n<p>{}.</p>\n{}",
        escape(text(&operation["operationId"])),
        method.to_uppercase(),
        escape(path),
        inline(text(&operation["summary"])),
        blocks(text(&operation["description"])),
    );
    html.push_str(&keys(list(&operation["security"])));
    html.push_str(&parameters(list(&operation["parameters"])));
    let body = &operation["requestBody"];
    for (media_type, content) in members(&body["content"]) {
        html.push_str(&format!(
            "<h4>Body <code>{}</code></h4>\n{}{}",
            escape(media_type),
            blocks(text(&body["description"])),
            shape::of(&content["schema"])
        ));
    }
    html.push_str("<h4>Replies</h4>\n<dl>\n");
    for (status, reply) in members(&operation["responses"]) {
        let class = status.get(..1).unwrap_or_default();
        html.push_str(&format!(
            "<dt class=\"s{}\">{}</dt>\n<dd>\n{}",
            escape(class),
            escape(status),
            self::reply(reply)
        ));
        html.push_str("</dd>\n");
    }
    html.push_str("</dl>\n</section>\n");
    html
}

/// What opens the operation: any of these. The empty one is told of with the keys.
fn keys(security: &[Value]) -> String {
    let schemes = security.iter().flat_map(members);
    let names: Vec<String> =
        schemes.map(|(name, _)| format!("<a href=\"#keys\">{}</a>", escape(name))).collect();
    if names.is_empty() { String::new() } else { format!("<p>Opened by {}.</p>\n", names.join(" or ")) }
}

fn parameters(parameters: &[Value]) -> String {
    if parameters.is_empty() {
        return String::new();
    }
    let rows = parameters.iter().map(|parameter| {
        let needed = if parameter["required"] == true { " <em>required</em>" } else { "" };
        format!(
            "<tr><td><code>{}</code>{needed}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            escape(text(&parameter["name"])),
            escape(text(&parameter["in"])),
            shape::kind(&parameter["schema"]),
            inline(text(&parameter["description"])),
        )
    });
    format!("<h4>Parameters</h4>\n<table>\n{}</table>\n", rows.collect::<String>())
}

fn reply(reply: &Value) -> String {
    let mut html = blocks(text(&reply["description"]));
    // Those that many replies have are told of once.
    for (name, header) in members(&reply["headers"]).filter(|(_, header)| header.get("$ref").is_none()) {
        let description = inline(text(&header["description"]));
        html.push_str(&format!("<p>Header <code>{}</code>: {description}</p>\n", escape(name)));
    }
    for (media_type, content) in members(&reply["content"]) {
        let schema = &content["schema"];
        html.push_str(&format!("<p><code>{}</code>: {}</p>\n", escape(media_type), shape::kind(schema)));
        if !text(&schema["description"]).is_empty() {
            html.push_str(&blocks(text(&schema["description"])));
        }
    }
    html
}

/// The text, or none.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}
