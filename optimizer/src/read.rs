//! A problem out of a JSON text, with the place of every fault.
//!
//! The text is a problem, or an object that has one as `problem` (a reference case). Writers in other languages emit
//! `NaN` and `Infinity`, which JSON does not know: those read as missing numbers, so that the fault is reported as
//! "`load_kw[3]` is not a finite number" and not as a syntax error in column 71,204.

use serde_json::Value;
use thiserror::Error;

use crate::problem::DispatchProblem;
use crate::validate::ProblemErrors;

/// Why a text is not a problem that can be solved.
#[derive(Debug, Error)]
pub enum ReadError {
    #[error("not JSON: {0}")]
    Syntax(serde_json::Error),
    #[error("{field}: {reason}")]
    Shape {
        /// Path of the value at fault, `problem` for the whole.
        field: String,
        reason: String,
    },
    #[error(transparent)]
    Invalid(#[from] ProblemErrors),
}

/// Reads and validates a problem.
///
/// # Errors
/// Bad syntax by line and column; a wrong type, a missing or an unknown field by path; else all faults of
/// [`DispatchProblem::validate`].
pub fn read_problem(text: &str) -> Result<DispatchProblem, ReadError> {
    let mut value: Value = serde_json::from_str(&without_non_numbers(text)).map_err(ReadError::Syntax)?;
    if let Some(problem) = value.get_mut("problem") {
        value = problem.take();
    }
    let problem: DispatchProblem = serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "problem".to_owned() } else { path };
        ReadError::Shape { field, reason: error.into_inner().to_string() }
    })?;
    problem.validate()?;
    Ok(problem)
}

/// Replaces `NaN`, `Infinity` and `-Infinity` outside strings by `null`.
fn without_non_numbers(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(['"', 'N', 'I', '-']) {
        kept.push_str(&rest[..start]);
        rest = &rest[start..];
        if let Some(word) = ["NaN", "-Infinity", "Infinity"].into_iter().find(|word| rest.starts_with(word)) {
            kept.push_str("null");
            rest = &rest[word.len()..];
        } else {
            let length = if rest.starts_with('"') { string_length(rest) } else { 1 };
            kept.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    kept.push_str(rest);
    kept
}

/// Bytes of the string literal a text begins with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (position, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return position + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::sample;

    fn text_with(field: &str, value: &str) -> String {
        let mut object = serde_json::to_value(sample()).unwrap();
        *object.pointer_mut(field).unwrap() = Value::from("HERE");
        object.to_string().replace("\"HERE\"", value)
    }

    #[test]
    fn a_problem_is_read_bare_or_out_of_a_reference_case() {
        let bare = serde_json::to_string(&sample()).unwrap();
        assert_eq!(read_problem(&bare).unwrap(), sample());
        let case = format!("{{\"expected\": {{\"note\": \"NaN\"}}, \"problem\": {bare}}}");
        assert_eq!(read_problem(&case).unwrap(), sample());
    }

    #[test]
    fn every_fault_of_a_text_is_placed() {
        let table = [
            (text_with("/load_kw/2", "NaN"), "load_kw[2] is not a finite number (NaN, infinite or missing)"),
            (text_with("/import_price_per_kwh/1", "null"), "import_price_per_kwh[1] is not a finite number"),
            (text_with("/grid/import_limit_kw", "-Infinity"), "grid.import_limit_kw is not a finite number"),
            (text_with("/load_kw/2", "\"12\""), "load_kw[2]: invalid type: string \"12\""),
            (text_with("/batteries/0/charge_limit_kw", "[1]"), "batteries[0].charge_limit_kw: invalid type"),
            (text_with("/ev_sessions/0/arrival_step", "-1"), "ev_sessions[0].arrival_step: invalid value"),
            (text_with("/steps", "3.5"), "steps: invalid type: floating point"),
            (text_with("/grid", "{\"import_limit_kw\": 1}"), "grid: missing field `export_limit_kw`"),
            (text_with("/grid", "{\"imprt_limit_kw\": 1}"), "grid.imprt_limit_kw: unknown field"),
            (text_with("/load_kw", "[1, 2"), "not JSON: "),
            (String::new(), "not JSON: EOF"),
            ("[]".to_owned(), "problem: "),
        ];
        for (text, message) in table {
            let error = read_problem(&text).unwrap_err().to_string();
            assert!(error.starts_with(message), "\"{error}\" should start with \"{message}\"");
        }
    }

    #[test]
    fn names_that_look_like_non_numbers_are_left_alone() {
        let text = r#"{"a": "NaN \" Infinity", "b": [NaN, -1, -Infinity, Infinity], "c\\": "\\"}"#;
        let kept = r#"{"a": "NaN \" Infinity", "b": [null, -1, null, null], "c\\": "\\"}"#;
        assert_eq!(without_non_numbers(text), kept);
    }
}
