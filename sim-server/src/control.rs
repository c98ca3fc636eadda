//! A way in for this machine's own commands: a backup of a running server.
//!
//! Only who can read the data folder can use it: the token lies there in a 0600 file.

use axum::{Json, Router, extract::State, http::StatusCode, http::header::AUTHORIZATION, routing::post};
use history::History;
use records::Records;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc};

pub(crate) const TOKEN_FILE: &str = "control-token";
pub(crate) const BACKUP_PATH: &str = "/internal/backup";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BackupRequest {
    pub(crate) into: PathBuf,
}

struct Control {
    token: String,
    history: History,
    records: Records,
}

pub(crate) fn router(token: String, history: History, records: Records) -> Router {
    Router::new().route(BACKUP_PATH, post(make_backup)).with_state(Arc::new(Control {
        token,
        history,
        records,
    }))
}

async fn make_backup(
    State(control): State<Arc<Control>>,
    headers: axum::http::HeaderMap,
    Json(request): Json<BackupRequest>,
) -> (StatusCode, String) {
    let given = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let expected = format!("Bearer {}", control.token);
    if !bool::from(subtle::ConstantTimeEq::ct_eq(given.as_bytes(), expected.as_bytes())) {
        return (StatusCode::UNAUTHORIZED, "the control token does not fit".into());
    }
    match crate::backup::copy_stores(&control.history, &control.records, &request.into).await {
        Ok(()) => (StatusCode::OK, String::new()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")),
    }
}
