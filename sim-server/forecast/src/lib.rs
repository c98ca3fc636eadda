//! What load, sun and price will do
