//! Words people read stand in the translations, not in the code.

use std::{fs, path::Path};

/// What may stand in code: units and signs that are the same in both languages, and keys as printed on a keyboard.
const SAME_EVERYWHERE: [&str; 10] =
    ["kW", "kWh", "MWh", "MW", "kg", "gCO₂e/kWh", "g/kWh", "¥/kWh", "Ctrl+F", "Shift"];

/// Calls whose literal argument is shown to people.
const SHOWING: [&str; 14] = [
    "RichText::new(\"",
    ".label(\"",
    "Label::new(\"",
    "Button::new(\"",
    ".button(\"",
    ".small_button(\"",
    ".menu_button(\"",
    ".heading(\"",
    ".on_hover_text(\"",
    ".hint_text(\"",
    ".selectable_label(\"",
    "Window::new(\"",
    "nothing_yet(ui, \"",
    "title: \"",
];

/// A file's code without its comments and tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn is_word(text: &str) -> bool {
    let stripped = SAME_EVERYWHERE.iter().fold(text.to_owned(), |rest, unit| rest.replace(unit, ""));
    // What stands in braces is filled in.
    let plain: String =
        stripped.split('{').map(|part| part.split_once('}').map_or(part, |(_, after)| after)).collect();
    let mut run = 0;
    plain.chars().any(|c| {
        run = if c.is_ascii_alphabetic() { run + 1 } else { 0 };
        run > 1
    })
}

#[test]
fn no_panel_shows_words_of_its_own() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for folder in ["panels", "ui", "ui/overlay"] {
        let entries = fs::read_dir(source.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        for path in entries.filter(|path| path.is_file()) {
            let code = code(&path);
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            if code.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)) {
                found.push(format!("{file}: Chinese in code"));
            }
            for call in SHOWING {
                for literal in code.split(call).skip(1).filter_map(|rest| rest.split('"').next()) {
                    if is_word(literal) {
                        found.push(format!("{file}: {call}{literal}\""));
                    }
                }
            }
        }
    }
    assert!(found.is_empty(), "put these into assets/i18n: {found:#?}");
}

#[test]
fn units_and_signs_are_not_words_and_words_are() {
    for (text, word) in
        [("kW", false), ("{value} {unit}", false), ("× %", false), ("Plan now", true), ("EN", true)]
    {
        assert_eq!(is_word(text), word, "{text}");
    }
}
