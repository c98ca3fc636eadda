//! The store as a whole, on SQLite and on PostgreSQL.

mod behaviour;
mod days;
mod disks;
mod dying;
mod fuzzing;
mod merging;
mod model;
mod place;
mod upgrading;
