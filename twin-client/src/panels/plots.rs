//! What the dashboards' small plots share: a clock below, round steps beside, gaps that stay gaps.

use super::parts;
use crate::ui::{format, theme};
use egui::{Color32, Stroke, Ui, vec2};
use egui_plot::{AxisHints, GridInput, GridMark, HoverPosition, Line, LineStyle, Plot, PlotUi, VLine};
use jiff::tz::TimeZone;
use shared::time::{HOUR_MS, Timestamp};

/// Hours from a fixed instant: what the plots' x axes count.
#[derive(Clone)]
pub struct Clock {
    pub zero: Timestamp,
    pub zone: TimeZone,
}

impl Clock {
    pub fn hours(&self, at: Timestamp) -> f64 {
        at.since(self.zero) as f64 / HOUR_MS as f64
    }

    fn at(&self, hours: f64) -> Timestamp {
        Timestamp(self.zero.0 + (hours * HOUR_MS as f64).round() as i64)
    }

    /// `HH:MM` in the park's time zone.
    pub fn label(&self, hours: f64) -> String {
        format::clock(self.at(hours), &self.zone)
    }
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

/// Means over steps as unbroken runs of stairs; a step without a value is a gap.
pub fn stairs(
    clock: &Clock,
    start: Timestamp,
    step_s: u32,
    values: impl Iterator<Item = Option<f64>>,
) -> Vec<Vec<[f64; 2]>> {
    let step = f64::from(step_s) / 3_600.0;
    let from = clock.hours(start);
    unbroken(values.enumerate().flat_map(|(i, v)| {
        let x = from + i as f64 * step;
        match v {
            Some(_) => [(x, v), (x + step, v)],
            None => [(x, None), (x, None)],
        }
    }))
}

/// The part of runs between two hours; a run that crosses a border is cut at its points.
pub fn within(runs: Vec<Vec<[f64; 2]>>, from: f64, to: f64) -> Vec<Vec<[f64; 2]>> {
    runs.into_iter()
        .map(|run| run.into_iter().filter(|p| (from..=to).contains(&p[0])).collect::<Vec<_>>())
        .filter(|run| run.len() > 1)
        .collect()
}

/// Makes the axis labels of plots in this place small and quiet.
pub fn small_axes(ui: &mut Ui) {
    ui.visuals_mut().override_text_color = Some(theme::WEAK);
    ui.style_mut().text_styles.insert(egui::TextStyle::Body, egui::FontId::proportional(10.5));
}

/// An axis of values for small plots: a label at every grid line that has room for one.
pub fn small_y_axis<'a>(decimals: usize) -> AxisHints<'a> {
    AxisHints::new_y()
        .formatter(move |mark, _| format::grouped(mark.value, decimals))
        .min_thickness(38.0)
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

/// Every `every` hours between the plot's bounds.
fn hour_marks(input: &GridInput, every: f64) -> Vec<GridMark> {
    let (from, to) = input.bounds;
    let first = (from / every).ceil() as i64;
    let last = (to / every).floor() as i64;
    (first..=last.min(first + 60)).map(|i| GridMark { value: i as f64 * every, step_size: every }).collect()
}

/// Half a label's width, left free on the right for the one at the axis's end.
const END_LABEL: f32 = 14.0;

/// A plot over time that only shows: no zoom, no drag, a label each `every` hours, and what the pointer is near.
pub fn time_plot<'a>(ui: &Ui, id: &str, height: f32, clock: &Clock, every: f64, unit: &'a str) -> Plot<'a> {
    let (below, near) = (clock.clone(), clock.clone());
    Plot::new(id)
        .height(height)
        .width(ui.available_width() - END_LABEL)
        .allow_drag(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .allow_double_click_reset(false)
        .show_background(false)
        .grid_spacing(egui::Rangef::new(20.0, 300.0))
        .set_margin_fraction(vec2(0.0, 0.08))
        .x_grid_spacer(move |input| hour_marks(&input, every))
        .custom_x_axes(vec![
            AxisHints::new_x()
                .formatter(move |mark, _| below.label(mark.value))
                .label_spacing(egui::Rangef::new(20.0, 30.0)),
        ])
        .y_grid_spacer(round_steps)
        .custom_y_axes(vec![small_y_axis(0)])
        .label_formatter(move |hover| match hover {
            HoverPosition::NearDataPoint { plot_name, position, .. } => Some(format!(
                "{plot_name}\n{}  {} {unit}",
                near.label(position.x),
                format::grouped(position.y, 1)
            )),
            HoverPosition::Elsewhere { .. } => None,
        })
}

/// The present moment as a line through the plot.
pub fn now_line(plot: &mut PlotUi<'_>, hours: f64) {
    plot.vline(VLine::new("", hours).stroke(Stroke::new(1.5, theme::WEAK)).allow_hover(false));
}

/// Solid runs: what was.
pub fn solid(plot: &mut PlotUi<'_>, name: &str, colour: Color32, runs: Vec<Vec<[f64; 2]>>) {
    for run in runs {
        plot.line(Line::new(name, run).color(colour).width(1.6));
    }
}

/// Dashed runs: what is planned or forecast.
pub fn dashed(plot: &mut PlotUi<'_>, name: &str, colour: Color32, runs: Vec<Vec<[f64; 2]>>) {
    for run in runs {
        plot.line(Line::new(name, run).color(colour).width(1.3).style(LineStyle::dashed_dense()));
    }
}

/// How a legend's entry is drawn in the plot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stroked {
    Solid,
    Dashed,
}

/// A legend of line samples, wrapped where the card ends.
pub fn line_legend(ui: &mut Ui, entries: &[(Stroked, Color32, &str)]) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = vec2(4.0, 1.0);
        for (stroked, colour, name) in entries {
            let text = egui::WidgetText::from(egui::RichText::new(*name).size(11.0).color(theme::WEAK));
            let galley =
                text.into_galley(ui, Some(egui::TextWrapMode::Extend), f32::INFINITY, egui::TextStyle::Body);
            // One piece, so that a sample never parts from its name at a line's end.
            let (rect, _) = ui.allocate_exact_size(vec2(galley.size().x + 26.0, 14.0), egui::Sense::hover());
            let y = rect.center().y;
            let stroke = Stroke::new(2.0, *colour);
            let x = rect.left();
            match stroked {
                Stroked::Solid => {
                    ui.painter().hline(x..=x + 14.0, y, stroke);
                }
                Stroked::Dashed => {
                    for from in [x, x + 5.0, x + 10.0] {
                        ui.painter().hline(from..=from + 3.0, y, stroke);
                    }
                }
            }
            let at = egui::pos2(x + 18.0, y - galley.size().y / 2.0);
            ui.painter().galley(at, galley, theme::WEAK);
        }
    });
    ui.add_space(parts::LEGEND_GAP);
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

    #[test]
    fn a_step_holds_its_mean_for_its_length_and_a_missing_step_is_a_gap() {
        let clock = Clock { zero: Timestamp(0), zone: TimeZone::UTC };
        let values = [Some(5.0), None, Some(7.0)];
        let runs = stairs(&clock, Timestamp(HOUR_MS), 1_800, values.into_iter());
        assert_eq!(runs, [vec![[1.0, 5.0], [1.5, 5.0]], vec![[2.0, 7.0], [2.5, 7.0]]]);
    }

    #[test]
    fn hours_read_as_the_parks_clock_also_before_midnight() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let midnight = Timestamp::parse("2026-06-21T16:00:00Z").unwrap();
        let clock = Clock { zero: midnight, zone };
        for (hours, label) in [(-6.0, "18:00"), (0.0, "00:00"), (7.25, "07:15"), (30.0, "06:00")] {
            assert_eq!(clock.label(hours), label);
        }
    }
}
