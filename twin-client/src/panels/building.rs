//! One building: what it draws and what stands in it.

use super::parts;
use crate::{
    i18n::I18n,
    model::{ParkModel, selection::Thing},
    ui::{commands::UiCommand, format, theme},
};
use egui::{RichText, Sense, Ui};

pub fn building_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, index: u32, out: &mut Vec<UiCommand>) {
    let Some(scene) = &model.scene else { return };
    let Some(building) = scene.building(index) else { return };
    let devices = scene.devices_in(index);
    let drawn: f64 = devices
        .iter()
        .filter(|d| scene.device(**d).is_some_and(|d| scene.scene.role_of(d).is_balance_term()))
        .filter_map(|d| model.value(*d, "power"))
        .map(|v| v.value)
        .sum();
    parts::card(
        ui,
        i18n.text(&building.name),
        |ui| {
            if ui.small_button("×").clicked() {
                out.push(UiCommand::Select(None));
            }
        },
        |ui| {
            let size = i18n.t1("building-size", "floors", i64::from(building.floors));
            ui.label(
                RichText::new(format!("{} · {size} · {:.0} m", building.id, building.height_m))
                    .size(11.5)
                    .color(theme::WEAK),
            );
            let (value, unit) = format::power(drawn);
            parts::tile(ui, &i18n.t("building-power"), &value, unit);
        },
    );
    parts::card(
        ui,
        &i18n.t("building-devices"),
        |_| {},
        |ui| {
            for &device in devices {
                let Some(described) = scene.device(device) else { continue };
                let row = ui.horizontal(|ui| {
                    ui.label(RichText::new(i18n.text(&described.name)).size(12.5).color(theme::WEAK));
                    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                        if let Some(power) = model.value(device, "power") {
                            let (value, unit) = format::power(power.value);
                            ui.label(RichText::new(format!("{value} {unit}")).size(12.5));
                        }
                    });
                });
                if row.response.interact(Sense::click()).clicked() {
                    out.push(UiCommand::Select(Some(Thing::Device(device))));
                }
            }
            if devices.is_empty() {
                parts::nothing_yet(ui, &i18n.t("building-no-devices"));
            }
        },
    );
}
