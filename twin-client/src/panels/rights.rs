//! Who may ask for changes: operators and administrators over a live link. Everyone else is told why not.

use crate::{
    i18n::I18n,
    model::{ParkModel, Role},
};
use egui::{Button, Response, Ui};

/// Why nothing can be asked of the park from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barred {
    /// Nobody would hear it.
    NoLink,
    /// The server has not said yet who this is.
    NotKnownYet,
    /// A viewer's account, or a wall's token.
    OnlyLooks,
}

pub fn may_operate(model: &ParkModel) -> Result<(), Barred> {
    if !model.link.is_live() {
        return Err(Barred::NoLink);
    }
    match model.role {
        None => Err(Barred::NotKnownYet),
        Some(role) if role < Role::Operator => Err(Barred::OnlyLooks),
        Some(_) => Ok(()),
    }
}

impl Barred {
    pub fn words(self, i18n: &I18n) -> String {
        match self {
            Barred::NoLink => i18n.t("rights-no-link"),
            Barred::NotKnownYet => i18n.t("rights-not-known-yet"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LinkState;

    #[test]
    fn only_operators_and_administrators_over_a_live_link_may_operate() {
        for (link, role, may) in [
            (LinkState::Live, None, Err(Barred::NotKnownYet)),
            (LinkState::Live, Some(Role::Viewer), Err(Barred::OnlyLooks)),
            (LinkState::Live, Some(Role::Operator), Ok(())),
            (LinkState::Live, Some(Role::Admin), Ok(())),
            (LinkState::Connecting, Some(Role::Admin), Err(Barred::NoLink)),
        ] {
            let mut model = ParkModel::default();
            (model.role, model.link) = (role, link);
            assert_eq!(may_operate(&model), may, "{role:?}");
        }
    }
}
