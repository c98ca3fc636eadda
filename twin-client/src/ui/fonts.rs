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

/// Puts the digits of every size in use on the font's texture. A glyph met first is drawn a frame late, which a clock
/// shows as a missing second and a picture keeps for good.
pub fn prepare_digits(ctx: &egui::Context) {
    const SIZES: [f32; 16] =
        [9.5, 10.0, 10.5, 11.0, 11.5, 12.0, 12.5, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 20.0, 22.0, 24.0];
    ctx.fonts_mut(|fonts| {
        for size in SIZES {
            // Several of each: a glyph is drawn apart for every fraction of a pixel it may begin at.
            let text = "0123456789−-–.:/%+¥↑↓".chars().flat_map(|c| std::iter::repeat_n(c, 7)).collect();
            fonts.layout_no_wrap(text, egui::FontId::proportional(size), egui::Color32::WHITE);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::i18n;
    use egui::epaint::text::{Fonts, TextOptions};
    use std::{collections::BTreeSet, fs, path::Path};

    /// Everything the client may have to write: translations, its own symbols, names in the demo scene and its models.
    fn needed() -> BTreeSet<char> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut text: String = i18n::SOURCES.concat();
        let mut folders = vec![here.join("../scenes"), here.join("src/panels"), here.join("src/ui")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "toml" || e == "geojson" || e == "rs") {
                    text.push_str(&fs::read_to_string(path).unwrap());
                }
            }
        }
        text.chars().filter(|c| !c.is_control()).collect()
    }

    #[test]
    fn every_character_of_translations_and_scenes_has_a_glyph() {
        // With egui's own faces behind ours, as they are shipped: subscripts come from those. What resolves to the face
        // that holds the replacement box is what none of them has.
        let mut fonts = Fonts::new(TextOptions::default(), definitions());
        let mut view = fonts.with_pixels_per_point(1.0);
        let font = egui::FontId::proportional(13.0);
        let missing: String = needed().into_iter().filter(|c| !view.has_glyph(&font, *c)).collect();
        assert!(missing.is_empty(), "no glyph for {missing:?}: run scripts/fonts");
    }
}
