//! Logging in, when nothing else did.

use crate::{
    i18n::I18n,
    model::{LinkState, ParkModel},
    ui::{commands::UiCommand, theme},
};
use egui::{Align2, Key, RichText, TextEdit, Ui};

/// What is being typed; it never leaves the form but as a command.
#[derive(Default)]
pub struct LoginForm {
    pub user: String,
    pub password: String,
}

/// Shows the form while the link waits for a person.
pub fn login_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, form: &mut LoginForm, out: &mut Vec<UiCommand>) {
    let reason = match &model.link {
        LinkState::NeedsLogin => None,
        LinkState::Refused { reason, .. } => Some(i18n.fault(reason)),
        _ => return,
    };
    egui::Window::new(i18n.t("login-title"))
        .collapsible(false)
        .resizable(false)
        .anchor(Align2::CENTER_CENTER, egui::Vec2::ZERO)
        .show(ui.ctx(), |ui| {
            ui.set_width(260.0);
            if let Some(reason) = reason {
                ui.label(RichText::new(reason).color(theme::severity(shared::alarm::Severity::Critical)));
            }
            ui.label(i18n.t("login-user"));
            ui.add(TextEdit::singleline(&mut form.user).desired_width(f32::INFINITY));
            ui.label(i18n.t("login-password"));
            let field = TextEdit::singleline(&mut form.password).password(true).desired_width(f32::INFINITY);
            let entered = ui.add(field).lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
            ui.add_space(6.0);
            let ready = !form.user.is_empty() && !form.password.is_empty();
            let button = ui.add_enabled(ready, egui::Button::new(i18n.t("login-submit")));
            if ready && (button.clicked() || entered) {
                out.push(UiCommand::Login {
                    user: form.user.clone(),
                    password: std::mem::take(&mut form.password),
                });
            }
        });
}
