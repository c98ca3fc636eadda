//! What the records promise, tried on both databases.
//!
//! PostgreSQL runs where `PARK_TEST_POSTGRES` holds a URL; each case gets a schema of its own there.

// Helpers of tests are not tests to clippy; a failed step here is a failed test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use records::{DeviceRecord, Records, Rotation};
use serde_json::json;
use shared::{
    alarm::{Alarm, AlarmKind, Severity},
    command::{CommandRecord, CommandRequest, CommandStatus, Issuer},
    telemetry::{DeviceEvent, Origin},
    text::Text,
    time::Timestamp,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

const NOW: Timestamp = Timestamp(1_780_000_000_000);
const HOUR: i64 = 3_600_000;

/// A place for databases that are made and forgotten together.
struct Place {
    folder: tempfile::TempDir,
    /// The server's URL; absent for SQLite.
    postgres: Option<String>,
    schemas: std::sync::Mutex<Vec<String>>,
}

impl Place {
    fn sqlite() -> Place {
        Place { folder: tempfile::tempdir().unwrap(), postgres: None, schemas: Default::default() }
    }

    fn postgres() -> Option<Place> {
        match std::env::var("PARK_TEST_POSTGRES") {
            Ok(url) => Some(Place { postgres: Some(url), ..Place::sqlite() }),
            Err(_) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
                panic!("PARK_TEST_POSTGRES is not set: nothing may be skipped here")
            }
            Err(_) => {
                println!("skipped: PARK_TEST_POSTGRES is not set");
                None
            }
        }
    }

    /// The address of a fresh, empty database.
    async fn fresh_url(&self) -> String {
        let name = format!("test_{}", uuid::Uuid::now_v7().simple());
        match &self.postgres {
            None => format!("sqlite://{}", self.folder.path().join(format!("{name}.db")).display()),
            Some(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA {name}")))
                    .execute(&mut connection)
                    .await
                    .unwrap();
                let separator = if url.contains('?') { '&' } else { '?' };
                let fresh = format!("{url}{separator}options[search_path]={name}");
                self.schemas.lock().unwrap().push(name);
                fresh
            }
        }
    }

    async fn fresh(&self) -> Records {
        Records::open(&self.fresh_url().await).await.unwrap()
    }

    async fn forget(self) {
        let schemas = std::mem::take(&mut *self.schemas.lock().unwrap());
        if let Some(url) = &self.postgres {
            let mut connection = PgConnection::connect(url).await.unwrap();
            for name in schemas {
                sqlx::raw_sql(AssertSqlSafe(format!("DROP SCHEMA {name} CASCADE")))
                    .execute(&mut connection)
                    .await
                    .unwrap();
            }
        }
    }
}

macro_rules! on_both_databases {
    ($($case:ident,)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let place = crate::Place::sqlite();
                super::$case(&place).await;
                place.forget().await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let Some(place) = crate::Place::postgres() else { return };
                super::$case(&place).await;
                place.forget().await;
            })*
        }
    };
}

mod copies;
mod others;
mod people;
mod things;

fn device(id: &str) -> DeviceRecord {
    DeviceRecord {
        id: id.parse().unwrap(),
        model: "storage".parse().unwrap(),
        name: Text::new("储能", "storage"),
        origin: Origin::Simulated,
        manufacturer: Some("Maker".into()),
        capacity_kw: Some(1_000.1),
        location: Some([1.5, -2.25, 0.0]),
        installed_on: Some("2026-01-31".into()),
        building: None,
        feeder: Some("bus-1".parse().unwrap()),
        registered_at: NOW,
    }
}

fn command(id: &str, device: &str, queued_at: i64) -> CommandRecord {
    CommandRecord {
        request: CommandRequest {
            device_id: device.parse().unwrap(),
            command_id: id.parse().unwrap(),
            command: "setPower".into(),
            parameters: json!({"power": 50.1, "duration": 3600, "priority": "high"})
                .as_object()
                .unwrap()
                .clone(),
            timestamp: NOW,
            expires: None,
        },
        issuer: Issuer::User { name: "lin".into() },
        status: CommandStatus::Queued,
        queued_at: Timestamp(queued_at),
        sent_at: None,
        attempts: 0,
        ended_at: None,
        reason: None,
        result: None,
        late_ack: None,
    }
}

fn alarm(id: &str, raised_at: i64) -> Alarm {
    Alarm {
        id: id.parse().unwrap(),
        kind: AlarmKind::OutOfRange,
        detail: Some("soc".into()),
        device_id: Some("bess-01".parse().unwrap()),
        severity: Severity::Major,
        text: Text::new("越限", "out of range"),
        value: Some(120.3),
        raised_at: Timestamp(raised_at),
        cleared_at: None,
        acknowledged_at: None,
        acknowledged_by: None,
    }
}

fn event(device: &str, id: &str, at: i64) -> DeviceEvent {
    DeviceEvent {
        device_id: device.parse().unwrap(),
        timestamp: Timestamp(at),
        id: id.into(),
        kind: "overTemperature".into(),
        severity: Severity::Warning,
        description: "温度过高 \0 \u{1f525}".into(),
    }
}

async fn rotated(records: &Records, token: &str) -> String {
    match records.rotate_refresh_token(token, NOW, HOUR).await.unwrap() {
        Rotation::Rotated { token, .. } => token,
        other => panic!("{other:?}"),
    }
}
