//! Bulk import: runs of readings, a line each, into the history as back-fill.

use super::{
    Inlets,
    answer::{ErrorBody, Problem, Success, success},
    upload::Upload,
    writers::Writer,
};
use crate::{
    bulk::{
        lines::{Line, LineEnds},
        ndjson::Run,
    },
    clock,
    ingest::{Patience, is_store_fault},
};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;
use serde_json::json;
use shared::{
    id::DeviceId,
    telemetry::{Refusal, RefusalCode},
};
use std::sync::Arc;
use tokio::task::JoinHandle;
use twin::{Import, Twin};
use utoipa::ToSchema;

/// The longest line taken, in bytes: about a million readings.
const LONGEST_LINE: usize = 16 << 20;
/// Readings that become durable together.
const BATCH: usize = 65_536;
/// Faults listed; the rest are counted.
const MOST_LISTED: usize = 100;

/// What became of an import. Everything counted as accepted is durable.
#[derive(Debug, Default, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImportResult {
    lines: LineCounts,
    points: PointCounts,
    /// The first faults, by line.
    errors: Vec<LineError>,
    /// How many more there were.
    omitted_errors: u64,
}

#[derive(Debug, Default, Clone, Serialize, ToSchema)]
struct LineCounts {
    accepted: u64,
    /// Nothing of these was kept.
    refused: u64,
}

#[derive(Debug, Default, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PointCounts {
    accepted: u64,
    /// Readings at an instant that came again later in their line: the last one counts.
    duplicates: u64,
    /// In refused lines, as far as these could be read.
    rejected: u64,
    /// Values that were null.
    skipped: u64,
    /// Accepted ones outside their model's range: kept and flagged.
    out_of_range: u64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
struct LineError {
    /// From 1.
    line: u64,
    #[schema(example = "UNKNOWN_MEASUREMENT")]
    code: &'static str,
    #[schema(example = "metric.__name__")]
    field: String,
    message: String,
}

/// A line of an import.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "the schema of what is parsed by hand")]
pub(super) struct ImportLine {
    /// `__name__` is the measurement's key, `device` the device; other labels are passed over.
    #[schema(value_type = Object, example = json!({"__name__": "power", "device": "pv-01"}))]
    metric: serde_json::Value,
    /// Numbers, booleans, states' words, or null for none.
    #[schema(example = json!([-12.5, -13.0]))]
    values: Vec<f64>,
    /// Unix milliseconds, as many as values.
    #[schema(example = json!([1_767_225_600_000_i64, 1_767_225_660_000_i64]))]
    timestamps: Vec<i64>,
}

/// Import telemetry in bulk
///
/// NDJSON in VictoriaMetrics' format, a run of one measurement's readings a line, up to 16 MiB a line and as many lines as there
/// are; gzip with `Content-Encoding: gzip`. For a device: its own readings, with its secret. For operators and administrators: of every
/// device. For API keys that may write: what is in their scope. It is back-fill: nothing in it is late, and only what is newer than what is known shows. A line is kept whole or
/// not at all; lines that are not do no harm to others. The answer comes when everything kept is durable.
#[utoipa::path(
    post, path = "/api/v1/telemetry/import", tag = "device", operation_id = "importTelemetry",
    params(("X-Device-Id" = Option<String>, Header, description = "The device, when its secret is sent without its id before it")),
    request_body(content = ImportLine, content_type = "application/x-ndjson"),
    security(("device_secret" = []), ("bearer" = ["operator"]), ("apiKey" = ["write"])),
    responses(
        (status = 200, description = "At least one line kept and durable", body = Success<ImportResult>),
        (status = 400, description = "The body cannot be read to its end; details say what was kept", body = ErrorBody),
        (status = 401, description = "No secret or token, or none that fits", body = ErrorBody),
        (status = 403, description = "Somebody's who may not write", body = ErrorBody),
        (status = 415, description = "Compressed otherwise than with gzip", body = ErrorBody),
        (status = 422, description = "Every line refused; details.errors says why", body = ErrorBody),
        (status = 503, description = "The store is busy or failing; details say what was kept, send it again", body = ErrorBody),
    )
)]
pub(super) async fn import(State(inlets): State<Inlets>, request: Request) -> Response {
    let headers = request.headers().clone();
    take(&inlets, request).await.unwrap_or_else(|problem| problem.answer(&headers))
}

async fn take(inlets: &Inlets, request: Request) -> Result<Response, Problem> {
    let writer = inlets.writers.of(&request)?;
    let upload = Upload::open(request, LineEnds::Everywhere, LONGEST_LINE)?;
    let importer = Importer {
        twin: inlets.twin.clone(),
        writer,
        run: Run::default(),
        batch: Import::with_capacity(BATCH),
        batch_counts: PointCounts::default(),
        storing: None,
        result: ImportResult::default(),
    };
    importer.take(upload).await
}

type Storing = JoinHandle<Result<PointCounts, Refusal>>;

struct Importer {
    twin: Twin,
    writer: Writer,
    run: Run,
    batch: Import,
    /// What is accepted once the batch is durable.
    batch_counts: PointCounts,
    storing: Option<Storing>,
    result: ImportResult,
}

impl Importer {
    async fn take(mut self, mut upload: Upload) -> Result<Response, Problem> {
        let read = loop {
            while let Some((number, line)) = upload.next() {
                let judged = match line {
                    Line::Whole(line) if line.trim_ascii().is_empty() => continue,
                    Line::Whole(line) => self.judge(line).await,
                    Line::TooLong => {
                        self.run = Run::default();
                        let message =
                            format!("longer than the {LONGEST_LINE} bytes a line may have: send it in parts");
                        Err(Refusal::new(RefusalCode::TooLarge, "", message))
                    }
                };
                match judged {
                    Ok(()) => self.result.lines.accepted += 1,
                    Err(refusal) if is_store_fault(refusal.code) => return self.not_stored(refusal).await,
                    Err(refusal) => self.note(number, refusal),
                }
            }
            if let Err(problem) = self.writer.still_good() {
                // What is durable stays so, and is told.
                let _ = stored(&mut self.storing, &mut self.result.points).await;
                let details = json!({ "field": "authorization", "points": self.result.points });
                return Err(problem.with_details(details));
            }
            match upload.more().await {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(fault) => break Err(fault),
            }
        };
        if let Err(refusal) = self.store_all().await {
            return self.not_stored(refusal).await;
        }
        self.writer.wrote(self.result.points.accepted, upload.take_received());
        tracing::debug!(writer = %self.writer, points = self.result.points.accepted, "telemetry imported");
        let result = self.result;
        if let Err(fault) = read {
            let message = format!("{fault}; what came before is counted in details");
            return Err(
                Problem::new(StatusCode::BAD_REQUEST, "UNREADABLE_BODY", message).with_details(json!(result))
            );
        }
        let LineCounts { accepted, refused } = result.lines;
        match result.errors.first() {
            Some(first) if accepted == 0 => {
                let message = format!(
                    "none of the {refused} lines was accepted; the first, line {}: {}: {}",
                    first.line, first.field, first.message
                );
                let status = match first.code {
                    code if code == RefusalCode::NotYourDevice.as_str() => StatusCode::FORBIDDEN,
                    _ => StatusCode::UNPROCESSABLE_ENTITY,
                };
                Err(Problem::new(status, first.code, message).with_details(json!(result)))
            }
            _ => {
                let points = result.points.accepted;
                Ok(success(
                    format!("{points} points of {accepted} lines accepted, {refused} lines refused"),
                    result,
                ))
            }
        }
    }

    /// Judges a line and adds it to the batch, handing that over whenever it is full.
    async fn judge(&mut self, line: &[u8]) -> Result<(), Refusal> {
        self.run.parse(line)?;
        match self.judge_run().await {
            Err(refusal) => Err(Refusal { field: self.run.field_as_sent(refusal.field), ..refusal }),
            Ok(()) => Ok(()),
        }
    }

    async fn judge_run(&mut self) -> Result<(), Refusal> {
        let run = &mut self.run;
        let sender = self.writer.sender();
        // What is no id at all would fill the answer.
        run.device
            .parse::<DeviceId>()
            .map_err(|error| Refusal::new(RefusalCode::UnknownDevice, "metric.device", error.to_string()))?;
        self.writer
            .require(&self.twin, &run.device, &run.measurement)
            .map_err(|refusal| Refusal { field: "metric.device".to_owned(), ..refusal })?;
        let target =
            self.twin.import_target(&sender, &run.device, &run.measurement).map_err(|mut refusal| {
                let label = if refusal.field == "measurement" { "__name__" } else { "device" };
                refusal.field = format!("metric.{label}");
                refusal
            })?;
        for (at, word) in &run.words {
            let measurement = &target.rules().measurement;
            let Some(code) = target.rules().state_code(word) else {
                let word: String = word.chars().take(64).collect();
                let (code, message) = if measurement.states.is_empty() {
                    (RefusalCode::WrongType, format!("{} takes a number, got {word:?}", measurement.key))
                } else {
                    (RefusalCode::UnknownState, format!("{} knows no state {word:?}", measurement.key))
                };
                return Err(Refusal::new(code, format!("values[{at}]"), message));
            };
            run.values[*at] = f64::from(code);
        }
        let window = self.twin.import_window(clock::now());
        let mut checked = target.check(&window, &run.timestamps, &run.values)?;
        let duplicates = repeated(&run.timestamps);
        self.batch_counts.duplicates += duplicates;
        self.batch_counts.skipped += run.skipped as u64;
        self.batch_counts.accepted += checked.len() as u64 - duplicates;
        while !checked.is_empty() {
            let accepted = self.batch.add(&checked.take(BATCH - self.batch.len()))?;
            self.batch_counts.out_of_range += accepted.out_of_range as u64;
            if self.batch.len() == BATCH {
                let full = std::mem::replace(&mut self.batch, Import::with_capacity(BATCH));
                let counts = std::mem::take(&mut self.batch_counts);
                stored(&mut self.storing, &mut self.result.points).await?;
                self.storing = Some(store(self.twin.clone(), Arc::new(full), counts));
            }
        }
        Ok(())
    }

    fn note(&mut self, line: u64, refusal: Refusal) {
        metrics::counter!("park_ingest_refused_total", "code" => refusal.code.as_str()).increment(1);
        self.result.lines.refused += 1;
        self.result.points.rejected += self.run.readings() as u64;
        if self.result.errors.len() == MOST_LISTED {
            self.result.omitted_errors += 1;
            return;
        }
        let Refusal { code, field, message } = refusal;
        self.result.errors.push(LineError { line, code: code.as_str(), field, message });
    }

    async fn store_all(&mut self) -> Result<(), Refusal> {
        let (last, counts) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.batch_counts));
        stored(&mut self.storing, &mut self.result.points).await?;
        self.storing = Some(store(self.twin.clone(), Arc::new(last), counts));
        stored(&mut self.storing, &mut self.result.points).await
    }

    /// The store could not take a batch: what was durable before is told.
    async fn not_stored(mut self, refusal: Refusal) -> Result<Response, Problem> {
        // Another refusal says nothing new.
        let _ = stored(&mut self.storing, &mut self.result.points).await;
        let problem = Problem::of_payload(refusal);
        Err(problem.with_details(json!({ "field": "", "points": self.result.points })))
    }
}

/// One batch becomes durable while the next is read, and only one: at an instant that several hold the last one counts.
fn store(twin: Twin, batch: Arc<Import>, counts: PointCounts) -> Storing {
    tokio::spawn(async move {
        let mut patience = Patience::default();
        loop {
            match twin.import(Arc::clone(&batch), clock::now()).await {
                Ok(()) => return Ok(counts),
                Err(refusal) => match patience.pause(refusal.code) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(refusal),
                },
            }
        }
    })
}

/// Waits for the batch that was handed over.
async fn stored(storing: &mut Option<Storing>, points: &mut PointCounts) -> Result<(), Refusal> {
    let Some(storing) = storing.take() else { return Ok(()) };
    let done = storing.await;
    let lost = |error: tokio::task::JoinError| {
        tracing::error!(%error, "a batch of an import was lost");
        Refusal::new(RefusalCode::StorageFailed, "", "the server failed while storing")
    };
    let counts = done.map_err(lost)??;
    points.accepted += counts.accepted;
    points.duplicates += counts.duplicates;
    points.skipped += counts.skipped;
    points.out_of_range += counts.out_of_range;
    Ok(())
}

/// How many readings stand at an instant that another one of the run has too, one of each instant aside.
fn repeated(timestamps: &[i64]) -> u64 {
    // As runs mostly come.
    if timestamps.is_sorted_by(|a, b| a < b) {
        return 0;
    }
    let mut sorted = timestamps.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    (timestamps.len() - sorted.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_counts_once() {
        for (timestamps, expected) in
            [(&[][..], 0), (&[1, 2, 3], 0), (&[3, 1, 2], 0), (&[1, 1], 1), (&[2, 1, 2, 2, 1], 3)]
        {
            assert_eq!(repeated(timestamps), expected, "{timestamps:?}");
        }
    }
}
