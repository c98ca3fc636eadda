//! Alarms: what a person must act on, most pressing first, acknowledged with one click.

use super::parts;
use crate::{
    i18n::I18n,
    model::{ParkModel, selection::Thing},
    ui::{commands::UiCommand, format, theme},
};
use egui::{Align2, Button, Color32, FontId, Pos2, RichText, Sense, Shape, Stroke, Ui, vec2};
use shared::alarm::{Alarm, Severity};

pub fn alarms_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, out: &mut Vec<UiCommand>) {
    let open = model.alarms.iter().filter(|a| a.acknowledged_at.is_none()).count();
    ui.horizontal(|ui| {
        ui.label(RichText::new(i18n.t("alarms-title")).size(13.0).strong());
        let summary =
            if model.alarms.is_empty() { String::new() } else { i18n.t1("alarms-open", "n", open as i64) };
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            ui.label(RichText::new(summary).size(11.5).color(theme::WEAK));
        });
    });
    ui.add_space(4.0);
    if model.alarms.is_empty() {
        parts::nothing_yet(ui, &i18n.t("alarms-none"));
        return;
    }
    let row_height = 46.0;
    egui::ScrollArea::vertical().auto_shrink([false, false]).show_rows(
        ui,
        row_height,
        model.alarms.len(),
        |ui, range| {
            for alarm in &model.alarms[range] {
                row(ui, model, i18n, alarm, row_height, out);
            }
        },
    );
}

fn row(ui: &mut Ui, model: &ParkModel, i18n: &I18n, alarm: &Alarm, height: f32, out: &mut Vec<UiCommand>) {
    let colour = theme::severity(alarm.severity);
    let calm = alarm.acknowledged_at.is_some();
    let device = alarm.device_id.as_ref().and_then(|id| model.scene.as_ref()?.device_index(id));
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), height - 4.0), Sense::click());
    let fill = if response.hovered() { theme::CARD_RAISED } else { theme::CARD };
    ui.painter().rect_filled(rect, 6, fill);
    badge(ui.painter(), rect.left_center() + vec2(17.0, 0.0), 8.0, alarm.severity, calm);
    let name = device
        .and_then(|d| model.scene.as_ref()?.device(d))
        .map_or_else(|| i18n.t("alarms-park").into_owned(), |d| i18n.text(&d.name).to_owned());
    let mut inside = ui.new_child(
        egui::UiBuilder::new()
            .max_rect(rect.shrink2(vec2(8.0, 4.0)).with_min_x(rect.left() + 33.0))
            .layout(egui::Layout::right_to_left(egui::Align::Center)),
    );
    if calm {
        inside.label(RichText::new("✓").color(theme::FAINT));
    } else {
        let button = Button::new(RichText::new(i18n.t("alarms-acknowledge")).size(11.5));
        if inside.add_enabled(model.link.is_live(), button).clicked() {
            out.push(UiCommand::Acknowledge(alarm.id.clone()));
        }
    }
    inside.with_layout(egui::Layout::top_down(egui::Align::Min), |ui| {
        ui.spacing_mut().item_spacing.y = 1.0;
        let text_colour = if calm { theme::WEAK } else { theme::TEXT };
        ui.add(
            egui::Label::new(RichText::new(i18n.text(&alarm.text)).size(12.5).color(text_colour)).truncate(),
        );
        let state =
            if alarm.is_active() { String::new() } else { format!(" · {}", i18n.t("alarms-cleared")) };
        let line = format!("{name} · {}{state}", format::age(i18n, model.now, alarm.raised_at));
        ui.add(
            egui::Label::new(RichText::new(line).size(11.0).color(if calm { theme::FAINT } else { colour }))
                .truncate(),
        );
    });
    if response.clicked()
        && let Some(device) = device
    {
        out.push(UiCommand::GoTo(Thing::Device(device)));
    }
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
