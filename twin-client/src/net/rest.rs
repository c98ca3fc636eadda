//! What is asked over HTTP, and how its answers read: `{"code","message","data"}`.

use crate::model::{Fault, FaultKind, Role, history::STEP_S, quality::DAYS};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use shared::{
    command::CommandRequest,
    id::AlarmId,
    stream::PointName,
    time::{DAY_MS, Timestamp},
};

/// A request, without the server's address and the token.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpRequest {
    pub post: bool,
    pub path: String,
    pub body: Vec<u8>,
    pub bearer: Option<String>,
    pub if_none_match: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct HttpResponse {
    pub status: u16,
    pub etag: Option<String>,
    /// Seconds the server asks to wait before another try.
    pub retry_after_s: Option<i64>,
    pub body: Vec<u8>,
}

/// One thing to ask for.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    Login {
        user: String,
        password: String,
    },
    Refresh {
        refresh_token: String,
    },
    Logout {
        refresh_token: String,
    },
    /// Who the token belongs to.
    Me,
    Scene,
    Curve,
    Energy,
    Plan,
    Tracking,
    /// The last hour on the server's clock.
    History(PointName),
    /// Of the days up to this moment on the server's clock.
    Quality {
        now: Timestamp,
    },
    Acknowledge(AlarmId),
    PlanNow,
    Command(Box<CommandRequest>),
}

/// How long an answer may take; a large park's scene over a slow line takes longest.
const ANSWER_WITHIN_MS: i64 = 15_000;
const SCENE_WITHIN_MS: i64 = 60_000;
/// Devices of today, the worst first: more than a panel shows.
const QUALITY_ROWS: usize = 50;

impl Ask {
    /// After this long nobody waits for the answer any more.
    pub fn patience_ms(&self) -> i64 {
        if *self == Ask::Scene { SCENE_WITHIN_MS } else { ANSWER_WITHIN_MS }
    }

    /// Whether this is how tokens are had, rather than what they are for.
    pub fn is_login(&self) -> bool {
        matches!(self, Ask::Login { .. } | Ask::Refresh { .. })
    }

    pub fn request(&self, bearer: Option<&str>, scene_etag: Option<&str>) -> HttpRequest {
        let get = |path: String| HttpRequest {
            post: false,
            path,
            body: Vec::new(),
            bearer: bearer.map(str::to_owned),
            if_none_match: None,
        };
        let post = |path: &str, body: serde_json::Value| HttpRequest {
            post: true,
            body: body.to_string().into_bytes(),
            ..get(path.to_owned())
        };
        match self {
            Ask::Login { user, password } => HttpRequest {
                bearer: None,
                ..post("/api/v1/auth/login", json!({ "username": user, "password": password }))
            },
            Ask::Refresh { refresh_token } => HttpRequest {
                bearer: None,
                ..post("/api/v1/auth/refresh", json!({ "refreshToken": refresh_token }))
            },
            Ask::Logout { refresh_token } => HttpRequest {
                bearer: None,
                ..post("/api/v1/auth/logout", json!({ "refreshToken": refresh_token }))
            },
            Ask::Me => get("/api/v1/me".into()),
            Ask::Scene => HttpRequest {
                if_none_match: scene_etag.map(|tag| format!("\"{tag}\"")),
                ..get("/api/v1/scene".into())
            },
            Ask::Curve => get("/api/v1/energy/curve".into()),
            Ask::Energy => get("/api/v1/energy/summary".into()),
            Ask::Plan => get("/api/v1/vpp/plan".into()),
            Ask::Tracking => get("/api/v1/vpp/tracking".into()),
            Ask::History(PointName { device, measurement }) => {
                get(format!("/api/v1/devices/{device}/history?measurement={measurement}&step={STEP_S}"))
            }
            Ask::Quality { now } => {
                let from = now.0 - (DAYS - 1) * DAY_MS;
                get(format!("/api/v1/quality?from={from}&limit={QUALITY_ROWS}"))
            }
            Ask::Acknowledge(id) => post(&format!("/api/v1/alarms/{id}/acknowledge"), json!({})),
            Ask::PlanNow => post("/api/v1/vpp/plan", json!({})),
            Ask::Command(request) => {
                post("/api/v1/device/control", serde_json::to_value(request).unwrap_or_default())
            }
        }
    }
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
struct Failure {
    code: String,
    message: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    pub access_token: String,
    #[serde(default)]
    pub refresh_token: Option<String>,
    /// Seconds the access token lives.
    #[serde(default)]
    pub expires_in: Option<i64>,
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub role: Option<Role>,
}

/// Who a token belongs to.
#[derive(Debug, Deserialize)]
pub struct Me {
    pub name: String,
    pub role: Role,
}

#[derive(Debug, Deserialize)]
pub struct HistoryAnswer {
    /// Milliseconds and value; `null` where nothing was measured in a step.
    pub points: Vec<(i64, Option<f64>)>,
}

impl HttpResponse {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The answer's `data`, or what went wrong.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        if !self.is_success() {
            return Err(self.fault());
        }
        serde_json::from_slice::<Envelope<T>>(&self.body)
            .map(|e| e.data)
            .map_err(|e| FaultKind::Unreadable.with(e.to_string()))
    }

    /// The server's own words about a failure, or the status.
    pub fn fault(&self) -> Fault {
        let said = serde_json::from_slice::<Failure>(&self.body).ok();
        let code = said.as_ref().map_or("", |f| f.code.as_str());
        let kind = match (self.status, code) {
            (401, "INVALID_CREDENTIALS") => FaultKind::WrongPassword,
            (401, _) => FaultKind::TokenOver,
            (403, _) => FaultKind::NotAllowed,
            (429, "TOO_MANY_ATTEMPTS") => FaultKind::TooManyAttempts,
            (429 | 503, _) => FaultKind::Busy,
            (500.., _) => FaultKind::ServerFault,
            _ => FaultKind::Refused,
        };
        kind.with(match &said {
            Some(f) => format!("{} ({})", f.message, f.code),
            None => format!("HTTP {}", self.status),
        })
    }
}

/// An entity tag without quotes and weakness mark, as the stream's welcome names it.
pub fn bare_etag(header: &str) -> String {
    header.trim().trim_start_matches("W/").trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_a_kind_and_the_servers_words() {
        let answer = |status, body: &str| HttpResponse { status, body: body.into(), ..Default::default() };
        let said = |code: &str| format!(r#"{{"code":"{code}","message":"said so","traceId":"1"}}"#);
        for (status, code, kind) in [
            (401, "INVALID_CREDENTIALS", FaultKind::WrongPassword),
            (401, "TOKEN_EXPIRED", FaultKind::TokenOver),
            (403, "FORBIDDEN", FaultKind::NotAllowed),
            (404, "UNKNOWN_ALARM", FaultKind::Refused),
            (429, "TOO_MANY_ATTEMPTS", FaultKind::TooManyAttempts),
            (429, "BUSY", FaultKind::Busy),
            (500, "INTERNAL", FaultKind::ServerFault),
            (503, "STORAGE_FAILED", FaultKind::Busy),
        ] {
            let refused = answer(status, &said(code)).data::<Tokens>().unwrap_err();
            assert_eq!(refused, kind.with(format!("said so ({code})")));
        }
        assert_eq!(answer(502, "<html>").fault(), FaultKind::ServerFault.with("HTTP 502"));
        assert_eq!(answer(200, "{}").data::<Tokens>().unwrap_err().kind, FaultKind::Unreadable);
    }

    #[test]
    fn a_login_says_who_it_is_how_long_it_lasts_and_what_one_may_do() {
        let body = r#"{"code":"SUCCESS","message":"","data":{"accessToken":"a","refreshToken":"r",
            "tokenType":"Bearer","expiresIn":900,"username":"lin","role":"operator"}}"#;
        let answer = HttpResponse { status: 200, body: body.into(), ..Default::default() };
        let tokens = answer.data::<Tokens>().unwrap();
        assert_eq!(
            (tokens.expires_in, tokens.username.as_deref(), tokens.role),
            (Some(900), Some("lin"), Some(Role::Operator))
        );
    }

    #[test]
    fn etags_compare_bare() {
        for header in ["\"abc\"", "W/\"abc\"", "abc"] {
            assert_eq!(bare_etag(header), "abc");
        }
    }
}
