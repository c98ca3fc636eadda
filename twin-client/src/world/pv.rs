//! PV fields: rows of modules at their true tilt and azimuth, clipped to the area's outline, merged into one mesh an area.

use super::{
    geometry::{MeshBuilder, at},
    palette as tone,
};
use bevy::{
    asset::RenderAssetUsages,
    image::{ImageAddressMode, ImageFilterMode, ImageSampler, ImageSamplerDescriptor},
    prelude::*,
    render::render_resource::{Extent3d, TextureDimension, TextureFormat},
};
use shared::scene::PvArea;

/// A module's long side (up the slope) and short side (along the row), metres.
const MODULE_LONG_M: f64 = 2.28;
const MODULE_SHORT_M: f64 = 1.13;
const EDGE_CLEARANCE_M: f64 = 0.6;

/// The glass of an area (its texture repeats once a module), and its posts and edges.
pub struct PvMeshes {
    pub modules: Mesh,
    pub frame: Mesh,
    pub module_count: u32,
}

/// Lays rows over an area; `None` where not even one module fits.
pub fn pv_meshes(area: &PvArea) -> Option<PvMeshes> {
    let layout = Layout::new(area);
    let mut modules = MeshBuilder::default();
    let mut frame = MeshBuilder::default();
    let mut count = 0;
    for strip in layout.strips() {
        count += strip.modules * layout.stacked;
        layout.table(&strip, &mut modules, &mut frame);
    }
    (!modules.is_empty()).then(|| PvMeshes {
        modules: modules.build(),
        frame: frame.build(),
        module_count: count,
    })
}

/// The area in the rows' own frame: `u` along a row, `v` the way the modules face, horizontally.
struct Layout<'a> {
    area: &'a PvArea,
    u: [f64; 2],
    v: [f64; 2],
    tilt: f64,
    /// Modules stacked up the slope.
    stacked: u32,
    /// Height of the low edge above the mounting plane.
    clearance_m: f64,
    outline: Vec<[f64; 2]>,
}

/// One uninterrupted run of modules.
struct Strip {
    /// Low edge of the modules in `v`.
    front: f64,
    start: f64,
    modules: u32,
}

impl<'a> Layout<'a> {
    fn new(area: &'a PvArea) -> Self {
        let azimuth = area.azimuth_deg.to_radians();
        let v = [azimuth.sin(), azimuth.cos()];
        let u = [v[1], -v[0]];
        let outline =
            area.outline.iter().map(|p| [p[0] * u[0] + p[1] * u[1], p[0] * v[0] + p[1] * v[1]]).collect();
        Self {
            area,
            u,
            v,
            tilt: area.tilt_deg.to_radians(),
            stacked: if area.carport { 2 } else { 1 },
            clearance_m: if area.carport { 0.0 } else { 0.35 },
            outline,
        }
    }

    fn slope_m(&self) -> f64 {
        MODULE_LONG_M * f64::from(self.stacked)
    }

    /// Depth of a row on the ground and the distance from row to row: wide enough not to shade at a low winter sun.
    fn pitch(&self) -> (f64, f64) {
        let depth = self.slope_m() * self.tilt.cos();
        let gap = if self.area.carport { 0.15 } else { 0.45 + 1.1 * self.slope_m() * self.tilt.sin() };
        (depth, depth + gap)
    }

    fn strips(&self) -> Vec<Strip> {
        let (depth, pitch) = self.pitch();
        let low = self.outline.iter().map(|p| p[1]).fold(f64::MAX, f64::min) + EDGE_CLEARANCE_M;
        let high = self.outline.iter().map(|p| p[1]).fold(f64::MIN, f64::max) - EDGE_CLEARANCE_M;
        let mut strips = Vec::new();
        let mut back = low;
        while back + depth <= high {
            let front = back + depth;
            let spans = intersect(&self.spans_at(back), &self.spans_at(front));
            for (start, end) in intersect(&spans, &self.spans_at((back + front) / 2.0)) {
                let modules = ((end - start - 2.0 * EDGE_CLEARANCE_M) / MODULE_SHORT_M).floor();
                if modules >= 2.0 {
                    let used = modules * MODULE_SHORT_M;
                    strips.push(Strip { front, start: (start + end - used) / 2.0, modules: modules as u32 });
                }
            }
            back += pitch;
        }
        strips
    }

    /// Where a line of constant `v` lies inside the outline, as spans of `u`.
    fn spans_at(&self, v: f64) -> Vec<(f64, f64)> {
        let n = self.outline.len();
        let mut cuts: Vec<f64> = (0..n)
            .filter_map(|i| {
                let (a, b) = (self.outline[i], self.outline[(i + 1) % n]);
                ((a[1] > v) != (b[1] > v)).then(|| a[0] + (b[0] - a[0]) * (v - a[1]) / (b[1] - a[1]))
            })
            .collect();
        cuts.sort_by(f64::total_cmp);
        cuts.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
    }

    /// A place in the rows' frame as a world point.
    fn place(&self, u: f64, v: f64, up: f64) -> Vec3 {
        at(u * self.u[0] + v * self.v[0], u * self.u[1] + v * self.v[1], up)
    }

    fn table(&self, strip: &Strip, modules: &mut MeshBuilder, frame: &mut MeshBuilder) {
        let (depth, _) = self.pitch();
        let low = self.area.base_m + self.clearance_m;
        let high = low + self.slope_m() * self.tilt.sin();
        let (start, end) = (strip.start, strip.start + f64::from(strip.modules) * MODULE_SHORT_M);
        let (front, back) = (strip.front, strip.front - depth);
        // Seen from in front (looking against `v`), a growing `u` runs to the left.
        let corner = |u: f64, v: f64, up: f64| self.place(u, v, up);
        let top = [
            corner(end, front, low),
            corner(start, front, low),
            corner(start, back, high),
            corner(end, back, high),
        ];
        let facing = (top[1] - top[0]).cross(top[2] - top[0]);
        let top = if facing.y < 0.0 { [top[1], top[0], top[3], top[2]] } else { top };
        let (across, up) = (strip.modules as f32, self.stacked as f32);
        modules.quad_uv(
            top,
            [Vec2::new(0.0, up), Vec2::new(across, up), Vec2::new(across, 0.0), Vec2::ZERO],
            [LinearRgba::WHITE; 4],
        );
        let thick = Vec3::Y * 0.06;
        let under = [top[3] - thick, top[2] - thick, top[1] - thick, top[0] - thick];
        frame.quad(under, tone::STEEL_DARK.linear());
        for i in 0..4 {
            let (a, b) = (top[i], top[(i + 1) % 4]);
            frame.quad([a - thick, b - thick, b, a], tone::PV_FRAME.linear());
        }
        self.supports(strip, low, high, frame);
    }

    fn supports(&self, strip: &Strip, low: f64, high: f64, frame: &mut MeshBuilder) {
        let (depth, _) = self.pitch();
        let length = f64::from(strip.modules) * MODULE_SHORT_M;
        if self.area.carport {
            let posts = (length / 7.5).ceil().max(1.0) as u32;
            for i in 0..=posts {
                let u = strip.start + 0.3 + (length - 0.6) * f64::from(i) / f64::from(posts);
                let top = (low + high) / 2.0;
                let foot = self.place(u, strip.front - depth / 2.0, 0.0);
                frame.block(foot, Vec3::new(0.26, top as f32 - 0.1, 0.26), tone::STEEL.linear());
            }
        } else if self.area.base_m < 0.5 {
            for i in 0..=(length / 6.0) as u32 {
                let u = strip.start + 6.0 * f64::from(i);
                let foot = self.place(u, strip.front - depth * 0.75, 0.0);
                frame.block(foot, Vec3::new(0.12, high as f32 - 0.15, 0.12), tone::STEEL.linear());
            }
        }
    }
}

fn intersect(a: &[(f64, f64)], b: &[(f64, f64)]) -> Vec<(f64, f64)> {
    a.iter()
        .flat_map(|&(a0, a1)| b.iter().map(move |&(b0, b1)| (a0.max(b0), a1.min(b1))))
        .filter(|(from, to)| to > from)
        .collect()
}

/// One module's face: cells, bus gaps and frame, with mip levels so that far rows shimmer not.
pub fn module_texture() -> Image {
    let (width, height) = (64_usize, 128_usize);
    let cell = tone::PV_CELL.linear();
    let line = tone::hex(0x3A5074).into();
    let frame = tone::PV_FRAME.linear();
    let base: Vec<LinearRgba> = (0..height)
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .map(|(x, y)| {
            let edge = x < 2 || x >= width - 2 || y < 2 || y >= height - 2;
            let grid = (x - x.min(2)).is_multiple_of(10) || (y - y.min(2)).is_multiple_of(10);
            let middle = y.abs_diff(height / 2) < 2;
            if edge {
                frame
            } else if grid || middle {
                line
            } else {
                cell
            }
        })
        .collect();
    mipmapped(width, height, base)
}

/// An sRGB image with all its mip levels, averaged in linear light.
fn mipmapped(width: usize, height: usize, base: Vec<LinearRgba>) -> Image {
    let mut data = Vec::new();
    let (mut w, mut h, mut level, mut levels) = (width, height, base, 0);
    loop {
        for colour in &level {
            data.extend(Srgba::from(*colour).to_u8_array());
        }
        levels += 1;
        if w == 1 && h == 1 {
            break;
        }
        let (half_w, half_h) = ((w / 2).max(1), (h / 2).max(1));
        level = (0..half_h)
            .flat_map(|y| (0..half_w).map(move |x| (x, y)))
            .map(|(x, y)| {
                let texel = |dx: usize, dy: usize| {
                    level[(y * 2 + dy).min(h - 1) * w + (x * 2 + dx).min(w - 1)].to_vec4()
                };
                LinearRgba::from_vec4((texel(0, 0) + texel(1, 0) + texel(0, 1) + texel(1, 1)) / 4.0)
            })
            .collect();
        (w, h) = (half_w, half_h);
    }
    let size = Extent3d { width: width as u32, height: height as u32, depth_or_array_layers: 1 };
    let mut image = Image::new_uninit(
        size,
        TextureDimension::D2,
        TextureFormat::Rgba8UnormSrgb,
        RenderAssetUsages::RENDER_WORLD,
    );
    image.texture_descriptor.mip_level_count = levels;
    image.data = Some(data);
    image.sampler = ImageSampler::Descriptor(ImageSamplerDescriptor {
        address_mode_u: ImageAddressMode::Repeat,
        address_mode_v: ImageAddressMode::Repeat,
        mag_filter: ImageFilterMode::Linear,
        min_filter: ImageFilterMode::Linear,
        mipmap_filter: ImageFilterMode::Linear,
        anisotropy_clamp: 8,
        ..default()
    });
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(tilt_deg: f64, azimuth_deg: f64, carport: bool) -> PvArea {
        PvArea {
            device: "pv-1".parse().unwrap(),
            outline: vec![[0.0, 0.0], [60.0, 0.0], [60.0, 30.0], [0.0, 30.0]],
            base_m: 10.0,
            tilt_deg,
            azimuth_deg,
            carport,
        }
    }

    #[test]
    fn modules_fill_most_of_a_flat_roof_and_fewer_when_steep() {
        let count = |tilt| pv_meshes(&area(tilt, 180.0, false)).unwrap().module_count;
        let cover = f64::from(count(8.0)) * MODULE_LONG_M * MODULE_SHORT_M / (60.0 * 30.0);
        assert!((0.5..0.9).contains(&cover), "{cover}");
        assert!(count(30.0) < count(8.0));
    }

    #[test]
    fn modules_face_up_whatever_way_they_look() {
        for azimuth in [90.0, 135.0, 180.0, 225.0, 270.0, 0.0] {
            for carport in [false, true] {
                let meshes = pv_meshes(&area(12.0, azimuth, carport)).unwrap();
                let Some(bevy::mesh::VertexAttributeValues::Float32x3(normals)) =
                    meshes.modules.attribute(Mesh::ATTRIBUTE_NORMAL)
                else {
                    panic!("no normals");
                };
                let facing = super::super::geometry::heading(azimuth) * Vec3::NEG_Z;
                for n in normals {
                    let n = Vec3::from_array(*n);
                    assert!((n.y - 12_f32.to_radians().cos()).abs() < 1e-3, "{n}");
                    assert!(n.dot(facing) > 0.1, "azimuth {azimuth}: {n}");
                }
            }
        }
    }

    #[test]
    fn an_area_too_small_for_modules_has_none() {
        let tiny = PvArea { outline: vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], ..area(10.0, 180.0, false) };
        assert!(pv_meshes(&tiny).is_none());
    }
}
