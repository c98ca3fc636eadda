//! The plan: what it saves, whether it is being followed, and planning again.

use super::{
    parts,
    today::{day_plot, small_axes, unbroken},
};
use crate::{
    i18n::I18n,
    model::ParkModel,
    ui::{commands::UiCommand, format, theme},
};
use egui::{Button, RichText, Ui};
use egui_plot::{Line, LineStyle, VLine};
use shared::{
    plan::PlanStatus,
    time::{HOUR_MS, Timestamp},
};

pub fn plan_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, out: &mut Vec<UiCommand>) {
    let title = i18n.t("plan-title");
    let Some(plan) = model.plan.as_ref().filter(|p| p.version > 0) else {
        parts::card(ui, &title, |_| {}, |ui| parts::nothing_yet(ui, &i18n.t("plan-none")));
        return;
    };
    parts::card(
        ui,
        &title,
        |ui| {
            let again = Button::new(RichText::new(i18n.t("plan-now")).size(11.0)).small();
            if ui.add_enabled(model.link.is_live(), again).clicked() {
                out.push(UiCommand::PlanNow);
            }
            ui.label(
                RichText::new(format::age(i18n, model.now, plan.made_at)).size(11.0).color(theme::FAINT),
            );
        },
        |ui| {
            status(ui, i18n, plan.status);
            for reason in &plan.infeasible {
                ui.label(
                    RichText::new(i18n.text(reason))
                        .size(12.0)
                        .color(theme::severity(shared::alarm::Severity::Major)),
                );
            }
            if let (Some(cost), Some(baseline)) = (plan.objective_yuan, plan.baseline_yuan) {
                let saving = baseline - cost;
                ui.horizontal(|ui| {
                    parts::figure(ui, &format!("¥{}", format::grouped(saving, 0)), "", 20.0);
                    let share = if baseline.abs() > 1.0 { saving / baseline * 100.0 } else { 0.0 };
                    let text = i18n.t1("plan-saving", "share", format::grouped(share, 1));
                    ui.label(RichText::new(text).size(11.5).color(theme::WEAK));
                });
            }
            tracking(ui, model, i18n);
        },
    );
}

fn status(ui: &mut Ui, i18n: &I18n, status: PlanStatus) {
    let (text, colour) = match status {
        PlanStatus::Optimal | PlanStatus::Pending => return,
        PlanStatus::Feasible => (i18n.t("plan-feasible"), theme::WEAK),
        PlanStatus::Infeasible => {
            (i18n.t("plan-infeasible"), theme::severity(shared::alarm::Severity::Major))
        }
    };
    ui.label(RichText::new(text).size(12.0).color(colour));
}

/// Planned against measured grid power, today.
fn tracking(ui: &mut Ui, model: &ParkModel, i18n: &I18n) {
    let (Some(tracking), Some(scene)) = (&model.tracking, &model.scene) else { return };
    let midnight = model.now.start_of_day(&scene.zone);
    let step_ms = i64::from(tracking.step_s) * 1_000;
    let points = |values: &[Option<f64>]| {
        let at = |i: usize| Timestamp(tracking.start.0 + i as i64 * step_ms);
        unbroken(
            values
                .iter()
                .enumerate()
                .filter(|(i, _)| at(*i) >= midnight)
                .map(|(i, v)| (at(i).since(midnight) as f64 / HOUR_MS as f64, *v)),
        )
    };
    let colour = theme::colour(theme::GRID);
    let (measured, planned) = (i18n.t("plan-measured"), i18n.t("plan-planned"));
    parts::legend(ui, &[(colour, measured.as_ref()), (theme::WEAK, planned.as_ref())]);
    let now = model.now.since(midnight) as f64 / HOUR_MS as f64;
    let (measured, planned) = (points(&tracking.measured_grid_kw), points(&tracking.planned_grid_kw));
    small_axes(ui);
    day_plot("tracking", 92.0).show(ui, |plot| {
        plot.vline(VLine::new("now", now).color(theme::FAINT).width(1.0));
        for run in measured {
            plot.line(Line::new("measured", run).color(colour).width(1.5));
        }
        for run in planned {
            let line = Line::new("planned", run).color(theme::WEAK).width(1.3);
            plot.line(line.style(LineStyle::dashed_dense()));
        }
    });
}
