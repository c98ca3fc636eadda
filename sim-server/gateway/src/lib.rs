//! Protocols in, commands out: MQTT and device HTTP
