//! Reading requests: each fault is answered with the name of the field at fault.

use crate::ApiError;
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{StatusCode, request::Parts},
};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Visitor},
};
use shared::time::Timestamp;
use std::{fmt, str::FromStr};

/// The most bytes of a body that are read, for the answer that refuses a larger one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimit(pub(crate) usize);

/// A JSON body. Its content type does not matter: a body is JSON or it is refused.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let limit = request.extensions().get::<BodyLimit>().copied();
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            match (rejection.status(), limit) {
                (StatusCode::PAYLOAD_TOO_LARGE, Some(BodyLimit(limit))) => ApiError::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "TOO_LARGE",
                    format!("the body is larger than the {limit} bytes that are taken"),
                ),
                (status, _) => ApiError::new(status, "BODY_UNREADABLE", rejection.body_text()),
            }
        })?;
        parse_json(&bytes).map(Body)
    }
}

pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        match inner.classify() {
            serde_json::error::Category::Data => wrong_value(&path, &inner.to_string()),
            _ => malformed(&inner),
        }
    })?;
    reader.end().map_err(|error| malformed(&error))?;
    Ok(parsed)
}

fn malformed(error: &serde_json::Error) -> ApiError {
    let place = format!("line {} column {}", error.line(), error.column());
    ApiError::field("MALFORMED_JSON", place, format!("the body is not JSON: {error}"))
}

/// The query string; a parameter that is not known is refused, since it would otherwise be silently without effect.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        parse_query(parts.uri.query().unwrap_or_default()).map(Query)
    }
}

pub(crate) fn parse_query<T: DeserializeOwned>(text: &str) -> Result<T, ApiError> {
    let pairs = serde_urlencoded::Deserializer::new(form_pairs(text));
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let path = error.path().to_string();
        wrong_value(&path, &error.into_inner().to_string())
    })
}

fn form_pairs(text: &str) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(text.as_bytes())
}

/// Turns serde's sentence into a code and the field it is about.
fn wrong_value(path: &str, message: &str) -> ApiError {
    // serde_json adds a place that says less than the path does.
    let message = message.split(" at line ").next().unwrap_or(message);
    let parent = if path == "." || path == "?" { "" } else { path };
    let child = |name: &str| {
        // The path of an unknown field may or may not end in the field itself.
        if parent.is_empty() {
            name.to_owned()
        } else if parent.rsplit('.').next() == Some(name) {
            parent.to_owned()
        } else {
            format!("{parent}.{name}")
        }
    };
    let quoted = message.split('`').nth(1).unwrap_or_default();
    for (start, code) in [
        ("missing field", "MISSING_FIELD"),
        ("unknown field", "UNKNOWN_FIELD"),
        ("duplicate field", "DUPLICATE_FIELD"),
    ] {
        if message.starts_with(start) {
            return ApiError::field(code, child(quoted), message);
        }
    }
    ApiError::field(
        "WRONG_TYPE",
        parent,
        if parent.is_empty() { message.to_owned() } else { format!("{parent}: {message}") },
    )
}

/// An identifier in the path.
pub(crate) struct Id<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for Id<T>
where
    T: FromStr + Send,
    T::Err: fmt::Display,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let axum::extract::Path(text) = axum::extract::Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| ApiError::field("INVALID_VALUE", "path", rejection.body_text()))?;
        text.parse()
            .map(Id)
            .map_err(|error: T::Err| ApiError::field("INVALID_VALUE", "id", error.to_string()))
    }
}

/// An instant as RFC 3339 text or Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, JsonSchema)]
#[schemars(with = "TimeForms")]
pub(crate) struct Time(pub(crate) Timestamp);

/// How [`Time`] is described.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "Time")]
#[allow(dead_code)]
enum TimeForms {
    /// Unix milliseconds.
    Milliseconds(i64),
    /// RFC 3339.
    Text(String),
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;
        impl Visitor<'_> for Forms {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("RFC 3339 text or whole Unix milliseconds")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
                Timestamp::parse(text).map(Time).map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, ms: i64) -> Result<Time, E> {
                Ok(Time(Timestamp(ms)))
            }
            fn visit_u64<E: serde::de::Error>(self, ms: u64) -> Result<Time, E> {
                i64::try_from(ms).map(|ms| Time(Timestamp(ms))).map_err(|_| E::custom("too far ahead"))
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use serde_json::Value;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Outer {
        #[serde(default)]
        inner: Option<Inner>,
        at: Time,
        step: Option<u32>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[allow(dead_code)]
        power: f64,
    }

    async fn fault(error: ApiError) -> (String, String) {
        let body = axum::body::to_bytes(error.into_response().into_body(), 10_000).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        (body["code"].as_str().unwrap().into(), body["details"]["field"].as_str().unwrap().into())
    }

    #[tokio::test]
    async fn a_body_fault_names_its_field() {
        for (body, code, field) in [
            ("", "MALFORMED_JSON", "line 1 column 0"),
            ("{", "MALFORMED_JSON", "line 1 column 1"),
            (r#"{"at":1} x"#, "MALFORMED_JSON", "line 1 column 10"),
            ("[]", "WRONG_TYPE", ""),
            ("{}", "MISSING_FIELD", "at"),
            (r#"{"at":"soon"}"#, "WRONG_TYPE", "at"),
            (r#"{"at":1.5}"#, "WRONG_TYPE", "at"),
            (r#"{"at":18446744073709551615}"#, "WRONG_TYPE", "at"),
            (r#"{"at":1,"in":2}"#, "UNKNOWN_FIELD", "in"),
            (r#"{"at":1,"at":2}"#, "DUPLICATE_FIELD", "at"),
            (r#"{"at":1,"inner":{}}"#, "MISSING_FIELD", "inner.power"),
            (r#"{"at":1,"inner":{"power":"x"}}"#, "WRONG_TYPE", "inner.power"),
            (r#"{"at":1,"inner":{"power":1,"q":1}}"#, "UNKNOWN_FIELD", "inner.q"),
        ] {
            let error = parse_json::<Outer>(body.as_bytes()).unwrap_err();
            assert_eq!(fault(error).await, (code.to_owned(), field.to_owned()), "{body}");
        }
        assert!(parse_json::<Outer>(br#"{"at":"2026-01-01T00:00:00+08:00","inner":{"power":1}}"#).is_ok());
    }

    #[tokio::test]
    async fn a_query_fault_names_its_parameter() {
        for (query, code, field) in [
            ("", "MISSING_FIELD", "at"),
            ("at=soon", "WRONG_TYPE", "at"),
            ("at=1&step=x", "WRONG_TYPE", "step"),
            ("at=1&step=-1", "WRONG_TYPE", "step"),
            ("at=1&sneaky=1", "UNKNOWN_FIELD", "sneaky"),
            ("at=1&at=2", "DUPLICATE_FIELD", "at"),
        ] {
            let error = parse_query::<Outer>(query).unwrap_err();
            assert_eq!(fault(error).await, (code.to_owned(), field.to_owned()), "{query}");
        }
        let read: Outer = parse_query("at=1970-01-01T00:00:01Z&step=60").unwrap();
        assert_eq!((read.at, read.step, read.inner.is_none()), (Time(Timestamp(1000)), Some(60), true));
    }
}
