//! Search: devices and buildings by name in either language, or by id.

use crate::{
    i18n::I18n,
    model::{ParkModel, SceneIndex, selection::Thing},
    ui::{commands::UiCommand, theme},
};
use egui::{Id, Key, Popup, RichText, TextEdit, Ui};
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

pub fn search_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, text: &str, out: &mut Vec<UiCommand>) {
    let mut edited = text.to_owned();
    let field = TextEdit::singleline(&mut edited)
        .hint_text(i18n.t("search-hint"))
        .desired_width(200.0)
        .id(Id::new("search"));
    let response = ui.add(field);
    if response.changed() {
        out.push(UiCommand::Search(edited.clone()));
    }
    let Some(scene) = &model.scene else { return };
    let found = hits(scene, &edited);
    if response.lost_focus()
        && ui.input(|i| i.key_pressed(Key::Enter))
        && let Some(first) = found.first()
    {
        out.extend([UiCommand::GoTo(*first), UiCommand::Search(String::new())]);
    }
    Popup::from_response(&response).open(!found.is_empty()).width(260.0).show(|ui| {
        for thing in found {
            let (name, id) = name(scene, i18n, thing);
            let row = ui.selectable_label(false, RichText::new(format!("{name}  ")).size(13.0));
            ui.painter().text(
                row.rect.right_center() - egui::vec2(6.0, 0.0),
                egui::Align2::RIGHT_CENTER,
                id,
                egui::FontId::proportional(11.0),
                theme::FAINT,
            );
            if row.clicked() {
                out.extend([UiCommand::GoTo(thing), UiCommand::Search(String::new())]);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

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
