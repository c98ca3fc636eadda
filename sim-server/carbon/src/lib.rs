//! Emission factors and what the park emitted
