//! Outcomes of what was asked, for a few seconds.

use crate::{
    i18n::I18n,
    net::{Asked, Notice},
    ui::theme,
};
use egui::{Align2, RichText, Stroke, Ui, vec2};
use shared::alarm::Severity;

/// What a notice says, and whether it is bad news.
fn line(i18n: &I18n, notice: &Notice) -> Option<(String, bool)> {
    Some(match (&notice.error, notice.what) {
        (Some(told), _) => (i18n.t1("notice-failed", "reason", i18n.fault(told)), true),
        (None, Asked::Acknowledge) => (i18n.t("notice-acknowledge-done").into_owned(), false),
        (None, Asked::PlanNow) => (i18n.t("notice-plan-done").into_owned(), false),
        (None, Asked::Command) => (i18n.t("notice-command-done").into_owned(), false),
    })
}

/// `busy` when the link was too busy to take a wish.
pub fn notices_ui<'a>(ui: &mut Ui, i18n: &I18n, notices: impl Iterator<Item = &'a Notice>, busy: bool) {
    let mut lines: Vec<_> = notices.filter_map(|notice| line(i18n, notice)).collect();
    if busy {
        lines.push((i18n.t("notice-busy").into_owned(), true));
    }
    if lines.is_empty() {
        return;
    }
    egui::Area::new("notices".into())
        .anchor(Align2::CENTER_BOTTOM, vec2(0.0, -24.0))
        .interactable(false)
        .show(ui.ctx(), |ui| {
            for (line, bad) in lines {
                let colour = if bad { theme::severity(Severity::Major) } else { theme::ACCENT };
                theme::card().stroke(Stroke::new(1.0, colour)).show(ui, |ui| {
                    ui.label(RichText::new(line).size(13.0));
                });
            }
        });
}
