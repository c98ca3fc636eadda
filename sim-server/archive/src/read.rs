//! Parquet files to rows: this archive's own, and any that has the columns `device`, `measurement`, `time` and `value`.
//!
//! Columns are found by name. `quality` may be missing (then all is good), so may `unit` and `origin`. A row that is no reading
//! is told of with its number and spoils no other; a file that is no such file is refused as a whole.

use crate::{export::Description, words};
use history::{InvalidReading, SeriesKey};
use parquet::{
    basic::{ConvertedType, LogicalType, TimeUnit, Type},
    column::reader::{ColumnReaderImpl, get_typed_column_reader},
    data_type::{ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type},
    errors::ParquetError,
    file::reader::{FileReader, RowGroupReader, SerializedFileReader},
    schema::types::SchemaDescriptor,
};
use serde::Serialize;
use shared::{
    id::InvalidId,
    telemetry::{Quality, Reading},
    time::Timestamp,
};
use std::{fs::File, ops::ControlFlow};

/// Rows read together.
pub(crate) const BATCH_ROWS: usize = 65_536;

/// Rows of one series that follow one another in a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    pub key: SeriesKey,
    pub description: Description,
    pub readings: Vec<Reading>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRow {
    /// Counted from 1.
    pub row: u64,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Rows {
    pub runs: Vec<Run>,
    pub bad: Vec<BadRow>,
}

/// Hands over a file's rows a batch at a time, in order.
pub(crate) fn read(file: File, mut each: impl FnMut(Rows) -> ControlFlow<()>) -> Result<(), String> {
    let text = |e: ParquetError| e.to_string();
    let reader = SerializedFileReader::new(file).map_err(text)?;
    let columns = Columns::find(reader.metadata().file_metadata().schema_descr())?;
    let mut row = 1;
    for number in 0..reader.num_row_groups() {
        let group = reader.get_row_group(number).map_err(text)?;
        let rows = u64::try_from(group.metadata().num_rows()).unwrap_or(0);
        let mut open = columns.open(&*group).map_err(text)?;
        let end = row + rows;
        while row < end {
            let wanted = usize::try_from(end - row).unwrap_or(usize::MAX).min(BATCH_ROWS);
            let batch = open.batch(wanted, row).map_err(text)?;
            if each(batch).is_break() {
                return Ok(());
            }
            row += wanted as u64;
        }
    }
    Ok(())
}

/// Where the columns are, and how a time becomes milliseconds.
struct Columns {
    device: usize,
    measurement: usize,
    time: usize,
    value: usize,
    quality: Option<usize>,
    unit: Option<usize>,
    origin: Option<usize>,
    ticks_per_ms: i64,
}

const TEXT: &[Type] = &[Type::BYTE_ARRAY];
const TIMES: &[Type] = &[Type::INT64];
const NUMBERS: &[Type] = &[Type::DOUBLE, Type::FLOAT, Type::INT64, Type::INT32];

impl Columns {
    fn find(schema: &SchemaDescriptor) -> Result<Columns, String> {
        let find = |name: &str, types: &[Type]| -> Result<Option<usize>, String> {
            let Some(number) = schema.columns().iter().position(|c| c.path().string() == name) else {
                return Ok(None);
            };
            let column = schema.column(number);
            if column.max_rep_level() > 0 || !types.contains(&column.physical_type()) {
                return Err(format!("the column {name} is {}, not one of {types:?}", column.physical_type()));
            }
            Ok(Some(number))
        };
        let must = |name: &str, types| find(name, types)?.ok_or_else(|| format!("there is no column {name}"));
        let time = must("time", TIMES)?;
        let column = schema.column(time);
        let ticks_per_ms = match (column.logical_type_ref(), column.converted_type()) {
            (Some(LogicalType::Timestamp(kind)), _) => match kind.unit {
                TimeUnit::MILLIS => 1,
                TimeUnit::MICROS => 1_000,
                TimeUnit::NANOS => 1_000_000,
            },
            (None, ConvertedType::TIMESTAMP_MICROS) => 1_000,
            // A plain number is taken as what times are everywhere else here.
            (Some(LogicalType::Integer(_)) | None, _) => 1,
            (Some(other), _) => return Err(format!("the column time is {other:?}, not an instant")),
        };
        Ok(Columns {
            device: must("device", TEXT)?,
            measurement: must("measurement", TEXT)?,
            time,
            value: must("value", NUMBERS)?,
            quality: find("quality", TEXT)?,
            // What only describes is left out where it is something else.
            unit: find("unit", TEXT).unwrap_or_default(),
            origin: find("origin", TEXT).unwrap_or_default(),
            ticks_per_ms,
        })
    }

    fn open(&self, group: &dyn RowGroupReader) -> Result<Open, ParquetError> {
        let maybe = |number: Option<usize>| number.map(|n| open::<ByteArrayType>(group, n)).transpose();
        Ok(Open {
            device: open(group, self.device)?,
            measurement: open(group, self.measurement)?,
            time: open(group, self.time)?,
            value: Numbers::open(group, self.value)?,
            quality: maybe(self.quality)?,
            unit: maybe(self.unit)?,
            origin: maybe(self.origin)?,
            ticks_per_ms: self.ticks_per_ms,
            last: None,
        })
    }
}

/// A column of a row group; nothing is where a row has no value.
struct Column<T: DataType> {
    reader: ColumnReaderImpl<T>,
    is_optional: bool,
}

fn open<T: DataType>(group: &dyn RowGroupReader, number: usize) -> Result<Column<T>, ParquetError> {
    let is_optional = group.metadata().column(number).column_descr().max_def_level() > 0;
    Ok(Column { reader: get_typed_column_reader(group.get_column_reader(number)?), is_optional })
}

impl<T: DataType> Column<T> {
    fn take(&mut self, rows: usize) -> Result<Vec<Option<T::T>>, ParquetError> {
        let (mut values, mut levels) = (Vec::with_capacity(rows), Vec::new());
        let mut taken = 0;
        while taken < rows {
            let levels = self.is_optional.then_some(&mut levels);
            let (now, _, _) = self.reader.read_records(rows - taken, levels, None, &mut values)?;
            if now == 0 {
                return Err(ParquetError::EOF(format!("{taken} of {rows} rows of a column")));
            }
            taken += now;
        }
        if !self.is_optional {
            return Ok(values.into_iter().map(Some).collect());
        }
        // A column that lies at the root is there at level 1.
        let mut values = values.into_iter();
        Ok(levels.into_iter().map(|level| if level == 1 { values.next() } else { None }).collect())
    }
}

/// A column of numbers, whatever their type.
enum Numbers {
    Double(Column<DoubleType>),
    Float(Column<FloatType>),
    Long(Column<Int64Type>),
    Int(Column<Int32Type>),
}

impl Numbers {
    fn open(group: &dyn RowGroupReader, number: usize) -> Result<Numbers, ParquetError> {
        Ok(match group.metadata().column(number).column_type() {
            Type::DOUBLE => Numbers::Double(open(group, number)?),
            Type::FLOAT => Numbers::Float(open(group, number)?),
            Type::INT32 => Numbers::Int(open(group, number)?),
            _ => Numbers::Long(open(group, number)?),
        })
    }

    fn take(&mut self, rows: usize) -> Result<Vec<Option<f64>>, ParquetError> {
        Ok(match self {
            Numbers::Double(column) => column.take(rows)?,
            Numbers::Float(column) => column.take(rows)?.into_iter().map(|v| v.map(f64::from)).collect(),
            Numbers::Long(column) => column.take(rows)?.into_iter().map(|v| v.map(|v| v as f64)).collect(),
            Numbers::Int(column) => column.take(rows)?.into_iter().map(|v| v.map(f64::from)).collect(),
        })
    }
}

/// The columns of one row group.
struct Open {
    device: Column<ByteArrayType>,
    measurement: Column<ByteArrayType>,
    time: Column<Int64Type>,
    value: Numbers,
    quality: Option<Column<ByteArrayType>>,
    unit: Option<Column<ByteArrayType>>,
    origin: Option<Column<ByteArrayType>>,
    ticks_per_ms: i64,
    /// The names last read, and what they mean: rows of a series mostly follow one another.
    last: Option<(ByteArray, ByteArray, Result<SeriesKey, String>)>,
}

impl Open {
    fn batch(&mut self, wanted: usize, first_row: u64) -> Result<Rows, ParquetError> {
        let maybe =
            |column: &mut Option<Column<ByteArrayType>>| -> Result<Vec<Option<ByteArray>>, ParquetError> {
                column.as_mut().map_or(Ok(Vec::new()), |column| column.take(wanted))
            };
        let (devices, measurements) = (self.device.take(wanted)?, self.measurement.take(wanted)?);
        let (times, values) = (self.time.take(wanted)?, self.value.take(wanted)?);
        let (qualities, units, origins) =
            (maybe(&mut self.quality)?, maybe(&mut self.unit)?, maybe(&mut self.origin)?);
        let mut rows = Rows::default();
        for i in 0..wanted {
            let read = self.key(&devices[i], &measurements[i]).and_then(|key| {
                let quality = match qualities.get(i) {
                    None => Quality::Good,
                    Some(word) => quality(word.as_ref())?,
                };
                Ok((key, reading(times[i].map(|t| t.div_euclid(self.ticks_per_ms)), values[i], quality)?))
            });
            match read {
                Ok((key, reading)) => match rows.runs.last_mut() {
                    Some(run) if run.key == key => run.readings.push(reading),
                    _ => {
                        let text = |column: &[Option<ByteArray>]| Some(lossy(column.get(i)?.as_ref()?));
                        let description = Description { unit: text(&units), origin: text(&origins) };
                        rows.runs.push(Run { key, description, readings: vec![reading] });
                    }
                },
                Err(reason) => rows.bad.push(BadRow { row: first_row + i as u64, reason }),
            }
        }
        Ok(rows)
    }

    fn key(
        &mut self,
        device: &Option<ByteArray>,
        measurement: &Option<ByteArray>,
    ) -> Result<SeriesKey, String> {
        let device = device.as_ref().ok_or("there is no device")?;
        let measurement = measurement.as_ref().ok_or("there is no measurement")?;
        match &self.last {
            Some((d, m, key)) if d == device && m == measurement => key.clone(),
            _ => {
                let key = series_key(device, measurement);
                self.last = Some((device.clone(), measurement.clone(), key.clone()));
                key
            }
        }
    }
}

fn lossy(text: &ByteArray) -> String {
    String::from_utf8_lossy(text.data()).chars().take(SHOWN_CHARS).collect()
}

/// Longest text repeated in a reason.
const SHOWN_CHARS: usize = 80;

fn series_key(device: &ByteArray, measurement: &ByteArray) -> Result<SeriesKey, String> {
    Ok(SeriesKey {
        device: lossy(device).parse().map_err(|e: InvalidId| e.to_string())?,
        measurement: lossy(measurement).parse().map_err(|e: InvalidId| e.to_string())?,
    })
}

fn quality(word: Option<&ByteArray>) -> Result<Quality, String> {
    let Some(word) = word else { return Ok(Quality::Good) };
    words::quality(word.data()).ok_or_else(|| format!("the quality {:?} is unknown", lossy(word)))
}

fn reading(time: Option<i64>, value: Option<f64>, quality: Quality) -> Result<Reading, String> {
    let value = value.ok_or("there is no value")?;
    let reading = Reading { value, timestamp: Timestamp(time.ok_or("there is no time")?), quality };
    InvalidReading::check(&reading).map_err(|e| e.to_string())?;
    Ok(reading)
}
