//! What merging does to a store, and that nobody who reads meanwhile notices.

use super::place::{Place, all, key, on_both, points, reading};
use crate::{History, HistoryOptions, SeriesKey};
use shared::{
    telemetry::Reading,
    time::{DAY_MS, HOUR_MS, MINUTE_MS, Timestamp},
};
use std::sync::atomic::{AtomicBool, Ordering};

/// Ten to an hour, on 15 June 2025: the first hour is not whole.
const T: i64 = 1_749_999_000_000;

on_both!(
    hours_that_are_over_become_large_blocks_and_the_present_stays_loose,
    an_hour_that_goes_on_may_hold_more_than_a_block,
    late_readings_join_their_hour_and_corrections_win,
    who_reads_while_blocks_are_merged_misses_nothing,
    many_small_blocks_of_a_slow_series_become_few,
    a_settled_month_is_merged_to_the_end,
    retention_cuts_what_is_merged,
    what_is_damaged_is_named,
    a_damaged_block_keeps_no_other_from_being_merged,
    a_damaged_block_of_a_settled_month_is_not_passed_over,
    damaged_hours_are_made_again,
);

fn seconds(range: std::ops::Range<i64>) -> Vec<Reading> {
    range.map(|i| reading(T + i * 1_000, (i % 97) as f64 / 4.0)).collect()
}

async fn open(place: &Place) -> History {
    let options = HistoryOptions {
        seal_points: 256,
        merge_points: 3_600,
        wal_budget_bytes: 1 << 20,
        ..place.options()
    };
    History::open(options).await.unwrap()
}

async fn hours_that_are_over_become_large_blocks_and_the_present_stays_loose(place: &Place) {
    let (a, history) = (key("meter", "power"), open(place).await);
    for from in (0..9_000).step_by(100) {
        history.append(points(&a, seconds(from..from + 100))).await.unwrap();
    }
    history.compact().await.unwrap();
    let stats = history.stats().await;
    // 10 minutes and an hour; an hour; 20 minutes that go on, in one.
    assert!(stats.blocks <= 4, "{} blocks", stats.blocks);
    assert_eq!((stats.points, stats.unsealed_points), (9_000, 0));
    assert_eq!(all(&history, &a).await, seconds(0..9_000));
    for step_ms in [MINUTE_MS, 15 * MINUTE_MS, HOUR_MS] {
        let buckets = history.buckets(&a, Timestamp(T), Timestamp(T + 9_000_000), step_ms).await.unwrap();
        assert_eq!(buckets.iter().map(|b| b.all.count).sum::<u64>(), 9_000);
        let first: Vec<f64> =
            seconds(0..9_000).iter().step_by((step_ms / 1_000) as usize).map(|r| r.value).collect();
        assert_eq!(buckets.iter().map(|b| b.all.first).collect::<Vec<_>>(), first);
    }
    history.close().await.unwrap();
    let history = open(place).await;
    assert_eq!(all(&history, &a).await, seconds(0..9_000));
    history.append(points(&a, seconds(9_000..15_000))).await.unwrap();
    history.compact().await.unwrap();
    assert_eq!(all(&history, &a).await, seconds(0..15_000));
    history.close().await.unwrap();
}

async fn an_hour_that_goes_on_may_hold_more_than_a_block(place: &Place) {
    let (a, history) = (key("meter", "power"), open(place).await);
    // Ten a second: an hour that is over and, of the next one, more than a block holds.
    let tenths: Vec<Reading> = (0..18_000).map(|i| reading(T + i * 100, (i % 97) as f64 / 4.0)).collect();
    for part in tenths.chunks(500) {
        history.append(points(&a, part.iter().copied())).await.unwrap();
    }
    history.compact().await.unwrap();
    assert_eq!(all(&history, &a).await, tenths);
    assert!(history.verify().await.unwrap().faults.is_empty());
}

async fn late_readings_join_their_hour_and_corrections_win(place: &Place) {
    let (a, history) = (key("meter", "power"), open(place).await);
    history.append(points(&a, seconds(0..9_000))).await.unwrap();
    history.compact().await.unwrap();
    let before = history.stats().await;
    // A correction, the same again, and one that fills no gap but lies between.
    let late = [reading(T + 1_000_000, 500.0), reading(T + 1_001_000, 1.0), reading(T + 1_000_500, -500.0)];
    let mut expected = seconds(0..9_000);
    expected[1_000].value = 500.0;
    expected[1_001].value = 1.0;
    expected.insert(1_001, late[2]);
    history.append(points(&a, late)).await.unwrap();
    assert_eq!(all(&history, &a).await, expected, "before they are merged");
    history.compact().await.unwrap();
    assert_eq!(all(&history, &a).await, expected, "after");
    let hour = Timestamp(T.div_euclid(HOUR_MS) * HOUR_MS);
    let buckets = history.buckets(&a, hour, Timestamp(T + 9_000_000), HOUR_MS).await.unwrap();
    let extremes = |b: &crate::Bucket| (b.all.min, b.all.max);
    assert_eq!(buckets.iter().map(extremes).find(|e| e.1 == 500.0), Some((-500.0, 500.0)));
    let after = history.stats().await;
    assert_eq!((after.points, after.blocks), (before.points + 1, before.blocks));
    history.close().await.unwrap();
}

async fn who_reads_while_blocks_are_merged_misses_nothing(place: &Place) {
    let (a, history) = (key("meter", "power"), open(place).await);
    history.append(points(&a, seconds(0..4_000))).await.unwrap();
    let done = AtomicBool::new(false);
    let write = async {
        for round in 0..40 {
            // Each round something late reopens a merged hour.
            let from = 4_000 + round * 300;
            history.append(points(&a, seconds(from..from + 300))).await.unwrap();
            history.append(points(&a, seconds(round * 90..round * 90 + 9))).await.unwrap();
            history.compact().await.unwrap();
        }
        done.store(true, Ordering::Relaxed);
    };
    let read = async {
        let mut least = 4_000;
        while !done.load(Ordering::Relaxed) {
            let read = all(&history, &a).await;
            assert!(read.len() >= least, "{} after {least}", read.len());
            assert_eq!(read, seconds(0..read.len() as i64));
            least = read.len();
            let (from, to) = (Timestamp(T), Timestamp(T + 4_000_000));
            let minutes = history.buckets(&a, from, to, MINUTE_MS).await.unwrap();
            assert_eq!(minutes.iter().map(|b| b.all.count).sum::<u64>(), 4_000);
        }
    };
    tokio::join!(write, read);
    assert_eq!(all(&history, &a).await.len(), 16_000);
    history.close().await.unwrap();
}

async fn many_small_blocks_of_a_slow_series_become_few(place: &Place) {
    let (a, history) = (key("meter", "energy"), open(place).await);
    let slow: Vec<Reading> = (0..100).map(|i| reading(T + i * 300_000, i as f64)).collect();
    for few in slow.chunks(2) {
        history.append(points(&a, few.iter().copied())).await.unwrap();
        history.checkpoint().await.unwrap();
    }
    history.compact().await.unwrap();
    let stats = history.stats().await;
    assert!(stats.blocks <= 8, "{} blocks", stats.blocks);
    assert_eq!(all(&history, &a).await, slow);
    history.close().await.unwrap();
}

async fn a_settled_month_is_merged_to_the_end(place: &Place) {
    let (a, history) = (key("meter", "power"), open(place).await);
    history.append(points(&a, seconds(0..500))).await.unwrap();
    history.checkpoint().await.unwrap();
    let next_month = reading(T + 31 * 24 * HOUR_MS, 1.0);
    history.append(points(&a, [next_month])).await.unwrap();
    history.compact().await.unwrap();
    let mut expected = seconds(0..500);
    expected.push(next_month);
    assert_eq!(all(&history, &a).await, expected);
    assert_eq!(history.stats().await.blocks, 2);
    history.close().await.unwrap();
}

async fn retention_cuts_what_is_merged(place: &Place) {
    let (a, history) = (key("meter", "power"), open(place).await);
    history.append(points(&a, seconds(0..9_000))).await.unwrap();
    history.compact().await.unwrap();
    let cutoff = Timestamp(T + 2_000_500);
    assert_eq!(history.delete_before(cutoff).await.unwrap(), 2_001);
    assert_eq!(all(&history, &a).await, seconds(2_001..9_000));
    history.append(points(&a, seconds(9_000..14_000))).await.unwrap();
    history.compact().await.unwrap();
    assert_eq!(all(&history, &a).await, seconds(2_001..14_000));
    assert_eq!(history.stats().await.points, 11_999);
    history.close().await.unwrap();
}

async fn what_is_damaged_is_named(place: &Place) {
    let (a, b, history) = (key("meter", "power"), key("meter", "energy"), open(place).await);
    history.append(points(&a, seconds(0..9_000))).await.unwrap();
    history.append(points(&b, seconds(0..9_000))).await.unwrap();
    history.compact().await.unwrap();
    let sound = history.verify().await.unwrap();
    assert_eq!((sound.points, &sound.faults[..]), (18_000, &[][..]));
    place
        .execute("UPDATE history_blocks SET sum_value = 1 WHERE id = (SELECT MIN(id) FROM history_blocks)", T)
        .await;
    let broken = history.verify().await.unwrap();
    let faults: Vec<_> = broken.faults.iter().map(|f| (f.block.is_some(), f.series.as_deref())).collect();
    assert!(matches!(faults[..], [(true, Some("meter/power" | "meter/energy"))]), "{faults:?}");
    place.execute("DELETE FROM history_blocks WHERE id = (SELECT MAX(id) FROM history_blocks)", T).await;
    let short = history.verify().await.unwrap();
    assert_eq!(short.faults.iter().filter(|f| f.block.is_none()).count(), 1, "{:?}", short.faults);
    history.close().await.unwrap();
}

async fn damaged_hours_are_made_again(place: &Place) {
    let (a, b, history) = (key("meter", "power"), key("meter", "energy"), open(place).await);
    let by_hours = async |key: &SeriesKey| {
        let buckets =
            history.buckets(key, Timestamp(T - 3_000_000), Timestamp(T + 15_000_000), HOUR_MS).await?;
        Ok::<Vec<u64>, crate::HistoryError>(buckets.iter().map(|b| b.all.count).collect())
    };
    for key in [&a, &b] {
        history.append(points(key, seconds(0..7_200))).await.unwrap();
    }
    history.compact().await.unwrap();
    let damage = "UPDATE history_hours SET body = substr(body, 2) WHERE series = 0";
    // Met by who asks.
    place.execute(damage, T).await;
    let error = by_hours(&a).await.unwrap_err();
    assert!(matches!(error, crate::HistoryError::DamagedHours { series: 0, .. }), "{error}");
    history.compact().await.unwrap();
    assert_eq!(by_hours(&a).await.unwrap(), [600, 3_600, 3_000]);
    // Met by who merges.
    place.execute(damage, T).await;
    for key in [&a, &b] {
        history.append(points(key, seconds(7_200..14_400))).await.unwrap();
    }
    history.compact().await.unwrap();
    history.compact().await.unwrap();
    for key in [&a, &b] {
        assert_eq!(by_hours(key).await.unwrap(), [600, 3_600, 3_600, 3_600, 3_000]);
    }
    assert_eq!(history.verify().await.unwrap().faults, []);
    // Met by who deletes.
    place.execute(damage, T).await;
    history.delete_before(Timestamp(T + 1_800_000)).await.unwrap();
    assert_eq!(by_hours(&a).await.unwrap(), [2_400, 3_600, 3_600, 3_000]);
    history.compact().await.unwrap();
    assert_eq!(history.verify().await.unwrap().faults, []);
    history.close().await.unwrap();
}

async fn a_damaged_block_keeps_no_other_from_being_merged(place: &Place) {
    let (a, b, history) = (key("meter", "power"), key("meter", "energy"), open(place).await);
    for from in (0..7_200).step_by(100) {
        history.append(points(&a, seconds(from..from + 100))).await.unwrap();
        history.append(points(&b, seconds(from..from + 100))).await.unwrap();
    }
    history.checkpoint().await.unwrap();
    let damage = "UPDATE history_blocks SET body = substr(body, 1, length(body) - 1) WHERE id =
                  (SELECT MIN(id) FROM history_blocks WHERE series = 0 AND merged = 0)";
    // While nobody merges it just then.
    history.close().await.unwrap();
    place.execute(damage, T).await;
    let history = open(place).await;
    for _ in 0..2 {
        history.compact().await.unwrap();
    }
    assert_eq!(all(&history, &b).await, seconds(0..7_200));
    let hours = history.buckets(&b, Timestamp(T), Timestamp(T + 7_200_000), HOUR_MS).await.unwrap();
    assert_eq!(hours.iter().map(|h| h.all.count).sum::<u64>(), 7_200);
    let error = history.readings(&a, Timestamp(0), Timestamp(T + 7_200_000), usize::MAX).await.unwrap_err();
    assert!(matches!(error, crate::HistoryError::DamagedBlock { series: 0, .. }), "{error}");
    history.close().await.unwrap();
}

async fn a_damaged_block_of_a_settled_month_is_not_passed_over(place: &Place) {
    let (a, b, history) = (key("meter", "power"), key("meter", "energy"), open(place).await);
    history.append(points(&a, seconds(0..100))).await.unwrap();
    history.checkpoint().await.unwrap();
    place.execute("UPDATE history_blocks SET body = substr(body, 2)", T).await;
    // Much later, so that the month is settled.
    let later = |s: i64| reading(T + 70 * DAY_MS + s * 1_000, 1.0);
    history.append(points(&b, (0..100).map(later))).await.unwrap();
    for _ in 0..2 {
        history.compact().await.unwrap();
        let error = history.readings(&a, Timestamp(0), Timestamp(T + DAY_MS), usize::MAX).await.unwrap_err();
        assert!(matches!(error, crate::HistoryError::DamagedBlock { series: 0, .. }), "{error}");
        let hours =
            history.buckets(&a, Timestamp(T - 3_000_000), Timestamp(T + 600_000), HOUR_MS).await.unwrap();
        assert_eq!(hours.iter().map(|h| h.all.count).sum::<u64>(), 100, "known without its readings");
    }
    history.close().await.unwrap();
}
