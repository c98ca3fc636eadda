//! Alarms: what a person must act on, most pressing first, acknowledged with one click.

use super::rights;
use crate::{
    i18n::I18n,
    model::{ParkModel, selection::Thing},
    ui::{commands::UiCommand, format, theme},
};
use egui::{
    Align, Align2, Button, Color32, FontId, Label, Layout, Pos2, RichText, Sense, Shape, Stroke, Ui, vec2,
};
use shared::alarm::{Alarm, Severity};

const ROW_HEIGHT: f32 = 46.0;
/// Title and margins, without rows.
const FRAME_HEIGHT: f32 = 46.0;

/// How much room the list would like: all rows of a short list, and never so little that a calm park looks broken.
pub fn wanted_height(model: &ParkModel) -> f32 {
    FRAME_HEIGHT + (model.alarms.len() as f32).clamp(0.7, 6.0) * ROW_HEIGHT
}

pub fn alarms_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, out: &mut Vec<UiCommand>) {
    let open = model.alarms.iter().filter(|a| a.acknowledged_at.is_none()).count();
    ui.horizontal(|ui| {
        ui.label(RichText::new(i18n.t("alarms-title")).size(13.0).strong());
        ui.label(RichText::new("ⓘ").size(12.0).color(theme::WEAK)).on_hover_text(i18n.t("alarms-hint"));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if !model.alarms.is_empty() {
                let summary = i18n.t1("alarms-open", "n", open as i64);
                ui.label(RichText::new(summary).size(11.5).color(theme::WEAK));
            }
        });
    });
    ui.add_space(2.0);
    if model.alarms.is_empty() {
        calm(ui, i18n);
        return;
    }
    egui::ScrollArea::vertical().auto_shrink([false, false]).show_rows(
        ui,
        ROW_HEIGHT - ui.spacing().item_spacing.y,
        model.alarms.len(),
        |ui, range| {
            for alarm in &model.alarms[range] {
                row(ui, model, i18n, alarm, out);
            }
        },
    );
}

/// Nothing to do is a state of its own, not an empty corner.
fn calm(ui: &mut Ui, i18n: &I18n) {
    theme::card().show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.horizontal(|ui| {
            ui.label(RichText::new("✓").size(14.0).color(theme::ACCENT));
            ui.label(RichText::new(i18n.t("alarms-none")).size(12.5).color(theme::WEAK));
        });
    });
}

pub fn severity_word(i18n: &I18n, severity: Severity) -> String {
    match severity {
        Severity::Critical => i18n.t("severity-critical"),
        Severity::Major => i18n.t("severity-major"),
        Severity::Warning => i18n.t("severity-warning"),
        Severity::Info => i18n.t("severity-info"),
    }
    .into_owned()
}

fn row(ui: &mut Ui, model: &ParkModel, i18n: &I18n, alarm: &Alarm, out: &mut Vec<UiCommand>) {
    let colour = theme::severity(alarm.severity);
    let acknowledged = alarm.acknowledged_at.is_some();
    let device = alarm.device_id.as_ref().and_then(|id| model.scene.as_ref()?.device_index(id));
    let height = ROW_HEIGHT - ui.spacing().item_spacing.y;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::click());
    let fill = if response.hovered() { theme::CARD_RAISED } else { theme::CARD };
    ui.painter().rect_filled(rect, 6, fill);
    badge(ui.painter(), rect.left_center() + vec2(17.0, 0.0), 8.0, alarm.severity, acknowledged);
    let name = device
        .and_then(|d| model.scene.as_ref()?.device(d))
        .map_or_else(|| i18n.t("alarms-park").into_owned(), |d| i18n.text(&d.name).to_owned());
    let mut inside = ui.new_child(
        egui::UiBuilder::new()
            .max_rect(rect.shrink2(vec2(8.0, 4.0)).with_min_x(rect.left() + 33.0))
            .layout(Layout::right_to_left(Align::Center)),
    );
    if acknowledged {
        let who = alarm.acknowledged_by.as_deref().unwrap_or_default();
        let who = Label::new(RichText::new(format!("✓ {who}")).size(11.0).color(theme::WEAK)).truncate();
        inside.add_sized([if alarm.acknowledged_by.is_some() { 56.0 } else { 16.0 }, 16.0], who);
    } else {
        let button = Button::new(RichText::new(i18n.t("alarms-acknowledge")).size(11.5));
        if rights::operate_button(&mut inside, model, i18n, button).clicked() {
            out.push(UiCommand::Acknowledge(alarm.id.clone()));
        }
    }
    inside.with_layout(Layout::top_down(Align::Min), |ui| {
        ui.spacing_mut().item_spacing = vec2(5.0, 1.0);
        ui.horizontal(|ui| {
            let word = RichText::new(severity_word(i18n, alarm.severity)).size(11.5);
            ui.label(word.color(if acknowledged { theme::WEAK } else { colour }));
            let text = RichText::new(i18n.text(&alarm.text)).size(12.5);
            ui.add(Label::new(text.color(if acknowledged { theme::WEAK } else { theme::TEXT })).truncate());
        });
        ui.add(
            Label::new(
                RichText::new(when_and_where(model, i18n, alarm, &name)).size(11.0).color(theme::WEAK),
            )
            .truncate(),
        );
    });
    let response = response.on_hover_ui(|ui| {
        ui.set_max_width(300.0);
        ui.label(details(model, i18n, alarm, &name));
    });
    if response.clicked()
        && let Some(device) = device
    {
        out.push(UiCommand::GoTo(Thing::Device(device)));
    }
}

/// The row's second line; times first, since a long name may be cut.
fn when_and_where(model: &ParkModel, i18n: &I18n, alarm: &Alarm, name: &str) -> String {
    let raised = moment(model, alarm.raised_at);
    let mut parts = vec![raised, format::age(i18n, model.now, alarm.raised_at)];
    if !alarm.is_active() {
        parts.push(i18n.t("alarms-cleared").into_owned());
    }
    parts.push(name.to_owned());
    parts.join(" · ")
}

fn moment(model: &ParkModel, at: shared::time::Timestamp) -> String {
    model.scene.as_ref().map_or_else(String::new, |scene| format::moment(at, model.now, &scene.zone))
}

/// Everything that is known of an alarm, a line each.
fn details(model: &ParkModel, i18n: &I18n, alarm: &Alarm, name: &str) -> String {
    let at = |key: &str, time| i18n.t1(key, "time", moment(model, time));
    let mut lines = vec![
        format!("{} · {name}", severity_word(i18n, alarm.severity)),
        i18n.text(&alarm.text).to_owned(),
        at("alarms-raised-at", alarm.raised_at),
    ];
    if let Some(value) = alarm.value {
        lines.push(i18n.t1("alarms-value", "value", format::grouped(value, 2)));
    }
    if let Some(cleared) = alarm.cleared_at {
        lines.push(at("alarms-cleared-at", cleared));
    }
    if let Some(acknowledged) = alarm.acknowledged_at {
        let mut arguments = fluent_bundle::FluentArgs::new();
        arguments.set("time", moment(model, acknowledged));
        arguments.set("who", alarm.acknowledged_by.clone().unwrap_or_else(|| "–".into()));
        lines.push(i18n.tf("alarms-acknowledged-at", &arguments).into_owned());
    }
    lines.join("\n")
}

/// Shape, colour and number say the severity, so that colour alone never has to.
pub fn badge(painter: &egui::Painter, at: Pos2, size: f32, severity: Severity, calm: bool) {
    let colour = if calm { theme::FAINT } else { theme::severity(severity) };
    let corner = |angle_deg: f32, r: f32| {
        let a = angle_deg.to_radians();
        at + vec2(a.sin(), -a.cos()) * r
    };
    let polygon = |count: u32, turn: f32, r: f32| -> Vec<Pos2> {
        (0..count).map(|i| corner(turn + 360.0 * i as f32 / count as f32, r)).collect()
    };
    let (points, number) = match severity {
        Severity::Critical => (polygon(8, 22.5, size * 1.1), "1"),
        Severity::Major => (polygon(3, 0.0, size * 1.35), "2"),
        Severity::Warning => (polygon(4, 0.0, size * 1.25), "3"),
        Severity::Info => (polygon(24, 0.0, size), "4"),
    };
    let outline = Stroke::new(1.0, Color32::from_black_alpha(120));
    painter.add(Shape::convex_polygon(points, colour, outline));
    let down = if severity == Severity::Major { 1.5 } else { 0.0 };
    let ink = Color32::from_rgb(0x14, 0x18, 0x1D);
    painter.text(at + vec2(0.0, down), Align2::CENTER_CENTER, number, FontId::proportional(size * 1.25), ink);
}
