//! Registry, shadows, data quality, alarms and the command queue
