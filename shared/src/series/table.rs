//! Plain CSV: a header naming the columns, numbers below, `#` lines as comments, no quoting.

use super::SeriesFile;
use crate::scene::Problem;
use std::{collections::BTreeMap, ops::RangeInclusive};

/// Problems of one file beyond this many are only counted: a file in the wrong format has one a line.
const MOST_PROBLEMS: usize = 20;

/// What is wrong with one file.
pub(super) struct Problems<'a> {
    path: &'a str,
    found: Vec<Problem>,
    suppressed: usize,
}

impl<'a> Problems<'a> {
    pub(super) fn new(file: &'a SeriesFile) -> Self {
        Self { path: &file.path, found: Vec::new(), suppressed: 0 }
    }

    pub(super) fn push(&mut self, line: Option<usize>, field: &str, message: impl Into<String>) {
        if self.found.len() == MOST_PROBLEMS {
            self.suppressed += 1;
            return;
        }
        self.found.push(Problem {
            file: self.path.to_owned(),
            line,
            field: field.to_owned(),
            message: message.into(),
        });
    }

    /// `value` when nothing was wrong.
    pub(super) fn finish<T>(mut self, value: T) -> Result<T, Vec<Problem>> {
        if self.suppressed > 0 {
            self.found.push(Problem {
                file: self.path.to_owned(),
                line: None,
                field: String::new(),
                message: format!("and {} more problems", self.suppressed),
            });
        }
        if self.found.is_empty() { Ok(value) } else { Err(self.found) }
    }
}

/// A line of cells under a header.
pub(super) struct Row<'a> {
    /// 1-based.
    pub(super) line: usize,
    cells: Vec<&'a str>,
}

impl<'a> Row<'a> {
    pub(super) fn cell(&self, column: usize) -> &'a str {
        self.cells.get(column).copied().unwrap_or_default()
    }

    /// A finite number in `range`; anything else is a problem.
    pub(super) fn number(
        &self,
        column: usize,
        name: &str,
        range: RangeInclusive<f64>,
        problems: &mut Problems<'_>,
    ) -> Option<f64> {
        let cell = self.cell(column);
        match cell.parse::<f64>() {
            Ok(value) if range.contains(&value) => Some(value),
            Ok(value) => {
                let message = format!("{value} is not within {}…{}", range.start(), range.end());
                problems.push(Some(self.line), name, message);
                None
            }
            Err(_) => {
                problems.push(Some(self.line), name, format!("{cell:?} is not a number"));
                None
            }
        }
    }

    /// A date or local time in ISO 8601 (`2016-01-31`, `2019-05-01T08:15`); anything else is a problem.
    pub(super) fn time<T: std::str::FromStr>(
        &self,
        column: usize,
        name: &str,
        problems: &mut Problems<'_>,
    ) -> Option<T> {
        let cell = self.cell(column);
        let parsed = cell.parse().ok();
        if parsed.is_none() {
            problems.push(Some(self.line), name, format!("{cell:?} is not a date or local time"));
        }
        parsed
    }
}

/// The rows of a file with their cells in the order of `columns`, whatever order the file has them in.
///
/// Other columns are left out; a missing column is a problem and gives no rows.
pub(super) fn rows<'a>(file: &'a SeriesFile, columns: &[&str], problems: &mut Problems<'_>) -> Vec<Row<'a>> {
    let text = file.text.strip_prefix('\u{feff}').unwrap_or(&file.text);
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim_end()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let Some((header_line, header)) = lines.next() else {
        problems.push(None, "", "the file is empty");
        return Vec::new();
    };
    let header: Vec<&str> = header.split(',').map(str::trim).collect();
    let places: BTreeMap<&str, usize> = header.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let missing: Vec<&str> = columns.iter().copied().filter(|column| !places.contains_key(column)).collect();
    if !missing.is_empty() {
        problems.push(Some(header_line), "", format!("column {} is missing", missing.join(", ")));
        return Vec::new();
    }
    let order: Vec<usize> = columns.iter().filter_map(|column| places.get(column).copied()).collect();
    let mut rows = Vec::new();
    for (line, text) in lines {
        let cells: Vec<&str> = text.split(',').map(str::trim).collect();
        if cells.len() != header.len() {
            let message = format!("{} cells under {} columns", cells.len(), header.len());
            problems.push(Some(line), "", message);
            continue;
        }
        rows.push(Row { line, cells: order.iter().map(|at| cells[*at]).collect() });
    }
    rows
}
