//! What an answer is made of: a table, charts, readings, or the cleaned view of one series.

use super::{
    ask::{Ask, Shape, Stepped},
    cleaned::cleaning_of,
    columns, plan,
    points::{Point, points_of},
    readings::{CleanedReadings, Pace, Readings},
    rows::{Rows, Table},
    sending::{CHUNK, Sending, respond},
    write::{Column, Format, Head, Sample, Writer},
};
use crate::{ApiError, App, auth::Reader};
use axum::response::Response;
use history::{History, SeriesKey};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    downsample::Downsampler,
    selector::Kind,
    telemetry::{Quality, Reading},
};

/// Points kept for a chart of all columns at once, columns times points: some megabytes.
const CHART_POINTS_MAX: usize = 100_000;

/// What the JSON looks like: `rows` with `step`, `series` without or with `points`.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub(crate) enum TelemetryAnswer {
    Table {
        #[serde(flatten)]
        head: Head,
        columns: Vec<Column>,
        /// `[Unix milliseconds of the step's start, value of each column or null …]`, oldest first; steps without any reading are left
        /// out unless they are filled.
        rows: Vec<Vec<Option<f64>>>,
    },
    Series {
        #[serde(flatten)]
        head: Head,
        series: Vec<SeriesAnswer>,
    },
}

#[derive(Serialize, JsonSchema)]
#[allow(dead_code)]
pub(crate) struct SeriesAnswer {
    #[serde(flatten)]
    column: Column,
    /// `[Unix milliseconds, value]`, oldest first; a third item says the quality where it is not `good`.
    points: Vec<(i64, f64)>,
    /// With `points`: how many readings or steps they are chosen from.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<u64>,
}

/// What is read and written bit by bit.
pub(super) enum Source {
    Table(Box<Rows>),
    /// A table whose columns are thinned out; nothing can be written before all is read.
    Chart(Box<Rows>, Vec<Downsampler>),
    Readings(Box<Readings>),
    Cleaned(Box<CleanedReadings>),
}

impl Source {
    /// Reads and writes a bit; false when there is nothing more.
    pub(super) async fn step(&mut self, writer: &mut Writer) -> Result<bool, ApiError> {
        match self {
            Source::Table(rows) => {
                while let Some((at, values)) = rows.next_row() {
                    writer.row(at, values);
                    if writer.waiting() >= CHUNK {
                        return Ok(true);
                    }
                }
                Ok(rows.next_window().await?)
            }
            Source::Chart(rows, samplers) => {
                while rows.next_window().await? {
                    while let Some((timestamp, values)) = rows.next_row() {
                        for (sampler, value) in samplers.iter_mut().zip(values) {
                            if value.is_finite() {
                                sampler.push(Reading { value: *value, timestamp, quality: Quality::Good });
                            }
                        }
                    }
                }
                for (column, sampler) in rows.table.columns.iter().zip(samplers.drain(..)) {
                    writer.begin(column);
                    let seen = sampler.seen();
                    let points = sampler.finish().into_iter();
                    writer.samples(points.map(|p| Sample { at: p.timestamp, value: p.value, flag: None }));
                    writer.finish(Some(seen));
                }
                Ok(false)
            }
            Source::Readings(readings) => Ok(readings.step(writer).await?),
            Source::Cleaned(cleaned) => cleaned.step(writer).await,
        }
    }
}

/// Answers a question in a format.
pub(crate) async fn answer(
    app: &App,
    reader: Reader,
    ask: Ask,
    format: Format,
) -> Result<Response, ApiError> {
    let turn = app.turns.take().await?;
    let (source, head) = source(app, &reader, ask).await?;
    let clock = app.state.clock;
    let counted = move |points| reader.gave(points, clock());
    let sending = Sending::new(source, &head, format, counted);
    respond(sending, format, turn, app.state.options.telemetry_taken_within).await
}

async fn source(app: &App, reader: &Reader, ask: Ask) -> Result<(Source, Head), ApiError> {
    let history = &app.state.history;
    let twin = &app.state.twin;
    let selected: Vec<Vec<Point>> = ask
        .selections
        .iter()
        .map(|selection| points_of(twin.registry(), reader, selection))
        .collect::<Result<_, _>>()?;
    let zone_name = &twin.scene().park.time_zone;
    let range = (ask.from, ask.to);
    let head = Head { from: ask.from, to: ask.to, step: None, fill: None, time_zone: zone_name.clone() };
    let points = selected.iter().flatten();
    match ask.shape {
        Shape::Steps(asked) => {
            let zone = TimeZone::get(zone_name).map_err(|e| ApiError::internal(&e))?;
            let table = plan::table(history, &ask.selections, &selected, &asked, range, &zone, zone_name)?;
            let source = stepped(table, &asked).await?;
            let head = match &source {
                Source::Table(rows) | Source::Chart(rows, _) => rows.table.head.clone(),
                Source::Readings(_) | Source::Cleaned(_) => head,
            };
            Ok((source, head))
        }
        Shape::Readings { points: most } => {
            let series = selected.into_iter().flatten().map(|p| (key_of(&p), columns::of_series(&p)));
            let readings = Readings::new(history.clone(), series, range, most, Pace::default());
            Ok((Source::Readings(Box::new(readings)), head))
        }
        Shape::Cleaned { filling, window, k } => {
            let points: Vec<&Point> = points.collect();
            let [point] = &points[..] else {
                let message = format!("the cleaned view is of one series, and {} are meant", points.len());
                return Err(ApiError::field("INVALID_VALUE", "cleaned", message));
            };
            let model = &point.device.rules.model;
            let cleaning = cleaning_of(model, point.measurement(), filling, window, k, (app.state.clock)())?;
            let cleaned = cleaned_of(history, point, cleaning, range);
            Ok((Source::Cleaned(Box::new(cleaned)), head))
        }
    }
}

fn cleaned_of(
    history: &History,
    point: &Point,
    cleaning: twin::Cleaning,
    (from, to): (shared::time::Timestamp, shared::time::Timestamp),
) -> CleanedReadings {
    CleanedReadings {
        history: history.clone(),
        series: key_of(point),
        column: columns::of_series(point),
        cleaning,
        next: Some(from),
        to,
        has_begun: false,
    }
}

fn key_of(point: &Point) -> SeriesKey {
    debug_assert_eq!(point.device.series[point.index].measurement.as_str(), point.name(Kind::Measurement));
    point.device.series[point.index].clone()
}

async fn stepped(table: Table, asked: &Stepped) -> Result<Source, ApiError> {
    let table = match asked.top {
        None => table,
        Some(top) => table.top(top).await?,
    };
    let Some(points) = asked.points else { return Ok(Source::Table(Box::new(Rows::of(table)))) };
    let count = table.columns.len();
    if count.saturating_mul(points) > CHART_POINTS_MAX {
        let message = format!(
            "{points} points of {count} columns are more than {CHART_POINTS_MAX}; ask for fewer of either, or for top"
        );
        return Err(ApiError::field("INVALID_VALUE", "points", message));
    }
    let samplers = vec![Downsampler::new(points); count];
    Ok(Source::Chart(Box::new(Rows::of(table)), samplers))
}
