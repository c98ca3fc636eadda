//! Building meshes out of quads, prisms, ribbons and blobs, with a colour a vertex.
//!
//! World axes: +X east, +Y up, −Z north; [`at`] turns the scene's east/north/up metres into them.

use bevy::{
    asset::RenderAssetUsages,
    mesh::{Indices, Mesh, PrimitiveTopology},
    prelude::*,
};
use std::f32::consts::TAU;

/// A place of the scene (metres east, north, up) in world axes.
pub fn at(east_m: f64, north_m: f64, up_m: f64) -> Vec3 {
    Vec3::new(east_m as f32, up_m as f32, -north_m as f32)
}

/// Rotation that turns −Z (north) towards a compass heading.
pub fn heading(degrees_clockwise_from_north: f64) -> Quat {
    Quat::from_rotation_y(-(degrees_clockwise_from_north as f32).to_radians())
}

/// Collects triangles; colours are linear and multiply the material's.
#[derive(Default)]
pub struct MeshBuilder {
    positions: Vec<[f32; 3]>,
    normals: Vec<[f32; 3]>,
    uvs: Vec<[f32; 2]>,
    colours: Vec<[f32; 4]>,
    indices: Vec<u32>,
    /// Applied to everything added.
    pub transform: Transform,
}

impl MeshBuilder {
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    pub fn triangle_count(&self) -> usize {
        self.indices.len() / 3
    }

    fn vertex(&mut self, position: Vec3, normal: Vec3, uv: Vec2, colour: LinearRgba) -> u32 {
        let index = self.positions.len() as u32;
        self.positions.push(self.transform.transform_point(position).to_array());
        self.normals.push((self.transform.rotation * normal).normalize_or(Vec3::Y).to_array());
        self.uvs.push(uv.to_array());
        self.colours.push(colour.to_f32_array());
        index
    }

    /// A triangle by three existing vertices.
    fn triangle(&mut self, a: u32, b: u32, c: u32) {
        self.indices.extend([a, b, c]);
    }

    /// A flat quad, corners counter-clockwise seen from its front, with texture coordinates.
    pub fn quad_uv(&mut self, corners: [Vec3; 4], uvs: [Vec2; 4], colours: [LinearRgba; 4]) {
        let normal = (corners[1] - corners[0]).cross(corners[2] - corners[0]).normalize_or(Vec3::Y);
        let first = self.positions.len() as u32;
        for i in 0..4 {
            self.vertex(corners[i], normal, uvs[i], colours[i]);
        }
        self.triangle(first, first + 1, first + 2);
        self.triangle(first, first + 2, first + 3);
    }

    pub fn quad(&mut self, corners: [Vec3; 4], colour: LinearRgba) {
        self.quad_uv(corners, [Vec2::ZERO, Vec2::X, Vec2::ONE, Vec2::Y], [colour; 4]);
    }

    /// A quad whose lower edge (the first two corners) has another colour: ambient shade at the foot of a wall.
    pub fn quad_shaded(&mut self, corners: [Vec3; 4], foot: LinearRgba, head: LinearRgba) {
        self.quad_uv(corners, [Vec2::ZERO, Vec2::X, Vec2::ONE, Vec2::Y], [foot, foot, head, head]);
    }

    /// An axis-aligned box from `min` to `max`.
    pub fn cuboid(&mut self, min: Vec3, max: Vec3, colour: LinearRgba) {
        self.cuboid_faces(min, max, colour, true);
    }

    /// A box; its underside is left out where nothing can see it.
    pub fn cuboid_faces(&mut self, min: Vec3, max: Vec3, colour: LinearRgba, underside: bool) {
        let p = |x: f32, y: f32, z: f32| {
            Vec3::new(
                if x > 0.5 { max.x } else { min.x },
                if y > 0.5 { max.y } else { min.y },
                if z > 0.5 { max.z } else { min.z },
            )
        };
        let (o, i) = (0.0, 1.0);
        self.quad([p(o, o, i), p(i, o, i), p(i, i, i), p(o, i, i)], colour);
        self.quad([p(i, o, o), p(o, o, o), p(o, i, o), p(i, i, o)], colour);
        self.quad([p(i, o, i), p(i, o, o), p(i, i, o), p(i, i, i)], colour);
        self.quad([p(o, o, o), p(o, o, i), p(o, i, i), p(o, i, o)], colour);
        self.quad([p(o, i, i), p(i, i, i), p(i, i, o), p(o, i, o)], colour);
        if underside {
            self.quad([p(o, o, o), p(i, o, o), p(i, o, i), p(o, o, i)], colour);
        }
    }

    /// A box standing on the ground, centred on `foot`.
    pub fn block(&mut self, foot: Vec3, size: Vec3, colour: LinearRgba) {
        let half = Vec3::new(size.x / 2.0, 0.0, size.z / 2.0);
        self.cuboid_faces(foot - half, foot + half + Vec3::Y * size.y, colour, foot.y > 0.3);
    }

    /// An upright cylinder or cone frustum with a closed top.
    pub fn frustum(
        &mut self,
        foot: Vec3,
        height: f32,
        foot_radius: f32,
        top_radius: f32,
        sides: u32,
        colour: LinearRgba,
    ) {
        let slope = (foot_radius - top_radius) / height.max(1e-3);
        let first = self.positions.len() as u32;
        for i in 0..=sides {
            let angle = TAU * i as f32 / sides as f32;
            let out = Vec3::new(angle.cos(), 0.0, angle.sin());
            let normal = Vec3::new(out.x, slope, out.z);
            self.vertex(foot + out * foot_radius, normal, Vec2::ZERO, colour);
            self.vertex(foot + out * top_radius + Vec3::Y * height, normal, Vec2::ZERO, colour);
        }
        for i in 0..sides {
            let a = first + 2 * i;
            self.triangle(a, a + 1, a + 2);
            self.triangle(a + 2, a + 1, a + 3);
        }
        if top_radius > 1e-3 {
            let centre = self.vertex(foot + Vec3::Y * height, Vec3::Y, Vec2::ZERO, colour);
            let rim = self.positions.len() as u32;
            for i in 0..=sides {
                let angle = TAU * i as f32 / sides as f32;
                let out = Vec3::new(angle.cos(), 0.0, angle.sin());
                self.vertex(foot + out * top_radius + Vec3::Y * height, Vec3::Y, Vec2::ZERO, colour);
            }
            for i in 0..sides {
                self.triangle(centre, rim + i + 1, rim + i);
            }
        }
    }

    /// A lumpy ellipsoid: tree crowns, plume puffs. `lump` is how far the surface wanders, 0 to 1.
    pub fn blob(&mut self, centre: Vec3, radii: Vec3, lump: f32, dark: LinearRgba, light: LinearRgba) {
        let (points, faces) = icosphere();
        let first = self.positions.len() as u32;
        for (i, p) in points.iter().enumerate() {
            // A fixed wobble by vertex number keeps every tree of a kind one shared mesh.
            let wobble = 1.0 + lump * ((i as f32 * 2.399).sin() * 0.6 + (i as f32 * 7.13).cos() * 0.4);
            let shade = (p.y * 0.5 + 0.5).clamp(0.0, 1.0);
            let colour = LinearRgba::from_vec4(dark.to_vec4().lerp(light.to_vec4(), shade));
            self.vertex(centre + *p * radii * wobble, *p / radii, Vec2::ZERO, colour);
        }
        for face in faces {
            self.triangle(first + face[0], first + face[1], first + face[2]);
        }
    }

    /// A flat polygon facing up at height `y`; `outline` counter-clockwise in east/north metres.
    pub fn polygon(&mut self, outline: &[[f64; 2]], y: f32, colour: LinearRgba) {
        let first = self.positions.len() as u32;
        for [east, north] in outline {
            let p = at(*east, *north, f64::from(y));
            self.vertex(p, Vec3::Y, Vec2::new(p.x, p.z), colour);
        }
        for [a, b, c] in triangulate(outline) {
            self.triangle(first + a as u32, first + b as u32, first + c as u32);
        }
    }

    /// A flat band along a polyline with mitred corners, facing up.
    pub fn ribbon(&mut self, line: &[[f64; 2]], width: f32, y: f32, colour: LinearRgba) {
        let edges = offset_both_sides(line, width / 2.0);
        let first = self.positions.len() as u32;
        for (left, right) in &edges {
            for p in [left, right] {
                self.vertex(Vec3::new(p.x, y, p.y), Vec3::Y, *p, colour);
            }
        }
        for i in 0..edges.len().saturating_sub(1) as u32 {
            let a = first + 2 * i;
            self.triangle(a, a + 1, a + 2);
            self.triangle(a + 2, a + 1, a + 3);
        }
    }

    pub fn build(self) -> Mesh {
        Mesh::new(PrimitiveTopology::TriangleList, RenderAssetUsages::RENDER_WORLD)
            .with_inserted_attribute(Mesh::ATTRIBUTE_POSITION, self.positions)
            .with_inserted_attribute(Mesh::ATTRIBUTE_NORMAL, self.normals)
            .with_inserted_attribute(Mesh::ATTRIBUTE_UV_0, self.uvs)
            .with_inserted_attribute(Mesh::ATTRIBUTE_COLOR, self.colours)
            .with_inserted_indices(Indices::U32(self.indices))
    }
}

/// Left and right edge points (world x, z) of a polyline, mitred, with the mitre bounded at sharp corners.
pub fn offset_both_sides(line: &[[f64; 2]], half_width: f32) -> Vec<(Vec2, Vec2)> {
    let points: Vec<Vec2> = line.iter().map(|[e, n]| Vec2::new(*e as f32, -*n as f32)).collect();
    (0..points.len())
        .map(|i| {
            let before = (i > 0).then(|| (points[i] - points[i - 1]).normalize_or_zero());
            let after = (i + 1 < points.len()).then(|| (points[i + 1] - points[i]).normalize_or_zero());
            let direction = (before.or(after).unwrap_or(Vec2::X) + after.or(before).unwrap_or(Vec2::X))
                .normalize_or(Vec2::X);
            let side = direction.perp();
            let stretch = match before {
                Some(b) => 1.0 / side.dot(b.perp()).abs().max(0.4),
                None => 1.0,
            };
            let offset = side * half_width * stretch;
            // Z points south, so the perpendicular of world (x, z) is to the right when seen from above.
            (points[i] - offset, points[i] + offset)
        })
        .collect()
}

/// Twice the signed area of an outline, positive when counter-clockwise.
pub fn signed_area2(outline: &[[f64; 2]]) -> f64 {
    let n = outline.len();
    (0..n)
        .map(|i| {
            let (a, b) = (outline[i], outline[(i + 1) % n]);
            a[0] * b[1] - b[0] * a[1]
        })
        .sum()
}

/// Ear clipping of a simple outline, either winding; triangles come out counter-clockwise.
///
/// Quadratic, which suits footprints of tens of corners. An outline that crosses itself gives fewer triangles, not a hang.
pub fn triangulate(outline: &[[f64; 2]]) -> Vec<[usize; 3]> {
    let mut rest: Vec<usize> = (0..outline.len()).collect();
    if signed_area2(outline) < 0.0 {
        rest.reverse();
    }
    let cross = |a: usize, b: usize, c: usize| {
        let (a, b, c) = (outline[a], outline[b], outline[c]);
        (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    };
    let mut triangles = Vec::with_capacity(outline.len().saturating_sub(2));
    while rest.len() > 3 {
        let n = rest.len();
        let ear = (0..n).find(|&i| {
            let (a, b, c) = (rest[(i + n - 1) % n], rest[i], rest[(i + 1) % n]);
            cross(a, b, c) > 0.0
                && rest
                    .iter()
                    .filter(|&&p| p != a && p != b && p != c)
                    .all(|&p| cross(a, b, p) < 0.0 || cross(b, c, p) < 0.0 || cross(c, a, p) < 0.0)
        });
        // Collinear corners make no ear; drop one and go on.
        let i = ear.unwrap_or_else(|| {
            (0..n)
                .min_by(|&i, &j| {
                    let flat = |i: usize| cross(rest[(i + n - 1) % n], rest[i], rest[(i + 1) % n]).abs();
                    flat(i).total_cmp(&flat(j))
                })
                .unwrap_or(0)
        });
        if ear.is_some() {
            triangles.push([rest[(i + n - 1) % n], rest[i], rest[(i + 1) % n]]);
        }
        rest.remove(i);
    }
    if let [a, b, c] = rest[..]
        && cross(a, b, c) > 0.0
    {
        triangles.push([a, b, c]);
    }
    triangles
}

/// Whether a point lies inside an outline (even–odd rule).
pub fn contains(outline: &[[f64; 2]], [x, y]: [f64; 2]) -> bool {
    let n = outline.len();
    (0..n).fold(false, |inside, i| {
        let (a, b) = (outline[i], outline[(i + 1) % n]);
        let crosses = (a[1] > y) != (b[1] > y) && x < (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0];
        inside != crosses
    })
}

/// Unit icosphere of 80 triangles.
fn icosphere() -> (Vec<Vec3>, Vec<[u32; 3]>) {
    let t = (1.0 + 5.0_f32.sqrt()) / 2.0;
    let mut points: Vec<Vec3> = [
        [-1.0, t, 0.0],
        [1.0, t, 0.0],
        [-1.0, -t, 0.0],
        [1.0, -t, 0.0],
        [0.0, -1.0, t],
        [0.0, 1.0, t],
        [0.0, -1.0, -t],
        [0.0, 1.0, -t],
        [t, 0.0, -1.0],
        [t, 0.0, 1.0],
        [-t, 0.0, -1.0],
        [-t, 0.0, 1.0],
    ]
    .map(|p| Vec3::from_array(p).normalize())
    .to_vec();
    let faces: [[u32; 3]; 20] = [
        [0, 11, 5],
        [0, 5, 1],
        [0, 1, 7],
        [0, 7, 10],
        [0, 10, 11],
        [1, 5, 9],
        [5, 11, 4],
        [11, 10, 2],
        [10, 7, 6],
        [7, 1, 8],
        [3, 9, 4],
        [3, 4, 2],
        [3, 2, 6],
        [3, 6, 8],
        [3, 8, 9],
        [4, 9, 5],
        [2, 4, 11],
        [6, 2, 10],
        [8, 6, 7],
        [9, 8, 1],
    ];
    let mut middles = std::collections::HashMap::new();
    let mut fine = Vec::with_capacity(80);
    for [a, b, c] in faces {
        let mut middle = |i: u32, j: u32| {
            *middles.entry((i.min(j), i.max(j))).or_insert_with(|| {
                points.push(((points[i as usize] + points[j as usize]) / 2.0).normalize());
                points.len() as u32 - 1
            })
        };
        let (ab, bc, ca) = (middle(a, b), middle(b, c), middle(c, a));
        fine.extend([[a, ab, ca], [b, bc, ab], [c, ca, bc], [ab, bc, ca]]);
    }
    (points, fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(outline: &[[f64; 2]]) -> f64 {
        triangulate(outline)
            .iter()
            .map(|t| signed_area2(&t.map(|i| outline[i])) / 2.0)
            .inspect(|a| assert!(*a > 0.0))
            .sum()
    }

    #[test]
    fn triangles_cover_the_outline_whatever_its_winding_or_dents() {
        let square = vec![[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]];
        let l_shape = vec![[0.0, 0.0], [4.0, 0.0], [4.0, 2.0], [2.0, 2.0], [2.0, 4.0], [0.0, 4.0]];
        let comb = vec![
            [0.0, 0.0],
            [5.0, 0.0],
            [5.0, 3.0],
            [4.0, 3.0],
            [4.0, 1.0],
            [3.0, 1.0],
            [3.0, 3.0],
            [0.0, 3.0],
        ];
        let with_collinear = vec![[0.0, 0.0], [2.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]];
        for (outline, expected) in [(square, 16.0), (l_shape, 12.0), (comb, 13.0), (with_collinear, 16.0)] {
            assert!((area(&outline) - expected).abs() < 1e-9);
            let clockwise: Vec<_> = outline.into_iter().rev().collect();
            assert!((area(&clockwise) - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn north_is_minus_z_and_a_heading_turns_clockwise() {
        assert_eq!(at(1.0, 2.0, 3.0), Vec3::new(1.0, 3.0, -2.0));
        let east = heading(90.0) * Vec3::NEG_Z;
        assert!((east - Vec3::X).length() < 1e-6, "{east}");
    }

    #[test]
    fn flat_things_face_up_and_boxes_face_outwards() {
        let mut b = MeshBuilder::default();
        b.ribbon(&[[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]], 2.0, 0.0, LinearRgba::WHITE);
        b.polygon(&[[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]], 0.0, LinearRgba::WHITE);
        for t in b.indices.chunks(3) {
            let [p, q, r] = [t[0], t[1], t[2]].map(|i| Vec3::from_array(b.positions[i as usize]));
            assert!((q - p).cross(r - p).y > 0.0, "a triangle faces down");
        }
        let mut b = MeshBuilder::default();
        b.cuboid(Vec3::splat(-1.0), Vec3::ONE, LinearRgba::WHITE);
        b.frustum(Vec3::new(0.0, -0.5, 0.0), 1.0, 1.0, 0.5, 8, LinearRgba::WHITE);
        b.blob(Vec3::ZERO, Vec3::ONE, 0.1, LinearRgba::BLACK, LinearRgba::WHITE);
        for t in b.indices.chunks(3) {
            let [p, q, r] = [t[0], t[1], t[2]].map(|i| Vec3::from_array(b.positions[i as usize]));
            assert!((q - p).cross(r - p).dot(p + q + r) > 0.0, "a triangle faces inwards");
        }
    }

    #[test]
    fn points_inside_an_outline_are_told_from_those_outside() {
        let l_shape = [[0.0, 0.0], [4.0, 0.0], [4.0, 2.0], [2.0, 2.0], [2.0, 4.0], [0.0, 4.0]];
        assert!(contains(&l_shape, [1.0, 3.0]));
        assert!(!contains(&l_shape, [3.0, 3.0]));
    }
}
