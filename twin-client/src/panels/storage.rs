//! Storage: how full, which way power flows, each container by itself.

use super::{
    day,
    parts::{self, About},
};
use crate::{
    i18n::I18n,
    model::{ParkModel, selection::Thing},
    ui::{commands::UiCommand, format, theme},
};
use egui::{RichText, Sense, Ui};
use shared::time::Timestamp;

/// Containers listed one by one; a larger fleet is a number and a search away.
const LISTED: usize = 6;

/// `listed`: whether there is room for each container by itself.
pub fn storage_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, listed: bool, out: &mut Vec<UiCommand>) {
    let title = i18n.t("storage-title");
    let (Some(energy), Some(scene)) = (&model.energy, &model.scene) else {
        parts::card(ui, &title, |_| {}, |ui| parts::nothing_yet(ui, &i18n.t("waiting-for-data")));
        return;
    };
    let colour = theme::colour(theme::STORAGE);
    let at = Some(Timestamp(energy.at.0 - energy.age_ms));
    let (capacity, unit) = format::energy(energy.storage_capacity_kwh);
    parts::card(
        ui,
        &format!("{title} · {capacity} {unit}"),
        |ui| parts::about(ui, model, i18n, &About { unit: "", provenance: energy.provenance, at }),
        |ui| {
            ui.horizontal(|ui| {
                let percent = energy.state_of_charge.map_or("–".into(), |s| format::grouped(s * 100.0, 1));
                parts::figure(ui, &percent, "%", 22.0);
                if energy.state_of_charge.is_some() {
                    let (stored, unit) = format::energy(energy.stored_kwh);
                    ui.label(RichText::new(format!("{stored} {unit}")).size(11.5).color(theme::WEAK));
                }
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    ui.label(RichText::new(direction(i18n, energy.now.storage_kw)).size(13.0).color(colour));
                });
            });
            let containers = day::storage_devices(ui, model, scene);
            if !listed {
                parts::level_bar(ui, energy.state_of_charge, colour, 6.0);
                return;
            }
            for &index in containers.iter().take(LISTED) {
                container(ui, model, i18n, index, out);
            }
            if containers.len() > LISTED {
                let more = i18n.t1("storage-more", "n", (containers.len() - LISTED) as i64);
                ui.label(RichText::new(more).size(11.0).color(theme::WEAK));
            }
        },
    );
}

fn container(ui: &mut Ui, model: &ParkModel, i18n: &I18n, index: u32, out: &mut Vec<UiCommand>) {
    let Some(device) = model.scene.as_ref().and_then(|s| s.device(index)) else { return };
    let colour = theme::colour(theme::STORAGE);
    let charge = model.value(index, "soc");
    let power = model.value(index, "power");
    let offline = model.connected(index).online == Some(false);
    let block = ui.scope(|ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        ui.horizontal(|ui| {
            ui.label(RichText::new(i18n.text(&device.name)).size(12.0).color(theme::WEAK));
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let percent = charge.map_or("– %".into(), |v| format!("{} %", format::grouped(v.value, 0)));
                ui.add_sized(
                    [40.0, 14.0],
                    egui::Label::new(RichText::new(percent).size(12.0)).halign(egui::Align::RIGHT),
                );
                let text = match power {
                    _ if offline => i18n.t("device-offline").into_owned(),
                    Some(power) => direction(i18n, power.value),
                    None => "–".into(),
                };
                ui.label(RichText::new(text).size(11.5).color(theme::WEAK));
            });
        });
        let shown = if offline { theme::FAINT } else { colour };
        parts::level_bar(ui, charge.map(|v| v.value / 100.0), shown, 5.0);
    });
    let mut response = block.response.interact(Sense::click());
    if let Some(at) = model.values.newest(index) {
        response = response.on_hover_text(format::age(i18n, model.now, at));
    }
    if response.clicked() {
        out.push(UiCommand::GoTo(Thing::Device(index)));
    }
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
