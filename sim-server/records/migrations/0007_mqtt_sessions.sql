-- What of devices' MQTT sessions outlives their connections: subscriptions and notices, as JSON in `body`.
CREATE TABLE mqtt_sessions (
    device_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (device_id, client_id)
);
