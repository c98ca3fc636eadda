//! Alarms, from being raised to being cleared and acknowledged.

use crate::{
    Page, Records, RecordsError,
    error::{database, decode, encode},
    news::{insert_news, of_alarm},
    page::rows,
};
use shared::{alarm::Alarm, time::Timestamp};

impl Records {
    /// Writes alarms as they now are, new ones and known ones alike, and the news that is in it: all or none.
    pub async fn save_alarms(&self, alarms: &[Alarm]) -> Result<(), RecordsError> {
        const DOING: &str = "saving alarms";
        on_writer!(self, pool => {
            let mut transaction = pool.begin().await.map_err(database(DOING))?;
            for alarm in alarms {
                let body = encode("an alarm", alarm)?;
                let before: Option<String> = sqlx::query_scalar("SELECT body FROM alarms WHERE id = $1")
                    .bind(alarm.id.as_str())
                    .fetch_optional(&mut *transaction)
                    .await
                    .map_err(database(DOING))?;
                let before: Option<Alarm> =
                    before.map(|body| decode("alarm", alarm.id.as_str(), &body)).transpose()?;
                insert_news!(transaction, of_alarm(before.as_ref(), alarm, &body), DOING);
                sqlx::query(
                    "INSERT INTO alarms (id, raised_at, open, body) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (id) DO UPDATE SET open = excluded.open, body = excluded.body",
                )
                .bind(alarm.id.as_str())
                .bind(alarm.raised_at.0)
                .bind(i64::from(alarm.needs_attention()))
                .bind(body)
                .execute(&mut *transaction)
                .await
                .map_err(database(DOING))?;
            }
            transaction.commit().await.map_err(database(DOING))?;
        });
        self.inner.news.notify_one();
        Ok(())
    }

    /// Alarms that are active or not acknowledged, oldest first.
    pub async fn open_alarms(&self) -> Result<Vec<Alarm>, RecordsError> {
        let rows: Vec<(String, String)> = on_reader!(self, pool => {
            sqlx::query_as("SELECT id, body FROM alarms WHERE open = 1 ORDER BY raised_at, id")
                .fetch_all(pool)
                .await
                .map_err(database("reading the open alarms"))?
        });
        rows.iter().map(|(id, body)| decode("alarm", id, body)).collect()
    }

    /// Alarms raised in `[from, to)`, newest first.
    pub async fn alarms(
        &self,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
        offset: usize,
    ) -> Result<Page<Alarm>, RecordsError> {
        const DOING: &str = "reading alarms";
        let (total, rows): (i64, Vec<(String, String)>) = on_reader!(self, pool => {
            let total = sqlx::query_scalar("SELECT COUNT(*) FROM alarms WHERE raised_at >= $1 AND raised_at < $2")
                .bind(from.0)
                .bind(to.0)
                .fetch_one(pool)
                .await
                .map_err(database(DOING))?;
            let rows = sqlx::query_as(
                "SELECT id, body FROM alarms WHERE raised_at >= $1 AND raised_at < $2
                 ORDER BY raised_at DESC, id DESC LIMIT $3 OFFSET $4",
            )
            .bind(from.0)
            .bind(to.0)
            .bind(rows(limit))
            .bind(rows(offset))
            .fetch_all(pool)
            .await
            .map_err(database(DOING))?;
            (total, rows)
        });
        let items = rows.iter().map(|(id, body)| decode("alarm", id, body)).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }
}
