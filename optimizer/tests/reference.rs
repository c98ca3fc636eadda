//! The reference cases, solved by other programs: the same optimum, and a plan that keeps every constraint.
//!
//! Reads `tests/reference/dispatch/*.json` and the `dispatch` folder of every folder in `PARK_REFERENCE_DIR`
//! (separated by colons), so new cases need no code.

#[path = "../../tests/reference/cases.rs"]
mod reference;

use std::path::Path;

use optimizer::{DispatchProblem, Outcome, SolveOptions, Status, check, solve};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    problem: DispatchProblem,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    status: String,
    objective: Option<f64>,
}

const RELATIVE_TOLERANCE: f64 = 1e-6;

#[test]
fn every_reference_case_has_its_optimum_and_keeps_its_constraints() {
    let files = reference::cases("dispatch", "json");
    let faults: Vec<String> = files
        .iter()
        .filter_map(|file| fault(file).err().map(|fault| format!("{}: {fault}", file.display())))
        .collect();
    assert!(faults.is_empty(), "{} of {} cases differ:\n{}", faults.len(), files.len(), faults.join("\n"));
}

fn fault(file: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let Case { problem, expected } = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let outcome =
        solve(&problem, &SolveOptions { time_box_seconds: 120.0 }).map_err(|error| error.to_string())?;
    let solution = match outcome {
        Outcome::Infeasible(_) if expected.status == "infeasible" => return Ok(()),
        Outcome::Infeasible(limits) => return Err(format!("infeasible: {}", limits[0].text.en)),
        Outcome::Planned(solution) => solution,
    };
    if expected.status != "optimal" {
        return Err(format!("has a plan, where {} was expected", expected.status));
    }
    if solution.status != Status::Optimal {
        return Err(format!("not proven optimal: gap {}", solution.gap));
    }
    let wanted = expected.objective.ok_or("the case names no objective")?;
    let apart = (solution.objective - wanted).abs() / wanted.abs().max(1.0);
    if apart > RELATIVE_TOLERANCE {
        return Err(format!("objective {} instead of {wanted}", solution.objective));
    }
    match check(&problem, &solution.plan).as_slice() {
        [] => Ok(()),
        broken => Err(broken.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}
