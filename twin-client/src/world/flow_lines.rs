//! Feeder lines on the ground: chevrons run the way power flows, width says kW.
//!
//! All lines are one mesh and one draw. A line's width, direction and colour stand in a storage buffer that is uploaded
//! when flows change; the running of the chevrons is the shader's own, from the time.

use super::{geometry::offset_both_sides, palette as tone};
use crate::model::{
    ParkModel, SceneIndex,
    flows::{FlowTree, line_capacity_kw},
};
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

const SHADER: Handle<Shader> = uuid_handle!("5b0d7a3e-8d0e-4f8a-9f0a-5a0a4a1f0c11");
/// Height above the ground: over roads and kerbs.
const HEIGHT_M: f32 = 0.45;
const THINNEST_M: f32 = 0.5;
const WIDEST_M: f32 = 2.2;
/// Below this a line counts as still.
const STILL_KW: f64 = 0.5;

/// What the shader reads of a line.
#[derive(ShaderType, Clone, Copy, Default)]
struct FlowLine {
    /// Linear colour; alpha is how strongly the line shows.
    colour: Vec4,
    /// Half width in metres, direction (−1, 0, 1).
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
    /// Largest expected flow by line.
    capacity_kw: Vec<f64>,
    /// When to compute again; `None` before the first time.
    next_ms: Option<i64>,
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
        capacity_kw: (0..lines).map(|line| line_capacity_kw(index, line)).collect(),
        next_ms: None,
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

/// Recomputes flows once a second at most, and only when values changed.
fn update_flows(
    model: Res<ParkModel>,
    flows: Option<ResMut<Flows>>,
    mut buffers: ResMut<Assets<ShaderBuffer>>,
) {
    let Some(mut flows) = flows else { return };
    if flows.next_ms.is_some_and(|next| model.values.changed().is_empty() || model.now.0 < next) {
        return;
    }
    flows.next_ms = Some(model.now.0 + 1_000);
    let flows = &mut *flows;
    flows.tree.update(&model.values);
    let lines: Vec<FlowLine> = flows
        .tree
        .line_kw
        .iter()
        .zip(&flows.capacity_kw)
        .map(|(kw, capacity)| line_look(*kw, *capacity))
        .collect();
    if let Some(mut buffer) = buffers.get_mut(&flows.buffer)
        && !lines.is_empty()
    {
        buffer.set_data(lines);
    }
}

/// Width by square root of load, so that small flows still show; towards the grid in the colour of the sun.
fn line_look(kw: Option<f64>, capacity_kw: f64) -> FlowLine {
    let Some(kw) = kw.filter(|kw| kw.abs() >= STILL_KW) else {
        return FlowLine {
            colour: tone::STEEL_DARK.with_alpha(0.35).to_vec4(),
            motion: Vec4::new(THINNEST_M / 2.0, 0.0, 0.0, 0.0),
        };
    };
    let load = (kw.abs() / capacity_kw.max(1.0)).clamp(0.0, 1.0).sqrt() as f32;
    let width = THINNEST_M + (WIDEST_M - THINNEST_M) * load;
    let tone = if kw > 0.0 { tone::CHARGING } else { tone::SOLAR };
    FlowLine {
        colour: tone.with_alpha(0.88).to_vec4(),
        motion: Vec4::new(width / 2.0, kw.signum() as f32, 0.0, 0.0),
    }
}
