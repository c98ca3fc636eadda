//! The live stream between client and server: one WebSocket at `/api/v1/stream`.
//!
//! Sub-protocols `park.v1+postcard` (binary frames) and `park.v1+json` (text frames) carry the same messages.
//! The first message is a [`Hello`], since a browser cannot set headers; the server answers with a [`Welcome`] and from
//! then on only [`ClientMessage`] and [`ServerMessage`] travel. Values are conflated to the newest per point: a slow
//! client misses intermediate values, never the latest.
//!
//! A client that was away says until when it has everything ([`ClientMessage::Resume`]) and is told what came meanwhile before the stream
//! goes on, so that its curves have no gap. Nothing is missing that was measured after that moment and stored by the one that
//! [`ServerMessage::Resumed`] names, however late it came; of more than [`RESUME_READINGS`] those are sent that keep the curve. From then on
//! values are live: the newest of each point. What is stored later and is older than its point's newest value is not told; the history has it.
//!
//! Points are named once, in [`ServerMessage::Subscribed`], and by index afterwards.
//!
//! Enums here are externally tagged: postcard is not self-describing and cannot read any other tagging.

use crate::{
    alarm::Alarm,
    command::CommandStatus,
    energy::EnergySummary,
    id::{CommandId, DeviceId, MeasurementKey},
    plan::PlanView,
    telemetry::{Origin, Quality, Reading},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

pub const SUBPROTOCOL_POSTCARD: &str = "park.v1+postcard";
pub const SUBPROTOCOL_JSON: &str = "park.v1+json";
/// Version of the messages below; a server refuses others with [`Denied::Version`].
pub const PROTOCOL_VERSION: u32 = 1;

/// The client's first message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    pub version: u32,
    /// An access token, or a wall's view-only token.
    pub token: String,
}

/// The server's answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Welcome {
    #[serde(rename_all = "camelCase")]
    Accepted {
        version: u32,
        /// The server's clock, so that ages are right on a client whose clock is wrong.
        server_time: Timestamp,
        /// Changes when the server's park changes: fetch the scene again.
        scene_etag: String,
    },
    Denied(Denied),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Denied {
    Version,
    Token,
    /// Who the token belongs to cannot be said just now: try again later.
    Unavailable,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClientMessage {
    /// Replaces the point subscription; the answer is `Subscribed`, then a full snapshot.
    Subscribe(Selector),
    /// Answered by `Pong` with the same number: measures the round trip.
    Ping(u64),
    /// A newer token of the same caller, before the one in use expires: the stream lives on. No answer; one that is not
    /// accepted ends the stream.
    Renew(String),
    /// Like `Subscribe`, after having been away: `Subscribed`, then what was measured since in `Missed`, the end of which `Resumed`
    /// says, then a full snapshot of that moment, from which live values go on.
    Resume(Resume),
}

/// Which points a client wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Selector {
    All,
    /// All measurements of these devices.
    Devices(Vec<DeviceId>),
    Points(Vec<PointName>),
    /// By device, type, building, group and measurement, as questions about the past select.
    Matching(crate::selector::Selector),
}

/// What a client that was away asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resume {
    pub selector: Selector,
    /// It has everything measured until then: the last `Tick` it heard, less how late its devices may send. What is older than
    /// [`RESUME_MS`] is left to the history.
    pub after: Timestamp,
}

/// How far back a stream resumes.
pub const RESUME_MS: i64 = 24 * crate::time::HOUR_MS;
/// Readings of one point that a resumed stream sends at a time; of more, those that keep the curve's shape and its peaks.
pub const RESUME_READINGS: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PointName {
    pub device: DeviceId,
    pub measurement: MeasurementKey,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ServerMessage {
    /// The points of the subscription in index order, and their devices' origin.
    Subscribed(Vec<PointInfo>),
    /// Changed values since the last message, newest per point; the first after `Subscribed` holds all known ones.
    Values(Vec<PointValue>),
    /// Devices whose connection state changed (all of them first).
    Presence(Vec<Presence>),
    Energy(Box<EnergySummary>),
    Plan(Box<PlanView>),
    /// All alarms that need attention: the first after `Subscribed`, and whenever changes would not do.
    Alarms(Vec<Alarm>),
    /// A command's state since it changed; of several changes one who is slow hears the last.
    Command(CommandUpdate),
    Pong(u64),
    /// The server's clock, at least every second: silence for three means the link is lost.
    Tick(Timestamp),
    /// Alarms that changed, as they now are. One that no longer needs attention leaves the list.
    AlarmsChanged(Vec<Alarm>),
    /// What was measured while a client was away, some points at a time, oldest first. Points without a reading are left out. A point comes
    /// again with what was stored meanwhile, also if that is older than what was told: readings of a point and an instant are one.
    Missed(Vec<Missed>),
    /// Everything that was measured after `from` and stored until `to` (the server's clock) has been sent, whenever devices say that they
    /// measured it. `from` is later than was asked for where that lies too far back.
    #[serde(rename_all = "camelCase")]
    Resumed {
        from: Timestamp,
        to: Timestamp,
    },
}

/// Readings of one point from while a client was away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Missed {
    /// Index into `Subscribed`.
    pub point: u32,
    pub readings: Vec<Reading>,
    /// There were more than [`RESUME_READINGS`], of which these keep the curve's shape and its peaks.
    pub thinned: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PointInfo {
    pub name: PointName,
    pub origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PointValue {
    /// Index into `Subscribed`.
    pub point: u32,
    pub timestamp: Timestamp,
    pub value: f64,
    pub quality: Quality,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    pub device: DeviceId,
    pub online: bool,
    pub last_seen: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandUpdate {
    pub command_id: CommandId,
    pub device_id: DeviceId,
    pub status: CommandStatus,
    pub reason: Option<String>,
}

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("not a postcard message: {0}")]
    Postcard(#[from] postcard::Error),
    #[error("not a JSON message: {0}")]
    Json(#[from] serde_json::Error),
}

/// How messages are written: chosen by the sub-protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Postcard,
    Json,
}

impl Encoding {
    pub fn subprotocol(self) -> &'static str {
        match self {
            Encoding::Postcard => SUBPROTOCOL_POSTCARD,
            Encoding::Json => SUBPROTOCOL_JSON,
        }
    }

    pub fn from_subprotocol(name: &str) -> Option<Self> {
        [Encoding::Postcard, Encoding::Json].into_iter().find(|e| e.subprotocol() == name)
    }

    pub fn encode<T: Serialize>(self, message: &T) -> Result<Vec<u8>, WireError> {
        Ok(match self {
            Encoding::Postcard => postcard::to_stdvec(message)?,
            Encoding::Json => serde_json::to_vec(message)?,
        })
    }

    pub fn decode<'a, T: Deserialize<'a>>(self, bytes: &'a [u8]) -> Result<T, WireError> {
        Ok(match self {
            Encoding::Postcard => postcard::from_bytes(bytes)?,
            Encoding::Json => serde_json::from_slice(bytes)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        alarm::{AlarmKind, Severity},
        energy::{EnergyTotals, FactorUsed, PowerBalance},
        plan::{DevicePlan, PlanStatus},
        tariff::Band,
        telemetry::Provenance,
        text::Text,
    };

    fn one_of_each() -> Vec<ServerMessage> {
        let device: DeviceId = "bess-01".parse().unwrap();
        let name = PointName { device: device.clone(), measurement: "soc".parse().unwrap() };
        let t = Timestamp(1_780_000_000_000);
        vec![
            ServerMessage::Subscribed(vec![PointInfo { name, origin: Origin::Simulated }]),
            ServerMessage::Values(vec![PointValue {
                point: 0,
                timestamp: t,
                value: 55.5,
                quality: Quality::Good,
            }]),
            ServerMessage::Presence(vec![Presence {
                device: device.clone(),
                online: true,
                last_seen: Some(t),
            }]),
            ServerMessage::Energy(Box::new(EnergySummary {
                at: t,
                age_ms: 12,
                provenance: Provenance::Simulated,
                now: PowerBalance::default(),
                state_of_charge: None,
                stored_kwh: 1.0,
                storage_capacity_kwh: 2.0,
                emission_rate_kg_per_h: 3.0,
                today: EnergyTotals { self_sufficiency: Some(0.4), ..Default::default() },
                today_from: t,
                month_peak_kw: 4.0,
                band: Band::Valley,
                import_price_per_kwh: 0.3,
                tariff_is_example: true,
                emission_factor: FactorUsed {
                    kg_per_kwh: 0.5827,
                    source: "notice".into(),
                    year: 2023,
                    status: "R".into(),
                    basis: "location".into(),
                    hourly_shape: true,
                },
                devices_online: 1,
                devices_total: 2,
            })),
            ServerMessage::Plan(Box::new(PlanView {
                version: 1,
                made_at: t,
                start: t,
                step_s: 900,
                status: PlanStatus::Optimal,
                objective_yuan: Some(1.0),
                baseline_yuan: None,
                gap: Some(0.0),
                solve_ms: 1.0,
                grid_kw: vec![1.0],
                load_kw: vec![1.0],
                renewable_available_kw: vec![0.0],
                renewable_kw: vec![0.0],
                storage_kw: vec![0.0],
                charging_kw: vec![0.0],
                stored_kwh: vec![0.0],
                import_price_per_kwh: vec![0.3],
                emission_factor_kg_per_kwh: vec![0.5],
                emission_factor_before_kg_per_kwh: vec![0.6],
                devices: vec![DevicePlan {
                    device_id: device.clone(),
                    power_kw: vec![1.0],
                    state_of_charge: Some(vec![0.5]),
                }],
                infeasible: vec![Text::new("无", "none")],
            })),
            ServerMessage::Alarms(vec![Alarm {
                id: "a1".parse().unwrap(),
                kind: AlarmKind::OutOfRange,
                detail: Some("soc".into()),
                device_id: Some(device.clone()),
                severity: Severity::Major,
                text: Text::new("越限", "out of range"),
                value: Some(120.0),
                raised_at: t,
                cleared_at: None,
                acknowledged_at: None,
                acknowledged_by: None,
            }]),
            ServerMessage::Command(CommandUpdate {
                command_id: "c1".parse().unwrap(),
                device_id: device,
                status: CommandStatus::Rejected,
                reason: Some("full".into()),
            }),
            ServerMessage::AlarmsChanged(Vec::new()),
            ServerMessage::Pong(7),
            ServerMessage::Tick(t),
            ServerMessage::Missed(vec![Missed {
                point: 0,
                readings: vec![Reading { value: 1.5, timestamp: t, quality: Quality::Suspect }],
                thinned: true,
            }]),
            ServerMessage::Resumed { from: t, to: t },
        ]
    }

    #[test]
    fn every_server_message_survives_both_encodings() {
        for encoding in [Encoding::Postcard, Encoding::Json] {
            for message in one_of_each() {
                let bytes = encoding.encode(&message).unwrap();
                assert_eq!(encoding.decode::<ServerMessage>(&bytes).unwrap(), message, "{encoding:?}");
            }
        }
    }

    #[test]
    fn handshake_and_client_messages_survive_both_encodings() {
        let hello = Hello { version: PROTOCOL_VERSION, token: "t".into() };
        let welcome = Welcome::Accepted {
            version: PROTOCOL_VERSION,
            server_time: Timestamp(1),
            scene_etag: "e".into(),
        };
        let denied = [Denied::Version, Denied::Token, Denied::Unavailable].map(Welcome::Denied);
        let said = [
            ClientMessage::Subscribe(Selector::Devices(vec!["a".parse().unwrap()])),
            ClientMessage::Ping(7),
            ClientMessage::Renew("t2".into()),
            ClientMessage::Resume(Resume {
                selector: Selector::Matching("group=pv;measurement=power".parse().unwrap()),
                after: Timestamp(7),
            }),
        ];
        for encoding in [Encoding::Postcard, Encoding::Json] {
            assert_eq!(encoding.decode::<Hello>(&encoding.encode(&hello).unwrap()).unwrap(), hello);
            for welcome in denied.iter().chain([&welcome]) {
                assert_eq!(encoding.decode::<Welcome>(&encoding.encode(welcome).unwrap()).unwrap(), *welcome);
            }
            for message in &said {
                assert_eq!(
                    encoding.decode::<ClientMessage>(&encoding.encode(message).unwrap()).unwrap(),
                    *message
                );
            }
            assert!(encoding.decode::<ClientMessage>(&[0xff, 0xff, 0xff]).is_err());
        }
    }
}
