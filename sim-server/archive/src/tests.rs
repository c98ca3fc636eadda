//! The archive as a whole, in a folder.

use super::*;
use history::{History, HistoryOptions, Point, SeriesKey};
use jiff::{civil::date, tz::TimeZone};
use parquet::{
    data_type::{ByteArray, ByteArrayType, FloatType, Int64Type},
    file::writer::SerializedFileWriter,
    schema::parser::parse_message_type,
};
use shared::{
    telemetry::{Quality, Reading},
    time::{DAY_MS, Timestamp},
};
use std::{path::Path, sync::Arc};
use tempfile::TempDir;

/// 2026-11-23 00:00 in Shanghai.
const MONDAY: i64 = 1_795_363_200_000;

struct Place {
    folder: TempDir,
    history: History,
}

fn park() -> ParkName {
    let time_zone = "Asia/Shanghai";
    ParkName { id: "p1".into(), time_zone: time_zone.into(), zone: TimeZone::get(time_zone).unwrap() }
}

fn key(device: &str, measurement: &str) -> SeriesKey {
    SeriesKey { device: device.parse().unwrap(), measurement: measurement.parse().unwrap() }
}

fn reading(t: i64, value: f64) -> Reading {
    Reading { value, timestamp: Timestamp(t), quality: Quality::Good }
}

fn describe(key: &SeriesKey) -> Description {
    let unit = (key.measurement.as_str() == "power").then(|| "kW".to_owned());
    Description { unit, origin: Some("simulated".to_owned()) }
}

impl Place {
    async fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let options = HistoryOptions { folder: folder.path().join("history"), ..HistoryOptions::default() };
        Place { folder, history: History::open(options).await.unwrap() }
    }

    async fn append(&self, series: &SeriesKey, readings: impl IntoIterator<Item = Reading>) {
        let points = readings.into_iter().map(|reading| Point { series: series.clone(), reading });
        self.history.append(points.collect()).await.unwrap();
    }

    async fn all(&self, series: &SeriesKey) -> Vec<Reading> {
        self.history.readings(series, Timestamp(0), Timestamp(i64::MAX), usize::MAX).await.unwrap()
    }

    /// An ordinary three days: an even counter, a series of 10 Hz that fills row groups, one with gaps and qualities.
    async fn filled() -> Place {
        let place = Place::new().await;
        place
            .append(
                &key("meter-01", "power"),
                (0..4_000).map(|i| reading(MONDAY + i * 60_000, (i % 97) as f64 / 10.0)),
            )
            .await;
        let fast = (0..300_000).map(|i| reading(MONDAY + DAY_MS + i * 100, (i as f64 * 0.37).sin()));
        place.append(&key("pv-01", "power"), fast).await;
        let uneven = (0..500).map(|i| Reading {
            quality: if i % 3 == 0 { Quality::OutOfRange } else { Quality::Good },
            ..reading(MONDAY + i * i * 1_013, -(i as f64))
        });
        place.append(&key("bess-01", "soc"), uneven).await;
        place
    }

    fn archive_folder(&self) -> std::path::PathBuf {
        self.folder.path().join("archive")
    }

    fn archive(&self) -> Archive {
        Archive::create(&url(&self.archive_folder()), None).unwrap()
    }

    async fn export(&self, days: Days, now: i64) -> (ExportReport, Vec<DayReport>) {
        let mut told = Vec::new();
        let mut tell = |day: &DayReport| told.push(day.clone());
        let (archive, park, now) = (self.archive(), park(), Timestamp(now));
        let report = export(&self.history, &archive, &park, &describe, days, now, &mut tell).await.unwrap();
        (report, told)
    }

    async fn import_from(&self, folder: &Path, who_wins: WhoWins) -> ImportReport {
        let archive = Archive::open(&url(folder), None).unwrap();
        import(&self.history, &archive, who_wins, &mut |_| {}).await.unwrap()
    }
}

fn url(path: &Path) -> String {
    url::Url::from_file_path(path).unwrap().into()
}

const NEXT_WEEK: i64 = MONDAY + 7 * DAY_MS;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_that_are_over_leave_and_come_back_as_they_were() {
    let place = Place::filled().await;
    // Two in the afternoon of the third day: two days are over.
    let (report, told) = place.export(Days::default(), MONDAY + 2 * DAY_MS + 14 * 3_600_000).await;
    assert_eq!((report.written, report.rows as usize), (2, 2 * 1_440 + 300_000 + 414));
    assert_eq!(told[0].day, date(2026, 11, 23));
    let manifest = place.archive().manifest().await.unwrap().unwrap();
    let tuesday = &manifest.days[&date(2026, 11, 24)];
    assert_eq!(tuesday.path, "year=2026/month=11/day=24/telemetry.parquet");
    assert_eq!((tuesday.series, tuesday.first), (3, Timestamp(MONDAY + DAY_MS)));
    let (report, _) = place.export(Days::default(), NEXT_WEEK).await;
    assert_eq!((report.written, report.rewritten, report.unchanged), (1, 0, 2));

    let other = Place::new().await;
    let report = other.import_from(&place.archive_folder(), WhoWins::Store).await;
    assert_eq!((report.files, report.stored, report.refused), (3, 4_000 + 300_000 + 500, 0));
    assert!(report.faulty.is_empty());
    for series in [key("meter-01", "power"), key("pv-01", "power"), key("bess-01", "soc")] {
        assert_eq!(other.all(&series).await, place.all(&series).await, "{series}");
    }
    let again = other.import_from(&place.archive_folder(), WhoWins::Store).await;
    assert_eq!((again.stored, again.already), (0, 4_000 + 300_000 + 500));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_is_written_anew_when_it_changed_and_only_then() {
    let place = Place::filled().await;
    place.export(Days::default(), NEXT_WEEK).await;
    let (report, _) = place.export(Days::default(), NEXT_WEEK).await;
    assert_eq!((report.unchanged, report.written, report.rewritten), (3, 0, 0));
    // Merging changes what lies where, not what is so.
    place.history.compact().await.unwrap();
    let (report, _) = place.export(Days::default(), NEXT_WEEK).await;
    assert_eq!((report.unchanged, report.written, report.rewritten), (3, 0, 0));

    place.append(&key("late-01", "power"), [reading(MONDAY + 5, 7.0)]).await;
    place.append(&key("meter-01", "power"), [reading(MONDAY + DAY_MS, 99.0)]).await;
    let (report, told) = place.export(Days::default(), NEXT_WEEK).await;
    assert_eq!((report.rewritten, report.unchanged), (2, 1));
    assert_eq!(told.iter().map(|d| d.rows).collect::<Vec<_>>()[0], 1_440 + 293 + 1);

    // A file that is gone is written again.
    std::fs::remove_file(place.archive_folder().join("year=2026/month=11/day=25/telemetry.parquet")).unwrap();
    let (report, _) = place.export(Days::default(), NEXT_WEEK).await;
    assert_eq!((report.written, report.rewritten, report.unchanged), (1, 0, 2));

    // The same value with another quality: only who reads everything sees it.
    let doubted = Reading { quality: Quality::OutOfRange, ..reading(MONDAY + DAY_MS, 99.0) };
    place.append(&key("meter-01", "power"), [doubted]).await;
    assert_eq!(place.export(Days::default(), NEXT_WEEK).await.0.rewritten, 0);
    let (report, told) = place.export(Days { full: true, ..Days::default() }, NEXT_WEEK).await;
    assert_eq!((report.rewritten, report.unchanged), (1, 2), "{told:?}");

    let tuesday = Some(date(2026, 11, 24));
    let (_, told) = place.export(Days { first: tuesday, last: tuesday, full: true }, NEXT_WEEK).await;
    assert_eq!(told.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_took_from_the_store_stays_in_the_archive() {
    let place = Place::filled().await;
    place.export(Days::default(), NEXT_WEEK).await;
    let before = place.all(&key("meter-01", "power")).await;
    // Half of Monday goes, and then something comes late for the other half.
    place.history.delete_before(Timestamp(MONDAY + DAY_MS / 2)).await.unwrap();
    place.append(&key("meter-01", "power"), [reading(MONDAY + DAY_MS - 30_000, -1.0)]).await;
    let (report, told) = place.export(Days::default(), NEXT_WEEK).await;
    assert_eq!((report.rewritten, report.unchanged), (1, 2), "{told:?}");

    let other = Place::new().await;
    other.import_from(&place.archive_folder(), WhoWins::Store).await;
    let mut expected = before;
    expected.push(reading(MONDAY + DAY_MS - 30_000, -1.0));
    expected.sort_by_key(|r| r.timestamp);
    assert_eq!(other.all(&key("meter-01", "power")).await, expected);

    // All of Monday and Tuesday gone: the store has nothing to say of them.
    place.history.delete_before(Timestamp(MONDAY + 2 * DAY_MS)).await.unwrap();
    let (report, _) = place.export(Days { full: true, ..Days::default() }, NEXT_WEEK).await;
    assert_eq!((report.rewritten, report.written, report.unchanged), (0, 0, 1));
    assert_eq!(place.archive().manifest().await.unwrap().unwrap().days.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_named_and_keeps_no_other_file_out() {
    let place = Place::filled().await;
    place.export(Days::default(), NEXT_WEEK).await;
    let monday = "year=2026/month=11/day=23/telemetry.parquet";
    let path = place.archive_folder().join(monday);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    std::fs::remove_file(place.archive_folder().join("year=2026/month=11/day=25/telemetry.parquet")).unwrap();

    let other = Place::new().await;
    let report = other.import_from(&place.archive_folder(), WhoWins::Store).await;
    let faulty: Vec<&str> = report.faulty.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(faulty, ["year=2026/month=11/day=25/telemetry.parquet", monday]);
    assert!(report.faulty[1].fault.as_ref().unwrap().contains("SHA-256"), "{:?}", report.faulty[1]);
    assert_eq!(report.stored, 1_440 + 300_000 + 121);

    // An export must not take the damaged file for Monday's rows, nor throw it away.
    place.append(&key("meter-01", "power"), [reading(MONDAY + 7, 1.0)]).await;
    let (report, _) = place.export(Days::default(), NEXT_WEEK).await;
    assert_eq!(report.faults.len(), 1);
    assert!(report.faults[0].starts_with(monday), "{:?}", report.faults);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert_eq!((report.written, report.unchanged), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_leaves_what_the_store_knows_better_unless_told() {
    let place = Place::filled().await;
    place.export(Days::default(), NEXT_WEEK).await;
    let other = Place::new().await;
    let meter = key("meter-01", "power");
    other.append(&meter, [reading(MONDAY, 1.25), reading(MONDAY + 60_000, 0.1)]).await;
    let report = other.import_from(&place.archive_folder(), WhoWins::Store).await;
    assert_eq!((report.kept, report.already), (1, 1));
    assert_eq!(other.all(&meter).await[0].value, 1.25);
    let report = other.import_from(&place.archive_folder(), WhoWins::File).await;
    assert_eq!((report.kept, report.stored), (0, 1));
    assert_eq!(other.all(&meter).await, place.all(&meter).await);
    // One file of an archive.
    let one = Place::new().await;
    let monday = place.archive_folder().join("year=2026/month=11/day=23/telemetry.parquet");
    let report = one.import_from(&monday, WhoWins::Store).await;
    assert_eq!((report.files, report.stored), (1, 1_440 + 293));
}

/// A file of somebody else's: columns may be empty, times are in microseconds, values are floats, rows in any order.
fn foreign(path: &Path, rows: &[(Option<&str>, Option<i64>, Option<f32>)]) {
    let schema =
        "message other { OPTIONAL INT64 time (TIMESTAMP(MICROS, false)); OPTIONAL BYTE_ARRAY device (STRING);
        REQUIRED BYTE_ARRAY measurement (STRING); OPTIONAL FLOAT value; OPTIONAL INT64 remark; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = std::fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    fn levels<T>(values: &[Option<T>]) -> Vec<i16> {
        values.iter().map(|v| i16::from(v.is_some())).collect()
    }
    macro_rules! column {
        ($kind:ty, $values:expr) => {{
            let values: Vec<Option<_>> = $values;
            let mut column = group.next_column().unwrap().unwrap();
            let there: Vec<_> = values.iter().flatten().cloned().collect();
            column.typed::<$kind>().write_batch(&there, Some(&levels(&values)), None).unwrap();
            column.close().unwrap();
        }};
    }
    column!(Int64Type, rows.iter().map(|r| r.1.map(|ms| ms * 1_000)).collect());
    column!(ByteArrayType, rows.iter().map(|r| r.0.map(ByteArray::from)).collect());
    column!(ByteArrayType, rows.iter().map(|_| Some(ByteArray::from("power"))).collect());
    column!(FloatType, rows.iter().map(|r| r.2).collect());
    column!(Int64Type, rows.iter().map(|_| None).collect());
    group.close().unwrap();
    writer.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_parquet_is_read_and_its_bad_rows_are_named() {
    let place = Place::new().await;
    let folder = place.folder.path().join("theirs");
    std::fs::create_dir(&folder).unwrap();
    foreign(
        &folder.join("a b.parquet"),
        &[
            (Some("pv-01"), Some(MONDAY + 2_000), Some(2.5)),
            (Some("pv-02"), Some(MONDAY), Some(1.0)),
            (None, Some(MONDAY), Some(1.0)),
            (Some("pv-01"), None, Some(1.0)),
            (Some("pv-01"), Some(MONDAY), None),
            (Some("pv-01"), Some(MONDAY), Some(f32::NAN)),
            (Some("pv 01"), Some(MONDAY), Some(1.0)),
            (Some("pv-01"), Some(-5), Some(1.0)),
            (Some("pv-01"), Some(MONDAY), Some(0.5)),
            (Some("pv-01"), Some(MONDAY), Some(1.5)),
        ],
    );
    std::fs::write(folder.join("c.parquet"), b"PAR1 this is none").unwrap();
    let report = place.import_from(&folder, WhoWins::Store).await;
    assert_eq!(place.all(&key("pv-01", "power")).await, [reading(MONDAY, 1.5), reading(MONDAY + 2_000, 2.5)]);
    assert_eq!(place.all(&key("pv-02", "power")).await, [reading(MONDAY, 1.0)]);
    assert_eq!((report.rows, report.stored, report.refused), (10, 3, 6));
    let bad = &report.faulty[0].bad_rows;
    assert_eq!(bad.iter().map(|b| b.row).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8]);
    for (bad, expected) in bad.iter().zip(["no device", "no time", "no value", "not finite", "pv 01", "1970"])
    {
        assert!(bad.reason.contains(expected), "{bad:?}");
    }
    assert!(report.faulty[1].fault.is_some() && report.faulty[1].path == "c.parquet", "{:?}", report.faulty);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_parks_archive_and_places_that_are_none_are_refused() {
    let place = Place::filled().await;
    place.export(Days::default(), NEXT_WEEK).await;
    let ours = ParkName { id: "p2".into(), ..park() };
    let error = export(
        &place.history,
        &place.archive(),
        &ours,
        &describe,
        Days::default(),
        Timestamp(NEXT_WEEK),
        &mut |_| {},
    )
    .await
    .unwrap_err();
    assert!(matches!(error, ArchiveError::OtherPark { .. }), "{error}");
    for (place, expected) in [
        ("ftp://example/x", "neither file: nor s3:"),
        ("archive", "begins with"),
        ("s3://user:secret@bucket/x", "environment"),
        ("file:///no/such/folder/here", "/no/such/folder/here"),
    ] {
        let error = Archive::open(place, None).unwrap_err().to_string();
        assert!(error.contains(expected), "{place}: {error}");
    }
    let empty = tempfile::tempdir().unwrap();
    let archive = Archive::open(&url(empty.path()), None).unwrap();
    let error = import(&place.history, &archive, WhoWins::Store, &mut |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("no Parquet file"), "{error}");
}
