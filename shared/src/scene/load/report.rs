//! The files of a scene as trees, and what is wrong with them.

use super::{
    conform::Schema,
    json, toml,
    tree::{Node, Value},
};
use crate::scene::{Problem, SceneFiles};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// One file, parsed and checked against its type's schema.
pub(super) struct Document {
    /// Path inside the scene.
    pub(super) file: String,
    pub(super) root: Node,
    /// Whether the file had syntax errors: `root` then holds what could be made of it, which proves nothing.
    pub(super) broken: bool,
}

/// An element of a list that fits its type, with its path.
pub(super) struct Item<T> {
    pub(super) path: String,
    pub(super) value: T,
}

/// All problems found so far.
#[derive(Default)]
pub(super) struct Report {
    problems: Vec<Problem>,
    /// File and path of every value that does not fit its type, and so cannot be looked at further.
    misfits: Vec<(String, String)>,
}

impl Report {
    pub(super) fn push(&mut self, file: &str, line: Option<usize>, field: &str, message: impl Into<String>) {
        self.problems.push(Problem {
            file: file.to_owned(),
            line,
            field: field.to_owned(),
            message: message.into(),
        });
    }

    /// A problem at `path` of a document.
    pub(super) fn at(&mut self, document: &Document, path: &str, message: impl Into<String>) {
        self.push(&document.file, Some(document.root.line_of(path)), path, message);
    }

    pub(super) fn extend(&mut self, problems: impl IntoIterator<Item = Problem>) {
        self.problems.extend(problems);
    }

    /// Whether everything at or below `path` fits its type; the empty path is the whole file.
    fn fits(&self, file: &str, path: &str) -> bool {
        !self.misfits.iter().any(|(misfit_file, misfit)| {
            let below = misfit.strip_prefix(path);
            misfit_file == file
                && (path.is_empty()
                    || below.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])))
        })
    }

    /// In file and line order, each once.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        self.problems.dedup();
        self.problems
    }

    /// The text of a file; a missing one is a problem, and so is one that is not UTF-8.
    fn text<'a>(&mut self, files: &'a SceneFiles, file: &str) -> Option<&'a str> {
        let Some(bytes) = files.get(file) else {
            self.push(file, None, "", "the file is missing");
            return None;
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(error) => {
                let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
                self.push(file, Some(line), "", "the file is not UTF-8");
                None
            }
        }
    }

    /// Reads a TOML file and checks it against the schema of `T`.
    pub(super) fn toml<T: JsonSchema>(&mut self, files: &SceneFiles, file: &str) -> Option<Document> {
        let text = self.text(files, file)?;
        let (root, errors) = toml::parse(text);
        let broken = !errors.is_empty();
        for (line, message) in errors {
            self.push(file, Some(line), "", message);
        }
        let document = Document { file: file.to_owned(), root, broken };
        if !broken {
            self.conform(&document, &Schema::of::<T>());
        }
        Some(document)
    }

    /// Reads a JSON file and checks it against the schema of `T`.
    pub(super) fn json<T: JsonSchema>(&mut self, files: &SceneFiles, file: &str) -> Option<Document> {
        let text = self.text(files, file)?;
        match json::parse(text) {
            Ok(root) => {
                let document = Document { file: file.to_owned(), root, broken: false };
                self.conform(&document, &Schema::of::<T>());
                Some(document)
            }
            Err((line, message)) => {
                self.push(file, Some(line), "", message);
                None
            }
        }
    }

    fn conform(&mut self, document: &Document, schema: &Schema) {
        for (path, line, message) in schema.findings(&document.root) {
            self.push(&document.file, Some(line), &path, message);
            self.misfits.push((document.file.clone(), path));
        }
    }

    /// The value at `path` when it is there and fits.
    pub(super) fn typed<T: DeserializeOwned>(&mut self, document: &Document, path: &str) -> Option<T> {
        let node = if path.is_empty() { Some(&document.root) } else { document.root.get(path) };
        self.part(document, node?, path)
    }

    /// The elements of the list `name` that fit: one bad element hides no other.
    pub(super) fn items<T: DeserializeOwned>(&mut self, document: &Document, name: &str) -> Vec<Item<T>> {
        let mut items = Vec::new();
        for (index, node) in document.root.list(name).iter().enumerate() {
            let path = format!("{name}[{index}]");
            if let Some(value) = self.part(document, node, &path) {
                items.push(Item { path, value });
            }
        }
        items
    }

    /// The value of one node, when it fits.
    pub(super) fn part<T: DeserializeOwned>(
        &mut self,
        document: &Document,
        node: &Node,
        path: &str,
    ) -> Option<T> {
        if document.broken || !self.fits(&document.file, path) {
            return None;
        }
        match serde_json::from_value(node.to_json()) {
            Ok(value) => Some(value),
            Err(error) => {
                self.push(&document.file, Some(node.line), path, error.to_string());
                self.misfits.push((document.file.clone(), path.to_owned()));
                None
            }
        }
    }

    /// The texts of `key` over the elements of `list` that have one, with their paths; a text that stands there twice, or
    /// once more in other case, is a problem. Elements with other problems count: what they name exists.
    pub(super) fn unique<'a>(
        &mut self,
        document: &'a Document,
        list: &str,
        key: &str,
    ) -> BTreeMap<&'a str, &'a Node> {
        let mut seen: BTreeMap<String, (&str, usize)> = BTreeMap::new();
        let mut unique = BTreeMap::new();
        for (index, node) in document.root.list(list).iter().enumerate() {
            let Some(text) = node.text(key) else { continue };
            let path = format!("{list}[{index}].{key}");
            let line = document.root.line_of(&path);
            match seen.get(&text.to_lowercase()) {
                Some((first, at)) if *first == text => {
                    self.at(document, &path, format!("{text:?} already stands on line {at}"));
                }
                Some((first, at)) => {
                    let message = format!("{text:?} differs only in case from {first:?} on line {at}");
                    self.at(document, &path, message);
                }
                None => {
                    seen.insert(text.to_lowercase(), (text, line));
                }
            }
            unique.entry(text).or_insert(node);
        }
        unique
    }
}

impl Document {
    /// Whether the document has something at the top-level field `name`, whatever it is.
    pub(super) fn has(&self, name: &str) -> bool {
        self.root.get(name).is_some_and(|node| node.value != Value::Null)
    }
}
