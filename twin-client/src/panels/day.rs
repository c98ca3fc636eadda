//! What panels would otherwise work out anew in every frame: kept while the scene and the day stay the same.
//!
//! Pure functions of their key, behind egui's frame cache.

use crate::model::{ParkModel, SceneIndex};
use egui::{
    Ui,
    cache::{ComputerMut, FrameCache},
};
use shared::{
    tariff::Band,
    thing_model::Role,
    time::{MINUTE_MS, Timestamp},
};
use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

const QUARTER_MS: i64 = 15 * MINUTE_MS;

/// A scene by its version: equal versions are the same scene.
#[derive(Clone, Copy)]
struct SceneKey<'a> {
    scene: &'a SceneIndex,
    version: u64,
    day: Timestamp,
}

impl Hash for SceneKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.version, self.day).hash(state);
    }
}

/// A stretch of the day in one tariff band, in quarter hours from midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BandRun {
    pub from: usize,
    pub to: usize,
    pub band: Band,
}

/// The day's bands, equal neighbours joined.
pub fn band_runs(mut band_at: impl FnMut(Timestamp) -> Band, midnight: Timestamp) -> Vec<BandRun> {
    let mut runs: Vec<BandRun> = Vec::new();
    for quarter in 0..96 {
        let band = band_at(Timestamp(midnight.0 + quarter as i64 * QUARTER_MS));
        match runs.last_mut() {
            Some(last) if last.band == band => last.to = quarter + 1,
            _ => runs.push(BandRun { from: quarter, to: quarter + 1, band }),
        }
    }
    runs
}

#[derive(Default)]
struct Bands;

impl ComputerMut<SceneKey<'_>, Arc<[BandRun]>> for Bands {
    fn compute(&mut self, key: SceneKey<'_>) -> Arc<[BandRun]> {
        let scene = key.scene;
        band_runs(|at| scene.scene.tariff.band_at(at.local(&scene.zone)), key.day).into()
    }
}

/// Today's tariff bands in the park.
pub fn bands_today(ui: &Ui, model: &ParkModel, scene: &SceneIndex) -> Arc<[BandRun]> {
    let day = model.now.start_of_day(&scene.zone);
    let key = SceneKey { scene, version: model.scene_version, day };
    ui.memory_mut(|m| m.caches.cache::<FrameCache<Arc<[BandRun]>, Bands>>().get(key).clone())
}

#[derive(Default)]
struct StorageDevices;

impl ComputerMut<SceneKey<'_>, Arc<[u32]>> for StorageDevices {
    fn compute(&mut self, key: SceneKey<'_>) -> Arc<[u32]> {
        let devices = key.scene.scene.devices.iter().enumerate();
        devices.filter(|(_, d)| key.scene.scene.role_of(d) == Role::Storage).map(|(i, _)| i as u32).collect()
    }
}

/// The park's storage devices, by index.
pub fn storage_devices(ui: &Ui, model: &ParkModel, scene: &SceneIndex) -> Arc<[u32]> {
    let key = SceneKey { scene, version: model.scene_version, day: Timestamp(0) };
    ui.memory_mut(|m| m.caches.cache::<FrameCache<Arc<[u32]>, StorageDevices>>().get(key).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_bands_join_equal_neighbours_and_cover_it_whole() {
        let scene = SceneIndex::new(crate::fixture::sample_park(), "v1".into());
        let midnight = Timestamp::parse("2026-06-21T16:00:00Z").unwrap();
        let runs = band_runs(|at| scene.scene.tariff.band_at(at.local(&scene.zone)), midnight);
        assert_eq!(runs.len(), 7, "{runs:?}");
        assert_eq!(runs[0], BandRun { from: 0, to: 32, band: Band::Valley });
        assert_eq!(runs.iter().map(|r| r.to - r.from).sum::<usize>(), 96);
    }
}
