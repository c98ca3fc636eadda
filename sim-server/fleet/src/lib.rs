//! Simulated field devices speaking the real protocols
