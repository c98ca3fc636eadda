//! What each kind of equipment looks like: one mesh a kind, foot at the origin, front towards −Z (north).

use crate::world::{
    geometry::MeshBuilder,
    palette::{self as tone, Tone},
};
use bevy::prelude::*;
use std::f32::consts::{FRAC_PI_2, TAU};

/// Outer size of a 40-foot storage container.
pub const CONTAINER: Vec3 = Vec3::new(12.2, 2.9, 2.44);
/// Where the state-of-charge band lies on a container's long sides: length and height, metres.
pub const CHARGE_BAND: Vec2 = Vec2::new(9.6, 0.46);
const CHARGE_BAND_Y: f32 = 1.75;

pub fn container() -> Mesh {
    let mut b = MeshBuilder::default();
    let Vec3 { x: length, y: height, z: width } = CONTAINER;
    b.block(Vec3::ZERO, Vec3::new(length + 1.0, 0.25, width + 1.0), tone::CONCRETE.linear());
    b.block(Vec3::Y * 0.25, Vec3::new(length, height, width), tone::MACHINE.linear());
    // Ribs stand proud of the sides.
    let ribs = 24;
    for i in 0..ribs {
        let x = -length / 2.0 + (i as f32 + 0.5) * length / ribs as f32;
        for side in [-1.0, 1.0] {
            b.block(
                Vec3::new(x, 0.4, side * (width / 2.0 + 0.03)),
                Vec3::new(0.2, height - 0.3, 0.06),
                tone::MACHINE.shade(0.9),
            );
        }
    }
    // Dark field behind the band, so that an empty one still reads as a scale.
    for side in [-1.0, 1.0] {
        b.block(
            Vec3::new(0.0, CHARGE_BAND_Y - 0.06, side * (width / 2.0 + 0.05)),
            Vec3::new(CHARGE_BAND.x + 0.24, CHARGE_BAND.y + 0.12, 0.08),
            tone::STEEL_DARK.shade(0.5),
        );
    }
    // Cooling units at one end and on the roof.
    b.block(Vec3::new(length / 2.0 + 0.35, 0.4, 0.0), Vec3::new(0.6, 2.2, 1.9), tone::STEEL.linear());
    for x in [-3.6, 0.0, 3.6] {
        b.block(Vec3::new(x, height + 0.25, 0.0), Vec3::new(2.2, 0.4, 1.6), tone::STEEL.linear());
        b.frustum(Vec3::new(x, height + 0.65, 0.0), 0.08, 0.6, 0.6, 14, tone::STEEL_DARK.linear());
    }
    // Band marks on the roof's edge are seen from above.
    b.block(
        Vec3::new(0.0, height + 0.25, -(width / 2.0 - 0.15)),
        Vec3::new(CHARGE_BAND.x + 0.24, 0.05, 0.5),
        tone::STEEL_DARK.shade(0.5),
    );
    b.build()
}

/// The band of a full container, from x = 0 to 1 (scaled to the state of charge), on both sides and the roof's edge.
pub fn charge_band() -> Mesh {
    let mut b = MeshBuilder::default();
    let (z, top) = (CONTAINER.z / 2.0 + 0.1, CONTAINER.y + 0.31);
    let (low, high) = (CHARGE_BAND_Y, CHARGE_BAND_Y + CHARGE_BAND.y);
    let p = Vec3::new;
    b.quad([p(0.0, low, z), p(1.0, low, z), p(1.0, high, z), p(0.0, high, z)], LinearRgba::WHITE);
    b.quad([p(1.0, low, -z), p(0.0, low, -z), p(0.0, high, -z), p(1.0, high, -z)], LinearRgba::WHITE);
    let (near, far) = (-(CONTAINER.z / 2.0 - 0.36), -(CONTAINER.z / 2.0 + 0.06));
    b.quad([p(0.0, top, near), p(1.0, top, near), p(1.0, top, far), p(0.0, top, far)], LinearRgba::WHITE);
    b.build()
}

pub fn charger() -> Mesh {
    let mut b = MeshBuilder::default();
    b.block(Vec3::ZERO, Vec3::new(0.7, 0.12, 0.5), tone::CONCRETE.linear());
    b.block(Vec3::Y * 0.12, Vec3::new(0.5, 1.55, 0.3), tone::MACHINE.linear());
    b.block(Vec3::new(0.0, 1.05, -0.16), Vec3::new(0.36, 0.36, 0.04), tone::CAR_GLASS.linear());
    // Cable and holster.
    b.block(Vec3::new(0.3, 0.55, -0.02), Vec3::new(0.1, 0.6, 0.16), tone::STEEL_DARK.linear());
    b.build()
}

/// The light strip on top of a charger; its material says the state.
pub fn charger_light() -> Mesh {
    let mut b = MeshBuilder::default();
    b.block(Vec3::Y * 1.67, Vec3::new(0.54, 0.14, 0.34), LinearRgba::WHITE);
    b.build()
}

/// A parked car, front towards −Z, wheels on the ground.
pub fn car(body: Tone) -> Mesh {
    let mut b = MeshBuilder::default();
    let paint = body.linear();
    let (half_w, l) = (0.92, 2.2);
    b.cuboid(Vec3::new(-half_w, 0.32, -l), Vec3::new(half_w, 0.88, l), paint);
    // Cabin: a glass frustum with a painted roof.
    let (low, high) = (0.88, 1.46);
    let foot = [(-0.86, -0.95), (0.86, -0.95), (0.86, 1.7), (-0.86, 1.7)];
    let head = [(-0.68, -0.25), (0.68, -0.25), (0.68, 1.15), (-0.68, 1.15)];
    for i in 0..4 {
        let j = (i + 1) % 4;
        let low_at = |k: usize| Vec3::new(foot[k].0, low, foot[k].1);
        let high_at = |k: usize| Vec3::new(head[k].0, high, head[k].1);
        b.quad([low_at(j), low_at(i), high_at(i), high_at(j)], tone::CAR_GLASS.linear());
    }
    b.quad(
        [
            Vec3::new(head[3].0, high, head[3].1),
            Vec3::new(head[2].0, high, head[2].1),
            Vec3::new(head[1].0, high, head[1].1),
            Vec3::new(head[0].0, high, head[0].1),
        ],
        paint,
    );
    for (x, z) in [(-0.8, -1.35), (0.8, -1.35), (-0.8, 1.35), (0.8, 1.35)] {
        b.transform = Transform::from_xyz(x - 0.11, 0.33, z).with_rotation(Quat::from_rotation_z(-FRAC_PI_2));
        b.frustum(Vec3::ZERO, 0.22, 0.33, 0.33, 12, tone::TYRE.linear());
        b.transform = Transform::IDENTITY;
    }
    for x in [-0.62, 0.62] {
        b.block(Vec3::new(x, 0.6, -l - 0.01), Vec3::new(0.36, 0.14, 0.05), tone::CAR_WHITE.linear());
        b.block(Vec3::new(x, 0.62, l + 0.01), Vec3::new(0.34, 0.12, 0.05), tone::STACK_BAND.linear());
    }
    b.build()
}

/// The tower of a turbine whose hub is at `hub_m`.
pub fn turbine_tower(hub_m: f32) -> Mesh {
    let mut b = MeshBuilder::default();
    let base = (hub_m * 0.026).clamp(0.35, 2.6);
    b.frustum(Vec3::ZERO, 0.4, base * 2.2, base * 2.1, 20, tone::CONCRETE.linear());
    b.frustum(Vec3::Y * 0.4, hub_m - 0.4 - base * 0.4, base, base * 0.55, 20, tone::WALL_OFFICE.linear());
    b.build()
}

/// The machine on top of the tower, its middle at the hub, the rotor in front (−Z); it turns into the wind.
pub fn turbine_nacelle(rotor_m: f32) -> Mesh {
    let mut b = MeshBuilder::default();
    let nacelle = (rotor_m * 0.1).clamp(0.7, 4.5);
    let half = Vec3::new(nacelle * 0.45, nacelle * 0.5, nacelle * 1.2);
    let middle = Vec3::Z * nacelle * 0.55;
    b.cuboid(middle - half, middle + half, tone::WALL_OFFICE.linear());
    b.build()
}

/// How far the rotor stands in front of the tower.
pub fn rotor_offset(rotor_m: f32) -> f32 {
    -(rotor_m * 0.1).clamp(0.7, 4.5) * 0.85
}

/// Hub and three blades in the XY plane, turning about Z.
pub fn turbine_rotor(rotor_m: f32) -> Mesh {
    let mut b = MeshBuilder::default();
    let hub = (rotor_m * 0.035).clamp(0.25, 1.8);
    b.blob(
        Vec3::ZERO,
        Vec3::new(hub, hub, hub * 1.3),
        0.0,
        tone::WALL_OFFICE.shade(0.85),
        tone::WALL_OFFICE.linear(),
    );
    for i in 0..3 {
        b.transform = Transform::from_rotation(Quat::from_rotation_z(TAU * i as f32 / 3.0));
        // Chord and twist along the blade: root, widest point, tip.
        let sections = [(0.02, 0.35, 0.5), (0.2, 1.0, 0.35), (0.55, 0.62, 0.14), (0.97, 0.18, 0.02)];
        let chord = rotor_m * 0.07;
        for pair in sections.windows(2) {
            let corner = |(r, width, twist): (f32, f32, f32), side: f32| {
                Vec3::new(side * chord * width * 0.5, r * rotor_m, side * chord * width * twist)
            };
            let (a, c) = (pair[0], pair[1]);
            let quad = [corner(a, -1.0), corner(a, 1.0), corner(c, 1.0), corner(c, -1.0)];
            b.quad(quad, tone::WALL_OFFICE.linear());
            b.quad([quad[1], quad[0], quad[3], quad[2]], tone::WALL_OFFICE.shade(0.9));
        }
        b.transform = Transform::IDENTITY;
    }
    b.build()
}

pub fn chiller() -> Mesh {
    let mut b = MeshBuilder::default();
    b.block(Vec3::Y * 0.15, Vec3::new(6.0, 2.1, 2.3), tone::MACHINE.linear());
    b.block(Vec3::Y * 0.6, Vec3::new(6.06, 1.0, 2.36), tone::LOUVRE.linear());
    for x in [-2.0, 0.0, 2.0] {
        b.frustum(Vec3::new(x, 2.25, 0.0), 0.28, 0.92, 0.86, 18, tone::STEEL.linear());
        b.frustum(Vec3::new(x, 2.5, 0.0), 0.05, 0.74, 0.74, 18, tone::STEEL_DARK.linear());
    }
    b.build()
}

pub fn heat_pump() -> Mesh {
    let mut b = MeshBuilder::default();
    b.block(Vec3::Y * 0.12, Vec3::new(3.4, 1.9, 1.5), tone::MACHINE.linear());
    for x in [-0.8, 0.8] {
        b.transform = Transform::from_xyz(x, 1.1, -0.75).with_rotation(Quat::from_rotation_x(-FRAC_PI_2));
        b.frustum(Vec3::ZERO, 0.08, 0.62, 0.6, 18, tone::STEEL_DARK.linear());
        b.transform = Transform::IDENTITY;
    }
    b.block(Vec3::Y * 2.02, Vec3::new(3.5, 0.08, 1.6), tone::MACHINE_GREEN.linear());
    b.build()
}

pub fn thermal_store() -> Mesh {
    let mut b = MeshBuilder::default();
    b.frustum(Vec3::ZERO, 0.3, 3.4, 3.4, 28, tone::CONCRETE.linear());
    b.frustum(Vec3::Y * 0.3, 9.0, 3.0, 3.0, 28, tone::MACHINE.linear());
    b.frustum(Vec3::Y * 9.3, 1.0, 3.0, 0.5, 28, tone::STEEL.linear());
    for y in [2.5, 5.0, 7.5] {
        b.frustum(Vec3::Y * y, 0.12, 3.05, 3.05, 28, tone::STEEL.linear());
    }
    b.block(Vec3::new(0.0, 0.3, -3.1), Vec3::new(0.5, 9.6, 0.25), tone::STEEL_DARK.linear());
    b.build()
}

pub fn boiler() -> Mesh {
    let mut b = MeshBuilder::default();
    b.block(Vec3::ZERO, Vec3::new(5.4, 0.25, 3.2), tone::CONCRETE.linear());
    b.transform = Transform::from_xyz(-2.3, 1.7, 0.0).with_rotation(Quat::from_rotation_z(-FRAC_PI_2));
    b.frustum(Vec3::ZERO, 4.6, 1.35, 1.35, 22, tone::STEEL.linear());
    b.transform = Transform::IDENTITY;
    b.block(Vec3::new(-2.6, 0.25, 0.0), Vec3::new(0.5, 2.6, 2.6), tone::MACHINE_GREEN.linear());
    b.build()
}

/// A chimney with two warning bands.
pub fn stack(height_m: f32) -> Mesh {
    let mut b = MeshBuilder::default();
    let foot = (height_m * 0.045).clamp(0.6, 2.5);
    let radius = |y: f32| foot + (foot * 0.62 - foot) * y / height_m;
    let marks = [0.0, 0.78, 0.84, 0.9, 0.96, 1.0].map(|share| share * height_m);
    for (i, pair) in marks.windows(2).enumerate() {
        let tone = if i % 2 == 1 { tone::STACK_BAND } else { tone::CONCRETE };
        b.frustum(Vec3::Y * pair[0], pair[1] - pair[0], radius(pair[0]), radius(pair[1]), 20, tone.linear());
    }
    b.frustum(
        Vec3::Y * (height_m - 0.02),
        0.05,
        radius(height_m) * 0.75,
        radius(height_m) * 0.75,
        20,
        tone::TYRE.linear(),
    );
    b.build()
}

/// One puff of a plume, radius 1.
pub fn puff() -> Mesh {
    let mut b = MeshBuilder::default();
    b.blob(Vec3::ZERO, Vec3::ONE, 0.12, LinearRgba::gray(0.85), LinearRgba::WHITE);
    b.build()
}

/// A compact substation: transformer between its high- and low-voltage rooms.
pub fn substation() -> Mesh {
    let mut b = MeshBuilder::default();
    b.block(Vec3::ZERO, Vec3::new(5.2, 0.3, 3.0), tone::CONCRETE.linear());
    b.block(Vec3::Y * 0.3, Vec3::new(4.6, 2.2, 2.4), tone::MACHINE_GREEN.linear());
    b.block(Vec3::Y * 2.5, Vec3::new(5.0, 0.22, 2.8), tone::MACHINE_GREEN.shade(0.8));
    for side in [-1.0, 1.0] {
        for x in [-1.5, 0.0, 1.5] {
            b.block(
                Vec3::new(x, 0.5, side * 1.2),
                Vec3::new(1.1, 1.7, 0.06),
                if x == 0.0 { tone::LOUVRE.linear() } else { tone::MACHINE_GREEN.shade(0.88) },
            );
        }
    }
    b.build()
}

/// A ring main unit: a row of switch cabinets.
pub fn ring_main_unit() -> Mesh {
    let mut b = MeshBuilder::default();
    b.block(Vec3::ZERO, Vec3::new(3.0, 0.2, 1.4), tone::CONCRETE.linear());
    for i in 0..3 {
        b.block(
            Vec3::new(-0.9 + 0.9 * i as f32, 0.2, 0.0),
            Vec3::new(0.84, 1.75, 1.0),
            tone::MACHINE_GREEN.shade(0.95),
        );
    }
    b.block(Vec3::Y * 1.95, Vec3::new(3.0, 0.1, 1.2), tone::MACHINE_GREEN.shade(0.75));
    b.build()
}

pub fn cabinet() -> Mesh {
    let mut b = MeshBuilder::default();
    b.block(Vec3::ZERO, Vec3::new(1.0, 0.12, 0.7), tone::CONCRETE.linear());
    b.block(Vec3::Y * 0.12, Vec3::new(0.84, 1.5, 0.5), tone::MACHINE.linear());
    b.block(Vec3::new(0.0, 0.3, -0.25), Vec3::new(0.7, 1.2, 0.04), tone::MACHINE.shade(0.88));
    b.build()
}

pub fn weather_mast() -> Mesh {
    let mut b = MeshBuilder::default();
    b.block(Vec3::ZERO, Vec3::new(1.2, 0.2, 1.2), tone::CONCRETE.linear());
    b.frustum(Vec3::Y * 0.2, 9.8, 0.12, 0.07, 10, tone::STEEL.linear());
    b.block(Vec3::Y * 9.2, Vec3::new(2.4, 0.08, 0.08), tone::STEEL.linear());
    for x in [-1.15, 1.15] {
        b.frustum(Vec3::new(x, 9.28, 0.0), 0.3, 0.04, 0.04, 8, tone::STEEL_DARK.linear());
        b.frustum(Vec3::new(x, 9.55, 0.0), 0.16, 0.2, 0.2, 12, tone::STEEL_DARK.linear());
    }
    b.block(Vec3::new(0.0, 2.4, -0.4), Vec3::new(0.7, 0.05, 0.6), tone::PV_CELL.linear());
    b.frustum(Vec3::new(0.0, 1.6, 0.3), 0.6, 0.22, 0.22, 12, tone::WALL_OFFICE.linear());
    b.build()
}

pub fn sensor_post() -> Mesh {
    let mut b = MeshBuilder::default();
    b.frustum(Vec3::ZERO, 2.6, 0.06, 0.05, 8, tone::STEEL.linear());
    b.block(Vec3::Y * 2.2, Vec3::new(0.34, 0.44, 0.24), tone::MACHINE.linear());
    b.build()
}

/// Three kinds of broad-leaved tree and one slim one, each of height 1.
pub fn tree(kind: usize) -> Mesh {
    let mut b = MeshBuilder::default();
    let (dark, light) = (tone::LEAF_DARK, tone::LEAF_LIGHT);
    b.frustum(Vec3::ZERO, 0.4, 0.03, 0.02, 6, tone::TRUNK.linear());
    match kind % 4 {
        0 => {
            b.blob(
                Vec3::new(0.0, 0.66, 0.0),
                Vec3::new(0.34, 0.34, 0.33),
                0.1,
                dark.linear(),
                light.linear(),
            );
        }
        1 => {
            b.blob(
                Vec3::new(-0.08, 0.6, 0.04),
                Vec3::new(0.28, 0.26, 0.27),
                0.12,
                dark.shade(1.08),
                light.shade(1.05),
            );
            b.blob(
                Vec3::new(0.1, 0.76, -0.05),
                Vec3::new(0.24, 0.22, 0.24),
                0.12,
                dark.shade(1.1),
                light.shade(1.1),
            );
        }
        2 => {
            b.blob(
                Vec3::new(0.0, 0.58, 0.0),
                Vec3::new(0.22, 0.4, 0.22),
                0.08,
                dark.shade(0.92),
                light.shade(0.95),
            );
        }
        _ => {
            b.blob(
                Vec3::new(0.0, 0.56, 0.0),
                Vec3::new(0.4, 0.24, 0.38),
                0.12,
                dark.shade(1.05),
                light.linear(),
            );
            b.blob(
                Vec3::new(0.02, 0.78, 0.0),
                Vec3::new(0.26, 0.2, 0.25),
                0.1,
                dark.shade(1.12),
                light.shade(1.08),
            );
        }
    }
    b.build()
}
