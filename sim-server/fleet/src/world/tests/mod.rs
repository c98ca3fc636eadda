//! The world as a whole, over a small park with one device of every thing model in `scenes/models`.

mod behaviour;
mod commands;
mod park;
