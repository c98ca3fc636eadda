//! Which device a request comes from.

use super::answer::Problem;
use axum::http::{HeaderMap, StatusCode, header};
use serde::{
    Deserializer as _,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use shared::{id::DeviceId, telemetry::RefusalCode};
use std::fmt;
use twin::Twin;

pub(super) const DEVICE_HEADER: &str = "x-device-id";

/// The bearer secret of a request; asked for before its body is read.
pub(super) fn secret(headers: &HeaderMap) -> Result<String, Problem> {
    let value = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let secret = value.and_then(|v| {
        let (scheme, secret) = v.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
    });
    match secret {
        Some(secret) if !secret.is_empty() => Ok(secret.to_owned()),
        _ => Err(Problem::unauthenticated("send the device secret as Authorization: Bearer <secret>")),
    }
}

/// The device a request says it comes from: its header, else the first item of its body.
pub(super) fn named_device(headers: &HeaderMap, body: &[u8]) -> Result<String, Problem> {
    if let Some(id) = headers.get(DEVICE_HEADER) {
        return id.to_str().map(str::to_owned).map_err(|_| {
            Problem::new(StatusCode::BAD_REQUEST, RefusalCode::WrongType.as_str(), "X-Device-Id is not text")
        });
    }
    if let Some(id) = first_device_id(body) {
        return Ok(id);
    }
    Err(match serde_json::from_slice::<IgnoredAny>(body) {
        Err(error) => {
            let at = format!("line {} column {}", error.line(), error.column());
            Problem::new(StatusCode::BAD_REQUEST, RefusalCode::MalformedJson.as_str(), error.to_string())
                .with_details(serde_json::json!({ "field": at }))
        }
        Ok(_) => Problem::new(
            StatusCode::BAD_REQUEST,
            RefusalCode::MissingField.as_str(),
            "no deviceId in the first item, and no X-Device-Id header",
        )
        .with_details(serde_json::json!({ "field": "deviceId" })),
    })
}

pub(super) fn authenticate(twin: &Twin, named: &str, secret: &str) -> Result<DeviceId, Problem> {
    // One answer for a device that is not there and a secret that is wrong: ids are not for guessing.
    twin.authenticate(named, secret)
        .ok_or_else(|| Problem::unauthenticated("no such device with this secret"))
}

/// The `deviceId` of an object, or of an array's first object, reading no further than that: a body is not worth parsing
/// before its sender is known.
fn first_device_id(body: &[u8]) -> Option<String> {
    let mut found = None;
    let mut json = serde_json::Deserializer::from_slice(body);
    // Stopping early is an error to the deserializer; what was found stands.
    let _ = json.deserialize_any(FirstItem { found: &mut found });
    found
}

struct FirstItem<'a> {
    found: &'a mut Option<String>,
}

impl<'de> Visitor<'de> for FirstItem<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            if key == "deviceId" {
                *self.found = map.next_value().ok();
                return Ok(());
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        items.next_element_seed(self).map(|_| ())
    }
}

impl<'de> DeserializeSeed<'de> for FirstItem<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_item_names_the_device() {
        for (body, expected) in [
            (r#"{"deviceId":"a","timestamp":1}"#, Some("a")),
            (r#"{"data":{"deviceId":"no"},"deviceId":"b"}"#, Some("b")),
            (r#" [ {"timestamp":1,"deviceId":"c"}, {"deviceId":"d"} ]"#, Some("c")),
            (r#"[{"deviceId":"e"}, this is never read"#, Some("e")),
            (r#"{"\u0064eviceId":"f"}"#, Some("f")),
            (r#"[{},{"deviceId":"g"}]"#, None),
            (r#"[[{"deviceId":"h"}]]"#, None),
            (r#"{"deviceId":7}"#, None),
            ("7", None),
            ("", None),
            ("{", None),
        ] {
            assert_eq!(first_device_id(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn a_secret_is_a_bearer_token() {
        let headers = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            headers
        };
        assert_eq!(secret(&headers("Bearer s3")).unwrap(), "s3");
        assert_eq!(secret(&headers("bearer  s3 ")).unwrap(), "s3");
        for bad in ["Basic YTpi", "Bearer", "Bearer ", ""] {
            assert_eq!(secret(&headers(bad)).unwrap_err().status, StatusCode::UNAUTHORIZED, "{bad}");
        }
        assert!(secret(&HeaderMap::new()).is_err());
    }
}
