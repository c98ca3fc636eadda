//! Buildings: walls extruded from the footprint, storeys one can count, windows by use, a parapet and roof plant.

use super::{
    geometry::{MeshBuilder, at, offset_both_sides, signed_area2},
    palette::{self as tone, Tone},
};
use bevy::prelude::*;
use shared::scene::{Building, BuildingUse};

/// The meshes of one building. Glass comes in two parts because some rooms are lit at night and some are not.
pub struct BuildingMeshes {
    pub body: Mesh,
    pub dark_glass: Option<Mesh>,
    pub lit_glass: Option<Mesh>,
}

/// How a use looks from outside.
struct Facade {
    wall: Tone,
    /// Window from sill to head, as shares of the storey.
    sill: f32,
    head: f32,
    /// Width of a bay and the share of it that is glass.
    bay_m: f32,
    glass_share: f32,
    /// Share of windows lit at night.
    lit_share: f32,
    /// Ground-floor gates along the long sides.
    gates: bool,
    /// Ventilation louvres in place of most windows.
    louvres: bool,
}

fn facade(used_as: BuildingUse) -> Facade {
    let plain = Facade {
        wall: tone::WALL_OFFICE,
        sill: 0.30,
        head: 0.86,
        bay_m: 3.2,
        glass_share: 0.86,
        lit_share: 0.35,
        gates: false,
        louvres: false,
    };
    match used_as {
        BuildingUse::Office => plain,
        BuildingUse::Laboratory => Facade { bay_m: 4.2, glass_share: 0.72, lit_share: 0.4, ..plain },
        BuildingUse::Factory => Facade {
            wall: tone::WALL_FACTORY,
            sill: 0.62,
            head: 0.88,
            bay_m: 6.0,
            glass_share: 0.82,
            lit_share: 0.75,
            gates: true,
            ..plain
        },
        BuildingUse::Warehouse => Facade {
            wall: tone::WALL_WAREHOUSE,
            sill: 0.78,
            head: 0.9,
            bay_m: 9.0,
            glass_share: 0.6,
            lit_share: 0.4,
            gates: true,
            ..plain
        },
        BuildingUse::DataHall => Facade {
            wall: tone::WALL_DATA,
            sill: 0.35,
            head: 0.75,
            bay_m: 5.0,
            glass_share: 0.5,
            lit_share: 0.5,
            louvres: true,
            ..plain
        },
        BuildingUse::Canteen => {
            Facade { sill: 0.1, head: 0.85, bay_m: 4.0, glass_share: 0.9, lit_share: 0.8, ..plain }
        }
        BuildingUse::Dormitory => Facade {
            wall: tone::WALL_HOME,
            sill: 0.32,
            head: 0.82,
            bay_m: 3.4,
            glass_share: 0.48,
            lit_share: 0.5,
            ..plain
        },
        BuildingUse::EnergyStation => Facade {
            wall: tone::WALL_ENERGY,
            sill: 0.5,
            head: 0.85,
            bay_m: 5.0,
            glass_share: 0.6,
            lit_share: 0.6,
            gates: true,
            louvres: true,
        },
        BuildingUse::Gatehouse => Facade { sill: 0.35, head: 0.9, bay_m: 2.5, lit_share: 1.0, ..plain },
    }
}

const PARAPET_M: f32 = 0.9;
const PARAPET_THICK_M: f32 = 0.35;

/// Builds one building; `bare_roof` is false where PV or devices stand on it, which then keeps free of plant.
pub fn building_meshes(building: &Building, bare_roof: bool) -> BuildingMeshes {
    let look = facade(building.used_as);
    let mut outline = building.footprint.clone();
    if signed_area2(&outline) < 0.0 {
        outline.reverse();
    }
    let height = building.height_m as f32;
    let floors = building.floors.max(1);
    let storey = height / floors as f32;
    let mut body = MeshBuilder::default();
    let mut glass = [MeshBuilder::default(), MeshBuilder::default()];
    let n = outline.len();
    for i in 0..n {
        let (a, b) = (outline[i], outline[(i + 1) % n]);
        let wall = Wall::new(a, b, height);
        wall.surface(&mut body, look.wall);
        wall.storey_lines(&mut body, floors, storey);
        if wall.length > 3.0 {
            wall.openings(&mut body, &mut glass, &look, floors, storey, building, i);
        }
    }
    roof(&mut body, &outline, height, look.wall);
    if bare_roof {
        roof_plant(&mut body, &outline, height, building);
    }
    let [dark, lit] = glass.map(|g| (!g.is_empty()).then(|| g.build()));
    BuildingMeshes { body: body.build(), dark_glass: dark, lit_glass: lit }
}

/// One straight wall, seen from outside: `along` runs left to right, `out` towards the viewer.
struct Wall {
    start: Vec3,
    along: Vec3,
    out: Vec3,
    length: f32,
    height: f32,
}

impl Wall {
    /// From `a` to `b` of a counter-clockwise outline, which has its outside on the right.
    fn new(a: [f64; 2], b: [f64; 2], height: f32) -> Self {
        let (start, end) = (at(a[0], a[1], 0.0), at(b[0], b[1], 0.0));
        let along = (end - start).normalize_or(Vec3::X);
        Self { start, along, out: along.cross(Vec3::Y), length: (end - start).length(), height }
    }

    fn point(&self, s: f32, y: f32, proud: f32) -> Vec3 {
        self.start + self.along * s + Vec3::Y * y + self.out * proud
    }

    fn rect(&self, from: f32, to: f32, bottom: f32, top: f32, proud: f32) -> [Vec3; 4] {
        [
            self.point(from, bottom, proud),
            self.point(to, bottom, proud),
            self.point(to, top, proud),
            self.point(from, top, proud),
        ]
    }

    /// The wall itself, darker at its foot where the ground shades it.
    fn surface(&self, b: &mut MeshBuilder, tone: Tone) {
        let knee = (self.height * 0.35).min(4.0);
        b.quad_shaded(self.rect(0.0, self.length, 0.0, knee, 0.0), tone.shade(0.74), tone.shade(0.96));
        let top = self.height + PARAPET_M;
        b.quad_shaded(self.rect(0.0, self.length, knee, top, 0.0), tone.shade(0.96), tone.linear());
    }

    /// A thin slab edge at each floor, so that storeys can be counted.
    fn storey_lines(&self, b: &mut MeshBuilder, floors: u32, storey: f32) {
        for floor in 1..=floors {
            let y = floor as f32 * storey;
            let (bottom, top, proud) = (y - 0.16, y + 0.06, 0.12);
            b.quad(self.rect(0.0, self.length, bottom, top, proud), tone::SLAB.linear());
            b.quad(
                [
                    self.point(0.0, top, proud),
                    self.point(self.length, top, proud),
                    self.point(self.length, top, 0.0),
                    self.point(0.0, top, 0.0),
                ],
                tone::SLAB.linear(),
            );
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one wall's worth of facts, used here only")]
    fn openings(
        &self,
        body: &mut MeshBuilder,
        glass: &mut [MeshBuilder; 2],
        look: &Facade,
        floors: u32,
        storey: f32,
        building: &Building,
        edge: usize,
    ) {
        let bays = ((self.length - 1.2) / look.bay_m).floor().max(1.0) as u32;
        let bay = (self.length - 1.2) / bays as f32;
        for floor in 0..floors {
            let base = floor as f32 * storey;
            for i in 0..bays {
                let left = 0.6 + i as f32 * bay;
                let chance = scatter(building.id.as_str(), edge as u32 * 7919 + floor * 131 + i);
                let (from, to) = (
                    left + bay * (1.0 - look.glass_share) / 2.0,
                    left + bay * (1.0 + look.glass_share) / 2.0,
                );
                let gate = look.gates && floor == 0 && self.length > 18.0 && i % 4 == 1;
                if gate {
                    let width = (bay * 0.5).min(4.5);
                    let middle = left + bay / 2.0;
                    let top = (storey * 0.55).min(4.8);
                    body.quad(
                        self.rect(middle - width / 2.0, middle + width / 2.0, 0.05, top, 0.05),
                        tone::DOOR.linear(),
                    );
                }
                let pane = self.rect(from, to, base + storey * look.sill, base + storey * look.head, 0.05);
                if look.louvres && !(i + floor).is_multiple_of(3) {
                    body.quad(pane, tone::LOUVRE.linear());
                } else {
                    glass[usize::from(chance < look.lit_share)].quad(pane, LinearRgba::WHITE);
                }
            }
        }
    }
}

fn roof(b: &mut MeshBuilder, outline: &[[f64; 2]], height: f32, wall: Tone) {
    b.polygon(outline, height, tone::ROOF.linear());
    let mut ring = outline.to_vec();
    let (Some(first), Some(second)) = (outline.first(), outline.get(1)) else { return };
    ring.push(*first);
    ring.push(*second);
    let edges = offset_both_sides(&ring, PARAPET_THICK_M);
    let top = height + PARAPET_M;
    for i in 1..=outline.len() {
        let outer = |i: usize, y: f32| {
            let [e, n] = ring[i];
            at(e, n, f64::from(y))
        };
        let inner = |i: usize, y: f32| {
            let p = edges[i].0;
            Vec3::new(p.x, y, p.y)
        };
        b.quad([outer(i, top), outer(i + 1, top), inner(i + 1, top), inner(i, top)], wall.linear());
        b.quad([inner(i, top), inner(i + 1, top), inner(i + 1, height), inner(i, height)], wall.shade(0.85));
    }
}

/// A few boxes and vents, placed by the building's name, so that the roof reads as a roof.
fn roof_plant(b: &mut MeshBuilder, outline: &[[f64; 2]], height: f32, building: &Building) {
    let (min, max) = bounds(outline);
    let count = (((max[0] - min[0]) * (max[1] - min[1]) / 450.0) as u32).clamp(1, 8);
    for i in 0..count {
        let pick = |salt: u32| f64::from(scatter(building.id.as_str(), i * 17 + salt));
        let place = [
            min[0] + (max[0] - min[0]) * (0.2 + 0.6 * pick(1)),
            min[1] + (max[1] - min[1]) * (0.2 + 0.6 * pick(2)),
        ];
        if !super::geometry::contains(outline, place) {
            continue;
        }
        let size =
            Vec3::new(2.2 + 2.0 * pick(3) as f32, 1.3 + 0.9 * pick(4) as f32, 2.0 + 1.4 * pick(5) as f32);
        b.block(at(place[0], place[1], f64::from(height)), size, tone::MACHINE.shade(0.92));
    }
}

/// West, south and east, north bounds of an outline.
pub fn bounds(outline: &[[f64; 2]]) -> ([f64; 2], [f64; 2]) {
    outline.iter().fold(([f64::MAX; 2], [f64::MIN; 2]), |(min, max), p| {
        ([min[0].min(p[0]), min[1].min(p[1])], [max[0].max(p[0]), max[1].max(p[1])])
    })
}

/// A fixed pseudo-random number in 0..1 from a name and a number: the park looks the same at every start.
pub fn scatter(name: &str, salt: u32) -> f32 {
    let mut hash = 0x811c_9dc5_u32 ^ salt.wrapping_mul(0x9e37_79b9);
    for byte in name.bytes() {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    hash ^= hash >> 15;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash as f32 / u32::MAX as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::text::Text;

    #[test]
    fn a_clockwise_footprint_looks_like_the_counter_clockwise_one() {
        let mut building = Building {
            id: "office-1".parse().unwrap(),
            name: Text::new("办公楼", "Office"),
            used_as: BuildingUse::Office,
            footprint: vec![[0.0, 0.0], [40.0, 0.0], [40.0, 20.0], [0.0, 20.0]],
            height_m: 20.0,
            floors: 5,
        };
        let count = |b: &Building| building_meshes(b, true).body.count_vertices();
        let expected = count(&building);
        building.footprint.reverse();
        assert_eq!(count(&building), expected);
    }

    #[test]
    fn scatter_spreads_over_the_unit_interval() {
        let mean = (0..1000).map(|i| scatter("b-1", i)).sum::<f32>() / 1000.0;
        assert!((mean - 0.5).abs() < 0.05, "{mean}");
    }
}
