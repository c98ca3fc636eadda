//! JSON text to a tree with lines.
//!
//! `serde_json` judges the text; what it accepts is walked once more here, because its values do not know where they
//! stood.

use super::tree::{Entry, Node, Value};

/// The tree, or the line and message of the first syntax error.
pub(super) fn parse(text: &str) -> Result<Node, (usize, String)> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|error| (error.line().max(1), error.to_string()))?;
    let mut reader = Reader { rest: text, line: 1 };
    reader.value().ok_or((reader.line, "not JSON".to_owned()))
}

/// Reads valid JSON; `None` would mean that it is not.
struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    /// The next character that is not white space, left in place.
    fn peek(&mut self) -> Option<char> {
        let trimmed = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let skipped = &self.rest[..self.rest.len() - trimmed.len()];
        self.line += skipped.matches('\n').count();
        self.rest = trimmed;
        trimmed.chars().next()
    }

    fn skip(&mut self, expected: char) -> Option<()> {
        (self.peek()? == expected).then(|| self.rest = &self.rest[expected.len_utf8()..])
    }

    /// Takes the first `length` bytes.
    fn take(&mut self, length: usize) -> Option<&'a str> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn value(&mut self) -> Option<Node> {
        let first = self.peek()?;
        let line = self.line;
        let value = match first {
            '{' => self.table()?,
            '[' => self.list()?,
            '"' => Value::Text(self.text()?),
            't' => self.take(4).map(|_| Value::Boolean(true))?,
            'f' => self.take(5).map(|_| Value::Boolean(false))?,
            'n' => self.take(4).map(|_| Value::Null)?,
            _ => self.number()?,
        };
        Some(Node { line, value })
    }

    fn table(&mut self) -> Option<Value> {
        self.skip('{')?;
        let mut entries = Vec::new();
        while self.peek()? != '}' {
            let line = self.line;
            let key = self.text()?;
            self.skip(':')?;
            entries.push(Entry { key, line, node: self.value()? });
            if self.peek()? == ',' {
                self.skip(',')?;
            }
        }
        self.skip('}')?;
        Some(Value::Table(entries))
    }

    fn list(&mut self) -> Option<Value> {
        self.skip('[')?;
        let mut nodes = Vec::new();
        while self.peek()? != ']' {
            nodes.push(self.value()?);
            if self.peek()? == ',' {
                self.skip(',')?;
            }
        }
        self.skip(']')?;
        Some(Value::List(nodes))
    }

    fn text(&mut self) -> Option<String> {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find_map(|(at, c)| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends.then_some(at + 1)
        })?;
        serde_json::from_str(self.take(end)?).ok()
    }

    fn number(&mut self) -> Option<Value> {
        let end = self.rest.find([',', ']', '}', ' ', '\t', '\r', '\n']).unwrap_or(self.rest.len());
        let text = self.take(end)?;
        match text.parse() {
            Ok(integer) => Some(Value::Integer(integer)),
            Err(_) => text.parse().ok().map(Value::Number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_holds_what_serde_json_reads_and_knows_lines() {
        let text = r#"{"a": [1, -2.5e3, true, false, null],
  "b\"\\": {"c": "中\u00e9\n,}",
    "empty": [], "none": {}}
}"#;
        let root = parse(text).unwrap();
        let plain: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(root.to_json(), plain);
        assert_eq!(root.line_of("a[3]"), 1);
        assert_eq!(root.entries()[1].line, 2);
        assert_eq!(root.entries()[1].node.line_of("empty"), 3);
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        let (line, message) = parse("{\n \"a\": 1,\n \"b\" 2}").unwrap_err();
        assert_eq!(line, 3, "{message}");
        assert!(parse("").is_err());
    }
}
