//! The keyboard: what keys ask for, and the list of them. Keys that move the eye are read by the camera.

use super::search;
use crate::{
    i18n::I18n,
    model::Selection,
    ui::{commands::UiCommand, theme},
};
use egui::{Align2, Event, Grid, Key, Modifiers, RichText, Ui, vec2};
use shared::text::Language;

/// Keys as they are printed on a keyboard, with the message that says what they do.
const LISTED: [(&str, &str); 18] = [
    ("/  Ctrl+F", "keys-search"),
    ("↑ ↓ Enter", "keys-choose"),
    ("Esc", "keys-close"),
    ("L", "keys-language"),
    ("[  ]", "keys-columns"),
    ("K", "keys-quality"),
    ("?  F1", "keys-help"),
    ("", "keys-camera"),
    ("W A S D  ← ↑ ↓ →", "keys-move"),
    ("Q  E", "keys-turn"),
    ("R  F", "keys-tilt"),
    ("+  −", "keys-zoom"),
    ("V", "keys-fly"),
    ("Home", "keys-all"),
    ("Z", "keys-selected"),
    ("Shift", "keys-fast"),
    ("keys-mouse-left", "keys-orbit"),
    ("keys-mouse-right", "keys-pan"),
];

/// What is open and may be closed, innermost first.
pub struct Open<'a> {
    pub help: bool,
    pub quality: bool,
    pub search: &'a str,
    pub selection: &'a Selection,
}

/// Reads the keys nobody is typing with. Comes after all panels: a key that opens the search is not typed into it.
pub fn keys_ui(ui: &mut Ui, i18n: &I18n, open: &Open<'_>, out: &mut Vec<UiCommand>) {
    if ui.input_mut(|i| i.consume_key(Modifiers::COMMAND, Key::F)) {
        search::focus(ui);
        return;
    }
    if ui.input(|i| i.key_pressed(Key::Escape)) {
        if open.help {
            out.push(UiCommand::ToggleHelp);
        } else if open.quality {
            out.push(UiCommand::ToggleQuality);
        } else if !open.search.is_empty() {
            out.push(UiCommand::Search(String::new()));
        } else if !search::had_focus(ui) && open.selection.selected.is_some() {
            out.push(UiCommand::Select(None));
        }
        return;
    }
    if ui.ctx().egui_wants_keyboard_input() {
        return;
    }
    let typed = |text: &str| ui.input(|i| i.events.iter().any(|e| matches!(e, Event::Text(t) if t == text)));
    let pressed = |key: Key| ui.input(|i| i.key_pressed(key) && i.modifiers.is_none());
    if typed("?") || pressed(Key::F1) || pressed(Key::Questionmark) {
        out.push(UiCommand::ToggleHelp);
    } else if typed("/") || pressed(Key::Slash) {
        search::focus(ui);
    } else if pressed(Key::L) {
        out.push(UiCommand::SetLanguage(other(i18n.language())));
    } else if pressed(Key::K) {
        out.push(UiCommand::ToggleQuality);
    } else if pressed(Key::OpenBracket) {
        out.push(UiCommand::ToggleLeft);
    } else if pressed(Key::CloseBracket) {
        out.push(UiCommand::ToggleRight);
    }
}

/// The language that is not in use.
pub fn other(language: Language) -> Language {
    match language {
        Language::Chinese => Language::English,
        Language::English => Language::Chinese,
    }
}

/// The list of keys, over everything.
pub fn help_ui(ui: &mut Ui, i18n: &I18n, out: &mut Vec<UiCommand>) {
    egui::Window::new(i18n.t("keys-title"))
        .collapsible(false)
        .resizable(false)
        .anchor(Align2::CENTER_CENTER, vec2(0.0, 0.0))
        .show(ui.ctx(), |ui| {
            Grid::new("keys").num_columns(2).spacing([22.0, 5.0]).show(ui, |ui| {
                for (keys, what) in LISTED {
                    let keys = if keys.starts_with("keys-") { i18n.t(keys) } else { keys.into() };
                    let what = i18n.t(what);
                    if keys.is_empty() {
                        ui.label(RichText::new(what).size(12.5).strong());
                    } else {
                        ui.label(RichText::new(keys).size(12.5).color(theme::ACCENT));
                        ui.label(RichText::new(what).size(12.5));
                    }
                    ui.end_row();
                }
            });
            ui.add_space(6.0);
            if ui.button(i18n.t("close")).clicked() {
                out.push(UiCommand::ToggleHelp);
            }
        });
}
