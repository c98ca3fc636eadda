//! Colours, sizes and the egui style: named tokens, used by every panel.

use crate::world::palette::{self, Tone};
use bevy::color::{ColorToPacked, Srgba};
use egui::{Color32, CornerRadius, FontId, Margin, Shadow, Stroke, TextStyle, Visuals};
use shared::{alarm::Severity, tariff::Band};

pub const PANEL: Color32 = Color32::from_rgb(0x14, 0x18, 0x1D);
pub const CARD: Color32 = Color32::from_rgb(0x1C, 0x21, 0x28);
pub const CARD_RAISED: Color32 = Color32::from_rgb(0x26, 0x2D, 0x36);
pub const LINE: Color32 = Color32::from_rgb(0x2E, 0x36, 0x40);
pub const TEXT: Color32 = Color32::from_rgb(0xE6, 0xEA, 0xEE);
pub const WEAK: Color32 = Color32::from_rgb(0x93, 0x9D, 0xA8);
pub const FAINT: Color32 = Color32::from_rgb(0x5C, 0x66, 0x71);
pub const ACCENT: Color32 = Color32::from_rgb(0x4F, 0xB3, 0xA5);

pub const SOLAR: Tone = palette::SOLAR;
pub const WIND: Tone = palette::WIND;
pub const GRID: Tone = palette::GRID;
pub const STORAGE: Tone = palette::STORAGE;
pub const CHARGING: Tone = palette::CHARGING;
pub const LOAD: Tone = palette::LOAD;

/// A park colour for egui.
pub fn colour(tone: Tone) -> Color32 {
    let [r, g, b, _] = Srgba::from(tone.linear()).to_u8_array();
    Color32::from_rgb(r, g, b)
}

pub fn severity(severity: Severity) -> Color32 {
    match severity {
        Severity::Critical => colour(palette::ALARM_CRITICAL),
        Severity::Major => colour(palette::ALARM_MAJOR),
        Severity::Warning => colour(palette::ALARM_WARNING),
        Severity::Info => WEAK,
    }
}

/// Tariff bands from dear to cheap.
pub fn band(band: Band) -> Color32 {
    match band {
        Band::Critical => Color32::from_rgb(0xC9, 0x5A, 0x5F),
        Band::Peak => Color32::from_rgb(0xC9, 0x8A, 0x4B),
        Band::Flat => Color32::from_rgb(0x6E, 0x78, 0x84),
        Band::Valley => Color32::from_rgb(0x4A, 0x86, 0x9E),
    }
}

/// A perceptual scale for carbon intensity, 0 (least) to 1: cividis, by its published stops.
pub fn cividis(share: f32) -> Color32 {
    const STOPS: [[u8; 3]; 6] =
        [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]];
    let at = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32;
    let i = (at as usize).min(STOPS.len() - 2);
    let t = at - i as f32;
    let mix =
        |k: usize| (f32::from(STOPS[i][k]) + (f32::from(STOPS[i + 1][k]) - f32::from(STOPS[i][k])) * t) as u8;
    Color32::from_rgb(mix(0), mix(1), mix(2))
}

/// Sets the dark style of the dashboards.
pub fn apply(ctx: &egui::Context) {
    ctx.set_theme(egui::Theme::Dark);
    // On a slow display a press and its release may be frames apart: still a click.
    ctx.options_mut(|options| options.input_options.max_click_duration = 5.0);
    ctx.all_styles_mut(|style| {
        let mut visuals = Visuals::dark();
        visuals.panel_fill = PANEL;
        visuals.window_fill = CARD;
        visuals.window_stroke = Stroke::new(1.0, LINE);
        visuals.window_corner_radius = CornerRadius::same(8);
        visuals.window_shadow =
            Shadow { offset: [0, 6], blur: 18, spread: 0, color: Color32::from_black_alpha(110) };
        visuals.popup_shadow = visuals.window_shadow;
        visuals.extreme_bg_color = Color32::from_rgb(0x10, 0x13, 0x17);
        visuals.faint_bg_color = CARD_RAISED;
        visuals.selection.bg_fill = ACCENT.linear_multiply(0.45);
        visuals.selection.stroke = Stroke::new(1.0, TEXT);
        visuals.hyperlink_color = ACCENT;
        let widgets = &mut visuals.widgets;
        widgets.noninteractive.fg_stroke.color = TEXT;
        widgets.noninteractive.bg_stroke = Stroke::new(1.0, LINE);
        for widget in [&mut widgets.inactive, &mut widgets.hovered, &mut widgets.active, &mut widgets.open] {
            widget.corner_radius = CornerRadius::same(5);
            widget.fg_stroke.color = TEXT;
        }
        widgets.inactive.weak_bg_fill = CARD_RAISED;
        widgets.inactive.bg_fill = CARD_RAISED;
        widgets.hovered.weak_bg_fill = LINE;
        widgets.hovered.bg_stroke = Stroke::new(1.0, FAINT);
        style.visuals = visuals;
        style.spacing.item_spacing = egui::vec2(8.0, 5.0);
        style.spacing.button_padding = egui::vec2(9.0, 4.0);
        style.interaction.selectable_labels = false;
        style.text_styles = [
            (TextStyle::Small, FontId::proportional(11.0)),
            (TextStyle::Body, FontId::proportional(13.0)),
            (TextStyle::Button, FontId::proportional(13.0)),
            (TextStyle::Heading, FontId::proportional(17.0)),
            (TextStyle::Monospace, FontId::monospace(12.0)),
        ]
        .into();
    });
}

/// The frame of a card.
pub fn card() -> egui::Frame {
    egui::Frame::new().fill(CARD).corner_radius(CornerRadius::same(8)).inner_margin(Margin::symmetric(12, 10))
}
