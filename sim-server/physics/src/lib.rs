//! Devices as equations: what the sun, the wind, batteries, cars, machines and feeders do.
//!
//! Pure functions and small values: no clock, no I/O, no randomness. What flows in is weather, set-points and the
//! length of a step; what flows out is power, energy and temperatures. The simulated fleet turns them into devices,
//! what-if studies into a week with and without dispatch, forecasts use the clear sky.
//!
//! Signs follow the park's: electrical power is positive when a device draws. Functions that describe a source on its
//! own terms (a PV array's AC output, a turbine's power curve) give generation as a positive number and say so.
//!
//! ```
//! use physics::battery::Battery;
//! let battery = Battery { energy_kwh: 100.0, charge_kw: 50.0, discharge_kw: 50.0, charge_efficiency: 0.95,
//!     discharge_efficiency: 0.95, soc_min: 0.1, soc_max: 0.9, self_discharge_per_hour: 0.0 };
//! let (soc, drawn_kw) = battery.step(0.5, 40.0, 1.0);
//! assert_eq!(drawn_kw, 40.0);
//! assert!((soc - 0.88).abs() < 1e-12);
//! ```

pub mod clear_sky;
pub mod irradiance;
pub mod pv;
pub mod wind;

pub mod battery;
pub mod ev;

pub mod boiler;
pub mod building;
pub mod cooling;
pub mod thermal_store;

pub mod electrical;
pub mod radial;
