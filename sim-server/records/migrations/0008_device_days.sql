-- What was counted of a device's data in one of the park's days (such as 2026-06-01): its JSON in `body`.
CREATE TABLE device_days (
    day TEXT NOT NULL,
    device_id TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (day, device_id)
);
