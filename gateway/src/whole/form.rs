//! The fields of a form, without its file. Pure.

use super::receive::Kind;
use crate::problem::{Code, Problem};
use crate::request::init::InitRequest;
use crate::request::json;
use serde_json::{Map, Value};

/// Fields of one form.
const MAX_FIELDS: usize = 64;
/// Bytes of all names and values: as much as a JSON body may have.
const MAX_BYTES: usize = json::MAX_BODY;

/// The route of the project's own API.
pub const SESSION: Kind = Kind { scope: "transcripts-upload", request: session };

/// Names and values, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    fields: Vec<(String, String)>,
    /// The field that is being read.
    open: Option<(String, Vec<u8>)>,
    bytes: usize,
}

impl Form {
    pub fn begin(&mut self, name: String) -> Result<(), Problem> {
        if self.fields.len() >= MAX_FIELDS {
            let detail = format!("The form has more than {MAX_FIELDS} fields.");
            return Err(Problem::new(Code::BodyTooLarge, detail));
        }
        self.grow(name.len())?;
        self.open = Some((name, Vec::new()));
        Ok(())
    }

    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.grow(bytes.len())?;
        if let Some((_, value)) = &mut self.open {
            value.extend_from_slice(bytes);
        }
        Ok(())
    }

    pub fn end(&mut self) -> Result<(), Problem> {
        let Some((name, value)) = self.open.take() else { return Ok(()) };
        let value = String::from_utf8(value).map_err(|_| {
            let field = json::shorten(&name);
            Problem::field(
                Code::InvalidField,
                &field,
                format!("\"{field}\" cannot be used: it is not UTF-8."),
            )
        })?;
        self.fields.push((name, value));
        Ok(())
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= MAX_BYTES {
            return Ok(());
        }
        let detail = format!("The form's fields, without the file, have more than {MAX_BYTES} bytes.");
        Err(Problem::new(Code::BodyTooLarge, detail).with("max_size", MAX_BYTES))
    }

    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of a field that may stand once.
    pub fn get(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.fields().filter(|(found, _)| *found == name);
        let first = values.next().map(|(_, value)| value);
        match values.next() {
            None => Ok(first),
            Some(_) => {
                let detail = format!("\"{name}\" cannot be used: it stands in the form twice.");
                Err(Problem::field(Code::InvalidField, name, detail))
            }
        }
    }

    /// The same for the same fields, in whatever order they came.
    pub fn canonical(&self) -> Vec<u8> {
        let mut fields = self.fields.clone();
        fields.sort();
        // Writing strings has no way to fail.
        serde_json::to_vec(&fields).unwrap_or_default()
    }
}

/// The session's request that the form of `POST /api/transcripts/upload` stands for: its fields have the same names and
/// meanings; numbers, truth values and the map `metadata` are written as in JSON.
fn session(form: &Form, filename: &str, total_size: u64) -> Result<InitRequest, Problem> {
    let mut body = Map::new();
    for (name, value) in form.fields() {
        form.get(name)?;
        let value = match name {
            // Told apart from the file itself, which comes with both.
            "filename" | "chunk_size_mb" => {
                let detail = format!("There is no field \"{name}\" here: the file's own is taken.");
                return Err(Problem::field(Code::UnknownField, name, detail));
            }
            "total_size" => continue,
            "word_timestamps" | "use_llm" | "use_cache" | "max_parallel_chunks" | "metadata" => {
                serde_json::from_str(value).unwrap_or_else(|_| Value::from(value))
            }
            // An empty field of a page's form is one that was not filled in.
            _ if value.is_empty() => continue,
            _ => Value::from(value),
        };
        body.insert(name.to_owned(), value);
    }
    init_request(body, filename, total_size)
}

/// The request with these members and the file's own.
pub fn init_request(
    mut body: Map<String, Value>,
    filename: &str,
    total_size: u64,
) -> Result<InitRequest, Problem> {
    body.insert("filename".to_owned(), filename.into());
    body.insert("total_size".to_owned(), total_size.into());
    json::parse(Value::Object(body).to_string().as_bytes())
}

#[cfg(test)]
pub fn of(fields: &[(&str, &str)]) -> Form {
    let mut form = Form::default();
    for (name, value) in fields {
        form.begin((*name).to_owned()).unwrap();
        form.push(value.as_bytes()).unwrap();
        form.end().unwrap();
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(fields: &[(&str, &str)]) -> (Code, Option<String>) {
        let problem = session(&of(fields), "a.wav", 7).unwrap_err();
        (problem.code, problem.extra.get("field").map(|field| field.as_str().unwrap().to_owned()))
    }

    #[test]
    fn fields_mean_what_they_mean_in_a_session() {
        let form = of(&[
            ("language", "de"),
            ("prompt", ""),
            ("word_timestamps", "true"),
            ("use_cache", "false"),
            ("max_parallel_chunks", "2"),
            ("metadata", r#"{"case": "7"}"#),
            ("total_size", "7"),
        ]);
        let request = session(&form, "a.wav", 7).unwrap();
        assert_eq!((request.filename.as_str(), request.total_size), ("a.wav", 7));
        assert_eq!((request.language.as_deref(), request.prompt), (Some("de"), None));
        assert_eq!((request.word_timestamps, request.max_parallel_chunks), (true, Some(2)));
        assert_eq!(request.use_cache, Some(false));
        assert_eq!(request.metadata["case"], "7");
    }

    #[test]
    fn fields_that_can_not_be_used_are_named() {
        for (name, value, code) in [
            ("colour", "red", Code::UnknownField),
            ("chunk_size_mb", "5", Code::UnknownField),
            ("filename", "b.wav", Code::UnknownField),
            ("word_timestamps", "maybe", Code::InvalidField),
            ("word_timestamps", "", Code::InvalidField),
            ("use_cache", "0", Code::InvalidField),
            ("max_parallel_chunks", "two", Code::InvalidField),
            ("metadata", "x", Code::InvalidField),
            ("llm_mode", "always", Code::InvalidField),
        ] {
            assert_eq!(refused(&[(name, value)]), (code, Some(name.to_owned())), "{name}={value}");
        }
        let twice = [("language", "de"), ("language", "en")];
        assert_eq!(refused(&twice), (Code::InvalidField, Some("language".into())));
    }

    #[test]
    fn forms_are_bounded() {
        let mut form = of(&[("prompt", "x")]);
        form.begin("language".into()).unwrap();
        assert_eq!(form.push(&vec![b'x'; MAX_BYTES]).unwrap_err().code, Code::BodyTooLarge);
        let mut form = of(&vec![("a", "b"); MAX_FIELDS]);
        assert_eq!(form.begin("c".into()).unwrap_err().code, Code::BodyTooLarge);
        let mut form = Form::default();
        form.begin("prompt".into()).unwrap();
        form.push(&[0xff]).unwrap();
        assert_eq!(form.end().unwrap_err().code, Code::InvalidField);
    }

    #[test]
    fn the_order_of_fields_means_nothing() {
        let (first, second) = (of(&[("a", "1"), ("b", "2")]), of(&[("b", "2"), ("a", "1")]));
        assert_eq!(first.canonical(), second.canonical());
        assert_ne!(first.canonical(), of(&[("a", "12"), ("b", "")]).canonical());
    }
}
