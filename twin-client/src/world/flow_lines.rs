//! Feeder lines on the ground: chevrons run the way power flows, width is proportional to kW at any distance.
//!
//! All lines are one mesh and one draw. A line's width, direction and colour stand in a storage buffer that is uploaded
//! when flows change; the running of the chevrons is the shader's own, from the time. Lines whose values are old are
//! faded and stand still, and so do all when the link is lost.

use super::{
    geometry::offset_both_sides,
    palette::{self as tone, Tone},
    routes::Routes,
};
use crate::model::{ParkModel, SceneIndex, flows::FlowTree};
use bevy::{
    asset::{RenderAssetUsages, load_internal_asset, uuid_handle},
    mesh::{Indices, PrimitiveTopology},
    pbr::{Material, MaterialPlugin},
    prelude::*,
    reflect::TypePath,
    render::{
        render_resource::{AsBindGroup, ShaderType},
        storage::ShaderBuffer,
    },
    shader::{Shader, ShaderRef},
};
use std::time::Duration;

const SHADER: Handle<Shader> = uuid_handle!("5b0d7a3e-8d0e-4f8a-9f0a-5a0a4a1f0c11");
/// Height above the ground: over roads and kerbs.
const HEIGHT_M: f32 = 0.45;
/// Width, seen from near, of a line that carries all the park may import.
const WIDEST_M: f64 = 9.0;
/// Up to this distance a line has its width in metres; from farther its width on the screen stays. The shader's too.
const FAR_M: f32 = 350.0;
/// A line's half width is never less than this share of its distance, about a pixel. The shader's too.
const THINNEST_PER_METRE: f32 = 0.0008;
/// Below this a line counts as still.
const STILL_KW: f64 = 0.5;
/// Values older than this no longer move a line.
const STALE_MS: i64 = 30_000;

/// Power that flows away from the grid, to whoever uses it.
pub const TO_LOADS: Tone = tone::CHARGING;
/// Surplus that flows back towards the grid.
pub const TO_GRID: Tone = tone::SOLAR;

/// Half a line's width as seen from a distance, metres: what the shader draws.
pub fn seen_half_width_m(half_width_m: f32, distance_m: f32) -> f32 {
    (half_width_m * (distance_m / FAR_M).max(1.0)).max(distance_m * THINNEST_PER_METRE)
}

/// How many kW a metre of a line's width stands for.
fn kw_per_metre(index: &SceneIndex) -> f64 {
    (index.scene.park.grid.import_limit_kw / WIDEST_M).max(1.0)
}

/// What the shader reads of a line.
#[derive(ShaderType, Clone, Copy, Default)]
struct FlowLine {
    /// Linear colour; alpha is how strongly the line shows.
    colour: Vec4,
    /// Half width in metres, direction (−1, 0, 1), whether the chevrons run (0, 1).
    motion: Vec4,
}

#[derive(Asset, TypePath, AsBindGroup, Clone)]
pub struct FlowMaterial {
    #[storage(0, read_only)]
    lines: Handle<ShaderBuffer>,
}

impl Material for FlowMaterial {
    fn vertex_shader() -> ShaderRef {
        SHADER.into()
    }
    fn fragment_shader() -> ShaderRef {
        SHADER.into()
    }
    fn alpha_mode(&self) -> AlphaMode {
        AlphaMode::Blend
    }
    fn enable_prepass() -> bool {
        false
    }
    fn enable_shadows() -> bool {
        false
    }
}

/// The tree of flows of the scene being shown, and the buffer its figures go to.
#[derive(Resource)]
pub struct Flows {
    pub tree: FlowTree,
    buffer: Handle<ShaderBuffer>,
    routes: Routes,
    kw_per_metre: f64,
    /// When to compute again, on the app's own clock, which never jumps.
    next: Duration,
}

impl Flows {
    /// The half width that stands for a power, metres, seen from near.
    pub fn half_width_m(&self, kw: f64) -> f32 {
        (kw.abs() / self.kw_per_metre / 2.0) as f32
    }

    /// Three round powers that a legend may show, small to large.
    pub fn legend_kw(&self) -> [f64; 3] {
        let limit = self.kw_per_metre * WIDEST_M;
        [limit / 24.0, limit / 12.0, limit / 4.0].map(round_figure)
    }
}

/// The nearest of 1, 2, 3, 5 times a power of ten.
fn round_figure(value: f64) -> f64 {
    let decade = 10_f64.powf(value.max(1e-6).log10().floor());
    [1.0, 2.0, 3.0, 5.0, 10.0]
        .map(|step| step * decade)
        .into_iter()
        .min_by(|a, b| (a / value).ln().abs().total_cmp(&(b / value).ln().abs()))
        .unwrap_or(value)
}

pub struct FlowLinesPlugin;

impl Plugin for FlowLinesPlugin {
    fn build(&self, app: &mut App) {
        load_internal_asset!(app, SHADER, "../../../assets/shaders/flow.wgsl", Shader::from_wgsl);
        app.add_plugins(MaterialPlugin::<FlowMaterial>::default()).add_systems(Update, update_flows);
    }
}

/// Spawns the lines of a scene and the resource that drives them.
pub fn spawn(
    commands: &mut Commands,
    parent: Entity,
    index: &SceneIndex,
    meshes: &mut Assets<Mesh>,
    materials: &mut Assets<FlowMaterial>,
    buffers: &mut Assets<ShaderBuffer>,
) {
    let lines = index.scene.network.lines.len();
    let buffer = buffers.add(ShaderBuffer::from(vec![FlowLine::default(); lines.max(1)]));
    if let Some(mesh) = lines_mesh(index) {
        commands.spawn((
            Mesh3d(meshes.add(mesh)),
            MeshMaterial3d(materials.add(FlowMaterial { lines: buffer.clone() })),
            bevy::camera::visibility::NoFrustumCulling,
            bevy::light::NotShadowCaster,
            ChildOf(parent),
        ));
    }
    commands.insert_resource(Flows {
        tree: FlowTree::new(index),
        buffer,
        routes: Routes::new(index),
        kw_per_metre: kw_per_metre(index),
        next: Duration::ZERO,
    });
}

/// Centre lines with a side vector; the shader widens them. UV: metres along and side; UV_1: the line's number.
fn lines_mesh(index: &SceneIndex) -> Option<Mesh> {
    let network = &index.scene.network;
    let place = |bus| network.buses.iter().find(|b| &b.id == bus).map(|b| b.position);
    let (mut positions, mut sides, mut along, mut numbers, mut indices) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (number, line) in network.lines.iter().enumerate() {
        let (Some(from), Some(to)) = (place(&line.from), place(&line.to)) else { continue };
        let route: Vec<[f64; 2]> =
            std::iter::once(from).chain(line.via.iter().copied()).chain([to]).collect();
        let first = positions.len() as u32;
        let mut length = 0.0;
        for (i, (left, right)) in offset_both_sides(&route, 1.0).into_iter().enumerate() {
            if i > 0 {
                length += ((route[i][0] - route[i - 1][0]).hypot(route[i][1] - route[i - 1][1])) as f32;
            }
            let side = (right - left) / 2.0;
            for sign in [-1.0_f32, 1.0] {
                positions.push([route[i][0] as f32, HEIGHT_M, -route[i][1] as f32]);
                sides.push([side.x * sign, 0.0, side.y * sign]);
                along.push([length, sign]);
                numbers.push([number as f32, 0.0]);
            }
        }
        for leg in 0..route.len() as u32 - 1 {
            let a = first + 2 * leg;
            indices.extend([a, a + 1, a + 2, a + 2, a + 1, a + 3]);
        }
    }
    (!indices.is_empty()).then(|| {
        Mesh::new(PrimitiveTopology::TriangleList, RenderAssetUsages::RENDER_WORLD)
            .with_inserted_attribute(Mesh::ATTRIBUTE_POSITION, positions)
            .with_inserted_attribute(Mesh::ATTRIBUTE_NORMAL, sides)
            .with_inserted_attribute(Mesh::ATTRIBUTE_UV_0, along)
            .with_inserted_attribute(Mesh::ATTRIBUTE_UV_1, numbers)
            .with_inserted_indices(Indices::U32(indices))
    })
}

/// Recomputes flows once a second.
fn update_flows(
    time: Res<Time<Real>>,
    model: Res<ParkModel>,
    flows: Option<ResMut<Flows>>,
    mut buffers: ResMut<Assets<ShaderBuffer>>,
) {
    let Some(mut flows) = flows else { return };
    if time.elapsed() < flows.next {
        return;
    }
    flows.next = time.elapsed() + Duration::from_secs(1);
    let flows = &mut *flows;
    flows.tree.update(&model.values);
    let lines: Vec<FlowLine> = flows
        .tree
        .line_kw
        .iter()
        .zip(&flows.routes.lines)
        .map(|(kw, route)| {
            let newest = route.devices.iter().filter_map(|d| model.values.newest(*d)).max();
            let fresh = model.link.is_live() && newest.is_some_and(|at| model.now.since(at) < STALE_MS);
            line_look(*kw, flows.kw_per_metre, route.outward, fresh)
        })
        .collect();
    if let Some(mut buffer) = buffers.get_mut(&flows.buffer)
        && !lines.is_empty()
    {
        buffer.set_data(lines);
    }
}

/// `outward` is whether the line's own direction leads away from the grid.
fn line_look(kw: Option<f64>, kw_per_metre: f64, outward: bool, fresh: bool) -> FlowLine {
    let Some(kw) = kw.filter(|kw| kw.abs() >= STILL_KW) else {
        return FlowLine {
            colour: tone::STEEL_DARK.with_alpha(0.3).to_vec4(),
            motion: Vec4::new(0.1, 0.0, 0.0, 0.0),
        };
    };
    let tone = if (kw > 0.0) == outward { TO_LOADS } else { TO_GRID };
    let half_width = (kw.abs() / kw_per_metre / 2.0) as f32;
    FlowLine {
        colour: tone.with_alpha(if fresh { 0.9 } else { 0.35 }).to_vec4(),
        motion: Vec4::new(half_width, kw.signum() as f32, f32::from(u8::from(fresh)), 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn width_stays_proportional_to_power_from_near_and_from_afar() {
        for distance in [20.0, 349.0, 900.0, 2_400.0] {
            let ratio = seen_half_width_m(3.0, distance) / seen_half_width_m(1.5, distance);
            assert!((ratio - 2.0).abs() < 1e-4, "at {distance} m: {ratio}");
        }
        let pixels = |half: f32, distance: f32| seen_half_width_m(half, distance) / distance;
        assert!(
            (pixels(2.0, 800.0) / pixels(2.0, 2_400.0) - 1.0).abs() < 1e-5,
            "afar the width on the screen stays"
        );
        assert!(pixels(0.0, 2_400.0) > 0.0, "the thinnest line is still seen");
    }

    #[test]
    fn the_shader_draws_the_widths_the_legend_shows() {
        let shader = include_str!("../../../assets/shaders/flow.wgsl");
        assert!(shader.contains(&format!("const FAR_M: f32 = {FAR_M:.1};")));
        assert!(shader.contains(&format!("const THINNEST_PER_METRE: f32 = {THINNEST_PER_METRE};")));
    }

    #[test]
    fn colour_tells_supply_from_surplus_whichever_way_a_line_was_drawn() {
        let colour = |kw, outward| line_look(Some(kw), 100.0, outward, true).colour;
        assert_eq!(colour(50.0, true), colour(-50.0, false));
        assert_ne!(colour(50.0, true), colour(-50.0, true));
    }

    #[test]
    fn old_values_stop_the_chevrons_and_fade_the_line() {
        let (fresh, old) = (line_look(Some(9.0), 1.0, true, true), line_look(Some(9.0), 1.0, true, false));
        assert!(old.motion.z == 0.0 && fresh.motion.z == 1.0 && old.colour.w < fresh.colour.w);
        assert_eq!(old.motion.x, fresh.motion.x);
    }

    #[test]
    fn legends_show_round_figures() {
        for (value, shown) in [(500.0, 500.0), (1_000.0, 1_000.0), (2_917.0, 3_000.0), (730.0, 1_000.0)] {
            assert_eq!(round_figure(value), shown);
        }
    }
}
