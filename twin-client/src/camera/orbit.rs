//! The camera as figures: where it looks, from how far and which way. Pure, so that moving it is tested.

use bevy::math::{Quat, Vec2, Vec3};
use std::f32::consts::{FRAC_PI_2, TAU};

/// Vertical field of view. Narrow, as for an architect's model: straight lines stay straight.
pub const FIELD_OF_VIEW: f32 = 32.0 * std::f32::consts::PI / 180.0;
const CLOSEST_M: f32 = 6.0;
const FARTHEST_M: f32 = 6_000.0;
const LOWEST_PITCH: f32 = 0.04;
const HIGHEST_PITCH: f32 = FRAC_PI_2 - 0.02;
/// Flying, the head goes back this far: nearly to the zenith.
const LOWEST_FLYING_PITCH: f32 = -1.2;
/// The pitch an orbit takes up again after flying: low enough to go on looking across, high enough to see ground.
const SETTLED_PITCH: f32 = 0.16;
/// An eye never comes lower: that of someone standing.
pub const LOWEST_EYE_M: f32 = 1.7;

/// The part of the viewport that is to be filled, in shares of half its width and height (−1 to 1, up is positive).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Room {
    pub side: f32,
    pub bottom: f32,
    pub top: f32,
}

impl Room {
    /// The same margin on all sides.
    pub fn centred(fill: f32) -> Self {
        Self { side: fill, bottom: -fill, top: fill }
    }

    /// Leaves the sky its place above.
    pub fn below_the_sky() -> Self {
        Self { side: 0.96, bottom: -0.94, top: 0.60 }
    }
}

/// An eye that looks at `target` from `distance`, `yaw` clockwise from south and `pitch` above the horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Orbit {
    pub target: Vec3,
    pub distance: f32,
    pub yaw: f32,
    pub pitch: f32,
}

impl Default for Orbit {
    /// A three-quarter view from the south-east.
    fn default() -> Self {
        Self { target: Vec3::ZERO, distance: 900.0, yaw: -0.40, pitch: 0.60 }
    }
}

impl Orbit {
    /// The start view for a viewport: steeper where it is narrow, so that the park fills its height.
    pub fn overview(aspect: f32) -> Self {
        Self { pitch: (0.46 + (1.7 - aspect) * 0.36).clamp(0.42, 0.80), ..Self::default() }
    }

    /// From the target to the eye.
    pub fn direction(&self) -> Vec3 {
        let (sin_pitch, cos_pitch) = self.pitch.sin_cos();
        let (sin_yaw, cos_yaw) = self.yaw.sin_cos();
        Vec3::new(-sin_yaw * cos_pitch, sin_pitch, cos_yaw * cos_pitch)
    }

    pub fn eye(&self) -> Vec3 {
        self.target + self.direction() * self.distance
    }

    pub fn rotation(&self) -> Quat {
        bevy::transform::components::Transform::default().looking_to(-self.direction(), Vec3::Y).rotation
    }

    /// Turns around the target.
    pub fn orbit(&mut self, yaw: f32, pitch: f32) {
        self.yaw = (self.yaw + yaw).rem_euclid(TAU);
        self.pitch = (self.pitch + pitch).clamp(LOWEST_PITCH, HIGHEST_PITCH);
    }

    /// Turns the head: the eye stays, the target moves. Unlike in an orbit one may look level and up.
    pub fn look(&mut self, yaw: f32, pitch: f32) {
        let eye = self.eye();
        self.yaw = (self.yaw + yaw).rem_euclid(TAU);
        self.pitch = (self.pitch + pitch).clamp(LOWEST_FLYING_PITCH, HIGHEST_PITCH);
        self.target = eye - self.direction() * self.distance;
    }

    /// Flies along the look and sideways, metres; the ground stops it.
    pub fn fly(&mut self, right: f32, ahead: f32) {
        self.target -= self.direction() * ahead;
        self.shift(right, 0.0);
        self.keep_above_ground();
    }

    /// Lifts the whole view where its eye would be in the ground.
    pub fn keep_above_ground(&mut self) {
        self.target.y += (LOWEST_EYE_M - self.eye().y).max(0.0);
    }

    /// Becomes an orbit again after flying: the eye stays where it is and looks down to a place on the ground.
    pub fn settle(&mut self) {
        self.keep_above_ground();
        let eye = self.eye();
        self.pitch = self.pitch.clamp(SETTLED_PITCH, HIGHEST_PITCH);
        self.distance = (eye.y / self.pitch.sin()).clamp(CLOSEST_M, FARTHEST_M);
        self.target = eye - self.direction() * self.distance;
    }

    /// Moves along the ground; `right` and `forward` in metres as seen.
    pub fn shift(&mut self, right: f32, forward: f32) {
        let (sin_yaw, cos_yaw) = self.yaw.sin_cos();
        self.target += Vec3::new(cos_yaw, 0.0, sin_yaw) * right + Vec3::new(sin_yaw, 0.0, -cos_yaw) * forward;
    }

    /// Drags the ground by a movement of the pointer, in shares of the viewport's height.
    pub fn pan(&mut self, delta: Vec2) {
        let metres = 2.0 * self.distance * (FIELD_OF_VIEW / 2.0).tan();
        // Ground seen at a slant moves more for the same share of the screen.
        let slant = self.pitch.sin().max(0.25);
        self.shift(-delta.x * metres, delta.y * metres / slant);
    }

    /// Comes closer by a factor below 1, towards a point that keeps its place on the screen.
    pub fn zoom(&mut self, factor: f32, towards: Option<Vec3>) {
        let distance = (self.distance * factor).clamp(CLOSEST_M, FARTHEST_M);
        let factor = distance / self.distance;
        if let Some(point) = towards {
            self.target = point + (self.target - point) * factor;
        }
        self.distance = distance;
    }

    /// Glides towards a goal: the share of the way for a time step.
    pub fn glide(&mut self, goal: &Orbit, share: f32) {
        let turn = (goal.yaw - self.yaw + TAU / 2.0).rem_euclid(TAU) - TAU / 2.0;
        self.yaw += turn * share;
        self.pitch += (goal.pitch - self.pitch) * share;
        self.target += (goal.target - self.target) * share;
        // In logarithms, so that a long way in looks even.
        self.distance *= (goal.distance / self.distance).powf(share);
    }

    pub fn is_near(&self, other: &Orbit) -> bool {
        let turn = (other.yaw - self.yaw + TAU / 2.0).rem_euclid(TAU) - TAU / 2.0;
        turn.abs() < 1e-4
            && (other.pitch - self.pitch).abs() < 1e-4
            && (other.target - self.target).length() < self.distance * 1e-4
            && (other.distance / self.distance - 1.0).abs() < 1e-4
    }

    /// Where a point comes to lie, in shares of half the viewport (−1 to 1 inside), and how far away it is.
    fn project(&self, point: Vec3, aspect: f32) -> (Vec2, f32) {
        let seen = self.rotation().inverse() * (point - self.eye());
        let depth = -seen.z;
        let scale = 1.0 / ((FIELD_OF_VIEW / 2.0).tan() * depth.max(1e-3));
        (Vec2::new(seen.x * scale / aspect, seen.y * scale), depth)
    }

    /// The same view, moved and zoomed so that all points fill the room in the viewport.
    pub fn framing(mut self, points: &[Vec3], aspect: f32, room: Room) -> Orbit {
        if points.is_empty() {
            return self;
        }
        self.target = points.iter().sum::<Vec3>() / points.len() as f32;
        self.distance = 1_000.0;
        // Each round centres what is seen and scales it to fit. A low eye overshoots when it moves all the way at once.
        const SHARE: f32 = 0.6;
        for _ in 0..40 {
            let (mut min, mut max, mut behind) = (Vec2::MAX, Vec2::MIN, false);
            for point in points {
                let (at, depth) = self.project(*point, aspect);
                behind |= depth < 1.0;
                min = min.min(at);
                max = max.max(at);
            }
            if behind {
                self.distance *= 2.0;
                continue;
            }
            let wanted = Vec2::new(0.0, (room.bottom + room.top) / 2.0);
            let off = (min + max) / 2.0 - wanted;
            let spread = (max - min) / Vec2::new(2.0 * room.side, room.top - room.bottom);
            let metres = self.distance * (FIELD_OF_VIEW / 2.0).tan() * SHARE;
            self.shift(off.x * metres * aspect, off.y * metres / self.pitch.sin().max(0.2));
            self.distance = (self.distance * spread.max_element().max(1e-3)).clamp(CLOSEST_M, FARTHEST_M);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corners() -> Vec<Vec3> {
        [(-500.0, -350.0), (500.0, -350.0), (500.0, 350.0), (-500.0, 350.0)]
            .into_iter()
            .flat_map(|(x, z)| [Vec3::new(x, 0.0, z), Vec3::new(x, 30.0, z)])
            .collect()
    }

    #[test]
    fn framing_shows_everything_and_wastes_little() {
        for aspect in [0.7, 1.0, 1.6] {
            for pitch in [0.4, 0.62, 1.2] {
                let view =
                    Orbit { pitch, ..Orbit::default() }.framing(&corners(), aspect, Room::centred(0.92));
                let seen: Vec<Vec2> = corners().iter().map(|p| view.project(*p, aspect).0).collect();
                let widest = seen.iter().map(|p| p.abs().max_element()).fold(0.0, f32::max);
                assert!((0.88..0.96).contains(&widest), "aspect {aspect} pitch {pitch}: {widest}");
            }
        }
    }

    #[test]
    fn framing_leaves_the_sky_its_place() {
        for aspect in [0.7, 1.1, 1.8] {
            let room = Room::below_the_sky();
            let view = Orbit::overview(aspect).framing(&corners(), aspect, room);
            for point in corners() {
                let at = view.project(point, aspect).0;
                assert!(at.x.abs() < room.side + 0.02, "aspect {aspect}: {at}");
                assert!(at.y > room.bottom - 0.02 && at.y < room.top + 0.02, "aspect {aspect}: {at}");
            }
        }
    }

    #[test]
    fn flying_looks_up_and_level_while_an_orbit_always_looks_down() {
        let mut view = Orbit::default();
        view.look(0.0, -9.0);
        assert_eq!(view.pitch, LOWEST_FLYING_PITCH);
        assert!((view.rotation() * Vec3::NEG_Z).y > 0.9, "up");
        let mut view = Orbit { pitch: 0.0, target: Vec3::Y * 50.0, distance: 100.0, ..Orbit::default() };
        view.fly(0.0, 30.0);
        assert!((view.eye().y - 50.0).abs() < 1e-3, "a level look flies level");
        view.orbit(0.0, -9.0);
        assert_eq!(view.pitch, LOWEST_PITCH);
    }

    #[test]
    fn the_ground_stops_a_flight() {
        let mut view = Orbit { pitch: 0.7, ..Orbit::default() };
        for _ in 0..100 {
            view.fly(0.0, 40.0);
        }
        assert!((view.eye().y - LOWEST_EYE_M).abs() < 1e-2, "{}", view.eye().y);
    }

    #[test]
    fn settling_keeps_the_eye_and_looks_at_the_ground() {
        for pitch in [-0.9, 0.0, 0.1, 0.8] {
            let mut view = Orbit { pitch, target: Vec3::new(40.0, 60.0, 9.0), distance: 80.0, yaw: 1.0 };
            view.keep_above_ground();
            let eye = view.eye();
            view.settle();
            assert!((view.eye() - eye).length() < 0.1, "pitch {pitch}");
            assert!(view.target.y.abs() < 0.1 && view.pitch >= SETTLED_PITCH, "pitch {pitch}: {view:?}");
        }
    }

    #[test]
    fn zooming_to_a_point_keeps_it_in_place() {
        let mut view = Orbit::default();
        let point = Vec3::new(120.0, 0.0, -60.0);
        let before = view.project(point, 1.5).0;
        view.zoom(0.5, Some(point));
        assert!((view.project(point, 1.5).0 - before).length() < 1e-3);
        assert_eq!(view.distance, 450.0);
    }

    #[test]
    fn looking_around_keeps_the_eye_where_it_is() {
        let mut view = Orbit::default();
        let eye = view.eye();
        view.look(0.4, -0.1);
        assert!((view.eye() - eye).length() < 0.1);
    }

    #[test]
    fn the_ground_follows_the_pointer() {
        let mut view = Orbit { yaw: 0.0, ..Orbit::default() };
        view.pan(Vec2::new(0.1, 0.0));
        assert!(view.target.x < 0.0, "dragging right brings what is on the left");
        let mut view = Orbit { yaw: 0.0, ..Orbit::default() };
        view.pan(Vec2::new(0.0, 0.1));
        assert!(view.target.z < 0.0, "dragging down brings what is beyond");
    }

    #[test]
    fn gliding_arrives() {
        let mut view = Orbit { yaw: 0.1, ..Orbit::default() };
        let goal = Orbit { yaw: TAU - 0.1, distance: 50.0, ..Orbit::default() };
        view.glide(&goal, 0.5);
        assert!(view.yaw.abs() < 0.1, "the short way round: {}", view.yaw);
        for _ in 0..60 {
            view.glide(&goal, 0.3);
        }
        assert!(view.is_near(&goal));
    }
}
