//! Who may ask for changes: operators and administrators over a live link. Everyone else is told why not.

use crate::{i18n::I18n, model::ParkModel};
use egui::{Button, Response, Ui};

/// Why nothing can be asked of the park from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barred {
    /// Nobody would hear it.
    NoLink,
    /// A viewer's account, or a wall's token.
    OnlyLooks,
}

pub fn may_operate(model: &ParkModel) -> Result<(), Barred> {
    if !model.link.is_live() {
        return Err(Barred::NoLink);
    }
    if !model.may_operate() {
        return Err(Barred::OnlyLooks);
    }
    Ok(())
}

impl Barred {
    pub fn words(self, i18n: &I18n) -> String {
        match self {
            Barred::NoLink => i18n.t("rights-no-link"),
            Barred::OnlyLooks => i18n.t("rights-only-looks"),
        }
        .into_owned()
    }
}

/// A button for operators: grey with the reason on hovering for everyone else.
pub fn operate_button(ui: &mut Ui, model: &ParkModel, i18n: &I18n, button: Button<'_>) -> Response {
    match may_operate(model) {
        Ok(()) => ui.add(button),
        Err(barred) => ui.add_enabled(false, button).on_disabled_hover_text(barred.words(i18n)),
    }
}
