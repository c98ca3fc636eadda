//! What a device makes of a command: it obeys, or says why it cannot.

use super::{
    device::{Device, Equipment},
    equipment::heat::HeatPump,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::{
    command::{AckStatus, CommandAck, CommandDelivery},
    thing_model::ThingModel,
    time::Timestamp,
};

/// A power a device was asked to hold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SetPoint {
    /// Positive draws.
    pub(crate) power_kw: f64,
    /// When it was put in force; the past is filled in without it.
    pub(crate) from: Timestamp,
    /// When the device returns to its own rule; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<Timestamp>,
}

impl SetPoint {
    pub(crate) fn holds_at(&self, at: Timestamp) -> bool {
        at > self.from && self.until.is_none_or(|until| at <= until)
    }
}

/// Powers this close to a limit count as at it, kW: meters and planners round.
const POWER_SLACK_KW: f64 = 0.05;

/// Share of the state of charge that counts as nothing left.
const SOC_SLACK: f64 = 0.002;

/// Answers a command and, where it can be obeyed, puts it in force. The same command again gets the same answer and changes nothing.
pub(crate) fn obey(
    device: &mut Device,
    model: &ThingModel,
    delivery: &CommandDelivery,
    now: Timestamp,
    pump_is_full: bool,
) -> CommandAck {
    if let Some(given) = device.answer_to(delivery.command_id.as_str()) {
        return given.clone();
    }
    let judged = judge(device, model, delivery, now, pump_is_full);
    let ack = match judged {
        Ok((set_point, applied_kw)) => {
            device.set_point = set_point;
            CommandAck {
                device_id: device.id.clone(),
                command_id: delivery.command_id.clone(),
                status: AckStatus::Done,
                reason: None,
                result: Some(json!({ "power": (applied_kw * 1e3).round() / 1e3 })),
            }
        }
        Err(reason) => CommandAck {
            device_id: device.id.clone(),
            command_id: delivery.command_id.clone(),
            status: AckStatus::Rejected,
            reason: Some(reason),
            result: None,
        },
    };
    device.remember(ack.clone());
    ack
}

/// The set-point to put in force and the power it comes to now, or why not.
fn judge(
    device: &Device,
    model: &ThingModel,
    delivery: &CommandDelivery,
    now: Timestamp,
    pump_is_full: bool,
) -> Result<(Option<SetPoint>, f64), String> {
    if now > delivery.expires {
        return Err(format!("expired at {}", delivery.expires));
    }
    if model.command(&delivery.command).is_none() {
        let known: Vec<&str> = model.commands.iter().map(|c| c.name.as_str()).collect();
        return Err(if known.is_empty() {
            format!("unknown command {:?}: this device takes none", delivery.command)
        } else {
            format!("unknown command {:?}: this device takes {}", delivery.command, known.join(", "))
        });
    }
    match delivery.command.as_str() {
        "setPower" => {
            let power_kw = number(delivery, "power")?.ok_or("parameter power is missing")?;
            let duration_s = number(delivery, "duration")?;
            if duration_s.is_some_and(|s| s <= 0.0) {
                return Err("parameter duration must be more than 0 s".to_owned());
            }
            let applied_kw = possible(device, power_kw, pump_is_full)?;
            let until = duration_s.map(|s| Timestamp(now.millis().saturating_add((s * 1e3) as i64)));
            Ok((Some(SetPoint { power_kw, from: now, until }), applied_kw))
        }
        "release" => Ok((None, device.power_kw)),
        other => Err(format!("command {other:?} is not simulated for this kind of device")),
    }
}

fn number(delivery: &CommandDelivery, key: &str) -> Result<Option<f64>, String> {
    match delivery.parameters.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => number
            .as_f64()
            .filter(|value| value.is_finite())
            .map(Some)
            .ok_or_else(|| format!("parameter {key} is not a finite number")),
        Some(_) => Err(format!("parameter {key} is not a number")),
    }
}

/// The power a device would draw if asked for `power_kw` now, or why it cannot do it at all.
fn possible(device: &Device, power_kw: f64, pump_is_full: bool) -> Result<f64, String> {
    let within = |largest_kw: f64, what: &str| {
        if power_kw.abs() > largest_kw + POWER_SLACK_KW {
            Err(format!("{power_kw} kW is beyond the {what} of {largest_kw} kW"))
        } else {
            Ok(())
        }
    };
    let draws_only = |what: &str| {
        if power_kw < 0.0 { Err(format!("{what} cannot feed in ({power_kw} kW asked)")) } else { Ok(()) }
    };
    let feeds_only = |what: &str| {
        if power_kw > 0.0 { Err(format!("{what} cannot draw power ({power_kw} kW asked)")) } else { Ok(()) }
    };
    match &device.equipment {
        Equipment::Pv(pv) => {
            feeds_only("PV")?;
            within(device.rating.nameplate_kw(), "inverter's rating")?;
            Ok(power_kw.max(-pv.available_kw()))
        }
        Equipment::Wind(turbine) => {
            feeds_only("a wind turbine")?;
            within(device.rating.nameplate_kw(), "rated power")?;
            Ok(power_kw.max(-turbine.available_kw()))
        }
        Equipment::Storage(storage) => {
            /// As long as a set-point must be sustainable to be worth beginning, h.
            const SUSTAINED_H: f64 = 1.0 / 60.0;
            let (battery, soc) = (storage.battery(), storage.state.soc);
            if power_kw > 0.0 {
                within(battery.charge_kw, "charging limit")?;
                if soc >= battery.soc_max - SOC_SLACK {
                    return Err(format!(
                        "full: state of charge {:.1} %, limit {:.0} %",
                        soc * 100.0,
                        battery.soc_max * 100.0
                    ));
                }
            } else if power_kw < 0.0 {
                within(battery.discharge_kw, "discharging limit")?;
                if soc <= battery.soc_min + SOC_SLACK {
                    return Err(format!(
                        "empty: state of charge {:.1} %, limit {:.0} %",
                        soc * 100.0,
                        battery.soc_min * 100.0
                    ));
                }
            }
            Ok(battery.step(soc, power_kw, SUSTAINED_H).1)
        }
        Equipment::Charger(charger) => {
            let point = charger.point();
            draws_only("a charger")?;
            within(point.power_kw, "charger's rating")?;
            match &charger.car {
                None if power_kw > 0.0 => Err("no car is plugged".to_owned()),
                None => Ok(0.0),
                // Less than a car needs to charge is a pause.
                Some(_) if power_kw < point.min_kw => Ok(0.0),
                Some(plugged) => Ok(power_kw.min(point.limit_kw(&plugged.car()))),
            }
        }
        Equipment::Load(_) => {
            draws_only("a load")?;
            within(device.rating.nameplate_kw(), "rated power")?;
            Ok(power_kw.min(device.power_kw))
        }
        Equipment::Chiller(chiller) => {
            draws_only("a chiller")?;
            within(device.rating.nameplate_kw(), "rated power")?;
            Ok(power_kw.min(chiller.wanted_kw()))
        }
        Equipment::HeatPump { pump, .. } => heat_pump(pump, power_kw, pump_is_full, draws_only, within),
        Equipment::Tank(_)
        | Equipment::Boiler(_)
        | Equipment::StackMonitor { .. }
        | Equipment::WeatherStation
        | Equipment::Sensor(_)
        | Equipment::Meter(_) => Err("this device has no power to set".to_owned()),
    }
}

fn heat_pump(
    pump: &HeatPump,
    power_kw: f64,
    is_full: bool,
    draws_only: impl Fn(&str) -> Result<(), String>,
    within: impl Fn(f64, &str) -> Result<(), String>,
) -> Result<f64, String> {
    draws_only("a heat pump")?;
    within(pump.power_kw(), "rated power")?;
    if power_kw > 0.0 && is_full {
        return Err("the thermal store is full".to_owned());
    }
    Ok(power_kw)
}
