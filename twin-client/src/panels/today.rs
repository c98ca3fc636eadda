//! Today: the figures that count and the curves behind them, with the plan ahead.

use super::parts;
use crate::{
    i18n::I18n,
    model::ParkModel,
    ui::{commands::UiCommand, format, theme},
};
use egui::{Color32, Ui};
use egui_plot::{AxisHints, GridInput, GridMark, Line, LineStyle, Plot, PlotPoints, VLine};
use shared::{energy::EnergySummary, time::HOUR_MS};

pub fn today_figures_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, _out: &mut Vec<UiCommand>) {
    let title = i18n.t("today-title");
    let Some(energy) = &model.energy else {
        parts::card(ui, &title, |_| {}, |ui| parts::nothing_yet(ui, &i18n.t("waiting-for-data")));
        return;
    };
    parts::card(
        ui,
        &title,
        |ui| parts::provenance_tag(ui, i18n, energy.provenance),
        |ui| {
            let width = (ui.available_width() - 16.0) / 3.0;
            for row in tiles(energy, i18n).chunks(3) {
                ui.horizontal(|ui| {
                    for (name, value, unit) in row {
                        ui.allocate_ui(egui::vec2(width, 40.0), |ui| {
                            ui.set_min_width(width);
                            parts::tile(ui, name, value, unit);
                        });
                    }
                });
                ui.add_space(2.0);
            }
        },
    );
}

fn tiles(energy: &EnergySummary, i18n: &I18n) -> Vec<(String, String, String)> {
    let today = &energy.today;
    let make = |name: &str, (value, unit): (String, &str)| (name.to_owned(), value, unit.to_owned());
    let share = today.self_sufficiency.map_or("–".into(), |s| format::grouped(s * 100.0, 1));
    vec![
        make(&i18n.t("today-renewable"), format::energy(today.pv_kwh + today.wind_kwh)),
        make(&i18n.t("today-import"), format::energy(today.import_kwh)),
        make(&i18n.t("today-load"), format::energy(today.load_kwh + today.charging_kwh)),
        make(&i18n.t("today-self-sufficiency"), (share, "%")),
        make(&i18n.t("today-cost"), (format::grouped(today.cost_yuan, 0), "¥")),
        make(&i18n.t("today-emissions"), format::mass(today.emissions_kg)),
    ]
}

pub fn today_curves_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, _out: &mut Vec<UiCommand>) {
    let title = i18n.t("curves-title");
    parts::card(
        ui,
        &title,
        |ui| {
            ui.label(egui::RichText::new("kW").size(11.0).color(theme::FAINT));
        },
        |ui| {
            let names = [
                (theme::colour(theme::LOAD), i18n.t("balance-load")),
                (theme::colour(theme::SOLAR), i18n.t("balance-pv")),
                (theme::colour(theme::WIND), i18n.t("balance-wind")),
                (theme::colour(theme::STORAGE), i18n.t("curves-storage")),
                (theme::colour(theme::GRID), i18n.t("curves-grid")),
            ];
            let entries: Vec<(Color32, &str)> = names.iter().map(|(c, n)| (*c, n.as_ref())).collect();
            parts::legend(ui, &entries);
            plot(ui, model);
        },
    );
}

fn plot(ui: &mut Ui, model: &ParkModel) {
    let Some(scene) = &model.scene else { return };
    let midnight = model.now.start_of_day(&scene.zone);
    let hour = |ms: i64| (ms - midnight.0) as f64 / HOUR_MS as f64;
    let mut lines = Vec::new();
    if let Some(curve) = &model.curve {
        let step_ms = i64::from(curve.step_s) * 1_000;
        for (name, tone, values) in [
            ("load", theme::LOAD, &curve.load_kw),
            ("pv", theme::SOLAR, &curve.pv_kw),
            ("wind", theme::WIND, &curve.wind_kw),
            ("storage", theme::STORAGE, &curve.storage_kw),
            ("grid", theme::GRID, &curve.grid_kw),
        ] {
            let points =
                values.iter().enumerate().map(|(i, v)| (hour(curve.start.0 + i as i64 * step_ms), *v));
            for run in unbroken(points) {
                lines.push(Line::new(name, run).color(theme::colour(tone)).width(1.4));
            }
        }
    }
    if let Some(plan) = model.plan.as_ref().filter(|p| p.version > 0) {
        let step_ms = i64::from(plan.step_s) * 1_000;
        for (name, tone, values) in
            [("plan grid", theme::GRID, &plan.grid_kw), ("plan storage", theme::STORAGE, &plan.storage_kw)]
        {
            let points: PlotPoints = values
                .iter()
                .enumerate()
                .map(|(i, v)| [hour(plan.start.0 + i as i64 * step_ms), *v])
                .take_while(|p| p[0] <= 24.0)
                .collect();
            let colour = theme::colour(tone).linear_multiply(0.75);
            lines.push(Line::new(name, points).color(colour).width(1.2).style(LineStyle::dashed_dense()));
        }
    }
    let now = hour(model.now.0);
    small_axes(ui);
    day_plot("today", 148.0).show(ui, |plot| {
        plot.vline(VLine::new("now", now).color(theme::FAINT).width(1.0));
        for line in lines {
            plot.line(line);
        }
    });
}

/// A curve as its unbroken runs: a gap in the data stays a gap in the picture.
pub fn unbroken(points: impl Iterator<Item = (f64, Option<f64>)>) -> Vec<Vec<[f64; 2]>> {
    let mut runs = vec![Vec::new()];
    for (x, y) in points {
        match y.filter(|y| y.is_finite()) {
            Some(y) => runs.last_mut().into_iter().for_each(|run| run.push([x, y])),
            None if runs.last().is_some_and(|run| !run.is_empty()) => runs.push(Vec::new()),
            None => {}
        }
    }
    runs.retain(|run| run.len() > 1);
    runs
}

/// Makes the axis labels of plots in this place small.
pub fn small_axes(ui: &mut Ui) {
    ui.style_mut().text_styles.insert(egui::TextStyle::Body, egui::FontId::proportional(10.5));
}

/// An axis of values for small plots: a label at every grid line that has room for one.
pub fn small_y_axis<'a>(decimals: usize) -> AxisHints<'a> {
    AxisHints::new_y()
        .formatter(move |mark, _| format::grouped(mark.value, decimals))
        .min_thickness(34.0)
        .label_spacing(egui::Rangef::new(11.0, 16.0))
}

/// Grid lines at steps of 1, 2 or 5 times a power of ten, no closer than the plot asks for.
pub fn round_steps(input: GridInput) -> Vec<GridMark> {
    let power = 10_f64.powf(input.base_step_size.max(1e-9).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|n| n * power)
        .find(|step| *step >= input.base_step_size)
        .unwrap_or(10.0 * power);
    let (from, to) = input.bounds;
    let count = ((to - from) / step).clamp(0.0, 100.0) as i64 + 1;
    let first = (from / step).ceil() as i64;
    (first..=first + count)
        .map(|i| GridMark { value: i as f64 * step, step_size: step })
        .filter(|mark| mark.value <= to)
        .collect()
}

/// A plot over a day's 24 hours, bare but for light grid lines.
pub fn day_plot<'a>(id: &str, height: f32) -> Plot<'a> {
    Plot::new(id)
        .height(height)
        .allow_drag(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .show_background(false)
        .grid_spacing(egui::Rangef::new(20.0, 300.0))
        .include_x(0.0)
        .include_x(24.0)
        .set_margin_fraction(egui::vec2(0.0, 0.08))
        .x_grid_spacer(|_| (0..=4).map(|i| GridMark { value: f64::from(i) * 6.0, step_size: 6.0 }).collect())
        .custom_x_axes(vec![
            AxisHints::new_x()
                .formatter(|mark, _| format!("{:02}:00", mark.value.round() as i64))
                .label_spacing(egui::Rangef::new(20.0, 30.0)),
        ])
        .y_grid_spacer(round_steps)
        .custom_y_axes(vec![small_y_axis(0)])
        .label_formatter(|_| None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grid_lines_fall_on_round_numbers_within_the_plot() {
        let marks = round_steps(GridInput { bounds: (-1_350.0, 4_400.0), base_step_size: 900.0 });
        let values: Vec<f64> = marks.iter().map(|m| m.value).collect();
        assert_eq!(values, [-1_000.0, 0.0, 1_000.0, 2_000.0, 3_000.0, 4_000.0]);
        let marks = round_steps(GridInput { bounds: (0.0, 1.0), base_step_size: 0.13 });
        assert_eq!(marks[1].value, 0.2);
    }

    #[test]
    fn gaps_part_a_curve_and_lone_points_are_left_out() {
        let values =
            [None, Some(1.0), Some(2.0), None, Some(f64::NAN), Some(3.0), None, Some(4.0), Some(5.0)];
        let runs = unbroken(values.iter().enumerate().map(|(i, v)| (i as f64, *v)));
        assert_eq!(runs, [vec![[1.0, 1.0], [2.0, 2.0]], vec![[7.0, 4.0], [8.0, 5.0]]]);
    }
}
