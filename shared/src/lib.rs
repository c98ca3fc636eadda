//! The park's vocabulary: what every part of the system means by a device, a measurement, a command, a plan.
//!
//! No I/O and no async, and nothing here reads a clock: bytes and timestamps come in as arguments, so the same
//! code runs in the server, the simulated fleet, the native client and the browser.
//!
//! ```
//! use shared::id::DeviceId;
//! let id: DeviceId = "bess-01".parse().unwrap();
//! assert!("no spaces please".parse::<DeviceId>().is_err());
//! assert_eq!(id.as_str(), "bess-01");
//! ```

pub mod id;
pub mod text;
pub mod time;
pub mod unit_conversion;
pub mod units;
pub mod url;

pub mod group;
pub mod scene;
pub mod selector;
pub mod series;
pub mod sun;
pub mod tariff;
pub mod thing_model;

pub mod alarm;
pub mod command;
pub mod downsample;
pub mod energy;
pub mod plan;
pub mod quality;
pub mod stream;
pub mod telemetry;
