//! One method of one path.

use super::schemas::{Schemas, query_parameters};
use crate::openai::error;
use crate::problem::{Code, Problem};
use http::StatusCode;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// In what form an operation tells of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorForm {
    /// RFC 9457.
    Problem,
    /// `{"error": …}`, with OpenAI's statuses.
    OpenAi,
}

/// A status and what comes with it.
#[derive(Default)]
struct Reply {
    description: String,
    headers: Map<String, Value>,
    content: Map<String, Value>,
    links: Map<String, Value>,
}

/// What is known of an operation. Each method adds to it.
pub struct Operation<'a> {
    schemas: &'a mut Schemas,
    id: String,
    tag: &'static str,
    summary: String,
    description: String,
    parameters: Vec<Value>,
    body: Option<Value>,
    /// What the handler's type tells of its reply.
    returned: Option<Value>,
    replies: BTreeMap<u16, Reply>,
    codes: Vec<Code>,
    errors: ErrorForm,
    /// Any one of them will do.
    security: Vec<Value>,
}

impl<'a> Operation<'a> {
    pub fn new(schemas: &'a mut Schemas) -> Self {
        Self {
            schemas,
            id: String::new(),
            tag: "",
            summary: String::new(),
            description: String::new(),
            parameters: Vec::new(),
            body: None,
            returned: None,
            replies: BTreeMap::new(),
            // Whatever is asked for.
            codes: vec![Code::ServiceUnavailable, Code::Internal, Code::ForeignHost, Code::ForeignOrigin],
            errors: ErrorForm::Problem,
            security: Vec::new(),
        }
    }

    pub fn schemas(&mut self) -> &mut Schemas {
        self.schemas
    }

    /// Its name, the part of the API that it belongs to, and what it does, in one line.
    pub fn says(&mut self, id: &str, tag: &'static str, summary: &str) -> &mut Self {
        (self.id, self.tag, self.summary) = (id.to_owned(), tag, summary.to_owned());
        self
    }

    /// What else is worth knowing, as Markdown.
    pub fn more(&mut self, description: &str) -> &mut Self {
        self.description = description.to_owned();
        self
    }

    pub fn path_parameter(&mut self, name: &str, description: &str, schema: &Value) -> &mut Self {
        self.parameters.push(json!({
            "name": name, "in": "path", "required": true, "description": description, "schema": schema,
        }));
        self
    }

    /// The schema of an object whose members are the query's parameters.
    pub fn query(&mut self, schema: &Value) -> &mut Self {
        self.parameters.extend(query_parameters(schema));
        self
    }

    pub fn header(&mut self, name: &str, description: &str, schema: &Value) -> &mut Self {
        self.parameters.push(json!({
            "name": name, "in": "header", "required": false, "description": description, "schema": schema,
        }));
        self
    }

    /// The header by which a repeated request makes nothing twice.
    fn idempotent(&mut self) -> &mut Self {
        let schema = json!({
            "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$",
        });
        let description =
            "A repetition with the same key and the same request makes no second job. A key holds for a day.";
        self.header("Idempotency-Key", description, &schema)
            .problems(&[Code::InvalidIdempotencyKey, Code::IdempotencyKeyReused])
    }

    pub fn body(&mut self, description: &str, media_type: &str, schema: &Value) -> &mut Self {
        self.body = Some(json!({
            "description": description, "required": true, "content": { media_type: { "schema": schema } },
        }));
        self
    }

    /// What comes with 200, unless [`Self::replies`] tells otherwise.
    pub fn returns(&mut self, schema: Value) -> &mut Self {
        self.returned = Some(schema);
        self
    }

    /// The statuses with which the handler's type is answered.
    pub fn replies(&mut self, statuses: &[(StatusCode, &str)]) -> &mut Self {
        if let Some(schema) = self.returned.take() {
            for (status, description) in statuses {
                self.reply(*status, description, "application/json", &schema);
            }
        }
        self
    }

    /// A reply of this media type. To be called again where one status has several.
    pub fn reply(
        &mut self,
        status: StatusCode,
        description: &str,
        media_type: &str,
        schema: &Value,
    ) -> &mut Self {
        let reply = self.replies.entry(status.as_u16()).or_default();
        reply.description = description.to_owned();
        reply.content.insert(media_type.to_owned(), json!({ "schema": schema }));
        self
    }

    /// A reply with what `T` is written as.
    pub fn reply_of<T: JsonSchema>(&mut self, status: StatusCode, description: &str) -> &mut Self {
        let schema = self.schemas.written::<T>();
        self.reply(status, description, "application/json", &schema)
    }

    /// A stream of server-sent events, the data of each of which is JSON with this schema.
    pub fn reply_events(&mut self, status: StatusCode, description: &str, data: &Value) -> &mut Self {
        let frame = json!({
            "type": "object",
            "description": "One of these a frame. Lines that begin with a colon are signs of life.",
            "properties": {
                "id": { "type": "string", "description": "For `Last-Event-ID`." },
                "retry": { "type": "integer", "description": "Milliseconds before a broken stream is to be opened again." },
                "data": { "type": "string", "contentMediaType": "application/json", "contentSchema": data },
            },
        });
        self.reply(status, description, "text/event-stream", &frame)
    }

    /// A reply without a body.
    pub fn reply_empty(&mut self, status: StatusCode, description: &str) -> &mut Self {
        self.replies.entry(status.as_u16()).or_default().description = description.to_owned();
        self
    }

    pub fn reply_header(&mut self, status: StatusCode, name: &str, description: &str) -> &mut Self {
        let header = json!({ "description": description, "schema": { "type": "string" } });
        self.replies.entry(status.as_u16()).or_default().headers.insert(name.to_owned(), header);
        self
    }

    /// What another operation can be asked with what comes in a reply. `parameters` are its parameters, each with where it
    /// stands in the reply, such as `$response.body#/parent_job_id`; `body` likewise is its body.
    pub fn link(
        &mut self,
        status: StatusCode,
        operation: &str,
        parameters: &[(&str, &str)],
        body: Option<Value>,
    ) -> &mut Self {
        let parameters: Map<String, Value> =
            parameters.iter().map(|(name, place)| ((*name).to_owned(), (*place).into())).collect();
        let mut link = json!({ "operationId": operation, "parameters": parameters });
        if let (Some(members), Some(body)) = (link.as_object_mut(), body) {
            members.insert("requestBody".to_owned(), body);
        }
        self.replies.entry(status.as_u16()).or_default().links.insert(operation.to_owned(), link);
        self
    }

    /// It makes a job, which the tenant's quotas have to leave room for.
    pub fn makes_job(&mut self) -> &mut Self {
        self.idempotent().problems(&[Code::TooManyJobs, Code::StorageQuotaExceeded, Code::AudioQuotaExceeded])
    }

    /// Opened by what the document's security scheme of this name tells.
    pub fn secured(&mut self, scheme: &str) -> &mut Self {
        self.security.push(json!({ scheme: [] }));
        self
    }

    /// Opened without anything, too, where the server is set up so.
    pub fn optionally(&mut self) -> &mut Self {
        self.security.push(json!({}));
        self
    }

    /// What can go wrong, besides what the handler's parameters tell.
    pub fn problems(&mut self, codes: &[Code]) -> &mut Self {
        self.codes.extend(codes);
        self
    }

    pub fn errors(&mut self, form: ErrorForm) -> &mut Self {
        self.errors = form;
        self
    }

    /// The operation object of the document.
    pub fn finish(mut self) -> Value {
        self.replies(&[(StatusCode::OK, "As asked.")]);
        self.add_errors();
        if !self.security.is_empty() {
            self.add_headers_of_keys();
        }
        let mut operation = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "parameters": self.parameters,
            "responses": self.replies.into_iter().map(|(status, reply)| (status.to_string(), reply.finish()))
                .collect::<Map<String, Value>>(),
        });
        if let Some(members) = operation.as_object_mut() {
            if !self.description.is_empty() {
                members.insert("description".to_owned(), self.description.into());
            }
            if !self.security.is_empty() {
                members.insert("security".to_owned(), self.security.into());
            }
            if let Some(body) = self.body {
                members.insert("requestBody".to_owned(), body);
            }
        }
        operation
    }

    /// One reply a status, with the codes that may stand in it.
    fn add_errors(&mut self) {
        let mut statuses: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
        for code in Code::ALL.into_iter().filter(|code| self.codes.contains(code)) {
            let status = match self.errors {
                ErrorForm::Problem => code.status(),
                ErrorForm::OpenAi => error::of_problem(&Problem::new(code, "")).0,
            };
            statuses.entry(status.as_u16()).or_default().push(code);
        }
        let (media_type, any) = match self.errors {
            ErrorForm::Problem => ("application/problem+json", self.schemas.written::<ProblemDocument>()),
            ErrorForm::OpenAi => ("application/json", self.schemas.written::<error::ErrorDocument>()),
        };
        for (status, codes) in statuses {
            let schema = match self.errors {
                ErrorForm::Problem => {
                    let names: Vec<&str> = codes.iter().map(|code| code.name()).collect();
                    json!({ "allOf": [any, { "properties": { "code": { "enum": names }, "status": { "const": status } } }] })
                }
                // Failures of the job stand there, too.
                ErrorForm::OpenAi => any.clone(),
            };
            let reply = self.replies.entry(status).or_default();
            let lines = codes
                .iter()
                .map(|code| format!("[`{0}`](/docs/errors/{0}): {1}.", code.name(), code.title()));
            let told = std::mem::take(&mut reply.description);
            let lines = (!told.is_empty()).then_some(told).into_iter().chain(lines);
            reply.description = lines.collect::<Vec<_>>().join("\n\n");
            reply.content.insert(media_type.to_owned(), json!({ "schema": schema }));
            if [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS]
                .map(|told| told.as_u16())
                .contains(&status)
            {
                reply.add_header("Retry-After");
            }
        }
    }

    /// What comes with every reply of an operation that a key opens.
    fn add_headers_of_keys(&mut self) {
        for (status, reply) in &mut self.replies {
            if *status == StatusCode::UNAUTHORIZED.as_u16() {
                reply.add_header("WWW-Authenticate");
            } else {
                reply.add_header("RateLimit");
                reply.add_header("RateLimit-Policy");
            }
        }
    }
}

impl Reply {
    /// One of the document's [`HEADERS`](super::document::HEADERS).
    fn add_header(&mut self, name: &str) {
        self.headers.insert(name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }));
    }

    fn finish(self) -> Value {
        let members = [("headers", self.headers), ("content", self.content), ("links", self.links)];
        let mut reply = Map::from_iter([("description".to_owned(), self.description.into())]);
        for (name, value) in members {
            if !value.is_empty() {
                reply.insert(name.to_owned(), value.into());
            }
        }
        Value::Object(reply)
    }
}

/// A problem (RFC 9457). Further members tell more of some of them, such as `field` or `expected_size`.
#[derive(JsonSchema, serde::Serialize)]
#[schemars(rename = "Problem")]
#[allow(dead_code, reason = "a shape; problem::Problem writes it")]
struct ProblemDocument {
    /// The address of the page about this `code`.
    r#type: String,
    /// The same for every problem of this `code`.
    title: String,
    /// The HTTP status.
    status: u16,
    /// Clients match on it: it never changes its meaning.
    code: String,
    /// What happened this time, and what can be done.
    detail: String,
}
