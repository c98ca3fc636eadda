//! The tariff: the day's bands as a strip, where now is in it, and what a kWh costs.

use super::{
    day::{self, BandRun},
    parts,
};
use crate::{
    i18n::I18n,
    model::ParkModel,
    ui::{commands::UiCommand, format, theme},
};
use egui::{CornerRadius, Pos2, Rect, RichText, Sense, Stroke, Ui, vec2};
use shared::{
    tariff::Band,
    time::{HOUR_MS, MINUTE_MS},
};

/// `legend`: whether there is room to name the bands' colours; hovering names them anyway.
pub fn tariff_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, legend: bool, _out: &mut Vec<UiCommand>) {
    let title = i18n.t("tariff-title");
    let Some(scene) = &model.scene else {
        parts::card(ui, &title, |_| {}, |ui| parts::nothing_yet(ui, &i18n.t("waiting-for-data")));
        return;
    };
    let tariff = &scene.scene.tariff;
    let runs = day::bands_today(ui, model, scene);
    let since_midnight = model.now.since(model.now.start_of_day(&scene.zone));
    let quarter = (since_midnight / (15 * MINUTE_MS)) as usize;
    let running = runs.iter().find(|r| (r.from..r.to).contains(&quarter)).copied();
    parts::card(
        ui,
        &title,
        |ui| {
            if tariff.example {
                parts::tag(ui, &i18n.t("tariff-example"), theme::WEAK)
                    .on_hover_text(i18n.t("tariff-example-hint"));
            }
        },
        |ui| {
            if let Some(running) = running {
                ui.horizontal(|ui| {
                    let price = format::grouped(tariff.price_per_kwh(running.band), 4);
                    parts::figure(ui, &price, "¥/kWh", 20.0);
                    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                        let until = i18n.t1("tariff-until", "time", quarter_label(running.to));
                        ui.label(RichText::new(until).size(11.5).color(theme::WEAK));
                        ui.label(RichText::new(band_name(i18n, running.band)).size(14.0).strong());
                        parts::chip(ui, theme::band(running.band));
                    });
                });
            }
            strip(ui, since_midnight, &runs, |band| {
                format!("{} ¥{}/kWh", band_name(i18n, band), format::grouped(tariff.price_per_kwh(band), 4))
            });
            if !legend {
                return;
            }
            parts::legend(
                ui,
                &[Band::Critical, Band::Peak, Band::Flat, Band::Valley]
                    .map(|b| (theme::band(b), band_name(i18n, b)))
                    .iter()
                    .map(|(c, n)| (*c, n.as_str()))
                    .collect::<Vec<_>>(),
            );
        },
    );
}

fn quarter_label(quarter: usize) -> String {
    format!("{:02}:{:02}", quarter / 4, quarter % 4 * 15)
}

/// The day coloured by band, with hours below and a mark at now; on hovering, a band's hours and price.
fn strip(ui: &mut Ui, since_midnight: i64, runs: &[BandRun], words: impl Fn(Band) -> String) {
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 30.0), Sense::hover());
    let bar = Rect::from_min_size(rect.min, vec2(rect.width(), 14.0));
    let painter = ui.painter();
    let x = |quarter: f32| bar.left() + bar.width() * quarter / 96.0;
    for run in runs {
        let part = Rect::from_min_max(
            Pos2::new(x(run.from as f32), bar.top()),
            Pos2::new(x(run.to as f32), bar.bottom()),
        );
        painter.rect_filled(part, CornerRadius::ZERO, theme::band(run.band));
    }
    let mark = x(since_midnight as f32 / (15 * MINUTE_MS) as f32);
    painter.line_segment(
        [Pos2::new(mark, bar.top() - 3.0), Pos2::new(mark, bar.bottom() + 3.0)],
        Stroke::new(2.0, theme::TEXT),
    );
    for hour in [0, 6, 12, 18, 24] {
        let at = Pos2::new(x((hour * HOUR_MS / (15 * MINUTE_MS)) as f32), bar.bottom() + 9.0);
        let align = match hour {
            0 => egui::Align2::LEFT_CENTER,
            24 => egui::Align2::RIGHT_CENTER,
            _ => egui::Align2::CENTER_CENTER,
        };
        painter.text(at, align, format!("{hour:02}:00"), egui::FontId::proportional(10.0), theme::WEAK);
    }
    if let Some(pointer) = response.hover_pos() {
        let quarter = ((pointer.x - bar.left()) / bar.width() * 96.0).clamp(0.0, 95.0) as usize;
        if let Some(run) = runs.iter().find(|r| (r.from..r.to).contains(&quarter)) {
            let hours = format!("{}–{}", quarter_label(run.from), quarter_label(run.to));
            response.on_hover_text(format!("{hours}  {}", words(run.band)));
        }
    }
}

fn band_name(i18n: &I18n, band: Band) -> String {
    match band {
        Band::Critical => i18n.t("band-critical"),
        Band::Peak => i18n.t("band-peak"),
        Band::Flat => i18n.t("band-flat"),
        Band::Valley => i18n.t("band-valley"),
    }
    .into_owned()
}
