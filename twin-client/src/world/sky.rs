//! The sky dome: drawn behind everything, coloured by where the sun stands, beginning where the land's rim is seen.

use bevy::{
    asset::{load_internal_asset, uuid_handle},
    camera::visibility::NoFrustumCulling,
    pbr::{Material, MaterialPlugin},
    prelude::*,
    reflect::TypePath,
    render::render_resource::AsBindGroup,
    shader::{Shader, ShaderRef},
};

const SHADER: Handle<Shader> = uuid_handle!("0e6a6c5d-3f0f-4f0e-8a9a-6b7f3f9c2d22");

/// Colours of the sky at a moment, linear.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SkyTones {
    pub zenith: LinearRgba,
    pub horizon: LinearRgba,
    pub glow: LinearRgba,
    pub glow_strength: f32,
    pub stars: f32,
}

#[derive(Asset, TypePath, AsBindGroup, Clone, Default)]
pub struct SkyMaterial {
    #[uniform(0)]
    zenith: Vec4,
    #[uniform(0)]
    horizon: Vec4,
    #[uniform(0)]
    glow: Vec4,
    #[uniform(0)]
    sun: Vec4,
    #[uniform(0)]
    land: Vec4,
}

impl SkyMaterial {
    /// `rim_m` is where the land ends and the sky begins.
    pub fn set(&mut self, tones: &SkyTones, towards_sun: Vec3, rim_m: f32) {
        self.zenith = tones.zenith.to_vec4();
        self.horizon = tones.horizon.to_vec4();
        self.glow = tones.glow.to_vec3().extend(tones.glow_strength);
        self.sun = towards_sun.extend(tones.stars);
        self.land = Vec4::new(rim_m, 0.0, 0.0, 0.0);
    }
}

impl Material for SkyMaterial {
    fn vertex_shader() -> ShaderRef {
        SHADER.into()
    }
    fn fragment_shader() -> ShaderRef {
        SHADER.into()
    }
    fn enable_prepass() -> bool {
        false
    }
    fn enable_shadows() -> bool {
        false
    }
    fn specialize(
        _pipeline: &bevy::pbr::MaterialPipeline,
        descriptor: &mut bevy::render::render_resource::RenderPipelineDescriptor,
        _layout: &bevy::mesh::MeshVertexBufferLayoutRef,
        _key: bevy::pbr::MaterialPipelineKey<Self>,
    ) -> Result<(), bevy::render::render_resource::SpecializedMeshPipelineError> {
        // Seen from inside.
        descriptor.primitive.cull_mode = None;
        Ok(())
    }
}

pub struct SkyPlugin;

impl Plugin for SkyPlugin {
    fn build(&self, app: &mut App) {
        load_internal_asset!(app, SHADER, "../../../assets/shaders/sky.wgsl", Shader::from_wgsl);
        app.add_plugins(MaterialPlugin::<SkyMaterial>::default()).add_systems(Startup, spawn);
    }
}

fn spawn(mut commands: Commands, mut meshes: ResMut<Assets<Mesh>>, mut skies: ResMut<Assets<SkyMaterial>>) {
    commands.spawn((
        Mesh3d(meshes.add(Sphere::new(1.0).mesh().uv(48, 24))),
        MeshMaterial3d(skies.add(SkyMaterial::default())),
        NoFrustumCulling,
        bevy::light::NotShadowCaster,
        bevy::light::NotShadowReceiver,
    ));
}
