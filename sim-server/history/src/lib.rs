//! Telemetry at rest: write-ahead log, compressed blocks, queries
