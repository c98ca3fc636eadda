//! A gateway's side: many callers, one commit at a time, in order.

use crate::{FrameError, coding, coding::Payload, error::database, table};
use metrics::{counter, gauge};
use sqlx::PgPool;
use std::{collections::VecDeque, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// Bytes waiting for the park's server above which nothing further is taken until it has read some.
    pub limit_bytes: u64,
    /// Payload bytes of one commit.
    pub frame_bytes: usize,
    /// Payloads between the callers and the commit.
    pub queue: usize,
    /// Pauses between attempts double from the first to the longest while the database does not answer.
    pub first_pause: Duration,
    pub longest_pause: Duration,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            limit_bytes: 4 << 30,
            frame_bytes: 1 << 20,
            queue: 4096,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
        }
    }
}

/// Clones write into the same frames; the last one gone ends the writer.
#[derive(Debug, Clone)]
pub struct FrameWriter {
    number: i64,
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
struct Request {
    payload: Payload,
    done: oneshot::Sender<()>,
}

impl FrameWriter {
    /// Connects, creates the table where it is missing and takes a number nobody had before. The task ends when every clone is gone.
    pub async fn open(url: &str, options: WriterOptions) -> Result<(Self, JoinHandle<()>), FrameError> {
        let pool = table::open(url).await?;
        let number = sqlx::query_scalar("SELECT nextval('ingest_writers')")
            .fetch_one(&pool)
            .await
            .map_err(database("taking a writer's number"))?;
        let (requests, incoming) = mpsc::channel(options.queue.max(1));
        let task = Task { pool, number, options, seq: 0, kept: VecDeque::new(), kept_bytes: 0 };
        Ok((Self { number, requests }, tokio::spawn(task.run(incoming))))
    }

    /// Which writer this is, as in the table.
    pub fn number(&self) -> i64 {
        self.number
    }

    /// Waits until the payload is committed. While the database does not answer, or too much waits for the server, this waits too: whoever
    /// calls is to leave its own source unread.
    pub async fn keep(&self, payload: Payload) -> Result<(), FrameError> {
        let (done, committed) = oneshot::channel();
        self.requests.send(Request { payload, done }).await.map_err(|_| FrameError::Stopped)?;
        committed.await.map_err(|_| FrameError::Stopped)
    }
}

struct Task {
    pool: PgPool,
    number: i64,
    options: WriterOptions,
    seq: i64,
    /// Frames that may still be in the table, and their bytes.
    kept: VecDeque<(i64, u64)>,
    kept_bytes: u64,
}

impl Task {
    async fn run(mut self, mut incoming: mpsc::Receiver<Request>) {
        let mut requests = Vec::new();
        while let Some(first) = incoming.recv().await {
            let mut bytes = first.payload.bytes.len();
            requests.push(first);
            // What arrived while the last commit was under way goes into this one.
            while bytes < self.options.frame_bytes
                && let Ok(next) = incoming.try_recv()
            {
                bytes += next.payload.bytes.len();
                requests.push(next);
            }
            let (payloads, waiting): (Vec<_>, Vec<_>) =
                requests.drain(..).map(|r| (r.payload, r.done)).unzip();
            let frame = match coding::encode(&payloads) {
                Ok(frame) => frame,
                Err(e) => {
                    // Postcard refuses only what has no length, which payloads have; their callers hear that nothing was kept.
                    tracing::error!("a frame could not be written: {e}");
                    continue;
                }
            };
            self.wait_for_room().await;
            self.commit(&frame).await;
            counter!("park_frames_written_total").increment(1);
            counter!("park_frames_payloads_total").increment(payloads.len() as u64);
            for done in waiting {
                // Whoever no longer waits will send again, and the server knows what it has.
                let _ = done.send(());
            }
        }
    }

    /// Tries until the frame is there. An attempt whose end nobody heard of may have succeeded: the same number again then adds nothing.
    async fn commit(&mut self, frame: &[u8]) {
        self.seq += 1;
        let mut pause = self.options.first_pause;
        while let Err(e) = self.insert(frame).await {
            tracing::warn!(writer = self.number, seq = self.seq, retry_in = ?pause, "{e}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.options.longest_pause);
        }
        self.kept.push_back((self.seq, frame.len() as u64));
        self.kept_bytes += frame.len() as u64;
        gauge!("park_frames_waiting_bytes").set(self.kept_bytes as f64);
    }

    async fn insert(&self, frame: &[u8]) -> Result<(), FrameError> {
        let failed = database("keeping a frame");
        let mut transaction = self.pool.begin().await.map_err(&failed)?;
        sqlx::query(
            "INSERT INTO ingest_frames (writer, seq, frame) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(self.number)
        .bind(self.seq)
        .bind(frame)
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        sqlx::query("SELECT pg_notify($1, '')")
            .bind(table::NEWS)
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        transaction.commit().await.map_err(&failed)
    }

    async fn wait_for_room(&mut self) {
        let mut said = false;
        let limit_bytes = self.options.limit_bytes;
        while self.kept_bytes > limit_bytes {
            match self.first_kept().await {
                Ok(first) => self.gone_before(first),
                Err(e) => tracing::warn!("{e}"),
            }
            if self.kept_bytes <= limit_bytes {
                break;
            }
            if !said {
                said = true;
                let waiting_bytes = self.kept_bytes;
                tracing::error!(
                    waiting_bytes,
                    limit_bytes,
                    "the park's server does not read; nothing more is taken"
                );
            }
            tokio::time::sleep(self.options.longest_pause).await;
        }
        if said {
            tracing::info!("the park's server reads again");
        }
    }

    /// `None`: the server has forgotten all of them.
    async fn first_kept(&self) -> Result<Option<i64>, FrameError> {
        sqlx::query_scalar("SELECT min(seq) FROM ingest_frames WHERE writer = $1")
            .bind(self.number)
            .fetch_one(&self.pool)
            .await
            .map_err(database("looking what waits"))
    }

    fn gone_before(&mut self, first: Option<i64>) {
        while let Some((seq, bytes)) = self.kept.front().copied()
            && first.is_none_or(|first| seq < first)
        {
            self.kept.pop_front();
            self.kept_bytes -= bytes;
        }
        gauge!("park_frames_waiting_bytes").set(self.kept_bytes as f64);
    }
}
