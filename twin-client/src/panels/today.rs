//! Today: the figures that count, the energies that balance, and the curves behind them.

use super::{
    balance::{Term, energy_sides, sum},
    parts::{self, About},
    plots::{self, Clock, Stroked},
};
use crate::{
    i18n::I18n,
    model::{ParkModel, SceneIndex},
    ui::{commands::UiCommand, format, theme},
};
use egui::{Align, Color32, Layout, Response, RichText, Ui, vec2};
use shared::{
    energy::{EnergyCurve, EnergySummary},
    time::Timestamp,
};
use std::borrow::Cow;

/// Wide enough for both sides of the energies.
const LEDGER_TIP_WIDTH: f32 = 270.0;

/// `roomy` shows the energies that balance; otherwise hovering does.
pub fn today_figures_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, roomy: bool, _out: &mut Vec<UiCommand>) {
    let title = i18n.t("today-title");
    let Some(energy) = &model.energy else {
        parts::card(ui, &title, |_| {}, |ui| parts::nothing_yet(ui, &i18n.t("waiting-for-data")));
        return;
    };
    let about = About { unit: "", provenance: energy.provenance, at: Some(energy.at) };
    parts::card(
        ui,
        &title,
        |ui| parts::about(ui, model, i18n, &about),
        |ui| {
            tiles(ui, energy, i18n, roomy);
            if roomy {
                ui.add_space(2.0);
                ledger(ui, energy, i18n).on_hover_text(i18n.t("today-ledger-hint"));
            }
        },
    );
}

fn tiles(ui: &mut Ui, energy: &EnergySummary, i18n: &I18n, roomy: bool) {
    let today = &energy.today;
    let share = today.self_sufficiency.map_or("–".into(), |s| format::grouped(s * 100.0, 1));
    let cost = format!("¥{}", format::grouped(today.cost_yuan, 0));
    let (mass, mass_unit) = format::mass(today.emissions_kg);
    let tiles: [(Cow<'_, str>, String, &str, Cow<'_, str>); 3] = [
        (i18n.t("today-self-sufficiency"), share, "%", i18n.t("today-self-sufficiency-hint")),
        (i18n.t("today-cost"), cost, "", i18n.t("today-cost-hint")),
        (i18n.t("today-emissions"), mass, mass_unit, i18n.t("today-emissions-hint")),
    ];
    let width = (ui.available_width() - 16.0) / 3.0;
    ui.horizontal_top(|ui| {
        for (name, value, unit, hint) in tiles {
            ui.allocate_ui(vec2(width, 40.0), |ui| {
                ui.set_min_width(width);
                parts::tile(ui, &name, &value, unit).on_hover_ui(|ui| {
                    ui.set_width(LEDGER_TIP_WIDTH);
                    ui.label(hint);
                    if !roomy {
                        ui.separator();
                        ledger(ui, energy, i18n);
                    }
                });
            });
        }
    });
}

/// The day's energies on both sides of an equals sign, all in one unit, so that a reader can add them up.
fn ledger(ui: &mut Ui, energy: &EnergySummary, i18n: &I18n) -> Response {
    let largest = {
        let (supply, demand) = energy_sides(&energy.today, 1.0);
        sum(&supply).max(sum(&demand))
    };
    let (unit, scale, decimals) = if largest >= 10_000.0 { ("MWh", 1e-3, 2) } else { ("kWh", 1.0, 0) };
    let quantum = 10_f64.powi(-decimals) / scale;
    let (supply, demand) = energy_sides(&energy.today, quantum);
    let show = |kwh: f64| format::grouped(kwh * scale, decimals as usize);
    let gap = 18.0;
    let width = (ui.available_width() - gap) / 2.0;
    let row = |ui: &mut Ui, left: &dyn Fn(&mut Ui), right: &dyn Fn(&mut Ui), sign: &str| {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 0.0;
            let half = |ui: &mut Ui, what: &dyn Fn(&mut Ui)| {
                ui.allocate_ui_with_layout(vec2(width, 18.0), Layout::left_to_right(Align::Center), |ui| {
                    ui.set_width(width);
                    ui.spacing_mut().item_spacing.x = 5.0;
                    what(ui);
                });
            };
            half(ui, left);
            let (rect, _) = ui.allocate_exact_size(vec2(gap, 18.0), egui::Sense::hover());
            parts::centred(ui.painter(), rect.center(), sign, 13.0, theme::WEAK);
            half(ui, right);
        });
    };
    let total = |name: Cow<'_, str>, kwh: f64| {
        let text = format!("{} {unit}", show(kwh));
        let name = name.into_owned();
        move |ui: &mut Ui| {
            ui.label(RichText::new(&name).size(11.5).color(theme::WEAK));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.label(RichText::new(&text).size(12.0).color(theme::TEXT));
            });
        }
    };
    let cell = |term: Option<Term>| {
        move |ui: &mut Ui| {
            let Some(term) = term else { return };
            parts::chip(ui, term.flow.colour());
            ui.label(RichText::new(term.flow.name(i18n)).size(12.0).color(theme::WEAK));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.label(RichText::new(show(term.amount)).size(12.5).color(theme::TEXT));
            });
        }
    };
    let block = ui.scope(|ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        row(
            ui,
            &total(i18n.t("balance-supply"), sum(&supply)),
            &total(i18n.t("balance-demand"), sum(&demand)),
            "=",
        );
        for i in 0..supply.len().max(demand.len()) {
            row(ui, &cell(supply.get(i).copied()), &cell(demand.get(i).copied()), "");
        }
    });
    block.response
}

/// The newest moment a curve says anything about.
fn newest(curve: &EnergyCurve) -> Option<Timestamp> {
    let columns =
        [&curve.grid_kw, &curve.pv_kw, &curve.wind_kw, &curve.storage_kw, &curve.charging_kw, &curve.load_kw];
    let last = columns.iter().filter_map(|column| column.iter().rposition(Option::is_some)).max()?;
    Some(Timestamp(curve.start.0 + (last as i64 + 1) * i64::from(curve.step_s) * 1_000))
}

pub fn today_curves_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, height: f32, _out: &mut Vec<UiCommand>) {
    let title = i18n.t("curves-title");
    let (Some(scene), Some(energy)) = (&model.scene, &model.energy) else {
        parts::card(ui, &title, |_| {}, |ui| parts::nothing_yet(ui, &i18n.t("waiting-for-data")));
        return;
    };
    let at = model.curve.as_ref().and_then(newest).map(|at| at.min(model.now));
    let about = About { unit: "kW", provenance: energy.provenance, at };
    parts::card(
        ui,
        &title,
        |ui| parts::about(ui, model, i18n, &about),
        |ui| {
            let colour = theme::colour;
            let forecast = i18n.t("curves-forecast");
            let names = [
                (colour(theme::LOAD), i18n.t("balance-load")),
                (colour(theme::CHARGING), i18n.t("balance-charging")),
                (colour(theme::SOLAR), i18n.t("balance-pv")),
                (colour(theme::WIND), i18n.t("balance-wind")),
                (colour(theme::STORAGE), i18n.t("curves-storage")),
                (colour(theme::GRID), i18n.t("curves-grid")),
            ];
            let mut entries: Vec<(Stroked, Color32, &str)> =
                names.iter().map(|(c, n)| (Stroked::Solid, *c, n.as_ref())).collect();
            if model.has_plan() {
                entries.push((Stroked::Dashed, theme::WEAK, forecast.as_ref()));
            }
            plots::line_legend(ui, &entries);
            plot(ui, model, i18n, scene, height);
        },
    );
}

/// The day's curves as runs of hours since midnight, in drawing order.
fn day_runs<'a>(
    curve: &'a EnergyCurve,
    clock: &Clock,
) -> impl Iterator<Item = (&'static str, crate::world::palette::Tone, Vec<Vec<[f64; 2]>>)> + 'a {
    let step = f64::from(curve.step_s) / 3_600.0;
    // A mean stands in the middle of its step.
    let first = clock.hours(curve.start) + step / 2.0;
    [
        ("balance-load", theme::LOAD, &curve.load_kw),
        ("balance-charging", theme::CHARGING, &curve.charging_kw),
        ("balance-pv", theme::SOLAR, &curve.pv_kw),
        ("balance-wind", theme::WIND, &curve.wind_kw),
        ("curves-storage", theme::STORAGE, &curve.storage_kw),
        ("curves-grid", theme::GRID, &curve.grid_kw),
    ]
    .into_iter()
    .map(move |(name, tone, values)| {
        let points = values.iter().enumerate().map(|(i, v)| (first + i as f64 * step, *v));
        // Until the first curve of a new day is here, the old one is yesterday's.
        let today = points.filter(|(x, _)| (0.0..=24.0).contains(x));
        (name, tone, plots::unbroken(today))
    })
}

fn plot(ui: &mut Ui, model: &ParkModel, i18n: &I18n, scene: &SceneIndex, height: f32) {
    let clock = Clock { zero: model.now.start_of_day(&scene.zone), zone: scene.zone.clone() };
    let now = clock.hours(model.now);
    let measured: Vec<_> = model.curve.iter().flat_map(|curve| day_runs(curve, &clock)).collect();
    let planned: Vec<_> = model
        .plan
        .iter()
        .filter(|p| p.version > 0)
        .flat_map(|plan| {
            [
                ("balance-load", theme::LOAD, &plan.load_kw),
                ("curves-storage", theme::STORAGE, &plan.storage_kw),
                ("curves-grid", theme::GRID, &plan.grid_kw),
            ]
            .map(|(name, tone, values)| {
                let runs = plots::stairs(&clock, plan.start, plan.step_s, values.iter().map(|v| Some(*v)));
                (name, tone, plots::within(runs, now, 24.0))
            })
        })
        .collect();
    plots::small_axes(ui);
    let forecast = i18n.t("curves-forecast");
    plots::time_plot(ui, "today", height, &clock, 6.0, "kW").include_x(0.0).include_x(24.0).show(
        ui,
        |plot| {
            plots::now_line(plot, now);
            for (name, tone, runs) in measured {
                plots::solid(plot, &i18n.t(name), theme::colour(tone), runs);
            }
            for (name, tone, runs) in planned {
                let name = format!("{} · {forecast}", i18n.t(name));
                plots::dashed(plot, &name, theme::colour(tone).linear_multiply(0.8), runs);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;
    use shared::time::{HOUR_MS, MINUTE_MS};

    #[test]
    fn yesterdays_curve_is_not_drawn_before_midnight_and_charging_is_drawn_with_its_gaps() {
        let midnight = Timestamp(24 * HOUR_MS * 20_000);
        let clock = Clock { zero: midnight, zone: TimeZone::UTC };
        let curve = EnergyCurve {
            start: Timestamp(midnight.0 - 24 * HOUR_MS),
            step_s: 3_600,
            charging_kw: vec![Some(7.0); 24],
            ..EnergyCurve::default()
        };
        assert!(day_runs(&curve, &clock).all(|(_, _, runs)| runs.is_empty()));
        let today = EnergyCurve {
            start: midnight,
            charging_kw: vec![Some(1.0), Some(2.0), None, Some(3.0), Some(4.0)],
            ..curve
        };
        let charging = day_runs(&today, &clock).find(|(name, _, _)| *name == "balance-charging").unwrap();
        assert_eq!(charging.2, [vec![[0.5, 1.0], [1.5, 2.0]], vec![[3.5, 3.0], [4.5, 4.0]]]);
    }

    #[test]
    fn a_curve_is_as_new_as_its_last_value() {
        let curve = EnergyCurve {
            start: Timestamp(0),
            step_s: 300,
            grid_kw: vec![Some(1.0), None, None],
            load_kw: vec![Some(1.0), Some(2.0), None],
            ..EnergyCurve::default()
        };
        assert_eq!(newest(&curve), Some(Timestamp(10 * MINUTE_MS)));
        assert_eq!(newest(&EnergyCurve::default()), None);
    }
}
