//! Bulk import: runs of readings, a line each, into the history as back-fill.

use super::{
    Inlets,
    answer::{ErrorBody, Problem, Success, success},
    lost,
    upload::{Upload, UploadFault},
    writers::Writer,
};
use crate::{
    bulk::{
        lines::{Line, LineEnds},
        ndjson::Run,
    },
    clock,
    ingest::Patience,
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
use twin::{CheckedRun, Import, ImportTarget, Twin};
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
    /// Readings at an instant that was in their line before: the last one counts.
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
        (status = 429, description = "A limit of the key is used up", body = ErrorBody),
        (status = 503, description = "The store is busy or failing, or the key's scope was changed meanwhile; details say what was kept, send it again", body = ErrorBody),
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
        run: Run::default(),
        batches: Batches {
            twin: inlets.twin.clone(),
            writer,
            batch: Import::with_capacity(BATCH),
            counts: PointCounts::default(),
            storing: None,
            durable: PointCounts::default(),
        },
        result: ImportResult::default(),
    };
    importer.take(upload).await
}

/// Why an import ends before its body does.
enum Halt {
    /// The store cannot take a batch.
    NotStored(Refusal),
    /// The writer may not go on.
    NoLonger(Problem),
}

struct Importer {
    run: Run,
    batches: Batches,
    result: ImportResult,
}

impl Importer {
    async fn take(mut self, mut upload: Upload) -> Result<Response, Problem> {
        let read = match self.read(&mut upload).await {
            Ok(read) => read,
            Err(halt) => return Err(self.halted(halt).await),
        };
        self.result.points = self.batches.durable.clone();
        let (writer, result) = (self.batches.writer, self.result);
        tracing::debug!(%writer, points = result.points.accepted, "telemetry imported");
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

    /// Reads the body as far as it can be read; all that is kept of it is durable then.
    async fn read(&mut self, upload: &mut Upload) -> Result<Result<(), UploadFault>, Halt> {
        let read = loop {
            while let Some((number, line)) = upload.next() {
                let judged = match line {
                    Line::Whole(line) if line.trim_ascii().is_empty() => continue,
                    Line::Whole(line) => self.judge(line).await?,
                    Line::TooLong => {
                        self.run = Run::default();
                        let message =
                            format!("longer than the {LONGEST_LINE} bytes a line may have: send it in parts");
                        Err(Refusal::new(RefusalCode::TooLarge, "", message))
                    }
                };
                match judged {
                    Ok(()) => self.result.lines.accepted += 1,
                    Err(refusal) => self.note(number, refusal),
                }
            }
            let more = upload.more().await;
            self.batches.writer.received(upload.take_received());
            self.batches.writer.still_good().map_err(Halt::NoLonger)?;
            match more {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(fault) => break Err(fault),
            }
        };
        self.batches.hand_over(Import::default()).await?;
        self.batches.stored().await?;
        Ok(read)
    }

    /// Judges a line and adds it to the batches.
    async fn judge(&mut self, line: &[u8]) -> Result<Result<(), Refusal>, Halt> {
        if let Err(refusal) = self.run.parse(line) {
            return Ok(Err(refusal));
        }
        let judged = self.judge_run().await?;
        Ok(judged.map_err(|refusal| Refusal { field: self.run.field_as_sent(refusal.field), ..refusal }))
    }

    async fn judge_run(&mut self) -> Result<Result<(), Refusal>, Halt> {
        let Importer { run, batches, .. } = self;
        let target = match batches.target(run) {
            Ok(target) => target,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let window = batches.twin.import_window(clock::now());
        match target.check(&window, &run.timestamps, &run.values) {
            Ok(checked) => batches.add(checked, &repeats(&run.timestamps), run.skipped).await.map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        }
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

    /// What is durable stays so, and is told.
    async fn halted(mut self, halt: Halt) -> Problem {
        // Another refusal says nothing new.
        let _ = self.batches.stored().await;
        let (problem, field) = match halt {
            Halt::NotStored(refusal) => (Problem::of_payload(refusal), ""),
            Halt::NoLonger(problem) => (problem, "authorization"),
        };
        problem.with_details(json!({ "field": field, "points": self.batches.durable }))
    }
}

type Storing = JoinHandle<Result<PointCounts, Refusal>>;

/// Readings on their way to the disk, a batch becoming durable while the next one is gathered.
struct Batches {
    twin: Twin,
    writer: Writer,
    /// Gathered so far.
    batch: Import,
    /// What is accepted once that is durable.
    counts: PointCounts,
    storing: Option<Storing>,
    durable: PointCounts,
}

impl Batches {
    /// What a run is of; its words become their states' codes.
    fn target(&self, run: &mut Run) -> Result<ImportTarget, Refusal> {
        // What is no id at all would fill the answer.
        run.device
            .parse::<DeviceId>()
            .map_err(|error| Refusal::new(RefusalCode::UnknownDevice, "metric.device", error.to_string()))?;
        self.writer
            .require(&self.twin, &run.device, &run.measurement)
            .map_err(|refusal| Refusal { field: "metric.device".to_owned(), ..refusal })?;
        let sender = self.writer.sender();
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
        Ok(target)
    }

    /// Adds a run, handing over whatever fills a batch. What is counted goes with the batch it is in: a run may lie in several.
    async fn add(&mut self, mut run: CheckedRun<'_>, repeats: &[usize], skipped: usize) -> Result<(), Halt> {
        let mut at = 0;
        while !run.is_empty() {
            let part = run.take(BATCH - self.batch.len());
            let added = self.batch.add(&part).map_err(Halt::NotStored)?;
            let end = at + part.len();
            let before = |end| repeats.partition_point(|&repeat| repeat < end);
            let repeated = (before(end) - before(at)) as u64;
            self.counts.duplicates += repeated;
            self.counts.accepted += part.len() as u64 - repeated;
            self.counts.out_of_range += added.out_of_range as u64;
            at = end;
            if self.batch.len() == BATCH {
                self.hand_over(Import::with_capacity(BATCH)).await?;
            }
        }
        self.counts.skipped += skipped as u64;
        Ok(())
    }

    /// Gives what was gathered to the store, once it has the batch before, and gathers on in `next`.
    async fn hand_over(&mut self, next: Import) -> Result<(), Halt> {
        self.stored().await?;
        self.writer.still_good().map_err(Halt::NoLonger)?;
        let (batch, counts) = (std::mem::replace(&mut self.batch, next), std::mem::take(&mut self.counts));
        self.storing = Some(store(self.twin.clone(), self.writer.clone(), Arc::new(batch), counts));
        Ok(())
    }

    /// Waits for the batch that was handed over.
    async fn stored(&mut self) -> Result<(), Halt> {
        let Some(storing) = self.storing.take() else { return Ok(()) };
        let counts = storing.await.unwrap_or_else(|error| Err(lost(&error))).map_err(Halt::NotStored)?;
        let durable = &mut self.durable;
        durable.accepted += counts.accepted;
        durable.duplicates += counts.duplicates;
        durable.skipped += counts.skipped;
        durable.out_of_range += counts.out_of_range;
        Ok(())
    }
}

/// One batch becomes durable while the next is read, and only one: at an instant that several hold the last one counts. It does so
/// also when whoever sent it goes away, and is noted as its writer's all the same.
fn store(twin: Twin, writer: Writer, batch: Arc<Import>, counts: PointCounts) -> Storing {
    tokio::spawn(async move {
        let mut patience = Patience::default();
        loop {
            match twin.import(Arc::clone(&batch), clock::now()).await {
                Ok(()) => {
                    writer.wrote(counts.accepted);
                    return Ok(counts);
                }
                Err(refusal) => match patience.pause(refusal.code) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(refusal),
                },
            }
        }
    })
}

/// Where in a run readings stand whose instant was in it before.
fn repeats(timestamps: &[i64]) -> Vec<usize> {
    // As runs mostly come.
    if timestamps.is_sorted_by(|a, b| a < b) {
        return Vec::new();
    }
    let mut by_time: Vec<usize> = (0..timestamps.len()).collect();
    by_time.sort_by_key(|&at| timestamps[at]);
    let again = by_time.windows(2).filter(|pair| timestamps[pair[0]] == timestamps[pair[1]]);
    let mut repeats: Vec<usize> = again.map(|pair| pair[1]).collect();
    repeats.sort_unstable();
    repeats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_counts_where_it_first_stands() {
        for (timestamps, expected) in [
            (&[][..], &[][..]),
            (&[1, 2, 3], &[]),
            (&[3, 1, 2], &[]),
            (&[1, 1], &[1]),
            (&[2, 1, 2, 2, 1], &[2, 3, 4]),
        ] {
            assert_eq!(repeats(timestamps), expected, "{timestamps:?}");
        }
    }
}
