// The park's own surface: vertex colours under sun, sky and bounced light, with a sheen for glass, water and PV.
//
// Much less work a pixel than a physically based material, which matters on software renderers and in browsers, and it
// gives what clay needs: walls that tell up from down by a hemisphere of light instead of one flat ambient colour.

#import bevy_pbr::{
    forward_io::VertexOutput,
    mesh_view_bindings::{fog, lights, view},
    mesh_view_types::DIRECTIONAL_LIGHT_FLAGS_SHADOWS_ENABLED_BIT,
    shadows::fetch_directional_shadow,
}

struct Clay {
    // w: how much of the colour is left; 0 leaves light and dark only.
    tint: vec4<f32>,
    // rgb is added as it is: lit windows, state lights.
    glow: vec4<f32>,
    // x: how much of the sky a grazing look sees mirrored, y: strength of the sun's highlight, z: its sharpness,
    // w: for land around the park, where it is lost in haze (metres from the middle); 0 for everything else.
    sheen: vec4<f32>,
}

@group(#{MATERIAL_BIND_GROUP}) @binding(0) var<uniform> clay: Clay;
#ifdef CLAY_TEXTURE
@group(#{MATERIAL_BIND_GROUP}) @binding(1) var face: texture_2d<f32>;
@group(#{MATERIAL_BIND_GROUP}) @binding(2) var face_sampler: sampler;
#endif

const INVERSE_PI: f32 = 0.31830989;
// What the ground throws back, against what the sky sends.
const BOUNCE: vec3<f32> = vec3(0.62, 0.58, 0.54);
// Brings the ambient brightness to the scale of the lights.
const AMBIENT: f32 = 0.42;

fn hash(p: vec2<f32>) -> f32 {
    var q = fract(vec3(p.xyx) * 0.1031);
    q += dot(q, q.yzx + 33.33);
    return fract((q.x + q.y) * q.z);
}

// Smooth noise, 0 to 1.
fn mottle(p: vec2<f32>) -> f32 {
    let cell = floor(p);
    let f = fract(p);
    let t = f * f * (3.0 - 2.0 * f);
    let low = mix(hash(cell), hash(cell + vec2(1.0, 0.0)), t.x);
    let high = mix(hash(cell + vec2(0.0, 1.0)), hash(cell + vec2(1.0, 1.0)), t.x);
    return mix(low, high, t.y);
}

@fragment
fn fragment(in: VertexOutput) -> @location(0) vec4<f32> {
    var albedo = clay.tint.rgb * in.color.rgb;
#ifdef CLAY_TEXTURE
    albedo *= textureSample(face, face_sampler, in.uv).rgb;
#endif
    albedo = mix(vec3(dot(albedo, vec3(0.2126, 0.7152, 0.0722))), albedo, clay.tint.w);
    var haze = 0.0;
    if (clay.sheen.w > 0.0) {
        let p = in.world_position.xz;
        let tone = 0.6 * mottle(p / 190.0) + 0.4 * mottle(p / 60.0 + 17.0);
        albedo *= 1.0 + 0.16 * (tone - 0.5);
        haze = smoothstep(0.54, 0.97, length(p) / clay.sheen.w);
    }
    let n = normalize(in.world_normal);
    let to_eye = view.world_position - in.world_position.xyz;
    let distance = length(to_eye);
    let v = to_eye / distance;
    let view_z = dot(
        vec4(view.view_from_world[0].z, view.view_from_world[1].z, view.view_from_world[2].z, view.view_from_world[3].z),
        in.world_position,
    );

    let sky = lights.ambient_color.rgb * AMBIENT;
    var light = mix(sky * BOUNCE, sky * 1.08, n.y * 0.5 + 0.5);
    var highlight = vec3(0.0);
    for (var i = 0u; i < lights.n_directional_lights; i++) {
        let source = &lights.directional_lights[i];
        let facing = dot(n, (*source).direction_to_light);
        if (facing > 0.0) {
            var seen = facing;
            if (((*source).flags & DIRECTIONAL_LIGHT_FLAGS_SHADOWS_ENABLED_BIT) != 0u) {
                seen *= fetch_directional_shadow(i, in.world_position, n, view_z, in.position.xy);
                if (clay.sheen.y > 0.0) {
                    let half_way = normalize(v + (*source).direction_to_light);
                    highlight += (*source).color.rgb * seen * pow(max(dot(n, half_way), 0.0), clay.sheen.z);
                }
            }
            light += (*source).color.rgb * seen * INVERSE_PI;
        }
    }
    var colour = albedo * light * view.exposure + highlight * clay.sheen.y * INVERSE_PI * view.exposure + clay.glow.rgb;

    if (clay.sheen.x > 0.0) {
        // A mirror shows the sky; straight on it shows little of it.
        let grazing = pow(1.0 - max(dot(n, v), 0.0), 4.0);
        colour = mix(colour, fog.base_color.rgb, clay.sheen.x * (0.12 + 0.88 * grazing));
    }
    haze = max(haze, fog.base_color.a * clamp((distance - fog.be.x) / (fog.be.y - fog.be.x), 0.0, 1.0));
    return vec4(mix(colour, fog.base_color.rgb, haze), 1.0);
}
