//! Devices that stand indoors, made visible: which of them get a pin over the walls, and where.

use super::{devices::Shape, geometry::at};
use crate::model::{SceneIndex, Selection, selection::Thing};
use bevy::prelude::*;

/// Within this distance of the eye a building shows its pins without being selected.
const NEAR_M: f32 = 140.0;
/// A pin's head floats this far over its device.
const HEAD_M: f64 = 1.5;

/// A device and where its pin's head is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pin {
    pub device: u32,
    pub at: Vec3,
}

/// Whether nothing of a thing can be seen from outside.
pub fn is_indoors(index: &SceneIndex, thing: Thing) -> bool {
    match thing {
        Thing::Device(i) => index.device(i).is_some_and(|d| {
            Shape::of(&index.scene, d).is_none()
                && !index.scene.site.pv_areas.iter().any(|a| a.device == d.id)
        }),
        Thing::Building(_) => false,
    }
}

/// The pins to show: indoor devices of the building selected (or of the selected device's), and of those near the eye.
pub fn pins(index: &SceneIndex, selection: &Selection, eye: Vec3) -> Vec<Pin> {
    let chosen = match selection.selected {
        Some(Thing::Building(building)) => Some(building),
        Some(Thing::Device(device)) => {
            index.device(device).and_then(|d| index.building_index(d.building.as_ref()?))
        }
        None => None,
    };
    let mut pins = Vec::new();
    for (number, building) in index.scene.site.buildings.iter().enumerate() {
        let number = number as u32;
        let (min, max) = super::buildings::bounds(&building.footprint);
        let eye_at = [f64::from(eye.x), f64::from(-eye.z)];
        let beside = (0..2).map(|i| (min[i] - eye_at[i]).max(eye_at[i] - max[i]).max(0.0));
        let above = (f64::from(eye.y) - building.height_m).max(0.0);
        let away = beside.chain([above]).map(|m| m * m).sum::<f64>().sqrt() as f32;
        if chosen != Some(number) && away > NEAR_M {
            continue;
        }
        for &device in index.devices_in(number) {
            if is_indoors(index, Thing::Device(device)) {
                pins.extend(pin(index, device));
            }
        }
    }
    // A device without a building of its own still shows when it is the one selected.
    if let Some(Thing::Device(device)) = selection.selected
        && is_indoors(index, Thing::Device(device))
        && !pins.iter().any(|p| p.device == device)
    {
        pins.extend(pin(index, device));
    }
    pins
}

fn pin(index: &SceneIndex, device: u32) -> Option<Pin> {
    let [east, north, up] = index.device(device)?.position;
    Some(Pin { device, at: at(east, north, up + HEAD_M) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn selection(thing: Option<Thing>) -> Selection {
        Selection { selected: thing, hovered: None }
    }

    #[test]
    fn pins_show_for_the_selected_building_and_for_near_ones_only() {
        let index = SceneIndex::new(fixture::tiny_scene(), "v1".into());
        let load = index.device_index(&"load-1".parse().unwrap()).unwrap();
        let far = Vec3::new(0.0, 900.0, 900.0);
        assert!(pins(&index, &selection(None), far).is_empty());
        for chosen in [Thing::Building(0), Thing::Device(load)] {
            let shown = pins(&index, &selection(Some(chosen)), far);
            assert_eq!(shown.iter().map(|p| p.device).collect::<Vec<_>>(), [load]);
        }
        assert_eq!(pins(&index, &selection(None), Vec3::new(20.0, 30.0, 60.0)).len(), 1);
    }

    #[test]
    fn what_stands_outdoors_or_has_modules_needs_no_pin() {
        let index = SceneIndex::new(fixture::sample_park(), "v1".into());
        let device = |id: &str| Thing::Device(index.device_index(&id.parse().unwrap()).unwrap());
        assert!(is_indoors(&index, device("load-f4")));
        for seen in ["bess-1", "pv-f1", "wind-1", "ev-01"] {
            assert!(!is_indoors(&index, device(seen)), "{seen}");
        }
    }
}
