//! Power now: what comes in and what it is used for, as two bars of the same length, because they balance.

use super::parts::{self, About};
use crate::{
    i18n::I18n,
    model::ParkModel,
    ui::{commands::UiCommand, format, theme},
};
use egui::{Color32, RichText, Ui};
use shared::{
    energy::{EnergyTotals, PowerBalance},
    time::Timestamp,
};

/// What a flow is; its name and colour follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Pv,
    Wind,
    Discharge,
    Import,
    Load,
    Charging,
    Charge,
    Export,
    /// Drawn by someone nobody measures, and losses.
    Losses,
    /// Fed in by someone nobody measures.
    Unmeasured,
}

impl Flow {
    pub fn name(self, i18n: &I18n) -> String {
        match self {
            Flow::Pv => i18n.t("balance-pv"),
            Flow::Wind => i18n.t("balance-wind"),
            Flow::Discharge => i18n.t("balance-discharge"),
            Flow::Import => i18n.t("balance-import"),
            Flow::Load => i18n.t("balance-load"),
            Flow::Charging => i18n.t("balance-charging"),
            Flow::Charge => i18n.t("balance-charge"),
            Flow::Export => i18n.t("balance-export"),
            Flow::Losses => i18n.t("balance-losses"),
            Flow::Unmeasured => i18n.t("balance-unmeasured"),
        }
        .into_owned()
    }

    pub fn colour(self) -> Color32 {
        match self {
            Flow::Pv => theme::colour(theme::SOLAR),
            Flow::Wind => theme::colour(theme::WIND),
            Flow::Discharge | Flow::Charge => theme::colour(theme::STORAGE),
            Flow::Import | Flow::Export => theme::colour(theme::GRID),
            Flow::Load => theme::colour(theme::LOAD),
            Flow::Charging => theme::colour(theme::CHARGING),
            Flow::Losses | Flow::Unmeasured => theme::FAINT,
        }
    }
}

/// A flow with its power or energy, never negative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    pub flow: Flow,
    pub amount: f64,
}

fn term(flow: Flow, amount: f64) -> Term {
    Term { flow, amount: amount.max(0.0) }
}

pub fn sum(terms: &[Term]) -> f64 {
    terms.iter().map(|t| t.amount).sum()
}

/// Supply and demand of a balance in kW; both sum to the same.
fn power_sides(now: &PowerBalance) -> (Vec<Term>, Vec<Term>) {
    let supply = vec![
        term(Flow::Import, now.grid_kw),
        term(Flow::Pv, now.pv_kw),
        term(Flow::Wind, now.wind_kw),
        term(Flow::Discharge, -now.storage_kw),
        term(Flow::Unmeasured, -now.unaccounted_kw),
    ];
    let demand = vec![
        term(Flow::Load, now.load_kw),
        term(Flow::Charging, now.charging_kw),
        term(Flow::Charge, now.storage_kw),
        term(Flow::Export, -now.grid_kw),
        term(Flow::Losses, now.unaccounted_kw),
    ];
    (supply, demand)
}

/// Supply and demand of a period in kWh, rounded to `quantum`, so that what is shown adds up to the last digit.
pub fn energy_sides(totals: &EnergyTotals, quantum: f64) -> (Vec<Term>, Vec<Term>) {
    let rounded = |flow, kwh: f64| term(flow, (kwh / quantum).round() * quantum);
    let mut supply = vec![
        rounded(Flow::Import, totals.import_kwh),
        rounded(Flow::Pv, totals.pv_kwh),
        rounded(Flow::Wind, totals.wind_kwh),
        rounded(Flow::Discharge, totals.discharge_kwh),
    ];
    let mut demand = vec![
        rounded(Flow::Load, totals.load_kwh),
        rounded(Flow::Charging, totals.charging_kwh),
        rounded(Flow::Charge, totals.charge_kwh),
        rounded(Flow::Export, totals.export_kwh),
    ];
    let left = sum(&supply) - sum(&demand);
    if left >= 0.0 {
        demand.push(term(Flow::Losses, left));
    } else {
        supply.push(term(Flow::Unmeasured, -left));
    }
    (supply, demand)
}

pub fn balance_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, _out: &mut Vec<UiCommand>) {
    let title = i18n.t("balance-title");
    let Some(energy) = &model.energy else {
        parts::card(ui, &title, |_| {}, |ui| parts::nothing_yet(ui, &i18n.t("waiting-for-data")));
        return;
    };
    // As old as the oldest of its parts.
    let at = Some(Timestamp(energy.at.0 - energy.age_ms));
    let aside = |ui: &mut Ui| {
        parts::about(ui, model, i18n, &About { unit: "", provenance: energy.provenance, at });
    };
    parts::card(ui, &title, aside, |ui| {
        let (supply, demand) = power_sides(&energy.now);
        let total = sum(&supply).max(sum(&demand));
        side(ui, i18n, &i18n.t("balance-supply"), &supply, total);
        ui.add_space(4.0);
        side(ui, i18n, &i18n.t("balance-demand"), &demand, total);
    });
}

fn side(ui: &mut Ui, i18n: &I18n, heading: &str, terms: &[Term], total: f64) {
    ui.spacing_mut().item_spacing.y = 3.0;
    ui.horizontal(|ui| {
        ui.label(RichText::new(heading).size(11.5).color(theme::WEAK));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let (value, unit) = format::power(sum(terms));
            ui.label(RichText::new(format!("{value} {unit}")).size(12.0).color(theme::TEXT));
        });
    });
    let bar: Vec<_> = terms.iter().map(|t| (t.flow.colour(), t.amount)).collect();
    parts::stacked_bar(ui, &bar, total, 14.0);
    rows(ui, i18n, terms);
}

/// Room for the tallest text in a row, so that both halves stand on one line.
const ROW_HEIGHT: f32 = 18.0;

/// Two columns of what is not zero.
fn rows(ui: &mut Ui, i18n: &I18n, terms: &[Term]) {
    let shown: Vec<&Term> = terms.iter().filter(|t| t.amount >= 0.05).collect();
    let width = (ui.available_width() - 12.0) / 2.0;
    for pair in shown.chunks(2) {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 12.0;
            for term in pair {
                ui.allocate_ui_with_layout(
                    egui::vec2(width, ROW_HEIGHT),
                    egui::Layout::left_to_right(egui::Align::Center),
                    |ui| {
                        ui.spacing_mut().item_spacing.x = 6.0;
                        ui.set_min_width(width);
                        parts::chip(ui, term.flow.colour());
                        ui.label(RichText::new(term.flow.name(i18n)).size(12.0).color(theme::WEAK));
                        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                            let (value, unit) = format::power(term.amount);
                            ui.label(RichText::new(unit).size(10.5).color(theme::WEAK));
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
            let (supply, demand) = power_sides(&now);
            assert!((sum(&supply) - sum(&demand)).abs() < 1e-9);
        }
    }

    #[test]
    fn todays_table_adds_up_to_the_last_digit_and_what_is_missing_stands_on_the_side_it_is_missing_from() {
        let totals = |import_kwh| EnergyTotals {
            import_kwh,
            pv_kwh: 5_604.4,
            wind_kwh: 1_095.6,
            discharge_kwh: 1_802.7,
            charge_kwh: 8_001.3,
            charging_kwh: 2_801.1,
            load_kwh: 42_004.9,
            ..EnergyTotals::default()
        };
        for (import, extra) in [(44_604.2, Flow::Losses), (40_000.0, Flow::Unmeasured)] {
            let (supply, demand) = energy_sides(&totals(import), 10.0);
            assert!((sum(&supply) - sum(&demand)).abs() < 1e-9);
            let last = if extra == Flow::Losses { demand.last() } else { supply.last() };
            assert_eq!(last.map(|t| t.flow), Some(extra));
            assert!(supply.iter().chain(&demand).all(|t| t.amount >= 0.0));
        }
    }
}
