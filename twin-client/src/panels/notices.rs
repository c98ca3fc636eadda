//! Outcomes of what was asked, for a few seconds, and what a server's refusal means in the reader's language.

use crate::{
    i18n::I18n,
    net::{Asked, Notice},
    ui::theme,
};
use egui::{Align2, RichText, Stroke, Ui, vec2};
use shared::alarm::Severity;

/// A failure as the link tells it, `words (CODE)` or a sentence of its own, in the language in use. Codes a person can do
/// something about have words; of others the server's own are shown, named as such.
pub fn reason(i18n: &I18n, told: &str) -> String {
    let code = told.strip_suffix(')').and_then(|t| t.rsplit_once('(')).map(|(_, code)| code);
    match code {
        Some("FORBIDDEN") => i18n.t("error-forbidden").into_owned(),
        Some("INVALID_CREDENTIALS") => i18n.t("error-credentials").into_owned(),
        Some("UNAUTHENTICATED" | "INVALID_TOKEN" | "TOKEN_EXPIRED" | "TOKEN_REVOKED" | "TOKEN_REUSED") => {
            i18n.t("error-session").into_owned()
        }
        Some("TOO_MANY_ATTEMPTS") => i18n.t("error-attempts").into_owned(),
        Some("TIMEOUT") => i18n.t("error-timeout").into_owned(),
        Some("STOPPING") => i18n.t("error-stopping").into_owned(),
        Some("NOT_FOUND" | "UNKNOWN_DEVICE") => i18n.t("error-not-found").into_owned(),
        Some("CONFLICT" | "ALREADY_EXISTS") => i18n.t("error-conflict").into_owned(),
        Some("INTERNAL" | "STORAGE_FAILED") => i18n.t("error-internal").into_owned(),
        Some("EXPIRED") => i18n.t("error-expired").into_owned(),
        _ => i18n.t1("error-told", "words", told),
    }
}

/// What a notice says, and whether it is bad news.
fn line(i18n: &I18n, notice: &Notice) -> Option<(String, bool)> {
    Some(match (&notice.error, notice.what) {
        // The login window says it itself.
        (_, Asked::Login) => return None,
        (Some(told), _) => (i18n.t1("notice-failed", "reason", reason(i18n, told)), true),
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

#[cfg(test)]
mod tests {
    use super::*;
    use shared::text::Language;

    #[test]
    fn refusals_read_in_both_languages_and_unknown_ones_keep_the_servers_words() {
        for language in [Language::Chinese, Language::English] {
            let i18n = I18n::new(language);
            let forbidden = reason(&i18n, "operators only (FORBIDDEN)");
            assert_eq!(forbidden, i18n.t("error-forbidden"));
            assert!(reason(&i18n, "power must be below 8 (INVALID_VALUE)").contains("power must be below 8"));
            assert!(reason(&i18n, "HTTP 502").contains("HTTP 502"));
        }
    }
}
