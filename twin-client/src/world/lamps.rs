//! Street lamps along the roads: poles, heads, and pools of light on the ground that show at night.

use super::{
    geometry::{MeshBuilder, at},
    ground::{is_free, on_road},
    palette as tone,
};
use bevy::prelude::*;
use shared::scene::Scene;
use std::f32::consts::TAU;

const SPACING_M: f64 = 42.0;
const POLE_M: f32 = 8.0;
const POOL_M: f32 = 15.0;

pub struct LampMeshes {
    pub poles: Mesh,
    pub heads: Mesh,
    pub pools: Mesh,
}

/// All lamps of a park in three meshes; `None` where there are no roads.
pub fn lamp_meshes(scene: &Scene) -> Option<LampMeshes> {
    let (mut poles, mut heads, mut pools) =
        (MeshBuilder::default(), MeshBuilder::default(), MeshBuilder::default());
    for (number, road) in scene.site.roads.iter().enumerate() {
        let mut side = 1.0;
        for leg in road.centreline.windows(2) {
            let (dx, dy) = (leg[1][0] - leg[0][0], leg[1][1] - leg[0][1]);
            let length = dx.hypot(dy);
            let (dx, dy) = (dx / length.max(1e-6), dy / length.max(1e-6));
            let mut s = SPACING_M / 2.0;
            while s < length {
                let off = road.width_m / 2.0 + 1.4;
                let foot = [leg[0][0] + dx * s + dy * off * side, leg[0][1] + dy * s - dx * off * side];
                let other_road =
                    scene.site.roads.iter().enumerate().any(|(i, r)| i != number && on_road(r, foot, 1.0));
                if !other_road && is_free(scene, foot) {
                    lamp(&mut poles, &mut heads, &mut pools, foot, [-dy * side, dx * side]);
                }
                side = -side;
                s += SPACING_M;
            }
        }
    }
    (!poles.is_empty()).then(|| LampMeshes {
        poles: poles.build(),
        heads: heads.build(),
        pools: pools.build(),
    })
}

/// One lamp; `inward` points over the road.
fn lamp(
    poles: &mut MeshBuilder,
    heads: &mut MeshBuilder,
    pools: &mut MeshBuilder,
    foot: [f64; 2],
    inward: [f64; 2],
) {
    let base = at(foot[0], foot[1], 0.0);
    let over = Vec3::new(inward[0] as f32, 0.0, -inward[1] as f32);
    poles.frustum(base, POLE_M, 0.11, 0.06, 6, tone::STEEL_DARK.linear());
    let head = base + over * 1.1 + Vec3::Y * (POLE_M - 0.12);
    poles.block(
        base + over * 0.55 + Vec3::Y * (POLE_M - 0.06),
        Vec3::new(0.1 + over.x.abs(), 0.08, 0.1 + over.z.abs()),
        tone::STEEL_DARK.linear(),
    );
    heads.block(head, Vec3::new(0.5, 0.12, 0.5), LinearRgba::WHITE);
    pool(pools, base + over * 2.0 + Vec3::Y * 0.2);
}

/// A disc, bright in the middle, nothing at the rim.
fn pool(b: &mut MeshBuilder, centre: Vec3) {
    let sides = 20;
    let rim = |share: f32, i: u32| {
        let angle = TAU * i as f32 / sides as f32;
        centre + Vec3::new(angle.cos(), 0.0, -angle.sin()) * POOL_M * share
    };
    // Falls off like light on the ground under a lamp, in three rings.
    let rings = [(0.0, 1.0), (0.25, 0.62), (0.55, 0.2), (1.0, 0.0)];
    for pair in rings.windows(2) {
        let ((inner, bright), (outer, dim)) = (pair[0], pair[1]);
        let (bright, dim) = (LinearRgba::WHITE.with_alpha(bright), LinearRgba::WHITE.with_alpha(dim));
        for i in 0..sides {
            b.quad_uv(
                [rim(inner, i), rim(outer, i), rim(outer, i + 1), rim(inner, i + 1)],
                [Vec2::ZERO; 4],
                [bright, dim, dim, bright],
            );
        }
    }
}
