//! Checks a tree against the JSON Schema of the type it is to become, and finds everything at once.
//!
//! The very schemas that `scenes/schema/` holds for editors: an editor and the loader agree by construction. Serde alone
//! would stop at the first field that does not fit.

use super::tree::{Node, Value};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value as Json;

/// A type's schema, with what it refers to.
pub(super) struct Schema {
    root: Json,
}

/// A finding: path, line and what is wrong.
pub(super) type Finding = (String, usize, String);

impl Schema {
    pub(super) fn of<T: JsonSchema>() -> Self {
        Self { root: schema_of::<T>() }
    }

    /// Everything in `node` that does not fit.
    pub(super) fn findings(&self, node: &Node) -> Vec<Finding> {
        let mut findings = Vec::new();
        Walk { root: &self.root, findings: &mut findings }.node(&self.root, node, "");
        findings
    }
}

/// The JSON Schema (draft 2020-12) of a type as files hold it.
pub(crate) fn schema_of<T: JsonSchema>() -> Json {
    SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<T>().to_value()
}

struct Walk<'a> {
    root: &'a Json,
    findings: &'a mut Vec<Finding>,
}

impl<'a> Walk<'a> {
    fn push(&mut self, path: &str, line: usize, message: String) {
        self.findings.push((path.to_owned(), line, message));
    }

    fn resolve(&self, mut schema: &'a Json) -> &'a Json {
        while let Some(Json::String(reference)) = schema.get("$ref") {
            match reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer)) {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }

    fn node(&mut self, schema: &'a Json, node: &Node, path: &str) {
        let schema = self.resolve(schema);
        if let Value::Number(number) = node.value
            && !number.is_finite()
        {
            return self.push(path, node.line, format!("{number} is not a finite number"));
        }
        if let Some(words) = self.words(schema) {
            return self.word(&words, node, path);
        }
        if let Some(alternatives) = alternatives(schema) {
            return self.alternatives(alternatives, node, path);
        }
        if !self.type_fits(schema, node, path) {
            return;
        }
        match &node.value {
            Value::Integer(integer) => self.range(schema, *integer as f64, node, path),
            Value::Number(number) => self.range(schema, *number, node, path),
            Value::Text(text) => self.text(schema, text, node, path),
            Value::List(nodes) => self.list(schema, nodes, node, path),
            Value::Table(_) => self.table(schema, node, path),
            Value::Null | Value::Boolean(_) | Value::Moment(_) => {}
        }
    }

    /// The texts a schema allows, when it allows nothing else.
    fn words(&self, schema: &'a Json) -> Option<Vec<&'a str>> {
        let schema = self.resolve(schema);
        if let Some(word) = schema.get("const").and_then(Json::as_str) {
            return Some(vec![word]);
        }
        if let Some(Json::Array(words)) = schema.get("enum") {
            return words.iter().map(Json::as_str).collect();
        }
        let words: Option<Vec<Vec<&str>>> =
            alternatives(schema)?.iter().filter(|one| !is_null(one)).map(|one| self.words(one)).collect();
        words.map(|words| words.concat())
    }

    fn word(&mut self, words: &[&str], node: &Node, path: &str) {
        match &node.value {
            Value::Text(text) if words.contains(&text.as_str()) => {}
            Value::Text(text) => {
                self.push(path, node.line, format!("{text:?} is not one of {}", words.join(", ")));
            }
            other => {
                let message = format!("expected one of {}, got {}", words.join(", "), other.kind());
                self.push(path, node.line, message);
            }
        }
    }

    /// Either an optional value, or a table whose kind is named by a constant field.
    fn alternatives(&mut self, alternatives: &'a [Json], node: &Node, path: &str) {
        let present: Vec<&Json> = alternatives.iter().filter(|one| !is_null(one)).collect();
        if let [only] = present[..] {
            return self.node(only, node, path);
        }
        let tagged: Vec<(&str, &str, &Json)> = present
            .iter()
            .filter_map(|one| {
                let fields = self.resolve(one).get("properties")?.as_object()?;
                let (tag, value) =
                    fields.iter().find_map(|(name, field)| Some((name, field.get("const")?.as_str()?)))?;
                Some((tag.as_str(), value, *one))
            })
            .collect();
        let Some((tag, _, _)) = tagged.first() else { return };
        if !matches!(node.value, Value::Table(_)) {
            return self.push(path, node.line, format!("expected a table, got {}", node.value.kind()));
        }
        let kinds: Vec<&str> = tagged.iter().map(|(_, kind, _)| *kind).collect();
        let at = join(path, tag);
        match node.get(tag).map(|kind| (&kind.value, kind.line)) {
            None => self.push(&at, node.line, format!("is missing; one of {}", kinds.join(", "))),
            Some((Value::Text(kind), line)) => {
                match tagged.iter().find(|(_, candidate, _)| candidate == kind) {
                    Some((_, _, schema)) => self.node(schema, node, path),
                    None => self.push(&at, line, format!("{kind:?} is not one of {}", kinds.join(", "))),
                }
            }
            Some((other, line)) => {
                let message = format!("expected one of {}, got {}", kinds.join(", "), other.kind());
                self.push(&at, line, message);
            }
        }
    }

    fn type_fits(&mut self, schema: &Json, node: &Node, path: &str) -> bool {
        let allowed: Vec<&str> = match schema.get("type") {
            Some(Json::String(one)) => vec![one],
            Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
            _ => return true,
        };
        let fits = allowed.iter().any(|name| {
            matches!(
                (*name, &node.value),
                ("integer", Value::Integer(_))
                    | ("number", Value::Integer(_) | Value::Number(_))
                    | ("string", Value::Text(_))
                    | ("boolean", Value::Boolean(_))
                    | ("null", Value::Null)
                    | ("array", Value::List(_))
                    | ("object", Value::Table(_))
            )
        });
        if !fits {
            let expected =
                allowed.iter().find(|name| **name != "null").map_or("nothing", |name| match *name {
                    "integer" => "a whole number",
                    "number" => "a number",
                    "string" => "a text",
                    "boolean" => "true or false",
                    "array" => "a list",
                    _ => "a table",
                });
            self.push(path, node.line, format!("expected {expected}, got {}", node.value.kind()));
        }
        fits
    }

    fn range(&mut self, schema: &Json, value: f64, node: &Node, path: &str) {
        let bound = |name: &str| schema.get(name).and_then(Json::as_f64);
        let problem = if let Some(bound) = bound("minimum").filter(|bound| value < *bound) {
            format!("{value} must be at least {bound}")
        } else if let Some(bound) = bound("exclusiveMinimum").filter(|bound| value <= *bound) {
            format!("{value} must be greater than {bound}")
        } else if let Some(bound) = bound("maximum").filter(|bound| value > *bound) {
            format!("{value} must be at most {bound}")
        } else {
            return;
        };
        self.push(path, node.line, problem);
    }

    fn text(&mut self, schema: &Json, text: &str, node: &Node, path: &str) {
        let is_id = schema.get("pattern").and_then(Json::as_str) == Some(crate::id::PATTERN);
        if is_id && !crate::id::is_valid(text) {
            let message = format!("{text:?} must be 1 to 64 characters of A-Z a-z 0-9 . _ : -");
            self.push(path, node.line, message);
        }
        let least = schema.get("minLength").and_then(Json::as_u64).unwrap_or(0);
        if (text.chars().count() as u64) < least {
            self.push(path, node.line, "must not be empty".to_owned());
        }
    }

    fn list(&mut self, schema: &'a Json, nodes: &[Node], node: &Node, path: &str) {
        let count = |name: &str| schema.get(name).and_then(Json::as_u64);
        let (least, most) = (count("minItems"), count("maxItems"));
        let length = nodes.len() as u64;
        if least.is_some_and(|least| length < least) || most.is_some_and(|most| length > most) {
            let expected = match (least, most) {
                (Some(least), Some(most)) if least == most => format!("exactly {least}"),
                (Some(least), None) => format!("at least {least}"),
                (least, most) => {
                    format!("{} to {}", least.unwrap_or(0), most.map_or("any".to_owned(), |m| m.to_string()))
                }
            };
            self.push(path, node.line, format!("expected {expected} elements, got {length}"));
        }
        if let Some(items) = schema.get("items") {
            for (index, inner) in nodes.iter().enumerate() {
                self.node(items, inner, &format!("{path}[{index}]"));
            }
        }
    }

    fn table(&mut self, schema: &'a Json, node: &Node, path: &str) {
        let fields = schema.get("properties").and_then(Json::as_object);
        let closed = schema.get("additionalProperties") == Some(&Json::Bool(false));
        for entry in node.entries() {
            let at = join(path, &entry.key);
            // A key without a value is as good as no key.
            if entry.node.value == Value::Null {
                continue;
            }
            match fields.and_then(|fields| fields.get(&entry.key)) {
                Some(field) => self.node(field, &entry.node, &at),
                None if closed => {
                    let known: Vec<&str> =
                        fields.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
                    self.push(&at, entry.line, format!("unknown field; known are {}", known.join(", ")));
                }
                None => {}
            }
        }
        for name in schema.get("required").and_then(Json::as_array).into_iter().flatten() {
            let Some(name) = name.as_str() else { continue };
            if node.get(name).is_none_or(|found| found.value == Value::Null) {
                self.push(&join(path, name), node.line, "is missing".to_owned());
            }
        }
    }
}

fn alternatives(schema: &Json) -> Option<&[Json]> {
    schema.get("oneOf").or_else(|| schema.get("anyOf"))?.as_array().map(Vec::as_slice)
}

fn is_null(schema: &Json) -> bool {
    schema.get("type").and_then(Json::as_str) == Some("null")
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}
