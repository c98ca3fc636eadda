//! What panels are made of: cards with titles, figures with units, chips and bars.

use crate::{
    i18n::I18n,
    ui::{format, theme},
};
use egui::{Align2, Color32, CornerRadius, FontId, Pos2, Rect, RichText, Sense, Stroke, Ui, vec2};
use shared::telemetry::Provenance;

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
    ui.add_space(4.0);
}

/// Where a number comes from, as a small outlined word.
pub fn provenance_tag(ui: &mut Ui, i18n: &I18n, provenance: Provenance) {
    tag(ui, &format::provenance(i18n, provenance), theme::WEAK);
}

pub fn tag(ui: &mut Ui, text: &str, colour: Color32) {
    egui::Frame::new()
        .stroke(Stroke::new(1.0, colour.linear_multiply(0.5)))
        .corner_radius(CornerRadius::same(4))
        .inner_margin(egui::Margin::symmetric(5, 0))
        .show(ui, |ui| ui.label(RichText::new(text).size(10.5).color(colour)));
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
pub fn tile(ui: &mut Ui, name: &str, value: &str, unit: &str) {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 1.0;
        ui.label(RichText::new(name).size(11.0).color(theme::WEAK));
        figure(ui, value, unit, 18.0);
    });
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

/// A single filled bar with marks, for states of charge.
pub fn level_bar(ui: &mut Ui, share: f64, colour: Color32, height: f32) {
    stacked_bar(ui, &[(colour, share)], 1.0, height);
}

/// A note in place of data that is not there.
pub fn nothing_yet(ui: &mut Ui, text: &str) {
    ui.label(RichText::new(text).size(12.0).color(theme::FAINT));
}

/// Text in the middle of a painted thing.
pub fn centred(painter: &egui::Painter, at: Pos2, text: &str, size: f32, colour: Color32) {
    painter.text(at, Align2::CENTER_CENTER, text, FontId::proportional(size), colour);
}
