//! Storage: how full, which way power flows, each container by itself.

use super::parts;
use crate::{
    i18n::I18n,
    model::{ParkModel, selection::Thing},
    ui::{commands::UiCommand, format, theme},
};
use egui::{RichText, Sense, Ui};
use shared::thing_model::Role;

pub fn storage_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, out: &mut Vec<UiCommand>) {
    let title = i18n.t("storage-title");
    let (Some(energy), Some(scene)) = (&model.energy, &model.scene) else {
        parts::card(ui, &title, |_| {}, |ui| parts::nothing_yet(ui, &i18n.t("waiting-for-data")));
        return;
    };
    let colour = theme::colour(theme::STORAGE);
    parts::card(
        ui,
        &title,
        |ui| {
            let (stored, unit) = format::energy(energy.stored_kwh);
            let (capacity, capacity_unit) = format::energy(energy.storage_capacity_kwh);
            let text = format!("{stored} {unit} / {capacity} {capacity_unit}");
            ui.label(RichText::new(text).size(11.5).color(theme::WEAK));
        },
        |ui| {
            ui.horizontal(|ui| {
                let percent = energy.state_of_charge.map_or("–".into(), |s| format::grouped(s * 100.0, 1));
                parts::figure(ui, &percent, "%", 24.0);
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    ui.label(RichText::new(direction(i18n, energy.now.storage_kw)).size(13.0).color(colour));
                });
            });
            for (index, device) in scene.scene.devices.iter().enumerate() {
                if scene.scene.role_of(device) != Role::Storage {
                    continue;
                }
                let index = index as u32;
                let row = ui.horizontal(|ui| {
                    ui.label(RichText::new(i18n.text(&device.name)).size(12.0).color(theme::WEAK));
                    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                        let power = model.value(index, "power").map(|v| v.value);
                        let text = power.map_or("–".into(), |kw| direction(i18n, kw));
                        ui.label(RichText::new(text).size(12.0).color(theme::TEXT));
                    });
                });
                let charge = model.value(index, "soc").map_or(0.0, |v| v.value / 100.0);
                parts::level_bar(ui, charge, colour, 6.0);
                if row.response.interact(Sense::click()).clicked() {
                    out.push(UiCommand::GoTo(Thing::Device(index)));
                }
            }
        },
    );
}

/// Charging or discharging, with how much.
fn direction(i18n: &I18n, kw: f64) -> String {
    let (value, unit) = format::power(kw.abs());
    if kw.abs() < 0.5 {
        i18n.t("storage-idle").into_owned()
    } else if kw > 0.0 {
        format!("↓ {} {value} {unit}", i18n.t("storage-charging"))
    } else {
        format!("↑ {} {value} {unit}", i18n.t("storage-discharging"))
    }
}
