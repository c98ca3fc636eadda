//! What is asked for: the query string, checked, but for the names of things, which only the park knows.

use super::{
    cleaned::{Filling, refuse_without_cleaning},
    figure::{Across, Figure, named},
    fill::Fill,
    step::Step,
};
use crate::{
    ApiError,
    extract::{Time, parse_query},
};
use axum::http::StatusCode;
use serde::Deserialize;
use shared::{
    downsample::POINTS_MIN,
    selector::{Kind, Selector},
    time::{HOUR_MS, Timestamp},
};
use std::collections::BTreeSet;
use utoipa::IntoParams;

const POINTS_MAX: usize = 10_000;
const TOP_MAX: usize = 10_000;
const NAMED_MAX: usize = 32;
/// A longer query string has more names than anyone types; each is looked for among all there are.
const QUERY_MAX: usize = 32 << 10;
/// Later instants are no use: nothing can be read of them.
const END_OF_TIME: Timestamp = Timestamp(253_402_214_400_000);

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TelemetryQuery {
    /// Only of these devices, comma separated like all lists here. Everything the park has when nothing is named.
    device: Option<String>,
    /// Only of these thing models, or roles such as `storage`.
    r#type: Option<String>,
    /// Only of devices in these buildings.
    building: Option<String>,
    /// Only of devices of these terms of the balance: `grid`, `pv`, `wind`, `storage`, `charging`, `load`.
    group: Option<String>,
    /// Only these measurements.
    measurement: Option<String>,
    /// RFC 3339 or Unix milliseconds; an hour before `to` when left out. With `step` it goes back to where its step begins.
    #[param(value_type = Option<String>)]
    from: Option<Time>,
    /// Up to but not including; now when left out.
    #[param(value_type = Option<String>)]
    to: Option<Time>,
    /// Such as `30s`, `15m`, `1h`, `1d`, `1w`, `1mo`, `1y`, on the park's clock; readings as they were sent when left out.
    step: Option<String>,
    /// With `step`: `mean` (when left out), `min`, `max`, `first`, `last`, `sum`, `count`, `twa`, `delta`, `filled`; several give a column
    /// each.
    aggregate: Option<String>,
    /// With `step`: one column for all series that share these: `device`, `type`, `building`, `group`, `measurement`.
    group_by: Option<String>,
    /// How series of a column are combined in a step: `sum`, `mean`, `min`, `max`, `count`. When left out: `sum` of `sum`, `count`,
    /// `delta`; `min` of `min`; `max` of `max`; `mean` of the others. Without `group_by` it makes one column of all.
    across: Option<String>,
    /// With `step`: arithmetic between selections (`q.NAME`) or, without any, between aggregates; `+ - * / ( )`, `min`, `max`, `abs`.
    expr: Option<String>,
    /// With `step`: only so many columns, those with the greatest values.
    top: Option<usize>,
    /// With `top`: greatest by `sum`, `max` or `mean` (when left out) of a column's steps.
    by: Option<String>,
    /// At most so many points a series, chosen so that a line through them looks the same; 4 to 10,000.
    points: Option<usize>,
    /// `json` (when left out and `Accept` names no other), `csv` or `arrow`.
    pub(crate) format: Option<String>,
    /// As a file, named for the time it covers.
    pub(crate) download: Option<bool>,
    /// The cleaned view of one series, see a device's history. Not with `step` or `points`.
    cleaned: Option<bool>,
    /// With `step`: what stands for a series in a step without a reading of it: `none` (when left out), `previous`, `0`. With `cleaned`: how
    /// gaps up to an hour are filled: `linear` when left out, `previous` for a state, `none`.
    #[param(inline)]
    fill: Option<Filling>,
    /// With `step` and `fill=previous`: how old a reading may be when the step begins, such as `6h`; an hour, or a step if that is
    /// longer, when left out.
    fill_within: Option<String>,
    /// With `cleaned`: how many readings the spike filter looks at, an odd number; 11 when left out.
    window: Option<usize>,
    /// With `cleaned`: how many standard deviations from its window's median a reading may be; 3 when left out.
    k: Option<f64>,
}

/// A checked question.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) selections: Vec<Selection>,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) shape: Shape,
}

/// Some of the park's points, and what their steps come to.
#[derive(Debug)]
pub(crate) struct Selection {
    /// NAME of `q.NAME`; none of the selection that the plain parameters make.
    pub(crate) name: Option<String>,
    pub(crate) selector: Selector,
    pub(crate) figures: Vec<Figure>,
    pub(crate) across: Option<Across>,
}

#[derive(Debug)]
pub(crate) enum Shape {
    /// As they were sent.
    Readings {
        points: Option<usize>,
    },
    Cleaned {
        filling: Option<Filling>,
        window: Option<usize>,
        k: Option<f64>,
    },
    Steps(Stepped),
}

#[derive(Debug)]
pub(crate) struct Stepped {
    pub(crate) step: Step,
    pub(crate) group_by: Option<Vec<Kind>>,
    pub(crate) expression: Option<String>,
    pub(crate) fill: Option<Fill>,
    pub(crate) top: Option<Top>,
    pub(crate) points: Option<usize>,
}

/// Which columns are left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Top {
    pub(crate) count: usize,
    pub(crate) by: By,
}

/// What columns are ranked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Sum,
    Max,
    Mean,
}

impl By {
    const ALL: [By; 3] = [By::Sum, By::Max, By::Mean];

    fn as_str(self) -> &'static str {
        match self {
            By::Sum => "sum",
            By::Max => "max",
            By::Mean => "mean",
        }
    }
}

impl Selection {
    /// The parameter at fault when a name of this kind is.
    pub(crate) fn parameter(&self, kind: Kind) -> String {
        self.name.as_ref().map_or_else(|| kind.to_string(), |name| format!("q.{name}"))
    }
}

/// The range asked for: an hour up to now where nothing is said.
pub(crate) fn range_of(
    from: Option<Time>,
    to: Option<Time>,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), ApiError> {
    let to = to.map_or(now, |Time(at)| at);
    let from = from.map_or(Timestamp(to.0.saturating_sub(HOUR_MS)), |Time(at)| at);
    if from > to {
        return Err(invalid("from", format!("from {from} is after to {to}")));
    }
    Ok((from, to))
}

fn invalid(field: impl Into<String>, message: impl Into<String>) -> ApiError {
    ApiError::field("INVALID_VALUE", field, message)
}

impl TelemetryQuery {
    /// Reads a query string; also the selections named in it, in their order.
    pub(crate) fn parse(text: &str) -> Result<(TelemetryQuery, Vec<(String, String)>), ApiError> {
        if text.len() > QUERY_MAX {
            let message = format!(
                "a query string has at most {QUERY_MAX} bytes, this one {}; name types, groups or buildings instead of devices",
                text.len()
            );
            return Err(ApiError::new(StatusCode::URI_TOO_LONG, "TOO_LONG", message));
        }
        let pairs = || form_urlencoded::parse(text.as_bytes());
        let named: Vec<(String, String)> = pairs()
            .filter_map(|(key, value)| Some((key.strip_prefix("q.")?.to_owned(), value.into_owned())))
            .collect();
        if named.is_empty() {
            return Ok((parse_query(text)?, named));
        }
        let plain = pairs().filter(|(key, _)| !key.starts_with("q."));
        let plain = form_urlencoded::Serializer::new(String::new()).extend_pairs(plain).finish();
        Ok((parse_query(&plain)?, named))
    }

    fn selector(&self) -> Result<Selector, ApiError> {
        let mut selector = Selector::default();
        for (kind, list) in [
            (Kind::Device, &self.device),
            (Kind::Type, &self.r#type),
            (Kind::Building, &self.building),
            (Kind::Group, &self.group),
            (Kind::Measurement, &self.measurement),
        ] {
            if let Some(list) = list {
                selector.add(kind, list).map_err(|e| invalid(kind.as_str(), e.to_string()))?;
            }
        }
        Ok(selector)
    }
}

impl Ask {
    pub(crate) fn of(
        query: &TelemetryQuery,
        named: &[(String, String)],
        now: Timestamp,
    ) -> Result<Ask, ApiError> {
        let (from, to) = range_of(query.from, query.to, now)?;
        let from = from.clamp(Timestamp(0), END_OF_TIME);
        let to = to.clamp(from, END_OF_TIME);
        let points = query.points;
        if points.is_some_and(|points| !(POINTS_MIN..=POINTS_MAX).contains(&points)) {
            return Err(invalid("points", format!("points is {POINTS_MIN} to {POINTS_MAX}")));
        }
        let shape = match &query.step {
            Some(step) => query.stepped(step, now)?,
            None => query.readings(named)?,
        };
        Ok(Ask { selections: query.selections(named)?, from, to, shape })
    }
}

impl TelemetryQuery {
    fn readings(&self, named: &[(String, String)]) -> Result<Shape, ApiError> {
        let needs_steps = [
            ("aggregate", self.aggregate.is_some()),
            ("group_by", self.group_by.is_some()),
            ("across", self.across.is_some()),
            ("expr", self.expr.is_some()),
            ("top", self.top.is_some()),
            ("by", self.by.is_some()),
            ("fill_within", self.fill_within.is_some()),
        ];
        if let Some((field, _)) = needs_steps.into_iter().find(|(_, given)| *given) {
            return Err(invalid(field, format!("{field} says what to make of steps; give a step too")));
        }
        if let Some((name, _)) = named.first() {
            let message = "selections with a name are columns of steps; give a step too";
            return Err(invalid(format!("q.{name}"), message));
        }
        if self.cleaned == Some(true) {
            if self.points.is_some() {
                return Err(invalid("points", "the cleaned view is whole; leave points out, or cleaned"));
            }
            return Ok(Shape::Cleaned { filling: self.fill, window: self.window, k: self.k });
        }
        refuse_without_cleaning(self.fill, self.window, self.k)?;
        Ok(Shape::Readings { points: self.points })
    }

    fn stepped(&self, step: &str, now: Timestamp) -> Result<Shape, ApiError> {
        let step: Step =
            step.parse().map_err(|e: super::step::InvalidStep| invalid("step", e.to_string()))?;
        if self.cleaned == Some(true) {
            return Err(invalid("step", "the cleaned view is of readings; leave step out, or cleaned"));
        }
        refuse_without_cleaning(None, self.window, self.k)?;
        let fill = Fill::of(self.fill, self.fill_within.as_deref(), step, now)?;
        let group_by = match &self.group_by {
            None => None,
            Some(list) => {
                let mut kinds = Vec::new();
                for word in list.split(',').map(str::trim) {
                    let kind = named("group_by", word, Kind::ALL, Kind::as_str)?;
                    if !kinds.contains(&kind) {
                        kinds.push(kind);
                    }
                }
                Some(kinds)
            }
        };
        let top = match (self.top, &self.by) {
            (None, Some(_)) => return Err(invalid("by", "by says what top is of; give top too")),
            (None, None) => None,
            (Some(count), by) => {
                if !(1..=TOP_MAX).contains(&count) {
                    return Err(invalid("top", format!("top is 1 to {TOP_MAX}, not {count}")));
                }
                let by = by.as_deref().map_or(Ok(By::Mean), |by| named("by", by, By::ALL, By::as_str))?;
                Some(Top { count, by })
            }
        };
        let expression = self.expr.clone();
        Ok(Shape::Steps(Stepped { step, group_by, expression, fill, top, points: self.points }))
    }

    fn selections(&self, named: &[(String, String)]) -> Result<Vec<Selection>, ApiError> {
        let selector = self.selector()?;
        let figures = match &self.aggregate {
            None => vec![Figure::default()],
            Some(list) => Figure::list("aggregate", list)?,
        };
        let across = self.across.as_deref().map(|word| Across::parse("across", word)).transpose()?;
        if named.is_empty() {
            return Ok(vec![Selection { name: None, selector, figures, across }]);
        }
        if named.len() > NAMED_MAX {
            return Err(invalid(
                "q",
                format!("at most {NAMED_MAX} selections have names, not {}", named.len()),
            ));
        }
        let mut seen = BTreeSet::new();
        let usual = Selection { name: None, selector, figures, across };
        named
            .iter()
            .map(|(name, text)| {
                if !seen.insert(name) {
                    let message = format!("q.{name} is given twice");
                    return Err(ApiError::field("DUPLICATE_FIELD", format!("q.{name}"), message));
                }
                usual.refined(name, text)
            })
            .collect()
    }
}

impl Selection {
    /// `kind=names;…;aggregate=…;across=…`: what it does not say is as in the plain parameters.
    fn refined(&self, name: &str, text: &str) -> Result<Selection, ApiError> {
        let field = format!("q.{name}");
        let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins_well || name.len() > 32 || name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        {
            let shown: String = field.chars().take(64).collect();
            let message = "a selection's name has 1 to 32 letters, digits and _, and begins with no digit";
            return Err(invalid(shown, message));
        }
        let (mut figures, mut across) = (self.figures.clone(), self.across);
        let mut kinds = Vec::new();
        for part in text.split(';').map(str::trim) {
            match part.split_once('=') {
                Some(("aggregate", list)) => figures = Figure::list(&field, list)?,
                Some(("across", word)) => across = Some(Across::parse(&field, word)?),
                _ => kinds.push(part),
            }
        }
        let named: Selector = kinds.join(";").parse().map_err(|e: shared::selector::InvalidSelector| {
            invalid(field.clone(), format!("{field}: {e}"))
        })?;
        fn or<T: Clone>(named: Vec<T>, usual: &[T]) -> Vec<T> {
            if named.is_empty() { usual.to_vec() } else { named }
        }
        let usual = &self.selector;
        let selector = Selector {
            devices: or(named.devices, &usual.devices),
            types: or(named.types, &usual.types),
            buildings: or(named.buildings, &usual.buildings),
            groups: or(named.groups, &usual.groups),
            measurements: or(named.measurements, &usual.measurements),
        };
        Ok(Selection { name: Some(name.to_owned()), selector, figures, across })
    }
}
