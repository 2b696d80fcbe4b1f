//! The bounds of a session's fields, for the API's document. The checks themselves stand beside the request.

use super::{ChunkSize, MAX_METADATA, MAX_METADATA_KEY, MAX_METADATA_VALUE};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use scriptorium_contracts::language;
use std::borrow::Cow;

/// No control characters, and something that can be seen.
pub const FILENAME: &str = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$";
pub const NO_NUL: &str = r"^[^\x00]*$";
/// A name (not a number), in ASCII, a port, a path.
pub const HTTPS: &str = r"^https://([A-Za-z0-9]+(-[A-Za-z0-9]+)*\.)+[A-Za-z]{2,}(:[1-9][0-9]{0,3})?(/[A-Za-z0-9._~/-]*)?(\?[A-Za-z0-9._~=&-]*)?$";

impl JsonSchema for ChunkSize {
    fn schema_name() -> Cow<'static, str> {
        "ChunkSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [
            { "type": "number", "minimum": 1, "maximum": 100 },
            { "const": "auto" },
        ]})
    }
}

pub fn language(_: &mut SchemaGenerator) -> Schema {
    let mut codes: Vec<Option<&str>> = language::codes().map(Some).collect();
    codes.extend([Some("auto"), None]);
    json_schema!({ "enum": codes })
}

pub fn metadata(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": MAX_METADATA,
        "propertyNames": { "minLength": 1, "maxLength": MAX_METADATA_KEY, "pattern": r"^[^\x00]*[^\s\x00][^\x00]*$" },
        "additionalProperties": { "type": "string", "maxLength": MAX_METADATA_VALUE, "pattern": NO_NUL },
    })
}

/// What this version cannot do is not asked for.
pub fn nothing(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "null" })
}
