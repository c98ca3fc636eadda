//! Solves a dispatch problem from a file: `cargo run -p optimizer --release --example solve -- case.json`
//!
//! Prints one JSON object: `{"status","objective","seconds","gap","plan"}`, with `"reason"` where there is no plan.
//! `seconds` is what the solve took, reading and printing aside. Exit code 0 also when no plan is feasible; 2 for a
//! file that is not a valid problem; 1 when the solver came to nothing.

use std::process::ExitCode;
use std::time::Instant;

use optimizer::{Outcome, ReadError, SolveOptions, read_problem, solve_with_stopwatch};
use serde_json::{Value, json};

const USAGE: &str = "usage: solve FILE.json [--time-box SECONDS]";

#[expect(clippy::print_stdout, clippy::print_stderr)]
fn main() -> ExitCode {
    let (answer, code) = match answer() {
        Ok(answer) => (answer, 0),
        Err(Refusal { text, answer, code }) => {
            eprintln!("{text}");
            (answer, code)
        }
    };
    if !answer.is_null() {
        println!("{answer}");
    }
    ExitCode::from(code)
}

/// Why there is no answer: for people, for programs, and as an exit code.
struct Refusal {
    text: String,
    answer: Value,
    code: u8,
}

fn answer() -> Result<Value, Refusal> {
    let (path, options) = arguments().map_err(|text| Refusal { text, answer: Value::Null, code: 2 })?;
    let invalid = |text: String, errors: Value| Refusal {
        text: format!("{path}: {text}"),
        answer: json!({"status": "invalid", "objective": null, "reason": text, "errors": errors}),
        code: 2,
    };
    let text = std::fs::read_to_string(&path).map_err(|error| invalid(error.to_string(), json!([])))?;
    let problem = read_problem(&text).map_err(|error| {
        let errors = match &error {
            ReadError::Invalid(faults) => json!(faults.errors),
            ReadError::Shape { field, reason } => json!([{"field": field, "reason": reason}]),
            ReadError::Syntax(error) => json!([{"line": error.line(), "column": error.column()}]),
        };
        invalid(error.to_string(), errors)
    })?;

    let start = Instant::now();
    let outcome = solve_with_stopwatch(&problem, &options, &|| start.elapsed().as_secs_f64());
    let seconds = start.elapsed().as_secs_f64();
    match outcome {
        Ok(Outcome::Planned(solution)) => Ok(json!({
            "status": solution.status,
            "objective": solution.objective,
            "seconds": seconds,
            "gap": solution.gap,
            "bound": solution.bound,
            "method": solution.method,
            "cost": solution.cost,
            "plan": solution.plan,
        })),
        Ok(Outcome::Infeasible(limits)) => {
            let reasons: Vec<&str> = limits.iter().map(|limit| limit.text.en.as_str()).collect();
            Ok(json!({
                "status": "infeasible",
                "objective": null,
                "seconds": seconds,
                "gap": null,
                "plan": null,
                "reason": reasons.join("; "),
                "limits": limits,
            }))
        }
        Err(error) => Err(Refusal {
            text: format!("{path}: {error}"),
            answer: json!({"status": "unsolved", "objective": null, "seconds": seconds, "reason": error.to_string()}),
            code: 1,
        }),
    }
}

fn arguments() -> Result<(String, SolveOptions), String> {
    let (mut path, mut options) = (None, SolveOptions::default());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--time-box" {
            let seconds = arguments.next().and_then(|seconds| seconds.parse().ok());
            options.time_box_seconds = seconds.filter(|seconds| *seconds > 0.0).ok_or(USAGE)?;
        } else if path.replace(argument).is_some() {
            return Err(USAGE.to_owned());
        }
    }
    Ok((path.ok_or(USAGE)?, options))
}
