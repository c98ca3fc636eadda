//! Arithmetic between the columns of a query: `(import - export) / max(load, 1)`.
//!
//! ```text
//! sum     = product (('+' | '-') product)*
//! product = sign (('*' | '/') sign)*
//! sign    = '-' sign | atom
//! atom    = number | name | function '(' sum (',' sum)* ')' | '(' sum ')'
//! ```
//!
//! Functions are `min`, `max` (of one or more) and `abs`. Where something that is needed has no value, the result has none;
//! neither has a division by zero.

use std::collections::HashSet;

/// Longer ones are not read.
const LENGTH_MAX: usize = 1_000;
/// Deeper ones are not read: the parser calls itself.
const DEPTH_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at character {at}")]
pub(crate) struct InvalidExpression {
    /// From 1.
    at: usize,
    what: String,
}

/// A parsed expression over named columns, ready to be evaluated: in reverse Polish order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expression {
    operations: Vec<Operation>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operation {
    Number(f64),
    /// The column of this index.
    Column(usize),
    Negate,
    Abs,
    Add,
    Subtract,
    Multiply,
    Divide,
    /// Of so many.
    Min(usize),
    Max(usize),
}

/// The unit of what an expression gives.
#[derive(Debug, Clone, PartialEq)]
enum Unit {
    /// A number that was written: takes the unit of what it is added to or compared with.
    Written,
    Known(String),
    Unknown,
}

impl Expression {
    /// Reads an expression over columns of these names.
    pub(crate) fn parse(text: &str, names: &[String]) -> Result<Expression, InvalidExpression> {
        if text.len() > LENGTH_MAX {
            let what =
                format!("an expression has at most {LENGTH_MAX} bytes, this one {}, too long", text.len());
            return Err(InvalidExpression { at: 1, what });
        }
        let mut parser = Parser { rest: text, text, names, operations: Vec::new(), depth: 0 };
        parser.sum()?;
        parser.skip_blanks();
        match parser.rest.chars().next() {
            None => Ok(Expression { operations: parser.operations }),
            Some(found) => Err(parser.fault(format!("{found:?} is not expected"))),
        }
    }

    /// The columns it needs.
    pub(crate) fn columns(&self) -> HashSet<usize> {
        let column = |operation: &Operation| match operation {
            Operation::Column(index) => Some(*index),
            _ => None,
        };
        self.operations.iter().filter_map(column).collect()
    }

    /// Its value where column `i` has the value `column(i)`, NaN for none. `stack` is room to work in.
    pub(crate) fn evaluate(&self, column: impl Fn(usize) -> f64, stack: &mut Vec<f64>) -> f64 {
        stack.clear();
        for operation in &self.operations {
            let value = match operation {
                Operation::Number(number) => *number,
                Operation::Column(index) => column(*index),
                Operation::Negate => -pop(stack),
                Operation::Abs => pop(stack).abs(),
                Operation::Min(count) => fold(stack, *count, f64::min),
                Operation::Max(count) => fold(stack, *count, f64::max),
                binary => {
                    let (right, left) = (pop(stack), pop(stack));
                    match binary {
                        Operation::Add => left + right,
                        Operation::Subtract => left - right,
                        Operation::Multiply => left * right,
                        _ => left / right,
                    }
                }
            };
            stack.push(value);
        }
        let value = pop(stack);
        if value.is_finite() { value } else { f64::NAN }
    }

    /// The unit of its value where column `i` has the unit `column(i)`; none where it is not sure.
    pub(crate) fn unit(&self, column: impl Fn(usize) -> Option<String>) -> Option<String> {
        let mut stack: Vec<Unit> = Vec::new();
        for operation in &self.operations {
            let unit = match operation {
                Operation::Number(_) => Unit::Written,
                Operation::Column(index) => column(*index).map_or(Unit::Unknown, Unit::Known),
                Operation::Negate | Operation::Abs => stack.pop().unwrap_or(Unit::Unknown),
                Operation::Min(count) | Operation::Max(count) => {
                    let of = stack.split_off(stack.len().saturating_sub(*count));
                    of.into_iter().reduce(same).unwrap_or(Unit::Unknown)
                }
                binary => {
                    let right = stack.pop().unwrap_or(Unit::Unknown);
                    let left = stack.pop().unwrap_or(Unit::Unknown);
                    match binary {
                        Operation::Add | Operation::Subtract => same(left, right),
                        Operation::Multiply => product(left, right),
                        _ => quotient(left, right),
                    }
                }
            };
            stack.push(unit);
        }
        match stack.pop() {
            Some(Unit::Known(unit)) => Some(unit),
            _ => None,
        }
    }
}

fn pop(stack: &mut Vec<f64>) -> f64 {
    stack.pop().unwrap_or(f64::NAN)
}

/// Unlike `f64::min` and `f64::max` alone: no value among them gives none.
fn fold(stack: &mut Vec<f64>, count: usize, of: fn(f64, f64) -> f64) -> f64 {
    let values = stack.drain(stack.len().saturating_sub(count)..);
    let pick = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { of(a, b) };
    values.reduce(pick).unwrap_or(f64::NAN)
}

/// Of a sum, or of the least or greatest of two.
fn same(left: Unit, right: Unit) -> Unit {
    match (left, right) {
        (Unit::Written, other) | (other, Unit::Written) => other,
        (left, right) if left == right => left,
        _ => Unit::Unknown,
    }
}

/// A written factor may be a factor of conversion: nobody knows into what.
fn product(left: Unit, right: Unit) -> Unit {
    match (left, right) {
        (Unit::Written, Unit::Written) => Unit::Written,
        (Unit::Known(pure), Unit::Known(other)) | (Unit::Known(other), Unit::Known(pure))
            if pure.is_empty() =>
        {
            Unit::Known(other)
        }
        _ => Unit::Unknown,
    }
}

fn quotient(left: Unit, right: Unit) -> Unit {
    match (left, right) {
        (Unit::Written, Unit::Written) => Unit::Written,
        (Unit::Known(left), Unit::Known(right)) if left == right => Unit::Known(String::new()),
        (Unit::Known(left), Unit::Known(right)) if right.is_empty() => Unit::Known(left),
        _ => Unit::Unknown,
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    names: &'a [String],
    operations: Vec<Operation>,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn fault(&self, what: impl Into<String>) -> InvalidExpression {
        let before = &self.text[..self.text.len() - self.rest.len()];
        InvalidExpression { at: before.chars().count() + 1, what: what.into() }
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes the next character if it is this one.
    fn took(&mut self, wanted: char) -> bool {
        self.skip_blanks();
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn sum(&mut self) -> Result<(), InvalidExpression> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.fault(format!("more than {DEPTH_MAX} parentheses within each other")));
        }
        self.product()?;
        loop {
            let operation = if self.took('+') {
                Operation::Add
            } else if self.took('-') {
                Operation::Subtract
            } else {
                break;
            };
            self.product()?;
            self.operations.push(operation);
        }
        self.depth -= 1;
        Ok(())
    }

    fn product(&mut self) -> Result<(), InvalidExpression> {
        self.sign()?;
        loop {
            let operation = if self.took('*') {
                Operation::Multiply
            } else if self.took('/') {
                Operation::Divide
            } else {
                return Ok(());
            };
            self.sign()?;
            self.operations.push(operation);
        }
    }

    fn sign(&mut self) -> Result<(), InvalidExpression> {
        let mut negative = false;
        while self.took('-') {
            negative = !negative;
        }
        self.atom()?;
        if negative {
            self.operations.push(Operation::Negate);
        }
        Ok(())
    }

    fn atom(&mut self) -> Result<(), InvalidExpression> {
        if self.took('(') {
            self.sum()?;
            return self.close();
        }
        match self.rest.chars().next() {
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if c.is_ascii_alphabetic() || c == '_' => self.name(),
            Some(found) => Err(self.fault(format!("{found:?} stands where a number or a name is expected"))),
            None => Err(self.fault("the expression ends where a number or a name is expected")),
        }
    }

    fn close(&mut self) -> Result<(), InvalidExpression> {
        if self.took(')') { Ok(()) } else { Err(self.fault("a ) is missing")) }
    }

    fn number(&mut self) -> Result<(), InvalidExpression> {
        let start = self.rest;
        self.take_while(|c| c.is_ascii_digit() || c == '.');
        if let Some(exponent) = self.rest.strip_prefix(['e', 'E']) {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.starts_with(|c: char| c.is_ascii_digit()) {
                self.rest = digits;
                self.take_while(|c| c.is_ascii_digit());
            }
        }
        let text = &start[..start.len() - self.rest.len()];
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => {
                self.operations.push(Operation::Number(number));
                Ok(())
            }
            _ => {
                self.rest = start;
                Err(self.fault(format!("{text} is not a number")))
            }
        }
    }

    fn name(&mut self) -> Result<(), InvalidExpression> {
        let start = self.rest;
        let name = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
        if self.took('(') {
            let mut count = 0;
            loop {
                self.sum()?;
                count += 1;
                if !self.took(',') {
                    break;
                }
            }
            self.close()?;
            let operation = match (name, count) {
                ("abs", 1) => Operation::Abs,
                ("min", _) => Operation::Min(count),
                ("max", _) => Operation::Max(count),
                ("abs", _) => {
                    self.rest = start;
                    return Err(self.fault(format!("abs is of one, not of {count}")));
                }
                _ => {
                    self.rest = start;
                    return Err(self.fault(format!("there is no function {name}; there are min, max, abs")));
                }
            };
            self.operations.push(operation);
            return Ok(());
        }
        match self.names.iter().position(|known| known == name) {
            Some(index) => {
                self.operations.push(Operation::Column(index));
                Ok(())
            }
            None => {
                self.rest = start;
                Err(self.fault(format!("nothing is called {name}; there are {}", self.names.join(", "))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names() -> Vec<String> {
        ["a", "b", "max"].map(str::to_owned).to_vec()
    }

    fn value(text: &str, columns: [f64; 3]) -> f64 {
        let expression = Expression::parse(text, &names()).unwrap();
        expression.evaluate(|index| columns[index], &mut Vec::new())
    }

    #[test]
    fn operators_bind_as_on_paper() {
        for (text, expected) in [
            ("a-b", 4.0),
            ("a - b - 1", 3.0),
            ("a+b*2", 10.0),
            ("(a+b)*2", 16.0),
            ("a/b/2", 1.5),
            ("-a+b", -4.0),
            ("--a", 6.0),
            ("2*-b", -4.0),
            ("abs(b-a)", 4.0),
            ("min(a, b, 1.5e0)", 1.5),
            ("max(a,b) - max", 5.0),
            ("max(a)", 6.0),
            (".5e1 * b", 10.0),
        ] {
            assert_eq!(value(text, [6.0, 2.0, 1.0]), expected, "{text}");
        }
    }

    #[test]
    fn what_has_no_value_gives_none() {
        assert!(value("a+b", [f64::NAN, 1.0, 0.0]).is_nan());
        assert!(value("max(a,b)", [f64::NAN, 1.0, 0.0]).is_nan());
        assert!(value("a/b", [1.0, 0.0, 0.0]).is_nan());
        assert_eq!(value("b", [f64::NAN, 1.0, 0.0]), 1.0);
    }

    #[test]
    fn a_fault_says_where_and_what() {
        for (text, at, what) in [
            ("", 1, "the expression ends"),
            ("a -", 4, "the expression ends"),
            ("a b", 3, "'b' is not expected"),
            ("(a", 3, "a ) is missing"),
            ("a + c", 5, "nothing is called c; there are a, b, max"),
            ("sqrt(a)", 1, "there is no function sqrt"),
            ("1.2.3", 1, "1.2.3 is not a number"),
            ("1e999", 1, "1e999 is not a number"),
            ("abs(a,b)", 1, "abs is of one, not of 2"),
            ("min()", 5, "')' stands where"),
            ("值 + a", 1, "'值' stands where"),
            ("a % b", 3, "'%' is not expected"),
        ] {
            let fault = Expression::parse(text, &names()).unwrap_err();
            assert!(fault.at == at && fault.what.starts_with(what), "{text}: {fault}");
        }
        assert!(Expression::parse(&"(".repeat(900), &names()).is_err());
        assert!(Expression::parse(&"-".repeat(900), &names()).is_err());
        assert!(Expression::parse(&"a+".repeat(900), &names()).is_err());
    }

    #[test]
    fn units_are_carried_where_they_agree() {
        let unit = |text: &str, a: &str, b: &str| {
            let units = [a, b, "kW"].map(str::to_owned);
            Expression::parse(text, &names()).unwrap().unit(|i| Some(units[i].clone()))
        };
        for (text, a, b, expected) in [
            ("a-b", "kW", "kW", Some("kW")),
            ("max(a, 0)", "kW", "%", Some("kW")),
            ("abs(-a)", "kW", "%", Some("kW")),
            ("a-b", "kW", "%", None),
            ("a/b", "kW", "kW", Some("")),
            ("a/b", "kWh", "kW", None),
            ("a*b", "kW", "", Some("kW")),
            ("a/b", "kW", "", Some("kW")),
            ("a*0.5827", "kWh", "", None),
            ("100*a/b", "kW", "kW", None),
            ("1+2", "kW", "kW", None),
        ] {
            assert_eq!(unit(text, a, b).as_deref(), expected, "{text} of {a} and {b}");
        }
    }

    /// What is written and what it should come to.
    fn tree() -> impl Strategy<Value = (String, f64)> {
        let leaf = prop_oneof![
            (0u32..100).prop_map(|n| (format!("{}", f64::from(n) / 4.0), f64::from(n) / 4.0)),
            Just(("a".to_owned(), 6.0)),
            Just(("b".to_owned(), 2.0)),
        ];
        leaf.prop_recursive(5, 40, 3, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(l, r)| (format!("({} + {})", l.0, r.0), l.1 + r.1)),
                (inner.clone(), inner.clone()).prop_map(|(l, r)| (format!("({}-{})", l.0, r.0), l.1 - r.1)),
                (inner.clone(), inner.clone()).prop_map(|(l, r)| (format!("({} *{})", l.0, r.0), l.1 * r.1)),
                (inner.clone(), inner.clone()).prop_map(|(l, r)| (format!("({}/ {})", l.0, r.0), l.1 / r.1)),
                (inner.clone(), inner.clone()).prop_map(|(l, r)| (
                    format!("min({},{})", l.0, r.0),
                    if l.1.is_nan() || r.1.is_nan() { f64::NAN } else { l.1.min(r.1) }
                )),
                inner.prop_map(|(text, value)| (format!("-{text}"), -value)),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_expression_comes_to_what_is_written((text, expected) in tree()) {
            let found = value(&text, [6.0, 2.0, 1.0]);
            if expected.is_finite() {
                prop_assert_eq!(found, expected);
            } else {
                prop_assert!(found.is_nan());
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+*/(), ab0-9.emaxin]{0,40}") {
            if let Ok(expression) = Expression::parse(&text, &names()) {
                expression.evaluate(|_| 1.0, &mut Vec::new());
            }
        }
    }
}
