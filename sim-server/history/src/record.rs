//! What the log's records mean: points, names of series, deletions. Written here, read back at replay and, for points, when a
//! commit is done, so that memory holds exactly what a restart would bring back.

use crate::{
    error::AppendError,
    series::{SeriesId, SeriesKey},
    varint,
};
use shared::{
    telemetry::{Quality, Reading},
    time::Timestamp,
};

const POINTS: u8 = 1;
const SERIES: u8 = 2;
const DELETE_BEFORE: u8 = 3;

pub(crate) const SERIES_PER_RECORD: usize = 4_096;
/// One damaged record costs at most this many points.
const POINTS_PER_RECORD: usize = 16_384;
/// Timestamps outside the years 1970 to 9999 are refused: no clock says that.
pub(crate) const END_OF_TIME_MS: i64 = 253_402_300_800_000;

/// Points on their way into the store, already in the log's form.
#[derive(Debug, Clone, Default)]
pub struct PointBatch {
    bytes: Vec<u8>,
    /// Where each record after the first begins.
    splits: Vec<usize>,
    points: usize,
    in_record: usize,
    last_series: u32,
    last_time: i64,
    largest_series: Option<SeriesId>,
}

/// Why a reading cannot be stored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidReading {
    #[error("the value {0} is not finite")]
    NotFinite(f64),
    #[error("the timestamp {0} ms is outside the years 1970 to 9999")]
    OutOfTime(i64),
}

impl InvalidReading {
    /// Whether a reading can be stored.
    pub fn check(reading: &Reading) -> Result<(), InvalidReading> {
        if !reading.value.is_finite() {
            return Err(InvalidReading::NotFinite(reading.value));
        }
        if !(0..END_OF_TIME_MS).contains(&reading.timestamp.0) {
            return Err(InvalidReading::OutOfTime(reading.timestamp.0));
        }
        Ok(())
    }
}

impl From<InvalidReading> for AppendError {
    fn from(invalid: InvalidReading) -> Self {
        AppendError::Failed { reason: invalid.to_string() }
    }
}

impl PointBatch {
    pub fn new() -> Self {
        Self::default()
    }

    /// Room for about `points` points.
    pub fn with_capacity(points: usize) -> Self {
        Self { bytes: Vec::with_capacity(8 + points * 11), ..Self::default() }
    }

    pub fn len(&self) -> usize {
        self.points
    }

    pub fn is_empty(&self) -> bool {
        self.points == 0
    }

    pub fn push(&mut self, series: SeriesId, reading: Reading) -> Result<(), InvalidReading> {
        InvalidReading::check(&reading)?;
        let t = reading.timestamp.0;
        if self.in_record == POINTS_PER_RECORD {
            self.splits.push(self.bytes.len());
            self.in_record = 0;
        }
        if self.in_record == 0 {
            self.bytes.push(POINTS);
            (self.last_series, self.last_time) = (0, 0);
        }
        // Readings of one device come together: the next series, the same instant, a good value take two bytes beside it.
        let step = varint::zigzag(i64::from(series.0) - i64::from(self.last_series));
        varint::put(&mut self.bytes, step << 2 | u64::from(reading.quality.code()));
        varint::put_signed(&mut self.bytes, t - self.last_time);
        self.bytes.extend_from_slice(&reading.value.to_le_bytes());
        (self.last_series, self.last_time) = (series.0, t);
        self.largest_series = self.largest_series.max(Some(series));
        self.in_record += 1;
        self.points += 1;
        Ok(())
    }

    /// Bytes in the log's form.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn largest_series(&self) -> Option<SeriesId> {
        self.largest_series
    }

    /// The log records, in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = &[u8]> {
        let starts = (!self.bytes.is_empty()).then_some(0).into_iter().chain(self.splits.iter().copied());
        let ends = self.splits.iter().copied().chain([self.bytes.len()]);
        starts.zip(ends).map(|(start, end)| &self.bytes[start..end])
    }
}

pub(crate) fn series(names: &[(SeriesId, SeriesKey)]) -> Vec<u8> {
    let mut bytes = vec![SERIES];
    for (id, key) in names {
        varint::put(&mut bytes, u64::from(id.0));
        for text in [key.device.as_str(), key.measurement.as_str()] {
            // Identifiers have at most 64 bytes.
            bytes.push(text.len() as u8);
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

pub(crate) fn delete_before(cutoff: Timestamp) -> Vec<u8> {
    let mut bytes = vec![DELETE_BEFORE];
    bytes.extend_from_slice(&cutoff.0.to_le_bytes());
    bytes
}

/// A record read back.
pub(crate) enum Record<'a> {
    Points(Points<'a>),
    Series(Vec<(SeriesId, SeriesKey)>),
    DeleteBefore(Timestamp),
}

impl<'a> Record<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Record<'a>, String> {
        let malformed = |what: &str| format!("a malformed record of {what}");
        match bytes.split_first() {
            Some((&POINTS, rest)) => Ok(Record::Points(Points { rest, last_series: 0, last_time: 0 })),
            Some((&SERIES, rest)) => read_series(rest).map(Record::Series).ok_or_else(|| malformed("series")),
            Some((&DELETE_BEFORE, rest)) => rest
                .try_into()
                .map(|ms| Record::DeleteBefore(Timestamp(i64::from_le_bytes(ms))))
                .map_err(|_| malformed("a deletion")),
            Some((kind, _)) => Err(format!("a record of unknown kind {kind}")),
            None => Err("an empty record".to_owned()),
        }
    }
}

fn read_series(mut rest: &[u8]) -> Option<Vec<(SeriesId, SeriesKey)>> {
    let mut names = Vec::new();
    while !rest.is_empty() {
        let id = SeriesId(u32::try_from(varint::take(&mut rest)?).ok()?);
        let device = take_text(&mut rest)?.parse().ok()?;
        let measurement = take_text(&mut rest)?.parse().ok()?;
        names.push((id, SeriesKey { device, measurement }));
    }
    Some(names)
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let (&len, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(len))?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

/// The points of a record, in the order they were written. Ends early where the bytes make no sense.
pub(crate) struct Points<'a> {
    rest: &'a [u8],
    last_series: u32,
    last_time: i64,
}

impl Points<'_> {
    /// Whether everything was read.
    pub(crate) fn is_complete(&self) -> bool {
        self.rest.is_empty()
    }

    fn read(&mut self) -> Option<(SeriesId, Reading)> {
        let mut rest = self.rest;
        let head = varint::take(&mut rest)?;
        let quality = Quality::from_code((head & 3) as u8)?;
        let series = i64::from(self.last_series).checked_add(varint::unzigzag(head >> 2))?;
        let series = u32::try_from(series).ok()?;
        let time = self.last_time.checked_add(varint::take_signed(&mut rest)?)?;
        let (value, rest) = rest.split_first_chunk::<8>()?;
        let value = f64::from_le_bytes(*value);
        (self.rest, self.last_series, self.last_time) = (rest, series, time);
        Some((SeriesId(series), Reading { value, timestamp: Timestamp(time), quality }))
    }
}

impl Iterator for Points<'_> {
    type Item = (SeriesId, Reading);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() { None } else { self.read() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn points_come_back_in_order(
            points in prop::collection::vec((any::<u32>(), 0..END_OF_TIME_MS, -1e300f64..1e300, 0u8..3), 0..200),
            repeat in prop::sample::select(vec![1usize, 200]),
        ) {
            let mut batch = PointBatch::new();
            let mut expected = Vec::new();
            for _ in 0..repeat {
                for (series, t, value, quality) in &points {
                    let quality = Quality::from_code(*quality).unwrap();
                    let reading = Reading { value: *value, timestamp: Timestamp(*t), quality };
                    batch.push(SeriesId(*series), reading).unwrap();
                    expected.push((SeriesId(*series), reading));
                }
            }
            let mut read = Vec::new();
            for bytes in batch.records() {
                let Ok(Record::Points(mut points)) = Record::read(bytes) else { panic!("points") };
                read.extend(points.by_ref());
                prop_assert!(points.is_complete());
            }
            prop_assert_eq!(batch.len(), expected.len());
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(Record::Points(points)) = Record::read(&bytes) {
                prop_assert!(points.count() <= bytes.len());
            }
        }
    }

    #[test]
    fn names_and_deletions_come_back() {
        let key = SeriesKey { device: "bess-01".parse().unwrap(), measurement: "soc".parse().unwrap() };
        let names = vec![(SeriesId(700), key)];
        assert!(matches!(Record::read(&series(&names)), Ok(Record::Series(read)) if read == names));
        let cutoff = Timestamp(1_700_000_000_000);
        assert!(matches!(Record::read(&delete_before(cutoff)), Ok(Record::DeleteBefore(t)) if t == cutoff));
    }

    #[test]
    fn readings_that_are_no_readings_are_refused() {
        let mut batch = PointBatch::new();
        let reading = |value, t| Reading { value, timestamp: Timestamp(t), quality: Quality::Good };
        for bad in
            [reading(f64::NAN, 1), reading(f64::INFINITY, 1), reading(1.0, -1), reading(1.0, END_OF_TIME_MS)]
        {
            assert!(batch.push(SeriesId(0), bad).is_err(), "{bad:?}");
        }
        assert!(batch.is_empty() && batch.records().next().is_none());
    }
}
