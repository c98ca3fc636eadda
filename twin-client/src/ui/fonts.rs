//! The interface font: a subset of Noto Sans CJK SC, embedded, before egui's own symbols.

use egui::{FontData, FontDefinitions, FontFamily};
use std::sync::Arc;

/// GB 2312 level 1, Latin, and every character of the translations and scenes; made by `scripts/fonts`.
pub const NOTO_SANS_SC: &[u8] = include_bytes!("../../../assets/fonts/NotoSansSC-subset.otf");

pub fn definitions() -> FontDefinitions {
    let mut fonts = FontDefinitions::default();
    let name = "noto-sans-sc";
    fonts.font_data.insert(name.into(), Arc::new(FontData::from_static(NOTO_SANS_SC)));
    for family in [FontFamily::Proportional, FontFamily::Monospace] {
        fonts.families.entry(family).or_default().insert(0, name.into());
    }
    fonts
}
