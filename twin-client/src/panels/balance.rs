//! Power now: what comes in and what it is used for, as two bars of the same length, because they balance.

use super::parts;
use crate::{
    i18n::I18n,
    model::ParkModel,
    ui::{commands::UiCommand, format, theme},
};
use egui::{Color32, RichText, Ui};
use shared::energy::PowerBalance;

struct Term {
    name: &'static str,
    colour: Color32,
    kw: f64,
}

/// Supply and demand of a balance; both sum to the same.
fn sides(now: &PowerBalance) -> (Vec<Term>, Vec<Term>) {
    let term = |name, tone, kw: f64| Term { name, colour: theme::colour(tone), kw: kw.max(0.0) };
    let unmeasured = |kw: f64| Term { name: "balance-unaccounted", colour: theme::FAINT, kw: kw.max(0.0) };
    let supply = vec![
        term("balance-pv", theme::SOLAR, now.pv_kw),
        term("balance-wind", theme::WIND, now.wind_kw),
        term("balance-discharge", theme::STORAGE, -now.storage_kw),
        term("balance-import", theme::GRID, now.grid_kw),
        unmeasured(-now.unaccounted_kw),
    ];
    let demand = vec![
        term("balance-load", theme::LOAD, now.load_kw),
        term("balance-charging", theme::CHARGING, now.charging_kw),
        term("balance-charge", theme::STORAGE, now.storage_kw),
        term("balance-export", theme::GRID, -now.grid_kw),
        unmeasured(now.unaccounted_kw),
    ];
    (supply, demand)
}

pub fn balance_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, _out: &mut Vec<UiCommand>) {
    let title = i18n.t("balance-title");
    let Some(energy) = &model.energy else {
        parts::card(ui, &title, |_| {}, |ui| parts::nothing_yet(ui, &i18n.t("waiting-for-data")));
        return;
    };
    let aside = |ui: &mut Ui| {
        parts::provenance_tag(ui, i18n, energy.provenance);
        let measured_at = shared::time::Timestamp(energy.at.0 - energy.age_ms);
        ui.label(RichText::new(format::age(i18n, model.now, measured_at)).size(11.0).color(theme::FAINT));
    };
    parts::card(ui, &title, aside, |ui| {
        let (supply, demand) = sides(&energy.now);
        let total = supply.iter().map(|t| t.kw).sum::<f64>().max(demand.iter().map(|t| t.kw).sum());
        for (name, terms) in [("balance-supply", &supply), ("balance-demand", &demand)] {
            ui.horizontal(|ui| {
                ui.label(RichText::new(heading(i18n, name)).size(11.5).color(theme::WEAK));
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    let (value, unit) = format::power(terms.iter().map(|t| t.kw).sum());
                    ui.label(RichText::new(format!("{value} {unit}")).size(12.0).color(theme::TEXT));
                });
            });
            let bar: Vec<_> = terms.iter().map(|t| (t.colour, t.kw)).collect();
            parts::stacked_bar(ui, &bar, total, 16.0);
            rows(ui, i18n, terms);
            ui.add_space(5.0);
        }
    });
}

fn heading(i18n: &I18n, name: &str) -> String {
    match name {
        "balance-supply" => i18n.t("balance-supply"),
        _ => i18n.t("balance-demand"),
    }
    .into_owned()
}

fn term_name(i18n: &I18n, name: &str) -> String {
    match name {
        "balance-pv" => i18n.t("balance-pv"),
        "balance-wind" => i18n.t("balance-wind"),
        "balance-discharge" => i18n.t("balance-discharge"),
        "balance-import" => i18n.t("balance-import"),
        "balance-load" => i18n.t("balance-load"),
        "balance-charging" => i18n.t("balance-charging"),
        "balance-charge" => i18n.t("balance-charge"),
        "balance-export" => i18n.t("balance-export"),
        _ => i18n.t("balance-unaccounted"),
    }
    .into_owned()
}

/// Two columns of what is not zero.
fn rows(ui: &mut Ui, i18n: &I18n, terms: &[Term]) {
    let shown: Vec<&Term> = terms.iter().filter(|t| t.kw >= 0.05).collect();
    let width = (ui.available_width() - 12.0) / 2.0;
    for pair in shown.chunks(2) {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            for term in pair {
                ui.allocate_ui_with_layout(
                    egui::vec2(width, 16.0),
                    egui::Layout::left_to_right(egui::Align::Center),
                    |ui| {
                        ui.set_min_width(width);
                        parts::chip(ui, term.colour);
                        ui.label(RichText::new(term_name(i18n, term.name)).size(12.0).color(theme::WEAK));
                        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                            let (value, unit) = format::power(term.kw);
                            ui.label(RichText::new(unit).size(10.5).color(theme::FAINT));
                            ui.label(RichText::new(value).size(13.0).color(theme::TEXT));
                        });
                    },
                );
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supply_and_demand_always_sum_to_the_same() {
        for (grid, storage, unaccounted) in
            [(500.0, 200.0, 10.0), (-300.0, -400.0, -20.0), (0.0, 0.0, 0.0), (120.0, -80.0, 5.0)]
        {
            let (pv_kw, wind_kw, charging_kw) = (700.0, 90.0, 60.0);
            // The balance's own definition gives the load.
            let load_kw = grid - storage - charging_kw + pv_kw + wind_kw - unaccounted;
            let now = PowerBalance {
                grid_kw: grid,
                pv_kw,
                wind_kw,
                storage_kw: storage,
                charging_kw,
                load_kw,
                unaccounted_kw: unaccounted,
            };
            let (supply, demand) = sides(&now);
            let sum = |terms: &[Term]| terms.iter().map(|t| t.kw).sum::<f64>();
            assert!((sum(&supply) - sum(&demand)).abs() < 1e-9);
        }
    }
}
