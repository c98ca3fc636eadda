//! What panels are made of: cards with titles, figures with units, chips and bars, and where a number comes from.

use crate::{
    i18n::I18n,
    model::ParkModel,
    ui::{format, theme},
};
use egui::{Align2, Color32, CornerRadius, FontId, Painter, Pos2, Rect, RichText, Sense, Stroke, Ui, vec2};
use shared::{telemetry::Provenance, time::Timestamp};

/// Between a legend and what it explains.
pub const LEGEND_GAP: f32 = 2.0;

/// A card with its title, and on the right what the panel wants to say about its data.
pub fn card(ui: &mut Ui, title: &str, aside: impl FnOnce(&mut Ui), body: impl FnOnce(&mut Ui)) {
    theme::card().show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.horizontal(|ui| {
            ui.label(RichText::new(title).size(13.0).color(theme::TEXT).strong());
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), aside);
        });
        ui.add_space(4.0);
        body(ui);
    });
    ui.add_space(2.0);
}

/// What a reader must know of a card's numbers besides themselves.
pub struct About<'a> {
    /// Empty where each number names its own.
    pub unit: &'a str,
    pub provenance: Provenance,
    /// When the newest number was true; `None` when there is none.
    pub at: Option<Timestamp>,
}

/// Unit, provenance and age on the right of a card's title; the exact time and what the word means on hovering.
pub fn about(ui: &mut Ui, model: &ParkModel, i18n: &I18n, about: &About<'_>) {
    if let Some(at) = about.at {
        let age = ui.label(RichText::new(format::age(i18n, model.now, at)).size(11.0).color(theme::WEAK));
        if let Some(scene) = &model.scene {
            age.on_hover_text(i18n.t1("about-as-of", "time", format::moment(at, model.now, &scene.zone)));
        }
    }
    provenance_tag(ui, i18n, about.provenance);
    if !about.unit.is_empty() {
        ui.label(RichText::new(about.unit).size(11.0).color(theme::WEAK));
    }
}

/// Where a number comes from, as a small outlined word that explains itself.
pub fn provenance_tag(ui: &mut Ui, i18n: &I18n, provenance: Provenance) {
    let what = match provenance {
        Provenance::Measured => i18n.t("provenance-measured-hint"),
        Provenance::Estimated => i18n.t("provenance-estimated-hint"),
        Provenance::Simulated => i18n.t("provenance-simulated-hint"),
        Provenance::Forecast => i18n.t("provenance-forecast-hint"),
    };
    tag(ui, &format::provenance(i18n, provenance), theme::WEAK).on_hover_text(what);
}

pub fn tag(ui: &mut Ui, text: &str, colour: Color32) -> egui::Response {
    egui::Frame::new()
        .stroke(Stroke::new(1.0, colour.linear_multiply(0.5)))
        .corner_radius(CornerRadius::same(4))
        .inner_margin(egui::Margin::symmetric(5, 0))
        .show(ui, |ui| ui.label(RichText::new(text).size(10.5).color(colour)))
        .inner
}

/// A large figure with its unit.
pub fn figure(ui: &mut Ui, value: &str, unit: &str, size: f32) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        ui.label(RichText::new(value).size(size).color(theme::TEXT));
        ui.label(RichText::new(unit).size((size * 0.55).max(11.0)).color(theme::WEAK));
    });
}

/// A name above a figure.
pub fn tile(ui: &mut Ui, name: &str, value: &str, unit: &str) -> egui::Response {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 1.0;
        ui.add(egui::Label::new(RichText::new(name).size(11.0).color(theme::WEAK)).truncate());
        figure(ui, value, unit, 18.0);
    })
    .response
    .interact(Sense::hover())
}

/// A square of colour that ties a row to a curve or bar.
pub fn chip(ui: &mut Ui, colour: Color32) {
    let (rect, _) = ui.allocate_exact_size(vec2(9.0, 9.0), Sense::hover());
    ui.painter().rect_filled(rect, CornerRadius::same(2), colour);
}

/// A legend of chips on one line.
pub fn legend(ui: &mut Ui, entries: &[(Color32, &str)]) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        for (colour, name) in entries {
            chip(ui, *colour);
            ui.label(RichText::new(*name).size(11.0).color(theme::WEAK));
            ui.add_space(6.0);
        }
    });
}

/// A bar of parts side by side; widths in shares of `whole`.
pub fn stacked_bar(ui: &mut Ui, parts: &[(Color32, f64)], whole: f64, height: f32) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
    let painter = ui.painter();
    painter.rect_filled(rect, CornerRadius::same(4), theme::CARD_RAISED);
    let mut x = rect.left();
    for (colour, value) in parts {
        let width = rect.width() * (*value / whole.max(1e-6)).clamp(0.0, 1.0) as f32;
        if width >= 0.5 {
            let part = Rect::from_min_size(Pos2::new(x, rect.top()), vec2((width - 1.0).max(0.5), height));
            painter.rect_filled(part, CornerRadius::same(3), *colour);
        }
        x += width;
    }
}

/// A single filled bar, for states of charge; hatched when nobody knows.
pub fn level_bar(ui: &mut Ui, share: Option<f64>, colour: Color32, height: f32) {
    match share {
        Some(share) => stacked_bar(ui, &[(colour, share)], 1.0, height),
        None => {
            let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
            hatched(ui.painter(), rect);
        }
    }
}

/// No data: slanted lines in place of a value.
pub fn hatched(painter: &Painter, rect: Rect) {
    let inside = painter.with_clip_rect(rect.intersect(painter.clip_rect()));
    inside.rect_filled(rect, CornerRadius::same(4), theme::CARD_RAISED);
    let mut x = rect.left() - rect.height();
    while x < rect.right() {
        let stroke = Stroke::new(1.0, theme::FAINT);
        inside.line_segment([Pos2::new(x, rect.bottom()), Pos2::new(x + rect.height(), rect.top())], stroke);
        x += 6.0;
    }
}

/// A note in place of data that is not there.
pub fn nothing_yet(ui: &mut Ui, text: &str) {
    ui.label(RichText::new(text).size(12.0).color(theme::WEAK));
}

/// Text in the middle of a painted thing.
pub fn centred(painter: &Painter, at: Pos2, text: &str, size: f32, colour: Color32) {
    painter.text(at, Align2::CENTER_CENTER, text, FontId::proportional(size), colour);
}
