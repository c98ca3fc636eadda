//! TOML text to a tree with lines; syntax errors are collected, what parses around them is kept.

use super::tree::{Entry, Lines, Node, Value};
use ::toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// The tree, and every syntax error with its line.
pub(super) fn parse(text: &str) -> (Node, Vec<(usize, String)>) {
    let lines = Lines::new(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut errors: Vec<(usize, String)> = errors
        .into_iter()
        .map(|error| (lines.at(error.span().map_or(0, |span| span.start)), error.message().to_owned()))
        .collect();
    errors.sort();
    (Node { line: 1, value: table(root.get_ref(), &lines) }, errors)
}

fn table(table: &DeTable<'_>, lines: &Lines) -> Value {
    let mut entries: Vec<(usize, Entry)> = table
        .iter()
        .map(|(key, value)| {
            let start = key.span().start;
            let entry =
                Entry { key: key.get_ref().to_string(), line: lines.at(start), node: node(value, lines) };
            (start, entry)
        })
        .collect();
    entries.sort_by_key(|(start, _)| *start);
    Value::Table(entries.into_iter().map(|(_, entry)| entry).collect())
}

fn node(value: &Spanned<DeValue<'_>>, lines: &Lines) -> Node {
    let line = lines.at(value.span().start);
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or_else(|_| Value::Number(integer.as_str().parse().unwrap_or(f64::NAN)), Value::Integer),
        DeValue::Float(float) => Value::Number(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(on) => Value::Boolean(*on),
        DeValue::Datetime(moment) => Value::Moment(moment.to_string()),
        DeValue::Array(values) => Value::List(values.iter().map(|value| node(value, lines)).collect()),
        DeValue::Table(inner) => table(inner, lines),
    };
    Node { line, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
name = 'a'

[[devices]]
id = 'one'
rating = { kind = 'load',
  peak_kw = 5 }

[[devices]]
id = 'two'
position = [1, 2.5,
            nan]
";

    #[test]
    fn every_value_knows_its_line() {
        let (root, errors) = parse(TEXT);
        assert_eq!(errors, []);
        for (path, line) in [
            ("name", 1),
            ("devices[0].id", 4),
            ("devices[0].rating.kind", 5),
            ("devices[0].rating.peak_kw", 6),
            ("devices[0].rating.shape", 5),
            ("devices[1]", 8),
            ("devices[1].position[2]", 11),
            ("devices[7].id", 3),
        ] {
            assert_eq!(root.line_of(path), line, "{path}");
        }
        assert_eq!(root.list("devices").len(), 2);
    }

    #[test]
    fn several_syntax_errors_are_found_at_once() {
        let (_, errors) = parse("a = \nb = 1\nc = [1, 2\nd ?\n");
        assert!(errors.len() > 1, "{errors:?}");
        assert_eq!(errors[0].0, 1, "{errors:?}");
    }
}
