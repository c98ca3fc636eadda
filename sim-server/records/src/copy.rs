//! Backup and restore.
//!
//! A backup is a folder with one file: `records.db` (a compacted copy of a SQLite database) or `records.ndjson` (every
//! row of a PostgreSQL database as one JSON object a line). Either restores into either database, so this is also
//! the way from SQLite to PostgreSQL.

use crate::{
    Records, RecordsError,
    engine::{Engine, create_private},
    error::{database, file},
};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, ColumnIndex, Decode, Row, Type};
use std::path::{Path, PathBuf};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter},
    sync::mpsc,
};
use uuid::Uuid;

const SQLITE_COPY: &str = "records.db";
const LINES_COPY: &str = "records.ndjson";
const FORMAT: &str = "park-records";
const FORMAT_VERSION: u32 = 1;

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Integer,
}
use Kind::{Integer, Text};

struct Table {
    name: &'static str,
    columns: &'static [(&'static str, Kind)],
}

/// Every table, those referred to before those that refer.
const TABLES: &[Table] = &[
    Table {
        name: "users",
        columns: &[("name", Text), ("role", Text), ("password_hash", Text), ("created_at", Integer)],
    },
    Table {
        name: "refresh_tokens",
        columns: &[
            ("sha256", Text),
            ("family", Text),
            ("user_name", Text),
            ("issued_at", Integer),
            ("expires_at", Integer),
            ("spent_at", Integer),
        ],
    },
    Table {
        name: "wall_tokens",
        columns: &[
            ("id", Text),
            ("sha256", Text),
            ("name", Text),
            ("created_at", Integer),
            ("revoked_at", Integer),
        ],
    },
    Table {
        name: "devices",
        columns: &[("id", Text), ("registered_at", Integer), ("secret_sha256", Text), ("body", Text)],
    },
    Table {
        name: "commands",
        columns: &[
            ("command_id", Text),
            ("device_id", Text),
            ("status", Text),
            ("queued_at", Integer),
            ("body", Text),
        ],
    },
    Table {
        name: "alarms",
        columns: &[("id", Text), ("raised_at", Integer), ("open", Integer), ("body", Text)],
    },
    Table {
        name: "device_events",
        columns: &[
            ("device_id", Text),
            ("event_id", Text),
            ("at", Integer),
            ("received_at", Integer),
            ("body", Text),
        ],
    },
    Table { name: "device_days", columns: &[("day", Text), ("device_id", Text), ("body", Text)] },
    Table {
        name: "audit",
        columns: &[("id", Text), ("at", Integer), ("who", Text), ("action", Text), ("what", Text)],
    },
    Table { name: "mqtt_sessions", columns: &[("device_id", Text), ("client_id", Text), ("body", Text)] },
    Table {
        name: "api_keys",
        columns: &[
            ("id", Text),
            ("sha256", Text),
            ("created_at", Integer),
            ("last_used_at", Integer),
            ("last_used_from", Text),
            ("body", Text),
        ],
    },
    Table {
        name: "api_key_days",
        columns: &[
            ("key_id", Text),
            ("day", Text),
            ("requests", Integer),
            ("refused", Integer),
            ("points_read", Integer),
            ("points_written", Integer),
            ("bytes_in", Integer),
            ("bytes_out", Integer),
        ],
    },
    Table {
        name: "news",
        columns: &[
            ("id", Text),
            ("seq", Integer),
            ("at", Integer),
            ("event", Text),
            ("device_id", Text),
            ("body", Text),
        ],
    },
    Table { name: "device_presence", columns: &[("device_id", Text), ("online", Integer)] },
    Table {
        name: "webhooks",
        columns: &[
            ("id", Text),
            ("created_at", Integer),
            ("last_seq", Integer),
            ("told_through", Integer),
            ("body", Text),
        ],
    },
    Table {
        name: "webhook_deliveries",
        columns: &[
            ("id", Text),
            ("webhook_id", Text),
            ("seq", Integer),
            ("event", Text),
            ("at", Integer),
            ("body", Text),
            ("status", Text),
            ("queued_at", Integer),
            ("next_at", Integer),
            ("attempts", Integer),
            ("ended_at", Integer),
            ("outcome", Text),
        ],
    },
    Table { name: "settings", columns: &[("key", Text), ("value", Text)] },
];

impl Table {
    fn select(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        format!("SELECT {} FROM {}", columns.join(", "), self.name)
    }

    fn insert(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let places: Vec<String> = (1..=columns.len()).map(|i| format!("${i}")).collect();
        format!("INSERT INTO {} ({}) VALUES ({})", self.name, columns.join(", "), places.join(", "))
    }

    fn row<R>(&self, row: &R) -> Result<Map<String, Value>, sqlx::Error>
    where
        R: Row,
        usize: ColumnIndex<R>,
        for<'r> Option<String>: Decode<'r, R::Database> + Type<R::Database>,
        for<'r> Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
    {
        let mut out = Map::new();
        for (index, (name, kind)) in self.columns.iter().enumerate() {
            let value = match kind {
                Text => Value::from(row.try_get::<Option<String>, _>(index)?),
                Integer => Value::from(row.try_get::<Option<i64>, _>(index)?),
            };
            out.insert((*name).to_owned(), value);
        }
        Ok(out)
    }
}

/// The lines of `records.ndjson`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Line {
    Header {
        format: String,
        version: u32,
    },
    Row {
        table: String,
        columns: Map<String, Value>,
    },
    /// The last line: a copy without it was cut off.
    End {
        rows: u64,
    },
}

impl Records {
    /// Writes a consistent copy into the folder `into` while everything goes on.
    ///
    /// Fails rather than overwrite an earlier copy there.
    pub async fn backup(&self, into: &Path) -> Result<(), RecordsError> {
        tokio::fs::create_dir_all(into).await.map_err(file("creating", into))?;
        let name = match self.inner.engine {
            Engine::Sqlite(_) => SQLITE_COPY,
            Engine::Postgres(_) => LINES_COPY,
        };
        for taken in [SQLITE_COPY, LINES_COPY].map(|name| into.join(name)) {
            if taken.exists() {
                return Err(RecordsError::Backup { path: taken, message: "is there already".into() });
            }
        }
        let (partial, whole) = (into.join(format!("{name}.partial")), into.join(name));
        if partial.exists() {
            tokio::fs::remove_file(&partial).await.map_err(file("removing", &partial))?;
        }
        create_private(&partial)?;
        match &self.inner.engine {
            Engine::Sqlite(_) => self.vacuum_into(&partial).await?,
            Engine::Postgres(_) => self.write_lines(&partial).await?,
        }
        let copy = tokio::fs::File::open(&partial).await.map_err(file("opening", &partial))?;
        copy.sync_all().await.map_err(file("syncing", &partial))?;
        tokio::fs::rename(&partial, &whole).await.map_err(file("renaming", &partial))?;
        let folder = tokio::fs::File::open(into).await.map_err(file("opening", into))?;
        folder.sync_all().await.map_err(file("syncing", into))?;
        Ok(())
    }

    /// Fills the fresh database at `url` from the backup folder `from`: all of it, or nothing.
    pub async fn restore(url: &str, from: &Path) -> Result<(), RecordsError> {
        let target = Records::open(url).await?;
        let done = target.restore_from(from).await;
        target.close().await;
        done
    }

    /// SQLite reads one snapshot for as long as it takes; writers go on in the log.
    async fn vacuum_into(&self, path: &Path) -> Result<(), RecordsError> {
        let Some(path) = path.to_str() else {
            return Err(RecordsError::Backup { path: path.to_owned(), message: "is not UTF-8".into() });
        };
        with_pool!(reader of self, pool => {
            sqlx::query("VACUUM INTO $1")
                .bind(path)
                .execute(pool)
                .await
                .map_err(database("copying the database"))?;
        });
        Ok(())
    }

    async fn write_lines(&self, path: &Path) -> Result<(), RecordsError> {
        let out =
            tokio::fs::OpenOptions::new().write(true).open(path).await.map_err(file("opening", path))?;
        let mut out = BufWriter::new(out);
        let header = Line::Header { format: FORMAT.into(), version: FORMAT_VERSION };
        write_line(&mut out, path, &header).await?;
        let (send, mut rows) = mpsc::channel(256);
        let reading = tokio::spawn(send_rows(self.clone(), send));
        let mut count = 0;
        while let Some((table, columns)) = rows.recv().await {
            let line = Line::Row { table: TABLES[table].name.into(), columns };
            write_line(&mut out, path, &line).await?;
            count += 1;
        }
        joined(reading, path).await?;
        write_line(&mut out, path, &Line::End { rows: count }).await?;
        out.flush().await.map_err(file("writing", path))?;
        Ok(())
    }

    async fn restore_from(&self, from: &Path) -> Result<(), RecordsError> {
        for table in TABLES {
            let any: Option<i64> = with_pool!(reader of self, pool => {
                sqlx::query_scalar(AssertSqlSafe(format!("SELECT CAST(1 AS BIGINT) FROM {} LIMIT 1", table.name)))
                    .fetch_optional(pool)
                    .await
                    .map_err(database("looking whether the database is empty"))?
            });
            if any.is_some() {
                return Err(RecordsError::NotEmpty { table: table.name });
            }
        }
        let (lines, copy) = (from.join(LINES_COPY), from.join(SQLITE_COPY));
        let (send, rows) = mpsc::channel(256);
        if copy.exists() {
            let staged = Staged::of(&copy).await?;
            let reading = tokio::spawn(send_rows(staged.records.clone(), send));
            let written = self.insert_rows(rows, async || joined(reading, &copy).await).await;
            staged.remove().await?;
            written
        } else if lines.exists() {
            let reading = tokio::spawn(send_lines(lines.clone(), send));
            self.insert_rows(rows, async || joined(reading, &lines).await).await
        } else {
            Err(RecordsError::Backup {
                path: from.to_owned(),
                message: format!("holds neither {SQLITE_COPY} nor {LINES_COPY}"),
            })
        }
    }

    /// Inserts what arrives and commits if `all_came` says that nothing is missing.
    async fn insert_rows(
        &self,
        mut rows: mpsc::Receiver<(usize, Map<String, Value>)>,
        all_came: impl AsyncFnOnce() -> Result<(), RecordsError>,
    ) -> Result<(), RecordsError> {
        const DOING: &str = "restoring the database";
        let inserts: Vec<String> = TABLES.iter().map(Table::insert).collect();
        with_pool!(writer of self, pool => {
            let mut transaction = pool.begin().await.map_err(database(DOING))?;
            while let Some((table, mut columns)) = rows.recv().await {
                let mut query = sqlx::query(AssertSqlSafe(inserts[table].clone()));
                for (name, kind) in TABLES[table].columns {
                    let value = columns.remove(*name).unwrap_or(Value::Null);
                    query = match kind {
                        Text => query.bind(value.as_str().map(str::to_owned)),
                        Integer => query.bind(value.as_i64()),
                    };
                }
                query.execute(&mut *transaction).await.map_err(database(DOING))?;
            }
            all_came().await?;
            transaction.commit().await.map_err(database(DOING))?;
        });
        Ok(())
    }
}

/// A copy of a SQLite backup that may be migrated to today's tables without touching the backup.
struct Staged {
    folder: PathBuf,
    records: Records,
}

impl Staged {
    async fn of(copy: &Path) -> Result<Staged, RecordsError> {
        let folder = std::env::temp_dir().join(format!("park-restore-{}", Uuid::now_v7()));
        tokio::fs::create_dir(&folder).await.map_err(file("creating", &folder))?;
        let path = folder.join(SQLITE_COPY);
        create_private(&path)?;
        tokio::fs::copy(copy, &path).await.map_err(file("copying", copy))?;
        let Some(text) = path.to_str() else {
            return Err(RecordsError::Backup { path, message: "is not UTF-8".into() });
        };
        let records = Records::open(&format!("sqlite://{text}")).await?;
        Ok(Staged { folder, records })
    }

    async fn remove(self) -> Result<(), RecordsError> {
        self.records.close().await;
        tokio::fs::remove_dir_all(&self.folder).await.map_err(file("removing", &self.folder))
    }
}

type Rows = mpsc::Sender<(usize, Map<String, Value>)>;

/// Sends every row of every table as of one instant. Ends early when nobody listens any more.
async fn send_rows(records: Records, rows: Rows) -> Result<(), RecordsError> {
    const DOING: &str = "reading the database";
    // SQLite reads a snapshot in any transaction; PostgreSQL must be asked.
    let begin = match records.inner.engine {
        Engine::Sqlite(_) => "BEGIN",
        Engine::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    };
    with_pool!(reader of records, pool => {
        let mut transaction = pool.begin_with(begin).await.map_err(database(DOING))?;
        for (index, table) in TABLES.iter().enumerate() {
            let mut found = sqlx::query(AssertSqlSafe(table.select())).fetch(&mut *transaction);
            while let Some(row) = found.try_next().await.map_err(database(DOING))? {
                let columns = table.row(&row).map_err(database(DOING))?;
                if rows.send((index, columns)).await.is_err() {
                    return Ok(());
                }
            }
        }
    });
    Ok(())
}

async fn send_lines(path: PathBuf, rows: Rows) -> Result<(), RecordsError> {
    let wrong = |message: String| RecordsError::Backup { path: path.clone(), message };
    let input = tokio::fs::File::open(&path).await.map_err(file("opening", &path))?;
    let mut lines = BufReader::new(input).lines();
    let (mut number, mut count, mut ended) = (0u64, 0u64, false);
    while let Some(text) = lines.next_line().await.map_err(file("reading", &path))? {
        number += 1;
        if ended {
            return Err(wrong(format!("line {number}: comes after the end")));
        }
        let line: Line = serde_json::from_str(&text).map_err(|e| wrong(format!("line {number}: {e}")))?;
        match (number, line) {
            (1, Line::Header { format, version }) if format == FORMAT && version <= FORMAT_VERSION => {}
            (1, _) => return Err(wrong(format!("line 1: not a {FORMAT} copy of version {FORMAT_VERSION}"))),
            (_, Line::Row { table, columns }) => {
                let Some(index) = TABLES.iter().position(|t| t.name == table) else {
                    return Err(wrong(format!("line {number}: there is no table {table:?}")));
                };
                count += 1;
                if rows.send((index, columns)).await.is_err() {
                    return Ok(());
                }
            }
            (_, Line::End { rows: expected }) if expected == count => ended = true,
            (_, Line::End { rows: expected }) => {
                return Err(wrong(format!("{expected} rows were written, {count} are here")));
            }
            (_, Line::Header { .. }) => return Err(wrong(format!("line {number}: a second header"))),
        }
    }
    if ended { Ok(()) } else { Err(wrong("is cut off".into())) }
}

async fn write_line(
    out: &mut BufWriter<tokio::fs::File>,
    path: &Path,
    line: &Line,
) -> Result<(), RecordsError> {
    let mut bytes = serde_json::to_vec(line)
        .map_err(|source| RecordsError::Encoding { what: "a line of the backup", source })?;
    bytes.push(b'\n');
    out.write_all(&bytes).await.map_err(file("writing", path))
}

async fn joined(
    task: tokio::task::JoinHandle<Result<(), RecordsError>>,
    path: &Path,
) -> Result<(), RecordsError> {
    task.await.map_err(|e| RecordsError::Backup { path: path.to_owned(), message: e.to_string() })?
}
