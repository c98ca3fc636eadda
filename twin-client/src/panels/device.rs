//! One device: is it there, what it says now, how the last hour went, what the plan asks of it.

use super::{
    alarms::badge,
    parts,
    today::{round_steps, small_axes, small_y_axis},
};
use crate::{
    i18n::I18n,
    model::{LiveValue, ParkModel, SceneIndex, selection::Thing},
    ui::{commands::UiCommand, format, theme},
};
use egui::{RichText, Sense, Ui, vec2};
use egui_plot::{Line, LineStyle, Plot, PlotPoints};
use shared::{
    command::CommandStatus,
    scene::Device,
    stream::PointName,
    telemetry::{Origin, Quality},
    thing_model::{Measurement, MeasurementKind},
    time::MINUTE_MS,
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
    ui.add_space(4.0);
    if let Some(measurement) = charted(scene, device, chosen) {
        chart(ui, model, i18n, device, measurement);
    }
    planned(ui, model, i18n, device);
    last_command(ui, model, i18n, device);
    for alarm in model.alarms_of(&device.id) {
        ui.horizontal(|ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(18.0, 18.0), Sense::hover());
            badge(ui.painter(), rect.center(), 6.5, alarm.severity, alarm.acknowledged_at.is_some());
            ui.label(RichText::new(i18n.text(&alarm.text)).size(12.0));
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
            if ui.small_button("×").clicked() {
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
            Some(false) => (i18n.t("device-offline"), theme::severity(shared::alarm::Severity::Critical)),
            None => (i18n.t("device-unknown"), theme::FAINT),
        };
        parts::tag(ui, &text, colour);
        if let Some(origin) = model.values.origin(index) {
            let text = match origin {
                Origin::Simulated => i18n.t("provenance-simulated"),
                Origin::Field => i18n.t("provenance-measured"),
            };
            parts::tag(ui, &text, theme::WEAK);
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
        ui.label(RichText::new("–").color(theme::FAINT));
        return;
    };
    let stale = model.now.since(live.timestamp) > STALE_MS;
    let age = format::age(i18n, model.now, live.timestamp);
    ui.add_sized(
        [46.0, 14.0],
        egui::Label::new(RichText::new(age).size(10.5).color(theme::FAINT)).halign(egui::Align::RIGHT),
    );
    let state = (measurement.kind == MeasurementKind::State)
        .then(|| measurement.states.iter().find(|s| s.code == live.value.round() as i32))
        .flatten();
    let colour = match (live.quality, stale) {
        (_, true) => theme::FAINT,
        (Quality::OutOfRange, _) => theme::severity(shared::alarm::Severity::Warning),
        _ => theme::TEXT,
    };
    if let Some(word) = state {
        ui.label(RichText::new(i18n.text(&word.name)).size(13.0).color(colour));
        return;
    }
    ui.label(RichText::new(&measurement.unit).size(11.0).color(theme::FAINT));
    let text = format::grouped(live.value, usize::from(measurement.decimals));
    ui.label(RichText::new(text).size(14.0).color(colour));
    match live.quality {
        Quality::OutOfRange => {
            parts::tag(
                ui,
                &i18n.t("quality-out-of-range"),
                theme::severity(shared::alarm::Severity::Warning),
            );
        }
        Quality::Estimated => parts::tag(ui, &i18n.t("provenance-estimated"), theme::WEAK),
        Quality::Good => {}
    }
}

fn chart(ui: &mut Ui, model: &ParkModel, i18n: &I18n, device: &Device, measurement: &Measurement) {
    let title = format!("{} · {}", i18n.text(&measurement.name), i18n.t("device-last-hour"));
    parts::card(
        ui,
        &title,
        |ui| {
            ui.label(RichText::new(&measurement.unit).size(11.0).color(theme::FAINT));
        },
        |ui| {
            let name = PointName { device: device.id.clone(), measurement: measurement.key.clone() };
            let Some(hour) = model.histories.get(&name) else {
                parts::nothing_yet(ui, &i18n.t("waiting-for-data"));
                return;
            };
            if let Some(error) = &hour.error {
                parts::nothing_yet(ui, &i18n.fault(error));
                return;
            }
            if !hour.arrived {
                parts::nothing_yet(ui, &i18n.t("waiting-for-data"));
                return;
            }
            let minutes = |at: i64| (at - model.now.0) as f64 / MINUTE_MS as f64;
            let points: PlotPoints =
                hour.points.iter().map(|(at, v)| [minutes(*at), *v]).filter(|p| p[0] >= -60.0).collect();
            let decimals = usize::from(measurement.decimals.min(1));
            small_axes(ui);
            Plot::new("hour")
                .height(120.0)
                .allow_drag(false)
                .allow_zoom(false)
                .allow_scroll(false)
                .allow_boxed_zoom(false)
                .show_background(false)
                .include_x(-60.0)
                .include_x(0.0)
                .set_margin_fraction(vec2(0.0, 0.1))
                .x_axis_formatter(|mark, _| format!("{:.0}", mark.value))
                .grid_spacing(egui::Rangef::new(20.0, 300.0))
                .y_grid_spacer(round_steps)
                .custom_y_axes(vec![small_y_axis(decimals)])
                .label_formatter(|_| None)
                .show(ui, |plot| {
                    plot.line(Line::new("hour", points).color(theme::ACCENT).width(1.5));
                });
            ui.label(RichText::new(i18n.t("device-minutes-axis")).size(10.0).color(theme::FAINT));
        },
    );
}

fn planned(ui: &mut Ui, model: &ParkModel, i18n: &I18n, device: &Device) {
    let Some(plan) = &model.plan else { return };
    let Some(own) = plan.devices.iter().find(|d| d.device_id == device.id) else { return };
    parts::card(
        ui,
        &i18n.t("device-plan"),
        |ui| {
            ui.label(RichText::new("kW").size(11.0).color(theme::FAINT));
        },
        |ui| {
            let hours = |i: usize| {
                (plan.start.since(model.now) as f64 / 1_000.0 + i as f64 * f64::from(plan.step_s)) / 3_600.0
            };
            // Steps hold their value for their length.
            let points: PlotPoints = own
                .power_kw
                .iter()
                .enumerate()
                .flat_map(|(i, kw)| [[hours(i), *kw], [hours(i + 1), *kw]])
                .collect();
            small_axes(ui);
            Plot::new("device-plan")
                .height(84.0)
                .allow_drag(false)
                .allow_zoom(false)
                .allow_scroll(false)
                .allow_boxed_zoom(false)
                .show_background(false)
                .set_margin_fraction(vec2(0.0, 0.1))
                .x_axis_formatter(|mark, _| format!("+{:.0} h", mark.value))
                .grid_spacing(egui::Rangef::new(20.0, 300.0))
                .y_grid_spacer(round_steps)
                .custom_y_axes(vec![small_y_axis(0)])
                .label_formatter(|_| None)
                .show(ui, |plot| {
                    let line = Line::new("plan", points).color(theme::WEAK).width(1.4);
                    plot.line(line.style(LineStyle::dashed_dense()));
                });
        },
    );
}

fn last_command(ui: &mut Ui, model: &ParkModel, i18n: &I18n, device: &Device) {
    let Some(command) = model.last_command(&device.id) else { return };
    let status = match command.status {
        CommandStatus::Queued => i18n.t("command-queued"),
        CommandStatus::Sent => i18n.t("command-sent"),
        CommandStatus::Acknowledged => i18n.t("command-acknowledged"),
        CommandStatus::Rejected => i18n.t("command-rejected"),
        CommandStatus::Expired => i18n.t("command-expired"),
    };
    let reason = command.reason.as_deref().map_or(String::new(), |r| format!(" · {r}"));
    let text = format!("{} {status}{reason}", i18n.t("device-last-command"));
    ui.label(RichText::new(text).size(11.5).color(theme::WEAK));
}
