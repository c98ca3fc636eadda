//! The carbon clock: the day's grid intensity as a ring, what is forecast hatched, with method and source.

use super::parts::{self, About};
use crate::{
    i18n::I18n,
    model::ParkModel,
    ui::{commands::UiCommand, format, theme},
};
use egui::{Pos2, RichText, Sense, Shape, Stroke, Ui, pos2, vec2};
use shared::{
    energy::FactorUsed,
    time::{HOUR_MS, MINUTE_MS, Timestamp},
};
use std::f32::consts::TAU;

const QUARTERS: usize = 96;

/// The quarter hour of the park's day that it is.
fn quarter_of(model: &ParkModel) -> Option<usize> {
    let midnight = model.now.start_of_day(&model.scene.as_ref()?.zone);
    Some((model.now.since(midnight) / (15 * MINUTE_MS)).clamp(0, QUARTERS as i64 - 1) as usize)
}

/// Grid intensity by quarter hour of today, kg/kWh, and whether it is a forecast.
fn ring(model: &ParkModel) -> [Option<(f64, bool)>; QUARTERS] {
    let mut ring = [None; QUARTERS];
    let (Some(scene), Some(now), Some(energy)) = (&model.scene, quarter_of(model), &model.energy) else {
        return ring;
    };
    let midnight = model.now.start_of_day(&scene.zone);
    // Without a plan that knows the hours, the factor that the day's emissions are counted with.
    for slot in ring.iter_mut().take(now + 1) {
        *slot = Some((energy.emission_factor.kg_per_kwh, false));
    }
    if let Some(plan) = model.plan.as_ref().filter(|p| p.version > 0) {
        let before = &plan.emission_factor_before_kg_per_kwh;
        let first = plan.start.0 - before.len() as i64 * i64::from(plan.step_s) * 1_000;
        for (i, factor) in before.iter().chain(&plan.emission_factor_kg_per_kwh).enumerate() {
            let since_midnight = first + i as i64 * i64::from(plan.step_s) * 1_000 - midnight.0;
            let slot = since_midnight.div_euclid(15 * MINUTE_MS);
            if let Some(place) = usize::try_from(slot).ok().and_then(|slot| ring.get_mut(slot)) {
                *place = Some((*factor, slot > now as i64));
            }
        }
    }
    ring
}

pub fn carbon_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, _out: &mut Vec<UiCommand>) {
    let title = i18n.t("carbon-title");
    let Some(energy) = &model.energy else {
        parts::card(ui, &title, |_| {}, |ui| parts::nothing_yet(ui, &i18n.t("waiting-for-data")));
        return;
    };
    let at = Some(Timestamp(energy.at.0 - energy.age_ms));
    parts::card(
        ui,
        &title,
        |ui| parts::about(ui, model, i18n, &About { unit: "gCO₂e/kWh", provenance: energy.provenance, at }),
        |ui| {
            let ring = ring(model);
            ui.horizontal(|ui| {
                clock(ui, model, &ring);
                ui.vertical(|ui| {
                    ui.add_space(4.0);
                    let (rate, unit) = format::mass(energy.emission_rate_kg_per_h);
                    parts::tile(ui, &i18n.t("carbon-now"), &rate, &format!("{unit}/h"))
                        .on_hover_text(i18n.t("carbon-now-hint"));
                    // The ring's hours are not what is accounted with: both are said.
                    let factor = format::grouped(energy.emission_factor.kg_per_kwh * 1_000.0, 0);
                    let accounted = i18n.t1("carbon-accounted-at", "factor", factor);
                    ui.label(RichText::new(accounted).size(10.5).color(theme::WEAK));
                    ui.add_space(4.0);
                    scale(ui, &ring);
                    let hatched = format!("▨ {}", i18n.t("carbon-forecast"));
                    let small = |text: String| RichText::new(text).size(10.0).color(theme::WEAK);
                    if energy.emission_factor.hourly_shape {
                        let note = format!("{hatched} · {}", i18n.t("carbon-hourly-stand-in"));
                        ui.label(small(note)).on_hover_text(i18n.t("carbon-hourly-hint"));
                    } else {
                        ui.label(small(hatched));
                    }
                });
            });
            factor_line(ui, i18n, &energy.emission_factor);
        },
    );
}

/// Which factor: its basis, its year, how sure it is, and its source in the words of the scene.
fn factor_line(ui: &mut Ui, i18n: &I18n, factor: &FactorUsed) {
    let basis = match factor.basis.as_str() {
        "market" => i18n.t("carbon-market-based"),
        _ => i18n.t("carbon-location-based"),
    };
    let year = i18n.t1("carbon-year", "year", factor.year.to_string());
    let sure = match factor.status.as_str() {
        "V" => i18n.t("carbon-sure-verified"),
        "R" => i18n.t("carbon-sure-reported"),
        "X" => i18n.t("carbon-sure-conflicting"),
        _ => i18n.t("carbon-sure-memory"),
    };
    // The source is one text, mostly Chinese: an English reader is told before meeting it.
    let source = if factor.source.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)) {
        i18n.t1("carbon-source-chinese", "source", factor.source.as_str())
    } else {
        i18n.t1("carbon-source", "source", factor.source.as_str())
    };
    let line = RichText::new(format!("{basis} · {year} · {source}")).size(10.5).color(theme::WEAK);
    ui.add(egui::Label::new(line).truncate()).on_hover_text(format!("{basis} · {year}\n{sure}\n{source}"));
}

/// Least and most of the ring, kept apart so that a flat day is one colour in the middle.
fn range(ring: &[Option<(f64, bool)>]) -> (f64, f64) {
    let (low, high) =
        ring.iter().flatten().fold((f64::MAX, f64::MIN), |(low, high), (v, _)| (low.min(*v), high.max(*v)));
    if low > high {
        (0.0, 1.0)
    } else if high - low < 0.02 {
        (low - 0.05, high + 0.05)
    } else {
        (low, high)
    }
}

fn clock(ui: &mut Ui, model: &ParkModel, ring: &[Option<(f64, bool)>; QUARTERS]) {
    let size = 108.0;
    let (rect, _) = ui.allocate_exact_size(vec2(size, size), Sense::hover());
    let centre = rect.center();
    let (outer, inner) = (size / 2.0 - 9.0, size / 2.0 - 22.0);
    let painter = ui.painter();
    let (low, high) = range(ring);
    let point = |angle: f32, radius: f32| centre + vec2(angle.sin(), -angle.cos()) * radius;
    for (i, slot) in ring.iter().enumerate() {
        let (from, to) = (TAU * i as f32 / QUARTERS as f32, TAU * (i as f32 + 1.0) / QUARTERS as f32);
        let corners = vec![point(from, inner), point(from, outer), point(to, outer), point(to, inner)];
        match slot {
            Some((factor, forecast)) => {
                let colour = theme::cividis(((factor - low) / (high - low)) as f32);
                let fill = if *forecast { colour.linear_multiply(0.55) } else { colour };
                painter.add(Shape::convex_polygon(corners, fill, Stroke::NONE));
                if *forecast && i % 2 == 0 {
                    painter.line_segment([point(from, inner), point(to, outer)], Stroke::new(1.0, colour));
                }
            }
            None => {
                painter.add(Shape::convex_polygon(corners, theme::CARD_RAISED, Stroke::NONE));
            }
        }
    }
    hours(painter, centre, outer);
    if let Some(scene) = &model.scene {
        let since_midnight = model.now.since(model.now.start_of_day(&scene.zone));
        let angle = TAU * since_midnight as f32 / (24 * HOUR_MS) as f32;
        painter.line_segment(
            [point(angle, inner - 5.0), point(angle, outer + 3.0)],
            Stroke::new(2.0, theme::TEXT),
        );
    }
    if let Some((now, _)) = quarter_of(model).and_then(|quarter| ring[quarter]) {
        let text = format::grouped(now * 1_000.0, 0);
        parts::centred(painter, centre - vec2(0.0, 6.0), &text, 20.0, theme::TEXT);
    }
    parts::centred(painter, centre + vec2(0.0, 13.0), "g/kWh", 10.5, theme::WEAK);
}

fn hours(painter: &egui::Painter, centre: Pos2, outer: f32) {
    for hour in [0, 6, 12, 18] {
        let angle = TAU * hour as f32 / 24.0;
        let at = centre + vec2(angle.sin(), -angle.cos()) * (outer + 6.0);
        parts::centred(painter, at, &format!("{hour}"), 9.5, theme::WEAK);
    }
}

/// The scale's colours with its ends.
fn scale(ui: &mut Ui, ring: &[Option<(f64, bool)>]) {
    let (low, high) = range(ring);
    let (rect, _) = ui.allocate_exact_size(vec2(120.0, 8.0), Sense::hover());
    for i in 0..24 {
        let share = i as f32 / 24.0;
        let x = rect.left() + rect.width() * share;
        let part =
            egui::Rect::from_min_size(pos2(x, rect.top()), vec2(rect.width() / 24.0 + 0.5, rect.height()));
        ui.painter().rect_filled(part, 0, theme::cividis(share));
    }
    ui.horizontal(|ui| {
        let text = |kg: f64| RichText::new(format::grouped(kg * 1_000.0, 0)).size(10.0).color(theme::WEAK);
        ui.set_width(rect.width());
        ui.label(text(low));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| ui.label(text(high)));
    });
}
