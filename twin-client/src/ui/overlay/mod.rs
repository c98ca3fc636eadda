//! Over the 3D view: names, signs, alarm beacons, pins of what stands indoors, what the pointer is over; and in the corners
//! what is needed to read the picture: north, the lines' scale, whose light it is.

mod card;
mod corner;
mod labels;
mod signs;

use super::{View, theme};
use crate::{
    camera::Eye,
    model::{LiveValue, SceneIndex, selection::Thing},
    world::{
        flow_lines::Flows,
        highlight::{corners, thing_box},
        landmarks::Landmark,
        pins::{is_indoors, pins},
    },
};
use bevy::prelude::{Camera, GlobalTransform, Vec3};
use egui::{Align2, Color32, FontId, Painter, Pos2, Rect, Stroke, Ui, vec2};
use labels::{Face, Label};
use shared::{alarm::Severity, time::Timestamp};

/// What of the 3D world the overlay reads.
pub struct Seen<'a> {
    pub camera: &'a Camera,
    pub transform: &'a GlobalTransform,
    pub eye: &'a Eye,
    pub flows: Option<&'a Flows>,
    pub landmarks: &'a [Landmark],
    /// The moment whose light is shown, when that is not now.
    pub light_of: Option<Timestamp>,
}

impl Seen<'_> {
    /// Where a point of the park is on the screen, and how far it is from the eye.
    fn project(&self, point: Vec3) -> Option<(Pos2, f32)> {
        let at = self.camera.world_to_viewport(self.transform, point).ok()?;
        Some((Pos2::new(at.x, at.y), self.transform.translation().distance(point)))
    }
}

/// Farther than this a thing is small enough for a sign in its place, metres.
const SIGNS_FROM_M: f32 = 170.0;
/// A building whose half diagonal is a smaller share of its distance has no name shown.
const NAMED_FROM: f32 = 0.009;

pub fn overlay_ui(ui: &mut Ui, free: Rect, view: &View, seen: &Seen) {
    let painter = ui.painter().with_clip_rect(free);
    let mut taken = corner::draw(&painter, free, view, seen);
    let Some(scene) = &view.model.scene else { return };
    pins_and_frames(&painter, scene, view, seen);
    let card = hovered_card(&painter, free, scene, view, seen);
    taken.extend(card.as_ref().map(card::Card::room));
    let mut all = Vec::new();
    alarm_labels(scene, view, seen, &mut all);
    selected_label(scene, view, seen, &mut all);
    landmark_labels(view, seen, &mut all);
    building_labels(scene, view, seen, &mut all);
    labels::draw(&painter, free, all, &mut taken);
    if let Some(card) = card {
        card.draw(&painter);
    }
}

/// Pins of indoor devices, and frames around the selected and hovered ones, through the walls.
fn pins_and_frames(painter: &Painter, scene: &SceneIndex, view: &View, seen: &Seen) {
    let selection = view.selection;
    let strong = theme::colour(crate::world::palette::SELECTION);
    for (thing, colour) in [(selection.hovered, theme::TEXT), (selection.selected, strong)] {
        let Some(thing) = thing.filter(|t| is_indoors(scene, *t)) else { continue };
        let Some(around) = thing_box(scene, thing) else { continue };
        let points = corners(&around).map(|c| seen.project(c).map(|(at, _)| at));
        for from in 0..8_usize {
            for to in [1, 2, 4].map(|bit| from | bit).into_iter().filter(|to| *to != from) {
                if let (Some(a), Some(b)) = (points[from], points[to]) {
                    painter.line_segment([a, b], Stroke::new(1.5, colour));
                }
            }
        }
    }
    for pin in pins(scene, selection, seen.transform.translation()) {
        let Some((head, _)) = seen.project(pin.at) else { continue };
        let thing = Some(Thing::Device(pin.device));
        let offline = view.model.connected(pin.device).online == Some(false);
        let fill = if offline { theme::FAINT } else { theme::ACCENT };
        let (radius, ring) = match thing {
            t if t == selection.selected => (7.0, Stroke::new(2.5, strong)),
            t if t == selection.hovered => (7.0, Stroke::new(2.0, theme::TEXT)),
            _ => (5.0, Stroke::new(1.2, Color32::from_black_alpha(200))),
        };
        if thing == selection.selected {
            // A stem and a wide ring: found at a glance, whatever stands before it.
            painter.line_segment([head, head - vec2(0.0, 30.0)], Stroke::new(2.0, strong));
            painter.circle_stroke(head, 13.0, Stroke::new(1.5, strong.gamma_multiply(0.7)));
        }
        painter.circle(head, radius, fill, ring);
        if offline {
            let arm = vec2(2.4, 2.4);
            painter.line_segment([head - arm, head + arm], Stroke::new(1.4, theme::TEXT));
        }
    }
}

fn hovered_card(
    painter: &Painter,
    free: Rect,
    scene: &SceneIndex,
    view: &View,
    seen: &Seen,
) -> Option<card::Card> {
    let thing = view.selection.hovered?;
    let around = thing_box(scene, thing)?;
    let (at, _) = seen.project(around.centre + Vec3::Y * (around.half.y + 1.0))?;
    card::Card::about(painter, free, at, scene, view, thing)
}

fn alarm_labels(scene: &SceneIndex, view: &View, seen: &Seen, labels: &mut Vec<Label>) {
    let mut shown: Vec<u32> = Vec::new();
    // Alarms come most pressing first: a device shows its worst.
    for alarm in view.model.alarms.iter().filter(|a| a.is_active() && a.severity < Severity::Info).take(60) {
        let Some(device) = alarm.device_id.as_ref().and_then(|id| scene.device_index(id)) else { continue };
        if shown.contains(&device) {
            continue;
        }
        shown.push(device);
        let Some(around) = thing_box(scene, Thing::Device(device)) else { continue };
        let Some((at, _)) = seen.project(around.centre + Vec3::Y * (around.half.y + 4.0)) else { continue };
        let calm = alarm.acknowledged_at.is_some();
        labels.push(Label {
            at,
            priority: 1 + alarm.severity as u8,
            face: Face::Alarm { severity: alarm.severity, calm },
        });
    }
}

/// The selected thing's name; what it says stands in its panel.
fn selected_label(scene: &SceneIndex, view: &View, seen: &Seen, labels: &mut Vec<Label>) {
    let Some(thing) = view.selection.selected.filter(|t| Some(*t) != view.selection.hovered) else { return };
    let Some(around) = thing_box(scene, thing) else { return };
    let lift = if is_indoors(scene, thing) { 44.0 } else { 12.0 };
    let Some((at, _)) = seen.project(around.centre + Vec3::Y * (around.half.y + 1.5)) else { return };
    let text = match thing {
        Thing::Device(index) => scene.device(index).map(|d| &d.name),
        Thing::Building(index) => scene.building(index).map(|b| &b.name),
    };
    let text = text.map_or(String::new(), |t| view.i18n.text(t).to_owned());
    labels.push(Label { at: at - vec2(0.0, lift), priority: 0, face: Face::Name { text, strong: true } });
}

fn landmark_labels(view: &View, seen: &Seen, labels: &mut Vec<Label>) {
    for landmark in seen.landmarks {
        let Some((at, distance)) = seen.project(landmark.at + Vec3::Y * 3.0) else { continue };
        if distance < SIGNS_FROM_M {
            continue;
        }
        let face =
            Face::Sign { sign: signs::Sign::of(landmark, view.model), text: signs::text(landmark, view) };
        labels.push(Label { at: at - vec2(0.0, 12.0), priority: 12, face });
    }
}

fn building_labels(scene: &SceneIndex, view: &View, seen: &Seen, labels: &mut Vec<Label>) {
    let shown = |thing| view.selection.selected == Some(thing) || view.selection.hovered == Some(thing);
    for (index, building) in scene.scene.site.buildings.iter().enumerate() {
        let thing = Thing::Building(index as u32);
        if shown(thing) {
            continue;
        }
        let Some(around) = thing_box(scene, thing) else { continue };
        let Some((at, distance)) = seen.project(around.centre + Vec3::Y * (around.half.y + 2.0)) else {
            continue;
        };
        // Small in the picture: its name would be larger than itself.
        if around.half.length() / distance < NAMED_FROM {
            continue;
        }
        let text = view.i18n.text(&building.name).to_owned();
        let face = Face::Name { text, strong: false };
        labels.push(Label { at: at - vec2(0.0, 10.0), priority: 10, face });
    }
}

/// A dark plate that text is readable on, by day and by night.
fn plate(painter: &Painter, room: Rect, strong: bool) {
    let fill = Color32::from_rgba_unmultiplied(0x14, 0x18, 0x1D, if strong { 228 } else { 172 });
    painter.rect_filled(room, 5, fill);
}

fn write(painter: &Painter, at: Pos2, align: Align2, text: &str, size: f32, colour: Color32) -> Rect {
    painter.text(at, align, text, FontId::proportional(size), colour)
}

/// Sum of a measurement over devices that said it.
fn sum(view: &View, devices: &[u32], measurement: &str) -> Option<f64> {
    let says: Vec<LiveValue> = devices.iter().filter_map(|d| view.model.value(*d, measurement)).collect();
    (!says.is_empty()).then(|| says.iter().map(|v| v.value).sum())
}
