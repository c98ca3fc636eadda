-- Plain SQL that SQLite and PostgreSQL read alike: text and 64-bit integers only. What is searched for is a column; the
-- rest of a record is its JSON in `body`. Instants are Unix milliseconds. Of tokens and secrets only the SHA-256 is kept.

CREATE TABLE users (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- A family is one login: rotating a token adds one to its family, and a spent token that comes back ends the family.
CREATE TABLE refresh_tokens (
    sha256 TEXT PRIMARY KEY,
    family TEXT NOT NULL,
    user_name TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    spent_at BIGINT
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family);
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_name);

CREATE TABLE wall_tokens (
    id TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE TABLE devices (
    id TEXT PRIMARY KEY,
    registered_at BIGINT NOT NULL,
    secret_sha256 TEXT NOT NULL,
    body TEXT NOT NULL
);

CREATE TABLE commands (
    command_id TEXT PRIMARY KEY,
    device_id TEXT NOT NULL,
    status TEXT NOT NULL,
    queued_at BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX commands_device ON commands (device_id, queued_at);
CREATE INDEX commands_queued ON commands (queued_at);
CREATE INDEX commands_open ON commands (queued_at) WHERE status IN ('queued', 'sent');

-- `open` is 1 while the alarm is active or nobody has acknowledged it.
CREATE TABLE alarms (
    id TEXT PRIMARY KEY,
    raised_at BIGINT NOT NULL,
    open BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX alarms_raised ON alarms (raised_at);
CREATE INDEX alarms_open ON alarms (raised_at) WHERE open = 1;

CREATE TABLE device_events (
    device_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (device_id, event_id)
);
CREATE INDEX device_events_at ON device_events (device_id, at);

CREATE TABLE audit (
    id TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    what TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at);

CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
