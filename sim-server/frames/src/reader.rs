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
const FRAMES_A_LOOK: usize = 8;
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

    /// The next frames, some of each writer, as they came to their gateways; waits until there are any. They count as read.
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
        let mut of_writers = Vec::new();
        for writer in writers {
            let after = self.position.0.get(&writer).copied().unwrap_or_default();
            let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
                "SELECT seq, frame FROM ingest_frames WHERE writer = $1 AND seq > $2 ORDER BY seq LIMIT $3",
            )
            .bind(writer)
            .bind(after)
            .bind(FRAMES_A_LOOK as i64)
            .fetch_all(&self.pool)
            .await
            .map_err(&failed)?;
            let mut frames = Vec::with_capacity(rows.len());
            for (seq, bytes) in rows {
                let payloads =
                    coding::decode(&bytes).map_err(|reason| FrameError::Damaged { writer, seq, reason })?;
                frames.push(Frame { writer, seq, payloads });
            }
            of_writers.push(frames);
        }
        let frames = as_they_came(of_writers);
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

/// The frames of one look in the order in which gateways received them, so that a correction comes after what it corrects although another
/// gateway took it, also when all of it is read again. Each writer's stay in order whatever its clock did. What came later than
/// something that was not looked at yet is left for the next look.
fn as_they_came(of_writers: Vec<Vec<Frame>>) -> Vec<Frame> {
    let mut all = Vec::new();
    let mut until = i64::MAX;
    for frames in of_writers {
        let (count, mut clock_ms) = (frames.len(), i64::MIN);
        for frame in frames {
            clock_ms = frame.payloads.first().map_or(clock_ms, |first| clock_ms.max(first.received_ms));
            all.push((clock_ms, frame));
        }
        if count == FRAMES_A_LOOK {
            until = until.min(clock_ms);
        }
    }
    all.sort_by_key(|(clock_ms, _)| *clock_ms);
    all.into_iter().take_while(|(clock_ms, _)| *clock_ms <= until).map(|(_, frame)| frame).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(writer: i64, seq: i64, received_ms: i64) -> Frame {
        let payload = Payload { topic: "device/a/data".to_owned(), received_ms, bytes: Vec::new() };
        Frame { writer, seq, payloads: vec![payload] }
    }

    fn named(frames: &[Frame]) -> Vec<(i64, i64)> {
        frames.iter().map(|f| (f.writer, f.seq)).collect()
    }

    #[test]
    fn a_correction_follows_what_it_corrects_through_whichever_gateway() {
        let of_writers = vec![vec![frame(1, 1, 10), frame(1, 2, 40)], vec![frame(2, 1, 20), frame(2, 2, 30)]];
        assert_eq!(named(&as_they_came(of_writers)), [(1, 1), (2, 1), (2, 2), (1, 2)]);
    }

    #[test]
    fn a_writer_whose_clock_went_back_keeps_its_order() {
        let of_writers = vec![vec![frame(1, 1, 50), frame(1, 2, 20), frame(1, 3, 60)], vec![frame(2, 1, 30)]];
        assert_eq!(named(&as_they_came(of_writers)), [(2, 1), (1, 1), (1, 2), (1, 3)]);
    }

    #[test]
    fn what_came_after_frames_not_looked_at_waits() {
        let many: Vec<Frame> = (1..=FRAMES_A_LOOK as i64).map(|seq| frame(1, seq, seq)).collect();
        let frames = as_they_came(vec![many, vec![frame(2, 1, 3), frame(2, 2, 1_000)]]);
        assert_eq!(frames.len(), FRAMES_A_LOOK + 1, "{frames:?}");
        assert_eq!(named(&frames)[2..5], [(1, 3), (2, 1), (1, 4)]);
    }
}
