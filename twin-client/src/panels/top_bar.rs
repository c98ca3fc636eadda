//! The bar on top: which park, what time it is there, whether the link lives, language and search.

use super::{keys, search::search_ui};
use crate::{
    i18n::I18n,
    model::{LinkState, ParkModel, Role},
    ui::{commands::UiCommand, format, theme},
};
use egui::{Align, Button, Color32, Layout, RichText, Sense, Ui, vec2};

pub fn top_bar_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, search: &str, out: &mut Vec<UiCommand>) {
    ui.horizontal_centered(|ui| {
        let name = model
            .scene
            .as_ref()
            .map_or_else(|| i18n.t("app-title").into_owned(), |s| i18n.text(&s.scene.park.name).to_owned());
        ui.label(RichText::new(name).size(17.0).strong());
        ui.add_space(10.0);
        link(ui, model, i18n);
        devices(ui, model, i18n);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            columns(ui, i18n, out);
            if ui.button("?").on_hover_text(i18n.t("keys-title")).clicked() {
                out.push(UiCommand::ToggleHelp);
            }
            if ui.button(i18n.t("quality-short")).on_hover_text(i18n.t("quality-open-hint")).clicked() {
                out.push(UiCommand::ToggleQuality);
            }
            account(ui, model, i18n, out);
            language(ui, i18n, out);
            if ui.button(i18n.t("view-all")).clicked() {
                out.push(UiCommand::ShowAll);
            }
            search_ui(ui, model, i18n, search, out);
            ui.add_space(12.0);
            clock(ui, model);
        });
    });
}

fn clock(ui: &mut Ui, model: &ParkModel) {
    let Some(scene) = &model.scene else { return };
    let local = model.now.local(&scene.zone);
    let time = format!("{:02}:{:02}:{:02}", local.hour(), local.minute(), local.second());
    let date = format!("{:04}-{:02}-{:02}", local.year(), local.month(), local.day());
    ui.label(RichText::new(time).size(17.0));
    ui.label(RichText::new(date).size(12.0).color(theme::WEAK));
}

fn language(ui: &mut Ui, i18n: &I18n, out: &mut Vec<UiCommand>) {
    let label = i18n.t("language-other");
    if ui.add(Button::new(label).min_size(vec2(42.0, 0.0))).clicked() {
        out.push(UiCommand::SetLanguage(keys::other(i18n.language())));
    }
}

/// Who is signed in, and the way out.
fn account(ui: &mut Ui, model: &ParkModel, i18n: &I18n, out: &mut Vec<UiCommand>) {
    if matches!(model.link, LinkState::NeedsLogin | LinkState::Refused { .. } | LinkState::LoggingIn) {
        return;
    }
    ui.menu_button(i18n.t("account"), |ui| {
        if let (Some(name), Some(role)) = (&model.user_name, model.role) {
            ui.label(RichText::new(name).strong());
            let word = match role {
                Role::Viewer => i18n.t("role-viewer"),
                Role::Operator => i18n.t("role-operator"),
                Role::Admin => i18n.t("role-admin"),
            };
            ui.label(RichText::new(word).size(11.5).color(theme::WEAK));
            ui.separator();
        }
        if ui.button(i18n.t("account-sign-out")).clicked() {
            out.push(UiCommand::Logout);
            ui.close();
        }
    });
}

/// Two small pictures of the window that fold its columns away and back.
fn columns(ui: &mut Ui, i18n: &I18n, out: &mut Vec<UiCommand>) {
    let mut toggle = |left: bool, hint: &str, command: UiCommand| {
        let (rect, response) = ui.allocate_exact_size(vec2(20.0, 20.0), Sense::click());
        let colour = if response.hovered() { theme::TEXT } else { theme::WEAK };
        let frame = rect.shrink2(vec2(2.0, 4.0));
        ui.painter().rect_stroke(frame, 2, egui::Stroke::new(1.2, colour), egui::StrokeKind::Inside);
        let mut part = frame;
        if left {
            part.max.x = frame.left() + 5.0;
        } else {
            part.min.x = frame.right() - 5.0;
        }
        ui.painter().rect_filled(part, 1, colour);
        if response.on_hover_text(i18n.t(hint)).clicked() {
            out.push(command);
        }
    };
    toggle(false, "columns-right", UiCommand::ToggleRight);
    toggle(true, "columns-left", UiCommand::ToggleLeft);
}

/// A dot and a word: connecting, live, or lost.
fn link(ui: &mut Ui, model: &ParkModel, i18n: &I18n) {
    let (text, colour): (String, Color32) = match &model.link {
        LinkState::Live => (i18n.t("link-live").into_owned(), theme::ACCENT),
        LinkState::Lost { .. } => {
            (i18n.t("link-lost").into_owned(), theme::severity(shared::alarm::Severity::Critical))
        }
        LinkState::NeedsLogin | LinkState::Refused { .. } => {
            (i18n.t("link-logged-out").into_owned(), theme::WEAK)
        }
        LinkState::LoggingIn | LinkState::LoadingScene | LinkState::Connecting => {
            (i18n.t("app-connecting").into_owned(), theme::severity(shared::alarm::Severity::Warning))
        }
    };
    let (rect, response) = ui.allocate_exact_size(vec2(10.0, 10.0), Sense::hover());
    ui.painter().circle_filled(rect.center(), 4.5, colour);
    let label = ui.label(RichText::new(text).size(12.5).color(colour));
    if let Some(ms) = model.round_trip_ms {
        (response | label).on_hover_text(i18n.t1("link-round-trip", "ms", i64::from(ms)));
    }
}

fn devices(ui: &mut Ui, model: &ParkModel, i18n: &I18n) {
    let Some(energy) = &model.energy else { return };
    let text = format!("{} / {}", energy.devices_online, energy.devices_total);
    ui.add_space(8.0);
    ui.label(RichText::new(i18n.t("devices-online")).size(12.0).color(theme::WEAK));
    ui.label(RichText::new(text).size(12.5));
}

/// Across the top of the 3D view while the link is lost: nothing below it is newer than this.
pub fn lost_banner_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n) {
    let LinkState::Lost { since, reason } = &model.link else { return };
    let text = format!("⚠ {} · {}", i18n.t("link-lost-banner"), format::age(i18n, model.local_now, *since));
    ui.label(RichText::new(text).size(15.0).strong().color(Color32::WHITE)).on_hover_text(i18n.fault(reason));
}
