//! The ground: land around the park, its plate, areas, roads with kerbs and markings; water apart, since it shines.

use super::{
    geometry::{MeshBuilder, at, contains, offset_both_sides},
    palette as tone,
};
use bevy::prelude::*;
use shared::scene::{AreaKind, Road, Scene};

/// Heights in metres: each layer just above the one below, so that nothing flickers.
const SURROUNDINGS_Y: f32 = -0.5;
const AREA_Y: f32 = 0.03;
const KERB_Y: f32 = 0.06;
const ROAD_Y: f32 = 0.09;
const MARK_Y: f32 = 0.12;
const WATER_Y: f32 = 0.05;

/// How far the land around the park reaches before haze has taken it and the sky begins.
pub fn rim_m(scene: &Scene) -> f32 {
    let [width, depth] = scene.park.extent_m;
    (width.max(depth) as f32 * 1.35).max(600.0)
}

/// The land around, which fades into the sky at its rim.
pub fn land_mesh(scene: &Scene) -> Mesh {
    let mut b = MeshBuilder::default();
    let [width, depth] = scene.park.extent_m.map(|m| m as f32);
    surroundings(&mut b, rim_m(scene));
    scale_lines(&mut b, width, depth, rim_m(scene));
    b.build()
}

/// Everything flat and matt of the park itself, as one mesh.
pub fn ground_mesh(scene: &Scene) -> Mesh {
    let mut b = MeshBuilder::default();
    let [width, depth] = scene.park.extent_m.map(|m| m as f32);
    plate(&mut b, width, depth);
    for area in &scene.site.areas {
        let colour = match area.kind {
            AreaKind::Water => continue,
            AreaKind::Green => tone::GREEN,
            AreaKind::Paved => tone::PAVED,
            AreaKind::Parking => tone::PARKING,
        };
        let lift = match area.kind {
            AreaKind::Green => 0.0,
            _ => 0.015,
        };
        b.polygon(&area.outline, AREA_Y + lift, colour.linear());
    }
    for road in &scene.site.roads {
        b.ribbon(&road.centreline, road.width_m as f32 + 1.2, KERB_Y, tone::KERB.linear());
    }
    for road in &scene.site.roads {
        b.ribbon(&road.centreline, road.width_m as f32, ROAD_Y, tone::ROAD.linear());
    }
    for (index, road) in scene.site.roads.iter().enumerate() {
        centre_dashes(&mut b, road, index, &scene.site.roads);
    }
    b.build()
}

/// Water surfaces, or `None` where there are none.
pub fn water_mesh(scene: &Scene) -> Option<Mesh> {
    let mut b = MeshBuilder::default();
    for area in scene.site.areas.iter().filter(|a| a.kind == AreaKind::Water) {
        b.polygon(&area.outline, WATER_Y, LinearRgba::WHITE);
    }
    (!b.is_empty()).then(|| b.build())
}

fn surroundings(b: &mut MeshBuilder, rim: f32) {
    let sides = 96;
    let rings = [0.0, rim * 0.5, rim];
    for pair in rings.windows(2) {
        for i in 0..sides {
            let corner = |r: f32, i: u32| {
                let angle = std::f32::consts::TAU * i as f32 / sides as f32;
                Vec3::new(r * angle.cos(), SURROUNDINGS_Y, -r * angle.sin())
            };
            b.quad(
                [corner(pair[0], i), corner(pair[1], i), corner(pair[1], i + 1), corner(pair[0], i + 1)],
                tone::SURROUNDINGS.linear(),
            );
        }
    }
}

/// Lines every 100 m on the land around, fading outwards: they give the scale without inventing neighbours.
fn scale_lines(b: &mut MeshBuilder, width: f32, depth: f32, rim: f32) {
    let piece = 100_i32;
    let reach = (rim / piece as f32) as i32 * piece;
    let y = SURROUNDINGS_Y + 0.12;
    let colour = |p: Vec2| {
        let share = (1.0 - (p.length() - 400.0) / 1_100.0).clamp(0.0, 1.0);
        tone::SURROUNDINGS.shade(1.0 + 0.10 * share * share)
    };
    let beneath_plate = |p: Vec2| p.x.abs() < width / 2.0 && p.y.abs() < depth / 2.0;
    for line in (-reach..=reach).step_by(piece as usize) {
        for start in (-reach..reach).step_by(piece as usize) {
            let (at, from, to) = (line as f32, start as f32, (start + piece) as f32);
            for (a, c) in [(Vec2::new(from, at), Vec2::new(to, at)), (Vec2::new(at, to), Vec2::new(at, from))]
            {
                if beneath_plate(a) && beneath_plate(c) || a.length().max(c.length()) > rim {
                    continue;
                }
                // World (x, z): the side vector points so that the quad faces up.
                let side = (c - a).perp().normalize() * 0.55;
                let p = |p: Vec2| Vec3::new(p.x, y, p.y);
                b.quad_uv(
                    [p(a + side), p(c + side), p(c - side), p(a - side)],
                    [Vec2::ZERO; 4],
                    [colour(a), colour(c), colour(c), colour(a)],
                );
            }
        }
    }
}

/// The park's own plate, a hand's breadth above the land, like a model on its board.
fn plate(b: &mut MeshBuilder, width: f32, depth: f32) {
    let (x, z) = (width / 2.0 + 12.0, depth / 2.0 + 12.0);
    b.cuboid_faces(Vec3::new(-x, SURROUNDINGS_Y, -z), Vec3::new(x, 0.0, z), tone::GROUND.linear(), false);
}

/// Dashed centre line, left out where another road crosses.
fn centre_dashes(b: &mut MeshBuilder, road: &Road, own: usize, roads: &[Road]) {
    if road.width_m < 5.5 {
        return;
    }
    let (dash, gap) = (3.0, 4.5);
    for leg in road.centreline.windows(2) {
        let (from, to) = (leg[0], leg[1]);
        let length = ((to[0] - from[0]).powi(2) + (to[1] - from[1]).powi(2)).sqrt();
        let point = |s: f64| {
            let t = s / length;
            [from[0] + (to[0] - from[0]) * t, from[1] + (to[1] - from[1]) * t]
        };
        let mut s = gap;
        while s + dash < length - gap {
            let (start, end) = (point(s), point(s + dash));
            let crossed = roads
                .iter()
                .enumerate()
                .any(|(i, other)| i != own && (on_road(other, start, 2.5) || on_road(other, end, 2.5)));
            if !crossed {
                b.ribbon(&[start, end], 0.22, MARK_Y, tone::ROAD_MARK.linear());
            }
            s += dash + gap;
        }
    }
}

/// Whether a point lies on a road or within `margin_m` of it.
pub fn on_road(road: &Road, point: [f64; 2], margin_m: f64) -> bool {
    road.centreline
        .windows(2)
        .any(|leg| distance_to_leg(point, leg[0], leg[1]) < road.width_m / 2.0 + margin_m)
}

fn distance_to_leg(p: [f64; 2], a: [f64; 2], b: [f64; 2]) -> f64 {
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let length2 = (dx * dx + dy * dy).max(1e-9);
    let t = (((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / length2).clamp(0.0, 1.0);
    ((a[0] + t * dx - p[0]).powi(2) + (a[1] + t * dy - p[1]).powi(2)).sqrt()
}

/// Soft darkening of the ground around what stands on it: where skylight is blocked, without any screen-space pass.
pub fn contact_shade_mesh(scene: &Scene) -> Option<Mesh> {
    let mut b = MeshBuilder::default();
    let y = MARK_Y + 0.02;
    for building in &scene.site.buildings {
        let reach = (building.height_m as f32 * 0.45).clamp(2.0, 9.0);
        let mut ring: Vec<[f64; 2]> = building.footprint.clone();
        if super::geometry::signed_area2(&ring) < 0.0 {
            ring.reverse();
        }
        let Some(first) = ring.first().copied() else { continue };
        let Some(second) = ring.get(1).copied() else { continue };
        // Closed with one leg to spare, so that the first corner is mitred like the others.
        ring.push(first);
        ring.push(second);
        let edges = offset_both_sides(&ring, reach);
        let n = building.footprint.len();
        for i in 1..=n {
            let inner = |i: usize| {
                let [e, north] = ring[i];
                at(e, north, f64::from(y))
            };
            // The footprint runs counter-clockwise: outside is on the right.
            let outer = |i: usize| {
                let p = edges[i].1;
                Vec3::new(p.x, y, p.y)
            };
            let dark = LinearRgba::new(0.02, 0.02, 0.035, 0.34);
            let clear = LinearRgba { alpha: 0.0, ..dark };
            b.quad_uv(
                [inner(i), outer(i), outer(i + 1), inner(i + 1)],
                [Vec2::ZERO; 4],
                [dark, clear, clear, dark],
            );
        }
    }
    (!b.is_empty()).then(|| b.build())
}

/// Whether trees or props may stand at a point: not on a road, not in a building.
pub fn is_free(scene: &Scene, point: [f64; 2]) -> bool {
    !scene.site.buildings.iter().any(|b| contains(&b.footprint, point))
        && !scene.site.roads.iter().any(|r| on_road(r, point, 0.5))
}
