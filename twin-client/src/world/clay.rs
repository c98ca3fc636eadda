//! The material most of the park is made of: vertex colours under sun, sky and bounced light, with an optional sheen.

use bevy::{
    asset::{load_internal_asset, uuid_handle},
    mesh::MeshVertexBufferLayoutRef,
    pbr::{Material, MaterialPipeline, MaterialPipelineKey, MaterialPlugin},
    prelude::*,
    reflect::TypePath,
    render::render_resource::{AsBindGroup, RenderPipelineDescriptor, SpecializedMeshPipelineError},
    shader::{Shader, ShaderRef},
};

const SHADER: Handle<Shader> = uuid_handle!("b7c1f0f4-2c0e-4f55-9a63-1d1d5f6f7b33");

#[derive(Asset, TypePath, AsBindGroup, Clone)]
#[bind_group_data(ClayKey)]
pub struct ClayMaterial {
    #[uniform(0)]
    tint: Vec4,
    #[uniform(0)]
    glow: Vec4,
    #[uniform(0)]
    sheen: Vec4,
    #[texture(1)]
    #[sampler(2)]
    texture: Option<Handle<Image>>,
}

/// What makes another pipeline.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClayKey {
    textured: bool,
}

impl From<&ClayMaterial> for ClayKey {
    fn from(material: &ClayMaterial) -> Self {
        Self { textured: material.texture.is_some() }
    }
}

impl ClayMaterial {
    /// Plain matt clay of a colour that multiplies the vertices'.
    pub fn matt(tint: LinearRgba) -> Self {
        Self { tint: tint.to_vec4(), glow: Vec4::ZERO, sheen: Vec4::ZERO, texture: None }
    }

    /// Light of its own, added to what falls on it.
    #[must_use]
    pub fn glowing(mut self, glow: LinearRgba) -> Self {
        self.set_glow(glow);
        self
    }

    pub fn set_glow(&mut self, glow: LinearRgba) {
        self.glow = glow.to_vec3().extend(0.0);
    }

    /// `mirror` is how much of the sky a grazing look sees, `highlight` the sun's own, `sharpness` how small that is.
    #[must_use]
    pub fn shining(mut self, mirror: f32, highlight: f32, sharpness: f32) -> Self {
        self.sheen = Vec4::new(mirror, highlight, sharpness, 0.0);
        self
    }

    /// Land around the park: uneven in tone, and gone in haze at `rim_m` from the middle.
    #[must_use]
    pub fn hazy_towards(mut self, rim_m: f32) -> Self {
        self.set_rim(rim_m);
        self
    }

    pub fn set_rim(&mut self, rim_m: f32) {
        self.sheen.w = rim_m;
    }

    /// Keeps only light and dark of its colours, times `brightness`.
    #[must_use]
    pub fn without_colour(mut self, brightness: f32) -> Self {
        self.tint *= Vec4::new(brightness, brightness, brightness, 0.0);
        self
    }

    #[must_use]
    pub fn textured(mut self, texture: Handle<Image>) -> Self {
        self.texture = Some(texture);
        self
    }
}

impl Material for ClayMaterial {
    fn fragment_shader() -> ShaderRef {
        SHADER.into()
    }

    fn specialize(
        _pipeline: &MaterialPipeline,
        descriptor: &mut RenderPipelineDescriptor,
        _layout: &MeshVertexBufferLayoutRef,
        key: MaterialPipelineKey<Self>,
    ) -> Result<(), SpecializedMeshPipelineError> {
        if key.bind_group_data.textured
            && let Some(fragment) = &mut descriptor.fragment
        {
            fragment.shader_defs.push("CLAY_TEXTURE".into());
        }
        Ok(())
    }
}

pub struct ClayPlugin;

impl Plugin for ClayPlugin {
    fn build(&self, app: &mut App) {
        load_internal_asset!(app, SHADER, "../../../assets/shaders/clay.wgsl", Shader::from_wgsl);
        app.add_plugins(MaterialPlugin::<ClayMaterial>::default());
    }
}
