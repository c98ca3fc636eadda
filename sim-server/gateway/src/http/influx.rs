//! InfluxDB's way in, `POST /api/v2/write`: line protocol, so that Telegraf and Influx's client libraries write here unchanged.
//!
//! A line is one item of a device: a field `value` is the measurement that the line is named for, and any other field is the
//! measurement of its own name or else of `{line's name}_{field}`, whichever the device's model knows. Whose it is:
//!
//! | tag `device` | written by | the device is |
//! | --- | --- | --- |
//! | there | whoever may | the one it names |
//! | none | a device | that device: Telegraf adds the tag `host`, the name of its machine, to every line |
//! | none | an API key, a person | the one the tag `host` names |

use super::{Inlets, answer::Problem, lost, upload::Upload, writers::Writer};
use crate::{
    bulk::{
        line_protocol::{FieldValue, Point, Precision},
        lines::{Line, LineEnds},
    },
    clock,
    ingest::Patience,
};
use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use shared::{
    id::DeviceId,
    telemetry::{DataItem, Refusal, RefusalCode, SentRef},
    time::Timestamp,
};
use std::borrow::Cow;
use twin::{ItemResult, ModelRules, Twin};
use utoipa::ToSchema;

/// The longest line taken, in bytes.
const LONGEST_LINE: usize = 1 << 20;
/// Lines, and bytes of them, that become durable together.
const BATCH_LINES: usize = 5_000;
const BATCH_BYTES: usize = 4 << 20;
/// Faults shown in the message; the rest are counted.
const MOST_SHOWN: usize = 5;
/// Of one fault's text: field keys may be as long as a line.
const MOST_CHARACTERS: usize = 300;
/// Of a tag's value in one.
const MOST_OF_TAG: usize = 64;

/// An error as InfluxDB's clients read it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InfluxError {
    #[schema(example = "invalid")]
    code: &'static str,
    #[schema(example = "line 3: data.powr: model pv has no measurement \"powr\"; 4 of 5 lines were written")]
    message: String,
    /// The first line at fault, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
}

/// Write line protocol, as to InfluxDB 2
///
/// `org` and `bucket` are passed over. The tag `device` names the device; without it, it is the device that writes, or for whoever writes
/// of several the one that the tag `host` names. A field `value` is the measurement that the line is named for; another field is the measurement of its own name, or else of
/// `{line's name}_{field}`. Numbers, integers (`i`, `u`) and booleans are numbers; texts are states' words. A line is kept whole
/// or not at all; where some are not the answer is 400, and the others are written all the same. `Authorization: Token
/// {device id}:{secret}` for a device.
#[utoipa::path(
    post, path = "/api/v2/write", tag = "device", operation_id = "writeLineProtocol",
    params(
        ("precision" = Option<String>, Query, description = "The unit of timestamps: ns (when left out), us, ms or s"),
        ("org" = Option<String>, Query, description = "Passed over"),
        ("bucket" = Option<String>, Query, description = "Passed over"),
        ("X-Device-Id" = Option<String>, Header, description = "The device, when its secret is sent without its id before it"),
    ),
    request_body(content = String, content_type = "text/plain", example = "power,device=pv-01 value=-12.5 1767225600000000000"),
    security(("device_secret" = []), ("bearer" = ["operator"]), ("apiKey" = ["write"])),
    responses(
        (status = 204, description = "Every line is durable"),
        (status = 400, description = "Lines that were refused are named; all others are written", body = InfluxError),
        (status = 401, description = "No token, or none that fits", body = InfluxError),
        (status = 403, description = "Somebody's who may not write", body = InfluxError),
        (status = 429, description = "A limit of the key is used up", body = InfluxError),
        (status = 503, description = "The store is busy or failing, or the key's scope was changed meanwhile; send again", body = InfluxError),
    )
)]
pub(super) async fn write(State(inlets): State<Inlets>, request: Request) -> Response {
    match take(&inlets, request).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(Failure::Problem(problem)) => answer(problem),
        Err(Failure::Lines(faults)) => answer_status(StatusCode::BAD_REQUEST, faults.into(), None),
    }
}

enum Failure {
    Problem(Problem),
    Lines(Faults),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Failure::Problem(problem)
    }
}

/// As InfluxDB names what an HTTP status says.
fn answer(problem: Problem) -> Response {
    let code = match problem.status {
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::PAYLOAD_TOO_LARGE => "request too large",
        StatusCode::TOO_MANY_REQUESTS => "too many requests",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        _ => "invalid",
    };
    metrics::counter!("park_device_http_refused_total", "code" => problem.code).increment(1);
    let body = InfluxError { code, message: problem.message, line: None };
    answer_status(problem.status, body, problem.retry_after_s)
}

fn answer_status(status: StatusCode, body: InfluxError, retry_after_s: Option<u32>) -> Response {
    let code = HeaderValue::from_static(body.code);
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert("x-platform-error-code", code);
    if let Some(seconds) = retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

#[derive(Debug, Default)]
struct Faults {
    first: Option<u64>,
    shown: Vec<String>,
    count: u64,
    /// Lines.
    written: u64,
}

impl Faults {
    fn note(&mut self, line: u64, refusal: &Refusal) {
        metrics::counter!("park_ingest_refused_total", "code" => refusal.code.as_str()).increment(1);
        self.add(line, refusal);
    }

    fn add(&mut self, line: u64, refusal: &Refusal) {
        self.first = self.first.or(Some(line));
        self.count += 1;
        if self.shown.len() < MOST_SHOWN {
            let Refusal { field, message, .. } = refusal;
            let colon = if field.is_empty() { "" } else { ": " };
            let said: String = format!("{field}{colon}{message}").chars().take(MOST_CHARACTERS).collect();
            self.shown.push(format!("line {line}: {said}"));
        }
    }

    /// What ended the upload, and how far it came.
    fn and_then(&self, problem: Problem) -> Problem {
        let message = format!("{}; {} lines before were written", problem.message, self.written);
        Problem { message, ..problem }
    }
}

impl From<Faults> for InfluxError {
    fn from(faults: Faults) -> Self {
        let more = match faults.count - faults.shown.len() as u64 {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let (written, all) = (faults.written, faults.written + faults.count);
        let message = format!("{}{more}; {written} of {all} lines were written", faults.shown.join("; "));
        InfluxError { code: "invalid", message, line: faults.first }
    }
}

async fn take(inlets: &Inlets, request: Request) -> Result<(), Failure> {
    let writer = inlets.writers.of(&request)?;
    let precision = precision(request.uri().query())?;
    let mut upload = Upload::open(request, LineEnds::OutsideQuotes, LONGEST_LINE)?;
    let reader = Reader { twin: inlets.twin.clone(), writer, precision };
    let mut batch = Batch::default();
    let mut faults = Faults::default();
    let read = loop {
        while let Some((number, line)) = upload.next() {
            match line {
                Line::Whole(line) => batch.add(number, line),
                Line::TooLong => {
                    let message = format!("longer than {LONGEST_LINE} bytes");
                    faults.note(number, &Refusal::new(RefusalCode::TooLarge, "", message));
                }
            }
            if batch.is_full() {
                reader.store(std::mem::take(&mut batch), false, &mut faults).await?;
            }
        }
        let more = upload.more().await;
        reader.writer.received(upload.take_received());
        reader.writer.still_good().map_err(|problem| faults.and_then(problem))?;
        match more {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(fault) => break Err(fault),
        }
    };
    // A body of one line was sent as it was measured.
    let is_only = faults.written + faults.count == 0 && batch.lines.len() == 1;
    reader.store(batch, is_only, &mut faults).await?;
    if let Err(fault) = read {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "UNREADABLE_BODY", fault.to_string());
        return Err(faults.and_then(problem).into());
    }
    if faults.count > 0 { Err(Failure::Lines(faults)) } else { Ok(()) }
}

fn precision(query: Option<&str>) -> Result<Precision, Problem> {
    let given = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("precision="));
    let name = given.filter(|name| !name.is_empty()).unwrap_or("ns");
    Precision::from_name(name).ok_or_else(|| {
        let shown: String = name.chars().take(16).collect();
        let message = format!("precision is ns, us, ms or s, not {shown:?}");
        Problem::new(StatusCode::BAD_REQUEST, "INVALID_VALUE", message)
    })
}

/// Lines to be stored together, one after another in `text`.
#[derive(Debug, Default)]
struct Batch {
    text: Vec<u8>,
    /// Each line's number and where it ends.
    lines: Vec<(u64, usize)>,
}

impl Batch {
    fn add(&mut self, number: u64, line: &[u8]) {
        let first = line.trim_ascii_start().first();
        if first.is_none_or(|&first| first == b'#') {
            return;
        }
        self.text.extend_from_slice(line);
        self.lines.push((number, self.text.len()));
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= BATCH_LINES || self.text.len() >= BATCH_BYTES
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.lines.iter().map(|&(_, end)| end));
        starts.zip(&self.lines).map(|(start, &(_, end))| &self.text[start..end])
    }
}

/// Knows what a line means that somebody writes.
#[derive(Clone)]
struct Reader {
    twin: Twin,
    writer: Writer,
    precision: Precision,
}

impl Reader {
    /// Stores lines; those that are refused are noted. What is stored is the writer's also when whoever sent it goes away meanwhile.
    async fn store(&self, batch: Batch, is_only: bool, faults: &mut Faults) -> Result<(), Problem> {
        if batch.lines.is_empty() {
            return Ok(());
        }
        self.writer.still_good().map_err(|problem| faults.and_then(problem))?;
        let numbers: Vec<u64> = batch.lines.iter().map(|&(number, _)| number).collect();
        let reader = self.clone();
        let storing = tokio::spawn(async move { reader.store_to_the_end(&batch, is_only).await });
        let results = storing.await.unwrap_or_else(|error| Err(lost(&error)));
        let results = results.map_err(|refusal| faults.and_then(Problem::of_payload(refusal)))?;
        for (number, result) in numbers.into_iter().zip(results) {
            match result {
                Ok(()) => faults.written += 1,
                // The twin has counted it.
                Err(refusal) => faults.add(number, &refusal),
            }
        }
        Ok(())
    }

    /// A result per line; what was accepted is durable.
    async fn store_to_the_end(
        &self,
        batch: &Batch,
        is_only: bool,
    ) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        let mut patience = Patience::default();
        let (results, fields) = loop {
            let now = clock::now();
            let (items, fields): (Vec<_>, Vec<_>) = batch.lines().map(|line| self.item(line, now)).unzip();
            match self.twin.ingest_items(&self.writer.sender(), items, is_only, now).await {
                Ok(results) => break (results, fields),
                Err(refusal) => match patience.pause(refusal.code) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(refusal),
                },
            }
        };
        let accepted = results.iter().filter_map(|item| item.result.as_ref().ok());
        self.writer.wrote(accepted.map(|accepted| accepted.points as u64).sum());
        let told = |(item, fields): (ItemResult, usize)| match item.result {
            Ok(_) => Ok(()),
            Err(refusal) if fields > 1 => {
                let message = format!("{} (so none of the line's {fields} fields)", refusal.message);
                Err(Refusal { message, ..refusal })
            }
            Err(refusal) => Err(refusal),
        };
        Ok(results.into_iter().zip(fields).map(told).collect())
    }

    /// What a line says, and how many fields it has.
    fn item<'l>(&self, line: &'l [u8], now: Timestamp) -> (Result<DataItem<'l>, Refusal>, usize) {
        match Point::parse(line) {
            Ok(Some(point)) => {
                let fields = point.fields.len();
                (self.item_of(point, now), fields)
            }
            Ok(None) => (Err(Refusal::new(RefusalCode::EmptyData, "", "nothing in it")), 0),
            Err(refusal) => (Err(refusal), 0),
        }
    }

    fn item_of<'l>(&self, point: Point<'l>, now: Timestamp) -> Result<DataItem<'l>, Refusal> {
        let Point { measurement, tags, fields, timestamp } = point;
        let device_id = self.device_of(tags)?;
        device_id
            .parse::<DeviceId>()
            .map_err(|error| Refusal::new(RefusalCode::UnknownDevice, "device", error.to_string()))?;
        let timestamp = match timestamp {
            None => now,
            Some(timestamp) => Timestamp(self.precision.milliseconds(timestamp).ok_or_else(|| {
                Refusal::new(RefusalCode::TimestampTooFarAhead, "timestamp", "beyond what a timestamp can be")
            })?),
        };
        let entry = self.twin.registry().get(&device_id);
        let model = entry.as_ref().map(|entry| &*entry.rules);
        let data = fields.into_iter().map(|(field, value)| (key_of(model, &measurement, field), sent(value)));
        let data: Vec<(Cow<'l, str>, SentRef<'l>)> = data.collect();
        for (key, _) in &data {
            self.writer.require(&self.twin, &device_id, key)?;
        }
        if let Some(twice) = first_repeated(&data) {
            return Err(Refusal::new(RefusalCode::WrongType, format!("data.{twice}"), "is there twice"));
        }
        Ok(DataItem { at: None, device_id, timestamp, data })
    }

    /// Whose a line with these tags is. A host that is not there and one that is not for the writer are told alike: ids are not for
    /// guessing.
    fn device_of<'l>(&self, mut tags: Vec<(Cow<'l, str>, Cow<'l, str>)>) -> Result<Cow<'l, str>, Refusal> {
        let mut take = |key: &str| {
            let at = tags.iter().position(|(known, _)| known == key)?;
            Some(tags.swap_remove(at).1)
        };
        if let Some(device) = take("device") {
            return Ok(device);
        }
        if let Some(own) = self.writer.own() {
            return Ok(Cow::Owned(own.to_string()));
        }
        let message = match take("host") {
            Some(host) if self.writer.may_mean(&self.twin, &host) => return Ok(host),
            Some(host) => {
                let host: String = host.chars().take(MOST_OF_TAG).collect();
                format!("there is no tag device, and the tag host, {host:?}, names no device you may write")
            }
            None => "neither the tag device nor the tag host says which device".to_owned(),
        };
        Err(Refusal::new(RefusalCode::MissingField, "device", message))
    }
}

/// Two fields may come to mean one measurement.
fn first_repeated<'d>(data: &'d [(Cow<'_, str>, SentRef<'_>)]) -> Option<&'d str> {
    let mut seen = std::collections::HashSet::with_capacity(data.len());
    data.iter().map(|(key, _)| &**key).find(|key| !seen.insert(*key))
}

/// The measurement a field means.
fn key_of<'l>(model: Option<&ModelRules>, measurement: &str, field: Cow<'l, str>) -> Cow<'l, str> {
    if field == "value" {
        return Cow::Owned(measurement.to_owned());
    }
    let knows = |key: &str| model.is_some_and(|model| model.index_of(key, usize::MAX).is_some());
    if !knows(&field) {
        let joined = format!("{measurement}_{field}");
        if knows(&joined) {
            return Cow::Owned(joined);
        }
    }
    field
}

fn sent(value: FieldValue<'_>) -> SentRef<'_> {
    match value {
        FieldValue::Float(value) => SentRef::Number(value),
        FieldValue::Integer(value) => SentRef::Number(value as f64),
        FieldValue::Unsigned(value) => SentRef::Number(value as f64),
        FieldValue::Boolean(value) => SentRef::Number(f64::from(u8::from(value))),
        FieldValue::Text(word) => SentRef::Word(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_precision_is_nanoseconds_unless_said() {
        for (query, expected) in [
            (None, Some(Precision::Nanoseconds)),
            (Some("org=a&bucket=b"), Some(Precision::Nanoseconds)),
            (Some("precision="), Some(Precision::Nanoseconds)),
            (Some("org=a&precision=ms"), Some(Precision::Milliseconds)),
            (Some("precision=us&bucket=x"), Some(Precision::Microseconds)),
            (Some("precision=h"), None),
        ] {
            assert_eq!(precision(query).ok(), expected, "{query:?}");
        }
    }

    #[test]
    fn faults_are_shown_up_to_a_limit() {
        let mut faults = Faults { written: 2, ..Faults::default() };
        for line in 3..10 {
            faults.add(line, &Refusal::new(RefusalCode::WrongType, "v", "is odd"));
        }
        let error = InfluxError::from(faults);
        assert_eq!((error.code, error.line), ("invalid", Some(3)));
        assert!(error.message.starts_with("line 3: v: is odd; line 4: "), "{}", error.message);
        assert!(error.message.ends_with("; and 2 more; 2 of 9 lines were written"), "{}", error.message);
    }
}
