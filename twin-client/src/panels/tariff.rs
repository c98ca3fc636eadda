//! The tariff: the day's bands as a strip, where now is in it, and what a kWh costs.

use super::parts;
use crate::{
    i18n::I18n,
    model::ParkModel,
    ui::{commands::UiCommand, format, theme},
};
use egui::{CornerRadius, Pos2, Rect, RichText, Sense, Stroke, Ui, vec2};
use shared::{
    tariff::Band,
    time::{HOUR_MS, MINUTE_MS, Timestamp},
};

pub fn tariff_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, _out: &mut Vec<UiCommand>) {
    let title = i18n.t("tariff-title");
    let Some(scene) = &model.scene else {
        parts::card(ui, &title, |_| {}, |ui| parts::nothing_yet(ui, &i18n.t("waiting-for-data")));
        return;
    };
    let tariff = &scene.scene.tariff;
    let band = tariff.band_at(model.now.local(&scene.zone));
    parts::card(
        ui,
        &title,
        |ui| {
            if tariff.example {
                parts::tag(ui, &i18n.t("tariff-example"), theme::WEAK);
            }
        },
        |ui| {
            ui.horizontal(|ui| {
                parts::figure(ui, &format!("{:.4}", tariff.price_per_kwh(band)), "¥/kWh", 20.0);
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    ui.label(
                        RichText::new(band_name(i18n, band)).size(14.0).color(theme::band(band)).strong(),
                    );
                });
            });
            strip(ui, model.now, |at| tariff.band_at(at.local(&scene.zone)), &scene.zone);
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

/// The day in quarter hours, coloured by band, with hours below and a mark at now.
fn strip(ui: &mut Ui, now: Timestamp, band_at: impl Fn(Timestamp) -> Band, zone: &jiff::tz::TimeZone) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 30.0), Sense::hover());
    let bar = Rect::from_min_size(rect.min, vec2(rect.width(), 14.0));
    let midnight = now.start_of_day(zone);
    let painter = ui.painter();
    let x = |ms: i64| bar.left() + bar.width() * ms as f32 / (24 * HOUR_MS) as f32;
    for quarter in 0..96 {
        let (from, to) = (quarter * 15 * MINUTE_MS, (quarter + 1) * 15 * MINUTE_MS);
        let band = band_at(Timestamp(midnight.0 + from));
        let part = Rect::from_min_max(Pos2::new(x(from), bar.top()), Pos2::new(x(to) + 0.5, bar.bottom()));
        painter.rect_filled(part, CornerRadius::ZERO, theme::band(band));
    }
    let mark = x(now.since(midnight));
    painter.line_segment(
        [Pos2::new(mark, bar.top() - 3.0), Pos2::new(mark, bar.bottom() + 3.0)],
        Stroke::new(2.0, theme::TEXT),
    );
    for hour in [0, 6, 12, 18, 24] {
        let at = Pos2::new(x(hour * HOUR_MS), bar.bottom() + 9.0);
        let align = match hour {
            0 => egui::Align2::LEFT_CENTER,
            24 => egui::Align2::RIGHT_CENTER,
            _ => egui::Align2::CENTER_CENTER,
        };
        painter.text(at, align, format!("{hour:02}"), egui::FontId::proportional(10.0), theme::FAINT);
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

/// For the top bar: the band and its price in one line.
pub fn band_line(model: &ParkModel, i18n: &I18n) -> Option<(String, egui::Color32)> {
    let scene = model.scene.as_ref()?;
    let tariff = &scene.scene.tariff;
    let band = tariff.band_at(model.now.local(&scene.zone));
    let price = format::grouped(tariff.price_per_kwh(band), 4);
    Some((format!("{} ¥{price}/kWh", band_name(i18n, band)), theme::band(band)))
}
