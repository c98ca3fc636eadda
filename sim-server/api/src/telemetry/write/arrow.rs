//! Arrow's IPC streaming format: a schema, record batches, an end mark. Cut off, the mark is missing.
//!
//! Written here, since all that is needed of it are two layouts of three types; the crates that read everything of it would be
//! the larger part of the server. Format: <https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format>; field numbers and
//! codes from `Message.fbs` and `Schema.fbs` there.

use super::{
    Column, GOOD, Head, Sample,
    flat::{Flat, Position, Value},
};
use shared::time::Timestamp;

/// Cells of a batch; a batch is kept until it is full.
const CELLS_A_BATCH: usize = 1 << 16;

// `MetadataVersion.V5`, and members of the unions `MessageHeader` and `Type`.
const VERSION_5: i16 = 4;
const SCHEMA: u8 = 1;
const RECORD_BATCH: u8 = 3;
const FLOATING_POINT: u8 = 3;
const UTF8: u8 = 5;
const TIMESTAMP: u8 = 10;
/// `Precision.DOUBLE`, `TimeUnit.MILLISECOND`.
const DOUBLE: i16 = 2;
const MILLISECOND: i16 = 1;

#[derive(Debug, Default)]
pub(crate) struct ArrowWriter {
    pub(super) out: Vec<u8>,
    columns: Vec<Array>,
    rows: usize,
    /// Of the series that is being written.
    name: String,
    unit: Option<String>,
}

/// The values of a column, in a batch that fills.
#[derive(Debug)]
enum Array {
    Times(Vec<u8>),
    Numbers { values: Vec<u8>, valid: Validity },
    Texts { ends: Vec<u8>, bytes: Vec<u8>, valid: Validity },
}

/// A bit for each value there is.
#[derive(Debug, Default)]
struct Validity {
    bits: Vec<u8>,
    count: usize,
    missing: usize,
}

impl Validity {
    fn push(&mut self, is_there: bool) {
        if self.count.is_multiple_of(8) {
            self.bits.push(0);
        }
        if is_there {
            self.bits[self.count / 8] |= 1 << (self.count % 8);
        } else {
            self.missing += 1;
        }
        self.count += 1;
    }
}

impl Array {
    fn numbers() -> Array {
        Array::Numbers { values: Vec::new(), valid: Validity::default() }
    }

    fn texts() -> Array {
        Array::Texts { ends: 0i32.to_le_bytes().to_vec(), bytes: Vec::new(), valid: Validity::default() }
    }

    fn push_time(&mut self, at: Timestamp) {
        if let Array::Times(values) = self {
            values.extend_from_slice(&at.0.to_le_bytes());
        }
    }

    fn push_number(&mut self, value: f64) {
        if let Array::Numbers { values, valid } = self {
            valid.push(value.is_finite());
            values.extend_from_slice(&(if value.is_finite() { value } else { 0.0 }).to_le_bytes());
        }
    }

    fn push_text(&mut self, text: Option<&str>) {
        if let Array::Texts { ends, bytes, valid } = self {
            valid.push(text.is_some());
            bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
            ends.extend_from_slice(&(bytes.len() as i32).to_le_bytes());
        }
    }

    /// Its type's code, the table that says more of the type, and whether values may be missing.
    fn kind(&self, flat: &mut Flat) -> (u8, Position, bool) {
        match self {
            Array::Times(_) => {
                let zone = flat.text("UTC");
                let fields = [(0, Value::I16(MILLISECOND)), (1, Value::Offset(zone))];
                (TIMESTAMP, flat.table(&fields), false)
            }
            Array::Numbers { .. } => (FLOATING_POINT, flat.table(&[(0, Value::I16(DOUBLE))]), true),
            Array::Texts { .. } => (UTF8, flat.table(&[]), true),
        }
    }

    /// How many values are missing, and its buffers.
    fn parts(&self) -> (usize, Vec<&[u8]>) {
        // All there: the bits may be left out.
        let bits = |valid: &'_ Validity| -> usize { if valid.missing == 0 { 0 } else { valid.bits.len() } };
        match self {
            Array::Times(values) => (0, vec![&[], values]),
            Array::Numbers { values, valid } => (valid.missing, vec![&valid.bits[..bits(valid)], values]),
            Array::Texts { ends, bytes, valid } => {
                (valid.missing, vec![&valid.bits[..bits(valid)], ends, bytes])
            }
        }
    }

    fn emptied(&self) -> Array {
        match self {
            Array::Times(_) => Array::Times(Vec::new()),
            Array::Numbers { .. } => Array::numbers(),
            Array::Texts { .. } => Array::texts(),
        }
    }
}

impl ArrowWriter {
    pub(super) fn table(&mut self, head: &Head, columns: &[Column]) {
        let mut fields = vec![("timestamp", Vec::new(), Array::Times(Vec::new()))];
        for column in columns {
            let said = [("unit", &column.unit), ("figure", &column.figure)];
            let said = said.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect();
            fields.push((column.name.as_str(), said, Array::numbers()));
        }
        self.schema(head, fields);
    }

    pub(super) fn row(&mut self, at: Timestamp, values: &[f64]) {
        if let Some((times, numbers)) = self.columns.split_first_mut() {
            times.push_time(at);
            numbers.iter_mut().zip(values).for_each(|(column, value)| column.push_number(*value));
        }
        self.grew();
    }

    pub(super) fn series(&mut self, head: &Head) {
        self.schema(
            head,
            vec![
                ("series", Vec::new(), Array::texts()),
                ("unit", Vec::new(), Array::texts()),
                ("timestamp", Vec::new(), Array::Times(Vec::new())),
                ("value", Vec::new(), Array::numbers()),
                ("quality", Vec::new(), Array::texts()),
            ],
        );
    }

    pub(super) fn begin(&mut self, series: &Column) {
        self.name.clone_from(&series.name);
        self.unit.clone_from(&series.unit);
    }

    pub(super) fn samples(&mut self, samples: impl ExactSizeIterator<Item = Sample>) {
        samples.for_each(|sample| self.sample(sample));
    }

    fn sample(&mut self, sample: Sample) {
        if let [name, unit, time, value, quality] = &mut self.columns[..] {
            name.push_text(Some(&self.name));
            unit.push_text(self.unit.as_deref());
            time.push_time(sample.at);
            value.push_number(sample.value);
            quality.push_text(Some(sample.flag.unwrap_or(GOOD)));
        }
        self.grew();
    }

    pub(super) fn finish(&mut self, _: Option<u64>) {}

    pub(super) fn end(&mut self) {
        self.batch();
        self.out.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    }

    fn grew(&mut self) {
        self.rows += 1;
        if self.rows * self.columns.len() >= CELLS_A_BATCH {
            self.batch();
        }
    }

    fn schema(&mut self, head: &Head, columns: Vec<(&str, Vec<(&str, String)>, Array)>) {
        let mut flat = Flat::default();
        let mut fields = Vec::with_capacity(columns.len());
        for (name, said, array) in &columns {
            let said = pairs_of_texts(&mut flat, said);
            let (code, kind, nullable) = array.kind(&mut flat);
            let name = flat.text(name);
            let children = flat.tables(&[]);
            fields.push(flat.table(&[
                (0, Value::Offset(name)),
                (3, Value::Offset(kind)),
                (5, Value::Offset(children)),
                (6, Value::Offset(said)),
                (1, Value::U8(u8::from(nullable))),
                (2, Value::U8(code)),
            ]));
        }
        let fields = flat.tables(&fields);
        let mut said = vec![
            ("from", head.from.0.to_string()),
            ("to", head.to.0.to_string()),
            ("timeZone", head.time_zone.clone()),
        ];
        said.extend(head.step.clone().map(|step| ("step", step)));
        said.extend(head.fill.map(|fill| ("fill", fill.to_owned())));
        let said = pairs_of_texts(&mut flat, &said);
        let schema = flat.table(&[(1, Value::Offset(fields)), (2, Value::Offset(said)), (0, Value::I16(0))]);
        self.message(flat, SCHEMA, schema, 0);
        self.columns = columns.into_iter().map(|(_, _, array)| array).collect();
    }

    /// Writes the rows gathered so far.
    fn batch(&mut self) {
        if self.rows == 0 {
            return;
        }
        let columns: Vec<Array> = self.columns.iter().map(Array::emptied).collect();
        let columns = std::mem::replace(&mut self.columns, columns);
        let rows = std::mem::take(&mut self.rows) as i64;
        let (mut nodes, mut places, mut buffers) = (Vec::new(), Vec::new(), Vec::new());
        let mut length = 0i64;
        for (missing, parts) in columns.iter().map(Array::parts) {
            nodes.push((rows, missing as i64));
            for part in parts {
                places.push((length, part.len() as i64));
                length += part.len().next_multiple_of(8) as i64;
                buffers.push(part);
            }
        }
        let mut flat = Flat::default();
        let nodes = flat.pairs(&nodes);
        let places = flat.pairs(&places);
        let batch =
            flat.table(&[(0, Value::I64(rows)), (1, Value::Offset(nodes)), (2, Value::Offset(places))]);
        self.message(flat, RECORD_BATCH, batch, length);
        for buffer in buffers {
            self.out.extend_from_slice(buffer);
            self.out.resize(self.out.len() + buffer.len().next_multiple_of(8) - buffer.len(), 0);
        }
    }

    fn message(&mut self, mut flat: Flat, kind: u8, header: Position, body_length: i64) {
        let message = flat.table(&[
            (3, Value::I64(body_length)),
            (2, Value::Offset(header)),
            (0, Value::I16(VERSION_5)),
            (1, Value::U8(kind)),
        ]);
        let message = flat.finish(message);
        self.out.extend_from_slice(&[0xff; 4]);
        self.out.extend_from_slice(&(message.len() as i32).to_le_bytes());
        self.out.extend_from_slice(&message);
    }
}

fn pairs_of_texts(flat: &mut Flat, pairs: &[(&str, String)]) -> Position {
    let mut tables = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let (key, value) = (flat.text(key), flat.text(value));
        tables.push(flat.table(&[(0, Value::Offset(key)), (1, Value::Offset(value))]));
    }
    flat.tables(&tables)
}
