//! What is asked over HTTP, and how its answers read: `{"code","message","data"}`.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use shared::{command::CommandRequest, id::AlarmId, stream::PointName, time::Timestamp};

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
    pub body: Vec<u8>,
}

/// One thing to ask for.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    Login { user: String, password: String },
    Refresh { refresh_token: String },
    Scene,
    Curve,
    Energy,
    Plan,
    Tracking,
    History { point: PointName, from: Timestamp, to: Timestamp },
    Acknowledge(AlarmId),
    PlanNow,
    Command(Box<CommandRequest>),
}

impl Ask {
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
            Ask::Scene => HttpRequest {
                if_none_match: scene_etag.map(|tag| format!("\"{tag}\"")),
                ..get("/api/v1/scene".into())
            },
            Ask::Curve => get("/api/v1/energy/curve".into()),
            Ask::Energy => get("/api/v1/energy/summary".into()),
            Ask::Plan => get("/api/v1/vpp/plan".into()),
            Ask::Tracking => get("/api/v1/vpp/tracking".into()),
            Ask::History { point, from, to } => get(format!(
                "/api/v1/devices/{}/history?measurement={}&from={}&to={}&step=20",
                point.device, point.measurement, from.0, to.0
            )),
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

    /// The answer's `data`, or a sentence that says what went wrong.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, String> {
        if !self.is_success() {
            return Err(self.failure());
        }
        serde_json::from_slice::<Envelope<T>>(&self.body)
            .map(|e| e.data)
            .map_err(|e| format!("the server's answer does not read: {e}"))
    }

    /// The server's own words about a failure, or the status.
    pub fn failure(&self) -> String {
        match serde_json::from_slice::<Failure>(&self.body) {
            Ok(f) => format!("{} ({})", f.message, f.code),
            Err(_) => format!("HTTP {}", self.status),
        }
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
    fn a_failure_is_told_in_the_servers_words() {
        let answer = |status, body: &str| HttpResponse { status, etag: None, body: body.into() };
        let refused = answer(403, r#"{"code":"FORBIDDEN","message":"operators only","traceId":"1"}"#);
        assert_eq!(refused.data::<Tokens>().unwrap_err(), "operators only (FORBIDDEN)");
        assert_eq!(answer(502, "<html>").data::<Tokens>().unwrap_err(), "HTTP 502");
        let tokens = answer(200, r#"{"code":"SUCCESS","message":"","data":{"accessToken":"a"}}"#);
        assert_eq!(tokens.data::<Tokens>().unwrap().access_token, "a");
        assert!(answer(200, "{}").data::<Tokens>().unwrap_err().contains("does not read"));
    }

    #[test]
    fn etags_compare_bare() {
        for header in ["\"abc\"", "W/\"abc\"", "abc"] {
            assert_eq!(bare_etag(header), "abc");
        }
    }
}
