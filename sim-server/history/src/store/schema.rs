//! The tables, once, for both databases.

/// Names, states and marks. `real` is what the database calls doubles.
pub(super) fn catalog(real: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS history_meta (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
         CREATE TABLE IF NOT EXISTS history_series (
             id BIGINT PRIMARY KEY, device TEXT NOT NULL, measurement TEXT NOT NULL);
         CREATE TABLE IF NOT EXISTS history_state (
             series BIGINT PRIMARY KEY, sealed_through BIGINT NOT NULL, span_ms BIGINT NOT NULL,
             newest_time BIGINT, newest_value {real}, newest_quality BIGINT);"
    )
}

/// How a database says what tables are.
pub(super) struct Dialect {
    /// Its integer of 64 bits that may be a key of its own.
    pub id: &'static str,
    pub real: &'static str,
    pub blob: &'static str,
    /// A block's key: its number, with the column that says its place where a table has several.
    pub block: &'static str,
    /// How blocks, hours and days are divided or ordered.
    pub blocks_are: &'static str,
    pub hours_are: &'static str,
    pub days_are: &'static str,
}

/// Blocks, their totals, the hours of what is merged, and what these come to in days.
pub(super) fn blocks(dialect: &Dialect) -> String {
    let Dialect { id, real, blob, block, blocks_are, hours_are, days_are } = dialect;
    format!(
        "CREATE TABLE IF NOT EXISTS history_blocks (
             id {id} NOT NULL, series BIGINT NOT NULL, t0 BIGINT NOT NULL, t1 BIGINT NOT NULL,
             sequence BIGINT NOT NULL, count BIGINT NOT NULL, min_value {real} NOT NULL,
             max_value {real} NOT NULL, sum_value {real} NOT NULL, first_value {real} NOT NULL,
             last_value {real} NOT NULL, integral {real} NOT NULL, rise {real} NOT NULL,
             merged BIGINT NOT NULL, minutes {blob}, body {blob} NOT NULL, PRIMARY KEY ({block})){blocks_are};
         CREATE INDEX IF NOT EXISTS history_blocks_by_time ON history_blocks (series, t1);
         CREATE INDEX IF NOT EXISTS history_blocks_loose ON history_blocks (series) WHERE merged = 0;
         CREATE TABLE IF NOT EXISTS history_months (
             month BIGINT PRIMARY KEY, blocks BIGINT NOT NULL, points BIGINT NOT NULL,
             bytes BIGINT NOT NULL, oldest BIGINT NOT NULL, newest BIGINT NOT NULL);
         CREATE TABLE IF NOT EXISTS history_hours (
             day BIGINT NOT NULL, series BIGINT NOT NULL, body {blob} NOT NULL,
             PRIMARY KEY (day, series)){hours_are};
         CREATE TABLE IF NOT EXISTS history_days (
             month BIGINT NOT NULL, series BIGINT NOT NULL, body {blob} NOT NULL,
             PRIMARY KEY (month, series)){days_are};
         CREATE TABLE IF NOT EXISTS history_days_made (month {id} PRIMARY KEY, zone TEXT NOT NULL);"
    )
}
