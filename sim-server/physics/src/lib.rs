//! Devices as equations: PV, wind, battery, thermal stores, EVs
