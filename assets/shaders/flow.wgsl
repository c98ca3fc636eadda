// Feeder lines: a translucent band with chevrons that run the way power flows.

#import bevy_pbr::{
    mesh_functions,
    mesh_view_bindings::{globals, view},
    view_transformations::position_world_to_clip,
}

struct FlowLine {
    // Linear colour; alpha is how strongly the line shows.
    colour: vec4<f32>,
    // x: half width in metres seen from near, y: direction (-1, 0, 1), z: whether the chevrons run.
    motion: vec4<f32>,
}

@group(#{MATERIAL_BIND_GROUP}) @binding(0) var<storage, read> lines: array<FlowLine>;

struct Vertex {
    @builtin(instance_index) instance_index: u32,
    @location(0) position: vec3<f32>,
    // Sideways, mitred: not a normal.
    @location(1) side: vec3<f32>,
    @location(2) along_across: vec2<f32>,
    @location(3) number: vec2<f32>,
}

struct Varying {
    @builtin(position) clip: vec4<f32>,
    @location(0) along_across: vec2<f32>,
    @location(1) colour: vec4<f32>,
    @location(2) direction: f32,
    @location(3) half_width: f32,
    @location(4) @interpolate(flat) running: f32,
}

// Up to here a line has its width in metres; from farther its width on the screen stays, so that it always says kW.
const FAR_M: f32 = 350.0;
// A line's half width is never less than this share of its distance: about a pixel.
const THINNEST_PER_METRE: f32 = 0.0008;
const SPACING_M: f32 = 16.0;
const SPEED_M_S: f32 = 9.0;

@vertex
fn vertex(in: Vertex) -> Varying {
    let line = lines[u32(in.number.x + 0.5)];
    let world_from_local = mesh_functions::get_world_from_local(in.instance_index);
    let centre = mesh_functions::mesh_position_local_to_world(world_from_local, vec4(in.position, 1.0)).xyz;
    let distance = length(view.world_position - centre);
    let half_width = max(line.motion.x * max(1.0, distance / FAR_M), distance * THINNEST_PER_METRE);
    var out: Varying;
    out.clip = position_world_to_clip(centre + in.side * half_width);
    out.along_across = in.along_across;
    out.colour = line.colour;
    out.direction = line.motion.y;
    out.half_width = half_width;
    out.running = line.motion.z;
    return out;
}

@fragment
fn fragment(in: Varying) -> @location(0) vec4<f32> {
    let across = abs(in.along_across.y);
    let edge = 1.0 - smoothstep(0.82, 1.0, across);
    if (in.direction == 0.0) {
        return vec4(in.colour.rgb, in.colour.a * edge);
    }
    // Chevrons: the middle runs ahead of the edges. Seen from high up they are larger and as fast on the screen.
    let scale = exp2(round(log2(max(1.0, view.world_position.y / 190.0))));
    let ahead = in.along_across.x * in.direction + across * in.half_width * 1.2
        - globals.time * SPEED_M_S * scale * in.running;
    let phase = fract(ahead / (SPACING_M * scale));
    let chevron = smoothstep(0.52, 0.62, phase) * (1.0 - smoothstep(0.90, 0.98, phase));
    let colour = mix(in.colour.rgb, in.colour.rgb * 0.35 + vec3(0.65), chevron * 0.75);
    return vec4(colour, in.colour.a * edge * mix(0.72, 1.0, chevron));
}
