//! The days of settled months: made in the background, used, and forgotten with the hours they are made of.

use super::place::{Place, key, on_both, points, reading};
use crate::{Bucket, History, SeriesKey, Steps, month::Month};
use shared::{
    telemetry::Reading,
    time::{DAY_MS, HOUR_MS, Timestamp},
};

on_both!(
    settled_months_are_answered_by_their_days,
    late_readings_and_corrections_change_days,
    days_go_with_what_retention_takes,
    another_clock_makes_other_days,
);

/// Midnight of 1 May 2025 in Shanghai, whose clock the tests' stores keep days by.
const MAY: i64 = 1_746_028_800_000;
const DAYS: i64 = 100;

fn each_twenty_minutes(factor: f64) -> Vec<Reading> {
    (0..DAYS * 72).map(|i| reading(MAY + i * HOUR_MS / 3, (i % 301) as f64 * factor)).collect()
}

fn expected(readings: &[Reading], from: i64, length_ms: i64, count: i64) -> Vec<(i64, u64, f64)> {
    let within =
        |start: i64| readings.iter().filter(move |r| (start..start + length_ms).contains(&r.timestamp.0));
    let steps = (0..count).map(|step| from + step * length_ms);
    let sum = |start: i64| within(start).map(|r| r.value).sum::<f64>();
    steps.map(|start| (start, within(start).count() as u64, sum(start))).filter(|(_, n, _)| *n > 0).collect()
}

fn found(buckets: &[Bucket]) -> Vec<(i64, u64, f64)> {
    buckets.iter().map(|b| (b.start.0, b.all.count, b.all.sum)).collect()
}

async fn days(history: &History, series: &SeriesKey) -> Vec<(i64, u64, f64)> {
    let buckets =
        history.buckets(series, Timestamp(MAY), Timestamp(MAY + DAYS * DAY_MS), DAY_MS).await.unwrap();
    found(&buckets)
}

async fn filled(place: &Place) -> (SeriesKey, SeriesKey, History) {
    let (a, b, history) = (key("meter", "power"), key("meter", "energy"), place.open().await);
    for (series, factor) in [(&a, 1.0), (&b, 3.0)] {
        for some in each_twenty_minutes(factor).chunks(1_000) {
            history.append(points(series, some.iter().copied())).await.unwrap();
        }
    }
    history.compact().await.unwrap();
    (a, b, history)
}

async fn settled_months_are_answered_by_their_days(place: &Place) {
    let (a, b, history) = filled(place).await;
    let of_a = expected(&each_twenty_minutes(1.0), MAY, DAY_MS, DAYS);
    let of_b = expected(&each_twenty_minutes(3.0), MAY, DAY_MS, DAYS);
    assert_eq!((days(&history, &a).await, days(&history, &b).await), (of_a.clone(), of_b.clone()));
    // Days that no clock's midnight parts so, and months that begin where days do.
    let (from, to) = (Timestamp(MAY + 5 * HOUR_MS), Timestamp(MAY + 90 * DAY_MS));
    let odd = history.buckets(&a, from, to, DAY_MS).await.unwrap();
    assert_eq!(found(&odd)[..89], expected(&each_twenty_minutes(1.0), from.0, DAY_MS, 89)[..]);
    let edges = [0, 31, 61, 92].map(|day| Timestamp(MAY + day * DAY_MS));
    let months =
        history.buckets_many(&[a.clone(), b.clone()], &Steps::between(edges).unwrap()).await.unwrap();
    assert_eq!(months.iter().map(|m| m[1].all.count).collect::<Vec<_>>(), [30 * 72, 30 * 72]);
    assert_eq!(history.verify().await.unwrap().faults, []);

    // That they are what answers is seen when they say something else.
    let june = Month::of(Timestamp(MAY + 40 * DAY_MS));
    let lie = format!(
        "UPDATE history_days SET body = (SELECT body FROM history_days AS other
         WHERE other.series = 1 AND other.month = {0}) WHERE series = 0 AND month = {0}",
        june.0
    );
    place.execute(&lie, MAY + 40 * DAY_MS).await;
    let lie = days(&history, &a).await;
    assert_eq!(lie[35], of_b[35], "a day in June");
    assert_eq!((lie[5], lie[98]), (of_a[5], of_a[98]), "a day in May, and one in August");
    let faults = history.verify().await.unwrap().faults;
    assert!(
        faults.iter().any(|f| f.series.as_deref() == Some("meter/power") && f.month == "2025-06"),
        "{faults:?}"
    );

    // What is damaged is made up for.
    place.execute("UPDATE history_days SET body = substr(body, 2)", MAY + 40 * DAY_MS).await;
    assert_eq!(days(&history, &a).await, of_a);
    history.close().await.unwrap();
}

async fn late_readings_and_corrections_change_days(place: &Place) {
    let (a, b, history) = filled(place).await;
    let mut readings = each_twenty_minutes(1.0);
    for (step, index) in [500, 501, 2_500, 3_000].into_iter().enumerate() {
        readings[index].value = 7_000.0 + step as f64;
        history.append(points(&a, [readings[index]])).await.unwrap();
        // In memory, loose, merged.
        let right = expected(&readings, MAY, DAY_MS, DAYS);
        assert_eq!(days(&history, &a).await, right);
        history.checkpoint().await.unwrap();
        assert_eq!(days(&history, &a).await, right);
        history.compact().await.unwrap();
        assert_eq!(days(&history, &a).await, right);
        assert_eq!(history.verify().await.unwrap().faults, []);
    }
    assert_eq!(days(&history, &b).await, expected(&each_twenty_minutes(3.0), MAY, DAY_MS, DAYS));
    history.close().await.unwrap();
    let history = place.open().await;
    assert_eq!(days(&history, &a).await, expected(&readings, MAY, DAY_MS, DAYS));
    history.close().await.unwrap();
}

async fn days_go_with_what_retention_takes(place: &Place) {
    let (a, b, history) = filled(place).await;
    history.delete_series_before(std::slice::from_ref(&b), Timestamp(MAY + 45 * DAY_MS)).await.unwrap();
    history.compact().await.unwrap();
    let cutoff = Timestamp(MAY + 40 * DAY_MS + 5 * HOUR_MS);
    history.delete_before(cutoff).await.unwrap();
    for _ in 0..2 {
        let mut left = each_twenty_minutes(1.0);
        left.retain(|r| r.timestamp >= cutoff);
        assert_eq!(days(&history, &a).await, expected(&left, MAY, DAY_MS, DAYS));
        let kept = days(&history, &b).await;
        assert!(kept[0].0 >= cutoff.0 && kept.len() >= 54, "{kept:?}");
        assert_eq!(
            kept[10..],
            expected(&each_twenty_minutes(3.0), MAY, DAY_MS, DAYS)[100 - kept.len() + 10..]
        );
        assert_eq!(history.verify().await.unwrap().faults, []);
        history.compact().await.unwrap();
    }
    history.close().await.unwrap();
}

async fn another_clock_makes_other_days(place: &Place) {
    let (a, _, history) = filled(place).await;
    history.close().await.unwrap();
    for zone in ["UTC", "Asia/Kolkata", "Asia/Shanghai"] {
        let day_zone = Some(jiff::tz::TimeZone::get(zone).unwrap());
        let history = History::open(crate::HistoryOptions { day_zone, ..place.options() }).await.unwrap();
        history.compact().await.unwrap();
        assert_eq!(days(&history, &a).await, expected(&each_twenty_minutes(1.0), MAY, DAY_MS, DAYS));
        let utc =
            history.buckets(&a, Timestamp(MAY + 8 * HOUR_MS), Timestamp(MAY + 90 * DAY_MS), DAY_MS).await;
        let right = expected(&each_twenty_minutes(1.0), MAY + 8 * HOUR_MS, DAY_MS, 89);
        assert_eq!(found(&utc.unwrap())[..89], right[..]);
        assert_eq!(history.verify().await.unwrap().faults, []);
        history.close().await.unwrap();
    }
}
