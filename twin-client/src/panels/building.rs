//! One building: what it draws and what stands in it.

use super::parts::{self, About};
use crate::{
    i18n::I18n,
    model::{LiveValue, ParkModel, selection::Thing},
    ui::{commands::UiCommand, format, theme},
};
use egui::{RichText, Sense, Ui};
use shared::{telemetry::Provenance, time::Timestamp};

/// What a building draws, and how much of it is known.
#[derive(Debug, Default, PartialEq)]
struct Drawn {
    kw: f64,
    counted: usize,
    of: usize,
    /// The oldest value in the sum.
    oldest: Option<Timestamp>,
    provenance: Option<Provenance>,
}

/// Sums the devices that count towards the balance; one that is offline or silent is missing, not zero.
fn drawn(powers: impl Iterator<Item = Option<LiveValue>>) -> Drawn {
    powers.fold(Drawn::default(), |mut sum, power| {
        sum.of += 1;
        if let Some(power) = power {
            sum.counted += 1;
            sum.kw += power.value;
            sum.oldest = Some(sum.oldest.map_or(power.timestamp, |o| o.min(power.timestamp)));
            // One simulated part makes the whole simulated, one estimated part estimated.
            sum.provenance = match (sum.provenance, power.provenance) {
                (None | Some(Provenance::Measured), new) => Some(new),
                (Some(Provenance::Estimated), Provenance::Simulated) => Some(Provenance::Simulated),
                (kept, _) => kept,
            };
        }
        sum
    })
}

pub fn building_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, index: u32, out: &mut Vec<UiCommand>) {
    let Some(scene) = &model.scene else { return };
    let Some(building) = scene.building(index) else { return };
    let devices = scene.devices_in(index);
    let power_of = |d: u32| model.value(d, "power").filter(|_| model.connected(d).online != Some(false));
    let drawn = drawn(
        devices
            .iter()
            .filter(|d| scene.device(**d).is_some_and(|d| scene.scene.role_of(d).is_balance_term()))
            .map(|d| power_of(*d)),
    );
    parts::card(
        ui,
        i18n.text(&building.name),
        |ui| {
            if ui.small_button("×").on_hover_text(i18n.t("close")).clicked() {
                out.push(UiCommand::Select(None));
            }
            if let Some(provenance) = drawn.provenance {
                parts::about(ui, model, i18n, &About { unit: "", provenance, at: drawn.oldest });
            }
        },
        |ui| {
            let size = i18n.t1("building-size", "floors", i64::from(building.floors));
            let line = format!("{} · {size} · {:.0} m", building.id, building.height_m);
            ui.label(RichText::new(line).size(11.5).color(theme::WEAK));
            if drawn.of == 0 {
                return;
            }
            ui.horizontal(|ui| {
                let (value, unit) = format::power(drawn.kw);
                let value = if drawn.counted == 0 { "–".to_owned() } else { value };
                parts::tile(ui, &i18n.t("building-power"), &value, unit);
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Max), |ui| {
                    let mut arguments = fluent_bundle::FluentArgs::new();
                    arguments.set("n", drawn.counted as i64);
                    arguments.set("m", drawn.of as i64);
                    let colour = if drawn.counted < drawn.of {
                        theme::severity(shared::alarm::Severity::Warning)
                    } else {
                        theme::WEAK
                    };
                    let text = i18n.tf("building-counted", &arguments);
                    ui.label(RichText::new(text).size(11.5).color(colour))
                        .on_hover_text(i18n.t("building-counted-hint"));
                });
            });
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
                        let offline = model.connected(device).online == Some(false);
                        let (text, colour) = match model.value(device, "power") {
                            _ if offline => (i18n.t("device-offline").into_owned(), theme::FAINT),
                            Some(power) => {
                                let (value, unit) = format::power(power.value);
                                (format!("{value} {unit}"), theme::TEXT)
                            }
                            None => ("–".to_owned(), theme::FAINT),
                        };
                        ui.label(RichText::new(text).size(12.5).color(colour));
                    });
                });
                let mut response = row.response.interact(Sense::click());
                if let Some(at) = model.values.newest(device) {
                    response = response.on_hover_text(format::age(i18n, model.now, at));
                }
                if response.clicked() {
                    out.push(UiCommand::Select(Some(Thing::Device(device))));
                }
            }
            if devices.is_empty() {
                parts::nothing_yet(ui, &i18n.t("building-no-devices"));
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::telemetry::Quality;

    #[test]
    fn a_device_without_a_value_is_counted_as_missing_and_not_as_zero() {
        let value = |kw, at, provenance| {
            Some(LiveValue { value: kw, timestamp: Timestamp(at), quality: Quality::Good, provenance })
        };
        let sum = drawn(
            [value(5.0, 90, Provenance::Measured), None, value(7.0, 40, Provenance::Simulated)].into_iter(),
        );
        assert_eq!(
            sum,
            Drawn {
                kw: 12.0,
                counted: 2,
                of: 3,
                oldest: Some(Timestamp(40)),
                provenance: Some(Provenance::Simulated)
            }
        );
    }
}
