//! Who may write telemetry in bulk, and of which devices: the one place that turns credentials into a [`Writer`].
//!
//! | presented | writes |
//! | --- | --- |
//! | a device's secret, with its id in `X-Device-Id` or before it as `{id}:{secret}` | its own |
//! | an access token of an operator or administrator | every device's |
//! | an API key that may write | what is in its scope |
//!
//! All of them as `Authorization: Bearer …` or, as programs that write to InfluxDB send it, `Authorization: Token …`.

use super::{answer::Problem, identify};
use crate::clock;
use access::{Credential, KeyFault, KeyRing, Pass, Right, credential};
use axum::{
    extract::{ConnectInfo, Request},
    http::{HeaderMap, StatusCode, header},
};
use shared::{
    id::DeviceId,
    telemetry::{Refusal, RefusalCode},
};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};
use twin::{Sender, Twin};

/// Asks who holds a person's access token: their name, when they may write telemetry.
pub type PersonCheck = Arc<dyn Fn(&str) -> Result<String, PersonRefusal> + Send + Sync>;

/// Why a token lets nobody write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PersonRefusal {
    /// Not a token, or not one any more.
    #[error("{0}")]
    Unauthenticated(String),
    /// Somebody's, who may not write.
    #[error("{0}")]
    Forbidden(String),
}

/// Knows the devices' secrets and the API keys, and asks about people.
#[derive(Clone)]
pub struct Writers {
    twin: Twin,
    keys: KeyRing,
    people: PersonCheck,
}

/// Whoever proved to be allowed to write.
#[derive(Clone)]
pub(super) enum Writer {
    Device(DeviceId),
    /// By name, for the log.
    Person(String),
    Key(Pass),
}

impl Writer {
    /// As whom the twin is to take what it hands in.
    pub(super) fn sender(&self) -> Sender {
        match self {
            Writer::Device(device) => Sender::Device(device.clone()),
            Writer::Person(_) | Writer::Key(_) => Sender::Trusted,
        }
    }

    /// Refuses what is not in a key's scope, in one way whether the device is there or not: ids are not for guessing.
    pub(super) fn require(&self, twin: &Twin, device: &str, measurement: &str) -> Result<(), Refusal> {
        let Writer::Key(pass) = self else { return Ok(()) };
        let entry = twin.registry().get(device);
        // A key of the whole park may be told that there is no such thing.
        let is_meant = entry
            .map_or_else(|| pass.key().scope.is_everything(), |entry| pass.may(entry.facts(), measurement));
        if is_meant {
            return Ok(());
        }
        let message = format!("{device} {measurement} is not in the scope of this key: {}", pass.key().scope);
        Err(Refusal::new(RefusalCode::NotYourDevice, "device", message))
    }

    /// Whether it may go on: asked before each batch of a long upload.
    pub(super) fn still_good(&self) -> Result<(), Problem> {
        match self {
            Writer::Key(pass) => pass.still_good(clock::now()).map_err(|fault| refused(&fault)),
            Writer::Device(_) | Writer::Person(_) => Ok(()),
        }
    }

    /// So many points became durable.
    pub(super) fn wrote(&self, points: u64) {
        if let Writer::Key(pass) = self
            && points > 0
        {
            pass.wrote(points, clock::now());
        }
    }

    /// So many bytes of a body came.
    pub(super) fn received(&self, bytes: u64) {
        if let Writer::Key(pass) = self
            && bytes > 0
        {
            pass.received(bytes, clock::now());
        }
    }

    /// Whether there is such a device and it may write of it.
    pub(super) fn may_mean(&self, twin: &Twin, device: &str) -> bool {
        let entry = twin.registry().get(device);
        entry.is_some_and(|entry| match self {
            Writer::Device(own) => entry.id() == own,
            Writer::Person(_) => true,
            Writer::Key(pass) => pass.may_see(entry.facts()),
        })
    }

    /// The device meant where none is named.
    pub(super) fn own(&self) -> Option<&DeviceId> {
        match self {
            Writer::Device(device) => Some(device),
            Writer::Person(_) | Writer::Key(_) => None,
        }
    }
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Writer::Device(device) => write!(f, "device {device}"),
            Writer::Person(name) => write!(f, "user {name}"),
            Writer::Key(pass) => write!(f, "API key {}", pass.key().id),
        }
    }
}

impl Writers {
    pub fn new(twin: Twin, keys: KeyRing, people: PersonCheck) -> Self {
        Self { twin, keys, people }
    }

    /// Who a request's headers say and prove it comes from.
    pub(super) fn of(&self, request: &Request) -> Result<Writer, Problem> {
        let headers = request.headers();
        if matches!(credential(headers), Ok(Credential::Key(_))) {
            let admitted = self.keys.admit_request(headers, peer(request), Right::Write, clock::now());
            return admitted.map(Writer::Key).map_err(|fault| refused(&fault));
        }
        let token = presented(headers)?;
        if let Some((device, secret)) = device_and_secret(headers, token)? {
            return identify::authenticate(&self.twin, device, secret).map(Writer::Device);
        }
        match (self.people)(token) {
            Ok(name) => Ok(Writer::Person(name)),
            Err(PersonRefusal::Unauthenticated(message)) => Err(Problem::unauthenticated(message)),
            Err(PersonRefusal::Forbidden(message)) => {
                Err(Problem::new(StatusCode::FORBIDDEN, "FORBIDDEN", message))
            }
        }
    }

    /// The same where only a device will do.
    pub(super) fn device(&self, headers: &HeaderMap) -> Result<(DeviceId, String), Problem> {
        let Some((device, secret)) = device_and_secret(headers, presented(headers)?)? else {
            let message = "say which device: X-Device-Id, or Authorization: Bearer <device id>:<secret>";
            return Err(Problem::unauthenticated(message));
        };
        Ok((identify::authenticate(&self.twin, device, secret)?, secret.to_owned()))
    }
}

/// Whoever opened the connection.
fn peer(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip())
}

fn refused(fault: &KeyFault) -> Problem {
    let retry_after_s = fault.retry_after_s().map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX));
    Problem { retry_after_s, ..Problem::new(fault.status(), fault.code(), fault.to_string()) }
}

/// What stands behind `Bearer` or `Token`.
fn presented(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| {
        let (scheme, token) = value.trim().split_once(' ')?;
        let is_known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
        is_known.then(|| token.trim()).filter(|token| !token.is_empty())
    });
    match token {
        // Whoever checks one of two and whoever uses the other would not mean the same.
        Some(_) if values.next().is_some() => Err(Problem::unauthenticated("send one Authorization header")),
        Some(token) => Ok(token),
        None => Err(Problem::unauthenticated(
            "send Authorization: Bearer <token> or Token <token>: a device's secret, an API key or an access token",
        )),
    }
}

/// A device's id and what is presented as its secret; `None` when it must be a person's token. Secrets hold no colon, ids may.
fn device_and_secret<'a>(
    headers: &'a HeaderMap,
    token: &'a str,
) -> Result<Option<(&'a str, &'a str)>, Problem> {
    match headers.get(identify::DEVICE_HEADER) {
        None => Ok(token.rsplit_once(':')),
        Some(id) => {
            let id = id.to_str().map_err(|_| {
                Problem::new(StatusCode::BAD_REQUEST, "WRONG_TYPE", "X-Device-Id is not text")
            })?;
            let secret = token.strip_prefix(id).and_then(|rest| rest.strip_prefix(':')).unwrap_or(token);
            Ok(Some((id, secret)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_token_names_a_device_or_a_person() {
        for (sent, expected) in [
            (&[("authorization", "Bearer jwt.x.y")][..], None),
            (&[("authorization", "Token pv-01:s3")], Some(("pv-01", "s3"))),
            (&[("authorization", "bearer  a:b:s3 ")], Some(("a:b", "s3"))),
            (&[("authorization", "Bearer s3"), ("x-device-id", "pv-01")], Some(("pv-01", "s3"))),
            (&[("authorization", "Token pv-01:s3"), ("x-device-id", "pv-01")], Some(("pv-01", "s3"))),
        ] {
            let headers = headers(sent);
            assert_eq!(
                device_and_secret(&headers, presented(&headers).unwrap()).unwrap(),
                expected,
                "{sent:?}"
            );
        }
        for sent in [
            &[][..],
            &[("authorization", "Basic YTpi")],
            &[("authorization", "Token")],
            &[("authorization", "Token ")],
            &[("authorization", "Token a:b"), ("authorization", "Token c:d")],
        ] {
            assert_eq!(presented(&headers(sent)).unwrap_err().status, StatusCode::UNAUTHORIZED, "{sent:?}");
        }
    }
}
