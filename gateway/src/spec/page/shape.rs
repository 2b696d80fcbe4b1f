//! JSON Schemas, as people read them.

use super::markdown::{escape, inline};
use super::{list, members, text};
use serde_json::Value;

/// A schema in full: its description, its fields, and their fields.
pub fn of(schema: &Value) -> String {
    let mut html = String::new();
    let description = text(&schema["description"]);
    if !description.is_empty() {
        html.push_str(&format!("<p>{}</p>\n", inline(description)));
    }
    for choices in ["oneOf", "anyOf", "allOf"] {
        for choice in list(&schema[choices]) {
            html.push_str(&format!("<div class=\"choice\">\n{}</div>\n", of(choice)));
        }
    }
    if schema["properties"].is_object() {
        let required = list(&schema["required"]);
        let rows = members(&schema["properties"]).map(|(name, property)| {
            let needed = if required.iter().any(|one| one == name) { " <em>always</em>" } else { "" };
            let inner = if property["properties"].is_object() { of(property) } else { String::new() };
            let description = inline(text(&property["description"]));
            format!(
                "<tr><td><code>{}</code>{needed}</td><td>{}</td><td>{description}{inner}</td></tr>\n",
                escape(name),
                kind(property),
            )
        });
        html.push_str(&format!("<table>\n{}</table>\n", rows.collect::<String>()));
    } else if html.is_empty() || schema.get("enum").is_some() {
        html.push_str(&format!("<p>{}</p>\n", kind(schema)));
    }
    html
}

/// A schema in one line.
pub fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        let name = escape(name);
        return format!("<a href=\"#shape-{name}\">{name}</a>");
    }
    if let Some(value) = schema.get("const") {
        return value_of(value);
    }
    if schema["enum"].is_array() {
        return joined(list(&schema["enum"]).iter().map(value_of), " | ");
    }
    for (choices, between) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " with ")] {
        if schema[choices].is_array() {
            return joined(list(&schema[choices]).iter().map(kind), between);
        }
    }
    if let Some(data) = schema["properties"]["data"].get("contentSchema") {
        return format!("events with {}", kind(data));
    }
    if let Some(code) = schema["properties"].get("code") {
        return format!("<code>code</code> {}", kind(code));
    }
    if schema["type"] == "array" || schema["items"].is_object() {
        return format!("list of {}{}", kind(&schema["items"]), bounds(schema));
    }
    if schema["additionalProperties"].is_object() {
        return format!("map to {}{}", kind(&schema["additionalProperties"]), bounds(schema));
    }
    let types = match schema["type"].as_array() {
        Some(types) => joined(types.iter().map(|one| escape(text(one))), " or "),
        None => escape(text(&schema["type"])),
    };
    format!("{types}{}", bounds(schema))
}

fn bounds(schema: &Value) -> String {
    let names = [
        ("format", ""),
        ("minimum", "≥ "),
        ("maximum", "≤ "),
        ("minLength", "characters ≥ "),
        ("maxLength", "characters ≤ "),
        ("maxItems", "entries ≤ "),
        ("maxProperties", "entries ≤ "),
        ("default", "else "),
    ];
    let told = names.iter().filter_map(|(name, words)| {
        let value = schema.get(*name).filter(|value| !value.is_null())?;
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some(format!("{words}{}", escape(&value)))
    });
    let told = joined(told, ", ");
    if told.is_empty() { told } else { format!(" <small>({told})</small>") }
}

fn value_of(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("<code>{}</code>", escape(&text))
}

fn joined(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn schemas_in_one_line() {
        for (schema, line) in [
            (json!({"$ref": "#/components/schemas/Gap"}), "<a href=\"#shape-Gap\">Gap</a>"),
            (json!({"type": "integer", "minimum": 1, "maximum": 9}), "integer <small>(≥ 1, ≤ 9)</small>"),
            (json!({"type": ["string", "null"]}), "string or null"),
            (json!({"enum": ["a", null]}), "<code>a</code> | <code>null</code>"),
            (json!({"type": "array", "items": {"type": "string"}}), "list of string"),
            (json!({"oneOf": [{"type": "number"}, {"const": "auto"}]}), "number or <code>auto</code>"),
            (json!({"type": "object", "additionalProperties": {"type": "string"}}), "map to string"),
        ] {
            assert_eq!(kind(&schema), line);
        }
    }

    #[test]
    fn fields_stand_in_a_table() {
        let html = of(&json!({
            "description": "A gap.", "required": ["start"], "properties": {"start": {"type": "number", "description": "In `s`."}},
        }));
        assert_eq!(
            html,
            "<p>A gap.</p>\n<table>\n<tr><td><code>start</code> <em>always</em></td><td>number</td>\
             <td>In <code>s</code>.</td></tr>\n</table>\n"
        );
    }
}
