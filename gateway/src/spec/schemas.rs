//! JSON Schemas of what is read and of what is written, from the types themselves (schemars reads serde's attributes).

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Where schemas with a name stand in the document.
const COMPONENTS: &str = "/components/schemas";

/// Schemas of one document. What is written is given names and referred to; what is read stands where it is read, because
/// one type may be read otherwise than it is written.
pub struct Schemas {
    written: SchemaGenerator,
    read: SchemaGenerator,
}

impl Default for Schemas {
    fn default() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = COMPONENTS.into();
                settings.meta_schema = None;
            })
        };
        let read = settings().for_deserialize().with(|settings| settings.inline_subschemas = true);
        Self { written: settings().for_serialize().into_generator(), read: read.into_generator() }
    }
}

impl Schemas {
    /// A reference to the schema of what `T` is written as.
    pub fn written<T: JsonSchema>(&mut self) -> Value {
        self.written.subschema_for::<T>().to_value()
    }

    /// The schema of what is read as `T`.
    pub fn read<T: JsonSchema>(&mut self) -> Value {
        let mut schema = self.read.subschema_for::<T>().to_value();
        bound_integers(&mut schema);
        schema
    }

    /// All components.
    pub fn finish(mut self) -> Map<String, Value> {
        self.written.take_definitions(false)
    }
}

/// Unsigned integers have an end on this side of the wire: larger numbers are refused.
fn bound_integers(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let most = match members.get("format").and_then(Value::as_str) {
                Some("uint32") => Some(u64::from(u32::MAX)),
                Some("uint64") => Some(u64::MAX),
                Some(_) | None => None,
            };
            if let Some(most) = most {
                members.entry("maximum").or_insert(most.into());
            }
            members.values_mut().for_each(bound_integers);
        }
        Value::Array(items) => items.iter_mut().for_each(bound_integers),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The parameters that a query's type stands for. `null` is left out: it can't be written in a query.
pub fn query_parameters(schema: &Value) -> Vec<Value> {
    let required = |name: &str| {
        schema["required"].as_array().is_some_and(|required| required.iter().any(|found| found == name))
    };
    let properties = schema["properties"].as_object();
    let parameters = properties.into_iter().flatten().map(|(name, property)| {
        let mut property = property.clone();
        without_null(&mut property);
        let description = property.as_object_mut().and_then(|members| members.remove("description"));
        let mut parameter =
            json!({ "name": name, "in": "query", "required": required(name), "schema": property });
        if let (Some(members), Some(description)) = (parameter.as_object_mut(), description) {
            members.insert("description".to_owned(), description);
        }
        if parameter["schema"]["type"] == "array"
            && let Some(members) = parameter.as_object_mut()
        {
            // With commas between the values.
            members.insert("style".to_owned(), "form".into());
            members.insert("explode".to_owned(), false.into());
        }
        parameter
    });
    parameters.collect()
}

fn without_null(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    if members.get("default").is_some_and(Value::is_null) {
        members.remove("default");
    }
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|one| one != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            members.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = members.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(choices)) = members.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            members.remove("anyOf");
            for (name, value) in only {
                members.entry(name).or_insert(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Choice {
        One,
        Two,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Asked {
        /// How many.
        count: u32,
        #[serde(default)]
        choice: Option<Choice>,
        #[serde(default)]
        #[schemars(with = "Option<Vec<Choice>>")]
        several: Option<String>,
    }

    #[test]
    fn what_is_read_is_bounded_and_closed() {
        let schema = Schemas::default().read::<Asked>();
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["required"], json!(["count"]));
        assert_eq!(schema["properties"]["count"]["maximum"], u32::MAX);
    }

    #[test]
    fn queries_have_no_null() {
        let mut parameters = query_parameters(&Schemas::default().read::<Asked>());
        parameters.sort_by_key(|parameter| parameter["name"].to_string());
        let choice = json!({"type": "string", "enum": ["one", "two"]});
        assert_eq!(
            parameters[0],
            json!({"name": "choice", "in": "query", "required": false, "schema": choice})
        );
        assert_eq!(parameters[1]["description"], "How many.");
        assert_eq!(parameters[1]["required"], true);
        assert_eq!(parameters[2]["schema"], json!({"type": "array", "items": choice}));
        assert_eq!(parameters[2]["explode"], false);
    }

    #[test]
    fn what_is_written_is_referred_to() {
        let mut schemas = Schemas::default();
        assert_eq!(schemas.written::<Choice>(), json!({"$ref": "#/components/schemas/Choice"}));
        assert_eq!(schemas.finish().keys().collect::<Vec<_>>(), ["Choice"]);
    }
}
