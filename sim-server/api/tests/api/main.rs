//! The API as people and programs meet it: the real router over real records, history, twin and plan.

// Helpers of tests are not tests to clippy; a failed step here is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod commands;
mod connections;
mod devices;
mod documents;
mod faults;
mod park;
mod quality;
mod roles;
mod sessions;
mod stream;
mod telemetry;
