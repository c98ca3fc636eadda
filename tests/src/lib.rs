//! End to end: the real server process and real protocols
