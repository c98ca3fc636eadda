//! What users of the store rely on.

use super::place::{ALWAYS, Place, all, copy_folder, key, on_both, points, reading, until};
use crate::{AppendError, History, HistoryError, HistoryOptions, PointBatch, SeriesId};
use shared::{telemetry::Reading, time::Timestamp};
use sqlx::AssertSqlSafe;

const T: i64 = 1_750_000_000_000;

on_both!(
    what_was_appended_is_there_after_a_restart,
    a_killed_process_loses_nothing_acknowledged,
    the_log_stays_within_its_budget,
    memory_stays_within_its_budget,
    a_backup_taken_under_load_holds_everything_acknowledged_before,
    retention_drops_months_and_cuts_blocks,
    some_series_are_kept_for_less_long,
    a_second_process_is_kept_out,
    many_series_and_many_writers,
);

fn seconds(n: i64) -> Vec<Reading> {
    (0..n).map(|i| reading(T + i * 1_000, (i % 97) as f64)).collect()
}

async fn what_was_appended_is_there_after_a_restart(place: &Place) {
    let (a, b) = (key("bess-01", "power"), key("bess-01", "soc"));
    let history = place.open().await;
    history.append(points(&a, seconds(200))).await.unwrap();
    history.append(points(&b, seconds(3))).await.unwrap();
    history.clone().close().await.unwrap();
    assert_eq!(history.append(points(&a, seconds(1))).await, Err(AppendError::Closed));
    assert!(matches!(history.readings(&a, ALWAYS.0, ALWAYS.1, 1).await, Err(HistoryError::Closed)));

    let history = place.open().await;
    assert_eq!(all(&history, &a).await, seconds(200));
    assert_eq!(all(&history, &b).await, seconds(3));
    assert_eq!(history.latest().await.unwrap().len(), 2);
    assert_eq!(history.stats().await.series, 2);
    history.close().await.unwrap();
}

async fn a_killed_process_loses_nothing_acknowledged(place: &Place) {
    let (a, quiet) = (key("meter", "power"), key("quiet", "power"));
    // Within its budget the log keeps a quiet series' reading, however much is sealed after it.
    let options = HistoryOptions { wal_budget_bytes: 1 << 20, ..place.options() };
    let history = History::open(options).await.unwrap();
    history.append(points(&quiet, seconds(1))).await.unwrap();
    for chunk in seconds(2_000).chunks(50) {
        history.append(points(&a, chunk.iter().copied())).await.unwrap();
    }
    until("most is sealed", || async { history.stats().await.unsealed_points < 100 }).await;
    // The folder as it is now; on PostgreSQL blocks may be sealed after it was copied, and be there twice.
    let image = tempfile::tempdir().unwrap();
    let settled = history.0.core.settled().await.unwrap();
    copy_folder(&place.options().folder, image.path());
    drop(settled);
    history.close().await.unwrap();
    let history =
        History::open(HistoryOptions { folder: image.path().into(), ..place.options() }).await.unwrap();
    assert_eq!(all(&history, &a).await, seconds(2_000));
    assert_eq!(all(&history, &quiet).await, seconds(1));
    // While a head is being sealed it counts as both.
    until("nothing is stored twice", || async { history.stats().await.points == 2_001 }).await;
    history.close().await.unwrap();
}

async fn the_log_stays_within_its_budget(place: &Place) {
    let options = place.options();
    let history = place.open().await;
    let quiet = key("quiet", "power");
    history.append(points(&quiet, seconds(1))).await.unwrap();
    for chunk in seconds(20_000).chunks(200) {
        history.append(points(&key("busy", "power"), chunk.iter().copied())).await.unwrap();
    }
    until("the log is short", || async {
        history.stats().await.wal_bytes <= options.wal_budget_bytes + options.segment_bytes
    })
    .await;
    assert_eq!(all(&history, &quiet).await, seconds(1), "a quiet series does not hold the log");
    assert_eq!(all(&history, &key("busy", "power")).await, seconds(20_000));
    history.close().await.unwrap();
}

async fn memory_stays_within_its_budget(place: &Place) {
    let options = HistoryOptions { memory_bytes: 64_000, seal_points: 100_000, ..place.options() };
    let history = History::open(options).await.unwrap();
    let a = key("busy", "power");
    for chunk in seconds(20_000).chunks(100) {
        loop {
            match history.append(points(&a, chunk.iter().copied())).await {
                Ok(()) => break,
                Err(AppendError::Busy) => tokio::task::yield_now().await,
                Err(other) => panic!("{other}"),
            }
        }
        // One append may pass the gate at the limit, and a growing head doubles.
        assert!(history.stats().await.memory_bytes < 3 * 64_000);
    }
    assert_eq!(all(&history, &a).await, seconds(20_000));
    history.close().await.unwrap();
}

async fn a_backup_taken_under_load_holds_everything_acknowledged_before(place: &Place) {
    let (a, b) = (key("a", "power"), key("b", "power"));
    let history = place.open().await;
    history.append(points(&a, seconds(700))).await.unwrap();
    history.checkpoint().await.unwrap();
    history.append(points(&b, seconds(40))).await.unwrap();
    let writing = tokio::spawn({
        let (history, c) = (history.clone(), key("c", "power"));
        async move {
            let mut i = 0;
            while history.append(points(&c, [reading(T + i, i as f64)])).await.is_ok() {
                i += 1;
            }
        }
    });
    let target = tempfile::tempdir().unwrap();
    history.backup(target.path()).await.unwrap();
    assert!(
        matches!(history.backup(target.path()).await, Err(HistoryError::BadRequest(_))),
        "a backup is not overwritten"
    );
    history.close().await.unwrap();
    writing.await.unwrap();

    let restored = place.another().await;
    History::restore(&restored.options(), target.path()).await.unwrap();
    let on_files = HistoryOptions { folder: target.path().into(), database_url: None, ..place.options() };
    for options in [restored.options(), on_files] {
        let copy = History::open(options.clone()).await.unwrap();
        assert_eq!(all(&copy, &a).await, seconds(700));
        assert_eq!(all(&copy, &b).await, seconds(40));
        let c = all(&copy, &key("c", "power")).await;
        let expected: Vec<Reading> = (0..c.len() as i64).map(|i| reading(T + i, i as f64)).collect();
        assert_eq!(c, expected, "no gap in what was being written");
        assert_eq!(copy.stats().await.open_report.damage, []);
        copy.append(points(&a, [reading(T - 5, 1.0)])).await.unwrap();
        copy.close().await.unwrap();
    }
    let again = History::restore(&restored.options(), target.path()).await;
    assert!(matches!(again, Err(HistoryError::BadRequest(_))), "a restore overwrites nothing");
    restored.remove().await;
}

async fn some_series_are_kept_for_less_long(place: &Place) {
    const DAY: i64 = 86_400_000;
    let (short, long, history) = (key("meter", "current"), key("meter", "energy"), place.open().await);
    for day in 0..40 {
        let of_day = |value: fn(i64) -> f64| {
            let at = move |i| reading(T + day * DAY + i * 60_000, value(day * 1_400 + i));
            (0..1_400).map(at)
        };
        // One that compresses badly, and one that compresses well.
        let noise = |i: i64| (i.wrapping_mul(0x1e37_79b9_7f4a_7c15) >> 11) as f64;
        history.append(points(&short, of_day(noise))).await.unwrap();
        history.append(points(&long, of_day(|i| i as f64))).await.unwrap();
    }
    history.compact().await.unwrap();
    let before = history.stats().await;
    let cutoff = Timestamp(T + 30 * DAY);
    let gone = history.delete_series_before(std::slice::from_ref(&short), cutoff).await.unwrap();
    let left = all(&history, &short).await;
    assert_eq!(left.len() as u64 + gone, 56_000);
    assert!(
        left.len() >= 14_000 && left[0].timestamp.0 >= T + 28 * DAY,
        "{} from {}",
        left.len(),
        left[0].timestamp
    );
    assert_eq!(all(&history, &long).await.len(), 56_000);
    let hours = history.buckets(&short, Timestamp(T), Timestamp(T + 40 * DAY), 3_600_000).await.unwrap();
    assert_eq!(hours.iter().map(|h| h.all.count).sum::<u64>(), left.len() as u64);
    let after = history.stats().await;
    assert_eq!(after.points, before.points - gone);
    assert_eq!(history.verify().await.unwrap().faults, []);
    if place.url().is_none() {
        // Most of June was of the one that went, and is given back.
        let june = std::fs::metadata(place.options().folder.join("history-2025-06.db")).unwrap().len();
        assert!((30_000..200_000).contains(&june), "{june} bytes");
    }
    history.close().await.unwrap();
}

async fn retention_drops_months_and_cuts_blocks(place: &Place) {
    let a = key("a", "power");
    let month_ms = 31 * 86_400_000;
    let readings: Vec<Reading> = (0..300).map(|i| reading(T + i * month_ms / 100, i as f64)).collect();
    let history = place.open().await;
    history.append(points(&a, readings.iter().copied())).await.unwrap();
    history.checkpoint().await.unwrap();
    assert_eq!(place.months().await, ["2025-06", "2025-07", "2025-08", "2025-09"]);
    history.append(points(&a, [reading(T + 5, 5.0)])).await.unwrap();
    let cutoff = readings[150].timestamp;
    assert_eq!(history.delete_before(cutoff).await.unwrap(), 151);
    assert_eq!(all(&history, &a).await, readings[150..]);
    let stats = history.stats().await;
    assert_eq!((stats.points, stats.oldest), (150, Some(cutoff)));
    assert_eq!(place.months().await, ["2025-08", "2025-09"], "what is wholly gone is dropped, not deleted");
    history.close().await.unwrap();
    let history = place.open().await;
    assert_eq!(all(&history, &a).await, readings[150..], "the log brings nothing back");
    assert_eq!(history.delete_before(Timestamp(i64::MAX)).await.unwrap(), 150);
    assert_eq!(history.latest().await.unwrap(), []);
    history.close().await.unwrap();
    assert_eq!(place.open().await.latest().await.unwrap(), []);
}

async fn a_second_process_is_kept_out(place: &Place) {
    let history = place.open().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let options = match place.url() {
        None => place.options(),
        Some(_) => HistoryOptions { folder: elsewhere.path().into(), ..place.options() },
    };
    let Err(HistoryError::InUse { holder, .. }) = History::open(options.clone()).await else {
        panic!("two stores on one place")
    };
    assert!(holder.contains(&std::process::id().to_string()), "{holder}");
    history.close().await.unwrap();
    History::open(options).await.unwrap().close().await.unwrap();
}

async fn many_series_and_many_writers(place: &Place) {
    let history = place.open().await;
    let writers: Vec<_> = (0..20)
        .map(|w| {
            let history = history.clone();
            tokio::spawn(async move {
                for round in 0..10 {
                    let mut batch = PointBatch::new();
                    for m in 0..50 {
                        let id = history.series_id(&key(&format!("d{w}"), &format!("m{m}")));
                        batch.push(id, reading(T + round * 1_000, f64::from(m))).unwrap();
                    }
                    history.append_batch(batch).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    history.close().await.unwrap();
    let history = place.open().await;
    assert_eq!(history.stats().await.series, 1_000);
    assert_eq!(history.latest().await.unwrap().len(), 1_000);
    for (w, m) in [(0, 0), (7, 31), (19, 49)] {
        let read = all(&history, &key(&format!("d{w}"), &format!("m{m}"))).await;
        let expected: Vec<Reading> = (0..10).map(|r| reading(T + r * 1_000, f64::from(m))).collect();
        assert_eq!(read, expected);
    }
    history.close().await.unwrap();
}

#[tokio::test]
async fn blocks_the_catalog_does_not_know_are_not_replayed_twice() {
    let place = Place::sqlite();
    let (a, folder) = (key("a", "power"), place.options().folder);
    let options = HistoryOptions { seal_points: 100_000, segment_bytes: 1 << 20, ..place.options() };
    let history = History::open(options.clone()).await.unwrap();
    history.append(points(&a, seconds(500))).await.unwrap();
    history.checkpoint().await.unwrap();
    history.append(points(&a, seconds(600)[400..].iter().copied())).await.unwrap();
    // A crash between the month's commit and the catalog's: the catalog and the log of before, the month of after.
    let image = tempfile::tempdir().unwrap();
    copy_folder(&folder, image.path());
    history.checkpoint().await.unwrap();
    for name in std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()) {
        if name.to_str().unwrap().starts_with("history-2025-06.db") {
            std::fs::copy(folder.join(&name), image.path().join(&name)).unwrap();
        }
    }
    history.close().await.unwrap();
    let history = History::open(HistoryOptions { folder: image.path().into(), ..options }).await.unwrap();
    let stats = history.stats().await;
    assert_eq!((stats.points, stats.unsealed_points), (700, 0));
    assert_eq!(all(&history, &a).await, seconds(600));
    assert_eq!(history.latest().await.unwrap(), [(a.clone(), seconds(600)[599])]);
    history.close().await.unwrap();
}

#[tokio::test]
async fn a_fault_of_the_block_store_is_shown_and_passes() {
    let place = Place::sqlite();
    let a = key("a", "power");
    let history = place.open().await;
    // A folder where the month's file should be.
    let blocker = place.options().folder.join("history-2025-06.db");
    std::fs::create_dir(&blocker).unwrap();
    history.append(points(&a, seconds(100))).await.unwrap();
    until("the fault is shown", || async { history.stats().await.seal_fault.is_some() }).await;
    history.append(points(&a, [reading(T - 1, 9.0)])).await.unwrap();
    assert_eq!(all(&history, &a).await.len(), 101, "appends and reads go on");
    std::fs::remove_dir(&blocker).unwrap();
    until("the fault has passed", || async {
        let stats = history.stats().await;
        stats.seal_fault.is_none() && stats.blocks > 0
    })
    .await;
    assert_eq!(all(&history, &a).await.len(), 101);
    assert_eq!(history.stats().await.points, 101);
    history.close().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_by_name() {
    let place = Place::sqlite();
    let history = place.open().await;
    let a = key("pv-07", "power");
    for bad in [reading(T, f64::NAN), reading(-1, 1.0)] {
        let Err(AppendError::Failed { reason }) = history.append(points(&a, [reading(T, 1.0), bad])).await
        else {
            panic!("{bad:?} was stored")
        };
        assert!(reason.starts_with("pv-07/power: "), "{reason}");
    }
    let mut foreign = PointBatch::new();
    foreign.push(SeriesId(77), reading(T, 1.0)).unwrap();
    assert!(matches!(history.append_batch(foreign).await, Err(AppendError::Failed { .. })));
    assert_eq!(history.stats().await.points, 0, "a refused append leaves nothing");
    assert_eq!(history.append(Vec::new()).await, Ok(()));
    history.close().await.unwrap();
}

#[tokio::test]
async fn an_owner_that_lost_its_lock_writes_nothing_over_the_next_one() {
    let Some(place) = Place::postgres().await else { return };
    let a = key("a", "power");
    let first = place.open().await;
    first.append(points(&a, seconds(3))).await.unwrap();
    first.checkpoint().await.unwrap();
    // The server forgets the first owner, as after a network fault.
    let db = sqlx::PgPool::connect(&place.url().unwrap()).await.unwrap();
    let held = "FROM pg_locks WHERE locktype = 'advisory' AND (classid::bigint << 32) | objid::bigint
                = hashtextextended('park history ' || current_schema(), 0)";
    let (forget, count) =
        (format!("SELECT pg_terminate_backend(pid) {held}"), format!("SELECT COUNT(*) {held}"));
    sqlx::query(AssertSqlSafe(forget)).execute(&db).await.unwrap();
    until("the lock is free", || async {
        let held: i64 = sqlx::query_scalar(AssertSqlSafe(count.clone())).fetch_one(&db).await.unwrap();
        held == 0
    })
    .await;
    db.close().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let options = HistoryOptions { folder: elsewhere.path().into(), ..place.options() };
    let second = History::open(options).await.unwrap();
    first.append(points(&a, [reading(T, 9.0)])).await.unwrap();
    let refused = first.checkpoint().await;
    assert!(matches!(refused, Err(HistoryError::InUse { .. })), "{refused:?}");
    assert_eq!(all(&second, &a).await, seconds(3));
    first.close().await.unwrap();
    second.close().await.unwrap();
    place.remove().await;
}

#[tokio::test]
async fn a_url_of_another_database_is_refused() {
    let place = Place::sqlite();
    let options = HistoryOptions { database_url: Some("mysql://localhost/park".into()), ..place.options() };
    assert!(matches!(History::open(options).await, Err(HistoryError::BadRequest(_))));
}

#[tokio::test]
async fn a_damaged_block_is_named() {
    let place = Place::sqlite();
    let a = key("a", "power");
    let history = place.open().await;
    history.append(points(&a, seconds(100))).await.unwrap();
    history.checkpoint().await.unwrap();
    history.close().await.unwrap();
    let file = place.options().folder.join("history-2025-06.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    sqlx::query("UPDATE history_blocks SET body = x'0102030405060708'").execute(&pool).await.unwrap();
    pool.close().await;
    let history = place.open().await;
    let error = history.readings(&a, ALWAYS.0, ALWAYS.1, 10).await.expect_err("damaged");
    assert!(matches!(error, HistoryError::DamagedBlock { series: 0, .. }), "{error}");
    history.close().await.unwrap();
}
