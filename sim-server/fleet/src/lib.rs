//! Simulated field devices: the park's equations speaking real MQTT.
//!
//! In: a scene, the devices' secrets, the server's address. Out: telemetry, acknowledgements and events, each device on its own
//! connection, as field devices would send them.
//!
//! - [`world`] is the park's behaviour: pure, deterministic, stepped by whoever has the clock.
//! - [`faults`] spoils what devices say, on purpose and reproducibly.
//! - `link` is one device's MQTT connection, `clock` steps the world and hands out what it measures, `backfill` does the same for the
//!   past, [`run`] ties them together.

mod backfill;
mod clock;
mod events;
pub mod faults;
mod folder;
mod link;
mod noise;
pub mod options;
mod payload;
mod run;
mod secrets;
mod state_file;
mod status;
pub mod world;

pub use folder::read_scene_folder;
pub use run::run;
