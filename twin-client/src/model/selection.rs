//! What is selected and what the pointer is over.

use bevy::prelude::Resource;

/// Something in the park, by its index in the scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Thing {
    Device(u32),
    Building(u32),
}

#[derive(Resource, Debug, Default, Clone, PartialEq)]
pub struct Selection {
    pub selected: Option<Thing>,
    pub hovered: Option<Thing>,
}

impl Selection {
    pub fn device(&self) -> Option<u32> {
        match self.selected {
            Some(Thing::Device(index)) => Some(index),
            _ => None,
        }
    }
}
