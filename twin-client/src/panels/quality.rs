//! Data quality: today's three shares, the days before, the devices that need someone, and sources that differ.
//!
//! Grey is in order. A share that is not has a sign and a word beside its colour.

use super::{alarms, parts};
use crate::{
    i18n::I18n,
    model::{ParkModel, selection::Thing},
    ui::{commands::UiCommand, format, theme},
};
use egui::{Align, Align2, Color32, Grid, Label, Layout, RichText, ScrollArea, Sense, Ui, vec2};
use shared::{
    alarm::Severity,
    quality::{DeviceQuality, FusedInput, FusedSource, FusionState, QualityFigures, QualityReport},
    time::SECOND_MS,
};

const SIZE: [f32; 2] = [720.0, 560.0];
/// Shares from here on are in order; below the second one someone must act.
const IN_ORDER: f64 = 0.98;
const BAD: f64 = 0.90;

/// How much a share should worry: nothing while it is in order, or not known.
fn worry(share: Option<f64>) -> Option<Severity> {
    match share {
        Some(share) if share < BAD => Some(Severity::Major),
        Some(share) if share < IN_ORDER => Some(Severity::Warning),
        _ => None,
    }
}

/// Whether somebody should look at a device: a share that is not in order, or a clock that is wrong.
fn needs_someone(row: &DeviceQuality) -> bool {
    worry(Some(row.figures.worst())).is_some() || row.figures.skewed > 0
}

pub fn quality_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, out: &mut Vec<UiCommand>) {
    let mut open = true;
    egui::Window::new(i18n.t("quality-title"))
        .id("data-quality".into())
        .collapsible(false)
        .resizable(false)
        .open(&mut open)
        .fixed_size(SIZE)
        .anchor(Align2::CENTER_CENTER, vec2(0.0, 0.0))
        .show(ui.ctx(), |ui| {
            ui.set_min_size(vec2(SIZE[0], 120.0));
            if let Some(fault) = &model.quality.error {
                let text = i18n.t1("quality-unanswered", "reason", i18n.fault(fault));
                ui.label(RichText::new(text).size(12.0).color(theme::severity(Severity::Warning)));
            }
            match &model.quality.report {
                None => parts::nothing_yet(ui, &i18n.t("waiting-for-data")),
                Some(report) => {
                    ScrollArea::vertical().max_height(SIZE[1]).auto_shrink([false, true]).show(ui, |ui| {
                        today(ui, model, i18n, report);
                        ui.add_space(4.0);
                        days(ui, i18n, report);
                        ui.add_space(4.0);
                        devices(ui, model, i18n, report, out);
                        if !report.sources.is_empty() {
                            ui.add_space(4.0);
                            sources(ui, model, i18n, report);
                        }
                    });
                }
            }
        });
    if !open {
        out.push(UiCommand::ToggleQuality);
    }
}

fn percent(share: Option<f64>) -> String {
    // Rounded down: what is not all is not shown as all.
    share.map_or_else(|| "–".to_owned(), |s| format::grouped((s * 1_000.0).floor() / 10.0, 1))
}

/// Nothing is no number of per cent.
fn unit_of(share: Option<f64>) -> &'static str {
    if share.is_some() { "%" } else { "" }
}

/// A share with its sign and word when it is not in order.
fn share_tile(ui: &mut Ui, i18n: &I18n, name: &str, share: Option<f64>, hint: &str) {
    ui.allocate_ui(vec2(150.0, 44.0), |ui| {
        ui.set_min_width(150.0);
        ui.vertical(|ui| {
            ui.spacing_mut().item_spacing.y = 1.0;
            ui.label(RichText::new(name).size(11.5).color(theme::WEAK));
            ui.horizontal(|ui| {
                parts::figure(ui, &percent(share), unit_of(share), 22.0);
                if let Some(severity) = worry(share) {
                    sign(ui, severity);
                    let word = match severity {
                        Severity::Major => i18n.t("quality-poor"),
                        _ => i18n.t("quality-reduced"),
                    };
                    ui.label(RichText::new(word).size(12.0).color(theme::severity(severity)));
                }
            });
        })
        .response
        .interact(Sense::hover())
        .on_hover_text(hint);
    });
}

fn sign(ui: &mut Ui, severity: Severity) {
    let (rect, _) = ui.allocate_exact_size(vec2(15.0, 15.0), Sense::hover());
    alarms::badge(ui.painter(), rect.center(), 5.5, severity, false);
}

fn today(ui: &mut Ui, model: &ParkModel, i18n: &I18n, report: &QualityReport) {
    let figures = report.days.first().map_or_else(QualityFigures::default, |day| day.figures);
    let aside = |ui: &mut Ui| {
        let age = format::age(i18n, model.now, report.at);
        ui.label(RichText::new(age).size(11.0).color(theme::WEAK));
    };
    parts::card(ui, &i18n.t("quality-today"), aside, |ui| {
        ui.horizontal_top(|ui| {
            let late = i18n.t1("quality-timeliness-hint", "seconds", i64::from(report.late_after_s));
            share_tile(
                ui,
                i18n,
                &i18n.t("quality-completeness"),
                figures.completeness,
                &i18n.t("quality-completeness-hint"),
            );
            share_tile(ui, i18n, &i18n.t("quality-timeliness"), figures.timeliness, &late);
            share_tile(
                ui,
                i18n,
                &i18n.t("quality-validity"),
                figures.validity,
                &i18n.t("quality-validity-hint"),
            );
            ui.with_layout(Layout::right_to_left(Align::Min), |ui| {
                let received = format::grouped(figures.received as f64, 0);
                parts::tile(ui, &i18n.t("quality-received"), &received, "");
            });
        });
        ui.add_space(4.0);
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 14.0;
            for (name, count) in [
                (i18n.t("quality-out-of-range"), figures.out_of_range),
                (i18n.t("quality-jumps"), figures.jumps),
                (i18n.t("quality-stuck"), figures.stuck),
                (i18n.t("quality-skewed"), figures.skewed),
                (i18n.t("quality-late"), figures.late),
                (i18n.t("quality-duplicates"), figures.duplicates),
                (i18n.t("quality-refused"), figures.refused),
                (i18n.t("quality-converted"), figures.converted),
                (i18n.t("quality-backfilled"), figures.backfilled),
            ] {
                // One label each, so that the line wraps between them.
                let colour = if count > 0 { theme::TEXT } else { theme::FAINT };
                let text = format!("{name} {}", format::grouped(count as f64, 0));
                ui.label(RichText::new(text).size(11.5).color(colour));
            }
        });
    });
}

fn head(ui: &mut Ui, texts: &[&str]) {
    for text in texts {
        ui.label(RichText::new(*text).size(11.0).color(theme::WEAK));
    }
    ui.end_row();
}

/// A share in a table: coloured only when it is not in order, and then signed.
fn share_cell(ui: &mut Ui, share: Option<f64>) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 3.0;
        let severity = worry(share);
        let colour = match (share, severity) {
            (_, Some(severity)) => theme::severity(severity),
            (None, None) => theme::FAINT,
            _ => theme::TEXT,
        };
        ui.label(RichText::new(percent(share)).size(12.0).color(colour));
        ui.label(RichText::new(unit_of(share)).size(10.5).color(theme::WEAK));
        if let Some(severity) = severity {
            sign(ui, severity);
        }
    });
}

fn gap_text(i18n: &I18n, seconds: u32) -> String {
    match seconds {
        0 => "–".to_owned(),
        _ => i18n.t1("quality-minutes", "n", i64::from(seconds / 60)),
    }
}

/// Whether there is anything to tell of a day; before the park was there, there is not.
fn tells(figures: &QualityFigures) -> bool {
    figures.received + figures.expected > 0
}

fn days(ui: &mut Ui, i18n: &I18n, report: &QualityReport) {
    parts::card(
        ui,
        &i18n.t("quality-days"),
        |_| {},
        |ui| {
            Grid::new("quality-days").num_columns(6).spacing([26.0, 3.0]).min_col_width(70.0).show(
                ui,
                |ui| {
                    head(
                        ui,
                        &[
                            &i18n.t("quality-day"),
                            &i18n.t("quality-completeness"),
                            &i18n.t("quality-timeliness"),
                            &i18n.t("quality-validity"),
                            &i18n.t("quality-received"),
                            "",
                        ],
                    );
                    for day in report.days.iter().filter(|day| tells(&day.figures)) {
                        let figures = &day.figures;
                        ui.label(RichText::new(&day.day).size(12.0).color(theme::TEXT));
                        for share in [figures.completeness, figures.timeliness, figures.validity] {
                            share_cell(ui, share);
                        }
                        let received = format::grouped(figures.received as f64, 0);
                        ui.label(RichText::new(received).size(12.0).color(theme::TEXT));
                        // Days filled in later say nothing about how data came.
                        let filled = figures.received > 0 && figures.backfilled * 2 > figures.received;
                        let note = if filled { i18n.t("quality-mostly-backfilled") } else { "".into() };
                        ui.label(RichText::new(note).size(11.0).color(theme::WEAK))
                            .on_hover_text(i18n.t("quality-backfilled-hint"));
                        ui.end_row();
                    }
                },
            );
        },
    );
}

fn devices(ui: &mut Ui, model: &ParkModel, i18n: &I18n, report: &QualityReport, out: &mut Vec<UiCommand>) {
    /// More than people read; the API has all of them.
    const MOST: usize = 12;
    let today = report.days.first().map(|day| day.day.as_str());
    let rows: Vec<&DeviceQuality> =
        report.devices.iter().filter(|row| Some(row.day.as_str()) == today && needs_someone(row)).collect();
    let aside = |ui: &mut Ui| {
        if rows.len() > MOST {
            let text = i18n.t1("quality-more", "n", (rows.len() - MOST) as i64);
            ui.label(RichText::new(text).size(11.0).color(theme::WEAK));
        }
    };
    parts::card(ui, &i18n.t("quality-devices"), aside, |ui| {
        if rows.is_empty() {
            ui.horizontal(|ui| {
                ui.label(RichText::new("✓").size(14.0).color(theme::ACCENT));
                ui.label(RichText::new(i18n.t("quality-all-in-order")).size(12.5).color(theme::WEAK));
            });
            return;
        }
        Grid::new("quality-devices").num_columns(6).spacing([18.0, 3.0]).show(ui, |ui| {
            head(
                ui,
                &[
                    &i18n.t("quality-device"),
                    &i18n.t("quality-completeness"),
                    &i18n.t("quality-timeliness"),
                    &i18n.t("quality-validity"),
                    &i18n.t("quality-gap"),
                    &i18n.t("quality-why"),
                ],
            );
            for row in rows.iter().take(MOST) {
                device_row(ui, model, i18n, report, row, out);
            }
        });
    });
}

fn device_row(
    ui: &mut Ui,
    model: &ParkModel,
    i18n: &I18n,
    report: &QualityReport,
    row: &DeviceQuality,
    out: &mut Vec<UiCommand>,
) {
    let index = model.scene.as_ref().and_then(|scene| scene.device_index(&row.device_id));
    let name = index
        .and_then(|index| model.scene.as_ref()?.device(index))
        .map_or_else(|| row.device_id.to_string(), |device| i18n.text(&device.name).to_owned());
    // A link: reached with the keyboard, and leads to the device.
    if ui.link(RichText::new(name).size(12.5)).on_hover_text(row.device_id.as_str()).clicked()
        && let Some(index) = index
    {
        out.push(UiCommand::GoTo(Thing::Device(index)));
        out.push(UiCommand::ToggleQuality);
    }
    let figures = &row.figures;
    for share in [figures.completeness, figures.timeliness, figures.validity] {
        share_cell(ui, share);
    }
    ui.label(RichText::new(gap_text(i18n, figures.longest_gap_s)).size(12.0).color(theme::TEXT));
    ui.add(Label::new(RichText::new(why(i18n, report, row)).size(11.5).color(theme::WEAK)).truncate());
    ui.end_row();
}

/// What was seen of a device, in words, with how often.
fn why(i18n: &I18n, report: &QualityReport, row: &DeviceQuality) -> String {
    let figures = &row.figures;
    let mut parts: Vec<String> = [
        (i18n.t("quality-out-of-range"), figures.out_of_range),
        (i18n.t("quality-jumps"), figures.jumps),
        (i18n.t("quality-stuck"), figures.stuck),
        (i18n.t("quality-late"), figures.late),
        (i18n.t("quality-refused"), figures.refused),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(name, count)| format!("{name} {}", format::grouped(count as f64, 0)))
    .collect();
    let limit_ms = i64::from(report.clock_skew_s) * SECOND_MS;
    if let Some(skew_ms) = row.clock_skew_ms.filter(|ms| ms.abs() > limit_ms) {
        let seconds = format::grouped(skew_ms as f64 / 1e3, 0);
        parts.push(i18n.t1("quality-clock", "seconds", seconds));
    }
    if parts.is_empty() { i18n.t("quality-missing").into_owned() } else { parts.join(" · ") }
}

fn sources(ui: &mut Ui, model: &ParkModel, i18n: &I18n, report: &QualityReport) {
    parts::card(
        ui,
        &i18n.t("quality-sources"),
        |_| {},
        |ui| {
            for source in &report.sources {
                ui.horizontal(|ui| {
                    ui.label(RichText::new(i18n.text(&source.name)).size(12.5).color(theme::TEXT));
                    let value = source.value.map_or("–".to_owned(), |v| format::grouped(v, 1));
                    parts::figure(ui, &value, &source.unit, 14.0);
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| state(ui, model, i18n, source));
                });
                for input in &source.inputs {
                    input_row(ui, model, i18n, source, input);
                }
                ui.add_space(4.0);
            }
        },
    );
}

fn state(ui: &mut Ui, model: &ParkModel, i18n: &I18n, source: &FusedSource) {
    let (word, severity) = match source.state {
        FusionState::Agreed => (i18n.t("fusion-agreed"), None),
        FusionState::Alone => (i18n.t("fusion-alone"), None),
        FusionState::Conflict => (i18n.t("fusion-conflict"), Some(Severity::Warning)),
        FusionState::Stale => (i18n.t("fusion-stale"), Some(Severity::Warning)),
        FusionState::Missing => (i18n.t("fusion-missing"), Some(Severity::Warning)),
    };
    let colour: Color32 = severity.map_or(theme::WEAK, theme::severity);
    let mut text = word.into_owned();
    if let Some(since) = source.conflict_since {
        text = format!("{text} · {}", format::age(i18n, model.now, since));
    }
    ui.label(RichText::new(text).size(12.0).color(colour));
    if let Some(severity) = severity {
        sign(ui, severity);
    }
}

fn input_row(ui: &mut Ui, model: &ParkModel, i18n: &I18n, source: &FusedSource, input: &FusedInput) {
    ui.horizontal(|ui| {
        ui.add_space(12.0);
        let mark = if input.used { "●" } else { "○" };
        ui.label(RichText::new(mark).size(11.0).color(if input.used { theme::ACCENT } else { theme::FAINT }));
        let name_of = |id| {
            let scene = model.scene.as_ref()?;
            Some(i18n.text(&scene.device(scene.device_index(id)?)?.name).to_owned())
        };
        let name = match &input.devices[..] {
            [only] => name_of(only).unwrap_or_else(|| only.to_string()),
            several => i18n.t1("fusion-sum", "n", several.len() as i64),
        };
        ui.label(RichText::new(name).size(12.0).color(if input.used { theme::TEXT } else { theme::WEAK }));
        if input.used {
            parts::tag(ui, &i18n.t("fusion-used"), theme::ACCENT);
        }
        if input.stale {
            parts::tag(ui, &i18n.t("fusion-stale"), theme::WEAK);
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if let Some(difference) = input.difference {
                let signed =
                    format!("{}{}", if difference > 0.0 { "+" } else { "" }, format::grouped(difference, 1));
                let colour = if input.conflicts { theme::severity(Severity::Warning) } else { theme::WEAK };
                ui.label(RichText::new(format!("{signed} {}", source.unit)).size(11.5).color(colour));
            }
            let value = input
                .value
                .map_or("–".to_owned(), |v| format!("{} {}", format::grouped(v, 1), source.unit));
            ui.label(RichText::new(value).size(12.0).color(theme::WEAK));
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_is_in_order_and_what_is_not_known_worries_nobody() {
        for (share, expected) in [
            (None, None),
            (Some(1.0), None),
            (Some(0.98), None),
            (Some(0.95), Some(Severity::Warning)),
            (Some(0.5), Some(Severity::Major)),
        ] {
            assert_eq!(worry(share), expected, "{share:?}");
        }
        assert_eq!(percent(Some(0.99999)), "99.9");
        assert_eq!((percent(Some(1.0)).as_str(), percent(None).as_str()), ("100.0", "–"));
    }
}
