//! Past readings.

use crate::{
    ApiError, App, Context,
    answer::{self, ok},
    auth::Reader,
    extract::{Id, Query, Time},
    telemetry::{Figure, Filling, cleaning_of, range_of, read_cleaned, refuse_without_cleaning},
};
use ::history::SeriesKey;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::{
    id::{DeviceId, MeasurementKey},
    thing_model::{Measurement, MeasurementKind, ThingModel},
    time::{SECOND_MS, Timestamp},
};
use twin::{Gap, PointFlag};
use utoipa::IntoParams;

const LIMIT_DEFAULT: usize = 10_000;
const LIMIT_MAX: usize = 100_000;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryQuery {
    /// One of the device's measurements, such as `power`.
    #[param(required = true)]
    measurement: Option<String>,
    /// RFC 3339 or Unix milliseconds; an hour before `to` when left out.
    #[param(value_type = Option<String>)]
    from: Option<Time>,
    /// Up to but not including; now when left out.
    #[param(value_type = Option<String>)]
    to: Option<Time>,
    /// Seconds; readings as they were sent when left out.
    step: Option<u32>,
    /// With `step`: which figure of each step. The mean when left out.
    #[param(inline)]
    aggregate: Option<Figure>,
    /// Most points in the answer, 10,000 unless told, at most 100,000.
    limit: Option<usize>,
    /// The cleaned view: spikes and values out of range replaced, gaps filled, each point with its flag. Not with `step`.
    cleaned: Option<bool>,
    /// With `cleaned`: how gaps up to an hour are filled. `linear` when left out, `previous` for a state.
    #[param(inline)]
    fill: Option<Filling>,
    /// With `cleaned`: how many readings the spike filter looks at, an odd number; 11 when left out.
    window: Option<usize>,
    /// With `cleaned`: how many standard deviations from its window's median a reading may be; 3 when left out.
    k: Option<f64>,
}

/// A measurement's past.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceHistory {
    device_id: DeviceId,
    measurement: MeasurementKey,
    unit: String,
    from: Timestamp,
    to: Timestamp,
    /// Seconds; absent for readings as they were sent.
    step: Option<u32>,
    aggregate: Option<Figure>,
    /// `[Unix milliseconds, value]`, oldest first. With `step` the instant is the step's start; steps without a
    /// reading are left out.
    points: Vec<(i64, f64)>,
    /// When there is more: the `from` to ask with next.
    next: Option<Timestamp>,
    /// With `cleaned`: what each point is, in the order of `points`.
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<Vec<PointFlag>>,
    /// With `cleaned`: where readings are missing by the measurement's period.
    #[serde(skip_serializing_if = "Option::is_none")]
    gaps: Option<Vec<Gap>>,
}

/// A measurement's past
#[utoipa::path(get, path = "/api/v1/devices/{id}/history", tag = "devices", security(("bearer" = ["viewer"]), ("apiKey" = ["read"])),
    params(("id" = String, Path), HistoryQuery), responses((status = 200, body = ref("DeviceHistory"))))]
pub(crate) async fn of_device(
    State(app): Context,
    reader: Reader,
    Id(device_id): Id<DeviceId>,
    Query(query): Query<HistoryQuery>,
) -> answer::Result<DeviceHistory> {
    let now = (app.state.clock)();
    reader.require(&app, &device_id, query.measurement.as_deref())?;
    let (model, asked) = measurement_of(&app, &device_id, query.measurement.as_deref())?;
    let (measurement, kind, unit) = (asked.key.clone(), asked.kind, asked.unit.clone());
    let (from, to) = range_of(query.from, query.to, now)?;
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        let message = format!("limit is 1 to {LIMIT_MAX}, not {limit}");
        return Err(ApiError::field("INVALID_VALUE", "limit", message));
    }
    let series = SeriesKey { device: device_id.clone(), measurement: measurement.clone() };
    if query.cleaned == Some(true) {
        for (field, given) in [("step", query.step.is_some()), ("aggregate", query.aggregate.is_some())] {
            if given {
                let message = "the cleaned view is of readings; leave it out, or cleaned";
                return Err(ApiError::field("INVALID_VALUE", field, message));
            }
        }
        let cleaning = cleaning_of(model, asked, query.fill, query.window, query.k, now)?;
        let (cleaned, next) = read_cleaned(&app.state.history, &series, (from, to), limit, &cleaning).await?;
        let points: Vec<_> = cleaned.points.iter().map(|point| (point.timestamp.0, point.value)).collect();
        reader.gave(points.len(), now);
        let flags = Some(cleaned.points.iter().map(|point| point.flag).collect());
        let (gaps, step, aggregate) = (Some(cleaned.gaps), None, None);
        return ok(DeviceHistory {
            device_id,
            measurement,
            unit,
            from,
            to,
            step,
            aggregate,
            points,
            next,
            flags,
            gaps,
        });
    }
    refuse_without_cleaning(query.fill, query.window, query.k)?;
    let (points, next, aggregate) = match query.step {
        None => {
            if query.aggregate.is_some() {
                let message = "aggregate says what to make of a step; give a step too";
                return Err(ApiError::field("INVALID_VALUE", "aggregate", message));
            }
            let mut readings = app.state.history.readings(&series, from, to, limit + 1).await?;
            let next = readings.get(limit).map(|reading| reading.timestamp);
            readings.truncate(limit);
            (readings.iter().map(|r| (r.timestamp.0, r.value)).collect(), next, None)
        }
        Some(step) => {
            let aggregate = query.aggregate.unwrap_or_default();
            if matches!(aggregate, Figure::Delta) && kind != MeasurementKind::Counter {
                let message = format!("delta is for counters, and {measurement} is none");
                return Err(ApiError::field("INVALID_VALUE", "aggregate", message));
            }
            let (points, next) = stepped(&app, &series, from, to, step, aggregate, limit).await?;
            (points, next, Some(aggregate))
        }
    };
    reader.gave(points.len(), now);
    let (step, flags, gaps) = (query.step, None, None);
    ok(DeviceHistory { device_id, measurement, unit, from, to, step, aggregate, points, next, flags, gaps })
}

type Points = (Vec<(i64, f64)>, Option<Timestamp>);

/// At most `limit` steps' worth; what lies beyond them is for the next request.
async fn stepped(
    app: &App,
    series: &SeriesKey,
    from: Timestamp,
    to: Timestamp,
    step_s: u32,
    aggregate: Figure,
    limit: usize,
) -> Result<Points, ApiError> {
    if step_s == 0 {
        return Err(ApiError::field("INVALID_VALUE", "step", "step is at least 1 s"));
    }
    let step_ms = i64::from(step_s) * SECOND_MS;
    let reach = step_ms.saturating_mul(i64::try_from(limit).unwrap_or(i64::MAX));
    let end = Timestamp(from.0.saturating_add(reach).min(to.0));
    // What the first step begins with is known from the one before.
    let before = Timestamp(from.0.saturating_sub(step_ms));
    let buckets = app.state.history.buckets(series, before, end, step_ms).await?;
    let befores = std::iter::once(None).chain(buckets.iter().map(Some));
    let figures = buckets.iter().zip(befores).map(|(bucket, before)| {
        let until = Timestamp(bucket.start.0.saturating_add(step_ms)).min(end);
        (bucket.start.0, aggregate.of(bucket, before, until))
    });
    let points = figures.filter(|(start, _)| *start >= from.0).collect();
    Ok((points, (end < to).then_some(end)))
}

/// The device's model and the measurement asked for; the error says which ones there are.
fn measurement_of<'a>(
    app: &'a App,
    device: &DeviceId,
    asked: Option<&str>,
) -> Result<(&'a ThingModel, &'a Measurement), ApiError> {
    let model = app.require_device(device)?;
    let known = || model.measurements.iter().map(|m| m.key.as_str()).collect::<Vec<_>>().join(", ");
    let Some(asked) = asked else {
        let message = format!("say which measurement: {}", known());
        return Err(ApiError::field("MISSING_FIELD", "measurement", message));
    };
    match model.measurement(asked) {
        Some(measurement) => Ok((model, measurement)),
        None => {
            let shown: String = asked.chars().take(64).collect();
            let message = format!("{device} has no measurement {shown:?}; it has {}", known());
            Err(ApiError::field("UNKNOWN_MEASUREMENT", "measurement", message))
        }
    }
}
