//! Stores that an older version of this program wrote.

use super::place::{Place, all, key, on_both, points, reading};
use crate::{History, HistoryError};
use shared::time::Timestamp;

on_both!(
    what_format_1_held_is_still_there,
    hours_are_made_of_what_format_2_held,
    what_format_3_held_lies_in_months,
    days_are_made_of_what_format_4_held,
    a_damaged_block_of_format_1_stays_and_is_named,
    a_format_to_come_is_refused_and_left_alone,
);

/// Days before the turn of a month, so that there are two files.
const T: i64 = 1_751_000_000_000;
const DAY: i64 = 86_400_000;

/// Makes tables of the current format into what format 1 had.
const BACK_TO_FORMAT_1: &str = "
    DROP INDEX history_blocks_loose;
    DROP TABLE history_hours;
    DROP TABLE history_days;
    DROP TABLE history_days_made;
    ALTER TABLE history_blocks DROP COLUMN integral;
    ALTER TABLE history_blocks DROP COLUMN rise;
    ALTER TABLE history_blocks DROP COLUMN merged;
    ALTER TABLE history_blocks DROP COLUMN minutes;
    ALTER TABLE history_blocks ADD COLUMN qualities BIGINT NOT NULL DEFAULT 1;";

async fn set_format(place: &Place, format: i64) {
    place
        .execute_in_catalog(&format!("UPDATE history_meta SET value = {format} WHERE name = 'format'"))
        .await;
}

async fn what_format_1_held_is_still_there(place: &Place) {
    let (a, b) = (key("meter", "energy"), key("meter", "power"));
    let days: Vec<_> = (0..1_400).map(|i| reading(T + i * DAY / 200, (i % 300) as f64)).collect();
    let history = place.open().await;
    for part in days.chunks(50) {
        history.append(points(&a, part.iter().copied())).await.unwrap();
        history.append(points(&b, part.iter().copied())).await.unwrap();
    }
    history.checkpoint().await.unwrap();
    let asked = (Timestamp(T), Timestamp(T + 8 * DAY), DAY);
    let buckets = history.buckets(&a, asked.0, asked.1, asked.2).await.unwrap();
    history.close().await.unwrap();

    place.execute(BACK_TO_FORMAT_1, T).await;
    // In SQLite the next month's file stays as it is, as if an upgrade had stopped between the two.
    set_format(place, 1).await;

    for _ in 0..2 {
        let history = place.open().await;
        assert_eq!(all(&history, &a).await, days);
        assert_eq!(all(&history, &b).await, days);
        assert_eq!(history.buckets(&a, asked.0, asked.1, asked.2).await.unwrap(), buckets);
        assert_eq!(history.stats().await.points, 2 * days.len() as u64);
        assert_eq!(history.verify().await.unwrap().faults, []);
        history.close().await.unwrap();
    }
    let history = place.open().await;
    history.compact().await.unwrap();
    assert_eq!(all(&history, &a).await, days);
    assert_eq!(history.buckets(&a, asked.0, asked.1, asked.2).await.unwrap(), buckets);
}

async fn hours_are_made_of_what_format_2_held(place: &Place) {
    let (a, b) = (key("meter", "energy"), key("meter", "power"));
    let seconds: Vec<_> = (0..30_000).map(|i| reading(T + i * 1_000, (i % 500) as f64)).collect();
    let slow: Vec<_> = (0..2_000).map(|i| reading(T + i * 300_000, (i % 300) as f64)).collect();
    let history = place.open().await;
    history.append(points(&a, seconds.iter().copied())).await.unwrap();
    history.append(points(&b, slow.iter().copied())).await.unwrap();
    history.compact().await.unwrap();
    let hours = history.buckets(&a, Timestamp(0), Timestamp(T + 8 * DAY), DAY / 24).await.unwrap();
    assert_eq!(hours.iter().map(|h| h.all.count).sum::<u64>(), 30_000);
    history.close().await.unwrap();

    place.execute("DROP TABLE history_hours; DROP TABLE history_days; DROP TABLE history_days_made", T).await;
    set_format(place, 2).await;
    let history = place.open().await;
    assert_eq!(history.verify().await.unwrap().faults, []);
    let again = history.buckets(&a, Timestamp(0), Timestamp(T + 8 * DAY), DAY / 24).await.unwrap();
    assert_eq!(again.len(), hours.len());
    for (again, hour) in again.iter().zip(&hours) {
        assert_eq!((again.start, again.all.count, again.all.max), (hour.start, hour.all.count, hour.all.max));
    }
}

/// What PostgreSQL held whole before it was partitioned.
const BACK_TO_FORMAT_3: &str = "
    ALTER TABLE history_blocks RENAME TO parts_of_blocks;
    ALTER TABLE history_hours RENAME TO parts_of_hours;
    CREATE TABLE history_blocks AS SELECT * FROM parts_of_blocks;
    CREATE TABLE history_hours AS SELECT * FROM parts_of_hours;
    DROP TABLE parts_of_blocks, parts_of_hours;
    ALTER TABLE history_blocks ADD PRIMARY KEY (id);
    CREATE INDEX history_blocks_by_time ON history_blocks (series, t1);
    CREATE INDEX history_blocks_loose ON history_blocks (series) WHERE merged = 0;
    ALTER TABLE history_hours ADD PRIMARY KEY (day, series);";
const BACK_TO_FORMAT_4: &str = "DROP TABLE history_days; DROP TABLE history_days_made;";

async fn what_format_3_held_lies_in_months(place: &Place) {
    let key = key("meter", "energy");
    let mut days: Vec<_> = (0..1_400).map(|i| reading(T + i * DAY / 200, (i % 300) as f64)).collect();
    let history = place.open().await;
    history.append(points(&key, days.iter().copied())).await.unwrap();
    history.compact().await.unwrap();
    history.close().await.unwrap();
    if place.url().is_some() {
        place.execute_in_catalog(&format!("{BACK_TO_FORMAT_3} {BACK_TO_FORMAT_4}")).await;
    }
    set_format(place, 3).await;

    for _ in 0..2 {
        let history = place.open().await;
        assert_eq!(all(&history, &key).await, days);
        assert_eq!(history.stats().await.points, days.len() as u64);
        assert_eq!(history.verify().await.unwrap().faults, []);
        // Into a month that is there, and one that is not.
        for at in [T + 7 * DAY, T + 40 * DAY + days.len() as i64] {
            let more = reading(at + DAY / 2 + days.len() as i64, 1.0);
            history.append(points(&key, [more])).await.unwrap();
            days.push(more);
            days.sort_by_key(|r| r.timestamp);
        }
        history.compact().await.unwrap();
        history.close().await.unwrap();
    }
}

async fn days_are_made_of_what_format_4_held(place: &Place) {
    let key = key("meter", "energy");
    let hours: Vec<_> = (0..2_000).map(|i| reading(T + i * DAY / 24, (i % 300) as f64)).collect();
    let history = place.open().await;
    for some in hours.chunks(500) {
        history.append(points(&key, some.iter().copied())).await.unwrap();
    }
    history.compact().await.unwrap();
    let days = history.buckets(&key, Timestamp(T), Timestamp(T + 80 * DAY), DAY).await.unwrap();
    history.close().await.unwrap();
    for in_month in [T, T + 10 * DAY, T + 40 * DAY, T + 70 * DAY] {
        if place.url().is_none() || in_month == T {
            place.execute(BACK_TO_FORMAT_4, in_month).await;
        }
    }
    set_format(place, 4).await;

    let history = place.open().await;
    history.compact().await.unwrap();
    assert_eq!(history.buckets(&key, Timestamp(T), Timestamp(T + 80 * DAY), DAY).await.unwrap(), days);
    assert_eq!(history.verify().await.unwrap().faults, []);
    assert_eq!(place.count("history_days", T + 10 * DAY).await, if place.url().is_some() { 3 } else { 1 });
    history.close().await.unwrap();
}

async fn a_damaged_block_of_format_1_stays_and_is_named(place: &Place) {
    let (a, b) = (key("meter", "energy"), key("meter", "power"));
    let readings: Vec<_> = (0..10).map(|i| reading(T + i * 1_000, i as f64)).collect();
    let history = place.open().await;
    history.append(points(&a, readings.clone())).await.unwrap();
    history.append(points(&b, readings.clone())).await.unwrap();
    history.checkpoint().await.unwrap();
    history.close().await.unwrap();
    place.execute(BACK_TO_FORMAT_1, T).await;
    let damage = "UPDATE history_blocks SET body = substr(body, 1, length(body) - 1) WHERE series = 0";
    place.execute(damage, T).await;
    set_format(place, 1).await;

    let history = place.open().await;
    assert_eq!(all(&history, &b).await, readings);
    let error = history.readings(&a, Timestamp(T), Timestamp(T + DAY), usize::MAX).await.unwrap_err();
    assert!(matches!(error, HistoryError::DamagedBlock { series: 0, .. }), "{error}");
    let faults = history.verify().await.unwrap().faults;
    assert_eq!(faults.iter().map(|f| f.series.as_deref()).collect::<Vec<_>>(), [Some("meter/energy")]);
}

async fn a_format_to_come_is_refused_and_left_alone(place: &Place) {
    place.open().await.close().await.unwrap();
    set_format(place, 99).await;
    let error = History::open(place.options()).await.err().expect("it is refused");
    assert!(matches!(error, HistoryError::UnknownFormat { found: 99, .. }), "{error}");
    set_format(place, 5).await;
    place.open().await.close().await.unwrap();
}
