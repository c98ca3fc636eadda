//! A way in for this machine's own commands: a running server makes its backup and looks after its telemetry itself.
//!
//! Only who can read the data folder can use it: the token lies there in a 0600 file.

use crate::history_care::{Line, Task, Work};
use anyhow::{Context, bail};
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
    routing::post,
};
use fs4::fs_std::FileExt;
use futures::{Stream, StreamExt};
use history::History;
use records::Records;
use serde::{Deserialize, Serialize};
use shared::scene::Scene;
use std::{
    convert::Infallible,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::task::AbortOnDropHandle;

pub(crate) const TOKEN_FILE: &str = "control-token";
/// The lock and the name of who has it: see [`crate::data_folder::DataFolder::hold`].
pub(crate) const HOLDER_FILE: &str = "holder";
pub(crate) const BACKUP_PATH: &str = "/internal/backup";
pub(crate) const HISTORY_PATH: &str = "/internal/history";

/// Whether another process holds the folder at this moment: only then does `holder` name somebody who may be asked.
pub(crate) fn is_held(data: &Path) -> bool {
    File::open(data.join(HOLDER_FILE))
        .is_ok_and(|lock| matches!(FileExt::try_lock_exclusive(&lock), Ok(false)))
}

/// Asks the server that holds the folder, and gives its answer when it is a success.
pub(crate) async fn ask_server(
    data: &Path,
    path: &str,
    request: &impl Serialize,
) -> anyhow::Result<reqwest::Response> {
    let holder = std::fs::read_to_string(data.join(HOLDER_FILE))?;
    let address = holder
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .with_context(|| format!("the data folder is held by {}, which gives no address", holder.trim()))?;
    let token = std::fs::read_to_string(data.join(TOKEN_FILE)).context("reading the control token")?;
    // The server is on this machine, and the token is no proxy's business.
    let response = reqwest::Client::builder()
        .no_proxy()
        .build()?
        .post(format!("{address}{path}"))
        .bearer_auth(token.trim())
        .json(request)
        .send()
        .await
        .with_context(|| format!("asking the server at {address}"))?;
    if !response.status().is_success() {
        bail!("the server at {address} answered: {}", response.text().await?);
    }
    Ok(response)
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BackupRequest {
    pub(crate) into: PathBuf,
}

struct Control {
    token: String,
    history: History,
    records: Records,
    scene: Arc<Scene>,
    /// Held while telemetry is looked after: two exports would write into one place.
    caring: Arc<Mutex<()>>,
}

impl Control {
    fn refusal(&self, headers: &HeaderMap) -> Option<(StatusCode, String)> {
        let given = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let expected = format!("Bearer {}", self.token);
        let fits = bool::from(subtle::ConstantTimeEq::ct_eq(given.as_bytes(), expected.as_bytes()));
        (!fits).then(|| (StatusCode::UNAUTHORIZED, "the control token does not fit".into()))
    }
}

pub(crate) fn router(token: String, history: History, records: Records, scene: Arc<Scene>) -> Router {
    let control = Control { token, history, records, scene, caring: Arc::default() };
    Router::new()
        .route(BACKUP_PATH, post(make_backup))
        .route(HISTORY_PATH, post(look_after))
        .with_state(Arc::new(control))
}

async fn make_backup(
    State(control): State<Arc<Control>>,
    headers: HeaderMap,
    Json(request): Json<BackupRequest>,
) -> (StatusCode, String) {
    if let Some(refusal) = control.refusal(&headers) {
        return refusal;
    }
    match crate::backup::copy_stores(&control.history, &control.records, &request.into).await {
        Ok(()) => (StatusCode::OK, String::new()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")),
    }
}

/// Answers at once and then tells line by line: what is asked for may take longer than a request may.
async fn look_after(
    State(control): State<Arc<Control>>,
    headers: HeaderMap,
    Json(task): Json<Task>,
) -> Response {
    if let Some(refusal) = control.refusal(&headers) {
        return refusal.into_response();
    }
    let Ok(caring) = Arc::clone(&control.caring).try_lock_owned() else {
        return (StatusCode::CONFLICT, "it is looking after its telemetry already").into_response();
    };
    let (lines, told) = mpsc::unbounded_channel();
    let working = tokio::spawn(async move {
        let Control { history, records, scene, .. } = &*control;
        let work = Work { history, records, scene: Some(scene) };
        let tell = lines.clone();
        let done = work.run(&task, &mut |line| drop(tell.send(Line::Told(line)))).await;
        let last = match done {
            Ok(done) => Line::Done(done),
            Err(error) => Line::Failed(format!("{error:#}")),
        };
        drop(caring);
        // Whoever asked may be gone.
        let _ = lines.send(last);
    });
    Body::from_stream(lines_of(told, AbortOnDropHandle::new(working))).into_response()
}

/// The lines as JSON. The work ends with whoever listens: it can be taken up again.
fn lines_of(
    told: mpsc::UnboundedReceiver<Line>,
    working: AbortOnDropHandle<()>,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    UnboundedReceiverStream::new(told).map(move |line| {
        let _ = &working;
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        Ok(Bytes::from(bytes))
    })
}
