//! One device: is it there, what it says now, how the last hour went, what the plan asks of it.

use super::{
    alarms::badge,
    control::{self, ControlForm},
    parts::{self, About},
    plots::{self, Clock},
};
use crate::{
    i18n::I18n,
    model::{LiveValue, ParkModel, SceneIndex, selection::Thing},
    ui::{commands::UiCommand, format, theme},
};
use egui::{RichText, Sense, Ui, vec2};
use egui_plot::Line;
use shared::{
    alarm::Severity,
    command::CommandStatus,
    scene::Device,
    stream::PointName,
    telemetry::{Origin, Provenance, Quality},
    thing_model::{Measurement, MeasurementKind},
    time::{HOUR_MS, Timestamp},
};

/// Values older than this are shown faded.
const STALE_MS: i64 = 30_000;
/// The measurement the chart shows: the chosen one, else power, else the first.
pub fn charted<'a>(scene: &'a SceneIndex, device: &Device, chosen: Option<&str>) -> Option<&'a Measurement> {
    let model = scene.scene.model_of(device)?;
    chosen
        .and_then(|key| model.measurement(key))
        .or_else(|| model.measurement("power"))
        .or_else(|| model.measurements.first())
}

pub fn device_ui(
    ui: &mut Ui,
    model: &ParkModel,
    i18n: &I18n,
    index: u32,
    chosen: Option<&str>,
    form: &mut ControlForm,
    out: &mut Vec<UiCommand>,
) {
    let Some(scene) = &model.scene else { return };
    let Some(device) = scene.device(index) else { return };
    theme::card().show(ui, |ui| {
        ui.set_width(ui.available_width());
        header(ui, model, i18n, scene, device, index, out);
        ui.add_space(6.0);
        values(ui, model, i18n, scene, device, index, chosen, out);
    });
    ui.add_space(2.0);
    if let Some(measurement) = charted(scene, device, chosen) {
        chart(ui, model, i18n, scene, device, index, measurement);
    }
    planned(ui, model, i18n, scene, device);
    control::control_ui(ui, model, i18n, index, form, out);
    last_command(ui, model, i18n, device);
    for alarm in model.alarms_of(&device.id) {
        ui.horizontal(|ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(18.0, 18.0), Sense::hover());
            badge(ui.painter(), rect.center(), 6.5, alarm.severity, alarm.acknowledged_at.is_some());
            let age = format::age(i18n, model.now, alarm.raised_at);
            let text = format!("{} · {age}", i18n.text(&alarm.text));
            ui.add(egui::Label::new(RichText::new(text).size(12.0)).truncate());
        });
    }
}

fn header(
    ui: &mut Ui,
    model: &ParkModel,
    i18n: &I18n,
    scene: &SceneIndex,
    device: &Device,
    index: u32,
    out: &mut Vec<UiCommand>,
) {
    ui.horizontal(|ui| {
        ui.add(egui::Label::new(RichText::new(i18n.text(&device.name)).size(16.0).strong()).truncate());
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if ui.small_button("×").on_hover_text(i18n.t("close")).clicked() {
                out.push(UiCommand::Select(None));
            }
            if ui.small_button(i18n.t("device-show")).clicked() {
                out.push(UiCommand::GoTo(Thing::Device(index)));
            }
        });
    });
    let kind = scene.scene.model_of(device).map_or("", |m| i18n.text(&m.name));
    let place = device
        .building
        .as_ref()
        .and_then(|b| scene.building(scene.building_index(b)?))
        .map_or(String::new(), |b| format!(" · {}", i18n.text(&b.name)));
    ui.label(RichText::new(format!("{} · {kind}{place}", device.id)).size(11.5).color(theme::WEAK));
    ui.horizontal(|ui| {
        let connected = model.connected(index);
        let (text, colour) = match connected.online {
            Some(true) => (i18n.t("device-online"), theme::ACCENT),
            Some(false) => (i18n.t("device-offline"), theme::severity(Severity::Critical)),
            None => (i18n.t("device-unknown"), theme::FAINT),
        };
        parts::tag(ui, &text, colour);
        if let Some(origin) = model.values.origin(index) {
            let provenance = match origin {
                Origin::Simulated => Provenance::Simulated,
                Origin::Field => Provenance::Measured,
            };
            parts::provenance_tag(ui, i18n, provenance);
        }
        if let (Some(false), Some(seen)) = (connected.online, connected.last_seen) {
            ui.label(RichText::new(format::age(i18n, model.now, seen)).size(11.0).color(theme::FAINT));
        }
    });
}

#[expect(clippy::too_many_arguments, reason = "rows of one table")]
fn values(
    ui: &mut Ui,
    model: &ParkModel,
    i18n: &I18n,
    scene: &SceneIndex,
    device: &Device,
    index: u32,
    chosen: Option<&str>,
    out: &mut Vec<UiCommand>,
) {
    let Some(thing) = scene.scene.model_of(device) else { return };
    let shown = charted(scene, device, chosen).map(|m| m.key.clone());
    for measurement in &thing.measurements {
        let live = model.value(index, measurement.key.as_str());
        let is_shown = shown.as_ref() == Some(&measurement.key);
        let row = ui.horizontal(|ui| {
            let name = RichText::new(i18n.text(&measurement.name)).size(12.5);
            ui.label(if is_shown { name.color(theme::ACCENT) } else { name.color(theme::WEAK) });
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                value_cells(ui, model, i18n, measurement, live);
            });
        });
        let row = row.response.interact(Sense::click());
        if row.clicked() && measurement.kind != MeasurementKind::State {
            out.push(UiCommand::Chart(measurement.key.as_str().to_owned()));
        }
    }
}

fn value_cells(
    ui: &mut Ui,
    model: &ParkModel,
    i18n: &I18n,
    measurement: &Measurement,
    live: Option<LiveValue>,
) {
    let Some(live) = live else {
        ui.label(RichText::new("–").color(theme::FAINT)).on_hover_text(i18n.t("device-no-value"));
        return;
    };
    let stale = model.now.since(live.timestamp) > STALE_MS;
    let age = format::age(i18n, model.now, live.timestamp);
    ui.add_sized(
        [60.0, 14.0],
        egui::Label::new(RichText::new(age).size(10.5).color(theme::WEAK)).halign(egui::Align::RIGHT),
    );
    let state = (measurement.kind == MeasurementKind::State)
        .then(|| measurement.states.iter().find(|s| s.code == live.value.round() as i32))
        .flatten();
    let colour = match (live.quality, stale) {
        (_, true) => theme::FAINT,
        (Quality::OutOfRange | Quality::Suspect, _) => theme::severity(Severity::Warning),
        _ => theme::TEXT,
    };
    if let Some(word) = state {
        ui.label(RichText::new(i18n.text(&word.name)).size(13.0).color(colour));
        return;
    }
    ui.label(RichText::new(&measurement.unit).size(11.0).color(theme::WEAK));
    let text = format::grouped(live.value, usize::from(measurement.decimals));
    ui.label(RichText::new(text).size(14.0).color(colour));
    match live.quality {
        Quality::OutOfRange => out_of_range(ui, i18n, measurement),
        Quality::Suspect => suspect(ui, i18n),
        Quality::Estimated => parts::provenance_tag(ui, i18n, Provenance::Estimated),
        Quality::Good => {}
    }
}

/// Says that a value is doubted, and why that may be.
fn suspect(ui: &mut Ui, i18n: &I18n) {
    parts::tag(ui, &i18n.t("quality-suspect"), theme::severity(Severity::Warning))
        .on_hover_text(i18n.t("quality-suspect-hint"));
}

/// Says that a value is stored although it cannot be right, and what range it is outside of.
fn out_of_range(ui: &mut Ui, i18n: &I18n, measurement: &Measurement) {
    let bound = |value: Option<f64>| {
        value.map_or("…".to_owned(), |v| format::grouped(v, usize::from(measurement.decimals)))
    };
    let range = format!("{} … {} {}", bound(measurement.min), bound(measurement.max), measurement.unit);
    parts::tag(ui, &i18n.t("quality-out-of-range"), theme::severity(Severity::Warning))
        .on_hover_text(i18n.t1("quality-out-of-range-hint", "range", range));
}

fn chart(
    ui: &mut Ui,
    model: &ParkModel,
    i18n: &I18n,
    scene: &SceneIndex,
    device: &Device,
    index: u32,
    measurement: &Measurement,
) {
    let title = format!("{} · {}", i18n.text(&measurement.name), i18n.t("device-last-hour"));
    let live = model.value(index, measurement.key.as_str());
    let name = PointName { device: device.id.clone(), measurement: measurement.key.clone() };
    let hour = model.histories.get(&name);
    parts::card(
        ui,
        &title,
        |ui| {
            if let Some(live) = live {
                let about = About { unit: "", provenance: live.provenance, at: Some(live.timestamp) };
                parts::about(ui, model, i18n, &about);
            }
        },
        |ui| {
            if let Some(live) = live {
                ui.horizontal(|ui| {
                    let value = format::grouped(live.value, usize::from(measurement.decimals));
                    parts::figure(ui, &value, &measurement.unit, 16.0);
                    match live.quality {
                        Quality::OutOfRange => out_of_range(ui, i18n, measurement),
                        Quality::Suspect => suspect(ui, i18n),
                        Quality::Good | Quality::Estimated => {}
                    }
                });
            }
            let Some(hour) = hour.filter(|h| h.arrived || h.error.is_some()) else {
                parts::nothing_yet(ui, &i18n.t("waiting-for-data"));
                return;
            };
            let from = Timestamp(model.now.0 - HOUR_MS);
            let clock = Clock { zero: model.now.start_of_day(&scene.zone), zone: scene.zone.clone() };
            let runs: Vec<Vec<[f64; 2]>> = hour
                .segments()
                .map(|run| {
                    let within = run.iter().filter(|(at, _)| *at >= from.0);
                    within.map(|&(at, value)| [clock.hours(Timestamp(at)), value]).collect::<Vec<_>>()
                })
                .filter(|run| !run.is_empty())
                .collect();
            if let Some(error) = &hour.error {
                let note = if runs.is_empty() {
                    i18n.t("device-chart-failed")
                } else {
                    i18n.t("device-chart-not-refreshed")
                };
                let note = RichText::new(note).size(11.0).color(theme::severity(Severity::Warning));
                ui.label(note).on_hover_text(i18n.fault(error));
            }
            if runs.is_empty() {
                if hour.error.is_none() {
                    parts::nothing_yet(ui, &i18n.t("device-chart-empty"));
                }
                return;
            }
            plots::small_axes(ui);
            let (now, shown) = (clock.hours(model.now), i18n.text(&measurement.name).to_owned());
            let decimals = usize::from(measurement.decimals.min(1));
            plots::time_plot(ui, "hour", 116.0, &clock, 0.25, &measurement.unit)
                .include_x(now - 1.0)
                .include_x(now)
                .custom_y_axes(vec![plots::small_y_axis(decimals)])
                .show(ui, |plot| {
                    for run in runs {
                        if let [lone] = run[..] {
                            plot.points(
                                egui_plot::Points::new(&shown, vec![lone]).radius(1.5).color(theme::ACCENT),
                            );
                        } else {
                            plot.line(Line::new(&shown, run).color(theme::ACCENT).width(1.5));
                        }
                    }
                });
        },
    );
}

fn planned(ui: &mut Ui, model: &ParkModel, i18n: &I18n, scene: &SceneIndex, device: &Device) {
    let Some(plan) = model.plan.as_ref().filter(|p| p.version > 0) else { return };
    let Some(own) = plan.devices.iter().find(|d| d.device_id == device.id) else {
        parts::card(
            ui,
            &i18n.t("device-plan"),
            |_| {},
            |ui| parts::nothing_yet(ui, &i18n.t("device-not-planned")),
        );
        return;
    };
    let about = About { unit: "kW", provenance: Provenance::Forecast, at: Some(plan.made_at) };
    parts::card(
        ui,
        &i18n.t("device-plan"),
        |ui| parts::about(ui, model, i18n, &about),
        |ui| {
            let clock = Clock { zero: model.now.start_of_day(&scene.zone), zone: scene.zone.clone() };
            let now = clock.hours(model.now);
            let steps = own.power_kw.iter().map(|v| Some(*v));
            let runs = plots::stairs(&clock, plan.start, plan.step_s, steps);
            plots::small_axes(ui);
            let name = i18n.t("plan-planned");
            plots::time_plot(ui, "device-plan", 84.0, &clock, 6.0, "kW").include_y(0.0).show(ui, |plot| {
                plots::now_line(plot, now);
                plots::dashed(plot, &name, theme::TEXT, runs);
            });
        },
    );
}

pub fn status_word(i18n: &I18n, status: CommandStatus) -> String {
    match status {
        CommandStatus::Queued => i18n.t("command-queued"),
        CommandStatus::Sent => i18n.t("command-sent"),
        CommandStatus::Acknowledged => i18n.t("command-acknowledged"),
        CommandStatus::Rejected => i18n.t("command-rejected"),
        CommandStatus::Expired => i18n.t("command-expired"),
    }
    .into_owned()
}

fn last_command(ui: &mut Ui, model: &ParkModel, i18n: &I18n, device: &Device) {
    let Some(command) = model.last_command(&device.id) else { return };
    let status = status_word(i18n, command.status);
    let reason = command.reason.as_deref().map_or(String::new(), |r| format!(" · {r}"));
    let text = format!("{} {status}{reason}", i18n.t("device-last-command"));
    ui.label(RichText::new(text).size(11.5).color(theme::WEAK));
}
