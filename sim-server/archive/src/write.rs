//! A day's Parquet file, written row group by row group.
//!
//! Rows come by device, measurement and time, so the key columns are long runs, times are even steps (`DELTA_BINARY_PACKED`
//! makes nothing of them) and values that meters round repeat (a dictionary; where they do not, the bytes of doubles are split).

use crate::{error::ArchiveError, export::Description, words};
use history::SeriesKey;
use parquet::{
    basic::{Compression, Encoding, ZstdLevel},
    data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        metadata::{KeyValue, SortingColumn},
        properties::WriterProperties,
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
    schema::{parser::parse_message_type, types::ColumnPath},
};
use sha2::{Digest, Sha256};
use shared::{
    telemetry::{Quality, Reading},
    time::Timestamp,
};
use std::sync::Arc;

/// A row group's rows are in memory while it is written; DuckDB reads row groups in parallel from about this size on.
const GROUP_ROWS: usize = 262_144;
/// Rows of a column that are laid out at a time.
const CHUNK_ROWS: usize = 8_192;
const ZSTD_LEVEL: i32 = 3;
/// Distinct values of a row group that still make a dictionary: 64 Ki.
const DICTIONARY_BYTES: usize = 512 << 10;

const SCHEMA: &str = "message telemetry {
    REQUIRED BYTE_ARRAY device (STRING);
    REQUIRED BYTE_ARRAY measurement (STRING);
    REQUIRED INT64 time (TIMESTAMP(MILLIS, true));
    REQUIRED DOUBLE value;
    REQUIRED BYTE_ARRAY quality (STRING);
    OPTIONAL BYTE_ARRAY unit (STRING);
    OPTIONAL BYTE_ARRAY origin (STRING);
}";
/// Rows are sorted by the first three columns.
const SORTED_COLUMNS: i32 = 3;

/// What a file came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub rows: u64,
    pub series: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    pub rows_sha256: String,
}

/// Rows of one series that follow one another.
struct Run {
    key: SeriesKey,
    description: Description,
    rows: usize,
}

#[derive(Default)]
struct Group {
    runs: Vec<Run>,
    times: Vec<i64>,
    values: Vec<f64>,
    qualities: Vec<Quality>,
}

pub(crate) struct DayWriter {
    file: SerializedFileWriter<Vec<u8>>,
    group: Group,
    last_key: Option<SeriesKey>,
    rows: u64,
    series: u64,
    first: Timestamp,
    last: Timestamp,
    hash: Sha256,
}

impl DayWriter {
    /// `about` is kept in the file as its metadata.
    pub(crate) fn new(about: &[(&str, &str)]) -> Result<DayWriter, ArchiveError> {
        let column = |name: &str| ColumnPath::from(name);
        let sorted = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: false };
        let about = about.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), (*value).to_owned()));
        let properties = WriterProperties::builder()
            .set_created_by(format!("zero-carbon park archive {}", env!("CARGO_PKG_VERSION")))
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
            .set_max_row_group_row_count(None)
            .set_column_dictionary_enabled(column("time"), false)
            .set_column_encoding(column("time"), Encoding::DELTA_BINARY_PACKED)
            .set_column_dictionary_page_size_limit(column("value"), DICTIONARY_BYTES)
            .set_column_encoding(column("value"), Encoding::BYTE_STREAM_SPLIT)
            .set_sorting_columns(Some((0..SORTED_COLUMNS).map(sorted).collect()))
            .set_key_value_metadata(Some(about.collect()))
            .build();
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        Ok(DayWriter {
            file: SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?,
            group: Group::default(),
            last_key: None,
            rows: 0,
            series: 0,
            first: Timestamp(i64::MAX),
            last: Timestamp(i64::MIN),
            hash: Sha256::new(),
        })
    }

    /// Adds readings of a series, the series and each one's readings in order.
    pub(crate) fn push(&mut self, key: &SeriesKey, description: &Description, readings: &[Reading]) {
        let (Some(first), Some(last)) = (readings.first(), readings.last()) else { return };
        if self.last_key.as_ref() != Some(key) {
            self.series += 1;
            self.last_key = Some(key.clone());
            for text in [key.device.as_str(), key.measurement.as_str()] {
                self.hash.update([text.len() as u8]);
                self.hash.update(text);
            }
        }
        self.rows += readings.len() as u64;
        (self.first, self.last) = (self.first.min(first.timestamp), self.last.max(last.timestamp));
        match self.group.runs.last_mut() {
            Some(run) if run.key == *key => run.rows += readings.len(),
            _ => self.group.runs.push(Run {
                key: key.clone(),
                description: description.clone(),
                rows: readings.len(),
            }),
        }
        for reading in readings {
            self.hash.update(reading.timestamp.0.to_le_bytes());
            self.hash.update(reading.value.to_bits().to_le_bytes());
            self.hash.update([reading.quality.code()]);
            self.group.times.push(reading.timestamp.0);
            self.group.values.push(reading.value);
            self.group.qualities.push(reading.quality);
        }
    }

    pub(crate) fn is_group_full(&self) -> bool {
        self.group.times.len() >= GROUP_ROWS
    }

    /// Writes the rows that wait as a row group and gives the bytes that follow those given before.
    pub(crate) fn write_group(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let group = std::mem::take(&mut self.group);
        if !group.times.is_empty() {
            let mut row_group = self.file.next_row_group()?;
            let mut number = 0;
            while let Some(mut column) = row_group.next_column()? {
                group.write_column(number, &mut column)?;
                column.close()?;
                number += 1;
            }
            row_group.close()?;
        }
        self.file.flush().map_err(ParquetError::from)?;
        Ok(std::mem::take(self.file.inner_mut()))
    }

    /// The rest of the bytes, and what the file came to.
    pub(crate) fn finish(mut self) -> Result<(Vec<u8>, Written), ArchiveError> {
        let mut bytes = self.write_group()?;
        let written = Written {
            rows: self.rows,
            series: self.series,
            first: self.first,
            last: self.last,
            rows_sha256: crate::place::hex(self.hash),
        };
        bytes.extend(self.file.into_inner()?);
        Ok((bytes, written))
    }
}

impl Group {
    /// Columns in the schema's order.
    fn write_column(
        &self,
        number: usize,
        column: &mut SerializedColumnWriter<'_>,
    ) -> Result<(), ParquetError> {
        match number {
            0 => self.write_text(column, |run| Some(run.key.device.as_str())),
            1 => self.write_text(column, |run| Some(run.key.measurement.as_str())),
            2 => write_all::<Int64Type>(column, &self.times),
            3 => write_all::<DoubleType>(column, &self.values),
            4 => self.write_qualities(column),
            5 => self.write_text(column, |run| run.description.unit.as_deref()),
            _ => self.write_text(column, |run| run.description.origin.as_deref()),
        }
    }

    /// A column whose runs say one thing each. Levels are ignored by those that are always there.
    fn write_text<'a>(
        &'a self,
        column: &mut SerializedColumnWriter<'_>,
        text: impl Fn(&'a Run) -> Option<&'a str>,
    ) -> Result<(), ParquetError> {
        let writer = column.typed::<ByteArrayType>();
        for run in &self.runs {
            let text = text(run).map(ByteArray::from);
            let mut left = run.rows;
            while left > 0 {
                let rows = left.min(CHUNK_ROWS);
                let (values, level) = match &text {
                    Some(text) => (vec![text.clone(); rows], 1),
                    None => (Vec::new(), 0),
                };
                writer.write_batch(&values, Some(&vec![level; rows]), None)?;
                left -= rows;
            }
        }
        Ok(())
    }

    fn write_qualities(&self, column: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let words: Vec<(Quality, ByteArray)> =
            words::all().iter().map(|(quality, word)| (*quality, ByteArray::from(word.as_str()))).collect();
        let writer = column.typed::<ByteArrayType>();
        for chunk in self.qualities.chunks(CHUNK_ROWS) {
            let chunk = chunk.iter().filter_map(|quality| words.iter().find(|(known, _)| known == quality));
            let values: Vec<ByteArray> = chunk.map(|(_, word)| word.clone()).collect();
            writer.write_batch(&values, None, None)?;
        }
        Ok(())
    }
}

fn write_all<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    values: &[T::T],
) -> Result<(), ParquetError> {
    column.typed::<T>().write_batch(values, None, None).map(|_| ())
}
