//! The plan: how sure and what it saves, then planned against actual on one time axis from half a day ago to a day ahead.

use super::{
    parts::{self, About},
    plots::{self, Clock, Stroked},
    rights,
};
use crate::{
    i18n::I18n,
    model::{ParkModel, SceneIndex},
    ui::{commands::UiCommand, format, theme},
};
use egui::{Button, Color32, RichText, Ui};
use egui_plot::{Line, LineStyle, PlotUi, Span};
use shared::{
    alarm::Severity,
    plan::{PlanStatus, PlanTracking, PlanView},
    telemetry::Provenance,
};

/// Hours of the axis before and after now.
const BEHIND: f64 = 12.0;
const AHEAD: f64 = 24.0;
const STORAGE_HEIGHT: f32 = 76.0;

/// What dispatch changes against leaving everything to itself, in whole yuan as shown.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Saving {
    Saves {
        yuan: f64,
        share: f64,
    },
    /// Nothing anyone would see on a bill.
    Same,
    Costs {
        yuan: f64,
    },
}

impl Saving {
    fn of(cost: f64, baseline: f64) -> Self {
        let yuan = baseline - cost;
        if yuan.abs() < 0.5 {
            Saving::Same
        } else if yuan > 0.0 {
            Saving::Saves { yuan, share: if baseline > 1.0 { yuan / baseline } else { 0.0 } }
        } else {
            Saving::Costs { yuan: -yuan }
        }
    }
}

pub fn plan_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, height: f32, out: &mut Vec<UiCommand>) {
    let title = i18n.t("plan-title");
    let plan = model.plan.as_ref().filter(|p| p.version > 0);
    let about = About { unit: "kW", provenance: Provenance::Forecast, at: plan.map(|p| p.made_at) };
    parts::card(
        ui,
        &title,
        |ui| {
            if plan.is_some() {
                parts::about(ui, model, i18n, &about);
            }
        },
        |ui| {
            ui.horizontal(|ui| {
                match plan {
                    Some(plan) => status(ui, i18n, plan),
                    None => parts::nothing_yet(ui, &i18n.t("plan-none")),
                }
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    let again = Button::new(RichText::new(i18n.t("plan-now")).size(11.5));
                    if rights::operate_button(ui, model, i18n, again).clicked() {
                        out.push(UiCommand::PlanNow);
                    }
                });
            });
            let Some(plan) = plan else { return };
            for reason in &plan.infeasible {
                let text = RichText::new(format!("· {}", i18n.text(reason))).size(12.0);
                ui.label(text.color(theme::severity(Severity::Major)));
            }
            saving(ui, i18n, plan);
            if let Some(scene) = &model.scene {
                chart(ui, model, i18n, scene, plan, height);
            }
        },
    );
}

fn status(ui: &mut Ui, i18n: &I18n, plan: &PlanView) {
    let (text, colour) = match plan.status {
        // None was made yet: the card says so.
        PlanStatus::Pending => return,
        PlanStatus::Optimal => (i18n.t("plan-optimal"), theme::ACCENT),
        PlanStatus::Feasible => (i18n.t("plan-feasible"), theme::severity(Severity::Warning)),
        PlanStatus::Infeasible => (i18n.t("plan-infeasible"), theme::severity(Severity::Major)),
    };
    let word = parts::tag(ui, &text, colour);
    if plan.status == PlanStatus::Infeasible {
        word.on_hover_text(i18n.t("plan-infeasible-hint"));
        return;
    }
    word.on_hover_text(i18n.t1("plan-solved-in", "ms", format::grouped(plan.solve_ms, 0)));
    if let Some(gap) = plan.gap {
        let text = i18n.t1("plan-gap", "gap", format::grouped(gap * 100.0, 2));
        ui.label(RichText::new(text).size(11.0).color(theme::WEAK)).on_hover_text(i18n.t("plan-gap-hint"));
    }
}

fn saving(ui: &mut Ui, i18n: &I18n, plan: &PlanView) {
    let (Some(cost), Some(baseline)) = (plan.objective_yuan, plan.baseline_yuan) else { return };
    let row = ui.horizontal(|ui| {
        let note = |ui: &mut Ui, text: String| ui.label(RichText::new(text).size(11.5).color(theme::WEAK));
        match Saving::of(cost, baseline) {
            Saving::Saves { yuan, share } => {
                parts::figure(ui, &format!("¥{}", format::grouped(yuan, 0)), "", 20.0);
                note(ui, i18n.t1("plan-saving", "share", format::grouped(share * 100.0, 1)));
            }
            Saving::Same => {
                note(ui, i18n.t("plan-same").into_owned());
            }
            Saving::Costs { yuan } => {
                parts::figure(ui, &format!("¥{}", format::grouped(yuan, 0)), "", 20.0);
                note(ui, i18n.t("plan-costs-more").into_owned());
            }
        }
    });
    let mut arguments = fluent_bundle::FluentArgs::new();
    arguments.set("cost", format::grouped(cost, 0));
    arguments.set("baseline", format::grouped(baseline, 0));
    row.response.on_hover_text(i18n.tf("plan-saving-hint", &arguments));
}

type Runs = Vec<Vec<[f64; 2]>>;

/// One quantity on the axis: what was, what was planned for then, and what is planned from now on.
#[derive(Debug, Default, PartialEq)]
struct Compared {
    actual: Runs,
    planned_then: Runs,
    ahead: Runs,
}

fn compared(
    clock: &Clock,
    now: f64,
    tracking: Option<&PlanTracking>,
    columns: impl Fn(&PlanTracking) -> (&Vec<Option<f64>>, &Vec<Option<f64>>),
    plan: &PlanView,
    ahead: &[f64],
) -> Compared {
    let (actual, planned_then) = tracking.map_or_else(Default::default, |tracking| {
        let (measured, planned) = columns(tracking);
        let past = |values: &[Option<f64>]| {
            let runs = plots::stairs(clock, tracking.start, tracking.step_s, values.iter().copied());
            plots::within(runs, now - BEHIND, now)
        };
        (past(measured), past(planned))
    });
    let runs = plots::stairs(clock, plan.start, plan.step_s, ahead.iter().map(|v| Some(*v)));
    Compared { actual, planned_then, ahead: plots::within(runs, now, now + AHEAD) }
}

fn chart(ui: &mut Ui, model: &ParkModel, i18n: &I18n, scene: &SceneIndex, plan: &PlanView, height: f32) {
    let clock = Clock { zero: model.now.start_of_day(&scene.zone), zone: scene.zone.clone() };
    let now = clock.hours(model.now);
    let tracking = model.tracking.as_ref();
    let grid =
        compared(&clock, now, tracking, |t| (&t.measured_grid_kw, &t.planned_grid_kw), plan, &plan.grid_kw);
    let storage = compared(
        &clock,
        now,
        tracking,
        |t| (&t.measured_storage_kw, &t.planned_storage_kw),
        plan,
        &plan.storage_kw,
    );
    let (import, battery) = (theme::colour(theme::GRID), theme::colour(theme::STORAGE));
    let (grid_name, storage_name) = (i18n.t("curves-grid"), i18n.t("curves-storage"));
    let (actual, planned) = (i18n.t("plan-actual"), i18n.t("plan-planned"));
    plots::line_legend(
        ui,
        &[
            (Stroked::Solid, import, &grid_name),
            (Stroked::Solid, battery, &storage_name),
            (Stroked::Solid, theme::WEAK, &actual),
            (Stroked::Dashed, theme::WEAK, &planned),
        ],
    );
    let names = |of: &str| [format!("{of} · {actual}"), format!("{of} · {planned}")];
    let (upper, lower) = (names(&grid_name), names(&storage_name));
    plots::small_axes(ui);
    ui.spacing_mut().item_spacing.y = 0.0;
    let axis = |ui: &Ui, id: &str, height: f32| {
        let plot = plots::time_plot(ui, id, height, &clock, 6.0, "kW");
        plot.include_x(now - BEHIND).include_x(now + AHEAD)
    };
    axis(ui, "plan-grid", height).show_axes([false, true]).show(ui, |plot| {
        ground(plot, now);
        lines(plot, &upper, import, grid, false);
    });
    ui.add_space(4.0);
    axis(ui, "plan-storage", STORAGE_HEIGHT).include_y(0.0).show(ui, |plot| {
        ground(plot, now);
        lines(plot, &lower, battery, storage, true);
    });
}

/// The future a shade lighter, and now between it and the past.
fn ground(plot: &mut PlotUi<'_>, now: f64) {
    let shade = theme::CARD_RAISED.linear_multiply(0.6);
    plot.span(Span::new("", now..=now + AHEAD).fill(shade).border(egui::Stroke::NONE));
    plots::now_line(plot, now);
}

fn lines(
    plot: &mut PlotUi<'_>,
    [actual, planned]: &[String; 2],
    colour: Color32,
    what: Compared,
    area: bool,
) {
    let pale = colour.linear_multiply(0.75);
    plots::dashed(plot, planned, pale, what.planned_then);
    for (runs, name, shown, dashed) in
        [(what.ahead, planned, pale, true), (what.actual, actual, colour, false)]
    {
        for run in runs {
            let mut line = Line::new(name, run).color(shown).width(if dashed { 1.4 } else { 1.7 });
            if dashed {
                line = line.style(LineStyle::dashed_dense());
            }
            if area {
                line = line.fill(0.0).fill_alpha(if dashed { 0.12 } else { 0.3 });
            }
            plot.line(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;
    use shared::time::{HOUR_MS, Timestamp};

    #[test]
    fn a_saving_nobody_would_see_on_a_bill_is_called_the_same_and_a_loss_is_called_one() {
        assert_eq!(Saving::of(100.2, 100.0), Saving::Same);
        assert_eq!(Saving::of(750.0, 1_000.0), Saving::Saves { yuan: 250.0, share: 0.25 });
        assert_eq!(Saving::of(103.0, 100.0), Saving::Costs { yuan: 3.0 });
        assert_eq!(Saving::of(-20.0, -10.0), Saving::Saves { yuan: 10.0, share: 0.0 });
    }

    #[test]
    fn the_past_shows_actual_and_planned_and_the_future_only_the_plan() {
        let clock = Clock { zero: Timestamp(0), zone: TimeZone::UTC };
        let (scene, now) = (crate::fixture::tiny_scene(), Timestamp(2 * HOUR_MS));
        let mut plan = crate::fixture::plan(&scene, now);
        plan.start = now;
        let tracking = PlanTracking {
            step_s: 3_600,
            start: Timestamp(0),
            planned_grid_kw: vec![Some(10.0), Some(20.0)],
            measured_grid_kw: vec![None, Some(25.0)],
            ..PlanTracking::default()
        };
        let got = compared(
            &clock,
            2.0,
            Some(&tracking),
            |t| (&t.measured_grid_kw, &t.planned_grid_kw),
            &plan,
            &[30.0, 40.0],
        );
        assert_eq!(got.actual, [vec![[1.0, 25.0], [2.0, 25.0]]]);
        assert_eq!(got.planned_then[0].len(), 4);
        assert_eq!(got.ahead, [vec![[2.0, 30.0], [2.25, 30.0], [2.25, 40.0], [2.5, 40.0]]]);
    }
}
