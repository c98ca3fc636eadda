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
