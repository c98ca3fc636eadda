//! From a question and the park to the columns of a table and the series they are made of.

use super::{
    ask::{Selection, Stepped},
    columns::{described, of_figure},
    expression::Expression,
    figure::{Across, Figure},
    fill::Fill,
    points::Point,
    rows::{Base, Output, Table},
    step::StepClock,
    write::{Column, Head},
};
use crate::ApiError;
use history::History;
use indexmap::{IndexMap, IndexSet};
use jiff::tz::TimeZone;
use shared::{selector::Kind, thing_model::MeasurementKind, time::Timestamp};
use std::{collections::HashMap, sync::Arc};

/// What columns are named when nothing distinguishes them.
const ALL: &str = "all";
/// Rows of more are no use to anyone, and a row is made as a whole.
const COLUMNS_MAX: usize = 100_000;

/// A figure of a selection: a column for each key.
struct Slot {
    /// As an expression calls it.
    variable: String,
    /// Before and after the key in a column's name.
    before: Option<String>,
    after: Option<String>,
    columns: IndexMap<Vec<String>, usize>,
}

/// Columns, and the points that are read for them.
#[derive(Default)]
struct Columns {
    points: Vec<Point>,
    by_number: HashMap<u32, usize>,
    bases: Vec<Base>,
    described: Vec<Column>,
}

impl Columns {
    fn point(&mut self, point: &Point) -> usize {
        *self.by_number.entry(point.number()).or_insert_with(|| {
            self.points.push(point.clone());
            self.points.len() - 1
        })
    }
}

/// The table that answers; `selected` are the selections' points.
pub(super) fn table(
    history: &History,
    selections: &[Selection],
    selected: &[Vec<Point>],
    asked: &Stepped,
    (from, to): (Timestamp, Timestamp),
    zone: &TimeZone,
    zone_name: &str,
) -> Result<Table, ApiError> {
    let mut columns = Columns::default();
    let mut slots = Vec::new();
    for (selection, points) in selections.iter().zip(selected) {
        for figure in &selection.figures {
            slots.push(slot(&mut columns, selection, points, asked, *figure)?);
        }
    }
    let mut clock = StepClock::new(asked.step, zone.clone());
    let from = clock.floor(from);
    let head = Head {
        from,
        to,
        step: Some(asked.step.to_string()),
        fill: asked.fill.map(Fill::as_str),
        time_zone: zone_name.to_owned(),
    };
    let (outputs, described) = match &asked.expression {
        None => ((0..columns.bases.len()).map(Output::Base).collect(), columns.described),
        Some(text) => computed(text, &slots, &columns)?,
    };
    let series = columns.points.iter().map(|point| point.device.series[point.index].clone()).collect();
    let mut table = Table::new(history.clone(), head, clock, series, columns.bases, outputs, described);
    table.fill = asked.fill;
    Ok(table)
}

fn slot(
    columns: &mut Columns,
    selection: &Selection,
    points: &[Point],
    asked: &Stepped,
    figure: Figure,
) -> Result<Slot, ApiError> {
    if figure == Figure::Delta
        && let Some(point) = points.iter().find(|p| p.measurement().kind != MeasurementKind::Counter)
    {
        let (device, key) = (point.name(Kind::Device), point.name(Kind::Measurement));
        let message = format!("delta is for counters, and {key} of {device} is none; name the measurements");
        let field =
            selection.name.as_ref().map_or_else(|| "aggregate".to_owned(), |name| format!("q.{name}"));
        return Err(ApiError::field("INVALID_VALUE", field, message));
    }
    let alone = selection.name.is_none() && asked.group_by.is_none() && selection.across.is_none();
    let kinds: &[Kind] = match &asked.group_by {
        Some(kinds) => kinds,
        None if alone => &[Kind::Device, Kind::Measurement],
        None => &[],
    };
    let across = (!alone).then(|| selection.across.unwrap_or_else(|| figure.usual_across()));
    let several = selection.figures.len() > 1;
    let mut slot = Slot {
        variable: match &selection.name {
            None => figure.as_str().to_owned(),
            Some(name) if several => format!("{name}_{}", figure.as_str()),
            Some(name) => name.clone(),
        },
        before: selection.name.clone(),
        after: several.then(|| figure.as_str().to_owned()),
        columns: IndexMap::new(),
    };
    let mut members: IndexMap<Vec<String>, Vec<&Point>> = IndexMap::new();
    for point in points {
        let key = kinds.iter().map(|kind| point.name(*kind).to_owned()).collect();
        members.entry(key).or_default().push(point);
    }
    if columns.bases.len() + members.len() > COLUMNS_MAX {
        let message = format!(
            "a table has at most {COLUMNS_MAX} columns, and more are asked for; name fewer devices, measurements or \
             aggregates, or combine series with group_by"
        );
        return Err(ApiError::field("TOO_MANY_COLUMNS", "group_by", message));
    }
    for (key, members) in members {
        let name = slot.before.iter().chain(&key).chain(&slot.after);
        let name = name.map(String::as_str).collect::<Vec<_>>().join("/");
        let name = if name.is_empty() { ALL.to_owned() } else { name };
        slot.columns.insert(key, columns.bases.len());
        columns.described.push(of_figure(name, &members, figure, across));
        let series = members.into_iter().map(|point| columns.point(point)).collect();
        columns.bases.push(Base { figure, across: across.unwrap_or(Across::Sum), series });
    }
    Ok(slot)
}

/// A column for each key: what the expression makes of the slots' columns of that key.
fn computed(text: &str, slots: &[Slot], columns: &Columns) -> Result<(Vec<Output>, Vec<Column>), ApiError> {
    let names: Vec<String> = slots.iter().map(|slot| slot.variable.clone()).collect();
    let expression = Expression::parse(text, &names)
        .map_err(|e| ApiError::field("INVALID_VALUE", "expr", format!("expr {text:?}: {e}")))?;
    let needed = expression.columns();
    let keys: IndexSet<&Vec<String>> = slots.iter().flat_map(|slot| slot.columns.keys()).collect();
    let expression = Arc::new(expression);
    let mut outputs = Vec::with_capacity(keys.len());
    let mut described_as = Vec::with_capacity(keys.len());
    for key in keys {
        let variables: Vec<Option<usize>> = slots.iter().map(|slot| slot.columns.get(key).copied()).collect();
        let used = variables.iter().enumerate().filter(|(slot, _)| needed.contains(slot));
        let bases: Vec<usize> = used.filter_map(|(_, column)| *column).collect();
        let mut points: Vec<usize> =
            bases.iter().flat_map(|base| columns.bases[*base].series.iter().copied()).collect();
        points.sort_unstable();
        points.dedup();
        let members: Vec<&Point> = points.iter().map(|point| &columns.points[*point]).collect();
        let name = if key.is_empty() { "expr".to_owned() } else { key.join("/") };
        let unit = expression.unit(|slot| {
            variables.get(slot).copied().flatten().and_then(|column| columns.described[column].unit.clone())
        });
        described_as.push(Column { unit, ..described(name, &members, Some(text.to_owned())) });
        outputs.push(Output::Computed { expression: expression.clone(), variables });
    }
    Ok((outputs, described_as))
}
