//! The API's description, put together from what is mounted.
//!
//! Paths, parameters and roles come from the handlers' `#[utoipa::path]`; schemas from the types themselves
//! (`schemars`, which `shared` derives anyway). A handler names its body by type; here it gets what all answers have in
//! common: the envelope, the error shape, the statuses that follow from needing a token or taking input.
//!
//! Body names: `X` one, `list:X` an array, `page:X` a page.

mod schemas;

use serde_json::{Map, Value, json};
use utoipa::openapi::{
    OpenApi,
    path::{HttpMethod, Operation},
};

pub(crate) struct Document {
    paths: Map<String, Value>,
    schemas: Map<String, Value>,
    security_schemes: Map<String, Value>,
}

const DESCRIPTION: &str = "\
Everything people and programs use of a park. Answers are `{\"code\":\"SUCCESS\",\"message\",\"data\"}`; errors carry a \
fitting status and `{\"code\",\"message\",\"details\",\"traceId\"}`, where `details.field` names what is at fault. Times are \
Unix milliseconds in answers; in requests RFC 3339 will do too. Power is positive when a device draws from the park.\n\n\
Sign in with `POST /api/v1/auth/login` and send `data.accessToken` as `Authorization: Bearer`. Live values come over one \
WebSocket at `/api/v1/stream`.";

/// The groups of operations, in reading order.
const TAGS: [(&str, &str); 12] = [
    ("signing in", "Tokens for people"),
    ("park", "The park as data"),
    ("devices", "What devices there are, what they report and reported"),
    ("commands", "Asking devices to do something"),
    ("live", "Values as they change"),
    ("energy", "The park's balance, now and over time"),
    ("dispatch", "The plan and how it went"),
    ("alarms", "What a person must act on"),
    ("people", "Users, wall screens, and who did what"),
    ("other systems", "API keys, and webhooks that tell what happens"),
    ("device", "For devices themselves"),
    ("operation", "For whoever runs the server"),
];

impl Document {
    pub(crate) fn new() -> Self {
        let bearer = json!({
            "type": "http",
            "scheme": "bearer",
            "description": "An access token from login, or a wall's view-only token. The role named by an operation is \
                the least that may use it: viewer < operator < admin.",
        });
        let key = json!({
            "type": "http",
            "scheme": "bearer",
            "description": "An API key, as `Bearer` or `Token`. Operations that do not name it are not open for keys; those \
                that do look at the key's scope, rights, sources and limits (429 with Retry-After).",
        });
        Document {
            paths: Map::new(),
            schemas: schemas::all(),
            security_schemes: Map::from_iter([("bearer".to_owned(), bearer), ("apiKey".to_owned(), key)]),
        }
    }

    /// Adds what others describe of routes mounted beside ours, as it is.
    pub(crate) fn join(&mut self, other: &OpenApi) {
        let Ok(mut other) = serde_json::to_value(other) else {
            tracing::error!("a description of further routes cannot be read");
            return;
        };
        for (mine, theirs) in [
            (&mut self.paths, "/paths"),
            (&mut self.schemas, "/components/schemas"),
            (&mut self.security_schemes, "/components/securitySchemes"),
        ] {
            if let Some(Value::Object(theirs)) = other.pointer_mut(theirs).map(Value::take) {
                mine.extend(theirs);
            }
        }
    }

    pub(crate) fn add(
        &mut self,
        path: &str,
        method: HttpMethod,
        tags: Vec<&'static str>,
        operation: Operation,
    ) {
        // utoipa's own types know no `page:` bodies, so the finishing is done on plain JSON.
        let (Ok(mut operation), Ok(Value::String(method))) =
            (serde_json::to_value(&operation), serde_json::to_value(&method))
        else {
            tracing::error!(path, "an operation cannot be described");
            return;
        };
        operation["tags"] = json!(tags);
        operation["operationId"] = json!(operation_id(&method, path));
        finish_operation(path, &mut operation);
        let item = self.paths.entry(path).or_insert_with(|| json!({}));
        item[method.to_lowercase()] = operation;
    }

    pub(crate) fn finish(self) -> bytes::Bytes {
        let document = json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Zero-Carbon Park Twin",
                "version": env!("CARGO_PKG_VERSION"),
                "description": DESCRIPTION,
                "license": { "name": "Apache-2.0" },
            },
            "tags": TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
            "paths": self.paths,
            "components": { "schemas": self.schemas, "securitySchemes": self.security_schemes },
        });
        bytes::Bytes::from(document.to_string())
    }
}

fn finish_operation(path: &str, operation: &mut Value) {
    let takes_input = operation.get("parameters").is_some() || operation.get("requestBody").is_some();
    let has_id = path.contains('{');
    let needs_token = operation.get("security").is_some();
    if let Some(content) = operation.pointer_mut("/requestBody/content/application~1json/schema") {
        point_at_component(content);
    }
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for (status, response) in responses.iter_mut() {
        if let Some(schema) = response.pointer_mut("/content/application~1json/schema") {
            in_envelope(schema);
        }
        if response["description"].as_str().unwrap_or_default().is_empty() {
            response["description"] = json!(if status == "201" { "Created" } else { "Success" });
        }
    }
    let mut fail = |status: &str, what: &str| {
        responses.entry(status).or_insert_with(|| {
            json!({
                "description": what,
                "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
            })
        });
    };
    if takes_input {
        fail("400", "Something asked for does not read; `details.field` names it");
    }
    if needs_token {
        fail("401", "No token, or one that is not good");
        fail("403", "The role is too low");
    }
    if has_id {
        fail("404", "There is no such thing");
    }
    fail("default", "Any other failure, in the same shape");
}

/// Two handlers may share a name; method and path do not.
fn operation_id(method: &str, path: &str) -> String {
    let place = path.trim_start_matches("/api/v1").replace(['{', '}', '.'], "").replace(['/', '-'], "_");
    format!("{}{place}", method.to_lowercase())
}

fn component(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// `{"$ref": "X"}` as handlers write it becomes a reference into the components.
fn point_at_component(schema: &mut Value) {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        *schema = component(name);
    }
}

fn in_envelope(schema: &mut Value) {
    let Some(name) = schema.get("$ref").and_then(Value::as_str) else { return };
    let data = match name.split_once(':') {
        Some(("list", name)) => json!({ "type": "array", "items": component(name) }),
        Some(("page", name)) => json!({
            "type": "object",
            "required": ["items", "total", "page", "size"],
            "properties": {
                "items": { "type": "array", "items": component(name) },
                "total": { "type": "integer", "description": "How many there are on all pages." },
                "page": { "type": "integer", "description": "From 1." },
                "size": { "type": "integer" },
            },
        }),
        _ => component(name),
    };
    *schema = json!({
        "type": "object",
        "required": ["code", "message", "data"],
        "properties": {
            "code": { "const": "SUCCESS" },
            "message": { "type": "string" },
            "data": data,
        },
    });
}
