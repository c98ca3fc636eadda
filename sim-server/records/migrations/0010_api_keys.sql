-- What other systems sign in with: of the key only the SHA-256, what it may do as JSON in `body`.
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    last_used_from TEXT,
    body TEXT NOT NULL
);

-- What each key did in one of the park's days (such as 2026-06-01).
CREATE TABLE api_key_days (
    key_id TEXT NOT NULL,
    day TEXT NOT NULL,
    requests BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    points_read BIGINT NOT NULL,
    points_written BIGINT NOT NULL,
    bytes_in BIGINT NOT NULL,
    bytes_out BIGINT NOT NULL,
    PRIMARY KEY (key_id, day)
);
