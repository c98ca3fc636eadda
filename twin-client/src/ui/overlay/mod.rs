//! Over the 3D view: names of buildings, alarm beacons and what the pointer is over, placed so that none covers another.

use super::{View, format, theme};
use crate::{model::selection::Thing, panels::alarms::badge, world::highlight::thing_box};
use bevy::prelude::{Camera, GlobalTransform, Vec3};
use egui::{Align2, Color32, FontId, Pos2, Rect, Ui, vec2};
use shared::alarm::Severity;

/// A label that wants to be shown; the smaller the priority the more it does.
struct Label {
    at: Pos2,
    text: String,
    priority: u8,
    severity: Option<(Severity, bool)>,
}

pub fn overlay_ui(ui: &mut Ui, free: Rect, view: &View, camera: (&Camera, &GlobalTransform)) {
    let mut labels = Vec::new();
    alarm_labels(view, camera, &mut labels);
    thing_labels(view, camera, &mut labels);
    building_labels(view, camera, &mut labels);
    labels.sort_by_key(|l| l.priority);
    let painter = ui.painter().with_clip_rect(free);
    let mut taken: Vec<Rect> = Vec::new();
    for label in labels {
        if !free.contains(label.at) {
            continue;
        }
        draw(&painter, &label, &mut taken);
    }
}

/// Where a point of the park is on the screen, and how far it is from the eye.
fn project((camera, transform): (&Camera, &GlobalTransform), point: Vec3) -> Option<(Pos2, f32)> {
    let at = camera.world_to_viewport(transform, point).ok()?;
    Some((Pos2::new(at.x, at.y), transform.translation().distance(point)))
}

fn alarm_labels(view: &View, camera: (&Camera, &GlobalTransform), labels: &mut Vec<Label>) {
    let Some(scene) = &view.model.scene else { return };
    let mut seen: Vec<u32> = Vec::new();
    // Alarms come most pressing first: a device shows its worst.
    for alarm in view.model.alarms.iter().filter(|a| a.is_active() && a.severity < Severity::Info).take(60) {
        let Some(device) = alarm.device_id.as_ref().and_then(|id| scene.device_index(id)) else { continue };
        if seen.contains(&device) {
            continue;
        }
        seen.push(device);
        let Some(around) = thing_box(scene, Thing::Device(device)) else { continue };
        let top = around.centre + Vec3::Y * (around.half.y + 4.0);
        let Some((at, _)) = project(camera, top) else { continue };
        labels.push(Label {
            at,
            text: String::new(),
            priority: 1 + alarm.severity as u8,
            severity: Some((alarm.severity, alarm.acknowledged_at.is_some())),
        });
    }
}

/// The selected and the hovered thing, with what it does now.
fn thing_labels(view: &View, camera: (&Camera, &GlobalTransform), labels: &mut Vec<Label>) {
    let Some(scene) = &view.model.scene else { return };
    let hovered = view.selection.hovered.filter(|h| Some(*h) != view.selection.selected);
    for thing in [view.selection.selected, hovered].into_iter().flatten() {
        let Some(around) = thing_box(scene, thing) else { continue };
        let Some((at, _)) = project(camera, around.centre + Vec3::Y * (around.half.y + 1.5)) else {
            continue;
        };
        let text = match thing {
            Thing::Device(index) => scene.device(index).map_or(String::new(), |device| {
                let name = view.i18n.text(&device.name);
                match view.model.value(index, "power") {
                    Some(power) => {
                        let (value, unit) = format::power(power.value);
                        format!("{name}  {value} {unit}")
                    }
                    None => name.to_owned(),
                }
            }),
            Thing::Building(index) => {
                scene.building(index).map_or(String::new(), |b| view.i18n.text(&b.name).to_owned())
            }
        };
        labels.push(Label { at: at - vec2(0.0, 12.0), text, priority: 0, severity: None });
    }
}

fn building_labels(view: &View, camera: (&Camera, &GlobalTransform), labels: &mut Vec<Label>) {
    let Some(scene) = &view.model.scene else { return };
    let shown = |thing| view.selection.selected == Some(thing) || view.selection.hovered == Some(thing);
    for (index, building) in scene.scene.site.buildings.iter().enumerate() {
        let thing = Thing::Building(index as u32);
        if shown(thing) {
            continue;
        }
        let Some(around) = thing_box(scene, thing) else { continue };
        let Some((at, distance)) = project(camera, around.centre + Vec3::Y * (around.half.y + 2.0)) else {
            continue;
        };
        // Small in the picture: its name would be larger than itself.
        if around.half.length() / distance < 0.018 {
            continue;
        }
        labels.push(Label {
            at: at - vec2(0.0, 10.0),
            text: view.i18n.text(&building.name).to_owned(),
            priority: 10,
            severity: None,
        });
    }
}

fn draw(painter: &egui::Painter, label: &Label, taken: &mut Vec<Rect>) {
    if let Some((severity, calm)) = label.severity {
        let room = Rect::from_center_size(label.at, vec2(20.0, 20.0));
        if !taken.iter().any(|t| t.intersects(room)) {
            badge(painter, label.at, 8.5, severity, calm);
            taken.push(room);
        }
        return;
    }
    let strong = label.priority == 0;
    let size = if strong { 13.0 } else { 11.5 };
    let galley = painter.layout_no_wrap(label.text.clone(), FontId::proportional(size), theme::TEXT);
    let text = Align2::CENTER_CENTER.anchor_size(label.at, galley.size());
    let room = text.expand2(vec2(7.0, 3.0));
    if taken.iter().any(|t| t.intersects(room)) {
        return;
    }
    let fill = Color32::from_rgba_unmultiplied(0x14, 0x18, 0x1D, if strong { 225 } else { 165 });
    painter.rect_filled(room, 5, fill);
    painter.galley(text.min, galley, theme::TEXT);
    taken.push(room);
}
