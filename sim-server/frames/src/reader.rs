//! The server's side: what gateways kept, each writer's frames in order.

use crate::{FrameError, coding, coding::Payload, error::database, table};
use sqlx::{PgPool, postgres::PgListener};
use std::{collections::BTreeMap, time::Duration};

/// One commit of one gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub writer: i64,
    /// From 1, without gaps.
    pub seq: i64,
    pub payloads: Vec<Payload>,
}

/// How far each writer was read: everything up to and including a number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position(BTreeMap<i64, i64>);

impl Position {
    /// This frame was dealt with, and with it all before it.
    pub fn pass(&mut self, frame: &Frame) {
        let seq = self.0.entry(frame.writer).or_default();
        *seq = (*seq).max(frame.seq);
    }
}

/// There is one reader of a park's frames: its server, which holds the database's claim.
#[derive(Debug)]
pub struct FrameReader {
    pool: PgPool,
    news: PgListener,
    position: Position,
}

/// Frames of one writer that one look takes.
const FRAMES_A_LOOK: i64 = 8;
/// A notification may be lost with its connection; then this is how late a frame is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Each writer from the index alone, however many frames it has.
const WRITERS: &str = "WITH RECURSIVE found AS (
        (SELECT writer FROM ingest_frames ORDER BY writer LIMIT 1)
        UNION ALL
        SELECT (SELECT f.writer FROM ingest_frames f WHERE f.writer > found.writer ORDER BY f.writer LIMIT 1)
        FROM found WHERE found.writer IS NOT NULL
    )
    SELECT writer FROM found WHERE writer IS NOT NULL";

impl FrameReader {
    /// Starts before the first frame there is: what was read but not forgotten by the last server is read again.
    pub async fn open(url: &str) -> Result<Self, FrameError> {
        let pool = table::open(url).await?;
        let failed = database("listening for frames");
        let mut news = PgListener::connect_with(&pool).await.map_err(&failed)?;
        news.listen(table::NEWS).await.map_err(&failed)?;
        Ok(Self { pool, news, position: Position::default() })
    }

    /// The next frames, some of each writer; waits until there are any. They count as read.
    ///
    /// A frame that cannot be read is an error that comes back until it can: nothing is left out.
    pub async fn next(&mut self) -> Result<Vec<Frame>, FrameError> {
        loop {
            let frames = self.look().await?;
            if !frames.is_empty() {
                return Ok(frames);
            }
            if let Ok(Err(e)) = tokio::time::timeout(LOOK_EVERY, self.news.recv()).await {
                return Err(database("waiting for frames")(e));
            }
        }
    }

    async fn look(&mut self) -> Result<Vec<Frame>, FrameError> {
        let failed = database("reading frames");
        let writers: Vec<i64> = sqlx::query_scalar(WRITERS).fetch_all(&self.pool).await.map_err(&failed)?;
        let mut frames = Vec::new();
        for writer in writers {
            let after = self.position.0.get(&writer).copied().unwrap_or_default();
            let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
                "SELECT seq, frame FROM ingest_frames WHERE writer = $1 AND seq > $2 ORDER BY seq LIMIT $3",
            )
            .bind(writer)
            .bind(after)
            .bind(FRAMES_A_LOOK)
            .fetch_all(&self.pool)
            .await
            .map_err(&failed)?;
            for (seq, bytes) in rows {
                let payloads =
                    coding::decode(&bytes).map_err(|reason| FrameError::Damaged { writer, seq, reason })?;
                frames.push(Frame { writer, seq, payloads });
            }
        }
        for frame in &frames {
            self.position.pass(frame);
        }
        Ok(frames)
    }

    /// Goes on after `position`: what was read beyond it is read again.
    pub fn rewind(&mut self, position: &Position) {
        self.position = position.clone();
    }

    /// Deletes everything up to `position`; what it said must be durable elsewhere.
    pub async fn forget(&mut self, position: &Position) -> Result<u64, FrameError> {
        let mut gone = 0;
        for (&writer, &seq) in &position.0 {
            let deleted = sqlx::query("DELETE FROM ingest_frames WHERE writer = $1 AND seq <= $2")
                .bind(writer)
                .bind(seq)
                .execute(&self.pool)
                .await
                .map_err(database("forgetting frames"))?;
            gone += deleted.rows_affected();
        }
        Ok(gone)
    }
}
