//! What a person looks for in the park but cannot make out from afar: storage, charging places, turbines, chimneys.
//!
//! Things of a kind that stand together are one landmark, so that an overview carries a handful of signs, not a hundred.

use super::{devices::device_box, geometry::at};
use crate::model::SceneIndex;
use bevy::prelude::*;
use shared::scene::Rating;

/// Things of a kind within this distance of one another belong together.
const TOGETHER_M: f32 = 75.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Storage,
    Chargers,
    Turbine,
    Stack,
}

/// Some devices of a kind, and the place over them where their sign goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Landmark {
    pub kind: Kind,
    pub devices: Vec<u32>,
    pub at: Vec3,
}

fn kind(rating: &Rating) -> Option<Kind> {
    match rating {
        Rating::Storage { .. } => Some(Kind::Storage),
        Rating::Charger { .. } => Some(Kind::Chargers),
        Rating::Wind { .. } => Some(Kind::Turbine),
        Rating::StackMonitor { .. } => Some(Kind::Stack),
        _ => None,
    }
}

/// The park's landmarks, in the scene's order.
pub fn landmarks(index: &SceneIndex) -> Vec<Landmark> {
    let mut groups: Vec<(Kind, Vec<(u32, Vec3)>)> = Vec::new();
    for (number, device) in index.scene.devices.iter().enumerate() {
        let Some(kind) = kind(&device.rating) else { continue };
        let [east, north, up] = device.position;
        let member = (number as u32, at(east, north, up));
        // Whoever is near joins; groups that it connects become one.
        let near = |(of, members): &(Kind, Vec<(u32, Vec3)>)| {
            *of == kind
                && kind != Kind::Turbine
                && members.iter().any(|(_, p)| p.distance(member.1) < TOGETHER_M)
        };
        let (joined, apart): (Vec<_>, Vec<_>) = std::mem::take(&mut groups).into_iter().partition(near);
        groups = apart;
        let mut members: Vec<_> = joined.into_iter().flat_map(|(_, members)| members).collect();
        members.push(member);
        groups.push((kind, members));
    }
    groups
        .into_iter()
        .map(|(kind, members)| {
            let middle = members.iter().map(|(_, p)| *p).sum::<Vec3>() / members.len() as f32;
            let tops = members.iter().filter_map(|(i, _)| {
                let around = device_box(&index.scene, index.device(*i)?);
                Some(around.centre.y + around.half.y)
            });
            let top = tops.fold(0.0, f32::max);
            Landmark { kind, at: middle.with_y(top), devices: members.into_iter().map(|(i, _)| i).collect() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn what_stands_together_is_one_landmark_but_each_turbine_is_its_own() {
        let index = SceneIndex::new(fixture::sample_park(), "v1".into());
        let all = landmarks(&index);
        let count = |kind| all.iter().filter(|l| l.kind == kind).count();
        assert_eq!((count(Kind::Storage), count(Kind::Turbine), count(Kind::Stack)), (1, 2, 1));
        assert_eq!(count(Kind::Chargers), 1);
        let chargers = all.iter().find(|l| l.kind == Kind::Chargers).unwrap();
        assert_eq!(chargers.devices.len(), 60);
        let turbine = all.iter().find(|l| l.kind == Kind::Turbine).unwrap();
        assert!(turbine.at.y > 60.0, "over the blades");
    }
}
