//! The park twin's client: the park in 3D with dashboards, fed by the server's scene and live stream.
//!
//! ```text
//! net (own thread) → mailbox → feed → model::ParkModel → world (3D), panels (egui)
//!                 ←  NetCommand  ← ui::commands ← UiCommand ← panels
//! ```
//!
//! [`model`] is plain data and rules, [`net`] a state machine behind a transport trait, [`panels`] pure functions of the
//! model; [`world`], [`camera`], [`picking`] and [`ui`] are where Bevy and egui come in. [`app`] puts them together.

pub mod app;
pub mod camera;
pub mod clock;
pub mod feed;
pub mod i18n;
pub mod model;
pub mod net;
pub mod options;
pub mod pace;
pub mod panels;
pub mod picking;
pub mod picture;
pub mod recovery;
pub mod ui;
pub mod world;

#[cfg(test)]
#[path = "../tests/fixture/mod.rs"]
mod fixture;
