//! What `/metrics` tells of the twin. Handles are taken once: a look-up by name a payload would cost more than the count.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use shared::{command::CommandStatus, telemetry::RefusalCode};

pub(crate) struct Meters {
    pub(crate) points: Counter,
    pub(crate) out_of_range: Counter,
    pub(crate) events: Counter,
    pub(crate) devices: Gauge,
    pub(crate) online: Gauge,
    pub(crate) open_alarms: Gauge,
    pub(crate) open_commands: Gauge,
    pub(crate) quality: QualityMeters,
    refused: Vec<(RefusalCode, Counter)>,
    commands: Vec<(CommandStatus, Counter)>,
}

/// One counter a step of data quality.
pub(crate) struct QualityMeters {
    pub(crate) format: Counter,
    pub(crate) unit: Counter,
    pub(crate) range: Counter,
    pub(crate) rate: Counter,
    pub(crate) stuck: Counter,
    pub(crate) skew: Counter,
    pub(crate) duplicate: Counter,
    pub(crate) conflicts: Counter,
}

const CODES: [RefusalCode; 16] = [
    RefusalCode::MalformedJson,
    RefusalCode::MissingField,
    RefusalCode::WrongType,
    RefusalCode::NotFinite,
    RefusalCode::UnknownDevice,
    RefusalCode::UnknownMeasurement,
    RefusalCode::UnknownState,
    RefusalCode::UnknownUnit,
    RefusalCode::UnknownCommand,
    RefusalCode::EmptyData,
    RefusalCode::TimestampTooOld,
    RefusalCode::TimestampTooFarAhead,
    RefusalCode::NotYourDevice,
    RefusalCode::TooLarge,
    RefusalCode::Busy,
    RefusalCode::StorageFailed,
];

const STATUSES: [CommandStatus; 5] = [
    CommandStatus::Queued,
    CommandStatus::Sent,
    CommandStatus::Acknowledged,
    CommandStatus::Rejected,
    CommandStatus::Expired,
];

impl Meters {
    pub(crate) fn new() -> Self {
        describe_counter!("park_ingest_points_total", "Telemetry points kept");
        describe_counter!("park_ingest_out_of_range_total", "Points kept outside their plausible range");
        describe_counter!("park_ingest_refused_total", "Items and payloads refused, by code");
        describe_counter!("park_events_total", "Device events kept");
        describe_counter!("park_commands_total", "Commands that reached a status");
        describe_counter!(
            "park_quality_format_total",
            "Items refused for what they are rather than for want of room"
        );
        describe_counter!("park_quality_unit_total", "Values turned into their measurement's unit");
        describe_counter!("park_quality_range_total", "Readings flagged out of range");
        describe_counter!("park_quality_rate_total", "Readings flagged because they jumped");
        describe_counter!("park_quality_stuck_total", "Readings flagged because they stand still");
        describe_counter!(
            "park_quality_skew_total",
            "Readings flagged because their device's clock is wrong"
        );
        describe_counter!("park_quality_duplicate_total", "Readings that came again");
        describe_counter!("park_quality_conflict_total", "Times that sources of one quantity came to differ");
        describe_gauge!("park_devices", "Devices registered");
        describe_gauge!("park_devices_online", "Devices online");
        describe_gauge!("park_alarms_open", "Alarms that are active or not acknowledged");
        describe_gauge!("park_commands_open", "Commands that have not ended");
        Self {
            points: counter!("park_ingest_points_total"),
            out_of_range: counter!("park_ingest_out_of_range_total"),
            events: counter!("park_events_total"),
            devices: gauge!("park_devices"),
            online: gauge!("park_devices_online"),
            open_alarms: gauge!("park_alarms_open"),
            open_commands: gauge!("park_commands_open"),
            quality: QualityMeters {
                format: counter!("park_quality_format_total"),
                unit: counter!("park_quality_unit_total"),
                range: counter!("park_quality_range_total"),
                rate: counter!("park_quality_rate_total"),
                stuck: counter!("park_quality_stuck_total"),
                skew: counter!("park_quality_skew_total"),
                duplicate: counter!("park_quality_duplicate_total"),
                conflicts: counter!("park_quality_conflict_total"),
            },
            refused: CODES
                .map(|code| (code, counter!("park_ingest_refused_total", "code" => code.as_str())))
                .into(),
            commands: STATUSES
                .map(|status| (status, counter!("park_commands_total", "status" => status.as_str())))
                .into(),
        }
    }

    pub(crate) fn refused(&self, code: RefusalCode) {
        if !matches!(code, RefusalCode::Busy | RefusalCode::StorageFailed) {
            self.quality.format.increment(1);
        }
        if let Some((_, counter)) = self.refused.iter().find(|(known, _)| *known == code) {
            counter.increment(1);
        }
    }

    pub(crate) fn command(&self, status: CommandStatus) {
        if let Some((_, counter)) = self.commands.iter().find(|(known, _)| *known == status) {
            counter.increment(1);
        }
    }
}
