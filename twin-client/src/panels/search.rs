//! Search: devices and buildings by name in either language, or by id.

use crate::{
    i18n::I18n,
    model::{ParkModel, SceneIndex, selection::Thing},
    ui::{commands::UiCommand, theme},
};
use egui::{Id, Key, Modifiers, Popup, RichText, TextEdit, Ui};
use shared::text::Text;

/// Most hits listed at once.
const SHOWN: usize = 12;

/// What matches, best first: names that begin with the text before those that contain it.
pub fn hits(scene: &SceneIndex, text: &str) -> Vec<Thing> {
    let wanted = text.trim().to_lowercase();
    if wanted.is_empty() {
        return Vec::new();
    }
    let score = |id: &str, name: &Text| {
        [id.to_lowercase(), name.zh.to_lowercase(), name.en.to_lowercase()]
            .iter()
            .filter_map(|field| field.find(&wanted).map(|at| usize::from(at > 0)))
            .min()
    };
    let buildings = scene.scene.site.buildings.iter().enumerate();
    let devices = scene.scene.devices.iter().enumerate();
    let mut found: Vec<(usize, Thing)> = buildings
        .filter_map(|(i, b)| Some((score(b.id.as_str(), &b.name)?, Thing::Building(i as u32))))
        .chain(devices.filter_map(|(i, d)| Some((score(d.id.as_str(), &d.name)?, Thing::Device(i as u32)))))
        .collect();
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().take(SHOWN).map(|(_, thing)| thing).collect()
}

fn name<'a>(scene: &'a SceneIndex, i18n: &I18n, thing: Thing) -> (&'a str, &'a str) {
    match thing {
        Thing::Device(i) => scene.device(i).map_or(("", ""), |d| (i18n.text(&d.name), d.id.as_str())),
        Thing::Building(i) => scene.building(i).map_or(("", ""), |b| (i18n.text(&b.name), b.id.as_str())),
    }
}

/// The search field's place in egui's memory.
fn field_id() -> Id {
    Id::new("search")
}

fn chosen_id() -> Id {
    Id::new("search-chosen")
}

/// Puts the cursor into the search field.
pub fn focus(ui: &Ui) {
    ui.memory_mut(|m| m.request_focus(field_id()));
}

/// Whether the search field had the keyboard until now: Esc then only leaves it.
pub fn had_focus(ui: &Ui) -> bool {
    ui.memory(|m| m.had_focus_last_frame(field_id()))
}

/// The hit an arrow key moves to from `at`; it stays within the list.
fn step(at: usize, count: usize, down: bool) -> usize {
    if down { (at + 1).min(count.saturating_sub(1)) } else { at.saturating_sub(1) }
}

pub fn search_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, text: &str, out: &mut Vec<UiCommand>) {
    let focused = ui.memory(|m| m.has_focus(field_id()));
    // Before the field sees them: in it they would move the cursor.
    let (up, down) = ui.input_mut(|i| {
        let mut taken = |key| focused && i.consume_key(Modifiers::NONE, key);
        (taken(Key::ArrowUp), taken(Key::ArrowDown))
    });
    let mut edited = text.to_owned();
    let field = TextEdit::singleline(&mut edited)
        .hint_text(i18n.t("search-hint"))
        .desired_width(190.0)
        .id(field_id());
    let response = ui.add(field);
    if response.changed() {
        out.push(UiCommand::Search(edited.clone()));
    }
    let Some(scene) = &model.scene else { return };
    let found = hits(scene, &edited);
    let mut chosen: usize = ui.data(|d| d.get_temp(chosen_id())).unwrap_or(0);
    if response.changed() {
        chosen = 0;
    } else if up || down {
        chosen = step(chosen, found.len(), down);
    }
    ui.data_mut(|d| d.insert_temp(chosen_id(), chosen));
    if response.lost_focus()
        && ui.input(|i| i.key_pressed(Key::Enter))
        && let Some(thing) = found.get(chosen)
    {
        out.extend([UiCommand::GoTo(*thing), UiCommand::Search(String::new())]);
    }
    if found.is_empty() && !edited.trim().is_empty() {
        Popup::from_response(&response).open(true).width(260.0).show(|ui| {
            ui.label(RichText::new(i18n.t("search-nothing")).size(12.5).color(theme::WEAK));
        });
    }
    Popup::from_response(&response).id(Id::new("search-hits")).open(!found.is_empty()).width(260.0).show(
        |ui| {
            for (i, thing) in found.into_iter().enumerate() {
                let (name, id) = name(scene, i18n, thing);
                let row = ui.selectable_label(i == chosen, RichText::new(format!("{name}  ")).size(13.0));
                ui.painter().text(
                    row.rect.right_center() - egui::vec2(6.0, 0.0),
                    egui::Align2::RIGHT_CENTER,
                    id,
                    egui::FontId::proportional(11.0),
                    theme::WEAK,
                );
                if row.clicked() {
                    out.extend([UiCommand::GoTo(thing), UiCommand::Search(String::new())]);
                }
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_stay_within_the_hits() {
        for (at, count, down, then) in [(0, 3, true, 1), (2, 3, true, 2), (0, 3, false, 0), (0, 0, true, 0)] {
            assert_eq!(step(at, count, down), then);
        }
    }

    #[test]
    fn names_in_both_languages_and_ids_are_found_beginnings_first() {
        let scene = SceneIndex::new(crate::fixture::sample_park(), "v1".into());
        let first = |text: &str| hits(&scene, text).first().copied();
        let bess = scene.device_index(&"bess-2".parse().unwrap()).map(Thing::Device);
        assert_eq!(first("储能集装箱2"), bess);
        assert_eq!(first("storage 2"), bess);
        assert_eq!(first("BESS-2"), bess);
        assert!(matches!(first("数据中心"), Some(Thing::Building(_))));
        assert!(hits(&scene, "  ").is_empty());
        assert_eq!(hits(&scene, "充电").len(), SHOWN);
    }
}
