// The sky: a gradient by elevation, a glow around the sun, stars when it is dark.

#import bevy_pbr::{
    mesh_functions,
    mesh_view_bindings::view,
    view_transformations::position_world_to_clip,
}

struct Sky {
    zenith: vec4<f32>,
    horizon: vec4<f32>,
    // rgb: colour of the glow; a: strength.
    glow: vec4<f32>,
    // xyz: towards the sun; w: how visible stars are.
    sun: vec4<f32>,
    // x: radius of the land, metres.
    land: vec4<f32>,
}

@group(#{MATERIAL_BIND_GROUP}) @binding(0) var<uniform> sky: Sky;

struct Varying {
    @builtin(position) clip: vec4<f32>,
    @location(0) direction: vec3<f32>,
}

@vertex
fn vertex(@builtin(instance_index) instance: u32, @location(0) position: vec3<f32>) -> Varying {
    var out: Varying;
    out.direction = position;
    // Centred on the eye, and at the far end of the depth range (0 in reversed z).
    let clip = position_world_to_clip(view.world_position + position * 100.0);
    out.clip = vec4(clip.xy, 0.0, clip.w);
    return out;
}

fn hash(p: vec3<f32>) -> f32 {
    var q = fract(p * vec3(0.1031, 0.1030, 0.0973));
    q += dot(q, q.yxz + 33.33);
    return fract((q.x + q.y) * q.z);
}

@fragment
fn fragment(in: Varying) -> @location(0) vec4<f32> {
    let d = normalize(in.direction);
    // The land is a disc: seen from high up, its hazy rim and with it the sky's foot lie below the true horizon.
    let height = max(view.world_position.y, 0.0);
    let rim = length(view.world_position.xz) + sky.land.x;
    let dip = height / length(vec2(rim, height));
    let up = clamp((d.y + dip) / (1.0 + dip), 0.0, 1.0);
    var colour = mix(sky.horizon.rgb, sky.zenith.rgb, pow(up, 0.42));
    let towards = max(dot(d, sky.sun.xyz), 0.0);
    let halo = pow(towards, 8.0) * 0.35 + pow(towards, 64.0) * 0.5 + smoothstep(0.99985, 0.99993, towards) * 4.0;
    colour += sky.glow.rgb * sky.glow.a * halo;
    if (sky.sun.w > 0.0) {
        let cell = floor(d * 260.0);
        let star = smoothstep(0.9965, 1.0, hash(cell)) * smoothstep(0.05, 0.4, d.y);
        colour += vec3(0.75, 0.8, 0.95) * star * sky.sun.w;
    }
    return vec4(colour, 1.0);
}
