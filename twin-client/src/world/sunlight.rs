//! Light by the true position of the sun for the park's place and time; moonlight, lit windows and lamps when it is down.

use super::{
    clay::ClayMaterial,
    ground::rim_m,
    looks::Looks,
    palette::hex,
    sky::{SkyMaterial, SkyTones},
};
use crate::{camera::Eye, model::ParkModel};
use bevy::{
    light::{CascadeShadowConfig, CascadeShadowConfigBuilder},
    pbr::DistanceFog,
    prelude::*,
};
use shared::{sun::sun_position, time::Timestamp};

/// The time the sun is shown for: the park's own, or a fixed one.
#[derive(Resource, Default)]
pub struct SunClock {
    pub fixed: Option<Timestamp>,
    /// What the light was last set for.
    shown: Option<Timestamp>,
    shown_scene: u64,
}

impl SunClock {
    pub fn at(fixed: Option<Timestamp>) -> Self {
        Self { fixed, ..Self::default() }
    }
}

/// The light that casts shadows: the sun, or the moon when it is down.
#[derive(Component)]
pub struct KeyLight;

/// Skylight from above, without shadows.
#[derive(Component)]
pub struct FillLight;

/// The sun moves a fifteenth of a degree in this time.
const STEP_MS: i64 = 15_000;
/// Where moonlight comes from: a fixed place, since it is there to see by.
const MOON: Vec3 = Vec3::new(0.45, 0.72, 0.53);

/// All light for one elevation of the sun.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mood {
    pub key_lux: f32,
    pub key_colour: LinearRgba,
    pub fill_lux: f32,
    pub fill_colour: LinearRgba,
    pub ambient: f32,
    pub ambient_colour: LinearRgba,
    pub sky: SkyTones,
    /// 0 by day, 1 at night: windows and lamps.
    pub night: f32,
}

/// The light at an elevation of the sun in degrees.
pub fn mood(elevation_deg: f32) -> Mood {
    let ramp = |from: f32, to: f32| ((elevation_deg - from) / (to - from)).clamp(0.0, 1.0);
    let smooth = |from: f32, to: f32| {
        let t = ramp(from, to);
        t * t * (3.0 - 2.0 * t)
    };
    let sun = smooth(-1.2, 8.0);
    let moon = 1.0 - smooth(-9.0, -2.0);
    let day = smooth(-7.0, 10.0);
    let low = 1.0 - smooth(1.0, 20.0);
    let tone = |a: u32, b: u32, t: f32| {
        let (a, b): (LinearRgba, LinearRgba) = (hex(a).into(), hex(b).into());
        LinearRgba::from_vec4(a.to_vec4().lerp(b.to_vec4(), t))
    };
    let key_colour = if sun > 0.0 { tone(0xFFF6EA, 0xFFA766, low) } else { hex(0xA9C1EE).into() };
    let by_elevation = |stops: [(f32, u32); 5]| {
        let above = stops.iter().position(|(at, _)| elevation_deg < *at).unwrap_or(stops.len());
        match above {
            0 => hex(stops[0].1).into(),
            5 => hex(stops[4].1).into(),
            i => {
                let ((from, a), (to, b)) = (stops[i - 1], stops[i]);
                tone(a, b, (elevation_deg - from) / (to - from))
            }
        }
    };
    let zenith = by_elevation([
        (-12.0, 0x0A1120),
        (-5.0, 0x1E3052),
        (2.0, 0x5D80AE),
        (12.0, 0x86ABD3),
        (30.0, 0x8DB4DE),
    ]);
    let horizon = by_elevation([
        (-12.0, 0x18233A),
        (-5.0, 0x6B5C6B),
        (2.0, 0xE9BE9A),
        (12.0, 0xE9DFD0),
        (30.0, 0xE2E9EC),
    ]);
    // A low sun lights the ground at a slant; an eye (or a camera) opens to it.
    let opening = 1.0 + 0.45 * (1.0 - elevation_deg.to_radians().sin().max(0.0));
    Mood {
        key_lux: 2_050.0 * sun * opening + 560.0 * moon,
        key_colour,
        fill_lux: 640.0 * day + 130.0 * (1.0 - day),
        fill_colour: tone(0x8FA8D6, 0xD6E4F5, day),
        ambient: 860.0 * day + 330.0 * (1.0 - day),
        ambient_colour: tone(0x869AC6, 0xE8EAF0, day),
        sky: SkyTones {
            zenith,
            horizon,
            glow: tone(0xFFF3DC, 0xFF9A4D, low),
            glow_strength: 0.55 * smooth(-6.0, 2.0),
            stars: 1.0 - smooth(-12.0, -6.0),
        },
        night: 1.0 - smooth(-6.0, 4.0),
    }
}

/// Spawns the two lights.
pub fn spawn_lights(mut commands: Commands) {
    commands.spawn((
        KeyLight,
        DirectionalLight {
            shadow_maps_enabled: true,
            shadow_depth_bias: 0.06,
            shadow_normal_bias: 1.4,
            ..default()
        },
        shadow_cascades(900.0, 700.0),
        Transform::default(),
    ));
    commands.spawn((
        FillLight,
        DirectionalLight { shadow_maps_enabled: false, ..default() },
        Transform::from_xyz(0.55, 0.8, 0.75).looking_at(Vec3::ZERO, Vec3::Y),
    ));
}

/// Shadows for an eye that looks at something `distance_m` away in a park of that radius.
///
/// From afar everything lies at about the same distance: one map serves it all. From near a second, finer one covers what
/// is looked at.
pub fn shadow_cascades(distance_m: f32, park_radius_m: f32) -> CascadeShadowConfig {
    // In steps, since every change of bounds makes shadow edges crawl.
    let distance = 1.25_f32.powf((distance_m.max(10.0).ln() / 1.25_f32.ln()).ceil());
    let far = distance + park_radius_m;
    let near = distance * 1.3 + 40.0;
    CascadeShadowConfigBuilder {
        num_cascades: if distance > park_radius_m { 1 } else { 2 },
        minimum_distance: 2.0,
        first_cascade_far_bound: near.min(far * 0.9),
        maximum_distance: far,
        overlap_proportion: 0.15,
    }
    .build()
}

/// Keeps the shadow maps on what can be seen of the park.
pub fn fit_shadows(
    model: Res<ParkModel>,
    eye: Res<Eye>,
    mut lights: Query<&mut CascadeShadowConfig, With<KeyLight>>,
) {
    let Some(scene) = &model.scene else { return };
    let [width, depth] = scene.scene.park.extent_m.map(|m| m as f32);
    let wanted = shadow_cascades(eye.now.distance, width.hypot(depth) / 2.0);
    for mut config in &mut lights {
        if config.bounds != wanted.bounds {
            *config = wanted.clone();
        }
    }
}

type Only<'w, 's, A, B> =
    Query<'w, 's, (&'static mut DirectionalLight, &'static mut Transform), (With<A>, Without<B>)>;

/// Sets all light when the sun has moved enough to see.
#[expect(clippy::too_many_arguments, reason = "every light of the scene is set here, in one place")]
pub fn follow_sun(
    model: Res<ParkModel>,
    mut clock: ResMut<SunClock>,
    looks: Option<Res<Looks>>,
    mut key: Only<KeyLight, FillLight>,
    mut fill: Only<FillLight, KeyLight>,
    mut ambient: ResMut<GlobalAmbientLight>,
    mut fog: Query<&mut DistanceFog>,
    (mut clays, mut materials): (ResMut<Assets<ClayMaterial>>, ResMut<Assets<StandardMaterial>>),
    mut skies: ResMut<Assets<SkyMaterial>>,
) {
    let (Some(scene), Some(looks)) = (&model.scene, looks) else { return };
    let now = clock.fixed.unwrap_or(model.now);
    let same = clock.shown.is_some_and(|shown| (now.0 - shown.0).abs() < STEP_MS);
    if same && clock.shown_scene == model.scene_version {
        return;
    }
    clock.shown = Some(now);
    clock.shown_scene = model.scene_version;
    let park = &scene.scene.park;
    let Some(sun) = sun_position(now, park.latitude_deg, park.longitude_deg, park.elevation_m) else {
        return;
    };
    let [east, north, up] = sun.direction().map(|v| v as f32);
    let towards_sun = Vec3::new(east, up, -north);
    let mood = mood(sun.elevation_deg as f32);
    // A sun on the horizon would cast shadows kilometres long: keep the key light a little above it.
    let towards_key = if sun.elevation_deg > -0.8 {
        Vec3::new(towards_sun.x, towards_sun.y.max(0.05), towards_sun.z).normalize()
    } else {
        MOON.normalize()
    };
    for (mut light, mut transform) in &mut key {
        light.illuminance = mood.key_lux;
        light.color = mood.key_colour.into();
        light.shadow_maps_enabled = mood.key_lux > 1.0;
        *transform = Transform::from_translation(towards_key).looking_at(Vec3::ZERO, Vec3::Y);
    }
    for (mut light, _) in &mut fill {
        light.illuminance = mood.fill_lux;
        light.color = mood.fill_colour.into();
    }
    ambient.brightness = mood.ambient;
    ambient.color = mood.ambient_colour.into();
    for mut fog in &mut fog {
        fog.color = mood.sky.horizon.into();
    }
    let rim = rim_m(&scene.scene);
    for (_, sky) in skies.iter_mut() {
        sky.set(&mood.sky, towards_sun, rim);
    }
    if let Some(mut land) = clays.get_mut(&looks.land) {
        land.set_rim(rim);
    }
    let warm: LinearRgba = hex(0xFFCF8F).into();
    if let Some(mut glass) = clays.get_mut(&looks.lit_glass) {
        glass.set_glow(warm * (mood.night * 1.05));
    }
    if let Some(mut lamp) = clays.get_mut(&looks.lamp) {
        lamp.set_glow(warm * (mood.night * 2.0));
    }
    if let Some(mut pool) = materials.get_mut(&looks.light_pool) {
        pool.base_color = (warm * (mood.night * 0.34)).into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn light_changes_smoothly_from_night_to_day() {
        let mut before = mood(-30.0);
        for step in -300..=900 {
            let now = mood(step as f32 / 10.0);
            assert!((now.key_lux - before.key_lux).abs() < 60.0, "jump at {step}");
            assert!((now.ambient - before.ambient).abs() < 20.0, "jump at {step}");
            before = now;
        }
    }

    #[test]
    fn shadows_take_one_map_from_afar_and_two_from_near_and_reach_across_the_park() {
        assert_eq!(shadow_cascades(2_000.0, 700.0).bounds.len(), 1);
        assert_eq!(shadow_cascades(80.0, 700.0).bounds.len(), 2);
        for distance in [6.0, 80.0, 699.0, 900.0, 3_000.0] {
            let bounds = shadow_cascades(distance, 700.0).bounds;
            assert!(*bounds.last().unwrap() >= distance + 700.0, "{distance}: {bounds:?}");
            assert!(bounds.windows(2).all(|b| b[0] < b[1]), "{distance}: {bounds:?}");
        }
    }

    #[test]
    fn night_is_dark_but_legible_and_noon_is_bright() {
        let (night, noon) = (mood(-40.0), mood(70.0));
        assert!(night.key_lux > 100.0 && night.ambient > 50.0 && night.night == 1.0);
        assert!(noon.key_lux > 3.0 * night.key_lux && noon.night == 0.0);
    }
}
