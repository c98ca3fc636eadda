//! Labels that never cover one another: each takes the free place nearest to where it belongs, the more pressing first.

use super::{plate, signs::Sign};
use crate::{panels::alarms::badge, ui::theme};
use egui::{FontId, Galley, Painter, Pos2, Rect, Stroke, Vec2, vec2};
use shared::alarm::Severity;
use std::sync::Arc;

/// A label that wants to be shown; the smaller the priority the more it does.
pub(super) struct Label {
    pub(super) at: Pos2,
    pub(super) priority: u8,
    pub(super) face: Face,
}

pub(super) enum Face {
    Name { text: String, strong: bool },
    Sign { sign: Sign, text: String },
    Alarm { severity: Severity, calm: bool },
}

/// A label moved farther than this points to where it belongs.
const LEADER_FROM: f32 = 15.0;
/// Room between labels.
const GAP: f32 = 2.0;
const SIGN_WIDTH: f32 = 19.0;
const ALARM_SIZE: f32 = 20.0;

pub(super) fn draw(painter: &Painter, free: Rect, mut labels: Vec<Label>, taken: &mut Vec<Rect>) {
    labels.sort_by_key(|l| l.priority);
    // Alarms keep the place they mark; whatever else there is goes around them.
    for label in labels.into_iter().filter(|l| free.contains(l.at)) {
        let galley = text(painter, &label.face);
        let size = match &label.face {
            Face::Alarm { .. } => Vec2::splat(ALARM_SIZE),
            Face::Name { .. } => galley.as_ref().map_or(Vec2::ZERO, |g| g.size()) + vec2(14.0, 6.0),
            Face::Sign { .. } => {
                galley.as_ref().map_or(Vec2::ZERO, |g| g.size()) + vec2(14.0 + SIGN_WIDTH, 6.0)
            }
        };
        let wanted = Rect::from_center_size(label.at, size);
        let Some(room) = place(wanted, taken, free) else { continue };
        taken.push(room);
        if room.center().distance(wanted.center()) > LEADER_FROM {
            let end = room.clamp(label.at);
            painter.line_segment([end, label.at], Stroke::new(1.0, theme::TEXT.gamma_multiply(0.55)));
            painter.circle_filled(label.at, 2.0, theme::TEXT.gamma_multiply(0.8));
        }
        match label.face {
            Face::Alarm { severity, calm } => badge(painter, room.center(), 8.5, severity, calm),
            Face::Name { strong, .. } => {
                plate(painter, room, strong);
                if let Some(galley) = galley {
                    painter.galley(room.min + vec2(7.0, 3.0), galley, theme::TEXT);
                }
            }
            Face::Sign { sign, .. } => {
                plate(painter, room, false);
                let icon = Pos2::new(room.left() + 5.0 + SIGN_WIDTH / 2.0, room.center().y);
                sign.draw(painter, icon);
                if let Some(galley) = galley {
                    painter.galley(room.min + vec2(7.0 + SIGN_WIDTH, 3.0), galley, theme::TEXT);
                }
            }
        }
    }
}

fn text(painter: &Painter, face: &Face) -> Option<Arc<Galley>> {
    let (text, size) = match face {
        Face::Alarm { .. } => return None,
        Face::Name { text, strong } => (text, if *strong { 13.0 } else { 11.5 }),
        Face::Sign { text, .. } => (text, 11.5),
    };
    Some(painter.layout_no_wrap(text.clone(), FontId::proportional(size), theme::TEXT))
}

/// The place nearest to the wanted one that covers nothing taken and lies within; `None` where all around is full.
fn place(wanted: Rect, taken: &[Rect], within: Rect) -> Option<Rect> {
    let (w, h) = (wanted.width() + GAP, wanted.height() + GAP);
    let mut steps: Vec<Vec2> =
        (-4..=4).flat_map(|y| (-2..=2).map(move |x| vec2(x as f32 * 0.5 * w, y as f32 * 0.5 * h))).collect();
    // Upwards rather than sideways, and that rather than down over the thing itself.
    let cost = |s: &Vec2| s.x.abs() * 1.2 + if s.y > 0.0 { s.y * 1.5 } else { -s.y };
    steps.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
    steps.into_iter().map(|step| wanted.translate(step)).find(|room| {
        within.contains_rect(*room) && !taken.iter().any(|t| t.intersects(room.expand(GAP / 2.0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_at_one_place_make_room_for_one_another() {
        let within = Rect::from_min_size(Pos2::ZERO, vec2(800.0, 600.0));
        let mut taken: Vec<Rect> = Vec::new();
        for i in 0..9 {
            let at = Pos2::new(400.0 + i as f32 * 4.0, 300.0);
            let room = place(Rect::from_center_size(at, vec2(80.0, 20.0)), &taken, within);
            let room = room.unwrap_or_else(|| panic!("no place for the {i}th"));
            assert!(!taken.iter().any(|t| t.intersects(room)));
            taken.push(room);
        }
    }

    #[test]
    fn a_label_stays_where_it_belongs_if_it_can_and_never_leaves_the_view() {
        let within = Rect::from_min_size(Pos2::ZERO, vec2(200.0, 100.0));
        let free = Rect::from_center_size(Pos2::new(100.0, 50.0), vec2(60.0, 20.0));
        assert_eq!(place(free, &[], within), Some(free));
        let at_the_rim = Rect::from_center_size(Pos2::new(100.0, 4.0), vec2(60.0, 20.0));
        assert!(within.contains_rect(place(at_the_rim, &[], within).unwrap()));
        assert_eq!(place(free, &[within], within), None);
    }
}
