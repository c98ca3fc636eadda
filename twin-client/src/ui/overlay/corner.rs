//! The corners of the 3D view: where north is, what the lines' width and colour mean, whose light it is.

use super::{Seen, View, plate, write};
use crate::{
    camera::orbit::FIELD_OF_VIEW,
    ui::{format, theme},
    world::flow_lines::{Flows, TO_GRID, TO_LOADS, seen_half_width_m},
};
use egui::{Align2, Color32, FontId, Painter, Pos2, Rect, Shape, Stroke, pos2, vec2};
use jiff::fmt::strtime;

const INSET: f32 = 12.0;
/// A view smaller than this is left to the park.
const LEGEND_FROM: f32 = 430.0;

/// Draws all corners and returns what they cover.
pub(super) fn draw(painter: &Painter, free: Rect, view: &View, seen: &Seen) -> Vec<Rect> {
    let mut covered = vec![north(painter, free, view, seen)];
    let mut notes = Vec::new();
    if let Some(at) = seen.light_of {
        let zone = view.model.scene.as_ref().map_or(jiff::tz::TimeZone::UTC, |s| s.zone.clone());
        let time = strtime::format("%Y-%m-%d %H:%M", at.local(&zone)).unwrap_or_default();
        notes.push(view.i18n.t1("view-light-of", "time", time));
    }
    if seen.eye.flying {
        notes.push(view.i18n.t("view-flying").into_owned());
    }
    let mut top = free.top() + INSET;
    for note in notes {
        let galley = painter.layout_no_wrap(note, FontId::proportional(12.0), theme::TEXT);
        let room = Rect::from_min_size(pos2(free.left() + INSET, top), galley.size() + vec2(16.0, 8.0));
        plate(painter, room, true);
        painter.galley(room.min + vec2(8.0, 4.0), galley, theme::TEXT);
        top = room.bottom() + 4.0;
        covered.push(room);
    }
    if let Some(flows) = seen.flows.filter(|_| free.width().min(free.height()) > LEGEND_FROM) {
        covered.push(legend(painter, free, view, seen, flows));
    }
    covered
}

/// A needle that points north as seen.
fn north(painter: &Painter, free: Rect, view: &View, seen: &Seen) -> Rect {
    let radius = 20.0;
    let centre = pos2(free.right() - INSET - radius, free.top() + INSET + radius);
    let fill = Color32::from_rgba_unmultiplied(0x14, 0x18, 0x1D, 190);
    painter.circle_filled(centre, radius, fill);
    // The yaw is clockwise from south: at 0 the eye looks north, and north is up.
    let (sin, cos) = seen.eye.now.yaw.sin_cos();
    let to = |along: f32, side: f32| centre + vec2(-sin * along + cos * side, -cos * along - sin * side);
    let head = Color32::from_rgb(0xD9, 0x7B, 0x66);
    painter.add(Shape::convex_polygon(vec![to(5.5, 0.0), to(-3.0, 4.5), to(-3.0, -4.5)], head, Stroke::NONE));
    painter.add(Shape::convex_polygon(
        vec![to(-11.5, 0.0), to(-3.0, -4.5), to(-3.0, 4.5)],
        theme::WEAK,
        Stroke::NONE,
    ));
    write(painter, to(12.0, 0.0), Align2::CENTER_CENTER, &view.i18n.t("view-north"), 10.0, theme::TEXT);
    Rect::from_center_size(centre, vec2(2.0 * radius, 2.0 * radius))
}

/// The lines' widths as they are seen where the eye looks, and what their colours mean.
fn legend(painter: &Painter, free: Rect, view: &View, seen: &Seen, flows: &Flows) -> Rect {
    let distance = seen.eye.now.distance;
    let points_per_m = free.height() / (2.0 * distance * (FIELD_OF_VIEW / 2.0).tan());
    let rows: Vec<(f32, String)> = flows
        .legend_kw()
        .into_iter()
        .map(|kw| {
            let width = 2.0 * seen_half_width_m(flows.half_width_m(kw), distance) * points_per_m;
            let (value, unit) = format::power(kw);
            (width, format!("{value} {unit}"))
        })
        // From very near a wide line is wider than the legend; it needs none there.
        .filter(|(width, _)| *width < 26.0)
        .collect();
    let (to_loads, to_grid) = (view.i18n.t("legend-to-loads"), view.i18n.t("legend-to-grid"));
    let title = view.i18n.t("legend-title");
    let width_of = |text: &str| {
        painter.layout_no_wrap(text.to_owned(), FontId::proportional(11.0), theme::TEXT).size().x
    };
    let heights: Vec<f32> = rows.iter().map(|(width, _)| width.max(11.0) + 5.0).collect();
    let inner = vec2(
        (34.0 + width_of(&to_loads).max(width_of(&to_grid)).max(60.0)).max(width_of(&title)),
        18.0 + heights.iter().sum::<f32>() + 2.0 * 16.0,
    );
    let size = inner + vec2(18.0, 12.0);
    let room = Rect::from_min_size(pos2(free.left() + INSET, free.bottom() - INSET - size.y), size);
    plate(painter, room, true);
    let left = room.left() + 9.0;
    let mut y = room.top() + 13.0;
    write(painter, pos2(left, y), Align2::LEFT_CENTER, &title, 11.0, theme::WEAK);
    y += 10.0;
    let bar = |y: f32, width: f32, colour: Color32| {
        painter.rect_filled(Rect::from_center_size(pos2(left + 12.0, y), vec2(24.0, width)), 0.0, colour);
    };
    let text = |y: f32, text: &str| {
        write(painter, Pos2::new(left + 32.0, y), Align2::LEFT_CENTER, text, 11.0, theme::TEXT);
    };
    for ((width, label), height) in rows.iter().zip(&heights) {
        y += height / 2.0;
        bar(y, *width, theme::WEAK);
        text(y, label);
        y += height / 2.0;
    }
    for (colour, label) in [(TO_LOADS, to_loads), (TO_GRID, to_grid)] {
        y += 8.0;
        bar(y, 4.0, theme::colour(colour));
        text(y, &label);
        y += 8.0;
    }
    room
}
