//! Resources, forecast, plan, command, verify
